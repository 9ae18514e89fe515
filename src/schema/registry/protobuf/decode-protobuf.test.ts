import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import protobufjs from "protobufjs";
import { parseSchema } from "../parse-schema.ts";
import type { ProtobufSchema } from "../parsed-schema.ts";
import { decodePayload, validatePayload } from "../payload.ts";
import { encodeProtobuf } from "./encode-protobuf.ts";
import type { ProtoMessage } from "./proto-file.ts";

function proto(text: string): ProtobufSchema {
  return parseSchema("PROTOBUF", text) as ProtobufSchema;
}

function first(schema: ProtobufSchema): ProtoMessage {
  return schema.model.root.messages[0] as ProtoMessage;
}

function json(schema: ProtobufSchema, bytes: Buffer, messageIndexes: readonly number[] = [0]): unknown {
  const decoded = decodePayload(schema, bytes, { messageIndexes });
  return decoded.ok ? JSON.parse(decoded.json) : decoded.problems.map(({ path, message }) => `${path} ${message}`);
}

const text = `syntax = "proto3";
message All {
  double a = 1; float b = 2; int32 c = 3; int64 d = 4; uint32 e = 5; uint64 f = 6; sint32 g = 7; sint64 h = 8;
  fixed32 i = 9; fixed64 j = 10; sfixed32 k = 11; sfixed64 l = 12; bool m = 13; string n = 14; bytes o = 15;
  repeated int32 packed = 16; repeated string words = 17; map<string, int64> totals = 18; map<int32, All> inner = 19;
  Kind kind = 20; oneof choice { string left = 21; int32 right = 22; } optional int32 maybe = 23; All self = 24;
  enum Kind { NONE = 0; SOME = 1; }
}`;
const all = proto(text);

const int32 = fc.integer();
const long = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String);
const ulong = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String);
const { message: anyMessage } = fc.letrec<{ message: Record<string, unknown> }>((tie) => ({
  message: fc.record({
    a: fc.double({ noNaN: true, noDefaultInfinity: true }).filter((value) => !Object.is(value, -0)),
    b: fc.float({ noNaN: true, noDefaultInfinity: true }).filter((value) => !Object.is(value, -0)),
    c: int32,
    d: long,
    e: fc.nat(),
    f: ulong,
    g: int32,
    h: long,
    i: fc.nat(),
    j: ulong,
    k: int32,
    l: long,
    m: fc.boolean(),
    n: fc.string(),
    o: fc.uint8Array().map((bytes) => Buffer.from(bytes).toString("base64")),
    packed: fc.array(int32, { maxLength: 3 }),
    words: fc.array(fc.string(), { maxLength: 3 }),
    totals: fc.dictionary(
      fc.string().filter((key) => key !== "__proto__"),
      long,
      { maxKeys: 3, noNullPrototype: true },
    ),
    kind: fc.constantFrom("NONE", "SOME"),
    left: fc.string(),
    maybe: fc.option(int32, { nil: undefined }),
    self: fc.option(tie("message"), { nil: undefined, maxDepth: 2 }),
  }) as fc.Arbitrary<Record<string, unknown>>,
}));

test("what protobufjs writes is read as what it was, every type and 64 bits exactly", () => {
  const root = protobufjs.parse(text, { keepCase: true }).root.lookupType("All");
  fc.assert(
    fc.property(anyMessage, (value) => {
      const bytes = Buffer.from(root.encode(root.fromObject(value)).finish());
      const read = json(all, bytes) as Record<string, unknown>;
      assert.deepEqual(read, { ...blank(value), ...read, ...clean(value) });
      assert.deepEqual(json(all, encodeProtobuf(first(all), value)), read, "ours writes the same");
    }),
    { numRuns: 100 },
  );
});

/** Members that JSON has; a float as the number that it is printed as. */
function clean(value: Record<string, unknown>): Record<string, unknown> {
  const { self, maybe, b, ...rest } = value;
  const float = Number(shortest(b as number));
  return {
    ...rest,
    b: float,
    ...(maybe === undefined ? {} : { maybe }),
    ...(self === undefined ? {} : { self: { inner: {}, ...clean(self as Record<string, unknown>) } }),
  };
}

function blank(value: Record<string, unknown>): Record<string, unknown> {
  return value.self === undefined ? { inner: {} } : { inner: {} };
}

function shortest(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    if (Math.fround(Number(value.toPrecision(digits))) === value) return value.toPrecision(digits);
  }
  return String(value);
}

const small = (fields: string, syntax = "proto3") => proto(`syntax = "${syntax}"; message M { ${fields} }`);
const hex = (digits: string) => Buffer.from(digits.replaceAll(" ", ""), "hex");

for (const [what, schema, bytes, expected] of [
  [
    "nothing is the defaults of what has no presence",
    small("int32 a = 1; optional int32 b = 2; repeated string c = 3; int64 d = 4;"),
    "",
    { a: 0, c: [], d: "0" },
  ],
  ["the last value of a field counts", small("int32 a = 1;"), "08 01 08 02", { a: 2 }],
  [
    "parts of a message are one message",
    proto('syntax = "proto3"; message M { N n = 1; } message N { int32 a = 1; int32 b = 2; }'),
    "0a 02 08 01 0a 02 10 02",
    { n: { a: 1, b: 2 } },
  ],
  ["the last member of a oneof counts", small("oneof o { int32 a = 1; int32 b = 2; }"), "08 01 10 02", { b: 2 }],
  ["packed and not packed are the same", small("repeated int32 a = 1;"), "0a 02 01 02 08 03", { a: [1, 2, 3] }],
  ["fields that are not known are passed over", small("int32 a = 1;"), "10 05 1a 01 00 08 01", { a: 1 }],
  ["an unknown group is passed over", small("int32 a = 1;"), "13 18 01 14 08 01", { a: 1 }],
  ["a negative int32 has ten bytes", small("int32 a = 1;"), "08 ff ff ff ff ff ff ff ff ff 01", { a: -1 }],
  ["an unknown number of an open enum is a number", small("enum E { A = 0; } E e = 1;"), "08 07", { e: 7 }],
  [
    "an unknown number of a closed enum is no value",
    small("enum E { A = 0; } optional E e = 1;", "proto2"),
    "08 07",
    {},
  ],
  ["a group", small("optional group G = 1 { optional int32 x = 2; }", "proto2"), "0b 10 05 0c", { g: { x: 5 } }],
  ["names in JSON", small("int32 user_id = 1; int32 b = 2 [json_name = 'B!'];"), "08 01 10 02", { userId: 1, "B!": 2 }],
  ["the bytes end too early", small("string a = 1;"), "0a 05 61", ["/a 5 bytes are said to follow, and 1 do"]],
  [
    "a value of another type",
    small("string a = 1;"),
    "08 01",
    ['/a the field "a" is of type string, and its value has the wire type 0'],
  ],
  ["text that is none", small("string a = 1;"), "0a 01 ff", ["/a a string is not UTF-8"]],
  ["a required field is missing", small("required int32 a = 1;", "proto2"), "", [' the required field "a" is missing']],
  ["a field without number", small("int32 a = 1;"), "00 01", [" a field has no valid number"]],
  ["a group without end", small("int32 a = 1;"), "13 18 01", [" the bytes end too early"]],
  ["a number without end", small("int32 a = 1;"), `08 ${"ff".repeat(11)}`, ["/a a number has more than 64 bits"]],
] as const) {
  test(`Protobuf: ${what}`, () => {
    assert.deepEqual(json(schema, hex(bytes)), expected);
  });
}

test("well-known types have their own JSON", () => {
  const types = `syntax = "proto3";
    import "google/protobuf/timestamp.proto"; import "google/protobuf/duration.proto"; import "google/protobuf/wrappers.proto";
    import "google/protobuf/struct.proto"; import "google/protobuf/field_mask.proto"; import "google/protobuf/any.proto";
    message M { google.protobuf.Timestamp at = 1; google.protobuf.Duration took = 2; google.protobuf.Int64Value count = 3;
      google.protobuf.Struct more = 4; google.protobuf.FieldMask mask = 5; google.protobuf.Any any = 6; google.protobuf.Empty none = 7; }
    message N { int32 a = 1; }`;
  assert.throws(() => proto(types), /google.protobuf.Empty/);
  const schema = proto(
    types.replace(
      'import "google/protobuf/any.proto";',
      'import "google/protobuf/any.proto"; import "google/protobuf/empty.proto";',
    ),
  );
  const bytes = encodeProtobuf(first(schema), {
    at: { seconds: "1700000000", nanos: 120_000_000 },
    took: { seconds: "-1", nanos: -500_000_000 },
    count: { value: "5" },
    more: {
      fields: { a: { numberValue: 1.5 }, b: { listValue: { values: [{ boolValue: true }, { nullValue: 0 }] } } },
    },
    mask: { paths: ["user_id", "name"] },
    any: { typeUrl: "type.googleapis.com/N", value: "CAc=" },
    none: {},
  });
  assert.deepEqual(json(schema, bytes), {
    at: "2023-11-14T22:13:20.120Z",
    took: "-1.500s",
    count: "5",
    more: { a: 1.5, b: [true, null] },
    mask: "userId,name",
    any: { "@type": "type.googleapis.com/N", a: 7 },
    none: {},
  });
  const late = encodeProtobuf(first(schema), { at: { seconds: "999999999999" } });
  assert.deepEqual(json(schema, late), ["/at a timestamp lies outside of the years 1 to 9999"]);
});

test("indexes lead to nested messages, and to a problem where there is none", () => {
  const schema = proto('syntax = "proto3"; message A {} message B { message C { int32 x = 1; } }');
  assert.deepEqual(json(schema, hex("08 05"), [1, 0]), { x: 5 });
  assert.deepEqual(json(schema, hex(""), [1, 1]), [" the schema has no message with the indexes 1, 1"]);
});

test("messages in messages are read to a depth, and work to what is granted", () => {
  let bytes = Buffer.alloc(0);
  const deep = proto('syntax = "proto3"; message M { M m = 1; }');
  for (let i = 0; i < 150; i++)
    bytes = Buffer.concat([
      hex("0a"),
      Buffer.from(bytes.length < 128 ? [bytes.length] : [(bytes.length & 127) | 128, bytes.length >> 7]),
      bytes,
    ]);
  assert.match(validatePayload(deep, bytes)[0]?.message ?? "", /nested deeper/);
  const many = Array.from({ length: 3000 }, (_, i) => `int32 f${i} = ${i + 1 < 19000 ? i + 1 : i + 2000};`).join(" ");
  const wide = proto(`syntax = "proto3"; message M { repeated N n = 1; } message N { ${many} }`);
  assert.match(validatePayload(wide, Buffer.alloc(20_000, hex("0a 00")))[0]?.message ?? "", /more work/);
});

test("any bytes end in a value or in problems", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), anyMessage, fc.nat(), (noise, value, at) => {
      assert.ok(Array.isArray(validatePayload(all, Buffer.from(noise))));
      const bytes = encodeProtobuf(first(all), value);
      bytes[at % bytes.length] = at & 0xff;
      const decoded = decodePayload(all, bytes);
      if (decoded.ok) JSON.parse(decoded.json);
    }),
    { numRuns: 300 },
  );
});
