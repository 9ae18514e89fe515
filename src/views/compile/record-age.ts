/**
 * How old the records are that a query takes from topics, read off its text: a condition over `_time` and `now()` that every
 * record of a place in FROM has to meet. What it does not know it takes to be without a bound.
 */
import type { Node, SelectStmt } from "@pgsql/types";
import { topicsSource } from "../../catalog/topic-table.ts";
import { clockWord, isClockCall } from "./clock.ts";
import { functionName, nameOf } from "./expression.ts";
import { walk } from "./inlining.ts";

const timeColumn = "_time";

/** The greatest age in milliseconds that records have at each place of FROM, by its byte position; places without a bound are not in it. */
export function recordAgesMs(statement: object): ReadonlyMap<number, number> {
  const ages = new Map<number, number>();
  walk(statement, (node) => {
    if (!("fromClause" in node)) return;
    const { fromClause = [], whereClause } = node as SelectStmt;
    const { tables, others, conditions } = itemsOf(fromClause);
    const holding = [...conditions, ...conjunctsOf(whereClause)];
    for (const { name, at } of tables) {
      const isTime = (column: Node) => isTimeOf(column, name, tables.length + others === 1);
      const bounds = holding.flatMap((one) => ageOf(one, isTime) ?? []);
      if (bounds.length > 0) ages.set(at, Math.min(...bounds));
    }
  });
  return ages;
}

interface Items {
  /** Topics, by the name that qualifies their columns. */
  readonly tables: readonly { readonly name: string; readonly at: number }[];
  readonly others: number;
  /** What inner joins say. */
  readonly conditions: readonly Node[];
}

/**
 * What stands in FROM itself. An outer join may add a row of nulls, which no condition of WHERE takes. Where an alias may have
 * given columns other names, the topic is one of the others.
 */
function itemsOf(from: readonly Node[]): Items {
  const tables: { name: string; at: number }[] = [];
  const conditions: Node[] = [];
  let others = 0;
  const open = [...from];
  for (let item = open.pop(); item !== undefined; item = open.pop()) {
    const topic = topicOf(item);
    if (topic !== null) tables.push(topic);
    else if ("JoinExpr" in item && item.JoinExpr.alias === undefined) {
      const { larg, rarg, jointype, quals } = item.JoinExpr;
      if (jointype === "JOIN_INNER") conditions.push(...conjunctsOf(quals));
      open.push(...[larg, rarg].filter((side) => side !== undefined));
    } else others++;
  }
  return { tables, others, conditions };
}

function topicOf(item: Node): { name: string; at: number } | null {
  if (!("RangeVar" in item)) return null;
  const { catalogname, schemaname, relname, alias, location } = item.RangeVar;
  if ((catalogname ?? schemaname) !== topicsSource || relname === undefined || location === undefined) return null;
  return alias?.colnames === undefined ? { name: alias?.aliasname ?? relname, at: location } : null;
}

/** What must all hold. */
function conjunctsOf(condition: Node | undefined): readonly Node[] {
  if (condition === undefined) return [];
  if (!("BoolExpr" in condition) || condition.BoolExpr.boolop !== "AND_EXPR") return [condition];
  return (condition.BoolExpr.args ?? []).flatMap(conjunctsOf);
}

type IsTime = (column: Node) => boolean;

function isTimeOf(node: Node, table: string, alone: boolean): boolean {
  if (!("ColumnRef" in node)) return false;
  const names = (node.ColumnRef.fields ?? []).map(nameOf);
  return names.at(-1) === timeColumn && (names.length === 1 ? alone : names.length === 2 && names[0] === table);
}

/** How old records are at most for which the condition holds; null where it says nothing of that. */
function ageOf(condition: Node, isTime: IsTime): number | null {
  if (!("A_Expr" in condition)) return null;
  const { kind, name = [], lexpr, rexpr } = condition.A_Expr;
  if (lexpr === undefined || rexpr === undefined) return null;
  if (kind === "AEXPR_BETWEEN" && "List" in rexpr) return between(lexpr, rexpr.List.items?.[0], isTime);
  const operator = name.map(nameOf).join(".");
  if (kind !== "AEXPR_OP") return null;
  if (operator === ">" || operator === ">=") return between(lexpr, rexpr, isTime);
  return operator === "<" || operator === "<=" ? between(rexpr, lexpr, isTime) : null;
}

function between(value: Node, moment: Node | undefined, isTime: IsTime): number | null {
  const ahead = aheadMs(value, isTime);
  const behind = moment === undefined ? null : behindMs(moment);
  return ahead === null || behind === null ? null : ahead + behind;
}

/** How far ahead of the record's time a value made of it lies at most; null where it is made of something else. */
function aheadMs(node: Node, isTime: IsTime): number | null {
  if (isTime(node)) return 0;
  const cut = cutOf(node);
  if (cut !== null) return aheadMs(cut.of, isTime);
  const moved = movedOf(node);
  const ahead = moved && aheadMs(moved.of, isTime);
  return moved === null || ahead === null ? null : ahead + moved.mostMs;
}

/** How far a moment lies at most before now. */
function behindMs(node: Node): number | null {
  if ("FuncCall" in node && isClockCall(node.FuncCall)) return 0;
  if ("SQLValueFunction" in node) {
    const as = clockWord(node.SQLValueFunction);
    return as === null ? null : as === "date" ? dayMs : 0;
  }
  const cut = cutOf(node);
  const before = cut && behindMs(cut.of);
  if (cut !== null) return before === null ? null : before + cut.unitMs;
  const moved = movedOf(node);
  const behind = moved && behindMs(moved.of);
  return moved === null || behind === null ? null : behind - moved.leastMs;
}

const dayMs = 86_400_000;
const cutUnits: ReadonlyMap<string, number> = new Map([
  ["second", 1_000],
  ["minute", 60_000],
  ["hour", 3_600_000],
  ["day", dayMs],
  ["week", 7 * dayMs],
  ["month", 31 * dayMs],
]);

/** A time cut down to the beginning of its unit, by `date_trunc` or a cast to a date, or only cast; sessions are in UTC, whose days are of one length. */
function cutOf(node: Node): { readonly of: Node; readonly unitMs: number } | null {
  if ("TypeCast" in node) {
    const { arg, typeName } = node.TypeCast;
    const to = (typeName?.names ?? []).map(nameOf).at(-1) ?? "";
    if (arg === undefined || (typeName?.typmods ?? []).length > 0) return null;
    if (to === "date") return { of: arg, unitMs: dayMs };
    return to === "timestamptz" || to === "timestamp" ? { of: arg, unitMs: 0 } : null;
  }
  if (!("FuncCall" in node) || functionName(node.FuncCall) !== "date_trunc") return null;
  const [unit, of, zone] = node.FuncCall.args ?? [];
  const unitMs = cutUnits.get((textOf(unit) ?? "").toLowerCase());
  return of === undefined || unitMs === undefined || zone !== undefined ? null : { of, unitMs };
}

/** A time with an interval added or taken away: how far at least and at most it is moved on. */
function movedOf(node: Node): { readonly of: Node; readonly leastMs: number; readonly mostMs: number } | null {
  if (!("A_Expr" in node) || node.A_Expr.kind !== "AEXPR_OP") return null;
  const { name = [], lexpr, rexpr } = node.A_Expr;
  const operator = name.map(nameOf).join(".");
  if (lexpr === undefined || (operator !== "+" && operator !== "-")) return null;
  const interval = intervalOf(rexpr);
  if (interval === null) return null;
  const [least, most] = operator === "+" ? interval : [-interval[1], -interval[0]];
  return { of: lexpr, leastMs: least, mostMs: most };
}

/** The least and the greatest that an interval can be in milliseconds. A whole number is one of days: nothing else is added to a date. */
function intervalOf(node: Node | undefined): readonly [number, number] | null {
  if (node === undefined) return null;
  if ("A_Const" in node && node.A_Const.ival !== undefined) {
    const days = (node.A_Const.ival.ival ?? 0) * dayMs;
    return [days, days];
  }
  if (!("TypeCast" in node)) return null;
  const { arg, typeName } = node.TypeCast;
  const to = (typeName?.names ?? []).map(nameOf).at(-1);
  if (to !== "interval" || (typeName?.typmods ?? []).length > 0) return null;
  return intervalMs(textOf(arg) ?? "");
}

function textOf(node: Node | undefined): string | null {
  return node !== undefined && "A_Const" in node ? (node.A_Const.sval?.sval ?? null) : null;
}

/** As PostgreSQL reads them; a month has 28 to 31 days, a year 365 or 366. */
const intervalUnits: readonly (readonly [RegExp, least: number, most: number])[] = [
  [/^(s|secs?|seconds?)$/, 1_000, 1_000],
  [/^(mins?|minutes?)$/, 60_000, 60_000],
  [/^(h|hrs?|hours?)$/, 3_600_000, 3_600_000],
  [/^(d|days?)$/, dayMs, dayMs],
  [/^(w|weeks?)$/, 7 * dayMs, 7 * dayMs],
  [/^(mons?|months?)$/, 28 * dayMs, 31 * dayMs],
  [/^(yrs?|years?)$/, 365 * dayMs, 366 * dayMs],
];

/** `1 day`, `-2 hours 30 min`; null for other spellings. */
function intervalMs(text: string): readonly [number, number] | null {
  if (!/^\s*([+-]?\d{1,9}\s*[a-z]+\s*)+$/i.test(text)) return null;
  let [least, most] = [0, 0];
  for (const [, digits = "", word = ""] of text.matchAll(/([+-]?\d+)\s*([a-z]+)/gi)) {
    const unit = intervalUnits.find(([names]) => names.test(word.toLowerCase()));
    if (unit === undefined) return null;
    const ends = [Number(digits) * unit[1], Number(digits) * unit[2]];
    least += Math.min(...ends);
    most += Math.max(...ends);
  }
  return [least, most];
}
