/**
 * Binds linear queries: select, project, filter, inner joins, `union all`, linear subqueries and CTEs. What comes out
 * are branches: conjunctive queries over mirrors, whose sum (as bags) is the query. Subqueries dissolve into the
 * branches that read them; a join with a union becomes a union of joins.
 */
import type { JoinExpr, Node, RangeSubselect, RangeVar, SelectStmt } from "@pgsql/types";
import { quote } from "../../catalog/definitions.ts";
import type { MirrorBinding } from "../compiled-view.ts";
import { type Bound, type Branch, type Conjunct, compose, type Occurrence, plainColumn } from "./bound.ts";
import { bindExpression, type ExpressionPlace, nameOf, refuse } from "./expression.ts";
import { outputName } from "./output-name.ts";
import { emptyScope, findTable, joinScopes, type Scope, type ScopeColumn, type ScopeTable } from "./scope.ts";
import type { SourceText } from "./source-text.ts";
import { commonType, parseType, type SqlType, sameType, type } from "./sql-type.ts";
import { mirrorTable, resolveTable, tableLabel } from "./tables.ts";

const branchesMax = 64;
const depthMax = 32;

/** What binding of one definition shares. */
export interface Binding {
  readonly source: SourceText;
  readonly mirrors: readonly MirrorBinding[];
  /** Pieces of the definition's text that are written otherwise over the mirrors, by byte position. */
  readonly replacements: Map<number, { readonly end: number; readonly text: string }>;
}

type Ctes = ReadonlyMap<string, { readonly query: SelectStmt; readonly names: readonly string[]; readonly ctes: Ctes }>;

/** A FROM clause in one of its branches. */
export interface FromBranch {
  readonly scope: Scope;
  readonly occurrences: readonly Occurrence[];
  readonly conjuncts: readonly Conjunct[];
}

export interface LinearQuery {
  readonly names: readonly string[];
  readonly branches: readonly Branch[];
}

export function bindLinear(select: SelectStmt, binding: Binding, outer: Ctes = new Map(), depth = 0): LinearQuery {
  if (depth > depthMax) throw binding.source.tooDeep();
  const ctes = withCtes(select, binding, outer);
  if (select.op === "SETOP_UNION" && select.all === true) return bindUnion(select, binding, ctes, depth);
  refuseClauses(select, binding);
  const branches: Branch[] = [];
  let names: string[] = [];
  for (const from of bindFrom(select, binding, ctes, depth)) {
    const targets = expandTargets(select, from.scope, binding);
    names = targets.map((target) => target.name);
    const outputs = targets.map((target) =>
      "column" in target ? target.column.bound : bindExpression(target.node, placeOf(binding, from.scope)),
    );
    branches.push({ occurrences: from.occurrences, conjuncts: from.conjuncts, outputs });
  }
  return { names, branches };
}

/** The clauses that no linear or additive query has. */
export function refuseClauses(select: SelectStmt, binding: Binding): void {
  const no = (message: string, hint: string, nodes?: readonly Node[]) => {
    throw refuse(binding, message, nodes === undefined ? undefined : locationOf(nodes[0]), hint);
  };
  if (select.op !== undefined && select.op !== "SETOP_NONE") {
    const name = select.op.replace("SETOP_", "").toLowerCase();
    no(
      `${name}${select.all === true ? " all" : ""} cannot be kept up to date yet`,
      name === "union" ? "Use union all, and group by all columns to leave out doubles." : "Write it as a join.",
    );
  }
  if (select.valuesLists !== undefined)
    no("VALUES cannot be kept up to date yet", "Write the constants as select … union all select …, or as CASE.");
  if (select.distinctClause !== undefined)
    no("distinct cannot be kept up to date yet", "Group by the same columns and add count(*).", select.targetList);
  if (select.windowClause !== undefined)
    no(
      "window functions cannot be kept up to date yet",
      "Rank the rows when reading (order, limit).",
      select.windowClause,
    );
  if (select.sortClause !== undefined)
    no("order by has no meaning in a view", "Order the rows when reading.", select.sortClause);
  if (select.limitCount !== undefined || select.limitOffset !== undefined)
    no("limit and offset cannot be kept up to date yet", "Limit the rows when reading.", [
      select.limitCount ?? select.limitOffset ?? {},
    ] as Node[]);
  if (select.lockingClause !== undefined) no("a view locks nothing", "Leave out FOR UPDATE and the like.");
  if (select.intoClause !== undefined) no("a view writes nothing", "Leave INTO out.");
  if ((select.targetList ?? []).length === 0) no("the select list is empty", "Name the columns.");
}

export function locationOf(node: Node | undefined): number | undefined {
  if (node === undefined) return undefined;
  const inner: unknown = Object.values(node)[0];
  if (typeof inner !== "object" || inner === null) return undefined;
  if ("location" in inner && typeof inner.location === "number" && inner.location >= 0) return inner.location;
  for (const child of ["node", "arg", "val", "lexpr"]) {
    if (child in inner) return locationOf((inner as Record<string, Node>)[child]);
  }
  return undefined;
}

export function withCtes(select: SelectStmt, binding: Binding, outer: Ctes): Ctes {
  if (select.withClause === undefined) return outer;
  if (select.withClause.recursive === true) {
    throw refuse(
      binding,
      "recursive queries cannot be kept up to date yet",
      select.withClause.location,
      "Read trees step by step, or keep the path in the source's table.",
    );
  }
  const ctes = new Map(outer);
  for (const node of select.withClause.ctes ?? []) {
    if (!("CommonTableExpr" in node)) continue;
    const { ctename = "", ctequery, aliascolnames, location } = node.CommonTableExpr;
    if (ctequery === undefined || !("SelectStmt" in ctequery)) {
      throw refuse(binding, `"${ctename}" in WITH is not a SELECT`, location, "A view only reads.");
    }
    ctes.set(ctename, { query: ctequery.SelectStmt, names: (aliascolnames ?? []).map(nameOf), ctes: new Map(ctes) });
  }
  return ctes;
}

function bindUnion(select: SelectStmt, binding: Binding, ctes: Ctes, depth: number): LinearQuery {
  if (
    select.sortClause !== undefined ||
    select.limitCount !== undefined ||
    select.limitOffset !== undefined ||
    select.lockingClause !== undefined
  ) {
    refuseClauses({ ...select, op: "SETOP_NONE", targetList: [{}] as Node[] }, binding);
  }
  const [left, right] = [select.larg, select.rarg].map((side) => bindLinear(side ?? {}, binding, ctes, depth + 1));
  if (left === undefined || right === undefined || left.names.length !== right.names.length) {
    throw binding.source.refusal(
      "VIEW_SQL_INVALID",
      `the parts of union all have ${left?.names.length} and ${right?.names.length} columns`,
      {
        at: locationOf(select.rarg?.targetList?.[0]),
      },
    );
  }
  const branches = [...left.branches, ...right.branches];
  if (branches.length > branchesMax) throw tooManyBranches(binding);
  const types = left.names.map((name, i) => {
    const each = branches.map((branch) => branch.outputs[i]?.type ?? type("?"));
    const common = commonType(each);
    if (common.name === "?") {
      throw refuse(
        binding,
        `the parts of union all give column "${name}" types that are not known to be one`,
        locationOf(select.rarg?.targetList?.[i]),
        `Cast "${name}" to one type in each part.`,
      );
    }
    return common;
  });
  return {
    names: left.names,
    branches: branches.map((branch) => ({
      ...branch,
      outputs: branch.outputs.map((output, i) => converted(output, types[i] ?? output.type)),
    })),
  };
}

/** The expression in the type that a union or USING settled on. */
function converted(bound: Bound, to: SqlType): Bound {
  const alike =
    sameType(bound.type, to) || (/^(text|varchar)$/.test(bound.type.name) && /^(text|varchar)$/.test(to.name));
  if (alike) return { ...bound, type: to };
  return compose(["(", bound, `::pg_catalog.${to.name}${to.array ? "[]" : ""})`], {
    type: to,
    notNull: bound.notNull,
    dependsOnSettings: bound.type.name !== "literal" && /^(date|time)/.test(to.name),
  });
}

function tooManyBranches(binding: Binding) {
  return refuse(
    binding,
    `joins over union all make more than ${branchesMax} joins of it`,
    undefined,
    "Join before the union, or split the view.",
  );
}

/** FROM and WHERE, bound in each combination of the branches beneath. */
export function bindFrom(select: SelectStmt, binding: Binding, ctes: Ctes, depth: number): FromBranch[] {
  let branches: FromBranch[] = [{ scope: emptyScope, occurrences: [], conjuncts: [] }];
  for (const item of select.fromClause ?? []) {
    branches = product(branches, bindFromItem(item, binding, ctes, depth), binding);
  }
  const out = branches.map((from) => {
    const keyed = numbered(from);
    return {
      ...keyed,
      conjuncts: [...keyed.conjuncts, ...bindConjuncts(select.whereClause, placeOf(binding, keyed.scope))],
    };
  });
  return out.map(withoutNulls);
}

function product(left: readonly FromBranch[], right: readonly FromBranch[], binding: Binding): FromBranch[] {
  if (left.length * right.length > branchesMax) throw tooManyBranches(binding);
  return left.flatMap((a) =>
    right.map((b) => {
      const twice = b.scope.tables.find(
        (table) => table.alias !== "" && a.scope.tables.some((other) => other.alias === table.alias),
      );
      if (twice !== undefined) {
        throw binding.source.refusal("VIEW_SQL_INVALID", `table name "${twice.alias}" stands in FROM twice`, {
          hint: `Give one of them an alias: … as ${twice.alias}2`,
        });
      }
      return {
        scope: joinScopes(a.scope, b.scope),
        occurrences: [...a.occurrences, ...b.occurrences],
        conjuncts: [...a.conjuncts, ...b.conjuncts],
      };
    }),
  );
}

function bindFromItem(item: Node, binding: Binding, ctes: Ctes, depth: number): FromBranch[] {
  if ("RangeVar" in item) {
    const cte = item.RangeVar.schemaname === undefined ? ctes.get(item.RangeVar.relname ?? "") : undefined;
    if (cte === undefined) return [bindTable(item.RangeVar, binding)];
    const query = bindLinear(cte.query, binding, cte.ctes, depth + 1);
    const alias = item.RangeVar.alias;
    const names = renamed(renamed(query.names, cte.names), (alias?.colnames ?? []).map(nameOf));
    return derived(query, alias?.aliasname ?? item.RangeVar.relname ?? "", names);
  }
  if ("RangeSubselect" in item) return bindSubselect(item.RangeSubselect, binding, ctes, depth);
  if ("JoinExpr" in item) return bindJoin(item.JoinExpr, binding, ctes, depth);
  if ("RangeFunction" in item)
    throw refuse(
      binding,
      "functions in FROM cannot be kept up to date yet",
      locationOf(item),
      "Store the elements as rows of a table.",
    );
  if ("RangeTableSample" in item)
    throw refuse(
      binding,
      "a sample changes without a change of the data",
      item.RangeTableSample.location,
      "Filter by a hash of the key: hashtext(id::text) % 100 = 0.",
    );
  throw refuse(binding, "this form of FROM is not read here", locationOf(item), "Use tables, joins and subqueries.");
}

function bindTable(name: RangeVar, binding: Binding): FromBranch {
  const { mirror, alias: relation, path } = resolveTable(name, binding.mirrors, binding.source);
  if ((name.alias?.colnames ?? []).length > 0) {
    throw refuse(
      binding,
      "columns of a table cannot be renamed in its alias",
      name.location,
      "Rename them in the select list.",
    );
  }
  const alias = name.alias?.aliasname ?? relation;
  const written = path.length + 1;
  if (name.location !== undefined) {
    const end = binding.source.endOfName(name.location, written);
    const named = name.alias === undefined ? ` as ${quote(alias)}` : "";
    binding.replacements.set(name.location, { end, text: `${mirrorTable(mirror)}${named}` });
  }
  const occurrence: Occurrence = { mirror, alias };
  const columns = mirror.shape.columns.map(
    (column): ScopeColumn => ({
      name: column.name,
      qualifier: alias,
      bound: {
        parts: [{ kind: "column", occurrence, column: column.name }],
        key: "",
        type: parseType(column.storeType),
        notNull: !column.nullable,
        dependsOnSettings: false,
      },
    }),
  );
  const table: ScopeTable = {
    alias,
    path: name.alias === undefined ? path : [],
    columns,
    label: tableLabel(mirror),
    occurrence,
  };
  return { scope: { tables: [table], visible: columns }, occurrences: [occurrence], conjuncts: [] };
}

function bindSubselect(item: RangeSubselect, binding: Binding, ctes: Ctes, depth: number): FromBranch[] {
  const query = item.subquery;
  if (query === undefined || !("SelectStmt" in query))
    throw refuse(binding, "this form of FROM is not read here", undefined, "Use tables, joins and subqueries.");
  if (item.lateral === true)
    throw refuse(
      binding,
      "lateral subqueries cannot be kept up to date yet",
      locationOf(query.SelectStmt.targetList?.[0]),
      "Write it as a join.",
    );
  const select = query.SelectStmt;
  if (select.groupClause !== undefined || select.havingClause !== undefined) {
    throw refuse(
      binding,
      "a grouped subquery cannot be kept up to date yet",
      locationOf(select.groupClause?.[0] ?? select.targetList?.[0]),
      "Group in the view itself, or make the subquery a view of its own.",
    );
  }
  const bound = bindLinear(select, binding, ctes, depth + 1);
  return derived(bound, item.alias?.aliasname ?? "", renamed(bound.names, (item.alias?.colnames ?? []).map(nameOf)));
}

function renamed(names: readonly string[], aliases: readonly string[]): string[] {
  return names.map((name, i) => aliases[i] ?? name);
}

function derived(query: LinearQuery, alias: string, names: readonly string[]): FromBranch[] {
  return query.branches.map((branch) => {
    const columns = branch.outputs.map(
      (output, i): ScopeColumn => ({
        name: names[i] ?? "",
        qualifier: alias === "" ? null : alias,
        // A quoted constant becomes text where a subquery ends, as in PostgreSQL.
        bound: output.type.name === "literal" ? converted(output, type("text")) : output,
      }),
    );
    const table: ScopeTable = { alias, path: [], columns, label: alias, occurrence: null };
    return {
      scope: { tables: [table], visible: columns },
      occurrences: branch.occurrences,
      conjuncts: branch.conjuncts,
    };
  });
}

function bindJoin(join: JoinExpr, binding: Binding, ctes: Ctes, depth: number): FromBranch[] {
  if (depth > depthMax) throw binding.source.tooDeep();
  if (join.jointype !== "JOIN_INNER") {
    throw refuse(
      binding,
      `${(join.jointype ?? "").replace("JOIN_", "").toLowerCase()} joins cannot be kept up to date yet`,
      locationOf(join.rarg),
      "Use an inner join; rows without a partner need a view of their own.",
    );
  }
  if (join.isNatural === true)
    throw refuse(
      binding,
      "a natural join changes its meaning when a column is added",
      locationOf(join.rarg),
      "Name the columns: join … using (…).",
    );
  if (join.alias !== undefined || join.join_using_alias !== undefined)
    throw refuse(
      binding,
      "an alias of a join is not read here",
      locationOf(join.rarg),
      "Use the aliases of its tables.",
    );
  const [left, right] = [join.larg, join.rarg].map((side) =>
    bindFromItem(side ?? ({} as Node), binding, ctes, depth + 1),
  );
  const using = (join.usingClause ?? []).map(nameOf);
  return product(left ?? [], right ?? [], binding).map((joined) => {
    const leftWidth = left?.[0]?.scope.visible.length ?? 0;
    const merged = using.length === 0 ? joined : mergeUsing(joined, leftWidth, using, binding, join);
    return {
      ...merged,
      conjuncts: [...merged.conjuncts, ...bindConjuncts(join.quals, placeOf(binding, numbered(merged).scope))],
    };
  });
}

function mergeUsing(
  joined: FromBranch,
  leftWidth: number,
  using: readonly string[],
  binding: Binding,
  join: JoinExpr,
): FromBranch {
  const sides = [joined.scope.visible.slice(0, leftWidth), joined.scope.visible.slice(leftWidth)];
  const conjuncts: Conjunct[] = [];
  const merged = using.map((name): ScopeColumn => {
    const [left, right] = sides.map((side) => {
      const found = side.filter((column) => column.name === name);
      if (found.length === 1 && found[0] !== undefined) return found[0].bound;
      const code = found.length === 0 ? "VIEW_UNKNOWN_COLUMN" : "VIEW_COLUMN_AMBIGUOUS";
      throw binding.source.refusal(
        code,
        `column "${name}" of using is ${found.length === 0 ? "not on" : "more than once on"} one side of the join`,
        { at: locationOf(join.rarg) },
      );
    });
    if (left === undefined || right === undefined)
      throw refuse(binding, "this form of join is not read here", undefined, "Use on.");
    const common = commonType([left.type, right.type]);
    if (common.name === "?")
      throw refuse(
        binding,
        `using (${name}) joins columns whose types are not known to be one`,
        locationOf(join.rarg),
        "Use on, and cast one side.",
      );
    conjuncts.push({ bound: compose(["(", left, " = ", right, ")"], { type: type("bool") }), equal: [left, right] });
    const side = sameType(left.type, common) || !sameType(right.type, common) ? left : right;
    return { name, qualifier: null, merges: side, bound: { ...converted(side, common), notNull: true } };
  });
  const rest = joined.scope.visible.filter((column) => !using.includes(column.name));
  return {
    ...joined,
    scope: { tables: joined.scope.tables, visible: [...merged, ...rest] },
    conjuncts: [...joined.conjuncts, ...conjuncts],
  };
}

/** Columns with the keys by which expressions over this FROM are compared. */
function numbered(from: FromBranch): FromBranch {
  const keys = new Map<Bound, string>();
  const tables = from.scope.tables.map((table, t) => ({
    ...table,
    columns: table.columns.map((column, c) => {
      const key = `#${t}.${c}`;
      keys.set(column.bound, key);
      return { ...column, bound: { ...column.bound, key } };
    }),
  }));
  const visible = from.scope.visible.map((column, i) => ({
    ...column,
    bound: { ...column.bound, key: keys.get(column.bound) ?? keys.get(column.merges ?? column.bound) ?? `#using.${i}` },
  }));
  return { ...from, scope: { tables, visible } };
}

/** Columns that the conditions prove to be there: both sides of an equality, and what IS NOT NULL names. */
function withoutNulls(from: FromBranch): FromBranch {
  const proven = new Set<string>();
  const mark = (bound: Bound | undefined) => {
    const column = bound === undefined ? null : plainColumn(bound);
    if (column !== null) proven.add(`${from.occurrences.indexOf(column.occurrence)}.${column.column}`);
  };
  for (const { equal, bound } of from.conjuncts) {
    equal?.forEach(mark);
    const [open, hole, test] = bound.parts;
    if (open === "(" && test === " is not null)" && hole !== undefined && bound.parts.length === 3)
      mark({ ...bound, parts: [hole] });
  }
  const strengthen = (column: ScopeColumn): ScopeColumn => {
    const plain = plainColumn(column.bound);
    const known = plain !== null && proven.has(`${from.occurrences.indexOf(plain.occurrence)}.${plain.column}`);
    return known ? { ...column, bound: { ...column.bound, notNull: true } } : column;
  };
  const tables = from.scope.tables.map((table) => ({ ...table, columns: table.columns.map(strengthen) }));
  return { ...from, scope: { tables, visible: from.scope.visible.map(strengthen) } };
}

export function bindConjuncts(node: Node | undefined, place: ExpressionPlace): Conjunct[] {
  if (node === undefined) return [];
  if ("BoolExpr" in node && node.BoolExpr.boolop === "AND_EXPR") {
    return (node.BoolExpr.args ?? []).flatMap((arg) => bindConjuncts(arg, place));
  }
  if (
    "A_Expr" in node &&
    node.A_Expr.kind === "AEXPR_OP" &&
    (node.A_Expr.name ?? []).map(nameOf).at(-1) === "=" &&
    node.A_Expr.lexpr !== undefined
  ) {
    const left = bindExpression(node.A_Expr.lexpr, place);
    const right = bindExpression(node.A_Expr.rexpr, place);
    return [{ bound: compose(["(", left, " = ", right, ")"], { type: type("bool") }), equal: [left, right] }];
  }
  return [{ bound: bindExpression(node, place), equal: null }];
}

export function placeOf(binding: Binding, scope: Scope): ExpressionPlace {
  return {
    source: binding.source,
    scope,
    onColumn: (names, at) => {
      const text = names.slice(-2).map(quote).join(".");
      binding.replacements.set(at, { end: binding.source.endOfName(at, names.length), text });
    },
  };
}

export type Target =
  | { readonly name: string; readonly node: Node }
  | { readonly name: string; readonly column: ScopeColumn; readonly at: number | undefined };

/** The select list with `*` written out. */
export function expandTargets(select: SelectStmt, scope: Scope, binding: Binding): Target[] {
  const targets: Target[] = [];
  for (const item of select.targetList ?? []) {
    if (!("ResTarget" in item) || item.ResTarget.val === undefined) continue;
    const { name, val } = item.ResTarget;
    const fields = "ColumnRef" in val ? (val.ColumnRef.fields ?? []) : [];
    const last = fields.at(-1);
    if (last === undefined || !("A_Star" in last)) {
      targets.push({ name: name ?? outputName(val), node: val });
      continue;
    }
    const at = "ColumnRef" in val ? val.ColumnRef.location : undefined;
    const path = fields.slice(0, -1).map(nameOf);
    const columns = path.length === 0 ? scope.visible : findTable(scope, path, binding.source, at).columns;
    if (columns.length === 0) throw refuse(binding, '"*" stands for no columns here', at, "Name the columns.");
    targets.push(...columns.map((column) => ({ name: column.name, column, at })));
    if (at !== undefined) {
      const text = columns
        .map((column) => `${column.qualifier === null ? "" : `${quote(column.qualifier)}.`}${quote(column.name)}`)
        .join(", ");
      binding.replacements.set(at, { end: binding.source.endOfName(at, fields.length), text });
    }
  }
  return targets;
}
