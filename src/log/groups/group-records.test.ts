import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { decodeGroupRecord, encodeGroupRecord, type GroupRecord } from "./group-records.ts";

const topicId = "0f8fad5b-d9cb-469f-a165-70867728950e";
const value = { offset: 2 ** 52, leaderEpoch: 7, metadata: "größer als — 𝄞", committedMs: 1_700_000_000_000, topicId };

const records: GroupRecord[] = [
  { kind: "offset", group: "g", topic: "orders", partition: 4_294_967_295, value },
  { kind: "offset", group: "gruppe/ä", topic: "t", partition: 0, value: { ...value, metadata: "", leaderEpoch: -1 } },
  { kind: "offset", group: "g", topic: "t", partition: 1, value: null },
  {
    kind: "group",
    group: "g",
    value: {
      protocolType: "consumer",
      generation: 3,
      memberCount: 2,
      emptySinceMs: null,
      detail: Buffer.from([0, 255]),
    },
  },
  {
    kind: "group",
    group: "g",
    value: { protocolType: "millrace", generation: 0, memberCount: 0, emptySinceMs: 5, detail: null },
  },
  { kind: "group", group: "g", value: null },
  { kind: "mark" },
];

test("a record of a group comes back as it was written", () => {
  for (const record of records) {
    const { key, value: bytes } = encodeGroupRecord(record);
    assert.deepEqual(decodeGroupRecord(key, bytes), record);
  }
});

test("no two groups, topics and partitions share a key", () => {
  const keys = [
    { group: "a", topic: "bc", partition: 0 },
    { group: "ab", topic: "c", partition: 0 },
    { group: "a", topic: "bc", partition: 1 },
  ].map((place) => encodeGroupRecord({ kind: "offset", ...place, value: null }).key?.toString("hex"));
  assert.equal(
    new Set([...keys, encodeGroupRecord({ kind: "group", group: "a", value: null }).key?.toString("hex")]).size,
    4,
  );
});

test("a record that is newer, cut short or not of this topic is not understood, and stops nothing", () => {
  for (const record of records) {
    const { key, value: bytes } = encodeGroupRecord(record);
    for (let length = 0; length < (key?.length ?? 0); length++) {
      assert.equal(decodeGroupRecord((key as Buffer).subarray(0, length), bytes), undefined);
    }
    for (let length = 0; length < (bytes?.length ?? 0); length++) {
      assert.equal(decodeGroupRecord(key, (bytes as Buffer).subarray(0, length)), undefined);
    }
    assert.equal(decodeGroupRecord(Buffer.concat([key as Buffer, Buffer.from([0])]), bytes), undefined);
    if (bytes && record.kind === "offset")
      assert.equal(decodeGroupRecord(key, Buffer.from([2, ...bytes.subarray(1)])), undefined);
  }
  assert.equal(decodeGroupRecord(null, null), undefined);
  const { key } = encodeGroupRecord({ kind: "group", group: "g", value: null });
  for (const json of ["null", "1", "[]", '{"version":2}', '{"version":1,"protocolType":"x","generation":1e99}']) {
    assert.equal(decodeGroupRecord(key, Buffer.from(json)), undefined, json);
  }
});

test("random bytes are never more than not understood", () => {
  const random = seededRandom(7);
  for (let i = 0; i < 3000; i++) {
    const key = random.bytes(random.below(20));
    if (key.length > 0) key[0] = random.below(5);
    decodeGroupRecord(key, random.below(4) === 0 ? null : random.bytes(random.below(80)));
  }
});
