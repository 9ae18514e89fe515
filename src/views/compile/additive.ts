/**
 * Binds additive queries: count, sum and avg over a linear query, grouped or not. What comes out are the group columns
 * and the numbers to keep per group (slots), each as an expression per branch of the input, and how the public columns
 * and HAVING are computed from them.
 */
import type { FuncCall, Node, SelectStmt } from "@pgsql/types";
import type { Bound, Hole } from "./bound.ts";
import { locationOf, refuseClauses } from "./clauses.ts";
import { bindExpression, type ExpressionPlace, functionName, nameOf, refuse } from "./expression.ts";
import { type Binding, type FromBranch, placeOf } from "./from.ts";
import { groupingSets } from "./grouping-sets.ts";
import { type GroupColumn, Groups, type Total, targetNode } from "./groups.ts";
import { bindFrom, expandTargets, withCtes } from "./linear.ts";
import { isInteger, isNumber, type SqlType, type, worstSpecials } from "./sql-type.ts";

export interface Aggregate {
  readonly function: "count" | "sum" | "avg";
  /** Null for `count(*)`. */
  readonly perBranch: readonly { readonly argument: Bound | null; readonly filter: Bound | null }[];
  readonly type: SqlType;
  /** Of the argument: what the sum must be kept apart from. */
  readonly specials: SqlType["specials"];
  readonly argumentNotNull: boolean;
  readonly key: string;
}

export interface AdditiveOutput {
  readonly name: string;
  /** Over group and aggregate holes. */
  readonly value: Bound;
}

export interface AdditiveQuery {
  /** Those of FROM, once for each grouping set. */
  readonly branches: readonly (FromBranch & { readonly set: number })[];
  readonly grouped: boolean;
  /** Where grouping sets are several. */
  readonly total: Total | null;
  readonly groups: readonly GroupColumn[];
  readonly aggregates: readonly Aggregate[];
  readonly outputs: readonly AdditiveOutput[];
  readonly having: Bound | null;
}

const supported = ["count", "sum", "avg"];

export function isAdditive(select: SelectStmt): boolean {
  if (select.op !== undefined && select.op !== "SETOP_NONE") return false;
  return (
    select.groupClause !== undefined ||
    select.havingClause !== undefined ||
    (select.targetList ?? []).some((target) => containsAggregate(target))
  );
}

/** Whether an aggregate stands in the expression itself, outside any subquery. */
function containsAggregate(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.some(containsAggregate);
  if ("SubLink" in value) return false;
  if ("FuncCall" in value) {
    const call = value.FuncCall as FuncCall;
    if (call.over === undefined && supported.includes(functionName(call))) return true;
  }
  return Object.values(value).some(containsAggregate);
}

export function bindAdditive(select: SelectStmt, binding: Binding): AdditiveQuery {
  const ctes = withCtes(select, binding, new Map(), 0);
  refuseClauses(select, binding);
  const branches = bindFrom(select, binding, ctes, 0);
  const first = branches[0];
  if (first === undefined) throw refuse(binding, "it reads no table", undefined, "Name a table in FROM.");
  const targets = expandTargets(select, first.scope, binding);
  const grouping = { sets: groupingSets(select, binding), distinct: select.groupDistinct === true };
  const groups = new Groups(grouping, branches, targets, binding);
  const aggregates: Aggregate[] = [];
  const places = branches.map((branch) => placeOf(binding, branch.scope));
  const above = (place: ExpressionPlace): ExpressionPlace => ({
    ...place,
    intercept: (node, depth) => {
      if ("FuncCall" in node && node.FuncCall.over === undefined && supported.includes(functionName(node.FuncCall))) {
        return aggregateHole(node.FuncCall, places, aggregates, binding);
      }
      if ("GroupingFunc" in node) return groups.grouping(node.GroupingFunc, place);
      if (containsAggregate(node) || containsGrouping(node)) return null;
      const index = groups.find(bindExpression(node, place, depth + 1));
      if (index !== null) return groups.hole(index);
      if (!("ColumnRef" in node)) return null;
      const following = groups.following(node, places);
      if (following !== null) return groups.hole(following);
      throw binding.source.refusal(
        "VIEW_SQL_INVALID",
        `column "${(node.ColumnRef.fields ?? []).map(nameOf).join(".")}" must stand in GROUP BY or in an aggregate`,
        { at: node.ColumnRef.location, hint: "Add it to GROUP BY." },
      );
    },
  });
  const place = above(placeOf(binding, first.scope));
  const outputs = targets.map((target) => {
    const node = targetNode(target);
    const value = bindExpression(node, place);
    groups.checkSpelling(value, node, binding);
    return {
      name: target.name,
      value: containsAggregate(node) ? value : groups.stored(value, storedKey(node, value, binding, first)),
    };
  });
  const having = select.havingClause === undefined ? null : bindExpression(select.havingClause, place);
  const { columns, grouped, total, sets: resolved } = groups;
  return {
    branches: resolved.flatMap((_, set) => branches.map((branch) => ({ ...branch, set }))),
    grouped,
    total,
    groups: columns,
    aggregates: aggregates.map((one) => ({ ...one, perBranch: resolved.flatMap(() => one.perBranch) })),
    outputs,
    having,
  };
}

/** By which the same output is found again. */
function storedKey(node: Node, value: Bound, binding: Binding, first: FromBranch): string {
  return containsGrouping(node) ? value.key : bindExpression(node, placeOf(binding, first.scope)).key;
}

function containsGrouping(value: unknown): boolean {
  if (typeof value !== "object" || value === null || "SubLink" in value) return false;
  return "GroupingFunc" in value || Object.values(value).some(containsGrouping);
}

function aggregateHole(
  call: FuncCall,
  places: readonly ExpressionPlace[],
  known: Aggregate[],
  binding: Binding,
): Bound {
  const made = bindAggregate(call, places, binding);
  let index = known.findIndex((one) => one.key === made.key);
  if (index < 0) index = known.push(made) - 1;
  const hole: Hole = { kind: "aggregate", index };
  return {
    parts: [hole],
    key: made.key,
    type: made.type,
    notNull: made.function === "count",
  };
}

function bindAggregate(call: FuncCall, places: readonly ExpressionPlace[], binding: Binding): Aggregate {
  const name = functionName(call) as Aggregate["function"];
  const at = call.location;
  if (call.agg_distinct === true) {
    throw refuse(
      binding,
      `${name}(distinct …) cannot be kept up to date yet`,
      at,
      "Make a view grouped by the same value, and count its rows when reading.",
    );
  }
  if (call.agg_order !== undefined || call.agg_within_group === true || call.func_variadic === true) {
    throw refuse(
      binding,
      `this form of ${name}() is not read here`,
      at,
      "Leave the order out: it does not change the result.",
    );
  }
  const argumentNode = call.args?.[0];
  if ((call.args ?? []).length > 1 || (argumentNode === undefined && (name !== "count" || call.agg_star !== true))) {
    throw binding.source.refusal("VIEW_SQL_INVALID", `${name}() takes one argument`, { at });
  }
  const perBranch = places.map((place) => ({
    argument: argumentNode === undefined ? null : bindExpression(argumentNode, place),
    filter: call.agg_filter === undefined ? null : bindExpression(call.agg_filter, place),
  }));
  const first = perBranch[0];
  const argumentType = first?.argument?.type;
  if (name !== "count") checkSummable(name, argumentType, argumentNode, binding, at);
  return {
    function: name,
    perBranch,
    type: name === "count" ? type("int8") : sumType(name, argumentType),
    specials: perBranch.reduce<SqlType["specials"]>(
      (worst, one) => worstSpecials(worst, one.argument?.type.specials ?? "none"),
      "none",
    ),
    argumentNotNull: perBranch.every((one) => one.argument === null || one.argument.notNull),
    key: `${name}(${first?.argument?.key ?? "*"}) filter ${first?.filter?.key ?? ""}`,
  };
}

function checkSummable(
  name: string,
  of: SqlType | undefined,
  node: Node | undefined,
  binding: Binding,
  at: number | undefined,
): void {
  if (of !== undefined && (isInteger(of) || (of.name === "numeric" && !of.array))) return;
  const argument = locationOf(node) ?? at;
  if (of !== undefined && isNumber(of)) {
    throw refuse(
      binding,
      `${name} over ${of.name} cannot be kept exact when rows leave`,
      argument,
      `Cast to numeric: ${name}(x::numeric).`,
    );
  }
  if (of === undefined || of.name === "?" || of.name === "literal") {
    throw refuse(
      binding,
      `the type that ${name} adds up is not known here`,
      argument,
      `Cast it: ${name}((…)::numeric) or ${name}((…)::bigint).`,
    );
  }
  throw refuse(
    binding,
    `${name} over ${of.name}${of.array ? "[]" : ""} cannot be kept up to date yet`,
    argument,
    "Sums and averages are kept over integers and numeric; cast to one of them.",
  );
}

function sumType(name: string, of: SqlType | undefined): SqlType {
  const wide = name === "avg" || of?.name === "int8" || of?.name === "numeric";
  return wide ? { ...type("numeric"), specials: of?.specials ?? "all" } : type("int8");
}
