/**
 * A naive model of the log: lists in memory that say of every record that was ever sent whether it must be there, may be
 * there, or must not, and at which offset. What a reader is given is held against it.
 *
 * An act stands or falls as a whole: one append, or one transaction. Its fate is what readers of committed data may see of
 * it. A batch is durable when its append was answered, or when it was seen; from then on it stays in its place.
 */
import assert from "node:assert/strict";
import type { StoredRecord } from "../../src/records/record.ts";

/** `unknown`: the call has not answered, or has failed; `never`: not committed, or refused. */
export type Fate = "acknowledged" | "unknown" | "never";

export interface Act {
  readonly number: number;
  readonly isTransaction: boolean;
  fate: Fate;
  readonly batches: ModelBatch[];
}

export interface ModelRecord {
  /** Stands in a header of the record. */
  readonly id: number;
  readonly key: string | null;
  /** Null is a tombstone. */
  readonly value: string | null;
  readonly timestamp: number;
  readonly batch: ModelBatch;
  /** Of the record in its batch. */
  readonly delta: number;
}

export interface ModelBatch {
  readonly act: Act;
  readonly partition: ModelPartition;
  readonly records: ModelRecord[];
  readonly bytes: Buffer;
  readonly sentMs: number;
  /** Of its first record, as it was told or seen. */
  offset: number | undefined;
  isDurable: boolean;
  /** A start did not find it; it must not come back. */
  isGone: boolean;
}

export interface ModelPartition {
  readonly topic: ModelTopic;
  readonly number: number;
  /** Durable records by offset; nothing where markers are, or what was not answered. */
  readonly at: (ModelRecord | undefined)[];
  readonly batches: ModelBatch[];
  /** By key. */
  readonly keys: Map<string, ModelRecord[]>;
  /** Offsets that a reader did not find, because they were compacted; memory may still have them until a start. */
  compacted: Set<number>;
  /** Those before the last start: they must not come back. */
  compactedBefore: Set<number>;
  logStart: number;
  /** No start may find it further back. */
  logStartMin: number;
  /** Where a call of `deleteRecords` that has not answered would set it. */
  logStartMax: number;
  highWatermark: number;
}

export interface ModelTopic {
  readonly name: string;
  readonly partitions: ModelPartition[];
  /** `making` and `doomed`: the call has not answered; `left`: it was doomed and a start found it: nobody relies on it. */
  state: "making" | "there" | "doomed" | "gone" | "left";
  durability: "fsync" | "os";
  cleanup: "delete" | "compact" | "compact,delete";
  /** True as soon as records may have been compacted away. */
  isCompacted: boolean;
  /** True as soon as retention may have moved the log's start. */
  isRetired: boolean;
  tombstoneRetentionMs: number;
}

export class LogModel {
  readonly records: ModelRecord[] = [];
  readonly acts: Act[] = [];
  topics: ModelTopic[] = [];
  /** Damage may have cut the end of a partition, also of what was acknowledged. */
  allowsLostEnds = false;

  /** A transaction begins as one that is not committed. */
  newAct(fate: Fate): Act {
    const act: Act = { number: this.acts.length, isTransaction: fate === "never", fate, batches: [] };
    this.acts.push(act);
    return act;
  }

  addPartition(topic: ModelTopic): void {
    topic.partitions.push({
      topic,
      number: topic.partitions.length,
      at: [],
      batches: [],
      keys: new Map(),
      compacted: new Set(),
      compactedBefore: new Set(),
      logStart: 0,
      logStartMin: 0,
      logStartMax: 0,
      highWatermark: 0,
    });
  }

  /** It was answered with this offset, or was seen there: it stays. */
  settle(batch: ModelBatch, offset: number): void {
    assert.ok(!batch.isGone, `${nameOf(batch)} was not there after a start, and is now`);
    assert.equal(batch.offset ?? offset, offset, `${nameOf(batch)} was told offset ${batch.offset}`);
    if (batch.isDurable) return;
    batch.offset = offset;
    batch.isDurable = true;
    for (const record of batch.records) {
      const other = batch.partition.at[offset + record.delta];
      if (other) assert.fail(`offset ${offset + record.delta} belongs to ${nameOf(other.batch)}`);
      batch.partition.at[offset + record.delta] = record;
    }
  }

  /** A record that a reader was given: it was sent, as it is, to this partition, and has no other place. */
  take(partition: ModelPartition, stored: StoredRecord): ModelRecord {
    const id = stored.headers[0]?.value?.readUInt32BE(0) ?? -1;
    const record = this.records[id];
    const what = () => `offset ${stored.offset} of ${placeOf(partition)}`;
    assert.ok(record, `nobody wrote what is at ${what()}`);
    const same =
      record.batch.partition === partition &&
      record.key === textOf(stored.key) &&
      record.value === textOf(stored.value) &&
      record.timestamp === stored.timestamp;
    assert.ok(same, `${what()} is not what was written: ${nameOf(record.batch)}`);
    this.settle(record.batch, stored.offset - record.delta);
    assert.ok(!partition.compactedBefore.has(stored.offset), `${what()} had been compacted, and came back`);
    return record;
  }

  /** Whether the record may be missing in a partition that was compacted. */
  mayBeCompacted({ batch, key, value }: ModelRecord, offset: number, nowMs: number): boolean {
    const { partition, act } = batch;
    const { topic } = partition;
    if (!topic.isCompacted) return false;
    // Whether a transaction is aborted may be in doubt.
    if (key === null || act.fate !== "acknowledged") return true;
    if (value === null && nowMs - batch.sentMs >= topic.tombstoneRetentionMs) return true;
    return (partition.keys.get(key) ?? []).some((later) => {
      if (later.batch === batch) return later.delta > offset - (batch.offset as number);
      const { offset: laterOffset, act: laterAct, isGone } = later.batch;
      return !isGone && laterAct.fate !== "never" && (laterOffset === undefined || laterOffset > offset);
    });
  }

  /** The latest value of every key from the log's start on, of keys of which nothing is in doubt. */
  latest(partition: ModelPartition, end: number): Map<string, string | null> {
    const latest = new Map<string, string | null>();
    for (let offset = partition.logStart; offset < end; offset++) {
      const record = partition.at[offset];
      if (record?.batch.act.fate === "acknowledged" && record.key !== null) latest.set(record.key, record.value);
    }
    for (const [key, records] of partition.keys) {
      if (records.some(({ batch }) => batch.act.fate === "unknown" && !batch.isGone)) latest.delete(key);
    }
    return latest;
  }

  /** What was told an offset and is not durable, or was not answered, and was not found by a start, is gone for good. */
  forgetMissing(partition: ModelPartition): void {
    for (const batch of partition.batches) {
      if (batch.isDurable || batch.isGone) continue;
      batch.isGone = true;
      if (batch.act.batches.length === 1 && batch.act.fate === "unknown") batch.act.fate = "never";
    }
  }

  /** Without syncs, or where damage allows it, the end of a partition is lost: what came before it stays. */
  cutBack(partition: ModelPartition, end: number): void {
    for (const batch of partition.batches) {
      if (batch.isGone || batch.offset === undefined || batch.offset + batch.records.length <= end) continue;
      batch.isGone = true;
      if (batch.act.batches.length === 1) batch.act.fate = "never";
    }
    partition.at.length = Math.min(partition.at.length, end);
    for (const offset of partition.compactedBefore) if (offset >= end) partition.compactedBefore.delete(offset);
    partition.highWatermark = Math.min(partition.highWatermark, end);
  }
}

export function placeOf({ topic, number }: ModelPartition): string {
  return `${topic.name}/${number}`;
}

export function nameOf({ act, partition, records, offset, isDurable }: ModelBatch): string {
  const ids = `${records[0]?.id}-${records.at(-1)?.id}`;
  const durable = isDurable ? " durable" : "";
  return `records ${ids} of act ${act.number} (${act.fate}, ${placeOf(partition)} at ${offset ?? "?"}${durable})`;
}

function textOf(bytes: Buffer | null): string | null {
  return bytes && String(bytes);
}
