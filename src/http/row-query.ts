/** The query string of a view: filters, `order`, `select`, `limit`, `offset`, `cursor`. Throws `REQUEST_INVALID` and `FILTER_INVALID`. */
import { MillraceError } from "../base/errors.ts";
import type { Filter, RowQuery } from "../views/view-info.ts";
import { allOf, parseColumnFilter, parseGroupFilter } from "./filter-grammar.ts";
import type { QueryParameter } from "./query-string.ts";

/** Names that are no columns. A column of such a name is filtered through `and=(…)`. */
export const viewParameters = ["select", "order", "limit", "offset", "cursor", "after"] as const;
/** Kept for searching: refused, so that a column of this name is never filtered by accident. */
const reserved = ["q", "near", "within"];
const groups = ["and", "or", "not.and", "not.or"];

const limitDefault = 100;
const offsetMax = 1_000_000_000;

export function parseRowQuery(parameters: readonly QueryParameter[], limits: { readonly rowsMax: number }): RowQuery {
  const single = singleParameters(parameters);
  const cursor = single.get("cursor") ?? null;
  const offset = integer(single, "offset", 0, 0, offsetMax);
  if (cursor !== null && single.has("offset")) {
    throw new MillraceError("REQUEST_INVALID", "cursor and offset cannot be used together");
  }
  return {
    filter: parseFilter(parameters),
    order: parseOrder(single.get("order") ?? ""),
    select: parseSelect(single.get("select")),
    limit: integer(single, "limit", Math.min(limitDefault, limits.rowsMax), 1, limits.rowsMax),
    offset,
    cursor,
  };
}

/** For what takes a filter and `after=` only; other parameters that would be ignored are refused. */
export function parseFilterOnly(parameters: readonly QueryParameter[]): Filter | null {
  const refused = parameters.find(({ name }) => name !== "after" && viewParameters.some((one) => one === name));
  if (refused) throw new MillraceError("REQUEST_INVALID", `"${refused.name}" has no meaning for a live view`);
  singleParameters(parameters);
  return parseFilter(parameters);
}

/** For one row by its key: `select` and `after`. */
export function parseRowSelect(parameters: readonly QueryParameter[]): readonly string[] | null {
  const refused = parameters.find(({ name }) => name !== "after" && name !== "select");
  if (refused) {
    throw new MillraceError("REQUEST_INVALID", `"${refused.name}" has no meaning for one row`, {
      hint: "Filters belong to /v1/views/{view}.",
    });
  }
  return parseSelect(singleParameters(parameters).get("select"));
}

function parseFilter(parameters: readonly QueryParameter[]): Filter | null {
  const filters: Filter[] = [];
  for (const { name, value } of parameters) {
    if (viewParameters.some((one) => one === name)) continue;
    if (reserved.includes(name)) {
      throw new MillraceError("FILTER_INVALID", `"${name}" is kept for searching`, {
        hint: `A column of this name is filtered with and=(${name}.eq.…).`,
      });
    }
    if (name === "") throw new MillraceError("FILTER_INVALID", "a filter has no column");
    filters.push(groups.includes(name) ? parseGroupFilter(name, value) : parseColumnFilter(name, value));
  }
  return allOf(filters);
}

function singleParameters(parameters: readonly QueryParameter[]): Map<string, string> {
  const single = new Map<string, string>();
  for (const { name, value } of parameters) {
    if (!viewParameters.some((one) => one === name)) continue;
    if (single.has(name)) throw new MillraceError("REQUEST_INVALID", `"${name}" is given twice`);
    single.set(name, value);
  }
  return single;
}

function integer(single: ReadonlyMap<string, string>, name: string, fallback: number, min: number, max: number) {
  const text = single.get(name);
  if (text === undefined) return fallback;
  const value = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) {
    throw new MillraceError("REQUEST_INVALID", `${name} is ${JSON.stringify(text.slice(0, 40))}`, {
      hint: `It is a whole number from ${min} to ${max}.`,
    });
  }
  return value;
}

/** `total.desc.nullslast,id` */
function parseOrder(text: string): RowQuery["order"] {
  if (text === "") return [];
  return splitColumns(text, "order").map(({ column, rest }) => {
    const words = rest === "" ? [] : rest.slice(1).split(".");
    let [descending, nulls]: [boolean, "first" | "last" | null] = [false, null];
    words.forEach((word, i) => {
      if (i === 0 && (word === "asc" || word === "desc")) descending = word === "desc";
      else if (i === words.length - 1 && word === "nullsfirst") nulls = "first";
      else if (i === words.length - 1 && word === "nullslast") nulls = "last";
      else {
        throw new MillraceError("REQUEST_INVALID", `order has ${JSON.stringify(word.slice(0, 40))} after "${column}"`, {
          hint: "Write order=column.desc.nullslast; asc and desc, nullsfirst and nullslast are known.",
        });
      }
    });
    return { column, descending, nulls };
  });
}

function parseSelect(text: string | undefined): readonly string[] | null {
  if (text === undefined || text === "" || text === "*") return null;
  return splitColumns(text, "select").map(({ column, rest }) => {
    if (rest !== "" || /[:()]/.test(column)) {
      throw new MillraceError("REQUEST_INVALID", `select has ${JSON.stringify(`${column}${rest}`.slice(0, 60))}`, {
        hint: "select takes names of columns, with commas between; no aliases, casts or embedded resources.",
      });
    }
    return column;
  });
}

/** Columns with commas between; one in double quotes may have any character, and `\` keeps the next one. */
function splitColumns(text: string, parameter: string): { column: string; rest: string }[] {
  const columns: { column: string; rest: string }[] = [];
  const form = /(?:"((?:[^"\\]|\\.)*)"|([^",.]*))((?:\.[^",]*)?)(,|$)/sy;
  for (let more = true; more; ) {
    const match = form.exec(text);
    const column = match?.[1]?.replaceAll(/\\(.)/gs, "$1") ?? match?.[2] ?? "";
    if (!match || column === "" || columns.length >= 200) {
      throw new MillraceError("REQUEST_INVALID", `${parameter} is ${JSON.stringify(text.slice(0, 60))}`, {
        hint: `Write ${parameter}=column,column; a name with other characters stands in double quotes.`,
      });
    }
    columns.push({ column, rest: match[3] ?? "" });
    more = match[4] === ",";
  }
  return columns;
}
