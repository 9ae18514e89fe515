/** DISTINCT and UNION as groups of all their columns: a row is there while the number of rows beneath it is not nothing. */
import type { Node, SelectStmt } from "@pgsql/types";

/** The same query with GROUP BY in place of DISTINCT, or of a UNION without ALL; any other query as it is. */
export function distinctAsGroups(select: SelectStmt): SelectStmt {
  if (isDistinct(select)) {
    const { distinctClause: _, ...rest } = select;
    return { ...rest, groupClause: positions(select.targetList ?? []) };
  }
  if (select.op !== "SETOP_UNION" || select.all === true) return select;
  const { withClause, ...parts } = select;
  const columns = firstPart(select).targetList ?? [];
  return {
    ...(withClause === undefined ? {} : { withClause }),
    targetList: [{ ResTarget: { val: { ColumnRef: { fields: [{ A_Star: {} }] } } } }],
    fromClause: [{ RangeSubselect: { subquery: { SelectStmt: unionOfAll(parts) } } }],
    groupClause: positions(columns),
    limitOption: "LIMIT_OPTION_DEFAULT",
    op: "SETOP_NONE",
  };
}

function isDistinct(select: SelectStmt): boolean {
  const { distinctClause, groupClause, havingClause, targetList } = select;
  // DISTINCT ON names expressions, DISTINCT has one node that is empty.
  if (distinctClause === undefined || distinctClause.some((node) => Object.keys(node).length > 0)) return false;
  if (groupClause !== undefined || havingClause !== undefined) return false;
  return !(targetList ?? []).some(isStar);
}

/** Its columns are not known before FROM is. */
function isStar(target: Node): boolean {
  if (!("ResTarget" in target) || target.ResTarget.val === undefined) return false;
  const { val } = target.ResTarget;
  return "ColumnRef" in val && (val.ColumnRef.fields ?? []).some((field) => "A_Star" in field);
}

/** What UNION takes apart anyway need not be taken apart before. */
function unionOfAll(select: SelectStmt): SelectStmt {
  if (select.op !== "SETOP_UNION") return select;
  const side = (one: SelectStmt | undefined) => (one === undefined ? {} : unionOfAll(one));
  return { ...select, all: true, larg: side(select.larg), rarg: side(select.rarg) };
}

function firstPart(select: SelectStmt): SelectStmt {
  return select.op === undefined || select.op === "SETOP_NONE" || select.larg === undefined
    ? select
    : firstPart(select.larg);
}

function positions(columns: readonly Node[]): Node[] {
  return columns.map((_, i) => ({ A_Const: { ival: { ival: i + 1 } } }));
}
