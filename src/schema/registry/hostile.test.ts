import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../../base/errors.ts";
import { incompatibilities } from "./incompatibilities.ts";
import { parseSchema } from "./parse-schema.ts";
import type { SchemaType } from "./parsed-schema.ts";
import { validatePayload } from "./payload.ts";

const long = "n".repeat(100_000);

const refused: [what: string, type: SchemaType, text: string, reason: RegExp][] = [
  [
    "a name that everything below it repeats",
    "AVRO",
    JSON.stringify({ type: "fixed", name: long, size: 1 }),
    /name is too long/,
  ],
  [
    "a namespace that everything below it repeats",
    "AVRO",
    JSON.stringify({ type: "fixed", name: "F", namespace: long, size: 1 }),
    /name is too long/,
  ],
  [
    "a message whose name everything in it repeats",
    "PROTOBUF",
    `syntax = "proto3"; message ${long} { message M {} }`,
    /name is too long/,
  ],
  [
    "ranges without end",
    "PROTOBUF",
    `syntax = "proto3"; message M { reserved ${Array.from({ length: 6000 }, (_, i) => i + 1).join(",")}; }`,
    /reserves too much/,
  ],
  [
    "many patterns that are each large",
    "JSON",
    JSON.stringify({ allOf: Array.from({ length: 100 }, () => ({ pattern: "(a{100}){150}" })) }),
    /too large together/,
  ],
  ["a sentence that would repeat it", "JSON", JSON.stringify({ type: long }), /…$/],
];

for (const [what, type, text, reason] of refused) {
  test(`a schema with ${what} is refused, in a sentence of bounded length`, () => {
    assert.throws(
      () => parseSchema(type, text),
      (error) => MillraceError.is(error, "SCHEMA_INVALID") && reason.test(error.message) && error.message.length < 3000,
    );
  });
}

test("problems are of bounded length and number, whatever the payload is called", () => {
  const schema = parseSchema("JSON", '{"additionalProperties":{"type":"integer"}}');
  const payload = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`${i}${long.slice(0, 5000)}`, "x"]));
  const problems = validatePayload(schema, Buffer.from(JSON.stringify(payload)));
  assert.equal(problems.length, 100);
  assert.ok(problems.every(({ path, message }) => path.length <= 1001 && message.length <= 1001));
});

test("patterns that are slow on the members' names do not make comparing slow", () => {
  const names = Array.from({ length: 300 }, (_, i) => `${"a".repeat(200)}${i}`);
  const patternProperties = Object.fromEntries(names.map((_, i) => [`^(a+)+${i}b$`, { type: "string" }]));
  const writer = parseSchema("JSON", JSON.stringify({ patternProperties }));
  const properties = Object.fromEntries(names.map((name) => [name, { type: "string" }]));
  const reader = parseSchema("JSON", JSON.stringify({ patternProperties, properties }));
  assert.deepEqual(
    incompatibilities(reader, writer).map(({ kind }) => kind),
    ["COMPARISON_TOO_COSTLY"],
  );
});

test("imports that are used by every field are printed once", () => {
  const fields = Array.from({ length: 2000 }, (_, i) => `int32 f${i} = ${i + 1};`).join(" ");
  const reference = (extra: string) => [
    {
      name: "a.proto",
      subject: "a",
      version: 1,
      type: "PROTOBUF" as const,
      schema: `syntax = "proto3"; message A { ${fields} ${extra} }`,
    },
  ];
  const users = Array.from({ length: 5000 }, (_, i) => `A u${i} = ${i + 1};`).join(" ");
  const text = `syntax = "proto3"; import "a.proto"; message M { ${users} }`;
  const before = parseSchema("PROTOBUF", text, reference(""));
  const after = parseSchema("PROTOBUF", text, reference("string g = 5000;"));
  assert.deepEqual(incompatibilities(after, before), []);
});
