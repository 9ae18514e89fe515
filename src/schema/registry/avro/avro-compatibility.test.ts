import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readJson } from "../../json-token.ts";
import { parseSchema } from "../parse-schema.ts";
import type { AvroSchema } from "../parsed-schema.ts";
import { anyDatum, anySchema, changedSchema } from "./avro.fixture.ts";
import { avroIncompatibilities } from "./avro-incompatibilities.ts";
import { decodeAvro } from "./decode-avro.ts";
import { encodeAvro } from "./encode-avro.ts";

type Json = unknown;

function avro(schema: Json): AvroSchema {
  return parseSchema("AVRO", JSON.stringify(schema)) as AvroSchema;
}

function problems(reader: Json, writer: Json): string[] {
  return avroIncompatibilities(avro(reader).root, avro(writer).root).map(({ kind, path }) => `${kind} ${path}`);
}

const record = (...fields: Json[]) => ({ type: "record", name: "Order", namespace: "shop", fields });
const id = { name: "id", type: "long" };
const node = (type: Json) => ({
  type: "record",
  name: "Node",
  fields: [
    { name: "value", type },
    { name: "next", type: ["null", "Node"], default: null },
  ],
});
const color = (symbols: string[], more = {}) => ({ type: "enum", name: "Color", symbols, ...more });

const cases: [what: string, reader: Json, writer: Json, expected: string[]][] = [
  [
    "a field that the writer lacks needs a default",
    record(id, { name: "x", type: "int" }),
    record(id),
    ["READER_FIELD_MISSING_DEFAULT_VALUE /fields/1"],
  ],
  ["a field with a default may be added", record(id, { name: "x", type: "int", default: 0 }), record(id), []],
  ["a field may be taken away", record(id), record(id, { name: "x", type: "int" }), []],
  ["a renamed field is read by its alias", record({ name: "key", type: "long", aliases: ["id"] }), record(id), []],
  ["a field changes its type", record({ name: "id", type: "string" }), record(id), ["TYPE_MISMATCH /fields/0/type"]],
  ["another name", { ...record(id), name: "Invoice" }, record(id), ["NAME_MISMATCH /name"]],
  ["another name with an alias", { ...record(id), name: "Invoice", aliases: ["Order"] }, record(id), []],
  ["another namespace", { ...record(id), namespace: "other" }, record(id), []],
  ["int is read as long", "long", "int", []],
  ["int is read as float", "float", "int", []],
  ["long is read as double", "double", "long", []],
  ["float is read as double", "double", "float", []],
  ["string is read as bytes", "bytes", "string", []],
  ["bytes are read as string", "string", "bytes", []],
  ["long is not read as int", "int", "long", ["TYPE_MISMATCH /"]],
  ["double is not read as float", "float", "double", ["TYPE_MISMATCH /"]],
  ["a union takes one of its branches", ["null", "string"], "string", []],
  ["a union takes what it can promote", ["null", "double"], "int", []],
  ["a union lacks a branch", ["null", "string"], ["null", "string", "int"], ["MISSING_UNION_BRANCH /2"]],
  ["a union lacks a type", ["null", "string"], "int", ["MISSING_UNION_BRANCH /"]],
  ["a union is read as one of its branches", "string", ["string"], []],
  ["a union is not read as one of its branches", "string", ["null", "string"], ["TYPE_MISMATCH /"]],
  ["an enum lacks symbols", color(["RED"]), color(["RED", "BLUE"]), ["MISSING_ENUM_SYMBOLS /symbols"]],
  ["an enum with a default", color(["RED"], { default: "RED" }), color(["RED", "BLUE"]), []],
  ["an enum gets symbols", color(["RED", "BLUE"]), color(["RED"]), []],
  [
    "fixed of another size",
    { type: "fixed", name: "F", size: 4 },
    { type: "fixed", name: "F", size: 8 },
    ["FIXED_SIZE_MISMATCH /size"],
  ],
  ["items of an array", { type: "array", items: "string" }, { type: "array", items: "int" }, ["TYPE_MISMATCH /items"]],
  ["values of a map", { type: "map", values: "int" }, { type: "map", values: "long" }, ["TYPE_MISMATCH /values"]],
  ["an array is no map", { type: "array", items: "int" }, { type: "map", values: "int" }, ["TYPE_MISMATCH /"]],
  ["a recursive record", node("long"), node("int"), []],
  [
    "a recursive record with a fault",
    node("int"),
    node("long"),
    ["TYPE_MISMATCH /fields/0/type", "MISSING_UNION_BRANCH /fields/1/type/1"],
  ],
];

for (const [what, reader, writer, expected] of cases) {
  test(`Avro: ${what}: ${expected.join(", ") || "compatible"}`, () => {
    assert.deepEqual(problems(reader, writer), expected);
  });
}

test("a fault behind a circle is found, whatever was taken for granted on the way", () => {
  // B is compared while A is open: it is only as good as A turns out to be.
  const schema = (leaf: string) => ({
    type: "record",
    name: "A",
    fields: [
      { name: "b", type: { type: "record", name: "B", fields: [{ name: "a", type: ["null", "A"] }] } },
      { name: "leaf", type: leaf },
      { name: "again", type: ["null", "B"] },
    ],
  });
  const kinds = problems(schema("int"), schema("string"));
  assert.deepEqual(kinds, [
    "MISSING_UNION_BRANCH /fields/0/type/fields/0/type/1",
    "TYPE_MISMATCH /fields/1/type",
    "MISSING_UNION_BRANCH /fields/2/type/1",
  ]);
});

test("every schema reads its own data", () => {
  fc.assert(
    fc.property(anySchema(), (schema) => {
      const { root } = avro(schema);
      assert.deepEqual(avroIncompatibilities(root, root), []);
      assert.deepEqual(avroIncompatibilities(avro(schema).root, root), []);
    }),
  );
});

test("what is found compatible is read: every value of the writer's schema, in the reader's form", () => {
  let compatible = 0;
  const pair = anySchema().chain((schema) =>
    fc.tuple(fc.constant(schema), fc.oneof(changedSchema(schema), anySchema())),
  );
  const tried = pair.chain(([schema, other]) => fc.tuple(fc.constant(schema), fc.constant(other), anyDatum(schema)));
  fc.assert(
    fc.property(tried, ([writerSchema, readerSchema, datum]) => {
      const writer = avro(writerSchema).root;
      const reader = avro(readerSchema).root;
      if (avroIncompatibilities(reader, writer).length > 0) return;
      compatible++;
      const bytes = encodeAvro(writer, readJson(JSON.stringify(datum)), { unions: "tagged" });
      const read = decodeAvro(writer, bytes, { unions: "tagged", reader });
      assert.ok(read.ok, `not read: ${JSON.stringify(read)}`);
      // It is a value of the reader's schema: it can be written with it, and comes back the same.
      const again = encodeAvro(reader, readJson(read.json), { unions: "tagged" });
      assert.deepEqual(decodeAvro(reader, again, { unions: "tagged" }), read);
    }),
    { numRuns: 100 },
  );
  assert.ok(compatible > 10, `only ${compatible} pairs were compatible`);
});

test("an integer that is read as a number of another type is a value of that type", () => {
  const read = (writer: string, reader: string, text: string, longs: "number" | "text" = "number") => {
    const bytes = encodeAvro(avro(writer).root, readJson(text), { unions: "tagged" });
    const decoded = decodeAvro(avro(writer).root, bytes, { unions: "tagged", longs, reader: avro(reader).root });
    return decoded.ok ? decoded.json : decoded.problems;
  };
  assert.equal(read("int", "float", "56571345"), "56571344");
  assert.equal(read("int", "double", "56571345"), "56571345");
  assert.equal(read("long", "double", "9007199254740993", "text"), "9007199254740992");
  assert.equal(read("int", "long", "7", "text"), '"7"');
});
