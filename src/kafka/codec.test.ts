import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../base/errors.ts";
import { apis } from "./apis.ts";
import { structEncoder } from "./encode.ts";
import {
  array,
  bool,
  bytes,
  float64,
  int8,
  int16,
  int32,
  int64,
  int64Max,
  records,
  string,
  struct,
  uint16,
  uint32,
  uuid,
  zeroUuid,
} from "./fields.ts";
import {
  decodedForm,
  decodeMessage,
  emptyMessage,
  encodeMessage,
  everyVersion,
  fullMessage,
  messages,
} from "./message.fixture.ts";
import { WireWriter } from "./wire-writer.ts";

const hex = (digits: string) => Buffer.from(digits.replaceAll(" ", ""), "hex");
const isMalformed = (error: unknown) => MillraceError.is(error, "REQUEST_MALFORMED");

for (const api of apis) {
  test(`${api.name}: what is written is read again, in every version`, () => {
    for (const { version, flexible } of everyVersion([api])) {
      for (const message of [api.request, api.response]) {
        const law = fc.property(messages(message, version), (value) => {
          const written = encodeMessage(message, value, { version, flexible });
          const decoded = decodeMessage(message, written, { version, flexible });
          assert.deepEqual(decoded, decodedForm(message, version, value));
          assert.deepEqual(encodeMessage(message, decoded, { version, flexible }), written);
        });
        fc.assert(law, { numRuns: 12 });
      }
    }
  });
}

/**
 * Of the full and the empty request and response of every version, one after the other. The message classes of
 * Kafka 4.3.1 have read these bytes, and written the same again.
 */
const digests: Readonly<Record<string, string>> = {
  Produce: "48dd1a3ea0ef367b",
  Fetch: "3ac6d08fbfe072ab",
  ListOffsets: "728681ce31ccb9b5",
  Metadata: "f880e4bd0154e761",
  OffsetCommit: "26d515364f70531d",
  OffsetFetch: "4a2849c0d278d2b7",
  FindCoordinator: "c292a995c258e7e4",
  JoinGroup: "b68b017b7fcc54b7",
  Heartbeat: "a3639a3ef844dc8a",
  LeaveGroup: "b3571131837c77b3",
  SyncGroup: "db1c7f66e3277cb9",
  DescribeGroups: "af3ea572d77d3058",
  ListGroups: "175f1b7b238cc4f1",
  SaslHandshake: "cab4c15aff133d89",
  ApiVersions: "263c4205b1709886",
  CreateTopics: "42b70d1c2ed7a56f",
  DeleteTopics: "a9c8baaa95d806b4",
  DeleteRecords: "1075163bd595a105",
  InitProducerId: "512251b2e5151ff0",
  OffsetForLeaderEpoch: "0f475dda509c1ecb",
  AddPartitionsToTxn: "466e042fbf126313",
  AddOffsetsToTxn: "b83ed5a8c1c4155e",
  EndTxn: "77f6d5f778a935ff",
  WriteTxnMarkers: "69721bb3c8b23b55",
  TxnOffsetCommit: "d38b0ad1e6dd2193",
  DescribeAcls: "77caad4ccf23b6fa",
  CreateAcls: "21afa192380d5c74",
  DeleteAcls: "8d830a307acf1aa8",
  DescribeConfigs: "cc7ce6c6b1a5a419",
  AlterConfigs: "8ab1abe9a6d00ffa",
  DescribeLogDirs: "19499ed9cc31f960",
  SaslAuthenticate: "9c1c417673b2819b",
  CreatePartitions: "721005ba18f66871",
  DeleteGroups: "989a77a1021bfad2",
  ElectLeaders: "aa024683fd9b4a0d",
  IncrementalAlterConfigs: "7b88c53ccda6bc03",
  AlterPartitionReassignments: "a377bf8fab828afa",
  ListPartitionReassignments: "1801f58212871db3",
  OffsetDelete: "fec7b66ece43576d",
  DescribeClientQuotas: "30d33e29958404b5",
  AlterClientQuotas: "dd5d85ef8c7e707d",
  DescribeUserScramCredentials: "87cfac45263e5596",
  AlterUserScramCredentials: "536eecf499d15660",
  DescribeQuorum: "0b3f7ba440a10113",
  UpdateFeatures: "5b0c27611edce778",
  DescribeCluster: "6a129dd573a0b007",
  DescribeProducers: "cb51d50805548c46",
  DescribeTransactions: "c0eb64fdfd9b257a",
  ListTransactions: "b0708f0d16136ab0",
  ConsumerGroupHeartbeat: "d15c9c516f5f2c10",
  ConsumerGroupDescribe: "d103462bc0d18ddc",
  ListConfigResources: "9798918675532f67",
  DescribeTopicPartitions: "47e5dca550f8dc7f",
};

for (const api of apis) {
  test(`${api.name}: the bytes are those of Kafka`, () => {
    const hash = createHash("sha256");
    for (const { version, flexible } of everyVersion([api])) {
      for (const message of [api.request, api.response]) {
        hash.update(encodeMessage(message, fullMessage(message, version), { version, flexible }));
        hash.update(encodeMessage(message, emptyMessage(message, version), { version, flexible }));
      }
    }
    assert.equal(hash.digest("hex").slice(0, 16), digests[api.name]);
  });
}

test("each type has the bytes of the protocol", () => {
  const all = struct({
    a: bool(),
    b: int8(),
    c: int16(),
    d: int32(),
    e: int64(),
    f: uint16(),
    g: uint32(),
    h: float64(),
    i: string(),
    j: uuid(),
    k: bytes(),
    l: records(),
    m: array(int16()),
    n: struct({ o: string({ nullable: 0 }) }, { nullable: 0 }),
  });
  const value = {
    a: true,
    b: -2,
    c: -2,
    d: -2,
    e: -2,
    f: 0xfffe,
    g: 0xfffffffe,
    h: -2,
    i: "né",
    j: "00112233-4455-6677-8899-aabbccddeeff",
    k: Buffer.from([1]),
    l: Buffer.from([2, 3]),
    m: [4],
    n: { o: null },
  };
  const numbers = "01 fe fffe fffffffe fffffffffffffffe fffe fffffffe c000000000000000";
  const id = "00112233445566778899aabbccddeeff";
  const classic = hex(`${numbers} 0003 6ec3a9 ${id} 00000001 01 00000002 0203 00000001 0004 01 ffff`);
  const flexible = hex(`${numbers} 04 6ec3a9 ${id} 02 01 03 0203 02 0004 01 00 00 00`);
  assert.deepEqual(encodeMessage(all, value), classic);
  assert.deepEqual(decodeMessage(all, classic), value);
  assert.deepEqual(encodeMessage(all, value, { flexible: true }), flexible);
  assert.deepEqual(decodeMessage(all, flexible, { flexible: true }), value);
  assert.equal(decodeMessage(all, encodeMessage(all, { ...value, n: null })).n, null);
});

test("an int64 is exact within 2^53, the nearest number beyond, and the largest of all stays what it is", () => {
  const long = struct({ value: int64() });
  for (const value of [0, -1, 2 ** 32, -(2 ** 32) - 1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, -(2 ** 63)])
    assert.equal(decodeMessage(long, encodeMessage(long, { value })).value, value);
  assert.deepEqual(encodeMessage(long, { value: int64Max }), hex("7fffffffffffffff"));
  assert.equal(decodeMessage(long, hex("7fffffffffffffff")).value, int64Max);
  assert.equal(decodeMessage(long, hex("0020000000000001")).value, 2 ** 53);
});

test("records from several buffers are chunks of their own, and none is copied", () => {
  const message = struct({ parts: array(struct({ index: int8(), records: records({ nullable: 0 }) })) });
  const [first, second, third] = [Buffer.from("first"), Buffer.from("second"), Buffer.from("third")];
  const writer = new WireWriter();
  const parts = [
    { index: 1, records: [first, Buffer.alloc(0), second] },
    { index: 2, records: null },
    { index: 3, records: third },
  ];
  structEncoder(message, 0, false)(writer, { parts });
  const chunks = writer.finish();
  assert.deepEqual(chunks.map(String).slice(1), [
    "first",
    "second",
    "\u0002\ufffd\ufffd\ufffd\ufffd\u0003\0\0\0\u0005",
    "third",
  ]);
  assert.ok(chunks[1] === first && chunks[2] === second && chunks[4] === third);
});

test("what a version does not have is not written, and has its default when it is read", () => {
  const message = struct({ old: int8({ to: 1, default: 7 }), always: int8(), late: string({ from: 2 }) });
  assert.deepEqual(encodeMessage(message, { old: 1, always: 2, late: "x" }, { version: 2 }), hex("02 0001 78"));
  assert.deepEqual(decodeMessage(message, hex("02 0001 78"), { version: 2 }), { old: 7, always: 2, late: "x" });
  assert.deepEqual(decodeMessage(message, hex("01 02"), { version: 1 }), { old: 1, always: 2, late: "" });
});

test("null in a version without null is written as the empty value", () => {
  const message = struct({ text: string({ nullable: 1 }), list: array(int8(), { nullable: 1 }) });
  assert.deepEqual(encodeMessage(message, { text: null, list: null }), hex("0000 00000000"));
  assert.deepEqual(encodeMessage(message, { text: null, list: null }, { version: 1 }), hex("ffff ffffffff"));
  assert.throws(() => decodeMessage(message, hex("ffff 00000000")), isMalformed);
  assert.throws(() => decodeMessage(message, hex("0000 ffffffff")), isMalformed);
});

test("a value that is missing, too large or no uuid is a bug, and says which", () => {
  assert.throws(() => encodeMessage(struct({ topic: string() }), {}), /topic is missing/);
  assert.throws(() => encodeMessage(struct({ count: int16() }), { count: 0x8000 }), RangeError);
  assert.throws(() => encodeMessage(struct({ time: int64() }), { time: Number.NaN }), /NaN/);
  assert.throws(() => encodeMessage(struct({ text: string() }), { text: "x".repeat(0x8000) }), /32768 bytes/);
  for (const id of ["", "0", zeroUuid.slice(1), `${zeroUuid}0`, zeroUuid.replace("0", "g")])
    assert.throws(() => encodeMessage(struct({ id: uuid() }), { id }), /is not a uuid/);
});

const tagged = struct({
  always: int8(),
  second: string({ from: 1, tag: 1 }),
  first: struct({ inner: int8({ default: -1 }) }, { tag: 0 }),
  list: array(int8(), { tag: 2 }),
});

test("tagged fields stand in the order of their numbers, and not at all while they have their defaults", () => {
  const flexible = { version: 1, flexible: true };
  const given = { always: 5, second: "x", first: { inner: 6 }, list: [7] };
  const written = hex("05 03 00 02 06 00 01 02 02 78 02 02 02 07");
  assert.deepEqual(encodeMessage(tagged, given, flexible), written);
  assert.deepEqual(decodeMessage(tagged, written, flexible), given);
  for (const none of [{}, { second: "", first: { inner: -1 }, list: [] }])
    assert.deepEqual(encodeMessage(tagged, { always: 5, ...none }, flexible), hex("05 00"));
  assert.deepEqual(decodeMessage(tagged, hex("05 00"), flexible), {
    always: 5,
    second: "",
    first: { inner: -1 },
    list: [],
  });
});

test("tagged fields that are not known are skipped, in every struct", () => {
  const bytesOfMessage = hex("05 03  00 07 06 01 e807 02 aabb  e907 01 cc  ff7f 00");
  assert.deepEqual(decodeMessage(tagged, bytesOfMessage, { version: 1, flexible: true }).first, { inner: 6 });
  // Version 0 does not know the tag 1 yet.
  const early = decodeMessage(tagged, hex("05 01 01 02 02 78"), { version: 0, flexible: true });
  assert.equal(early.second, "");
});

test("a tagged field of any size is read again", () => {
  const flexible = { version: 1, flexible: true };
  for (const length of [0, 1, 126, 127, 128, 129, 16_381, 16_384, 20_000, 32_767]) {
    const second = "é".repeat(length / 2) + "x".repeat(length % 2);
    const decoded = decodeMessage(tagged, encodeMessage(tagged, { always: 1, second, list: [9] }, flexible), flexible);
    assert.deepEqual(decoded, { always: 1, second, first: { inner: -1 }, list: [9] });
  }
});

test("texts of any length and script are read again, with either length", () => {
  const message = struct({ text: string() });
  for (const length of [0, 1, 23, 24, 25, 41, 42, 43, 126, 127, 128, 32_767]) {
    for (const flexible of [false, true]) {
      for (const character of ["x", "é", "漢", "😀"]) {
        const text = character.repeat(Math.floor(length / Buffer.byteLength(character)));
        assert.equal(decodeMessage(message, encodeMessage(message, { text }, { flexible }), { flexible }).text, text);
      }
    }
  }
});

test("what outgrows the writer's buffer is whole, and the writer goes on", () => {
  const message = struct({ list: array(string()) });
  const list = Array.from({ length: 20_000 }, (_, index) => `element ${index}`);
  const writer = new WireWriter();
  const write = structEncoder(message, 0, true);
  write(writer, { list });
  const large = Buffer.concat(writer.finish());
  writer.begin();
  write(writer, { list: ["small"] });
  assert.deepEqual(decodeMessage(message, Buffer.concat(writer.finish()), { flexible: true }), { list: ["small"] });
  assert.deepEqual(decodeMessage(message, large, { flexible: true }), { list });
});

test("after a message that failed the next one is whole", () => {
  const message = struct({ records: records(), text: string() });
  const writer = new WireWriter();
  const write = structEncoder(message, 0, false);
  assert.throws(() => write(writer, { records: Buffer.from("x") }));
  writer.begin();
  write(writer, { records: Buffer.from("y"), text: "z" });
  assert.deepEqual(Buffer.concat(writer.finish()), hex("00000001 79 0001 7a"));
});
