/**
 * Records over an engine that knows batches: partitioned by key, packed and split on the way in; on the way out
 * without markers, without what was aborted, and without what lies before the offset that was asked for.
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { BatchBuilder } from "../records/batch-builder.ts";
import { batchHeaderBytes, batchLastOffset } from "../records/batch-header.ts";
import { BatchRecords } from "../records/batch-records.ts";
import { forEachCommittedBatch } from "../records/committed-batches.ts";
import { partitionOfKey } from "../records/murmur2.ts";
import type { NewRecord, StoredRecord } from "../records/record.ts";
import type { Engine, ReadResult } from "./engine.ts";

export interface PlacedRecord extends NewRecord {
  /** In place of the one that the key leads to. */
  readonly partition?: number;
}

export interface AppendedRecord {
  readonly partition: number;
  readonly offset: number;
}

/** Length, attributes, deltas and lengths of a record, at most. */
const recordOverheadBytesMax = 40;

/** The partition for the next call's records without a key, by topic. */
const nextKeyless = new WeakMap<Engine, Map<string, number>>();

/**
 * Appends records, each to the partition of its key (Kafka's default partitioner); those without one go to one
 * partition per call, in turn. Resolves when all are durable, with the places in the order of the records. Records of
 * one partition stay in order; the call is not atomic: when it throws, some records may be there.
 *
 * Throws `RECORD_TOO_LARGE` before anything is written, `TOPIC_UNKNOWN`, `PARTITION_UNKNOWN`, and what `append` throws.
 */
export async function appendRecords(
  engine: Engine,
  topic: string,
  records: readonly PlacedRecord[],
  options: { readonly clock?: Clock } = {},
): Promise<AppendedRecord[]> {
  const info = engine.topic(topic);
  if (!info) throw new MillraceError("TOPIC_UNKNOWN", `there is no topic ${topic}`, { details: { topic } });
  const { partitions, batchBytesMax } = info.settings;
  const byPartition = new Map<number, number[]>();
  let keyless: number | undefined;
  records.forEach((record, i) => {
    if (recordBytesMax(record) + batchHeaderBytes > batchBytesMax)
      throw tooLarge(topic, recordBytesMax(record), batchBytesMax);
    let partition = record.partition;
    if (partition === undefined && record.key) partition = partitionOfKey(record.key, partitions);
    if (partition === undefined) partition = keyless ??= turnOf(engine, topic, partitions);
    const places = byPartition.get(partition);
    if (places) places.push(i);
    else byPartition.set(partition, [i]);
  });
  const nowMs = (options.clock ?? systemClock).now();
  const appended: AppendedRecord[] = new Array(records.length);
  const done = await Promise.allSettled(
    [...byPartition].map(([partition, places]) =>
      appendTo(engine, topic, partition, records, places, { batchBytesMax, nowMs }, appended),
    ),
  );
  for (const outcome of done) if (outcome.status === "rejected") throw outcome.reason;
  return appended;
}

async function appendTo(
  engine: Engine,
  topic: string,
  partition: number,
  records: readonly PlacedRecord[],
  places: readonly number[],
  { batchBytesMax, nowMs }: { readonly batchBytesMax: number; readonly nowMs: number },
  appended: AppendedRecord[],
): Promise<void> {
  const builder = new BatchBuilder(4096);
  const appends: Promise<unknown>[] = [];
  let inBatch: number[] = [];
  const flush = () => {
    const batchPlaces = inBatch;
    inBatch = [];
    appends.push(
      engine.append({ topic, partition, batch: builder.finish() }).then(({ baseOffset }) => {
        batchPlaces.forEach((place, i) => {
          appended[place] = { partition, offset: baseOffset + i };
        });
      }),
    );
  };
  for (const place of places) {
    const record = records[place] as PlacedRecord;
    if (inBatch.length > 0 && builder.sizeBytes + recordBytesMax(record) > batchBytesMax) flush();
    builder.add(record.key, record.value, record.timestamp ?? nowMs, record.headers);
    inBatch.push(place);
  }
  flush();
  const done = await Promise.allSettled(appends);
  for (const outcome of done) if (outcome.status === "rejected") throw outcome.reason;
}

/**
 * The records of a read_committed result from `fromOffset` on. Keys and values are views of the batches' bytes.
 * `BATCH_CORRUPT` when the bytes are not what an engine returns.
 */
export function decodeCommitted(result: ReadResult, fromOffset: number): StoredRecord[] {
  const stored: StoredRecord[] = [];
  const records = new BatchRecords();
  forEachCommittedBatch(result, (batch) => {
    records.open(batch);
    while (records.next()) if (records.offset >= fromOffset) stored.push(records.stored());
  });
  return stored;
}

/** The same without an object per record. Key and value are views of the batch's bytes. */
export function forEachCommitted(
  result: ReadResult,
  fromOffset: number,
  visit: (offset: number, timestamp: number, key: Buffer | null, value: Buffer | null) => void,
): void {
  const records = new BatchRecords();
  forEachCommittedBatch(result, (batch) => {
    records.open(batch);
    while (records.next()) {
      if (records.offset >= fromOffset) visit(records.offset, records.timestamp, records.key, records.value);
    }
  });
}

/** The same with everything that a record has: `visit` is handed the reader, which stands at the record. */
export function forEachCommittedRecord(
  result: ReadResult,
  fromOffset: number,
  visit: (record: BatchRecords) => void,
): void {
  const records = new BatchRecords();
  forEachCommittedBatch(result, (batch) => {
    records.open(batch);
    while (records.next()) if (records.offset >= fromOffset) visit(records);
  });
}

/** The offset to read from next: behind the last batch, markers and aborted records included. */
export function nextOffsetOf(result: ReadResult, fromOffset: number): number {
  const last = result.batches.at(-1);
  return last ? Math.max(fromOffset, batchLastOffset(last) + 1) : fromOffset;
}

function turnOf(engine: Engine, topic: string, partitions: number): number {
  let turns = nextKeyless.get(engine);
  if (!turns) {
    turns = new Map();
    nextKeyless.set(engine, turns);
  }
  const turn = turns.get(topic) ?? 0;
  turns.set(topic, (turn + 1) % partitions);
  return turn % partitions;
}

function recordBytesMax({ key, value, headers }: NewRecord): number {
  let bytes = recordOverheadBytesMax + (key?.length ?? 0) + (value?.length ?? 0);
  for (const header of headers ?? []) bytes += 10 + Buffer.byteLength(header.key) + (header.value?.length ?? 0);
  return bytes;
}

function tooLarge(topic: string, recordBytes: number, batchBytesMax: number): MillraceError {
  return new MillraceError(
    "RECORD_TOO_LARGE",
    `a record of ${recordBytes} bytes does not fit into a batch of topic ${topic}, which takes ${batchBytesMax}`,
    {
      hint: "Send smaller records, or raise the topic's batchBytesMax.",
      details: { topic, recordBytes, batchBytesMax },
    },
  );
}
