import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readJson } from "../../json-token.ts";
import { parseSchema } from "../parse-schema.ts";
import type { AvroSchema } from "../parsed-schema.ts";
import { decodePayload, validatePayload } from "../payload.ts";
import { anyDatum, anySchema, inAvsc } from "./avro.fixture.ts";
import { decodeAvro } from "./decode-avro.ts";
import { encodeAvro } from "./encode-avro.ts";

function avro(schema: unknown): AvroSchema {
  return parseSchema("AVRO", JSON.stringify(schema)) as AvroSchema;
}

function json(schema: unknown, hex: string, unions: "tagged" | "plain" = "tagged"): string {
  const decoded = decodePayload(avro(schema), Buffer.from(hex.replaceAll(" ", ""), "hex"), { unions });
  return decoded.ok ? decoded.json : decoded.problems.map(({ path, message }) => `${path} ${message}`).join();
}

const record = (...fields: unknown[]) => ({ type: "record", name: "R", fields });

for (const [what, schema, hex, expected] of [
  [
    "the specification's example",
    record({ name: "a", type: "long" }, { name: "b", type: "string" }),
    "36 06 66 6f 6f",
    '{"a":27,"b":"foo"}',
  ],
  ["the largest long", "long", "fe ff ff ff ff ff ff ff ff 01", "9223372036854775807"],
  ["the smallest long", "long", "ff ff ff ff ff ff ff ff ff 01", "-9223372036854775808"],
  ["a long of six bytes", "long", "80 80 80 80 80 20", "549755813888"],
  ["a float, as short as it is", "float", "cd cc cc 3d", "0.1"],
  ["NaN", "double", "00 00 00 00 00 00 f8 7f", '"NaN"'],
  ["bytes, a character each", "bytes", "04 00 ff", '"\\u0000ÿ"'],
  ["an array in two blocks, one with its size", { type: "array", items: "int" }, "01 02 02 02 04 00", "[1,2]"],
  ["a map", { type: "map", values: "int" }, "02 02 61 02 00", '{"a":1}'],
  ["a union with its tag", ["null", { type: "enum", name: "a.E", symbols: ["A", "B"] }], "02 02", '{"a.E":"B"}'],
  ["null has no tag", ["null", "int"], "00", "null"],
  ["too few bytes", "string", "06 66 6f", " 3 bytes are said to follow, and 2 do"],
  ["too many bytes", "int", "02 00", " 1 bytes follow the value"],
  ["a negative length", "string", "01", " -1 bytes are said to follow, and 0 do"],
  ["an int of more than 32 bits", "int", "80 80 80 80 20", " 4294967296 is no int of 32 bits"],
  ["a long of more than 64 bits", "long", "ff ff ff ff ff ff ff ff ff 7f", " a number has more than 64 bits"],
  ["a boolean that is none", "boolean", "02", " the byte 2 is no boolean"],
  [
    "a symbol that is none",
    record({ name: "e", type: { type: "enum", name: "E", symbols: ["A"] } }),
    "02",
    '/e the enum "E" has no symbol 1',
  ],
  [
    "a branch that is none",
    record({ name: "u", type: { type: "array", items: ["null"] } }),
    "02 02",
    "/u/0 the union has no branch 1",
  ],
  ["text that is none", "string", "02 ff", " a string is not UTF-8"],
] as const) {
  test(`Avro: ${what}`, () => {
    assert.equal(json(schema, hex), expected);
  });
}

test("plain unions leave the tag out", () => {
  assert.equal(json(record({ name: "a", type: ["null", "string"] }), "02 02 78", "plain"), '{"a":"x"}');
});

test("what avsc writes is read, and what is written is read by avsc", () => {
  const pair = anySchema().chain((schema) => fc.tuple(fc.constant(schema), anyDatum(schema)));
  fc.assert(
    fc.property(pair, ([schema, datum]) => {
      const { root } = avro(schema);
      const token = readJson(JSON.stringify(datum));
      const ours = encodeAvro(root, token, { unions: "tagged" });
      const theirs = inAvsc(schema);
      const text = JSON.stringify(datum);
      assert.deepEqual(theirs.toBuffer(theirs.fromString(text)), ours);
      const read = decodeAvro(root, ours, { unions: "tagged" });
      assert.ok(read.ok);
      // Floats are printed shorter: it is the bytes that must come back.
      assert.deepEqual(encodeAvro(root, readJson(read.json), { unions: "tagged" }), ours);
      assert.deepEqual(theirs.toBuffer(theirs.fromString(read.json)), ours);
    }),
    { numRuns: 150 },
  );
});

test("five bytes that say a billion ends in a problem, and so does depth without end", () => {
  assert.match(json({ type: "array", items: "null" }, "80 a8 d6 b9 07"), /more work than is granted/);
  assert.match(json({ type: "array", items: record() }, "80 a8 d6 b9 07"), /more work than is granted/);
  const list = record({ name: "next", type: ["null", "R"] });
  assert.match(json(list, `${"02".repeat(100_000)}00`), /nested deeper/);
  // A record without bytes in it, doubled and doubled.
  let type: unknown = record();
  for (let i = 0; i < 30; i++) {
    const name = `D${i}`;
    type = {
      type: "record",
      name,
      fields: [
        { name: "a", type },
        { name: "b", type: i === 0 ? "R" : `D${i - 1}` },
      ],
    };
  }
  assert.match(json(type, ""), /more work than is granted/);
});

test("any bytes end in a value or in problems", () => {
  const tried = anySchema().chain((schema) =>
    fc.tuple(fc.constant(schema), anyDatum(schema), fc.uint8Array(), fc.nat()),
  );
  fc.assert(
    fc.property(tried, ([schema, datum, noise, at]) => {
      const parsed = avro(schema);
      assert.ok(Array.isArray(validatePayload(parsed, Buffer.from(noise))));
      const bytes = encodeAvro(parsed.root, readJson(JSON.stringify(datum)), { unions: "tagged" });
      if (bytes.length > 0) bytes[at % bytes.length] = at & 0xff;
      const decoded = decodePayload(parsed, bytes);
      if (decoded.ok) JSON.parse(decoded.json);
    }),
    { numRuns: 200 },
  );
});

test("a value is resolved into a reader's schema: renamed, promoted, filled with defaults", () => {
  const writer = record({ name: "old", type: "int" }, { name: "gone", type: "string" }, { name: "u", type: "int" });
  const reader = record(
    { name: "u", type: ["null", "double"] },
    { name: "now", type: "long", aliases: ["old"] },
    { name: "more", type: { type: "array", items: ["null", "string"] }, default: [null, "x"] },
  );
  const bytes = encodeAvro(avro(writer).root, readJson('{"old":1,"gone":"x","u":5}'), { unions: "tagged" });
  assert.deepEqual(decodeAvro(avro(writer).root, bytes, { unions: "tagged", reader: avro(reader).root }), {
    ok: true,
    json: '{"u":{"double":5},"now":1,"more":[null,{"string":"x"}]}',
  });
});
