/** Partitions for the cleaner's tests: real segments on a simulated disk, and what a reader finds in them. */
import * as assert from "node:assert/strict";
import * as path from "node:path";
import type { Disk } from "../../base/disk.ts";
import { type Random, seededRandom } from "../../base/random.ts";
import type { SimulatedDisk } from "../../base/simulated-disk.ts";
import { BatchBuilder, type ControlKind, encodeControlBatch } from "../../records/batch-builder.ts";
import {
  attributeMask,
  batchField,
  isControl,
  isTransactional,
  placeBatch,
  readBatchHeader,
  stampTransaction,
  writeBatchChecksum,
} from "../../records/batch-header.ts";
import { controlKind, decodeBatch } from "../../records/batch-records.ts";
import { checkBatchWhole, splitBatches } from "../../records/batch-validator.ts";
import { writeInt64 } from "../../records/int64.ts";
import type { StoredRecord } from "../../records/record.ts";
import { FilePool } from "../file-pool.ts";
import type { PartitionPlace } from "../log-context.ts";
import type { AbortedRange } from "../producer-table.ts";
import { encodeSegmentHeader, type Segment, segmentHeaderBytes, segmentHeaderFault } from "../segment.ts";
import { makeSegmentName, parseSegmentName } from "../segment-name.ts";
import { type Cleaning, type CleaningResult, cleanSegments } from "./clean-segments.ts";
import { commitSwap } from "./swap.ts";

export const place: PartitionPlace = {
  topic: "t",
  topicId: "0f5b3a52-6a0e-4d3a-9c51-6a1f8f6a2b11",
  partition: 3,
  directory: "/log/topics/t/3",
};

export interface Put {
  readonly key: string | null;
  /** Null is a tombstone. */
  readonly value: string | null;
  readonly timestamp?: number;
}

export interface BatchOptions {
  readonly producerId?: number;
  readonly epoch?: number;
  readonly sequence?: number;
  readonly transactional?: boolean;
  readonly codec?: number;
}

export function put(key: string | null, value: string | null = `value of ${key}`, timestamp = 1000): Put {
  return { key, value, timestamp };
}

export function batchOf(baseOffset: number, puts: readonly Put[], options: BatchOptions = {}): Buffer {
  const builder = new BatchBuilder(64);
  for (const { key, value, timestamp } of puts) {
    builder.add(key === null ? null : Buffer.from(key), value === null ? null : Buffer.from(value), timestamp ?? 1000);
  }
  const batch = builder.finish(options.codec ?? 0);
  const { producerId, epoch = 0, sequence = 0 } = options;
  if (options.transactional) stampTransaction(batch, producerId as number, epoch, sequence);
  else if (producerId !== undefined) {
    writeInt64(batch, batchField.producerId, producerId);
    batch.writeInt16BE(epoch, batchField.producerEpoch);
    batch.writeInt32BE(sequence, batchField.baseSequence);
    writeBatchChecksum(batch);
  }
  placeBatch(batch, baseOffset, 0);
  return batch;
}

export function markerOf(offset: number, kind: ControlKind, producerId: number, epoch = 0, nowMs = 1000): Buffer {
  const batch = encodeControlBatch(kind, { producerId, epoch }, nowMs);
  placeBatch(batch, offset, 0);
  return batch;
}

/** Durable. */
export async function writeSegment(disk: Disk, baseOffset: number, batches: readonly Buffer[]): Promise<Segment> {
  await disk.makeDirectory(place.directory);
  const file = path.join(place.directory, makeSegmentName({ baseOffset, generation: 0 }));
  const header = encodeSegmentHeader({ topicId: place.topicId, partition: place.partition, baseOffset });
  const handle = await disk.open(file, "exclusive");
  await handle.write([header, ...batches], 0);
  await handle.datasync();
  await handle.close();
  for (const folder of ["/", "/log", "/log/topics", "/log/topics/t", place.directory]) await disk.syncDirectory(folder);
  return { baseOffset, path: file, sizeBytes: batches.reduce((sum, batch) => sum + batch.length, segmentHeaderBytes) };
}

/** Those that a start would find. */
export async function segmentsOn(disk: SimulatedDisk): Promise<Segment[]> {
  const segments: Segment[] = [];
  for (const name of await disk.list(place.directory)) {
    const parsed = parseSegmentName(name);
    if (!parsed) continue;
    const file = path.join(place.directory, name);
    segments.push({ baseOffset: parsed.baseOffset, path: file, sizeBytes: disk.contents(file).length });
  }
  return segments.sort((a, b) => a.baseOffset - b.baseOffset);
}

/** Each batch is checked, and that each segment ends where the next one begins. */
export async function batchesOn(disk: SimulatedDisk, end?: number): Promise<Buffer[]> {
  const all: Buffer[] = [];
  const segments = await segmentsOn(disk);
  segments.forEach((segment, i) => {
    const { baseOffset, path: file } = segment;
    const bytes = disk.contents(file);
    const { topicId, partition } = place;
    assert.equal(segmentHeaderFault(bytes, { topicId, partition, baseOffset }, file), undefined);
    const batches = splitBatches(bytes.subarray(segmentHeaderBytes));
    assert.equal(
      batches.reduce((sum, batch) => sum + batch.length, segmentHeaderBytes),
      bytes.length,
    );
    let next = baseOffset;
    for (const batch of batches) {
      checkBatchWhole(batch);
      const header = readBatchHeader(batch);
      assert.ok(header.baseOffset >= next, `${file} goes back to ${header.baseOffset}`);
      next = header.lastOffset + 1;
      all.push(batch);
    }
    const expected = segments[i + 1]?.baseOffset ?? end;
    if (expected !== undefined) assert.equal(next, expected, `${file} does not end where the next one begins`);
  });
  return all;
}

/** What the batches say of transactions, as a start reads it. */
export function abortedOf(batches: readonly Buffer[]): AbortedRange[] {
  const open = new Map<number, number>();
  const aborted: AbortedRange[] = [];
  for (const batch of batches) {
    const { attributes, producerId, baseOffset, lastOffset } = readBatchHeader(batch);
    if (!isTransactional(attributes)) continue;
    const firstOffset = open.get(producerId);
    if (!isControl(attributes)) {
      if (firstOffset === undefined) open.set(producerId, baseOffset);
      continue;
    }
    open.delete(producerId);
    if (firstOffset !== undefined && controlKind(batch) === "abort") {
      aborted.push({ producerId, firstOffset, lastOffset });
    }
  }
  return aborted;
}

/** What a read_committed reader gets of the batches. */
export function committedIn(batches: readonly Buffer[]): StoredRecord[] {
  const aborted = abortedOf(batches);
  const found: StoredRecord[] = [];
  for (const batch of batches) {
    const { attributes, producerId, baseOffset } = readBatchHeader(batch);
    if (isControl(attributes)) continue;
    const isAborted =
      isTransactional(attributes) &&
      aborted.some(
        (range) => range.producerId === producerId && range.firstOffset <= baseOffset && baseOffset < range.lastOffset,
      );
    if (!isAborted) found.push(...decodeBatch(batch));
  }
  return found;
}

export interface CleanOptions extends Partial<Cleaning> {
  /** Of the cleanable part. */
  readonly end: number;
}

/** One cleaning of what is on the disk, put in place. */
export async function clean(disk: SimulatedDisk, options: CleanOptions): Promise<CleaningResult> {
  const files = new FilePool(disk, 4);
  try {
    const segments = await segmentsOn(disk);
    let aborted: readonly AbortedRange[] | undefined;
    const abortedIn = (from: number, end: number) => {
      aborted ??= abortedOf(
        segments.flatMap(({ path }) => splitBatches(disk.contents(path).subarray(segmentHeaderBytes))),
      );
      return aborted.filter((range) => range.lastOffset >= from && range.firstOffset < end);
    };
    return await cleanSegments({
      disk,
      files,
      place,
      segments,
      firstDirtyOffset: segments[0]?.baseOffset ?? 0,
      cleanableEnd: options.end,
      lastStable: options.end,
      settings: { segmentBytesMax: 1_000_000, tombstoneRetentionMs: 1000 },
      nowMs: 10_000,
      memoryBytesMax: 100_000,
      chunkBytes: 4096,
      random: seededRandom(1),
      abortedIn,
      isLastBatch: () => false,
      replace: (replacement) => commitSwap(disk, files, place.directory, replacement),
      ...options,
    });
  } finally {
    await files.close();
  }
}

/** `offset key=value` */
export function shown(record: StoredRecord): string {
  return `${record.offset} ${record.key}=${record.value}`;
}

export async function recordsOn(disk: SimulatedDisk): Promise<string[]> {
  return committedIn(await batchesOn(disk)).map(shown);
}

export function hasHorizon(batch: Buffer): boolean {
  return (readBatchHeader(batch).attributes & attributeMask.deleteHorizon) !== 0;
}

export function pick<T>(random: Random, of: readonly T[]): T {
  return of[random.below(of.length)] as T;
}
