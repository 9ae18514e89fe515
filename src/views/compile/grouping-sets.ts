/** GROUP BY as the list of plain groupings that GROUPING SETS, ROLLUP and CUBE stand for. */
import type { GroupingSet, Node, SelectStmt } from "@pgsql/types";
import { refuse } from "./expression.ts";
import type { SourceText } from "./source-text.ts";

export const groupingSetsMax = 64;

interface Place {
  readonly source: SourceText;
}

type Sets = readonly (readonly Node[])[];

/** The expressions of each grouping set, in PostgreSQL's order. One set that is empty where nothing is grouped by. */
export function groupingSets(select: SelectStmt, place: Place): Sets {
  return (select.groupClause ?? []).reduce<Sets>((sets, item) => product(sets, setsOf(item, place), place), [[]]);
}

/** Every expression of GROUP BY, in the order in which they are written. */
export function groupedExpressions(select: SelectStmt): Node[] {
  const expressions = (item: Node): Node[] =>
    "GroupingSet" in item ? (item.GroupingSet.content ?? []).flatMap(expressions) : unit(item);
  return (select.groupClause ?? []).flatMap(expressions);
}

function product(left: Sets, right: Sets, place: Place): Sets {
  if (left.length * right.length > groupingSetsMax) throw tooMany(place);
  return left.flatMap((a) => right.map((b) => [...a, ...b]));
}

function setsOf(item: Node, place: Place): Sets {
  if (!("GroupingSet" in item)) return [unit(item)];
  const { kind, content = [] } = item.GroupingSet;
  if (kind === "GROUPING_SET_ROLLUP") return rollup(content);
  if (kind === "GROUPING_SET_CUBE") return cube(item.GroupingSet, place);
  if (kind === "GROUPING_SET_EMPTY") return [[]];
  const sets = content.flatMap((one) => setsOf(one, place));
  if (sets.length > groupingSetsMax) throw tooMany(place);
  return sets;
}

/** `(a, b)` in parentheses counts as one; `row(a, b)` is a value. */
function unit(item: Node): Node[] {
  if (!("RowExpr" in item) || item.RowExpr.row_format !== "COERCE_IMPLICIT_CAST") return [item];
  return (item.RowExpr.args ?? []).flatMap(unit);
}

function rollup(content: readonly Node[]): Sets {
  const units = content.map(unit);
  return [...units, []].map((_, i) => units.slice(0, units.length - i).flat());
}

function cube({ content = [] }: GroupingSet, place: Place): Sets {
  if (2 ** content.length > groupingSetsMax) throw tooMany(place);
  const units = content.map(unit);
  const masks = Array.from({ length: 2 ** units.length }, (_, i) => 2 ** units.length - 1 - i);
  return masks.map((mask) => units.flatMap((one, i) => ((mask >> (units.length - 1 - i)) & 1 ? one : [])));
}

function tooMany(place: Place) {
  return refuse(
    place,
    `its grouping sets are more than ${groupingSetsMax}`,
    undefined,
    "Write those that are read: grouping sets ((a, b), (a), ()), or split the view.",
  );
}
