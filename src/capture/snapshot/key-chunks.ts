/** The queries that read a table in the order of its key, a chunk at a time. Pure. */
import { quote } from "../../catalog/definitions.ts";
import type { TableShape } from "../../schema/table-shape.ts";

/** What of a table is read: its columns, from where, under which condition. */
export interface ReadTable {
  readonly shape: TableShape;
  /** `pg_class.relkind`: of a partitioned table the partitions are read, of an inherited one its own rows only. */
  readonly kind: string;
  /** A condition in SQL; null for all rows. */
  readonly where: string | null;
  /** Collation of the key's index by column, where it is not the column's own. */
  readonly collations: Readonly<Record<string, string>>;
}

/** Values of the key's columns, as the server prints them. */
export type KeyText = readonly string[];

/** All rows, in any order. */
export function wholeTable(table: ReadTable, condition: string | null = null, from = tableName(table)): string {
  return select(table, condition, "", from);
}

/**
 * The next rows in the order of the key. The order is that of the key's index, so that the index gives it; the comparison
 * takes the same collation, or rows between two orders would be passed over.
 */
export function nextChunk(table: ReadTable, after: KeyText | null, rows: number): string {
  const key = keyExpressions(table);
  const condition = after === null ? null : `(${key.join(", ")}) > (${after.map(literal).join(", ")})`;
  return select(table, condition, ` order by ${key.join(", ")} limit ${rows}`);
}

/** The rows of these keys. */
export function rowsOfKeys(table: ReadTable, keys: readonly KeyText[]): string {
  const list = keys.map((key) => `(${key.map(literal).join(", ")})`).join(", ");
  return select(table, `(${(table.shape.key ?? []).map(quote).join(", ")}) in (${list})`, "");
}

/** Rows whose place in the table's file lies in a range of pages; `to` null is open. */
export function pageRange(table: ReadTable, first: number, behind: number | null, from = tableName(table)): string {
  const end = behind === null ? "" : ` and ctid < '(${behind},0)'::tid`;
  return select(table, `ctid >= '(${first},0)'::tid${end}`, "", from);
}

/** A partitioned table with its partitions; of an inherited one only itself. */
export function tableName({ shape, kind }: Pick<ReadTable, "shape" | "kind">): string {
  return `${kind === "p" ? "" : "only "}${quote(shape.schema)}.${quote(shape.table)}`;
}

function keyExpressions({ shape, collations }: ReadTable): string[] {
  return (shape.key ?? []).map((name) => {
    const collation = collations[name];
    return collation === undefined ? quote(name) : `${quote(name)} collate ${collation}`;
  });
}

function select(table: ReadTable, condition: string | null, tail: string, from = tableName(table)): string {
  const columns = table.shape.columns.map(({ name }) => quote(name)).join(", ");
  const conditions = [condition, table.where].filter((one) => one !== null).map((one) => `(${one}\n)`);
  const where = conditions.length === 0 ? "" : ` where ${conditions.join(" and ")}`;
  return `copy (select ${columns} from ${from}${where}${tail}) to stdout`;
}

/** Of no type: the server gives it that of the column it is compared with. */
function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes("\\") ? ` E${quoted.replaceAll("\\", "\\\\")}` : quoted;
}
