/** The name that PostgreSQL gives a column of a select list that has none of its own (its FigureColname). */
import type { Node } from "@pgsql/types";

export const namelessColumn = "?column?";

export function outputName(node: Node): string {
  return figure(node)?.name ?? namelessColumn;
}

function figure(node: Node | undefined): { name: string; strong: boolean } | null {
  if (node === undefined) return null;
  const strong = (name: string) => ({ name, strong: true });
  if ("ColumnRef" in node) return lastName(node.ColumnRef.fields);
  if ("FuncCall" in node) return lastName(node.FuncCall.funcname);
  if ("A_Indirection" in node) return figure(node.A_Indirection.arg);
  if ("CollateClause" in node) return figure(node.CollateClause.arg);
  if ("TypeCast" in node) {
    const inner = figure(node.TypeCast.arg);
    if (inner?.strong === true) return inner;
    const own = lastName(node.TypeCast.typeName?.names);
    return own === null ? inner : { ...own, strong: false };
  }
  if ("CaseExpr" in node) {
    const inner = figure(node.CaseExpr.defresult);
    return inner?.strong === true ? inner : { name: "case", strong: false };
  }
  if ("A_Expr" in node) return node.A_Expr.kind === "AEXPR_NULLIF" ? strong("nullif") : null;
  if ("CoalesceExpr" in node) return strong("coalesce");
  if ("MinMaxExpr" in node) return strong(node.MinMaxExpr.op === "IS_GREATEST" ? "greatest" : "least");
  if ("A_ArrayExpr" in node) return strong("array");
  if ("RowExpr" in node) return strong("row");
  return null;
}

function lastName(nodes: readonly Node[] | undefined): { name: string; strong: boolean } | null {
  const last = nodes?.at(-1);
  return last !== undefined && "String" in last ? { name: last.String.sval ?? "", strong: true } : null;
}
