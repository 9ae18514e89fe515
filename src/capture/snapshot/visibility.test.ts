import assert from "node:assert/strict";
import { test } from "node:test";
import { SnapshotVisibility } from "./visibility.ts";

test("a snapshot sees what ended before it, and not what ran or came later", () => {
  const snapshot = SnapshotVisibility.parse("100:110:100,105");
  const seen = [99, 100, 101, 105, 109, 110, 4_000_000_000].map((xid) => snapshot.sees(xid));
  assert.deepEqual(seen, [true, false, true, false, true, false, true]);
  assert.equal(SnapshotVisibility.parse("7:7:").sees(6), true);
});

test("transactions are numbered with 32 bits in the stream, and with 64 in a snapshot: each is the nearest one", () => {
  const wrap = 2 ** 32;
  const snapshot = SnapshotVisibility.parse(`${3 * wrap - 5}:${3 * wrap + 5}:${3 * wrap - 3},${3 * wrap + 2}`);
  assert.equal(snapshot.sees(wrap - 6), true);
  assert.equal(snapshot.sees(wrap - 3), false);
  assert.equal(snapshot.sees(wrap - 2), true);
  assert.equal(snapshot.sees(1), true);
  assert.equal(snapshot.sees(2), false);
  assert.equal(snapshot.sees(6), false);
  // As a signed number.
  assert.equal(snapshot.sees(-3), false);
  assert.equal(snapshot.sees(-2), true);
});

test("a text that is no snapshot is refused", () => {
  for (const text of ["", "1:2", "a:b:", "1:2:3;4"]) assert.throws(() => SnapshotVisibility.parse(text), RangeError);
});
