/**
 * Binds additive queries: count, sum and avg over a linear query, grouped or not. What comes out are the group columns
 * and the numbers to keep per group (slots), each as an expression per branch of the input, and how the public columns
 * and HAVING are computed from them.
 */
import type { FuncCall, Node, SelectStmt } from "@pgsql/types";
import { type Bound, compose, type Hole } from "./bound.ts";
import { locationOf, refuseClauses } from "./clauses.ts";
import { bindExpression, type ExpressionPlace, functionName, nameOf, refuse } from "./expression.ts";
import { type Binding, type FromBranch, placeOf } from "./from.ts";
import { bindFrom, expandTargets, type Target, withCtes } from "./linear.ts";
import { findColumn } from "./scope.ts";
import { hasEquality, hasOneSpelling, isInteger, isNumber, type SqlType, type, worstSpecials } from "./sql-type.ts";

/** A column that identifies or describes a group, one expression per branch. */
export interface GroupColumn {
  readonly perBranch: readonly Bound[];
  /** Indexes of group columns that this one follows from by the query's own form; null when it stands in GROUP BY. */
  readonly followsFrom: readonly number[] | null;
}

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
  readonly branches: readonly FromBranch[];
  readonly grouped: boolean;
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
  const groups = new Groups(select, branches, targets, binding);
  const aggregates: Aggregate[] = [];
  const places = branches.map((branch) => placeOf(binding, branch.scope));
  const above = (place: ExpressionPlace): ExpressionPlace => ({
    ...place,
    intercept: (node, depth) => {
      if ("FuncCall" in node && node.FuncCall.over === undefined && supported.includes(functionName(node.FuncCall))) {
        return aggregateHole(node.FuncCall, places, aggregates, binding);
      }
      if (containsAggregate(node)) return null;
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
      value: containsAggregate(node) ? value : groups.stored(value, node, places),
    };
  });
  const having = select.havingClause === undefined ? null : bindExpression(select.havingClause, place);
  return { branches, grouped: select.groupClause !== undefined, groups: groups.columns, aggregates, outputs, having };
}

function targetNode(target: Target): Node {
  if ("node" in target) return target.node;
  const names = target.column.qualifier === null ? [target.column.name] : [target.column.qualifier, target.column.name];
  // Without a place: the star's own text is replaced as a whole.
  return { ColumnRef: { fields: names.map((sval) => ({ String: { sval } })) } };
}

/** The group columns: those of GROUP BY, then those that follow from them. */
class Groups {
  readonly columns: GroupColumn[] = [];
  readonly #keys: string[] = [];
  readonly #branches: readonly FromBranch[];
  readonly #grouped: boolean;

  constructor(select: SelectStmt, branches: readonly FromBranch[], targets: readonly Target[], binding: Binding) {
    this.#branches = branches;
    this.#grouped = select.groupClause !== undefined;
    for (const item of select.groupClause ?? []) {
      if ("GroupingSet" in item)
        throw refuse(
          binding,
          "grouping sets cannot be kept up to date yet",
          item.GroupingSet.location,
          "Write one view per grouping.",
        );
      const node = groupNode(item, targets, branches, binding);
      const perBranch = branches.map((branch) => bindExpression(node, placeOf(binding, branch.scope)));
      const first = perBranch[0];
      if (first === undefined || this.#keys.includes(first.key)) continue;
      if (perBranch.some((bound) => !hasEquality(bound.type))) {
        throw refuse(
          binding,
          `values of type ${first.type.name} cannot be grouped`,
          locationOf(item),
          "Cast it to text or jsonb.",
        );
      }
      this.#add(perBranch, first.key, null);
    }
  }

  #add(perBranch: readonly Bound[], key: string, followsFrom: readonly number[] | null): number {
    this.columns.push({ perBranch: perBranch.map(asText), followsFrom });
    this.#keys.push(key);
    return this.columns.length - 1;
  }

  find(bound: Bound): number | null {
    const index = this.#keys.indexOf(bound.key);
    return index < 0 ? null : index;
  }

  hole(index: number): Bound {
    const column = this.columns[index];
    const type = column?.perBranch[0]?.type ?? { name: "?", modifier: null, array: false, specials: "all" };
    const notNull = column?.perBranch.every((bound) => bound.notNull) ?? false;
    const hole: Hole = { kind: "group", index };
    return { parts: [hole], key: `group ${index}`, type, notNull };
  }

  /** A column of a table whose whole primary key is grouped by: added as a group column that follows. */
  following(node: Node, places: readonly ExpressionPlace[]): number | null {
    const perBranch = places.map((place) => bindExpression(node, place));
    const first = perBranch[0];
    const scope = this.#branches[0]?.scope;
    const table = scope?.tables.find((one) => one.columns.some((column) => column.bound.key === first?.key));
    const key = table?.occurrence?.mirror.shape.key;
    if (first === undefined || table === undefined || key === null || key === undefined) return null;
    const indexes = key.map((name) => {
      const column = table.columns.find((one) => one.name === name);
      return column === undefined ? -1 : this.#keys.indexOf(column.bound.key);
    });
    return indexes.includes(-1) ? null : this.#add(perBranch, first.key, indexes);
  }

  /**
   * 1.0 and 1.00 are one group: what is computed from the group's value must not tell them apart. Arithmetic of
   * numeric does not; of other types and functions it is not known here.
   */
  checkSpelling(value: Bound, node: Node, binding: Binding): void {
    if (value.parts.length === 1) return;
    for (const part of value.parts) {
      if (typeof part === "string" || part.kind !== "group") continue;
      const column = this.columns[part.index];
      const of = column?.perBranch[0]?.type;
      if (of === undefined || column?.followsFrom !== null || hasOneSpelling(of)) continue;
      if (of.name === "numeric" && !of.array && value.type.name === "numeric") continue;
      throw refuse(
        binding,
        `it is computed from a group's value of type ${of.name === "?" ? "unknown here" : of.name}, whose equal values can be written in several ways`,
        locationOf(node),
        "Add the expression to GROUP BY.",
      );
    }
  }

  /** An output without aggregates is computed when rows are written, and stored as a group column that follows. */
  stored(value: Bound, node: Node, places: readonly ExpressionPlace[]): Bound {
    const used = value.parts.flatMap((part) => (typeof part === "string" || part.kind !== "group" ? [] : [part.index]));
    const bare = value.parts.length === 1 && used.length === 1;
    if (bare || !this.#grouped || used.length === 0) return value;
    const perBranch = places.map((place) => bindExpression(node, place));
    return this.hole(this.#add(perBranch, perBranch[0]?.key ?? "", used));
  }
}

/** A quoted constant among the group columns is text, as in the select list. */
function asText(bound: Bound): Bound {
  return bound.type.name === "literal"
    ? compose(["(", bound, "::pg_catalog.text)"], { type: type("text"), notNull: bound.notNull })
    : bound;
}

/** A number names an output; a bare name is a column of FROM first, then an output. */
export function groupNode(
  item: Node,
  targets: readonly Target[],
  branches: readonly Pick<FromBranch, "scope">[],
  binding: Binding,
): Node {
  if ("A_Const" in item) {
    const position = item.A_Const.ival?.ival ?? 0;
    const target = item.A_Const.ival === undefined ? undefined : targets[position - 1];
    if (target === undefined) {
      throw binding.source.refusal("VIEW_SQL_INVALID", `GROUP BY names no column of the select list`, {
        at: item.A_Const.location,
      });
    }
    return targetNode(target);
  }
  if ("ColumnRef" in item && item.ColumnRef.fields?.length === 1) {
    const name = (item.ColumnRef.fields ?? []).map(nameOf)[0] ?? "";
    const inFrom = branches[0]?.scope.visible.some((column) => column.name === name) === true;
    const output = targets.find((target) => target.name === name);
    if (!inFrom && output !== undefined) return targetNode(output);
    if (!inFrom)
      findColumn(branches[0]?.scope ?? { tables: [], visible: [] }, [name], binding.source, item.ColumnRef.location);
  }
  return item;
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
