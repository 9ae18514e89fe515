/**
 * The committed offsets of consumer groups, as records of the compacted topic `_millrace.groups`. State is a fold of that
 * topic and nothing else: what is written is read back before it is answered.
 *
 * Always true: a commit is answered when it is durable and can be fetched, all its partitions or none; one in a transaction
 * can be fetched exactly when the transaction is committed. What is fetched is durable.
 * Not here: who may commit for a group (engine/embedded/consumer-groups.ts, and the doors).
 */
import type { Clock } from "../../base/clock.ts";
import type { Diagnostics } from "../../base/diagnostics.ts";
import { MillraceError } from "../../base/errors.ts";
import { encodeBatch } from "../../records/batch-builder.ts";
import { stampTransaction } from "../../records/batch-header.ts";
import { checkGroupName, checkOffsets, checkPlaces, type OffsetToCommit } from "./group-checks.ts";
import {
  encodeGroupRecord,
  type GroupMetadata,
  type GroupRecord,
  type OffsetValue,
  type TopicPartition,
} from "./group-records.ts";
import {
  type GroupsAppend,
  type GroupsLog,
  type GroupsPlaced,
  type GroupsTransaction,
  groupsPartitions,
  groupsTopic,
  partitionOfGroup,
} from "./groups-log.ts";
import { planExpiry } from "./offset-expiry.ts";
import { type GroupEntry, type OffsetEntry, placeKey } from "./offset-fold.ts";
import { OffsetTable } from "./offset-table.ts";

const dayMs = 24 * 3_600_000;

export interface OffsetStoreSettings {
  /** How long offsets outlive their group's members (Kafka's offsets.retention.minutes). */
  readonly retentionMs: number;
  /** What all groups' offsets may take in memory, about; commits of new partitions are refused beyond. */
  readonly stateBytesMax: number;
}

export const defaultOffsetStoreSettings: OffsetStoreSettings = {
  retentionMs: 7 * dayMs,
  stateBytesMax: 256 * 1024 * 1024,
};

export interface OffsetStoreOptions {
  readonly log: GroupsLog;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly settings?: Partial<OffsetStoreSettings>;
}

export interface CommittedOffset {
  readonly offset: number;
  /** -1 when it was not given. */
  readonly leaderEpoch: number;
  readonly metadata: string;
  readonly committedMs: number;
}

export interface FetchedOffset extends TopicPartition {
  /** Null when there is none, or when it is unstable and a stable one was asked for. */
  readonly committed: CommittedOffset | null;
  /** An open transaction may commit another one (KIP-447). */
  readonly isUnstable: boolean;
}

/** A client's producer and its transaction. */
export interface WireProducer {
  readonly transactionalId: string;
  readonly producerId: number;
  readonly epoch: number;
  /** Under version 1 the partition of the group was added to the transaction before. */
  readonly transactionVersion: 1 | 2;
}

export interface StoredGroup {
  readonly group: string;
  readonly metadata: GroupMetadata | null;
  readonly offsetCount: number;
}

export class OffsetStore {
  readonly settings: OffsetStoreSettings;
  readonly #log: GroupsLog;
  readonly #clock: Clock;
  readonly #tables: readonly OffsetTable[];

  constructor(options: OffsetStoreOptions) {
    this.settings = { ...defaultOffsetStoreSettings, ...options.settings };
    this.#log = options.log;
    this.#clock = options.clock;
    this.#tables = Array.from({ length: groupsPartitions }, (_, partition) => new OffsetTable(options, partition));
  }

  /** About what all groups take in memory. */
  get sizeBytes(): number {
    return this.#tables.reduce((sum, { fold }) => sum + fold.sizeBytes, 0);
  }

  /** Makes the topic if need be, and reads what there is of this group's partition; after it, commits take their place in the turn of their call. */
  async open(group: string): Promise<void> {
    checkGroupName(group);
    await this.#tableOf(group).open();
  }

  /**
   * Resolves when durable, and then `fetch` answers it. All partitions or none. Throws `TOPIC_UNKNOWN`,
   * `PARTITION_UNKNOWN`, `GROUP_NAME_INVALID`, `GROUP_REQUEST_INVALID`, `GROUP_METADATA_TOO_LARGE`, `GROUP_STATE_FULL`
   * and what an append throws.
   */
  async commit(group: string, offsets: readonly OffsetToCommit[]): Promise<void> {
    checkGroupName(group);
    checkOffsets(offsets);
    const table = this.#tableOf(group);
    if (!table.isOpen) await table.open();
    if (offsets.length === 0) return;
    const batch = this.#batchOf(table, group, offsets);
    const expected = table.fold.expect(group, placesOf(offsets), false);
    try {
      await table.writeBatch(batch);
    } finally {
      table.fold.forgetExpected(expected);
    }
  }

  /** The same as part of a transaction (KIP-98, KIP-447): resolves when it has its place; counts when the transaction commits. */
  async commitIn(
    transaction: GroupsTransaction,
    group: string,
    offsets: readonly OffsetToCommit[],
  ): Promise<GroupsPlaced | undefined> {
    return await this.#commitBy((request) => transaction.append(request), group, offsets);
  }

  /**
   * The same for a producer that names itself in its batches, as a protocol's client does: its open transaction is joined,
   * under version 2 also begun. Resolves when durable; counts when the transaction commits. Throws also what such an append
   * throws: `PRODUCER_UNKNOWN`, `PRODUCER_FENCED`, `TRANSACTION_INVALID`, `TRANSACTION_PARTITION_MISSING`.
   */
  async commitInWire(
    { transactionalId, producerId, epoch, transactionVersion }: WireProducer,
    group: string,
    offsets: readonly OffsetToCommit[],
  ): Promise<GroupsPlaced | undefined> {
    const append = (request: GroupsAppend) => {
      // The client numbers its own batches, and this is none of them.
      stampTransaction(request.batch, producerId, epoch, -1);
      return this.#log.append({ ...request, transactionalId, transactionVersion });
    };
    return await this.#commitBy(append, group, offsets);
  }

  /** Of the given partitions, or of all that the group has. An unknown group has none. */
  async fetch(
    group: string,
    partitions?: readonly TopicPartition[],
    options: { readonly requireStable?: boolean } = {},
  ): Promise<FetchedOffset[]> {
    checkGroupName(group);
    if (partitions) checkPlaces(partitions);
    const table = this.#tableOf(group);
    await table.readToEnd();
    if (this.#hasUndecided(table, group, partitions)) await table.settle();
    const entry = table.fold.groups.get(group);
    const wanted = partitions ?? (entry ? placesIn(entry) : []);
    return wanted.flatMap(({ topic, partition }) => {
      const fetched = this.#fetched(entry, topic, partition, options.requireStable ?? false);
      return partitions || fetched.committed || fetched.isUnstable ? [fetched] : [];
    });
  }

  /** What is kept about the group; undefined when there is no such group. */
  async group(group: string): Promise<StoredGroup | undefined> {
    checkGroupName(group);
    const table = this.#tableOf(group);
    await table.readToEnd();
    const entry = table.fold.groups.get(group);
    return entry && isThere(entry) ? storedGroup(group, entry) : undefined;
  }

  async groups(): Promise<StoredGroup[]> {
    await Promise.all(this.#tables.map((table) => table.readToEnd()));
    const all: StoredGroup[] = [];
    for (const { fold } of this.#tables) {
      for (const [group, entry] of fold.groups) if (isThere(entry)) all.push(storedGroup(group, entry));
    }
    return all;
  }

  /** Resolves when durable. */
  async putMetadata(group: string, metadata: GroupMetadata): Promise<void> {
    checkGroupName(group);
    const table = this.#tableOf(group);
    if (!table.isOpen) await table.open();
    if (this.#isFull && !table.fold.groups.has(group)) throw stateFull(group);
    await table.write([{ kind: "group", group, value: metadata }]);
  }

  /** Those without an offset are passed over. Throws `GROUP_UNKNOWN`. */
  async deleteOffsets(group: string, partitions: readonly TopicPartition[]): Promise<void> {
    checkPlaces(partitions);
    const { table, entry } = await this.#existing(group);
    const records = partitions.flatMap(({ topic, partition }): GroupRecord[] => {
      const key = placeKey(topic, partition);
      if (!entry.offsets.has(key) && !entry.pending.has(key)) return [];
      return [{ kind: "offset", group, topic, partition, value: null }];
    });
    await table.write(records);
  }

  /** Throws `GROUP_UNKNOWN`, and `GROUP_NOT_EMPTY` when its metadata say that it has members. */
  async deleteGroup(group: string): Promise<void> {
    const { table, entry } = await this.#existing(group);
    if ((entry.metadata?.memberCount ?? 0) > 0) throw groupNotEmpty(group);
    const all = placesIn(entry).map(({ topic, partition }): GroupRecord => {
      return { kind: "offset", group, topic, partition, value: null };
    });
    await table.write([...all, { kind: "group", group, value: null }]);
  }

  /** Removes every group's offsets of a topic, after the topic was deleted; those for one of its name that was made since stay. */
  async forgetTopic(topic: string): Promise<void> {
    await Promise.all(
      this.#tables.map(async (table) => {
        await table.readToEnd();
        const records: GroupRecord[] = [];
        const topicId = this.#log.topic(topic)?.id;
        for (const [group, entry] of table.fold.groups) {
          for (const place of placesIn(entry)) {
            if (place.topic !== topic || valuesAt(entry, place).some((value) => value.topicId === topicId)) continue;
            records.push({ kind: "offset", group, ...place, value: null });
          }
        }
        await table.write(records);
      }),
    );
  }

  /** Removes what nobody needs any more (offset-expiry.ts); answers how many offsets and groups went. */
  async expire(
    nowMs: number,
    subscribed: (group: string) => ReadonlySet<string> | undefined = () => undefined,
  ): Promise<{ readonly offsets: number; readonly groups: number }> {
    let offsets = 0;
    let groups = 0;
    const topicId = (topic: string) => this.#log.topic(topic)?.id;
    for (const table of this.#tables) {
      await table.readToEnd();
      const records: GroupRecord[] = [];
      for (const [group, entry] of table.fold.groups) {
        const rules = { nowMs, retentionMs: this.settings.retentionMs, topicId, subscribed };
        const plan = planExpiry(group, entry, rules);
        if (!plan) continue;
        for (const place of plan.offsets) records.push({ kind: "offset", group, ...place, value: null });
        offsets += plan.offsets.length;
        if (!plan.isGroupGone) continue;
        if (entry.metadata) records.push({ kind: "group", group, value: null });
        groups++;
      }
      await table.write(records);
    }
    return { offsets, groups };
  }

  get #isFull(): boolean {
    return this.sizeBytes >= this.settings.stateBytesMax;
  }

  #tableOf(group: string): OffsetTable {
    return this.#tables[partitionOfGroup(group)] as OffsetTable;
  }

  async #commitBy(
    append: (request: GroupsAppend) => Promise<GroupsPlaced>,
    group: string,
    offsets: readonly OffsetToCommit[],
  ): Promise<GroupsPlaced | undefined> {
    checkGroupName(group);
    checkOffsets(offsets);
    const table = this.#tableOf(group);
    if (!table.isOpen) await table.open();
    if (offsets.length === 0) return undefined;
    const batch = this.#batchOf(table, group, offsets);
    const expected = table.fold.expect(group, placesOf(offsets), true);
    try {
      const placed = await append({ topic: groupsTopic, partition: partitionOfGroup(group), batch });
      expected.endOffset = placed.lastOffset + 1;
      table.fold.reached(table.nextOffset);
      return placed;
    } catch (error) {
      table.fold.forgetExpected(expected);
      throw error;
    }
  }

  async #existing(group: string): Promise<{ readonly table: OffsetTable; readonly entry: GroupEntry }> {
    checkGroupName(group);
    const table = this.#tableOf(group);
    await table.readToEnd();
    const entry = table.fold.groups.get(group);
    if (entry) return { table, entry };
    throw groupUnknown(group);
  }

  #batchOf(table: OffsetTable, group: string, offsets: readonly OffsetToCommit[]): Buffer {
    const nowMs = this.#clock.now();
    const entry = table.fold.groups.get(group);
    const isFull = this.#isFull;
    const records = offsets.map(({ topic, partition, offset, leaderEpoch, metadata }) => {
      const value: OffsetValue = {
        offset,
        leaderEpoch: leaderEpoch ?? -1,
        metadata: metadata ?? "",
        committedMs: nowMs,
        topicId: this.#topicId(topic, partition),
      };
      const known = entry?.offsets.get(placeKey(topic, partition));
      if (isFull && (known?.metadata.length ?? -1) < value.metadata.length) throw stateFull(group);
      return encodeGroupRecord({ kind: "offset", group, topic, partition, value });
    });
    return encodeBatch(records, nowMs);
  }

  #topicId(topic: string, partition: number): string {
    const info = this.#log.topic(topic);
    if (!info) throw new MillraceError("TOPIC_UNKNOWN", `there is no topic ${topic}`, { details: { topic } });
    if (partition < info.settings.partitions) return info.id;
    throw new MillraceError("PARTITION_UNKNOWN", `topic ${topic} has no partition ${partition}`, {
      details: { topic, partition, partitions: info.settings.partitions },
    });
  }

  #fetched(entry: GroupEntry | undefined, topic: string, partition: number, requireStable: boolean): FetchedOffset {
    const key = placeKey(topic, partition);
    const topicId = this.#log.topic(topic)?.id;
    const found = entry?.offsets.get(key);
    const isUnstable = entry !== undefined && isUndecided(entry, key);
    const isWithheld = !found || found.topicId !== topicId || (requireStable && isUnstable);
    if (isWithheld) return { topic, partition, committed: null, isUnstable };
    const { offset, leaderEpoch, metadata, committedMs } = found;
    return { topic, partition, committed: { offset, leaderEpoch, metadata, committedMs }, isUnstable };
  }

  #hasUndecided({ fold }: OffsetTable, group: string, partitions: readonly TopicPartition[] | undefined): boolean {
    const entry = fold.groups.get(group);
    if (!entry) return false;
    if (!partitions)
      return entry.pending.size > 0 || [...entry.expected].some(({ isTransactional }) => isTransactional);
    return partitions.some(({ topic, partition }) => isUndecided(entry, placeKey(topic, partition)));
  }
}

export function groupUnknown(group: string): MillraceError {
  return new MillraceError("GROUP_UNKNOWN", `there is no consumer group ${group}`, { details: { group } });
}

export function groupNotEmpty(group: string): MillraceError {
  return new MillraceError("GROUP_NOT_EMPTY", `consumer group ${group} has members`, {
    hint: "Stop its members, or wait until their sessions have ended.",
    details: { group },
  });
}

function stateFull(group: string): MillraceError {
  return new MillraceError("GROUP_STATE_FULL", `there is no room for more offsets, as of consumer group ${group}`, {
    hint: "Delete groups that nobody needs, or shorten how long offsets are kept.",
    details: { group },
  });
}

function placesOf(places: readonly TopicPartition[]): ReadonlySet<string> {
  return new Set(places.map(({ topic, partition }) => placeKey(topic, partition)));
}

/** Everything that the group has, or may have. */
function placesIn(entry: GroupEntry): TopicPartition[] {
  const places = new Map<string, TopicPartition>(entry.offsets);
  for (const [key, byProducer] of entry.pending) for (const value of byProducer.values()) places.set(key, value);
  for (const { places: keys, isTransactional } of entry.expected) {
    if (isTransactional) for (const key of keys) if (!places.has(key)) places.set(key, placeOfKey(key));
  }
  return [...places.values()].map(({ topic, partition }) => ({ topic, partition }));
}

function valuesAt({ offsets, pending }: GroupEntry, { topic, partition }: TopicPartition): OffsetEntry[] {
  const key = placeKey(topic, partition);
  const committed = offsets.get(key);
  return [...(committed ? [committed] : []), ...(pending.get(key)?.values() ?? [])];
}

function placeOfKey(key: string): TopicPartition {
  const slash = key.lastIndexOf("/");
  return { topic: key.slice(0, slash), partition: Number(key.slice(slash + 1)) };
}

function isUndecided(entry: GroupEntry, key: string): boolean {
  if (entry.pending.has(key)) return true;
  for (const { places, isTransactional } of entry.expected) if (isTransactional && places.has(key)) return true;
  return false;
}

function isThere({ metadata, offsets, pending }: GroupEntry): boolean {
  return metadata !== null || offsets.size > 0 || pending.size > 0;
}

function storedGroup(group: string, { metadata, offsets }: GroupEntry): StoredGroup {
  return { group, metadata, offsetCount: offsets.size };
}
