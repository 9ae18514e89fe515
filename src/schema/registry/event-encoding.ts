/**
 * How a captured table's events are written other than in JSON: in the wire format of registry clients, each key and value
 * with the id of the schema that it was written with.
 */
import type { TableShape } from "../table-shape.ts";
import { AvroEnvelopeEncoder } from "./avro/envelope-encoder.ts";
import type { SchemaType } from "./parsed-schema.ts";
import { avroEnvelopeSchema, avroKeySchema, jsonEnvelopeSchema, jsonKeySchema } from "./table-schemas.ts";
import { encodeWire } from "./wire.ts";

/** `json` is JSON without a schema's id. */
export const eventEncodings = ["json", "avro", "json-schema"] as const;
export type EventEncodingName = (typeof eventEncodings)[number];
export type WireEncodingName = Exclude<EventEncodingName, "json">;

/** From an event's JSON to its bytes. Throws `SCHEMA_MISMATCH` when it is no event of the table. */
export interface EventEncoding {
  key(json: Buffer): Buffer;
  value(json: Buffer): Buffer;
}

export interface TableSchemas {
  readonly type: SchemaType;
  readonly value: string;
  /** Null for a table without a key. */
  readonly key: string | null;
}

/** What is registered of a table. */
export function tableSchemas(shape: TableShape, encoding: EventEncodingName): TableSchemas {
  if (encoding !== "avro") return { type: "JSON", value: jsonEnvelopeSchema(shape), key: jsonKeySchema(shape) };
  return { type: "AVRO", value: avroEnvelopeSchema(shape), key: avroKeySchema(shape) };
}

/** `ids` are those of the registered `tableSchemas`. */
export function eventEncoding(
  shape: TableShape,
  encoding: WireEncodingName,
  ids: { readonly value: number; readonly key: number },
): EventEncoding {
  if (encoding === "json-schema") {
    return { key: (json) => encodeWire(ids.key, json), value: (json) => encodeWire(ids.value, json) };
  }
  const encoder = new AvroEnvelopeEncoder(shape);
  return {
    key: (json) => encodeWire(ids.key, encoder.key(json)),
    value: (json) => encodeWire(ids.value, encoder.value(json)),
  };
}
