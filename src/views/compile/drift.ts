/**
 * How far an expression of time can be from the column that it is computed from: the end of a window from an event in it.
 * So the rows for which it passes a moment are a range of that column.
 */
import type { FuncCall, Node } from "@pgsql/types";
import { type Bound, columnsBeneath, isConstant, plainColumn, plainFunction, type RowsFunction } from "./bound.ts";
import { bindExpression, type ExpressionPlace, functionName, operatorName } from "./expression.ts";
import { isMoment, isNumber } from "./sql-type.ts";

/** The expression less its column lies between the two, which are SQL for intervals. */
export interface Drift {
  readonly column: string;
  readonly least: string;
  readonly most: string;
}

/** SQL for the least and the greatest that something can be. */
interface Span {
  readonly least: string;
  readonly most: string;
}

/** What the values that a function of FROM yields lie near, or between whatever row it is called for. */
export type Reach = { readonly near: Drift } | { readonly between: Span };

/** Of its first column; null where it is not known. `place` is that of its arguments. */
export function reachOf(
  name: string,
  args: readonly Node[],
  { call, definition }: Pick<RowsFunction, "call" | "definition">,
  place: ExpressionPlace,
): Reach | null {
  if (name !== "generate_series" && name !== "unnest") return null;
  if (isConstant(call)) {
    const of = (aggregate: string) => `(select ${aggregate}(c0) from ${call.parts.join("")} as f${definition})`;
    return { between: { least: of("min"), most: of("max") } };
  }
  const [first, last] = args.map((arg) => driftIn(arg, place));
  const tables = new Set(columnsBeneath(call).map(({ occurrence }) => occurrence));
  if (name !== "generate_series" || !first || first.column !== last?.column || tables.size !== 1) return null;
  const least = `least(${first.least}, ${last.least})`;
  return { near: { column: first.column, least, most: `greatest(${first.most}, ${last.most})` } };
}

/** As `driftOf`; what cannot be bound is not known either. */
function driftIn(node: Node, place: ExpressionPlace): Drift | null {
  try {
    return driftOf(node, place);
  } catch {
    return null;
  }
}

/** Null where it is not known, or has no bound. */
export function driftOf(node: Node, place: ExpressionPlace): Drift | null {
  if ("ColumnRef" in node) {
    const bound = bindExpression(node, place);
    const reach = reachIn(bound);
    if (reach !== null) return "near" in reach ? reach.near : null;
    const column = plainColumn(bound);
    if (column === null || !isMoment(bound.type)) return null;
    return { column: column.column, least: "interval '0'", most: "interval '0'" };
  }
  if ("TypeCast" in node) return castDrift(node, place);
  if ("FuncCall" in node) return functionDrift(node.FuncCall, place);
  if (!("A_Expr" in node) || node.A_Expr.kind !== "AEXPR_OP") return null;
  const { lexpr, rexpr } = node.A_Expr;
  const operator = operatorName(node.A_Expr, place);
  if (lexpr === undefined || rexpr === undefined || !/^[+-]$/.test(operator)) return null;
  const [of, added] = intervalSpan(rexpr, place) === null && operator === "+" ? [rexpr, lexpr] : [lexpr, rexpr];
  const drift = driftOf(of, place);
  const span = intervalSpan(added, place);
  return drift === null || span === null ? null : shifted(drift, operator, span);
}

function reachIn(bound: Bound): Reach | null {
  const hole = plainFunction(bound);
  return hole?.column === "c0" ? hole.of.reach : null;
}

/** Of a constant interval, or of one that a function of FROM with constant arguments yields, or is multiplied by. */
function intervalSpan(node: Node, place: ExpressionPlace): Span | null {
  const constant = constantInterval(node, place);
  if (constant !== null) return { least: constant, most: constant };
  if ("A_Expr" in node) {
    const { kind, lexpr, rexpr } = node.A_Expr;
    if (kind !== "AEXPR_OP" || lexpr === undefined || rexpr === undefined) return null;
    if (operatorName(node.A_Expr, place) !== "*") return null;
    return multiplied(numberSpan(lexpr, place), rexpr, place) ?? multiplied(numberSpan(rexpr, place), lexpr, place);
  }
  const bound = "ColumnRef" in node ? bindExpression(node, place) : null;
  const span = bound && spanIn(bound);
  if (span === null || bound?.type.name === "interval") return span;
  return bound?.type.name === "int4" ? { least: days(span.least), most: days(span.most) } : null;
}

function multiplied(times: Span | null, node: Node, place: ExpressionPlace): Span | null {
  const interval = times && constantInterval(node, place);
  if (times === null || interval === null) return null;
  const ends = `${times.least} * ${interval}, ${times.most} * ${interval}`;
  return { least: `least(${ends})`, most: `greatest(${ends})` };
}

/** Of a number that a function of FROM with constant arguments yields, with constants added or taken away. */
function numberSpan(node: Node, place: ExpressionPlace): Span | null {
  if ("A_Expr" in node) {
    const { kind, lexpr, rexpr } = node.A_Expr;
    if (kind !== "AEXPR_OP" || lexpr === undefined || rexpr === undefined) return null;
    const operator = operatorName(node.A_Expr, place);
    if (!/^[+-]$/.test(operator)) return null;
    const [left, right] = [numberSpan(lexpr, place), numberSpan(rexpr, place)];
    if (left === null || right === null) return null;
    const [low, high] = operator === "+" ? [right.least, right.most] : [right.most, right.least];
    return { least: `(${left.least} ${operator} ${low})`, most: `(${left.most} ${operator} ${high})` };
  }
  if (!("ColumnRef" in node || "A_Const" in node)) return null;
  const bound = bindExpression(node, place);
  if (!isNumber(bound.type)) return null;
  const constant = bound.parts.join("");
  return isConstant(bound) ? { least: constant, most: constant } : spanIn(bound);
}

function spanIn(bound: Bound): Span | null {
  const reach = reachIn(bound);
  return reach !== null && "between" in reach ? reach.between : null;
}

/** SQL for it: of an interval, or of a number of days. */
function constantInterval(node: Node, place: ExpressionPlace): string | null {
  let bound: Bound;
  try {
    bound = bindExpression(node, place);
  } catch {
    return null;
  }
  if (!isConstant(bound)) return null;
  const text = bound.parts.join("");
  if (bound.type.name === "int4") return days(text);
  if (bound.type.name === "literal") return `(${text}::pg_catalog.interval)`;
  return bound.type.name === "interval" ? text : null;
}

function days(count: string): string {
  return `(${count} * interval '1 day')`;
}

function shifted({ column, least, most }: Drift, operator: string, by: Span): Drift {
  const [low, high] = operator === "+" ? [by.least, by.most] : [by.most, by.least];
  return {
    column,
    least: `(${least} ${operator} ${low} - ${intervalSlack(low)})`,
    most: `(${most} ${operator} ${high} + ${intervalSlack(high)})`,
  };
}

/** Months have no length: one that is added and taken away again may lead a few days aside. */
export function intervalSlack(interval: string): string {
  return `(case when pg_catalog."date_trunc"('month', ${interval}) = interval '0' then interval '0' else interval '4 days' end)`;
}

function castDrift(node: Extract<Node, { TypeCast: unknown }>, place: ExpressionPlace): Drift | null {
  const { arg } = node.TypeCast;
  if (arg === undefined || !isMoment(bindExpression(node, place).type)) return null;
  return earlier(driftOf(arg, place), "interval '1 day'");
}

function functionDrift(call: FuncCall, place: ExpressionPlace): Drift | null {
  const [first, second] = call.args ?? [];
  if (first === undefined || second === undefined) return null;
  switch (functionName(call)) {
    case "date_bin": {
      const stride = constantInterval(first, place);
      return stride === null ? null : earlier(driftOf(second, place), stride);
    }
    case "date_trunc": {
      const unit = "A_Const" in first ? (first.A_Const.sval?.sval ?? "").toLowerCase() : "";
      return Object.hasOwn(longest, unit) ? earlier(driftOf(second, place), `interval '${longest[unit]}'`) : null;
    }
    case "timezone": {
      const drift = driftOf(second, place);
      return drift === null || !isConstant(bindExpression(first, place)) ? null : aside(drift, "interval '16 hours'");
    }
    default:
      return null;
  }
}

/** What is truncated lies before what it was, by so much at most: where a day is the day of a zone, an hour more. */
const longest: Readonly<Record<string, string>> = {
  second: "1 second",
  minute: "1 minute",
  hour: "1 hour",
  day: "26 hours",
  week: "8 days",
  month: "32 days",
  quarter: "93 days",
  year: "367 days",
};

function earlier(drift: Drift | null, by: string): Drift | null {
  return drift && { ...drift, least: `(${drift.least} - ${by})` };
}

function aside({ column, least, most }: Drift, by: string): Drift {
  return { column, least: `(${least} - ${by})`, most: `(${most} + ${by})` };
}
