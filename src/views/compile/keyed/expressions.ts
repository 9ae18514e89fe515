/**
 * Expressions of a query that is recomputed by key. Aggregates, window functions and subqueries may stand anywhere
 * PostgreSQL lets them; what they yield is opaque, and their own columns and tables are noted on the way.
 */
import type { FuncCall, Node, SubLink, WindowDef } from "@pgsql/types";
import { type Bound, type Conjunct, compose, listed, type Occurrence } from "../bound.ts";
import { locationOf } from "../clauses.ts";
import { clockItself } from "../clock.ts";
import { bindExpression, type ExpressionPlace, functionName, nameOf, operatorName, refuse } from "../expression.ts";
import { placeOf } from "../from.ts";
import { findFunction } from "../function-list.ts";
import { walk } from "../inlining.ts";
import { findColumn, type Scope } from "../scope.ts";
import { isText, type, unknownType } from "../sql-type.ts";
import { bindTemporal } from "../temporal.ts";
import { type Alternative, isOpaque, opaque, Untraceable } from "./alternative.ts";
import { aggregates, rowsFunctions, windowFunctions } from "./functions.ts";
import { resultType } from "./result-types.ts";
import { inner, note, type QueryContext, type TracedAlternative } from "./traced.ts";

/** What the expressions of one SELECT have in them, gathered while they are bound. */
export interface Found {
  /** What changes inside of a subquery reach: to be paired with the rows of FROM. */
  readonly subqueries: TracedAlternative[];
  aggregates: boolean;
  /** PARTITION BY of each window function, as keys. */
  readonly partitions: ReadonlySet<string>[];
  /** The arguments of each `grouping()`, as keys, by its own key. */
  readonly groupings: Map<string, readonly string[]>;
}

export function nothingFound(): Found {
  return { subqueries: [], aggregates: false, partitions: [], groupings: new Map() };
}

export interface TracedPlace {
  readonly context: QueryContext;
  readonly scope: Scope;
  readonly found: Found;
  readonly windows: ReadonlyMap<string, WindowDef>;
  /** In WHERE, ON and GROUP BY there is nothing to aggregate or to number yet. */
  readonly ofRows?: boolean;
  /** Where time may let rows in and out: the tables whose rows these are. */
  readonly timed?: readonly Occurrence[];
}

export function bindTraced(node: Node | undefined, place: TracedPlace): Bound {
  return bindExpression(node, expressionPlace(place));
}

/** The conditions that AND connects. */
export function bindTracedConjuncts(node: Node | undefined, place: TracedPlace): Conjunct[] {
  if (node === undefined) return [];
  if ("BoolExpr" in node && node.BoolExpr.boolop === "AND_EXPR") {
    return (node.BoolExpr.args ?? []).flatMap((arg) => bindTracedConjuncts(arg, place));
  }
  if ("SubLink" in node) return [{ bound: bindSubquery(node.SubLink, place, true), equal: null }];
  const printing = expressionPlace(place);
  const { binding } = place.context;
  const temporal =
    place.timed === undefined || binding.whole
      ? null
      : bindTemporal(node, { place: printing, binding, tables: place.timed });
  if (temporal !== null) return temporal;
  if (
    "A_Expr" in node &&
    node.A_Expr.kind === "AEXPR_OP" &&
    node.A_Expr.lexpr !== undefined &&
    operatorName(node.A_Expr, printing) === "="
  ) {
    const left = bindExpression(node.A_Expr.lexpr, printing);
    const right = bindExpression(node.A_Expr.rexpr, printing);
    return [{ bound: compose(["(", left, " = ", right, ")"], { type: type("bool") }), equal: [left, right] }];
  }
  return [{ bound: bindExpression(node, printing), equal: null }];
}

function expressionPlace(place: TracedPlace): ExpressionPlace {
  const { binding } = place.context;
  const plain = placeOf(binding, place.scope);
  return { ...plain, intercept: (node) => intercept(node, place, plain) };
}

/** Null for what `expression.ts` binds by itself. */
function intercept(node: Node, place: TracedPlace, plain: ExpressionPlace): Bound | null {
  if (place.context.binding.whole) {
    const moment = clockItself(node, place.context.binding);
    if (moment !== null) return moment.bound;
  }
  if ("ColumnRef" in node) {
    const fields = node.ColumnRef.fields ?? [];
    if (fields.some((field) => !("String" in field))) return null;
    return bindColumn(fields.map(nameOf), node.ColumnRef.location, place, plain);
  }
  if ("SubLink" in node) return bindSubquery(node.SubLink, place, false);
  if ("FuncCall" in node) return bindCall(node.FuncCall, place);
  if ("RowExpr" in node) {
    const args = (node.RowExpr.args ?? []).map((arg) => bindTraced(arg, place));
    return compose(["row(", ...listed(args), ")"], { type: unknownType, notNull: true });
  }
  if ("GroupingFunc" in node) {
    const key = `#?${place.context.path}:${node.GroupingFunc.location}`;
    const args = (node.GroupingFunc.args ?? []).map((arg) => bindTraced(arg, place).key);
    place.found.groupings.set(key, args);
    return opaque(type("int4"), key, true);
  }
  return null;
}

function bindColumn(
  names: readonly string[],
  at: number | undefined,
  place: TracedPlace,
  plain: ExpressionPlace,
): Bound {
  const { binding, outer } = place.context;
  const scope = [place.scope, ...outer].find((one) => has(one, names)) ?? place.scope;
  const scalar = names.length === 1 ? scalarTable(scope, names[0] ?? "") : undefined;
  const { bound } = scalar ?? findColumn(scope, names, binding.source, at);
  if (names.length > 2 && at !== undefined) plain.onColumn?.(names, at);
  note(binding, bound);
  return bound;
}

function has(scope: Scope, names: readonly string[]): boolean {
  const [first] = names;
  if (names.length === 1)
    return scope.visible.some((column) => column.name === first) || scope.tables.some(({ alias }) => alias === first);
  return scope.tables.some(({ alias }) => alias === names.at(-2));
}

/** The name of a function in FROM that yields one column stands for that column. */
function scalarTable(scope: Scope, name: string) {
  if (scope.visible.some((column) => column.name === name)) return undefined;
  const table = scope.tables.find((one) => one.alias === name && one.occurrence === null);
  const [column, ...more] = table?.columns ?? [];
  const part = column?.bound.parts[0];
  const scalar = more.length === 0 && typeof part === "object" && part.kind === "function";
  return scalar ? column : undefined;
}

function bindCall(call: FuncCall, place: TracedPlace): Bound | null {
  const name = functionName(call);
  const { binding, path } = place.context;
  const ownSchema = (call.funcname ?? []).length === 1 || nameOf(call.funcname?.[0] as Node) === "pg_catalog";
  if (!ownSchema) return null;
  const result = () => {
    const bind = (child: Node) => bindTraced("SortBy" in child ? child.SortBy.node : child, place);
    const args = (call.args ?? []).map(bind);
    const [ordered] = (call.agg_order ?? []).map(bind);
    if (call.agg_filter !== undefined) bind(call.agg_filter);
    const is = resultType(
      name,
      args.map((arg) => arg.type),
      call.agg_within_group === true ? ordered?.type : undefined,
    );
    return opaque(is, `#?${path}:${call.location}`);
  };
  if (place.ofRows === true && (call.over !== undefined || (aggregates.has(name) && findFunction(name) === null))) {
    throw refuse(
      binding,
      `${name}() cannot stand here`,
      call.location,
      "Filter on it outside: in HAVING, or around a subquery.",
    );
  }
  if (call.over !== undefined) {
    if (!windowFunctions.has(name) && !aggregates.has(name)) {
      throw refuse(
        binding,
        `${name}() is not a window function known here`,
        call.location,
        "Use one of PostgreSQL's own.",
      );
    }
    place.found.partitions.push(partitionOf(call.over, place));
    return result();
  }
  if (aggregates.has(name) && findFunction(name) === null) {
    if (!binding.whole && isOfQueryAround(call, place))
      throw new Untraceable("an aggregate in a subquery is of the query around it");
    place.found.aggregates = true;
    checkSum(name, call, place);
    return result();
  }
  if (Object.hasOwn(rowsFunctions, name)) {
    throw refuse(binding, `${name}() makes rows and stands in the select list`, call.location, "Put it into FROM.");
  }
  return null;
}

/** An aggregate is of the innermost query whose columns it is given. */
function isOfQueryAround(call: FuncCall, { scope, context }: TracedPlace): boolean {
  let around = false;
  let own = false;
  walk([call.args, call.agg_order, call.agg_filter], (node) => {
    if (!("ColumnRef" in node)) return;
    const names = ((node.ColumnRef as { fields?: Node[] }).fields ?? []).map(nameOf);
    if (has(scope, names)) own = true;
    else if (context.outer.some((one) => has(one, names))) around = true;
  });
  return around && !own;
}

function checkSum(name: string, call: FuncCall, place: TracedPlace): void {
  if (name !== "sum" && name !== "avg") return;
  const of = bindTraced(call.args?.[0], place).type;
  if (!isText(of) && of.name !== "literal" && of.name !== "jsonb" && of.name !== "json" && of.name !== "bool") return;
  throw refuse(
    place.context.binding,
    `${name} over ${of.name} is not a number`,
    call.location,
    "Cast it: (…)::numeric.",
  );
}

/** The keys of what a window is partitioned by. */
function partitionOf(over: WindowDef, place: TracedPlace, steps = 0): Set<string> {
  const { binding } = place.context;
  const named = over.name ?? over.refname;
  const base = named === undefined || over.partitionClause !== undefined ? undefined : place.windows.get(named);
  if (named !== undefined && base === undefined && over.partitionClause === undefined && steps < 16) {
    throw binding.source.refusal("VIEW_SQL_INVALID", `there is no window "${named}"`, { at: over.location });
  }
  const keys = base === undefined || steps > 16 ? new Set<string>() : partitionOf(base, place, steps + 1);
  for (const node of over.partitionClause ?? []) keys.add(bindTraced(node, place).key);
  for (const node of over.orderClause ?? []) bindTraced("SortBy" in node ? node.SortBy.node : node, place);
  for (const node of [over.startOffset, over.endOffset]) if (node !== undefined) bindTraced(node, place);
  return keys;
}

/** `positive`: where it stands, false and NULL come to the same. */
function bindSubquery(link: SubLink, place: TracedPlace, positive: boolean): Bound {
  const { context, scope, found } = place;
  const { binding } = context;
  const query = link.subselect;
  if (query === undefined || !("SelectStmt" in query)) {
    throw refuse(binding, "this form of subquery is not read here", link.location, "Use a SELECT.");
  }
  const at = link.location ?? locationOf(query.SelectStmt.targetList?.[0]) ?? 0;
  const traced = binding.bindQuery(query.SelectStmt, inner(context, `x${at}`, [scope, ...context.outer]));
  const tests = testsOf(link, place);
  const equality =
    link.subLinkType === "ANY_SUBLINK" && (link.operName ?? []).map(nameOf).every((name) => name === "=");
  for (const alternative of traced.alternatives) {
    if (alternative.drivers.length === 0) continue;
    const conjuncts = equality ? tests.flatMap((test, i) => testConjunct(test, alternative.outputs[i], positive)) : [];
    found.subqueries.push({ ...alternative, conjuncts: [...alternative.conjuncts, ...conjuncts], present: false });
  }
  const truth = link.subLinkType !== "EXPR_SUBLINK" && link.subLinkType !== "ARRAY_SUBLINK";
  return opaque(truth ? type("bool") : unknownType, `#?${context.path}:${at}`, link.subLinkType === "EXISTS_SUBLINK");
}

function testsOf(link: SubLink, place: TracedPlace): Bound[] {
  if (link.testexpr === undefined) return [];
  const nodes = "RowExpr" in link.testexpr ? (link.testexpr.RowExpr.args ?? []) : [link.testexpr];
  return nodes.map((node) => bindTraced(node, place));
}

/**
 * The outer rows that a row of an IN subquery concerns are those that it equals, unless a NULL on either side can turn
 * false into NULL and the difference is seen.
 */
function testConjunct(test: Bound, output: Bound | undefined, positive: boolean): Conjunct[] {
  if (output === undefined || isOpaque(test) || isOpaque(output)) return [];
  if (!positive && !(test.notNull && output.notNull)) return [];
  return [{ bound: compose(["(", test, " = ", output, ")"], { type: type("bool") }), equal: [test, output] }];
}

/** A row of FROM together with what a change inside of a subquery about it reaches. */
export function withSubquery(row: Alternative, subquery: TracedAlternative): Alternative {
  return {
    scope: row.scope,
    occurrences: [...row.occurrences, ...subquery.occurrences],
    functions: [...row.functions, ...subquery.functions],
    conjuncts: [...row.conjuncts, ...subquery.conjuncts],
    drivers: subquery.drivers,
    present: false,
  };
}
