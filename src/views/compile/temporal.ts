/**
 * Temporal filters: conditions that compare a column with the group's clock, and so become true or false by the passing of
 * time alone. What makes them right is one observation: a row for which `value < f(clock)` is another answer at one moment
 * than at another has its value between `f` of the one and `f` of the other.
 */
import type { A_Expr, Node } from "@pgsql/types";
import { quote } from "../../catalog/definitions.ts";
import { type ViewClock, weightColumn } from "../compiled-view.ts";
import {
  type Bound,
  type Conjunct,
  columnsBeneath,
  compose,
  functionsOf,
  type Hole,
  isConstant,
  type Occurrence,
  plainColumn,
  print,
} from "./bound.ts";
import { locationOf } from "./clauses.ts";
import { asksClock, bindMoment, type ClockSide, clockNow, type Moment, printClock, type Rewriting } from "./clock.ts";
import { type Drift, driftOf, intervalSlack } from "./drift.ts";
import { bindExpression, type ExpressionPlace, operatorName, refuse } from "./expression.ts";
import { clockHint } from "./function-list.ts";
import { isMoment, type } from "./sql-type.ts";
import { mirrorTable, tableLabel } from "./tables.ts";
import { isTypedNull } from "./typed-null.ts";

/** What a temporal filter says of the rows of one table. */
export interface TimeFilter {
  readonly occurrence: Occurrence;
  /** Its rows of a moment are found by an index over this column; null where all rows are looked at. */
  readonly column: string | null;
  /** What is added to the column before it is compared: an operator and a constant interval. */
  readonly added: { readonly operator: string; readonly interval: Bound } | null;
  /** What it is compared with. */
  readonly moment: Moment;
  /** Of what is compared with a watermark: how far from the column it can be. */
  readonly drift?: Drift;
}

export interface TemporalPlace {
  readonly place: ExpressionPlace;
  readonly binding: Rewriting;
  /** The tables of this FROM, whose rows come and go where the condition stands. */
  readonly tables: readonly Occurrence[];
}

/** Null where the clock is not asked. Throws `VIEW_UNSUPPORTED` where it cannot be kept by time. */
export function bindTemporal(node: Node, at: TemporalPlace): Conjunct[] | null {
  if (!("A_Expr" in node)) return null;
  const { kind, lexpr, rexpr } = node.A_Expr;
  if (lexpr === undefined || rexpr === undefined || !asksClock(node)) return null;
  if (kind === "AEXPR_BETWEEN" && "List" in rexpr) {
    const [low, high] = rexpr.List.items ?? [];
    if (low === undefined || high === undefined) return null;
    return [compared(lexpr, ">=", low, at), compared(lexpr, "<=", high, at)];
  }
  const operator = operatorName(node.A_Expr, at.place);
  if (kind !== "AEXPR_OP" || !/^[<>]=?$/.test(operator)) return null;
  return [compared(lexpr, operator, rexpr, at)];
}

function compared(left: Node, operator: string, right: Node, at: TemporalPlace): Conjunct {
  const { place } = at;
  const [first, second] = [asksClock(left), asksClock(right)];
  const sides = (a: Bound, b: Bound) => compose(["(", a, ` ${operator} `, b, ")"], { type: type("bool") });
  if (!first && !second)
    return { bound: sides(bindExpression(left, place), bindExpression(right, place)), equal: null };
  const [clock, row] = first ? [left, right] : [right, left];
  const moment = first && second ? null : bindMoment(clock, place, at.binding);
  if (moment === null)
    throw refuse(
      place,
      "what is compared with a column is not now() and a constant interval",
      locationOf(clock),
      clockHint,
    );
  const value = bindExpression(row, place);
  const bound = first ? sides(moment.bound, value) : sides(value, moment.bound);
  // The side of an outer join without a partner: never true, whatever the time.
  if (isNull(row, place)) return { bound, equal: null };
  return { bound, equal: null, time: filterOf(row, value, moment, at) };
}

function isNull(node: Node, place: ExpressionPlace): boolean {
  const shifted = shiftOf(node, place);
  return isTypedNull(shifted?.of ?? bindExpression(node, place));
}

function filterOf(node: Node, value: Bound, moment: Moment, { place, tables }: TemporalPlace): TimeFilter {
  const columns = columnsBeneath(value);
  const [first] = columns;
  const one = columns.every((column) => column.occurrence === first?.occurrence);
  const kinds = topicOf(moment) === null ? ["column"] : ["column", "function"];
  const traced = value.parts.every((part) => typeof part === "string" || kinds.includes(part.kind));
  const at = locationOf(node);
  if (first === undefined || !one || !traced || !tables.includes(first.occurrence)) {
    throw refuse(
      place,
      "now() is compared with what is not from the columns of one table of this FROM",
      at,
      "Filter each table by time where it stands in FROM: before it is grouped or numbered, and beside the tables of other queries.",
    );
  }
  if (!isMoment(value.type)) {
    throw refuse(
      place,
      "what is compared with now() is not known to be a date or a timestamp",
      at,
      "Compare a column of type timestamptz, timestamp or date.",
    );
  }
  const { occurrence } = first;
  if (topicOf(moment) !== null) return byWatermark(node, occurrence, moment, place);
  const plain = plainColumn(value);
  if (plain !== null) return { occurrence, column: plain.column, added: null, moment };
  const shifted = shiftOf(node, place);
  const column = shifted === null ? null : plainColumn(shifted.of);
  if (shifted === null || column === null) return { occurrence, column: null, added: null, moment };
  return { occurrence, column: column.column, added: shifted, moment };
}

/** The topic whose watermark it is; null for the group's clock. */
export function topicOf({ bound }: Moment): string | null {
  const hole = bound.parts.find((part) => typeof part !== "string" && part.kind === "clock");
  return typeof hole === "object" && hole.kind === "clock" ? (hole.topic ?? null) : null;
}

/** A watermark moves with each batch: the rows of a move are found by an index, or not at all. */
function byWatermark(node: Node, occurrence: Occurrence, moment: Moment, place: ExpressionPlace): TimeFilter {
  const drift = driftOf(node, place);
  if (drift !== null) return { occurrence, column: drift.column, added: null, moment, drift };
  throw refuse(
    place,
    "how far it is from a column of time is not known",
    locationOf(node),
    "Compute it from one column of time by date_bin, date_trunc, at time zone and constant intervals, or generate_series between two such.",
  );
}

/** An expression with a constant interval added or taken away. */
function shiftOf(node: Node, place: ExpressionPlace): { of: Bound; operator: string; interval: Bound } | null {
  if (!("A_Expr" in node) || node.A_Expr.kind !== "AEXPR_OP") return null;
  const { lexpr, rexpr }: A_Expr = node.A_Expr;
  const operator = operatorName(node.A_Expr, place);
  if (lexpr === undefined || rexpr === undefined || !/^[+-]$/.test(operator)) return null;
  const interval = bindExpression(rexpr, place);
  if (interval.type.name !== "interval" || !isConstant(interval)) return null;
  return { of: bindExpression(lexpr, place), operator, interval };
}

export function timeFilters(conjuncts: readonly Conjunct[]): Map<Occurrence, Conjunct[]> {
  const found = new Map<Occurrence, Conjunct[]>();
  for (const one of conjuncts) {
    if (one.time === undefined) continue;
    const { occurrence } = one.time;
    found.set(occurrence, [...(found.get(occurrence) ?? []), one]);
  }
  return found;
}

/**
 * The rows of a table that its filters let in or out while the clock went from `now_before` to `now`, with their weight:
 * 1 for those that came, −1 for those that went. `columns` are quoted.
 */
export function flippedRows(filters: readonly Conjunct[], columns: readonly string[]): string {
  const weight = quote(weightColumn);
  const passes = (side: ClockSide) =>
    `${passing(filters, side, (hole) => (hole.kind === "column" ? `m.${quote(hole.column)}` : ""))}::integer`;
  const listed = columns.map((column) => `, ${column}`).join("");
  return `(select f.* from (select ${passes("now")} - ${passes("before")} as ${weight}${listed}${fromNearby(filters)}) f where f.${weight} <> 0)`;
}

/** Whether what is compared with the clock is made of the row by a function of FROM. */
export function readsFunction(filters: readonly Conjunct[]): boolean {
  return filters.some(({ bound }) => functionsOf(bound).length > 0);
}

/** The rows of a table among which are those whose filters may have let something in or out. `columns` are quoted. */
export function rowsNearby(filters: readonly Conjunct[], columns: readonly string[]): string {
  return `(select ${columns.join(", ")}${fromNearby(filters)})`;
}

/** Whether the filters are another answer than before. `hole` prints everything but the clock. */
export function flipped(filters: readonly Conjunct[], hole: (hole: Hole) => string): string {
  return `${passing(filters, "now", hole)} <> ${passing(filters, "before", hole)}`;
}

function passing(filters: readonly Conjunct[], side: ClockSide, hole: (hole: Hole) => string): string {
  const printed = filters.map(({ bound }) =>
    print(bound, (one) => (one.kind === "clock" ? printClock(one, side) : hole(one))),
  );
  return `((${printed.join(" and ")}) is true)`;
}

function fromNearby(filters: readonly Conjunct[]): string {
  const [first] = filters;
  if (first?.time === undefined) throw new Error("no filter by time");
  const ranges = filters.map(({ time }) => (time === undefined ? null : printRange(time)));
  const where = ranges.includes(null) ? "" : ` where ${ranges.join(" or ")}`;
  return ` from ${mirrorTable(first.time.occurrence.mirror)} m${where}`;
}

/** An expression over the columns of one table. */
function printAt(bound: Bound, clock: ClockSide, column = (name: string) => `m.${quote(name)}`): string {
  return print(bound, (hole) => {
    if (hole.kind === "clock") return printClock(hole, clock);
    if (hole.kind === "function") return hole.of.columns[Number(hole.column.slice(1))] ?? "";
    return hole.kind === "column" ? column(hole.column) : "";
  });
}

/** Holds for every row whose answer differs between the two moments. */
function printRange({ column, added, moment, drift }: TimeFilter): string | null {
  if (column === null) return null;
  if (drift !== undefined) {
    // A watermark that was not there before lets in all that is before the one that is.
    const from = `coalesce(${printAt(moment.bound, "before")}, '-infinity')`;
    return `(m.${quote(column)} >= ${from} - ${drift.most} and m.${quote(column)} <= ${printAt(moment.bound, "now")} - ${drift.least})`;
  }
  const ends = (["before", "now"] as const).map((clock) => printAt(moment.bound, clock)).join(", ");
  const [low, high] = [`least(${ends})`, `greatest(${ends})`];
  if (added === null) return `(m.${quote(column)} between ${low} and ${high})`;
  const interval = printAt(added.interval, "now");
  const back = `${added.operator === "+" ? "-" : "+"} ${interval}`;
  return `(m.${quote(column)} between ${low} ${back} - ${intervalSlack(interval)} and ${high} ${back} + ${intervalSlack(interval)})`;
}

/** SQL for the moment at which the filter may let a row in or out next, NULL for never; without an index, the next minute. */
function nextFlip({ occurrence, column, added, moment }: TimeFilter): string {
  if (column === null) return `(pg_catalog."date_trunc"('minute', ${clockNow}) + interval '1 minute')`;
  if (moment.nextStep !== null) return printAt(moment.nextStep, "now");
  const at = printAt(moment.bound, "now");
  const value = `m.${quote(column)}`;
  const next = (first: string, where: string) =>
    `(select ${clockNow} + (${first} - ${at}) from ${mirrorTable(occurrence.mirror)} m where ${where})`;
  if (added === null) return next(`min(${value})`, `${value} >= ${at}`);
  const interval = printAt(added.interval, "now");
  const low = `${at} ${added.operator === "+" ? "-" : "+"} ${interval} - ${intervalSlack(interval)}`;
  const moved = (of: string) => `${of} ${added.operator} ${interval}`;
  return next(moved(`min(${value})`), `${value} >= ${low} and ${moved(value)} >= ${at}`);
}

/** What a view with these conditions says of time: nothing where none of them asks the clock. */
export function clockOf(
  conjuncts: readonly Conjunct[],
  terms: () => readonly string[],
): { readonly clock?: ViewClock } {
  const filters = conjuncts.flatMap(({ time }) => time ?? []);
  if (filters.length === 0) return {};
  const topics = [...new Set(filters.flatMap(({ moment }) => topicOf(moment) ?? []))];
  const flips = [...new Set(filters.filter(({ moment }) => topicOf(moment) === null).map(nextFlip))];
  return { clock: { terms: [...new Set(terms())], flips, topics } };
}

/** An index for each column that is compared with the clock. */
export function indexesByTime(conjuncts: readonly Conjunct[]): { mirrorId: number; columns: string[] }[] {
  return conjuncts.flatMap(({ time }) =>
    time === undefined || time.column === null ? [] : [{ mirrorId: time.occurrence.mirror.id, columns: [time.column] }],
  );
}

/** In words, for explanations. */
export function timeWords({ bound }: Conjunct, { occurrence, column }: TimeFilter): string {
  const condition = printAt(bound, "words", (name) => `${occurrence.alias}.${name}`);
  const label = tableLabel(occurrence.mirror);
  const found =
    column === null ? `${label} is read whole, once a minute` : `found by an index of ${label} on (${column})`;
  return `${condition.slice(1, -1).replaceAll("pg_catalog.", "")}: ${found}`;
}
