/**
 * NATURAL JOIN is a join by USING, of the columns that both sides show. A column that both tables come to have later joins
 * them too: the view then has another hash, and is built again.
 */
import type { JoinExpr, Node } from "@pgsql/types";
import { quote } from "../../catalog/definitions.ts";
import { locationOf } from "./clauses.ts";
import { nameOf, refuse } from "./expression.ts";
import type { Binding } from "./from.ts";
import type { Scope } from "./scope.ts";
import type { SourceText } from "./source-text.ts";
import { hasEquality, isNumber, isText, type SqlType } from "./sql-type.ts";
import { mirrorTable, resolveTable } from "./tables.ts";

/** The columns that a join is by, in their order on its left side; none where it has a condition or is a product. */
export function usingNames(join: JoinExpr, left: Scope, right: Scope): string[] {
  if (join.isNatural !== true) return (join.usingClause ?? []).map(nameOf);
  const onTheRight = new Set(right.visible.map((column) => column.name));
  return [...new Set(left.visible.map((column) => column.name).filter((name) => onTheRight.has(name)))];
}

/** Refuses columns of one name that PostgreSQL has no equality for: a natural join takes them in unasked. */
export function checkMeet(name: string, left: SqlType, right: SqlType, join: JoinExpr, source: SourceText): void {
  const [a, b] = [family(left), family(right)];
  const comparable = hasEquality(left) && hasEquality(right) && (a === null || b === null || a === b);
  if (comparable) return;
  const types = left.name === right.name ? `type ${left.name}` : `types ${left.name} and ${right.name}`;
  throw source.refusal("VIEW_SQL_INVALID", `column "${name}" cannot be joined by: it has ${types}`, {
    at: locationOf(join.rarg),
    hint:
      join.isNatural === true
        ? "Name the columns that are meant: join … using (…)."
        : "Cast one side in a subquery, or use on.",
  });
}

/** Types that are equal to those of their own family alone; null for what is not known here. */
function family(one: SqlType): string | null {
  if (one.array) return null;
  if (isNumber(one)) return "number";
  if (isText(one)) return "text";
  return ["bool", "uuid", "bytea", "jsonb", "interval"].includes(one.name) ? one.name : null;
}

/** Writes the tables under a natural join with the columns of their shapes: mirrors have hidden ones, which must not meet. */
export function pinTables(item: Node | undefined, binding: Binding): void {
  if (item === undefined) return;
  if ("JoinExpr" in item) {
    pinTables(item.JoinExpr.larg, binding);
    pinTables(item.JoinExpr.rarg, binding);
  }
  if (!("RangeVar" in item)) return;
  const { location = -1 } = item.RangeVar;
  const written = binding.replacements.get(location);
  // A name of WITH is not replaced.
  if (written === undefined) return;
  if (item.RangeVar.inh !== true) {
    throw refuse(binding, "ONLY is not read under a natural join", location, "Leave ONLY out.");
  }
  const { mirror } = resolveTable(item.RangeVar, binding.mirrors, binding.source);
  const columns = mirror.shape.columns.map((column) => quote(column.name)).join(", ");
  const table = mirrorTable(mirror);
  // Natural joins in a row meet it again.
  if (!written.text.startsWith(table)) return;
  const pinned = `(select ${columns} from ${table})${written.text.slice(table.length)}`;
  binding.replacements.set(location, { end: written.end, text: pinned });
}
