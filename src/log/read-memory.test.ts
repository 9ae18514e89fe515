import assert from "node:assert/strict";
import { test } from "node:test";
import { ReadAhead } from "./read-ahead.ts";
import { ReadMemory } from "./read-memory.ts";

const kib = 1024;

test("what was given back is lent again, and only once", () => {
  const memory = new ReadMemory(1024 * kib);
  const first = memory.take(100 * kib);
  memory.giveBack([first.subarray(10, 20), first.subarray(20, 30)]);
  memory.giveBack([first]);
  assert.equal(memory.idleBytes, 128 * kib);
  const second = memory.take(90 * kib);
  assert.equal(second.buffer, first.buffer);
  assert.equal(second.length, 90 * kib);
  assert.notEqual(memory.take(90 * kib).buffer, first.buffer);
});

test("a small read does not take a large buffer away", () => {
  const memory = new ReadMemory(1024 * kib);
  const large = memory.take(512 * kib);
  memory.giveBack([large]);
  assert.notEqual(memory.take(64 * kib).buffer, large.buffer);
  assert.equal(memory.take(300 * kib).buffer, large.buffer);
});

test("what is kept has a bound, and what is not from here is passed over", () => {
  const memory = new ReadMemory(128 * kib);
  const taken = [memory.take(64 * kib), memory.take(64 * kib), memory.take(64 * kib)];
  memory.giveBack([...taken, Buffer.alloc(10), memory.take(9 * 1024 * kib)]);
  assert.equal(memory.idleBytes, 128 * kib);
});

function chunks(bytesMax: number) {
  const memory = new ReadMemory(1024 * kib);
  const ahead = new ReadAhead(memory, bytesMax);
  const reads: PromiseWithResolvers<Buffer>[] = [];
  const begin = (reader: object, position: number) => {
    const read = Promise.withResolvers<Buffer>();
    reads.push(read);
    ahead.begin(reader, "/segment", position, 64 * kib, () => read.promise);
  };
  return { memory, ahead, reads, begin };
}

test("a chunk that was read ahead is had once, by its reader, from its place on", async () => {
  const { memory, ahead, reads, begin } = chunks(1024 * kib);
  const [reader, other] = [{}, {}];
  begin(reader, 100);
  const bytes = memory.take(64 * kib);
  reads[0]?.resolve(bytes);
  assert.equal(ahead.take(other, "/segment", 100), undefined);
  assert.equal(ahead.take(reader, "/segment", 101), undefined);
  assert.equal(ahead.take(reader, "/other", 100), undefined);
  assert.equal(await ahead.take(reader, "/segment", 100), bytes);
  assert.equal(ahead.take(reader, "/segment", 100), undefined);
  assert.equal(ahead.heldBytes, 0);
});

test("at the bound the oldest chunk goes, and its memory is lent again", async () => {
  const { memory, ahead, reads, begin } = chunks(128 * kib);
  const readers = [{}, {}, {}];
  for (const reader of readers) begin(reader, 0);
  assert.equal(ahead.heldBytes, 128 * kib);
  assert.equal(ahead.take(readers[0] as object, "/segment", 0), undefined);
  for (const read of reads) read.resolve(memory.take(64 * kib));
  await ahead.close();
  assert.equal(memory.idleBytes, 192 * kib);
});

test("a chunk that cannot be read is left to its reader", async () => {
  const { ahead, reads, begin } = chunks(128 * kib);
  const reader = {};
  begin(reader, 0);
  reads[0]?.reject(new Error("the disk is gone"));
  assert.equal(await ahead.take(reader, "/segment", 0), undefined);
  await ahead.close();
});
