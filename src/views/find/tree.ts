/**
 * Trees: paths of labels with dots between (`Top.Science.Astronomy`), in a column of the option `tree`. What is below and above
 * a path is found by the text that orders paths, patterns are PostgreSQL's `ltree`.
 */
import { MillraceError } from "../../base/errors.ts";
import { quote } from "../../catalog/definitions.ts";
import { columnOf } from "../row-column.ts";
import type { Parameters } from "../row-filter.ts";
import type { Filter } from "../view-info.ts";
import { treeColumn, treeExpression, treeKey } from "./find-columns.ts";
import { extensionOf } from "./find-extensions.ts";
import type { FindableView } from "./find-filter.ts";
import { treePathBytesMax } from "./find-functions.ts";
import type { FindFilter } from "./find-query.ts";
import { optionMissing } from "./option-missing.ts";

export type TreeTerm = Extract<FindFilter, { kind: "tree" }>;

/** `cs` and `cd` of a column with paths, which are `@>` and `<@` of PostgreSQL's `ltree`; null for all else. */
export function treeTerm(view: FindableView, filter: Extract<Filter, { kind: "compare" }>): TreeTerm | null {
  const { operator, column, path: steps, values, negated } = filter;
  if ((operator !== "cs" && operator !== "cd") || steps !== undefined) return null;
  const [path, ...more] = values;
  if (path === undefined || more.length > 0 || !view.find?.options.tree?.includes(column)) return null;
  const question = operator === "cd" ? ({ is: "below", path } as const) : ({ is: "above", path, self: true } as const);
  return { kind: "tree", column, question, negated };
}

/** A condition that is true, false or null. Throws `VIEW_OPTION_MISSING`, `COLUMN_UNKNOWN`, `FILTER_INVALID`. */
export function treeTermSql(view: FindableView, term: TreeTerm, alias: string, parameters: Parameters): string {
  const { column, schema, path } = treeOf(view, term.column, alias);
  const { question } = term;
  if ("text" in question) {
    const type = `${schema}.${question.is}`;
    const pattern = `${parameters.addText(question.text, column, type)}::${type}`;
    return `${path} operator(${schema}.${question.is === "lquery" ? "~" : "@"}) ${pattern}`;
  }
  const asked = `${parameters.addText(checkedPath(question.path, column), column, `${schema}.ltree`)}::${schema}.ltree`;
  if (question.is === "above") {
    const keys = parameters.addTexts(keysAbove(question.path, question.self), column);
    return `(${asked} is not null and ${treeKey(path)} = any(${keys}))`;
  }
  const key = treeKey(asked);
  const below = question.path === "" ? `${treeKey(path)} >= ${key}` : rangeSql(treeKey(path), key);
  const { levels } = question;
  if (levels === undefined) return `(${below})`;
  const depth = question.path === "" ? 0 : question.path.split(".").length;
  const depths = Array.from({ length: levels.most - levels.least + 1 }, (_, i) => String(depth + levels.least + i));
  return `(${below} and ${schema}.nlevel(${path}) = any(${parameters.addTexts(depths, column)}::integer[]))`;
}

/** At the key, or behind it and a blank: `!` is what comes after a blank. */
function rangeSql(value: string, key: string): string {
  return `${value} >= ${key} and ${value} < ${key} || '!'`;
}

/** Of the path, unless that is left out, and of each one above it up to the empty one. */
function keysAbove(path: string, self: boolean): string[] {
  const labels = path === "" ? [] : path.split(".");
  const keys = Array.from({ length: labels.length + 1 }, (_, i) => labels.slice(0, i).join(" "));
  return self ? keys : keys.slice(0, -1);
}

/** How deep a row is, and the text that it is ordered by. Throws `VIEW_OPTION_MISSING`. */
export function treePlaceSql(view: FindableView, column: string | null, alias: string) {
  const { schema, path } = treeOf(view, column, alias);
  return { depth: `${schema}.nlevel(${path})`, place: treeKey(path) };
}

function treeOf(view: FindableView, asked: string | null, alias: string) {
  const { find } = view;
  const trees = find?.options.tree ?? [];
  const column = asked === null ? trees[0] : columnOf(view, asked).name;
  if (find === undefined || column === undefined || !trees.includes(column)) {
    const what = column === undefined ? "is no tree" : `has no tree of the column "${column}"`;
    throw optionMissing(view.name, what, "tree", JSON.stringify(column ?? "path"));
  }
  if (asked === null && trees.length > 1) {
    throw new MillraceError("REQUEST_INVALID", `view "${view.name}" has ${trees.length} trees`, {
      hint: `Say which one by its column: ${trees.map((one) => `by=${one}`).join(", ")}.`,
      details: { view: view.name },
    });
  }
  return {
    column,
    schema: extensionOf(find.schemas, "ltree"),
    path: view.hidden ? `${alias}.${quote(treeColumn(find.options, column))}` : treeExpression(column, `${alias}.`),
  };
}

function checkedPath(path: string, column: string): string {
  if (Buffer.byteLength(path) <= treePathBytesMax) return path;
  throw new MillraceError(
    "FILTER_INVALID",
    `the path for column "${column}" has more than ${treePathBytesMax} bytes, which none has that is indexed`,
    { details: { column } },
  );
}
