/**
 * What one partition of `_millrace.groups` says: each group's committed offsets, those that open transactions would
 * commit, and what is kept about the group.
 *
 * Always true: of the records of one key that count, the one with the greatest offset in the log holds, whatever the
 * order in which they come to count. So a transaction that commits late does not undo a later commit, and compaction, which keeps
 * the last record of a key, changes nothing.
 *
 * Memory is in proportion to the groups and partitions that have offsets; `sizeBytes` is about what they take.
 */
import type { ControlKind } from "../../records/batch-builder.ts";
import {
  batchAttributes,
  batchLastOffset,
  batchProducerId,
  isControl,
  isTransactional,
} from "../../records/batch-header.ts";
import { BatchRecords, controlKind } from "../../records/batch-records.ts";
import {
  decodeGroupRecord,
  type GroupMetadata,
  type GroupRecord,
  type OffsetValue,
  type TopicPartition,
} from "./group-records.ts";

/** A record of an offset, and where it stands. */
export interface OffsetEntry extends OffsetValue, TopicPartition {
  readonly logOffset: number;
}

type OffsetRecord = Extract<GroupRecord, { readonly kind: "offset" }>;

/** Something of this process that is on its way into the log. */
export interface Expected {
  readonly places: ReadonlySet<string>;
  readonly isTransactional: boolean;
  /** Unknown until it has its place. */
  endOffset: number;
}

export interface GroupEntry {
  /** By `placeKey`. */
  readonly offsets: Map<string, OffsetEntry>;
  /** By `placeKey`, then by producer id. */
  readonly pending: Map<string, Map<number, OffsetEntry>>;
  readonly expected: Set<Expected>;
  metadata: GroupMetadata | null;
}

/** About what an entry takes beside its texts. */
const entryBytes = 200;

export function placeKey(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

export class OffsetFold {
  readonly groups = new Map<string, GroupEntry>();
  /** Records that this version does not know. */
  unknownRecords = 0;
  sizeBytes = 0;
  /** By producer id: where it has something pending. */
  readonly #open = new Map<number, Map<string, Set<string>>>();
  readonly #expected = new Map<Expected, string>();
  readonly #records = new BatchRecords();

  /** Batches as a read_uncommitted reader has them. */
  add(batches: readonly Buffer[], fromOffset: number): void {
    for (const batch of batches) {
      const attributes = batchAttributes(batch);
      const producerId = batchProducerId(batch);
      if (isControl(attributes)) {
        const kind = controlKind(batch);
        if (kind) this.#end(producerId, kind);
      } else if (isTransactional(attributes)) {
        this.#each(batch, fromOffset, (record, logOffset) => {
          if (record.kind === "offset") this.#addPending(producerId, record, logOffset);
        });
      } else this.#each(batch, fromOffset, (record, logOffset) => this.#apply(record, logOffset));
    }
  }

  /** Batches below the last stable offset, and which of them were aborted (KIP-98): what they say is decided. */
  addCommitted(
    batches: readonly Buffer[],
    aborted: readonly { readonly producerId: number; readonly firstOffset: number }[],
    fromOffset: number,
  ): void {
    const begins = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset);
    const abortedNow = new Set<number>();
    let next = 0;
    for (const batch of batches) {
      const attributes = batchAttributes(batch);
      const producerId = batchProducerId(batch);
      const lastOffset = batchLastOffset(batch);
      for (let begin = begins[next]; begin && begin.firstOffset <= lastOffset; begin = begins[++next]) {
        abortedNow.add(begin.producerId);
      }
      if (isControl(attributes)) {
        if (controlKind(batch) === "abort") abortedNow.delete(producerId);
      } else if (!isTransactional(attributes) || !abortedNow.has(producerId)) {
        this.#each(batch, fromOffset, (record, logOffset) => this.#apply(record, logOffset));
      }
    }
  }

  /** Announces what is about to be appended, so that nobody takes the state without it for settled. */
  expect(group: string, places: ReadonlySet<string>, isTransactional: boolean): Expected {
    const expected: Expected = { places, isTransactional, endOffset: Number.POSITIVE_INFINITY };
    this.#entry(group).expected.add(expected);
    this.#expected.set(expected, group);
    return expected;
  }

  /** It will never be in the log, or is in the state by now. */
  forgetExpected(expected: Expected): void {
    const group = this.#expected.get(expected);
    if (group === undefined) return;
    this.#expected.delete(expected);
    this.groups.get(group)?.expected.delete(expected);
    this.#dropIfVoid(group);
  }

  /** Everything below `nextOffset` has been added. */
  reached(nextOffset: number): void {
    for (const expected of this.#expected.keys()) if (expected.endOffset <= nextOffset) this.forgetExpected(expected);
  }

  #each(batch: Buffer, fromOffset: number, visit: (record: GroupRecord, logOffset: number) => void): void {
    this.#records.open(batch);
    while (this.#records.next()) {
      const { offset, key, value } = this.#records;
      if (offset < fromOffset) continue;
      const record = this.#decoded(key, value);
      if (record) visit(record, offset);
    }
  }

  #decoded(key: Buffer | null, value: Buffer | null): GroupRecord | undefined {
    const record = decodeGroupRecord(key, value);
    if (!record) this.unknownRecords++;
    return record;
  }

  #apply(record: GroupRecord, logOffset: number): void {
    if (record.kind === "mark") return;
    const { group } = record;
    if (record.kind === "group") this.#setMetadata(group, record.value);
    else this.#setOffset(record, logOffset);
    this.#dropIfVoid(group);
  }

  #setMetadata(group: string, metadata: GroupMetadata | null): void {
    const entry = metadata ? this.#entry(group) : this.groups.get(group);
    if (!entry) return;
    this.sizeBytes += metadataBytes(metadata) - metadataBytes(entry.metadata);
    entry.metadata = metadata;
  }

  #setOffset({ group, topic, partition, value }: OffsetRecord, logOffset: number): void {
    const entry = value ? this.#entry(group) : this.groups.get(group);
    if (!entry) return;
    const key = placeKey(topic, partition);
    if (value) this.#put(entry.offsets, key, { topic, partition, logOffset, ...value });
    else this.#remove(entry.offsets, key);
    // What stands before it in the log can have no effect any more.
    for (const [producerId, pending] of entry.pending.get(key) ?? []) {
      if (pending.logOffset < logOffset) this.#removePending(producerId, group, entry, key);
    }
  }

  #addPending(producerId: number, { group, topic, partition, value }: OffsetRecord, logOffset: number): void {
    if (!value) return;
    const entry = this.#entry(group);
    const key = placeKey(topic, partition);
    const byProducer = entry.pending.get(key) ?? new Map<number, OffsetEntry>();
    entry.pending.set(key, byProducer);
    this.#put(byProducer, producerId, { topic, partition, logOffset, ...value });
    const touched = this.#open.get(producerId) ?? new Map<string, Set<string>>();
    this.#open.set(producerId, touched);
    const keys = touched.get(group) ?? new Set<string>();
    touched.set(group, keys);
    keys.add(key);
  }

  /** A transaction's marker. */
  #end(producerId: number, kind: ControlKind): void {
    for (const [group, keys] of this.#open.get(producerId) ?? []) {
      const entry = this.groups.get(group);
      if (!entry) continue;
      for (const key of [...keys]) {
        const value = entry.pending.get(key)?.get(producerId);
        this.#removePending(producerId, group, entry, key);
        if (value && kind === "commit") this.#setOffset({ kind: "offset", group, ...value, value }, value.logOffset);
      }
      this.#dropIfVoid(group);
    }
    this.#open.delete(producerId);
  }

  #removePending(producerId: number, group: string, entry: GroupEntry, key: string): void {
    const byProducer = entry.pending.get(key);
    if (!byProducer) return;
    this.#remove(byProducer, producerId);
    if (byProducer.size === 0) entry.pending.delete(key);
    const touched = this.#open.get(producerId);
    const keys = touched?.get(group);
    keys?.delete(key);
    if (keys?.size === 0) touched?.delete(group);
    if (touched?.size === 0) this.#open.delete(producerId);
  }

  #put<K>(into: Map<K, OffsetEntry>, key: K, value: OffsetEntry): void {
    const known = into.get(key);
    into.set(key, value);
    this.sizeBytes += offsetBytes(value) - (known ? offsetBytes(known) : 0);
  }

  #remove<K>(from: Map<K, OffsetEntry>, key: K): void {
    const known = from.get(key);
    if (!known) return;
    from.delete(key);
    this.sizeBytes -= offsetBytes(known);
  }

  #entry(group: string): GroupEntry {
    const known = this.groups.get(group);
    if (known) return known;
    const made: GroupEntry = { offsets: new Map(), pending: new Map(), expected: new Set(), metadata: null };
    this.groups.set(group, made);
    this.sizeBytes += groupBytes(group);
    return made;
  }

  #dropIfVoid(group: string): void {
    const entry = this.groups.get(group);
    if (!entry || entry.metadata || entry.offsets.size + entry.pending.size + entry.expected.size > 0) return;
    this.groups.delete(group);
    this.sizeBytes -= groupBytes(group);
  }
}

function groupBytes(group: string): number {
  return 2 * entryBytes + 2 * group.length;
}

function offsetBytes({ topic, metadata }: OffsetEntry): number {
  return entryBytes + 4 * topic.length + 2 * metadata.length;
}

function metadataBytes(metadata: GroupMetadata | null): number {
  return metadata ? entryBytes + 2 * metadata.protocolType.length + (metadata.detail?.length ?? 0) : 0;
}
