/** Where a topic stands in the FROM of a view with a window, and how its columns are called there. */
import type { ColumnRef, Node, RangeFunction, RangeVar, SelectStmt } from "@pgsql/types";
import { quote } from "../../catalog/definitions.ts";
import type { MirrorBinding } from "../compiled-view.ts";
import { type Hole, print } from "./bound.ts";
import { functionName, nameOf } from "./expression.ts";
import { renamed } from "./from.ts";
import { isTable, walk } from "./inlining.ts";
import type { SourceText } from "./source-text.ts";
import { topicsNamed } from "./topic-names.ts";
import { invalid, type WindowEnd } from "./window-end.ts";

/** The one place where it is named. Throws `VIEW_WINDOW_INVALID` where there are several. */
function namedAt({ shape }: MirrorBinding, source: SourceText): number {
  const [first, second] = topicsNamed(source.statement).filter(({ name }) => name === shape.table);
  if (first?.at !== undefined && second === undefined) return first.at;
  const message = `it has a window by topic "${shape.topic}", and names the topic more than once`;
  throw invalid(source, message, "Name it once, in WITH where it is read several times.", second?.at);
}

/** What is written where the topic is named, when other rows stand in its place. */
export function placeOfRows(mirror: MirrorBinding, source: SourceText) {
  const { table } = mirror.shape;
  const at = namedAt(mirror, source);
  let renames = false;
  let alias = ` as ${quote(table)}`;
  let parts = 2;
  walk(source.statement, (node) => {
    if (!isTable(node) || node.location !== at) return;
    if (node.catalogname !== undefined) parts = 3;
    if (node.alias === undefined) return;
    alias = "";
    renames = "colnames" in node.alias;
  });
  return {
    renames,
    replacements: (rows: string) =>
      new Map([
        [at, { end: source.endOfName(at, parts), text: `${rows}${alias}` }],
        ...qualifiersOf(table, source).map(({ start, end }) => [start, { end, text: quote(table) }] as const),
      ]),
  };
}

/** Where columns are named with the table and its schema, which a subquery has not. */
function qualifiersOf(table: string, source: SourceText): { readonly start: number; readonly end: number }[] {
  const found: { start: number; end: number }[] = [];
  walk(source.statement, (node) => {
    if (!("fields" in node) || !Array.isArray(node.fields)) return;
    const { fields = [], location } = node as ColumnRef;
    const names = fields.map(nameOf);
    const path = names[1] === "public" ? 3 : 2;
    if (location === undefined || names[0] !== "topics" || names[path - 1] !== table || names.length <= path) return;
    found.push({ start: location, end: source.endOfName(location, path) });
  });
  return found;
}

export interface WindowsPlace {
  /** Where the topic stands: a byte position. */
  readonly at: number;
  /** The end of a window, and `_watermark`, in terms of that FROM. */
  readonly end: string;
  readonly watermark: string;
}

/** The FROM in which the topic stands beside the functions that make windows of its records. Throws `VIEW_WINDOW_INVALID`. */
export function placeOfWindows({ mirror, bound, functions }: WindowEnd, source: SourceText): WindowsPlace {
  const { shape } = mirror;
  const at = namedAt(mirror, source);
  const items = itemsBeside(source, at);
  const [topic] = items.flatMap(({ item }) =>
    "RangeVar" in item && item.RangeVar.location === at ? [item.RangeVar] : [],
  );
  const made = functions.map((of) => items.map(({ item }) => callOf(item, of.at)).find((one) => one !== null));
  if (topic === undefined || made.includes(undefined)) {
    throw invalid(
      source,
      `what makes the windows of a record does not stand beside topic "${shape.topic}"`,
      `Let both stand in one FROM: from topics.${shape.table} o cross join lateral generate_series(…) w.`,
      functions[0]?.at,
    );
  }
  if (items.some(({ outer }) => outer)) {
    throw invalid(
      source,
      `the windows of topic "${shape.topic}" are made in an outer join`,
      "Use cross join: a record without a window is in none. Join other tables around that query, or in a view over it.",
      functions[0]?.at,
    );
  }
  const column = columnsCalled(topic, mirror);
  const end = print(bound, (hole: Hole) => {
    if (hole.kind === "function") return `${made[functions.indexOf(hole.of)]}.${quote(nameIn(hole))}`;
    return hole.kind === "column" ? column(hole.column) : "";
  });
  return { at, end, watermark: column("_watermark") };
}

function nameIn({ of, column }: Extract<Hole, { kind: "function" }>): string {
  return of.columns[Number(column.slice(1))] ?? "";
}

function columnsCalled({ alias, relname = "" }: RangeVar, { shape }: MirrorBinding): (column: string) => string {
  const all = shape.columns.map(({ name }) => name);
  const names = renamed(all, (alias?.colnames ?? []).map(nameOf));
  return (column) => `${quote(alias?.aliasname ?? relname)}.${quote(names[all.indexOf(column)] ?? column)}`;
}

/** The name, quoted, of a function of FROM that is called there; null for everything else. */
function callOf(item: Node, at: number | undefined): string | null {
  if (!("RangeFunction" in item)) return null;
  const { alias, functions = [] }: RangeFunction = item.RangeFunction;
  const [list] = functions;
  const [call] = list !== undefined && "List" in list ? (list.List.items ?? []) : [];
  if (call === undefined || !("FuncCall" in call) || call.FuncCall.location !== at) return null;
  return quote(alias?.aliasname ?? functionName(call.FuncCall));
}

interface FromItem {
  readonly item: Node;
  /** It stands in an outer join. */
  readonly outer: boolean;
}

/** What stands in the FROM in which a table stands. */
function itemsBeside(source: SourceText, at: number): FromItem[] {
  let found: FromItem[] = [];
  walk(source.statement, (node) => {
    if (!("fromClause" in node)) return;
    const items = ((node as SelectStmt).fromClause ?? []).flatMap((item) => itemsOf(item, false));
    if (items.some(({ item }) => "RangeVar" in item && item.RangeVar.location === at)) found = items;
  });
  return found;
}

function itemsOf(item: Node, outer: boolean): FromItem[] {
  if (!("JoinExpr" in item)) return [{ item, outer }];
  const { jointype, larg, rarg } = item.JoinExpr;
  const within = outer || jointype !== "JOIN_INNER";
  return [larg, rarg].flatMap((side) => (side === undefined ? [] : itemsOf(side, within)));
}
