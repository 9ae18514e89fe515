import assert from "node:assert/strict";
import { test } from "node:test";
import { incompatibilities } from "../incompatibilities.ts";
import { parseSchema } from "../parse-schema.ts";
import type { ProtobufSchema, SchemaReference } from "../parsed-schema.ts";
import { protobufDifferences } from "./protobuf-differences.ts";

function proto(text: string, references: readonly SchemaReference[] = []): ProtobufSchema {
  const syntax = text.startsWith("syntax") ? "" : 'syntax = "proto3"; ';
  return parseSchema("PROTOBUF", syntax + text, references) as ProtobufSchema;
}

const p2 = 'syntax = "proto2"; ';

/** Every difference, with `!` before those that stop a reader. */
const cases: [what: string, writer: string, reader: string, expected: string[]][] = [
  ["a field is added", "message M { int32 a = 1; }", "message M { int32 a = 1; string b = 2; }", ["FIELD_ADDED #/M/2"]],
  [
    "a field is taken away",
    "message M { int32 a = 1; string b = 2; }",
    "message M { int32 a = 1; }",
    ["FIELD_REMOVED #/M/2"],
  ],
  ["a field is renamed", "message M { int32 a = 1; }", "message M { int32 b = 1; }", ["FIELD_NAME_CHANGED #/M/1"]],
  ["types of one family", "message M { int32 a = 1; }", "message M { uint64 a = 1; }", []],
  ["bool is a number", "message M { bool a = 1; }", "message M { int64 a = 1; }", []],
  [
    "an enum is a number",
    "message M { E a = 1; } enum E { A = 0; }",
    "message M { int32 a = 1; } enum E { A = 0; }",
    [],
  ],
  ["string and bytes", "message M { string a = 1; }", "message M { bytes a = 1; }", []],
  [
    "zigzag is another family",
    "message M { int32 a = 1; }",
    "message M { sint32 a = 1; }",
    ["!FIELD_SCALAR_KIND_CHANGED #/M/1"],
  ],
  ["number to text", "message M { int32 a = 1; }", "message M { string a = 1; }", ["!FIELD_SCALAR_KIND_CHANGED #/M/1"]],
  [
    "float to double",
    "message M { float a = 1; }",
    "message M { double a = 1; }",
    ["!FIELD_SCALAR_KIND_CHANGED #/M/1"],
  ],
  [
    "scalar to message",
    "message M { int32 a = 1; } message N {}",
    "message M { N a = 1; } message N {}",
    ["!FIELD_KIND_CHANGED #/M/1"],
  ],
  [
    "another message",
    "message M { A a = 1; } message A {} message B {}",
    "message M { B a = 1; } message A {} message B {}",
    ["!FIELD_NAMED_TYPE_CHANGED #/M/1"],
  ],
  [
    "a map's value",
    "message M { map<string, int32> a = 1; }",
    "message M { map<string, string> a = 1; }",
    ["!FIELD_SCALAR_KIND_CHANGED #/M/1"],
  ],
  [
    "a map is no list",
    "message M { map<string, int32> a = 1; }",
    "message M { repeated int32 a = 1; }",
    ["!FIELD_KIND_CHANGED #/M/1"],
  ],
  [
    "a number becomes a list",
    "message M { int32 a = 1; }",
    "message M { repeated int32 a = 1; }",
    ["!FIELD_NUMERIC_LABEL_CHANGED #/M/1"],
  ],
  [
    "a text becomes a list",
    "message M { string a = 1; }",
    "message M { repeated string a = 1; }",
    ["FIELD_STRING_OR_BYTES_LABEL_CHANGED #/M/1"],
  ],
  [
    "a required field is added",
    `${p2}message M {}`,
    `${p2}message M { required int32 a = 1; }`,
    ["!REQUIRED_FIELD_ADDED #/M/1"],
  ],
  [
    "a required field is taken away",
    `${p2}message M { required int32 a = 1; }`,
    `${p2}message M {}`,
    ["!REQUIRED_FIELD_REMOVED #/M/1"],
  ],
  [
    "a field becomes a oneof of its own",
    "message M { int32 a = 1; }",
    "message M { oneof o { int32 a = 1; } }",
    ["ONEOF_ADDED #/M/o"],
  ],
  [
    "fields are moved into a oneof",
    "message M { int32 a = 1; int32 b = 2; }",
    "message M { oneof o { int32 a = 1; int32 b = 2; } }",
    ["!MULTIPLE_FIELDS_MOVED_TO_ONEOF #/M/o", "ONEOF_ADDED #/M/o"],
  ],
  [
    "a field is moved into a oneof that is there",
    "message M { int32 a = 1; oneof o { int32 b = 2; } }",
    "message M { oneof o { int32 b = 2; int32 a = 1; } }",
    ["!FIELD_MOVED_TO_EXISTING_ONEOF #/M/o"],
  ],
  [
    "a field leaves its oneof",
    "message M { oneof o { int32 a = 1; int32 b = 2; } }",
    "message M { int32 a = 1; oneof o { int32 b = 2; } }",
    ["ONEOF_FIELD_MOVED_TO_TOP_LEVEL #/M/1"],
  ],
  [
    "a oneof gets a member",
    "message M { oneof o { int32 a = 1; } }",
    "message M { oneof o { int32 a = 1; int32 b = 2; } }",
    ["ONEOF_FIELD_ADDED #/M/o/2"],
  ],
  [
    "a oneof loses a member",
    "message M { oneof o { int32 a = 1; int32 b = 2; } }",
    "message M { oneof o { int32 a = 1; } }",
    ["!ONEOF_FIELD_REMOVED #/M/o/2"],
  ],
  [
    "a oneof goes as a whole",
    "message M { oneof o { int32 a = 1; int32 b = 2; } }",
    "message M {}",
    ["ONEOF_REMOVED #/M/o"],
  ],
  [
    "messages come and are moved",
    "message A {} message B {}",
    "message C {} message B {} message A {}",
    ["MESSAGE_MOVED #/A", "MESSAGE_ADDED #/C"],
  ],
  ["a message goes", "message A {} message B {}", "message A {}", ["!MESSAGE_REMOVED #/B"]],
  ["a nested message goes", "message A { message B {} }", "message A {}", ["!MESSAGE_REMOVED #/A/B"]],
  [
    "enums and their values",
    "enum E { A = 0; B = 1; C = 2; } enum F { X = 0; }",
    "enum E { A = 0; D = 1; G = 3; } enum H { Y = 0; }",
    [
      "ENUM_CONST_CHANGED #/E/1",
      "ENUM_CONST_REMOVED #/E/2",
      "ENUM_CONST_ADDED #/E/3",
      "ENUM_REMOVED #/F",
      "ENUM_ADDED #/H",
    ],
  ],
  ["another package", "package a; message M {}", "package b; message M {}", ["!PACKAGE_CHANGED #/"]],
  [
    "names may be full or not",
    "package a; message M { N n = 1; } message N {}",
    "package a; message M { .a.N n = 1; } message N {}",
    [],
  ],
  [
    "a recursive message",
    "message M { M next = 1; int32 a = 2; }",
    "message M { M next = 1; string a = 2; }",
    ["!FIELD_SCALAR_KIND_CHANGED #/M/2"],
  ],
];

for (const [what, writer, reader, expected] of cases) {
  test(`Protobuf: ${what}: ${expected.join(", ") || "nothing"}`, () => {
    const [before, after] = [proto(writer), proto(reader)];
    const found = protobufDifferences(before.model, after.model).map(({ kind, path }) => `${kind} #/${path}`);
    assert.deepEqual(
      found,
      expected.map((one) => one.replace("!", "")),
    );
    const stopping = expected.filter((one) => one.startsWith("!")).map((one) => one.slice(1));
    const told = incompatibilities(after, before);
    assert.deepEqual(
      told.map(({ kind, path }) => `${kind} ${path}`),
      stopping,
    );
    for (const { message, kind } of told) assert.ok(!message.includes(kind), message);
    assert.deepEqual(incompatibilities(before, proto(writer)), [], "a schema reads its own data");
  });
}

test("Protobuf: a change in an imported message is found where it is used", () => {
  const imported = (type: string): SchemaReference[] => [
    {
      name: "sku.proto",
      subject: "sku",
      version: 1,
      schema: `syntax = "proto3"; message Sku { ${type} code = 1; }`,
      type: "PROTOBUF",
    },
  ];
  const text = 'import "sku.proto"; message Line { Sku sku = 1; }';
  assert.deepEqual(incompatibilities(proto(text, imported("bytes")), proto(text, imported("string"))), []);
  const found = incompatibilities(proto(text, imported("int32")), proto(text, imported("string")));
  assert.deepEqual(
    found.map(({ kind, path }) => `${kind} ${path}`),
    ["FIELD_SCALAR_KIND_CHANGED #/Sku/1", "FIELD_NAMED_TYPE_CHANGED #/Line/1"],
  );
});
