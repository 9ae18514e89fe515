/**
 * The group's clock in a view's SQL. Compiled statements ask `millrace.now()`, which stands still within a batch and moves
 * between two; `millrace.now_before()` is where it stood before the batch that moved it.
 */
import type { FuncCall, Node, SQLValueFunction, TypeCast } from "@pgsql/types";
import { type Bound, compose, type Hole, isConstant } from "./bound.ts";
import { locationOf } from "./clauses.ts";
import {
  bindExpression,
  type ExpressionPlace,
  functionName,
  nameOf,
  operatorName,
  quoteLiteral,
  refuse,
} from "./expression.ts";
import type { Binding } from "./from.ts";
import { isMoment, type SqlType, type } from "./sql-type.ts";

/** What a definition's text is written anew by. */
export type Rewriting = Pick<Binding, "source" | "mirrors" | "replacements">;

/** As a subquery: the server asks once per statement, and not for each row. */
export const clockNow = "(select millrace.now())";
export const clockBefore = "(select millrace.now_before())";

/** Where a clock is asked: as it stands, as it stood before the batch that moved it, or in words for people. */
export type ClockSide = "now" | "before" | "words";

type ClockHole = Extract<Hole, { kind: "clock" }>;

export function printClock({ topic }: ClockHole, side: ClockSide): string {
  if (topic === undefined) return side === "now" ? clockNow : side === "before" ? clockBefore : "now()";
  const name = side === "before" ? "watermark_before" : "watermark";
  const call = `millrace.${name}(${quoteLiteral(topic)})`;
  return side === "words" ? call : `(select ${call})`;
}

/** Functions that tell when the transaction or statement began: within a batch, the same moment. */
const clockFunctions = new Set(["now", "transaction_timestamp", "statement_timestamp"]);

const clockWords: Readonly<Record<string, string>> = {
  SVFOP_CURRENT_TIMESTAMP: "timestamptz",
  SVFOP_LOCALTIMESTAMP: "timestamp",
  SVFOP_CURRENT_DATE: "date",
};

const clock: Bound = { parts: [{ kind: "clock" }], key: "now()", type: type("timestamptz"), notNull: true };

/** What an expression has of the clock. */
export interface Moment {
  readonly bound: Bound;
  /** Where it stands still and goes on in steps: when the next one is, by the clock. Null where it goes with the clock. */
  readonly nextStep: Bound | null;
}

/** The units of `date_trunc`, by how long they are. */
const units: ReadonlyMap<string, string> = new Map([
  ...["second", "minute", "hour", "day", "week", "month", "year"].map((unit): [string, string] => [unit, `1 ${unit}`]),
  ["quarter", "3 months"],
]);

/** A smaller unit, or one that is not known, is a second: nobody waits longer. */
function stepOf(unit: string, moment: Moment): Bound {
  if (moment.nextStep !== null) return moment.nextStep;
  const length = units.get(unit);
  const truncated = [`pg_catalog."date_trunc"('${length === undefined ? "second" : unit}', `, moment.bound, ")"];
  return compose(["(", clock, " + (", ...truncated, ` + interval '${length ?? "1 second"}' - `, moment.bound, "))"], {
    type: type("timestamptz"),
  });
}

/** `now()`, `current_date` and the like by themselves; null for every other node. */
export function clockItself(node: Node, binding: Rewriting): Moment | null {
  if ("FuncCall" in node && isClockCall(node.FuncCall)) {
    const { funcname = [], location } = node.FuncCall;
    return clockAs("timestamptz", location, 1 + 2 * funcname.length, binding);
  }
  if ("FuncCall" in node) {
    const topic = watermarkAsked(node.FuncCall);
    if (topic !== null) return watermarkAs(topic, node.FuncCall.location, binding);
  }
  if ("SQLValueFunction" in node) {
    const as = clockWord(node.SQLValueFunction);
    if (as !== null) return clockAs(as, node.SQLValueFunction.location, 1, binding);
  }
  return null;
}

export function isClockCall(call: FuncCall): boolean {
  return (
    isOwn(call.funcname) &&
    clockFunctions.has(functionName(call)) &&
    (call.args ?? []).length === 0 &&
    call.over === undefined
  );
}

/** The topic of `millrace.watermark('orders')`; null for every other call. */
export function watermarkAsked({ funcname = [], args = [], over }: FuncCall): string | null {
  const [topic, ...more] = args;
  if (funcname.map(nameOf).join(".") !== "millrace.watermark" || more.length > 0 || over !== undefined) return null;
  return topic !== undefined && "A_Const" in topic ? (topic.A_Const.sval?.sval ?? null) : null;
}

/** Where the watermark of a topic stands, in a comparison with what the topic's rows have. Throws `VIEW_UNSUPPORTED`. */
function watermarkAs(topic: string, at: number | undefined, { source, mirrors, replacements }: Rewriting): Moment {
  const known = mirrors.some(({ shape }) => shape.topic === topic && shape.watermark !== undefined);
  if (!known) {
    throw refuse({ source }, `topic "${topic}" has no watermark`, at, 'Define it with watermark: { time: "at" }.');
  }
  const hole: Hole = { kind: "clock", topic };
  const words = source.words();
  const first = words.findIndex((token) => token.start === at);
  const last = words[first + watermarkTokens - 1];
  if (at !== undefined && first >= 0 && last !== undefined)
    replacements.set(at, { end: last.end, text: printClock(hole, "now") });
  return {
    bound: { parts: [hole], key: `watermark ${topic}`, type: type("timestamptz"), notNull: false },
    nextStep: null,
  };
}

/** `millrace`, `.`, `watermark`, `(`, the name, `)`. */
const watermarkTokens = 6;

/** Whether a name is PostgreSQL's own. */
function isOwn(names: readonly Node[] = []): boolean {
  return names.length === 1 || (names.length === 2 && names[0] !== undefined && nameOf(names[0]) === "pg_catalog");
}

/** With a precision, such as `current_timestamp(0)`, it is another moment. */
export function clockWord({ op, typmod }: SQLValueFunction): string | null {
  return typmod === undefined || typmod === -1 ? (clockWords[op ?? ""] ?? null) : null;
}

/** The query over the mirrors has the group's clock where the `tokens` from `at` on stand. */
function clockAs(as: string, at: number | undefined, tokens: number, { source, replacements }: Rewriting): Moment {
  const cast = as === "timestamptz" ? "" : `::pg_catalog.${as}`;
  const words = source.words();
  const first = words.findIndex((token) => token.start === at);
  const last = words[first + tokens - 1];
  if (at !== undefined && first >= 0 && last !== undefined)
    replacements.set(at, { end: last.end, text: cast === "" ? clockNow : `(${clockNow}${cast})` });
  const bound = cast === "" ? clock : compose(["(", clock, `${cast})`], { type: type(as), notNull: true });
  return { bound, nextStep: as === "date" ? stepOf("day", { bound: clock, nextStep: null }) : null };
}

/** Whether the clock is asked anywhere in it. */
export function asksClock(node: Node | undefined): boolean {
  const open: unknown[] = [node];
  for (let next = open.pop(); next !== undefined || open.length > 0; next = open.pop()) {
    if (typeof next !== "object" || next === null) continue;
    if ("FuncCall" in next && isClockCall(next.FuncCall as FuncCall)) return true;
    if ("FuncCall" in next && watermarkAsked(next.FuncCall as FuncCall) !== null) return true;
    if ("SQLValueFunction" in next && clockWord(next.SQLValueFunction as SQLValueFunction) !== null) return true;
    open.push(...Object.values(next));
  }
  return false;
}

/** The clock, cast or truncated, with constants added or taken away; null for everything else. */
export function bindMoment(node: Node, place: ExpressionPlace, binding: Rewriting): Moment | null {
  const itself = clockItself(node, binding);
  if (itself !== null) return itself;
  if ("TypeCast" in node) return bindCastMoment(node.TypeCast, place, binding);
  if ("FuncCall" in node) return bindTruncated(node.FuncCall, place, binding);
  if (!("A_Expr" in node) || node.A_Expr.kind !== "AEXPR_OP") return null;
  const { lexpr, rexpr } = node.A_Expr;
  const operator = operatorName(node.A_Expr, place);
  if (lexpr === undefined || rexpr === undefined || !/^[+-]$/.test(operator)) return null;
  const clockFirst = !asksClock(rexpr);
  if (!clockFirst && (operator === "-" || asksClock(lexpr))) return null;
  const moment = bindMoment(clockFirst ? lexpr : rexpr, place, binding);
  if (moment === null) return null;
  const constant = addend(clockFirst ? rexpr : lexpr, moment.bound.type, place);
  const [left, right] = clockFirst ? [moment.bound, constant] : [constant, moment.bound];
  const dated = moment.bound.type.name === "date" && constant.type.name === "interval";
  const to = dated ? type("timestamp") : moment.bound.type;
  return {
    bound: compose(["(", left, ` ${operator} `, right, ")"], { type: to, notNull: true }),
    nextStep: moment.nextStep,
  };
}

function bindCastMoment(cast: TypeCast, place: ExpressionPlace, binding: Rewriting): Moment | null {
  const { names, typmods = [], arrayBounds = [] } = cast.typeName ?? {};
  const to = type((names ?? []).map(nameOf).at(-1) ?? "");
  if (cast.arg === undefined || !isOwn(names) || !isMoment(to) || typmods.length + arrayBounds.length > 0) return null;
  const moment = bindMoment(cast.arg, place, binding);
  if (moment === null) return null;
  const bound = compose(["(", moment.bound, `::pg_catalog.${to.name})`], { type: to, notNull: true });
  return { bound, nextStep: to.name === "date" ? stepOf("day", moment) : moment.nextStep };
}

/** `date_trunc('day', now())`. */
function bindTruncated(call: FuncCall, place: ExpressionPlace, binding: Rewriting): Moment | null {
  const [unit, of, ...more] = call.args ?? [];
  if (!isOwn(call.funcname) || functionName(call) !== "date_trunc" || more.length > 0) return null;
  if (unit === undefined || !("A_Const" in unit) || of === undefined) return null;
  const moment = bindMoment(of, place, binding);
  if (moment === null) return null;
  const bound = compose([`pg_catalog."date_trunc"(`, bindExpression(unit, place), ", ", moment.bound, ")"], {
    type: moment.bound.type.name === "date" ? type("timestamptz") : moment.bound.type,
    notNull: true,
  });
  return { bound, nextStep: stepOf((unit.A_Const.sval?.sval ?? "").toLowerCase(), moment) };
}

/** A constant interval, or a whole number of days where a date is. */
function addend(node: Node, to: SqlType, place: ExpressionPlace): Bound {
  const bound = bindExpression(node, place);
  const fits = bound.type.name === "interval" || (to.name === "date" && bound.type.name === "int4");
  if (isConstant(bound) && fits) return bound;
  const quoted = bound.type.name === "literal";
  throw refuse(
    place,
    "only an interval that is the same for all rows can be added to now()",
    locationOf(node),
    quoted ? `Write interval ${bound.parts.join("")}.` : "Add what differs from row to row to the column instead.",
  );
}
