/** A captured table while it is read, and what a change of its form means. */
import type { EnvelopeWriter } from "../schema/envelope-writer.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { Relation } from "./pgoutput.ts";

/** The types of a column as the server numbers them. */
export interface ColumnType {
  readonly oid: number;
  readonly modifier: number;
}

export interface CapturedTable {
  readonly oid: number;
  readonly shape: TableShape;
  readonly types: readonly ColumnType[];
  /** Its place among the topics of the source. */
  readonly topic: number;
  readonly writer: EnvelopeWriter;
}

export type RelationChange =
  | { readonly kind: "same" }
  /** All that was there is as it was; columns were added behind. */
  | { readonly kind: "columns-added"; readonly from: number }
  | { readonly kind: "other"; readonly reason: string };

/** What the stream says that a table is, against what is known of it. */
export function compareRelation(table: Pick<CapturedTable, "shape" | "types">, relation: Relation): RelationChange {
  const { shape } = table;
  const other = (reason: string): RelationChange => ({
    kind: "other",
    reason: `table "${shape.schema}.${shape.table}": ${reason}`,
  });
  if (relation.schema !== shape.schema || relation.table !== shape.table) {
    return other(`it is called "${relation.schema}.${relation.table}" now`);
  }
  for (let i = 0; i < shape.columns.length; i++) {
    const known = shape.columns[i] as TableShape["columns"][number];
    const told = relation.columns[i];
    if (told === undefined) return other(`column "${known.name}" is gone`);
    if (told.name !== known.name) return other(`column "${told.name}" stands where "${known.name}" was`);
    const type = table.types[i];
    if (type?.oid !== told.typeOid || type.modifier !== told.typeModifier) {
      return other(`column "${known.name}" has another type`);
    }
  }
  if (!sameKey(shape, relation)) return other("its key is another one");
  if (relation.columns.length > shape.columns.length) return { kind: "columns-added", from: shape.columns.length };
  return { kind: "same" };
}

/** With replica identity full every column is marked, so that the stream does not tell the key. */
function sameKey(shape: TableShape, relation: Relation): boolean {
  if (relation.identity === "full" || shape.appendOnly) return true;
  const told = relation.columns.filter(({ identity }) => identity).map(({ name }) => name);
  return shape.key !== null && told.length === shape.key.length && told.every((name) => shape.key?.includes(name));
}
