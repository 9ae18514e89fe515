import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeBatch } from "../records/batch-builder.ts";
import { batchBaseOffset, placeBatch } from "../records/batch-header.ts";
import type { LogContext, PartitionPlace } from "./log-context.ts";
import { OffsetIndex } from "./offset-index.ts";
import { PartitionReader } from "./partition-reader.ts";
import type { PartitionWriter } from "./partition-writer.ts";
import { segmentHeaderBytes } from "./segment.ts";
import type { PartitionSegments } from "./segments.ts";
import type { PartitionTail } from "./tail-cache.ts";

function batchAt(offset: number): Buffer {
  const batch = encodeBatch([{ key: null, value: Buffer.from("v") }], 0);
  placeBatch(batch, offset, 0);
  return batch;
}

test("a reader in the gap at the end of a cleaned segment misses nothing that goes to a segment while it looks", async () => {
  // Compaction has left nothing of the offsets below 10; 10 and 11 are in memory.
  const segment = { baseOffset: 0, path: "/cleaned", sizeBytes: segmentHeaderBytes };
  let unflushed = [batchAt(10), batchAt(11)];
  let looks = 0;
  const segments = {
    list: [segment],
    writtenEnd: 10,
    at: () => 0,
    indexOf: async () => {
      // 10 goes to a segment, of which the first look knows nothing; from the second one on it stands there.
      if (++looks === 1) {
        segments.writtenEnd = 11;
        unflushed = [batchAt(11)];
      } else unflushed = [batchAt(10), batchAt(11)];
      return { offsets: new OffsetIndex(0, segmentHeaderBytes) };
    },
  };
  const reader = new PartitionReader(
    {} as LogContext,
    {} as PartitionPlace,
    segments as unknown as PartitionSegments,
    { unflushed: () => unflushed } as unknown as PartitionWriter,
    { read: () => undefined } as unknown as PartitionTail,
  );
  const batches = await reader.read(5, 12, 1_000_000);
  assert.equal(batchBaseOffset(batches[0] as Buffer), 10);
  assert.equal(looks, 2);
});
