import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import protobufjs from "protobufjs";
import descriptors, { type IFileDescriptorProto } from "protobufjs/ext/descriptor.js";
import { MillraceError } from "../../../base/errors.ts";
import { parseSchema } from "../parse-schema.ts";
import type { ProtobufSchema } from "../parsed-schema.ts";
import { decodePayload } from "../payload.ts";
import { protobufDescriptor } from "./descriptor-writer.ts";

function proto(text: string): ProtobufSchema {
  return parseSchema("PROTOBUF", text) as ProtobufSchema;
}

const everything = `// a comment
syntax = "proto3";
package shop.v1;

import "google/protobuf/timestamp.proto";
import public "google/protobuf/any.proto";
option java_package = "com.shop"; /* another
comment */
option (custom.thing) = { a: 1, b: "x" };

message Order {
  option deprecated = true;
  reserved 5, 7 to 9, 100 to max;
  reserved "old", "older";
  string id = 1 [json_name = "ID", deprecated = true];
  repeated Line lines = 2;
  optional int32 count = 3;
  map<string, .shop.v1.Order.Line> by_sku = 4;
  google.protobuf.Timestamp at = 6;
  oneof payment { string card = 10; int64 cash = 11; }
  message Line { string sku = 1; Kind kind = 2; enum Kind { NONE = 0; SOME = 1 [deprecated = true]; } }
}

enum State { option allow_alias = true; OPEN = 0; NEW = 0; DONE = -1; }

service Orders {
  rpc Get (Order) returns (stream Order) { option deprecated = true; }
  rpc Put (stream .shop.v1.Order) returns (Order);
}
`;

test("the canonical form says everything, and is its own canonical form", () => {
  const { canonical } = proto(everything);
  assert.equal(
    canonical,
    `syntax = "proto3";
package shop.v1;

import "google/protobuf/timestamp.proto";
import public "google/protobuf/any.proto";

option java_package = "com.shop";
option (custom.thing) = { a : 1 , b : "x" };

message Order {
  option deprecated = true;
  reserved 5, 7 to 9, 100 to max;
  reserved "old", "older";
  string id = 1 [json_name = "ID", deprecated = true];
  repeated Line lines = 2;
  optional int32 count = 3;
  map<string, .shop.v1.Order.Line> by_sku = 4;
  google.protobuf.Timestamp at = 6;
  oneof payment {
    string card = 10;
    int64 cash = 11;
  }
  message Line {
    string sku = 1;
    Kind kind = 2;
    enum Kind {
      NONE = 0;
      SOME = 1 [deprecated = true];
    }
  }
}

enum State {
  option allow_alias = true;
  OPEN = 0;
  NEW = 0;
  DONE = -1;
}

service Orders {
  rpc Get (Order) returns (stream Order) {
    option deprecated = true;
  }
  rpc Put (stream .shop.v1.Order) returns (Order);
}
`,
  );
  assert.equal(proto(canonical).canonical, canonical);
});

test("the normalized form does not depend on the order of imports and options, nor on how types are called", () => {
  const a = proto(
    'syntax = "proto3"; package p; import "google/protobuf/any.proto"; import "google/protobuf/empty.proto"; message M { N n = 1 [deprecated = true, lazy = true]; } message N {}',
  );
  const b = proto(
    'syntax = "proto3"; package p; import "google/protobuf/empty.proto"; import "google/protobuf/any.proto"; message M { .p.N n = 1 [lazy = true, deprecated = true]; } message N {}',
  );
  assert.notEqual(a.canonical, b.canonical);
  assert.equal(a.normalized, b.normalized);
});

for (const text of [
  everything
    .replace(/option \(custom[^\n]*\n/, "")
    .replace("(Order) returns (stream Order)", "(.shop.v1.Order) returns (stream .shop.v1.Order)")
    .replace("returns (Order);", "returns (.shop.v1.Order);"),
  'syntax = "proto2"; message M { required string a = 1 [default = "x\\"y"]; optional E e = 2 [default = B]; repeated int32 n = 3 [packed = true]; extensions 100 to 199; enum E { A = 1; B = 2; } } extend .M { optional int32 more = 100; }',
  'syntax = "proto2"; message M { repeated group Part = 1 { optional int32 x = 2; } }',
  'edition = "2023"; option features.field_presence = IMPLICIT; message M { string a = 1; string b = 2 [features.field_presence = EXPLICIT]; }',
]) {
  test(`a descriptor says what the text says: ${text.slice(0, 60)}`, () => {
    const schema = proto(text);
    const back = proto(protobufDescriptor(schema).toString("base64"));
    assert.equal(back.normalized, schema.normalized);
    assert.deepEqual(protobufDescriptor(back), protobufDescriptor(schema));
  });
}

test("another library makes the same types of a descriptor", () => {
  const schema = proto(`syntax = "proto3"; package a.b;
    message M { map<string, N> m = 1; repeated N ns = 2; optional int32 x = 3; oneof o { string y = 4; E e = 5; } message N { int64 q = 1; } enum E { Z = 0; } }`);
  const file = descriptors.FileDescriptorProto.decode(protobufDescriptor(schema, "m.proto"));
  const type = protobufjs.Root.fromDescriptor({ file: [file as IFileDescriptorProto] }).lookupType("a.b.M");
  const value = { m: { k: { q: "5" } }, ns: [{ q: "7" }], x: 0, e: "Z" };
  const bytes = type.encode(type.fromObject(value)).finish();
  assert.deepEqual(type.toObject(type.decode(bytes), { longs: String, enums: String }), value);
  const read = decodePayload(schema, Buffer.from(bytes));
  assert.deepEqual(read, { ok: true, json: '{"m":{"k":{"q":"5"}},"ns":[{"q":"7"}],"x":0,"e":"Z"}' });
});

for (const [what, text, reason] of [
  ["a word that begins nothing", "mesage M {}", /1:1: "mesage" begins nothing/],
  ["no end", 'syntax = "proto3"; message M {', /"}" is missing/],
  ["an unknown syntax", 'syntax = "proto4";', /"proto4" is not known/],
  ["an unknown type", 'syntax = "proto3"; message M { Nothing a = 1; }', /M\.a: the type "Nothing" is not known/],
  [
    "an import that is not there",
    'syntax = "proto3"; import "x.proto";',
    /"x.proto" is neither a reference nor well known/,
  ],
  ["a number twice", 'syntax = "proto3"; message M { int32 a = 1; int32 b = 1; }', /"a" has the number 1 too/],
  ["a name twice", 'syntax = "proto3"; message M { int32 a = 1; int32 a = 2; }', /field twice/],
  ["the number 0", 'syntax = "proto3"; message M { int32 a = 0; }', /0 is no field number/],
  ["a number of Protobuf's own", 'syntax = "proto3"; message M { int32 a = 19500; }', /Protobuf's own/],
  ["a reserved number", 'syntax = "proto3"; message M { reserved 2 to 4; int32 a = 3; }', /3 is reserved/],
  ["a reserved name", 'syntax = "proto3"; message M { reserved "a"; int32 a = 3; }', /name is reserved/],
  ["an enum without 0", 'syntax = "proto3"; enum E { A = 1; }', /first value of an open enum is 0/],
  ["an enum's number twice", 'syntax = "proto3"; enum E { A = 0; B = 0; }', /number 0 is taken/],
  ["a key that is none", 'syntax = "proto3"; message M { map<float, string> a = 1; }', /cannot be the key/],
  ["a message twice", 'syntax = "proto3"; message M {} message M {}', /defined twice/],
  ["a character that is no word", 'syntax = "proto3";\n  message M { int32 a = 1; # }', /2:28: "#" is no word/],
  ["too much nesting", `syntax = "proto3"; ${"message M {".repeat(300)}`, /nested too deep/],
  ["a descriptor that is none", "AAAAAAAAAAAAAAAA", /no FileDescriptorProto/],
] as const) {
  test(`a Protobuf schema with ${what} is refused`, () => {
    assert.throws(
      () => proto(text),
      (error) => MillraceError.is(error, "SCHEMA_INVALID") && reason.test(error.message),
    );
  });
}

test("any text ends in a schema or in a refusal", () => {
  const words = fc.constantFrom(
    "syntax",
    "=",
    '"proto3"',
    ";",
    "message",
    "M",
    "{",
    "}",
    "int32",
    "1",
    "enum",
    "oneof",
    "map",
    "<",
    ">",
    ",",
    "option",
    "(",
    ")",
    "[",
    "]",
    ".",
    "-",
    "reserved",
    "to",
    "max",
    "extend",
    "rpc",
    "\\",
    "/*",
    "//",
    "'",
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(words, { maxLength: 40 }).map((list) => list.join(" ")),
      ),
      (text) => {
        try {
          proto(text);
        } catch (error) {
          assert.ok(MillraceError.is(error, "SCHEMA_INVALID"), String(error));
        }
      },
    ),
    { numRuns: 500 },
  );
});
