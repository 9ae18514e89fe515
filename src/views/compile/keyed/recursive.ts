/** A recursive CTE: its first part gives it names and types, and its second part reads it by them. */
import type { CommonTableExpr, Node, SelectStmt } from "@pgsql/types";
import type { Bound } from "../bound.ts";
import { locationOf } from "../clauses.ts";
import { nameOf } from "../expression.ts";
import { renamed } from "../from.ts";
import { nearestName } from "../nearest.ts";
import { shortList } from "../scope.ts";
import { commonType, type SqlType, type, unknownType } from "../sql-type.ts";
import { opaque } from "./alternative.ts";
import { type Ctes, inner, type QueryContext, type TracedQuery } from "./traced.ts";
import { lone } from "./untraced.ts";

type Cte = Ctes extends ReadonlyMap<string, infer One> ? One : never;

/** Whether its query names it where no inner WITH gives the name another meaning. */
export function readsItself({ ctename, ctequery }: CommonTableExpr): boolean {
  return ctequery !== undefined && names(ctequery, ctename ?? "");
}

function names(node: unknown, table: string): boolean {
  if (typeof node !== "object" || node === null) return false;
  if ("relname" in node) return node.relname === table && !("schemaname" in node);
  if ("withClause" in node && gives(node.withClause as SelectStmt["withClause"], table)) return false;
  return Object.values(node).some((child) => names(child, table));
}

function gives(clause: SelectStmt["withClause"], table: string): boolean {
  return (clause?.ctes ?? []).some((one) => "CommonTableExpr" in one && one.CommonTableExpr.ctename === table);
}

/** Throws `VIEW_SQL_INVALID`, and what binding its parts throws. */
export function bindRecursive(cte: CommonTableExpr, around: QueryContext): Cte {
  const { ctename = "", ctequery, location } = cte;
  const { binding } = around;
  const query = ctequery !== undefined && "SelectStmt" in ctequery ? ctequery.SelectStmt : {};
  const { larg, rarg } = query;
  const wrong = (message: string, at: number | undefined, hint: string) =>
    binding.source.refusal("VIEW_SQL_INVALID", message, { at, hint });
  if (query.op !== "SETOP_UNION" || larg === undefined || rarg === undefined || names(larg, ctename)) {
    throw wrong(
      `"${ctename}" reads itself in another place than the second part of a UNION`,
      location,
      `Write it as a first part, UNION ALL, and a second part that reads "${ctename}".`,
    );
  }
  const first = binding.bindQuery(larg, inner(around, "r0"));
  const given = (cte.aliascolnames ?? []).map(nameOf);
  const types = first.names.map((_, i) => rowType(first.alternatives[0]?.outputs[i]?.type));
  const rows = rowsOf(renamed(first.names, given), types, around.path, query.all !== true);
  const self: Cte = { query, names: [], context: around, bound: rows };
  const within = { ...inner(around, "r1"), ctes: new Map([...around.ctes, [ctename, self]]) };
  const second = binding.bindQuery(rarg, within);
  if (second.names.length !== first.names.length) {
    throw wrong(
      `the parts of "${ctename}" have ${first.names.length} and ${second.names.length} columns`,
      locationOf(rarg.targetList?.[0]),
      "Select the same columns in both.",
    );
  }
  types.forEach((one, i) => {
    const other = second.alternatives[0]?.outputs[i]?.type ?? unknownType;
    const common = commonType([one, other]);
    if (common.name === "?" || common.name === "literal" || (common.name === one.name && common.array === one.array))
      return;
    throw wrong(
      `column "${rows.names[i]}" of "${ctename}" is ${one.name} in its first part and ${common.name} in its second`,
      locationOf(rarg.targetList?.[i] ?? rarg.targetList?.[0]),
      `Cast it in the first part: …::${common.name}.`,
    );
  });
  return { ...self, bound: withOrder(rows, cte, around) };
}

/** A quoted constant is text in the first part. */
function rowType(of: SqlType | undefined): SqlType {
  if (of === undefined) return unknownType;
  return of.name === "literal" ? type("text") : of;
}

function rowsOf(columns: readonly string[], types: readonly SqlType[], path: string, distinct: boolean): TracedQuery {
  const outputs = columns.map((_, i): Bound => opaque(types[i] ?? unknownType, `#${path}.${i}`));
  return {
    names: columns,
    alternatives: [lone(outputs)],
    determines: (positions) => distinct && columns.every((_, i) => positions.has(i)),
    restricted: () => ({ replacements: new Map(), whole: [] }),
    unselected: () => [],
  };
}

/** With the columns that SEARCH and CYCLE add for those who read it. */
function withOrder(
  rows: TracedQuery,
  { search_clause: search, cycle_clause: cycle }: CommonTableExpr,
  around: QueryContext,
) {
  if (search === undefined && cycle === undefined) return rows;
  const { source } = around.binding;
  const listed = [...(search?.search_col_list ?? []), ...(cycle?.cycle_col_list ?? [])].map((node: Node) =>
    nameOf(node),
  );
  const unknown = listed.find((name) => !rows.names.includes(name));
  if (unknown !== undefined) {
    const nearest = nearestName(unknown, rows.names);
    throw source.refusal("VIEW_UNKNOWN_COLUMN", `column "${unknown}" of SEARCH or CYCLE is not in its WITH`, {
      at: search?.location ?? cycle?.location,
      hint: nearest === null ? `The columns are ${shortList(rows.names)}.` : `Did you mean "${nearest}"?`,
    });
  }
  const record = { ...unknownType, name: "record" };
  const added: [string, SqlType][] = [];
  if (search !== undefined) added.push([search.search_seq_column ?? "", record]);
  if (cycle !== undefined) {
    const mark = cycle.cycle_mark_value;
    const isBool = mark === undefined || ("A_Const" in mark && "boolval" in mark.A_Const);
    added.push([cycle.cycle_mark_column ?? "", isBool ? type("bool") : unknownType]);
    added.push([cycle.cycle_path_column ?? "", record]);
  }
  const columns = [...rows.names, ...added.map(([name]) => name)];
  const types = [
    ...rows.names.map((_, i) => rows.alternatives[0]?.outputs[i]?.type ?? unknownType),
    ...added.map(([, is]) => is),
  ];
  // With its path, a row that was reached another way is another row.
  const distinct = rows.determines(new Set(rows.names.keys())) && cycle === undefined && search === undefined;
  return rowsOf(columns, types, around.path, distinct);
}
