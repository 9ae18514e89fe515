/**
 * How far an expression of time can be from the column that it is computed from: the end of a window from an event in it.
 * So the rows for which it passes a moment are a range of that column.
 */
import type { FuncCall, Node } from "@pgsql/types";
import { type Bound, isConstant, plainColumn } from "./bound.ts";
import { bindExpression, type ExpressionPlace, functionName, operatorName } from "./expression.ts";
import { isMoment } from "./sql-type.ts";

/** The expression less its column lies between the two, which are SQL for intervals. */
export interface Drift {
  readonly column: string;
  readonly least: string;
  readonly most: string;
}

/** Null where it is not known, or has no bound. */
export function driftOf(node: Node, place: ExpressionPlace): Drift | null {
  if ("ColumnRef" in node) {
    const bound = bindExpression(node, place);
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
  const [of, added] = constantInterval(rexpr, place) === null && operator === "+" ? [rexpr, lexpr] : [lexpr, rexpr];
  const drift = driftOf(of, place);
  const interval = constantInterval(added, place);
  return drift === null || interval === null ? null : shifted(drift, operator, interval);
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
  if (bound.type.name === "int4") return `(${text} * interval '1 day')`;
  if (bound.type.name === "literal") return `(${text}::pg_catalog.interval)`;
  return bound.type.name === "interval" ? text : null;
}

function shifted({ column, least, most }: Drift, operator: string, interval: string): Drift {
  const by = (to: string) => `(${to} ${operator} ${interval}`;
  return {
    column,
    least: `${by(least)} - ${intervalSlack(interval)})`,
    most: `${by(most)} + ${intervalSlack(interval)})`,
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
