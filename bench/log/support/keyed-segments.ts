/** The closed segments of a compacted partition, written without a log: how many records there are of each key is what matters. */
import { join } from "node:path";
import type { DiskFile } from "../../../src/base/disk.ts";
import { type Random, seededRandom } from "../../../src/base/random.ts";
import { realDisk } from "../../../src/base/real-disk.ts";
import type { PartitionPlace } from "../../../src/log/log-context.ts";
import { encodeSegmentHeader, segmentHeaderBytes } from "../../../src/log/segment.ts";
import { makeSegmentName } from "../../../src/log/segment-name.ts";
import { BatchBuilder } from "../../../src/records/batch-builder.ts";
import { placeBatch } from "../../../src/records/batch-header.ts";

export interface KeyedRecords {
  readonly records: number;
  /** As many as there are records: each key once. Fewer: each record has one of them by chance. */
  readonly keys: number;
  readonly valueBytes: number;
  readonly recordsPerBatch: number;
  readonly segmentBytesMax: number;
}

const keyBytes = 16;
const firstTimestampMs = Date.UTC(2026, 0, 1);
const valueSourceBytes = 1024 * 1024;

/** The same bytes at each call, but for the topic's id. Answers how many; the folder is made. */
export async function writeKeyedSegments(place: PartitionPlace, what: KeyedRecords): Promise<number> {
  await realDisk.makeDirectory(place.directory);
  const random = seededRandom(1);
  const values = random.bytes(valueSourceBytes);
  const builder = new BatchBuilder(what.recordsPerBatch * (what.valueBytes + 64));
  const key = Buffer.alloc(keyBytes);
  let totalBytes = 0;
  let file: DiskFile | undefined;
  let fileBytes = 0;
  for (let baseOffset = 0; baseOffset < what.records; baseOffset += what.recordsPerBatch) {
    const endOffset = Math.min(what.records, baseOffset + what.recordsPerBatch);
    for (let offset = baseOffset; offset < endOffset; offset++) {
      key.writeUInt32BE(keyOf(what, offset, random), keyBytes - 4);
      const from = (offset * 31) % (valueSourceBytes - what.valueBytes);
      builder.add(key, values.subarray(from, from + what.valueBytes), firstTimestampMs + offset);
    }
    const batch = builder.finish();
    placeBatch(batch, baseOffset, 0);
    if (!file || fileBytes + batch.length > what.segmentBytesMax) {
      await file?.datasync();
      await file?.close();
      file = await realDisk.open(join(place.directory, makeSegmentName({ baseOffset, generation: 0 })), "exclusive");
      const { topicId, partition } = place;
      await file.write([encodeSegmentHeader({ topicId, partition, baseOffset })], 0);
      fileBytes = segmentHeaderBytes;
      totalBytes += segmentHeaderBytes;
    }
    await file.write([batch], fileBytes);
    fileBytes += batch.length;
    totalBytes += batch.length;
  }
  await file?.datasync();
  await file?.close();
  return totalBytes;
}

function keyOf({ records, keys }: KeyedRecords, offset: number, random: Random): number {
  return keys === records ? offset : random.below(keys);
}
