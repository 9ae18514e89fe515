/** Clauses of a SELECT that neither class has, each refused with what would help. */
import type { Node, SelectStmt } from "@pgsql/types";
import { refuse } from "./expression.ts";
import { windowFunctions } from "./refusals.ts";
import type { SourceText } from "./source-text.ts";

/** The clauses that no linear or additive query has. */
export function refuseClauses(select: SelectStmt, place: { readonly source: SourceText }): void {
  const no = (message: string, hint: string, nodes?: readonly Node[]) => {
    throw refuse(place, message, nodes === undefined ? undefined : locationOf(nodes[0]), hint);
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
    no(windowFunctions, "Rank the rows when reading (order, limit).", select.windowClause);
  if (select.limitCount !== undefined || select.limitOffset !== undefined)
    no("limit and offset cannot be kept up to date yet", "Limit the rows when reading.", [
      select.limitCount ?? select.limitOffset ?? {},
    ] as Node[]);
  if (select.sortClause !== undefined)
    no("order by has no meaning in a view", "Order the rows when reading.", select.sortClause);
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
