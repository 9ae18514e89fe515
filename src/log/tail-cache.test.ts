import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBatch, encodeControlBatch } from "../records/batch-builder.ts";
import { placeBatch, stampTransaction } from "../records/batch-header.ts";
import { type PartitionTail, TailCache } from "./tail-cache.ts";

const cacheBytes = 64 * 1024;

function place(tail: PartitionTail, batch: Buffer, offset: number): void {
  placeBatch(batch, offset, 0);
  tail.add(batch);
}

function batch(bytes: number, transactional: boolean): Buffer {
  const made = encodeBatch([{ key: null, value: Buffer.alloc(bytes) }], 0);
  if (transactional) stampTransaction(made, 7, 0, 0);
  return made;
}

const offsets = (tail: PartitionTail, from: number) =>
  tail.read(from, 1_000, cacheBytes)?.map((one) => one.readInt32BE(4));

test("the oldest batch of all partitions goes first", () => {
  const cache = new TailCache(cacheBytes);
  const [one, other] = [cache.tail(), cache.tail()];
  place(one, batch(30_000, false), 0);
  place(other, batch(20_000, false), 0);
  place(one, batch(20_000, false), 1);
  assert.equal(offsets(one, 0), undefined);
  assert.deepEqual([offsets(one, 1), offsets(other, 0)], [[1], [0]]);
});

test("a transaction of more than half of the memory is not held, and drives out nothing of others", () => {
  const cache = new TailCache(cacheBytes);
  const [large, other] = [cache.tail(), cache.tail()];
  place(other, batch(10_000, false), 0);
  for (let offset = 0; offset < 3; offset++) place(large, batch(10_000, true), offset);
  assert.deepEqual(offsets(large, 0), [0, 1, 2]);
  const held = cache.bytes;
  for (let offset = 3; offset < 20; offset++) {
    place(large, batch(10_000, true), offset);
    assert.equal(offsets(large, offset), undefined, `offset ${offset}`);
  }
  assert.ok(cache.bytes < held / 2);
  assert.deepEqual(offsets(other, 0), [0]);
  // What comes behind its end is held again, and nothing is told that lies before a gap.
  place(large, encodeControlBatch("commit", { producerId: 7, epoch: 0 }, 0), 20);
  place(large, batch(10_000, true), 21);
  assert.deepEqual([offsets(large, 19), offsets(large, 20), offsets(other, 0)], [undefined, [20, 21], [0]]);
});
