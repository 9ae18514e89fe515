/**
 * Schemas of a captured table's events, from the shape of the table: the envelope and the key that
 * `docs/reference/envelope.md` describes, in Avro and in JSON Schema, under the names that Debezium gives them.
 *
 * Every column may be null in a row: a delete tells no more than the key, and a large value that did not change is not
 * sent. So a column can be added and taken away, and both schemas of Avro still read each other's data.
 */
import type { ColumnShape, TableShape } from "../table-shape.ts";
import { valueForm } from "../value-form.ts";

/** On the Avro schemas of captured tables: what is read with them stands in the envelope's JSON. */
export const capturedProp = "millrace.captured";
/** On a field whose column has a name that Avro cannot write. */
export const columnProp = "millrace.column";

/** A value of JSON, as a schema is written. */
type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

export function avroEnvelopeSchema(shape: TableShape): string {
  const namespace = avroNamespace(shape);
  return JSON.stringify({
    type: "record",
    name: "Envelope",
    namespace,
    fields: [
      { name: "before", type: ["null", avroRow(shape)], default: null },
      { name: "after", type: ["null", "Value"], default: null },
      { name: "source", type: avroSource },
      { name: "transaction", type: ["null", avroTransaction], default: null },
      { name: "op", type: "string" },
      { name: "ts_ms", type: ["null", "long"], default: null },
      { name: "ts_us", type: ["null", "long"], default: null },
      { name: "ts_ns", type: ["null", "long"], default: null },
    ],
    "connect.name": `${namespace}.Envelope`,
    [capturedProp]: true,
  });
}

/** Null for a table without a key. */
export function avroKeySchema(shape: TableShape): string | null {
  if (shape.key === null) return null;
  const names = avroColumnNames(shape);
  const fields = keyColumns(shape).map((column) => ({
    name: names.get(column.name) as string,
    type: avroValue(column),
    ...originalName(column, names),
  }));
  const namespace = avroNamespace(shape);
  return JSON.stringify({
    type: "record",
    name: "Key",
    namespace,
    fields,
    "connect.name": `${namespace}.Key`,
    [capturedProp]: true,
  });
}

/** By the column's own name: letters, digits and `_` only, and no two the same. */
function avroColumnNames(shape: TableShape): ReadonlyMap<string, string> {
  const taken = new Set<string>();
  return new Map(
    shape.columns.map(({ name }) => {
      const plain = avroName(name);
      let free = plain;
      for (let i = 2; taken.has(free); i++) free = `${plain}_${i}`;
      taken.add(free);
      return [name, free] as const;
    }),
  );
}

/** The columns of the key, in the order of the table. */
export function keyColumns(shape: TableShape): readonly ColumnShape[] {
  return shape.columns.filter(({ name }) => shape.key?.includes(name));
}

function avroRow(shape: TableShape): Json {
  const names = avroColumnNames(shape);
  const fields = shape.columns.map((column) => {
    const value = avroValue(column);
    const type = ["null", ...(Array.isArray(value) ? (value as Json[]) : [value])];
    return { name: names.get(column.name) as string, type, default: null, ...originalName(column, names) };
  });
  return { type: "record", name: "Value", fields, "connect.name": `${avroNamespace(shape)}.Value` };
}

function originalName(column: ColumnShape, names: ReadonlyMap<string, string>): { readonly [name: string]: Json } {
  return names.get(column.name) === column.name ? {} : { [columnProp]: column.name };
}

/** A type, or the branches of a union: an array with its own lower bounds, or of several dimensions, is a string. */
function avroValue(column: ColumnShape): Json {
  const form = valueForm(column.storeType);
  if (!form.array) return avroScalar(column.storeType);
  return [{ type: "array", items: ["null", avroScalar(column.storeType.slice(0, -2))] }, "string"];
}

function avroScalar(storeType: string): Json {
  const type = storeType.replace(/\(\d+(?:,\d+)?\)/, "");
  const scalar = Object.hasOwn(avroScalars, type) ? avroScalars[type] : undefined;
  return scalar ?? "string";
}

function named(name: string): Json {
  return { type: "string", "connect.version": 1, "connect.name": name };
}

const avroScalars: Readonly<Record<string, Json>> = {
  boolean: "boolean",
  smallint: { type: "int", "connect.type": "int16" },
  integer: "int",
  bigint: "long",
  oid: "long",
  real: "float",
  "double precision": "double",
  bytea: "bytes",
  date: named("io.debezium.time.IsoDate"),
  "time without time zone": named("io.debezium.time.IsoTime"),
  "timestamp without time zone": named("io.debezium.time.IsoTimestamp"),
  "timestamp with time zone": named("io.debezium.time.ZonedTimestamp"),
  interval: named("io.debezium.time.Interval"),
  uuid: named("io.debezium.data.Uuid"),
  json: named("io.debezium.data.Json"),
  jsonb: named("io.debezium.data.Json"),
};

const avroSource: Json = {
  type: "record",
  name: "Source",
  namespace: "io.debezium.connector.postgresql",
  fields: [
    { name: "version", type: "string" },
    { name: "connector", type: "string" },
    { name: "name", type: "string" },
    { name: "ts_ms", type: "long" },
    { name: "snapshot", type: ["null", "string"], default: null },
    { name: "db", type: "string" },
    { name: "sequence", type: ["null", "string"], default: null },
    { name: "ts_us", type: ["null", "long"], default: null },
    { name: "ts_ns", type: ["null", "long"], default: null },
    { name: "schema", type: "string" },
    { name: "table", type: "string" },
    { name: "txId", type: ["null", "long"], default: null },
    { name: "lsn", type: ["null", "long"], default: null },
    { name: "xmin", type: ["null", "long"], default: null },
    { name: "origin", type: ["null", "string"], default: null },
    { name: "origin_lsn", type: ["null", "long"], default: null },
  ],
  "connect.name": "io.debezium.connector.postgresql.Source",
};

const avroTransaction: Json = {
  type: "record",
  name: "block",
  namespace: "event",
  fields: [
    { name: "id", type: "string" },
    { name: "total_order", type: "long" },
    { name: "data_collection_order", type: "long" },
  ],
  "connect.version": 1,
  "connect.name": "event.block",
};

function avroNamespace({ source, schema, table }: TableShape): string {
  return [source, schema, table].map(avroName).join(".");
}

function avroName(name: string): string {
  const plain = name.replace(/[^A-Za-z0-9_]/g, "_");
  return /^[A-Za-z_]/.test(plain) ? plain : `_${plain}`;
}

const draft = "http://json-schema.org/draft-07/schema#";

/** With the notes by which Confluent's converter makes the types of Kafka Connect again: `connect.type`, `connect.index`. */
export function jsonEnvelopeSchema(shape: TableShape): string {
  const row = { oneOf: [{ type: "null" }, { $ref: "#/definitions/Value" }] };
  return JSON.stringify({
    $schema: draft,
    title: `${jsonNamespace(shape)}.Envelope`,
    type: "object",
    properties: inOrder({
      before: row,
      after: row,
      source: {
        type: "object",
        title: "io.debezium.connector.postgresql.Source",
        properties: inOrder(jsonSource),
        required: ["version", "connector", "name", "ts_ms", "db", "schema", "table"],
      },
      transaction: orNull({
        type: "object",
        title: "event.block",
        properties: inOrder({ id: { type: "string" }, total_order: int64, data_collection_order: int64 }),
        required: ["id", "total_order", "data_collection_order"],
      }),
      op: { type: "string", enum: ["c", "u", "d", "r", "t"] },
      ts_ms: orNull(int64),
      ts_us: orNull(int64),
      ts_ns: orNull(int64),
    }),
    required: ["op", "source"],
    definitions: {
      Value: {
        title: `${jsonNamespace(shape)}.Value`,
        type: "object",
        properties: inOrder(
          Object.fromEntries(shape.columns.map((column) => [column.name, orNull(jsonValue(column.storeType))])),
        ),
        additionalProperties: false,
      },
    },
  });
}

/** Null for a table without a key. */
export function jsonKeySchema(shape: TableShape): string | null {
  if (shape.key === null) return null;
  const columns = keyColumns(shape);
  return JSON.stringify({
    $schema: draft,
    title: `${jsonNamespace(shape)}.Key`,
    type: "object",
    properties: inOrder(Object.fromEntries(columns.map((column) => [column.name, jsonValue(column.storeType)]))),
    required: columns.map(({ name }) => name),
    additionalProperties: false,
  });
}

function jsonNamespace({ source, schema, table }: TableShape): string {
  return `${source}.${schema}.${table}`;
}

type JsonMembers = { readonly [name: string]: { readonly [keyword: string]: Json } };

function inOrder(members: JsonMembers): Json {
  return Object.fromEntries(
    Object.entries(members).map(([name, schema], i) => [name, { ...schema, "connect.index": i }]),
  );
}

/** Alternatives that cannot both fit. */
function orNull(schema: Json): { readonly [keyword: string]: Json } {
  return { oneOf: [{ type: "null" }, schema] };
}

const int64 = { type: "integer", "connect.type": "int64" };
const text = { type: "string" };

const jsonSource: JsonMembers = {
  ...{ version: text, connector: text, name: text, ts_ms: int64, snapshot: orNull(text), db: text },
  ...{ sequence: orNull(text), ts_us: orNull(int64), ts_ns: orNull(int64), schema: text, table: text },
  ...{ txId: orNull(int64), lsn: orNull(int64), xmin: orNull(int64), origin: orNull(text), origin_lsn: orNull(int64) },
};

const jsonIntegers: Readonly<Record<string, string>> = { smallint: "int16", integer: "int32" };

function jsonValue(storeType: string): { readonly [keyword: string]: Json } {
  const form = valueForm(storeType);
  if (form.array) return { type: ["array", "string"] };
  switch (form.kind) {
    case "boolean":
      return { type: "boolean" };
    case "integer":
      return { type: "integer", "connect.type": jsonIntegers[storeType] ?? "int64" };
    case "float": {
      const connectType = storeType === "real" ? "float32" : "float64";
      const special = { type: "string", enum: ["NaN", "Infinity", "-Infinity"] };
      return { oneOf: [{ type: "number", "connect.type": connectType }, special] };
    }
    case "bytea":
      return { type: "string", "connect.type": "bytes" };
    default:
      return { type: "string" };
  }
}
