import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import type { TableShape } from "../schema/table-shape.ts";
import type { SchemaInput } from "./define/topic-schema.ts";
import { topic, webhook } from "./definitions.ts";
import { baseColumns, topicTable } from "./topic-table.ts";

function shapeOf(...given: Parameters<typeof topic>): TableShape {
  const shape = topicTable(topic(...given));
  assert.ok(shape);
  return shape;
}

/** The columns that come from the schema, with their types. */
function columnsOf(schema: SchemaInput): Record<string, string> {
  const { columns } = shapeOf("events", { schema });
  return Object.fromEntries(
    columns.slice(baseColumns.length).map(({ name, storeType, nullable, generated }) => {
      assert.ok(nullable && generated !== undefined);
      return [name, storeType];
    }),
  );
}

test("a topic whose records expire is a stream: each record is a row", () => {
  const { source, schema, table, topic: name, key, records, columns, appendOnly } = shapeOf("payments");
  assert.deepEqual([source, schema, table, name], ["topics", "public", "payments", "payments"]);
  assert.deepEqual([key, records, appendOnly], [["_partition", "_offset"], "stream", false]);
  assert.deepEqual(columns, baseColumns);
});

test("a compacted topic has the last value of each key", () => {
  for (const cleanup of ["compact", "compact,delete"] as const) {
    const { key, records, columns } = shapeOf("rates", { cleanup });
    assert.deepEqual([key, records], [["_key"], "latest"]);
    assert.equal(columns.find(({ name }) => name === "_key")?.nullable, false);
  }
});

test("a webhook is a stream without a schema", () => {
  const shape = topicTable(webhook("stripe", { verify: { kind: "verifier", keepHeaders: [] } as never }));
  assert.deepEqual([shape?.records, shape?.columns], ["stream", baseColumns]);
});

test("a topic whose name is too long for a table has none", () => {
  assert.equal(topicTable(topic("a".repeat(64))), null);
  assert.equal(shapeOf("a".repeat(63)).table.length, 63);
});

const object = (properties: Record<string, unknown>, more: object = {}) => ({ type: "object", properties, ...more });

test("properties of a JSON Schema have the types of their values", () => {
  assert.deepEqual(
    columnsOf(
      object({
        name: { type: "string" },
        mail: { type: "string", format: "email" },
        at: { type: "string", format: "date-time" },
        day: { type: "string", format: "date" },
        id: { type: "string", format: "uuid" },
        count: { type: "integer" },
        price: { type: "number" },
        paid: { type: "boolean" },
        tags: { type: "array" },
        more: { type: "object" },
        anything: {},
        nothing: false,
        nullOnly: { type: "null" },
        formatAlone: { format: "date" },
      }),
    ),
    {
      name: "text",
      mail: "text",
      at: "timestamp with time zone",
      day: "date",
      id: "uuid",
      count: "bigint",
      price: "numeric",
      paid: "boolean",
      tags: "jsonb",
      more: "jsonb",
      anything: "jsonb",
      nothing: "jsonb",
      nullOnly: "jsonb",
      formatAlone: "jsonb",
    },
  );
});

test("null is left out of what a value may be, and several types are one where there is one for them", () => {
  const day = { type: "string", format: "date" };
  assert.deepEqual(
    columnsOf(
      object(
        {
          listed: { type: ["string", "null"] },
          any: { anyOf: [{ type: "integer" }, { type: "null" }] },
          one: { oneOf: [{ type: "null" }, day] },
          referred: { $ref: "#/$defs/day" },
          orNull: { anyOf: [{ $ref: "#/$defs/day" }, { type: "null" }] },
          all: { allOf: [{ $ref: "#/$defs/day" }, { description: "of birth" }] },
          narrowed: { allOf: [{ type: "string" }, day] },
          numbers: { type: ["integer", "number"] },
          texts: { anyOf: [{ type: "string" }, day] },
          mixed: { type: ["string", "integer"] },
          listedValues: { enum: ["open", "paid", null] },
          mixedValues: { enum: ["open", 1] },
          constant: { const: 3 },
          fraction: { const: 1.5 },
          circle: { anyOf: [{ $ref: "#/properties/circle" }, { $ref: "#/properties/circle" }] },
          itself: { $ref: "#" },
        },
        { $schema: "https://json-schema.org/draft/2020-12/schema", $defs: { day } },
      ),
    ),
    {
      listed: "text",
      any: "bigint",
      one: "date",
      referred: "date",
      orNull: "date",
      all: "date",
      narrowed: "date",
      numbers: "numeric",
      texts: "text",
      mixed: "jsonb",
      listedValues: "text",
      mixedValues: "jsonb",
      constant: "bigint",
      fraction: "numeric",
      circle: "jsonb",
      itself: "jsonb",
    },
  );
});

test("an event of several kinds has the properties of all of them", () => {
  const kinds = [
    object({ type: { const: "opened" }, at: { type: "string", format: "date-time" }, by: { type: "string" } }),
    object({ type: { const: "closed" }, at: { type: "string", format: "date-time" }, by: { type: "integer" } }),
  ];
  const moment = "timestamp with time zone";
  assert.deepEqual(columnsOf({ oneOf: kinds }), { type: "text", at: moment, by: "jsonb" });
  const base = { definitions: { base: object({ id: { type: "integer" } }) } };
  assert.deepEqual(columnsOf({ allOf: [{ $ref: "#/definitions/base" }, kinds[0]], ...base }), {
    id: "bigint",
    type: "text",
    at: moment,
    by: "text",
  });
  assert.deepEqual(columnsOf({ $ref: "#/definitions/base", ...base }), { id: "bigint" });
});

test("a schema of zod has the columns of its JSON Schema", () => {
  const schema = z.object({
    id: z.uuid(),
    at: z.iso.datetime(),
    day: z.iso.date().nullable(),
    amount: z.number(),
    count: z.int().optional(),
    state: z.enum(["open", "paid"]),
    lines: z.array(z.string()),
  });
  assert.deepEqual(columnsOf(schema), {
    id: "uuid",
    at: "timestamp with time zone",
    day: "date",
    amount: "numeric",
    count: "bigint",
    state: "text",
    lines: "jsonb",
  });
});

test("fields of an Avro record have the types of their JSON", () => {
  const fields = [
    ["i", "int"],
    ["l", "long"],
    ["f", "float"],
    ["b", "boolean"],
    ["s", "string"],
    ["y", "bytes"],
    ["e", { type: "enum", name: "E", symbols: ["A"] }],
    ["a", { type: "array", items: "int" }],
    ["optional", ["null", "string"]],
    ["several", ["null", "string", "int"]],
    ["u", { type: "string", logicalType: "uuid" }],
    ["d", { type: "int", logicalType: "date" }],
    ["ms", { type: "long", logicalType: "timestamp-millis" }],
    ["us", ["null", { type: "long", logicalType: "timestamp-micros" }]],
  ].map(([name, type]) => ({ name, type }));
  assert.deepEqual(columnsOf({ avro: { type: "record", name: "R", fields } }), {
    i: "bigint",
    l: "bigint",
    f: "numeric",
    b: "boolean",
    s: "text",
    y: "text",
    e: "text",
    a: "jsonb",
    optional: "text",
    several: "jsonb",
    u: "uuid",
    d: "date",
    ms: "timestamp with time zone",
    us: "timestamp with time zone",
  });
  assert.deepEqual(columnsOf({ avro: { type: "map", values: "int" } }), {});
});

test("fields of a Protobuf message have the types of their JSON and the names of the file", () => {
  const protobuf = `syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto";
    message Paid { string order_id = 1; int64 cents = 2; uint64 big = 3; int32 small = 4; double rate = 5; bool ok = 6;
      bytes raw = 7; Kind kind = 8; repeated string tags = 9; map<string, int32> counts = 10;
      google.protobuf.Timestamp at = 11; google.protobuf.Int64Value maybe = 12; Line line = 13; }
    message Line { string sku = 1; } enum Kind { NONE = 0; }`;
  assert.deepEqual(columnsOf({ protobuf }), {
    order_id: "text",
    cents: "bigint",
    big: "numeric",
    small: "bigint",
    rate: "numeric",
    ok: "boolean",
    raw: "text",
    kind: "text",
    tags: "jsonb",
    counts: "jsonb",
    at: "timestamp with time zone",
    maybe: "bigint",
    line: "jsonb",
  });
});

test("members whose names cannot be columns are left out, and so is what is too many", () => {
  const text = { type: "string" };
  const names = ["", "_key", "_mine", "a".repeat(64), "é".repeat(32), "xmin", "ctid", "nul\0", "\ud800"];
  const kept = ["a".repeat(63), "it's", "Größe", "oid"];
  const properties = Object.fromEntries([...names, ...kept].map((name) => [name, text]));
  assert.deepEqual(Object.keys(columnsOf(object(properties))), kept);
  const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`m${i}`, text]));
  assert.equal(Object.keys(columnsOf(object(many))).length, 200);
});

test("a schema that refers to itself in long chains is read", () => {
  const $defs = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`d${i}`, { $ref: `#/$defs/d${i + 1}` }]));
  const schema = object({ deep: { $ref: "#/$defs/d0" } }, { $defs: { ...$defs, d5000: { type: "string" } } });
  assert.deepEqual(columnsOf(schema), { deep: "jsonb" });
  assert.deepEqual(columnsOf({ $ref: "#/$defs/d0", $defs: { ...$defs, d5000: object({ x: { type: "string" } }) } }), {
    x: "text",
  });
});

test("a topic's watermark is by a member that is a moment, and not of a compacted topic", () => {
  const schema = {
    type: "object",
    properties: { at: { type: "string", format: "date-time" }, n: { type: "integer" } },
  } as const;
  const of = (options: object) => topic("events", options as never);
  const shape = topicTable(of({ schema, watermark: { time: "at", lateness: "30s" } }));
  assert.deepEqual(shape?.watermark, { member: "at", form: "date-time", latenessMs: 30_000 });
  assert.ok(shape?.columns.some(({ name }) => name === "_watermark"));
  assert.equal(topicTable(of({ watermark: { time: "when" } }))?.watermark?.form, "date-time");
  const refusals: readonly (readonly [object, RegExp])[] = [
    [{ schema, watermark: { time: "n" } }, /is no moment by its schema/],
    [{ schema, watermark: { time: "at", lateness: "soon" } }, /lateness/],
    [{ watermark: { time: "at" }, cleanup: "compact" }, /is compacted/],
    [{ watermark: "at" }, /does not name a member/],
    [{ watermark: { time: "at", late: "1s" } }, /an option "late"/],
  ];
  for (const [options, message] of refusals) assert.throws(() => of(options), { code: "DEFINITION_INVALID", message });
});
