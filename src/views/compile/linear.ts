/**
 * Binds linear queries: select, project, filter, inner joins, `union all`, linear subqueries and CTEs. What comes out
 * are branches: conjunctive queries over mirrors, whose sum (as bags) is the query. Subqueries dissolve into the
 * branches that read them; a join with a union becomes a union of joins.
 */
import type { JoinExpr, Node, RangeSubselect, SelectStmt } from "@pgsql/types";
import { quote } from "../../catalog/definitions.ts";
import type { Branch } from "./bound.ts";
import { locationOf, refuseClauses } from "./clauses.ts";
import { bindExpression, nameOf, refuse } from "./expression.ts";
import {
  type Binding,
  bindConjuncts,
  bindTable,
  branchesMax,
  converted,
  derived,
  type FromBranch,
  mergeUsing,
  numbered,
  placeOf,
  product,
  renamed,
  tooManyBranches,
  withoutNulls,
} from "./from.ts";
import { pinTables, usingNames } from "./natural-join.ts";
import { outputName } from "./output-name.ts";
import { groupedSubquery } from "./refusals.ts";
import { emptyScope, findTable, refuseTwins, type Scope, type ScopeColumn } from "./scope.ts";
import { commonType, type } from "./sql-type.ts";

const depthMax = 32;

type Ctes = ReadonlyMap<string, { readonly query: SelectStmt; readonly names: readonly string[]; readonly ctes: Ctes }>;

export interface LinearQuery {
  readonly names: readonly string[];
  readonly branches: readonly Branch[];
}

export function bindLinear(select: SelectStmt, binding: Binding, outer: Ctes = new Map(), depth = 0): LinearQuery {
  if (depth > depthMax) throw binding.source.tooDeep();
  const ctes = withCtes(select, binding, outer, depth);
  if (select.op === "SETOP_UNION" && select.all === true) return bindUnion(select, binding, ctes, depth);
  refuseClauses(select, binding);
  if (select.groupClause !== undefined || select.havingClause !== undefined) {
    throw refuse(
      binding,
      groupedSubquery,
      locationOf(select.groupClause?.[0] ?? select.havingClause),
      "Group in the view itself.",
    );
  }
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

export function withCtes(select: SelectStmt, binding: Binding, outer: Ctes, depth: number): Ctes {
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
    // Bound where it is read; here too, because the query over the mirrors has it even when nothing reads it.
    bindLinear(ctequery.SelectStmt, binding, ctes, depth + 1);
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
      conjuncts: [...keyed.conjuncts, ...bindConjuncts(select.whereClause, keyed, binding)],
    };
  });
  return out.map(withoutNulls);
}

function bindFromItem(item: Node, binding: Binding, ctes: Ctes, depth: number): FromBranch[] {
  if ("RangeVar" in item) {
    const cte = item.RangeVar.schemaname === undefined ? ctes.get(item.RangeVar.relname ?? "") : undefined;
    if (cte === undefined) return [bindTable(item.RangeVar, binding)];
    const query = bindLinear(cte.query, binding, cte.ctes, depth + 1);
    const alias = item.RangeVar.alias;
    const names = renamed(renamed(query.names, cte.names), (alias?.colnames ?? []).map(nameOf));
    return derived(query, alias?.aliasname ?? item.RangeVar.relname ?? "", names, binding);
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
  const bound = bindLinear(select, binding, ctes, depth + 1);
  return derived(
    bound,
    item.alias?.aliasname ?? "",
    renamed(bound.names, (item.alias?.colnames ?? []).map(nameOf)),
    binding,
  );
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
  if (join.isNatural === true) pinTables({ JoinExpr: join }, binding);
  const [leftScope, rightScope] = [left, right].map((side) => side?.[0]?.scope ?? emptyScope);
  const using = usingNames(join, leftScope ?? emptyScope, rightScope ?? emptyScope);
  return product(left ?? [], right ?? [], binding).map((joined) => {
    const leftWidth = leftScope?.visible.length ?? 0;
    const merged = using.length === 0 ? joined : mergeUsing(joined, leftWidth, using, binding, join);
    return {
      ...merged,
      conjuncts: [...merged.conjuncts, ...bindConjuncts(join.quals, numbered(merged), binding)],
    };
  });
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
    refuseTwins(columns, binding.source, at);
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
