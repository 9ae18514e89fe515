import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../../../base/errors.ts";
import { parseSchema } from "../parse-schema.ts";
import type { SchemaReference } from "../parsed-schema.ts";

const parse = (schema: unknown, references: readonly SchemaReference[] = []) => {
  return parseSchema("AVRO", typeof schema === "string" ? schema : JSON.stringify(schema), references);
};

for (const [what, text, canonical, normalized] of [
  ["a bare name", "string", '"string"', '"string"'],
  ["a primitive in its long form", '{"type":"int"}', '"int"', '"int"'],
  [
    "a logical type",
    '{"scale":2, "precision":4, "logicalType":"decimal", "type":"bytes"}',
    '{"type":"bytes","scale":2,"precision":4,"logicalType":"decimal"}',
    '{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}',
  ],
  [
    "a record, as short as its namespace allows",
    '{"namespace":"shop","name":"Order","type":"record","doc":"d","z":1,"fields":[{"default":null,"name":"a","type":["null",{"type":"enum","name":"shop.Kind","symbols":["A"],"default":"A"}]},{"name":"b","type":"shop.Kind","order":"ignore","aliases":["c"]},{"name":"n","type":["null","Order"]}],"aliases":["Old"]}',
    '{"type":"record","name":"Order","namespace":"shop","doc":"d","fields":[{"name":"a","type":["null",{"type":"enum","name":"Kind","symbols":["A"],"default":"A"}],"default":null},{"name":"b","type":"Kind","order":"ignore","aliases":["c"]},{"name":"n","type":["null","Order"]}],"z":1,"aliases":["shop.Old"]}',
    '{"type":"record","name":"shop.Order","doc":"d","fields":[{"name":"a","type":["null",{"type":"enum","name":"shop.Kind","symbols":["A"],"default":"A"}],"default":null},{"name":"b","type":"shop.Kind","order":"ignore","aliases":["c"]},{"name":"n","type":["null","shop.Order"]}],"z":1,"aliases":["shop.Old"]}',
  ],
  [
    "a default past 2^53",
    '{"type":"record","name":"R","fields":[{"name":"a","type":"long","default":9223372036854775807}]}',
    '{"type":"record","name":"R","fields":[{"name":"a","type":"long","default":9223372036854775807}]}',
    '{"type":"record","name":"R","fields":[{"name":"a","type":"long","default":9223372036854775807}]}',
  ],
  [
    "a full name in the name",
    '{"type":"fixed","name":"a.b.F","size":4}',
    '{"type":"fixed","name":"F","namespace":"a.b","size":4}',
    '{"type":"fixed","name":"a.b.F","size":4}',
  ],
] as const) {
  test(`the forms of an Avro schema: ${what}`, () => {
    const schema = parse(text);
    assert.equal(schema.canonical, canonical);
    assert.equal(schema.normalized, normalized);
    assert.equal(parse(canonical).canonical, canonical, "it is its own canonical form");
    assert.equal(parse(normalized).normalized, normalized);
    assert.equal(parse(normalized).canonical === canonical || normalized !== canonical, true);
  });
}

test("types of references are known by their names, and printed as names", () => {
  const reference = (name: string, schema: unknown): SchemaReference => {
    return { name, subject: name, version: 1, schema: JSON.stringify(schema), type: "AVRO" };
  };
  const references = [
    reference("a.Sku", { type: "fixed", name: "a.Sku", size: 4 }),
    reference("a.Line", { type: "record", name: "Line", namespace: "a", fields: [{ name: "sku", type: "Sku" }] }),
  ];
  const order = {
    type: "record",
    name: "Order",
    namespace: "a",
    fields: [{ name: "lines", type: { type: "array", items: "a.Line" } }],
  };
  assert.equal(
    parse(order, references).canonical,
    '{"type":"record","name":"Order","namespace":"a","fields":[{"name":"lines","type":{"type":"array","items":"Line"}}]}',
  );
  assert.throws(() => parse(order), /"a.Line" is not defined/);
});

const record = (...fields: unknown[]) => ({ type: "record", name: "R", fields });

for (const [what, schema, reason] of [
  ["no JSON", "{", /not JSON/],
  ["a number", "5", /a number is no type/],
  ["an unknown type", '"nothing"', /"nothing" is not defined/],
  ["no name", { type: "record", fields: [] }, /has no name/],
  ["a bad name", { type: "fixed", name: "a-b", size: 1 }, /"a-b" is no name/],
  ["a primitive's name", { type: "fixed", name: "int", size: 1 }, /name of a primitive/],
  ["a field twice", record({ name: "a", type: "int" }, { name: "a", type: "int" }), /field "a" twice/],
  ["a type twice", record({ name: "a", type: record() }), /at \/fields\/0\/type\/name: the type "R" is defined twice/],
  ["a field without type", record({ name: "a" }), /"type" is missing/],
  ["a union in a union", ["null", ["int"]], /directly in a union/],
  ["a branch twice", ["int", { type: "int", logicalType: "date" }], /"int" twice/],
  ["a symbol twice", { type: "enum", name: "E", symbols: ["A", "A"] }, /"A" twice/],
  ["an enum's default that is none", { type: "enum", name: "E", symbols: ["A"], default: "B" }, /none of its symbols/],
  ["a size that is none", { type: "fixed", name: "F", size: -1 }, /no number of bytes/],
  [
    "a default of another type",
    record({ name: "a", type: "int", default: "x" }),
    /at \/fields\/0\/default: the default of field "a"/,
  ],
  ["a default that is too large", record({ name: "a", type: "int", default: 2147483648 }), /no value of its type/],
  ["an unknown order", record({ name: "a", type: "int", order: "up" }), /none of ascending/],
  ["too much depth", `${'{"type":"array","items":'.repeat(300)}"int"${"}".repeat(300)}`, /nested deeper/],
  ["too many bytes", `"${"x".repeat(2 ** 20)}"`, /at most 1048576 are read/],
] as const) {
  test(`an Avro schema with ${what} is refused`, () => {
    assert.throws(
      () => parse(schema),
      (error) => MillraceError.is(error, "SCHEMA_INVALID") && reason.test(error.message),
    );
  });
}

test("a reference of another type is refused", () => {
  const reference: SchemaReference = { name: "a", subject: "a", version: 1, schema: "{}", type: "JSON" };
  assert.throws(() => parse("int", [reference]), /"a" is a schema of type JSON/);
});
