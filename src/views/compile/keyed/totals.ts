/**
 * The row of all rows, which the grouping set () has beside those of other sets. To run the query for it would read all
 * rows each time. It is put together from the groups of one of the other sets, which have every row once.
 */
import type { Node, SelectStmt } from "@pgsql/types";
import { quote } from "../../../catalog/definitions.ts";
import { locationOf } from "../clauses.ts";
import { functionName, refuse } from "../expression.ts";
import { isInteger } from "../sql-type.ts";
import { holdsAggregate } from "./functions.ts";
import type { TracedBinding, TracedQuery } from "./traced.ts";

/** What the value over all rows is of those over parts of them. */
const combined: Readonly<Record<string, string>> = {
  count: "sum",
  sum: "sum",
  min: "min",
  max: "max",
  bool_and: "bool_and",
  every: "bool_and",
  bool_or: "bool_or",
  bit_and: "bit_and",
  bit_or: "bit_or",
  bit_xor: "bit_xor",
};

const known = "count, sum (of whole numbers and numeric), min, max, bool_and, bool_or";

/**
 * For each column how it is put together: SQL over the column of the other groups; null where it is the same for every
 * row, as what is grouped by and what is computed from it are. Throws `VIEW_UNSUPPORTED`.
 */
export function combinations(
  { targetList = [], havingClause }: SelectStmt,
  query: TracedQuery,
  binding: TracedBinding,
): (string | null)[] {
  const no = (what: string, node: Node | undefined) =>
    refuse(
      binding,
      `the row of all rows, of its grouping set (), is not kept: ${what}`,
      locationOf(node),
      `Leave that row out (group by grouping sets ((a, b), (a)) in place of rollup (a, b)), or select nothing but ${known}, each by itself.`,
    );
  if (havingClause !== undefined) throw no("HAVING would read every row", havingClause);
  if (targetList.length !== query.names.length) throw no("it selects *", targetList[0]);
  return query.names.map((name, i) => {
    const target = targetList[i];
    const node = target !== undefined && "ResTarget" in target ? target.ResTarget.val : undefined;
    if (!holdsAggregate(node)) return null;
    const call = node !== undefined && "FuncCall" in node ? node.FuncCall : undefined;
    const combine = call === undefined ? undefined : combined[functionName(call)];
    if (call === undefined || combine === undefined || call.over !== undefined || call.agg_distinct === true)
      throw no(`"${name}" over all rows does not follow from its groups`, node);
    const { type } = query.alternatives[0]?.outputs[i] ?? {};
    const exact = type !== undefined && (isInteger(type) || (type.name === "numeric" && !type.array));
    if (functionName(call) === "sum" && !exact) throw no(`"${name}" would not be the same sum`, node);
    const value = `${combine}(r.${quote(name)})`;
    return functionName(call) === "count" ? `coalesce(${value}, 0)` : value;
  });
}

export interface TotalsPlan {
  /** Columns of the state, quoted, with their combinations, in order. */
  readonly columns: readonly { readonly name: string; readonly sql: string | null }[];
  /** The query without rows, of which the row of all is left. */
  readonly empty: string;
  /** What the set which has each row once is grouped by, quoted; and whether each of its groups is there several times. */
  readonly parts: { readonly names: readonly string[]; readonly repeated: boolean };
  /** Conditions of rows: that they are of the set which has each row once, that they are reached, that they are of all rows. */
  readonly ofParts: (alias: string) => string;
  readonly isReached: (alias: string) => string;
  readonly ofAll: (alias: string) => string;
}

/** The rows, by a select: from what was computed anew of that set, and from the state where nothing was. */
export function printTotals(
  { columns, empty, parts, ofParts, isReached, ofAll }: TotalsPlan,
  tables: { readonly stateTable: string; readonly freshTable: string; readonly deltaTable: string },
): string {
  const added = columns.flatMap(({ name, sql }) => (sql === null ? [] : [name]));
  const taken = `select ${parts.repeated ? "distinct " : ""}${[...parts.names, ...added].join(", ")}`;
  const groups = [
    `${taken} from ${tables.stateTable} v where ${ofParts("v")} and (${isReached("v")}) is not true`,
    `${taken} from ${tables.freshTable} f where ${ofParts("f")}`,
  ].join("\nunion all ");
  const totals = columns.flatMap(({ name, sql }) => (sql === null ? [] : [`${sql} as ${name}`]));
  const listed = columns.map(({ name, sql }) => `${sql === null ? "z" : "d"}.${name}`).join(", ");
  const rows = `(select * from (${empty}) q (${columns.map(({ name }) => name).join(", ")}) where ${ofAll("q")}) z`;
  const from = totals.length === 0 ? rows : `${rows}\ncross join (select ${totals.join(", ")} from (${groups}) r) d`;
  return `select ${listed} from ${from}\nwhere exists (select from ${tables.deltaTable})`;
}
