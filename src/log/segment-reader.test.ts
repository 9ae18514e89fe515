import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBatch } from "../records/batch-builder.ts";
import { batchBaseOffset, placeBatch } from "../records/batch-header.ts";
import type { LogContext, PartitionPlace } from "./log-context.ts";
import { OffsetIndex } from "./offset-index.ts";
import { ReadAhead } from "./read-ahead.ts";
import { ReadMemory } from "./read-memory.ts";
import { segmentHeaderBytes } from "./segment.ts";
import { SegmentReader } from "./segment-reader.ts";

const valueBytes = 100 * 1024;
const memoryBytes = 16 * 1024 * 1024;

/** A segment of three batches of about 100 KiB, and how often it was read. */
function threeBatches() {
  const batches = [0, 1, 2].map((offset) => {
    const batch = encodeBatch([{ key: null, value: Buffer.alloc(valueBytes, offset) }], 0);
    placeBatch(batch, offset, 0);
    return batch;
  });
  const bytes = Buffer.concat([Buffer.alloc(segmentHeaderBytes), ...batches]);
  const reads: number[] = [];
  const file = {
    read: async (target: Buffer, position: number) => {
      const count = bytes.copy(target, 0, position);
      reads.push(count);
      return count;
    },
  };
  const readMemory = new ReadMemory(memoryBytes);
  const context = {
    readMemory,
    ahead: new ReadAhead(readMemory, memoryBytes),
    oldReads: { run: <T>(work: () => T) => work() },
    files: { use: <T>(_path: string, work: (opened: typeof file) => T) => work(file) },
  } as unknown as LogContext;
  const segment = { baseOffset: 0, path: "/segment", sizeBytes: bytes.length };
  const at = { segment, index: new OffsetIndex(0, segmentHeaderBytes), endOffset: undefined };
  return { reader: new SegmentReader(context, {} as PartitionPlace), at, reads, batchBytes: batches[0]?.length ?? 0 };
}

test("what does not fit any more is not read", async () => {
  const { reader, at, reads, batchBytes } = threeBatches();
  const batches = await reader.read(at, 0, 3, Math.floor(batchBytes * 1.5));
  assert.deepEqual(
    batches.map((batch) => batchBaseOffset(batch)),
    [0],
  );
  assert.equal(reads.length, 1);
});

test("what fits is read to its end, and the first batch whatever its size", async () => {
  const { reader, at, reads, batchBytes } = threeBatches();
  const two = await reader.read(at, 0, 3, batchBytes * 2);
  assert.deepEqual(
    two.map((batch) => batchBaseOffset(batch)),
    [0, 1],
  );
  reads.length = 0;
  const first = await reader.read(at, 1, 3, 1);
  assert.deepEqual(
    first.map((batch) => batchBaseOffset(batch)),
    [1],
  );
  assert.ok(reads.length > 1, "it is larger than what is read at first");
});

test("who reads in order finds the next chunk read already", async () => {
  const { reader, at, reads, batchBytes } = threeBatches();
  const offsets: number[] = [];
  for (let offset = 0; offset < 3; offset++) {
    const [batch] = await reader.read(at, offset, 3, batchBytes);
    offsets.push(batchBaseOffset(batch as Buffer));
    if (offset === 1) assert.equal(reads.length, 3, "the third is on its way before it is asked for");
  }
  assert.deepEqual(offsets, [0, 1, 2]);
  assert.equal(reads.length, 3);
});

test("who jumps about has nothing read ahead", async () => {
  const { reader, at, reads, batchBytes } = threeBatches();
  for (const offset of [2, 0, 2, 1]) {
    const [batch] = await reader.read(at, offset, 3, batchBytes);
    assert.equal(batchBaseOffset(batch as Buffer), offset);
  }
  const before = reads.length;
  await reader.read(at, 0, 3, batchBytes);
  assert.equal(reads.length, before + 1);
});
