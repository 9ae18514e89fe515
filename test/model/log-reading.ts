/** Reads the log as a consumer does, and holds everything that it is given against the model. */
import assert from "node:assert/strict";
import type { Log } from "../../src/log/log.ts";
import type { PartitionRead } from "../../src/log/partition.ts";
import {
  batchAttributes,
  batchBaseOffset,
  batchLastOffset,
  batchMaxTimestamp,
  batchProducerId,
  hasRightChecksum,
  isControl,
  isTransactional,
} from "../../src/records/batch-header.ts";
import { controlKind, decodeBatch } from "../../src/records/batch-records.ts";
import { type LogModel, type ModelPartition, nameOf, placeOf } from "./log-model.ts";

export interface Reading {
  readonly offset: number;
  readonly committed: boolean;
  readonly bytesMax: number;
}

/** What one scan of a partition has seen. */
export interface Scan {
  /** By key, of committed records. */
  readonly latest: Map<string, string | null>;
  /** Ids of committed records. */
  readonly visible: Set<number>;
  /** Of all records, markers included, by offset. */
  readonly timestamps: { readonly offset: number; readonly timestamp: number }[];
}

export function newScan(): Scan {
  return { latest: new Map(), visible: new Set(), timestamps: [] };
}

/** One read; answers where the next one begins. Throws what the log throws. */
export async function readChecked(
  log: Log,
  model: LogModel,
  partition: ModelPartition,
  reading: Reading,
  nowMs: () => number,
  scan = newScan(),
): Promise<number> {
  const { offset, committed, bytesMax } = reading;
  const from = log.partition(partition.topic.name, partition.number);
  const endBefore = committed ? from.lastStable : from.highWatermark;
  const read = await from.read(offset, committed, bytesMax);
  const end = committed ? from.lastStable : from.highWatermark;
  const where = `a read of ${placeOf(partition)} at ${offset}`;
  partition.highWatermark = Math.max(partition.highWatermark, from.highWatermark);
  const last = read.batches.at(-1);
  if (!last) {
    assert.ok(offset >= endBefore, `${where} found nothing below ${endBefore}`);
    return offset;
  }
  const bytes = read.batches.reduce((sum, { length }) => sum + length, 0);
  assert.ok(read.batches.length === 1 || bytes <= bytesMax, `${where} answered more than ${bytesMax} bytes`);
  assert.ok(batchBaseOffset(last) < end, `${where} answered what lies behind ${end}`);
  assert.ok(batchLastOffset(read.batches[0] as Buffer) >= offset, `${where} answered what lies before it`);
  const present = takeAll(model, partition, read, reading, scan);
  const next = batchLastOffset(last) + 1;
  for (let at = Math.max(offset, from.logStart); at < next; at++) {
    const record = partition.at[at];
    if (!record || present.has(at)) continue;
    assert.ok(model.mayBeCompacted(record, at, nowMs()), `${where} has not offset ${at}: ${nameOf(record.batch)}`);
    partition.compacted.add(at);
  }
  return next;
}

/** Answers the offsets that were there. */
function takeAll(
  model: LogModel,
  partition: ModelPartition,
  { batches, aborted }: PartitionRead,
  { offset, committed }: Reading,
  scan: Scan,
): Set<number> {
  const present = new Set<number>();
  const coming = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset);
  const abortedNow = new Set<number>();
  let expected: number | undefined;
  for (const batch of batches) {
    const where = `offset ${batchBaseOffset(batch)} of ${placeOf(partition)}`;
    assert.ok(hasRightChecksum(batch), `the batch at ${where} is damaged`);
    const follows = batchBaseOffset(batch) - (expected ?? Math.min(offset, batchBaseOffset(batch)));
    const gapsAllowed = partition.topic.isCompacted;
    assert.ok(follows === 0 || (gapsAllowed && follows > 0), `the batch at ${where} does not follow ${expected}`);
    assert.ok(
      expected !== undefined || gapsAllowed || batchBaseOffset(batch) <= offset,
      `a read at ${offset} began late`,
    );
    expected = batchLastOffset(batch) + 1;
    const attributes = batchAttributes(batch);
    while ((coming[0]?.firstOffset ?? Number.POSITIVE_INFINITY) < expected) {
      abortedNow.add((coming.shift() as { producerId: number }).producerId);
    }
    const producerId = batchProducerId(batch);
    if (isControl(attributes)) {
      if (controlKind(batch) === "abort") abortedNow.delete(producerId);
      scan.timestamps.push({ offset: batchBaseOffset(batch), timestamp: batchMaxTimestamp(batch) });
      continue;
    }
    const isVisible = committed && !(isTransactional(attributes) && abortedNow.has(producerId));
    for (const stored of decodeBatch(batch)) {
      const record = model.take(partition, stored);
      present.add(stored.offset);
      scan.timestamps.push({ offset: stored.offset, timestamp: stored.timestamp });
      const { act } = record.batch;
      if (!committed) continue;
      if (isVisible && stored.offset >= offset) {
        assert.ok(act.fate !== "never", `never committed, and read: ${nameOf(record.batch)}`);
        act.fate = "acknowledged";
        scan.visible.add(record.id);
        if (record.key !== null) scan.latest.set(record.key, record.value);
      }
      // A decision at an end that damage took may be lost for some of the partitions.
      const mayBeTorn = model.allowsLostEnds && act.isTransaction;
      if (!isVisible && !mayBeTorn)
        assert.ok(act.fate !== "acknowledged", `committed, and not read: ${nameOf(record.batch)}`);
    }
  }
  return present;
}

/** All of a partition. */
export async function scanChecked(
  log: Log,
  model: LogModel,
  partition: ModelPartition,
  committed: boolean,
  bytesMax: () => number,
  nowMs: () => number,
): Promise<Scan> {
  const scan = newScan();
  const from = log.partition(partition.topic.name, partition.number);
  for (let offset = from.logStart; ; ) {
    const next = await readChecked(log, model, partition, { offset, committed, bytesMax: bytesMax() }, nowMs, scan);
    if (next === offset) return scan;
    offset = next;
  }
}

/** What a reader of committed data knows of every key is what was written last. */
export function assertLatest(model: LogModel, partition: ModelPartition, scan: Scan, lastStable: number): void {
  const expected = model.latest(partition, lastStable);
  for (const [key, value] of expected) {
    const found = scan.latest.get(key) ?? null;
    assert.equal(found, value, `key ${key} of ${placeOf(partition)} has not its latest value`);
  }
}

/** Where a start has put markers, or nothing, in the place of records that were there before: their end was lost. */
export async function lostFrom(log: Log, partition: ModelPartition): Promise<number> {
  const from = log.partition(partition.topic.name, partition.number);
  for (let offset = from.logStart; ; ) {
    const { batches } = await from.read(offset, false, 4000);
    if (batches.length === 0) return from.highWatermark;
    for (const batch of batches) {
      const baseOffset = batchBaseOffset(batch);
      if (baseOffset >= offset && isControl(batchAttributes(batch)) && partition.at[baseOffset]) return baseOffset;
      offset = batchLastOffset(batch) + 1;
    }
  }
}
