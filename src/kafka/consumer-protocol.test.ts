import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../base/errors.ts";
import {
  consumerAssignment,
  consumerSubscription,
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
} from "./consumer-protocol.ts";
import type { Input } from "./fields.ts";
import { decodedForm, messages } from "./message.fixture.ts";

const hex = (digits: string) => Buffer.from(digits.replaceAll(" ", ""), "hex");
const isMalformed = (error: unknown) => MillraceError.is(error, "REQUEST_MALFORMED");

test("a subscription stands in bytes as Java's consumer writes it", () => {
  const subscription = {
    topics: ["a", "b"],
    ownedPartitions: [{ topic: "a", partitions: [0, 1] }],
    generationId: 7,
    rackId: "r",
  };
  const first = "00000002 0001 61 0001 62 ffffffff";
  const owned = "00000001 0001 61 00000002 00000000 00000001";
  assert.deepEqual(encodeSubscription(subscription, 0), hex(`0000 ${first}`));
  assert.deepEqual(encodeSubscription(subscription, 1), hex(`0001 ${first} ${owned}`));
  assert.deepEqual(encodeSubscription(subscription, 2), hex(`0002 ${first} ${owned} 00000007`));
  assert.deepEqual(encodeSubscription(subscription), hex(`0003 ${first} ${owned} 00000007 0001 72`));
  assert.deepEqual(decodeSubscription(encodeSubscription(subscription)), { ...subscription, userData: null });
});

test("an assignment stands in bytes as Java's consumer writes it", () => {
  const assignment = { assignedPartitions: [{ topic: "a", partitions: [2] }], userData: Buffer.from("u") };
  const bytes = hex("0003 00000001 0001 61 00000001 00000002 00000001 75");
  assert.deepEqual(encodeAssignment(assignment), bytes);
  assert.deepEqual(decodeAssignment(bytes), assignment);
});

test("subscriptions and assignments of all versions are read again", () => {
  for (let version = 0; version <= 3; version++) {
    const subscriptions = fc.property(messages(consumerSubscription, version), (value) => {
      const encoded = encodeSubscription(value as Input<typeof consumerSubscription>, version);
      assert.deepEqual(decodeSubscription(encoded), decodedForm(consumerSubscription, version, value));
    });
    const assignments = fc.property(messages(consumerAssignment, version), (value) => {
      const encoded = encodeAssignment(value as Input<typeof consumerAssignment>, version);
      assert.deepEqual(decodeAssignment(encoded), decodedForm(consumerAssignment, version, value));
    });
    fc.assert(subscriptions, { numRuns: 30 });
    fc.assert(assignments, { numRuns: 30 });
  }
});

test("a later version is read as the highest that is known, and what it adds is ignored", () => {
  const later = hex("0009 00000001 0001 61 ffffffff 00000000 00000005 ffff cafe");
  assert.deepEqual(decodeSubscription(later), {
    topics: ["a"],
    userData: null,
    ownedPartitions: [],
    generationId: 5,
    rackId: null,
  });
});

test("bytes of no consumer are malformed", () => {
  for (const bytes of ["", "00", "ffff 00000000 ffffffff", "0000", "0000 7fffffff", "0001 00000000 ffffffff"])
    assert.throws(() => decodeSubscription(hex(bytes)), isMalformed, bytes);
  assert.throws(() => decodeAssignment(hex("0000 00000001 0001")), isMalformed);
});
