/** A captured table while it is read, and what a change of its form means. */
import { MillraceError } from "../base/errors.ts";
import type { EnvelopeWriter } from "../schema/envelope-writer.ts";
import type { EventEncoding } from "../schema/registry/event-encoding.ts";
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
  /** What makes a record of the event that the writer holds; null: it stands as it is. */
  readonly encoding: EventEncoding | null;
}

/** `schema.table`, or `table` of `public`. Throws `TABLE_UNKNOWN`. */
export function tableNamed<T extends Pick<CapturedTable, "shape">>(name: string, tables: readonly T[]): T {
  const found = tables.find(({ shape: { schema, table } }) => {
    return name === `${schema}.${table}` || (schema === "public" && name === table);
  });
  if (found !== undefined) return found;
  throw new MillraceError("TABLE_UNKNOWN", `no table ${JSON.stringify(name.slice(0, 130))} is captured`, {
    hint: "millrace sources show has the tables of a source, as schema.table.",
  });
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
