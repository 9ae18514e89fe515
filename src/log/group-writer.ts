/**
 * The writing side of a partition. While one group is being written or synced the next one gathers, and goes down in
 * one write; there is no timed window. A sync happens when somebody waits for one, or too much is unsynced.
 *
 * Always true: what is written ends where or behind where what is synced ends, and no more lies between them than
 * recovery takes for the tear of one crash.
 */
import { nextTurn } from "../base/turn.ts";
import {
  batchAttributes,
  batchBaseOffset,
  batchLastOffset,
  batchMaxTimestamp,
  isTransactional,
} from "../records/batch-header.ts";
import { writeIndex } from "./index-cache.ts";
import type { LogContext, PartitionPlace, PartitionSettings } from "./log-context.ts";
import { OffsetIndex } from "./offset-index.ts";
import { createSegment, follow, type PartitionCheckpoint, type RecoveredPartition } from "./partition-recovery.ts";
import { type Segment, segmentHeaderBytes } from "./segment.ts";
import type { PartitionTail } from "./tail-cache.ts";
import { TransactionTrail } from "./transaction-trail.ts";

export interface WriterEvents {
  /** The high watermark moved. */
  advanced(): void;
  /** A write or a sync failed; nothing more is tried. */
  failed(error: unknown): void;
}

interface Waiter {
  readonly offset: number;
  /** Waits for a sync, not only for the write. */
  readonly synced: boolean;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

export class GroupWriter {
  readonly #context: LogContext;
  readonly #place: PartitionPlace;
  readonly #settings: PartitionSettings;
  readonly #events: WriterEvents;
  readonly #tail: PartitionTail;
  readonly #segments: Segment[];
  readonly #leaderEpoch: number;
  #index: OffsetIndex;

  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #enqueuedEnd: number;
  #writtenEnd: number;
  #syncedEnd: number;
  #unsyncedBytes = 0;
  #syncWantedEnd = 0;
  /** Where the synced end lies: a segment's first offset, and a place in it. */
  #syncedPlace: { readonly segment: number; readonly bytePosition: number };
  /** As of the synced end; `#unsyncedMarks` are the transactions' batches behind it. */
  readonly #syncedTrail: TransactionTrail;
  #unsyncedMarks: Buffer[] = [];

  #waiters: Waiter[] = [];
  #roomWaiters: Waiter[] = [];
  #running = false;
  #refusal: { readonly reason: unknown } | undefined;

  constructor(
    context: LogContext,
    place: PartitionPlace,
    settings: PartitionSettings,
    from: RecoveredPartition,
    tail: PartitionTail,
    events: WriterEvents,
  ) {
    this.#context = context;
    this.#place = place;
    this.#settings = settings;
    this.#events = events;
    this.#tail = tail;
    this.#segments = from.segments;
    this.#leaderEpoch = from.leaderEpoch;
    this.#index = from.index;
    this.#enqueuedEnd = this.#writtenEnd = this.#syncedEnd = from.nextOffset;
    this.#syncedPlace = { segment: this.#active.baseOffset, bytePosition: this.#active.sizeBytes };
    this.#syncedTrail = new TransactionTrail(from.trail.snapshot());
  }

  get highWatermark(): number {
    return this.#settings.durability === "os" ? this.#writtenEnd : this.#syncedEnd;
  }

  /** Of the segment that is being written. */
  get index(): OffsetIndex {
    return this.#index;
  }

  /** A batch with its offsets in it; answers the offset behind it. */
  enqueue(batch: Buffer): number {
    this.#pending.push(batch);
    this.#pendingBytes += batch.length;
    this.#enqueuedEnd = batchLastOffset(batch) + 1;
    this.#start();
    return this.#enqueuedEnd;
  }

  durable(offset: number): Promise<void> {
    return this.#reached(offset, this.#settings.durability === "fsync");
  }

  sync(): Promise<void> {
    return this.#reached(this.#enqueuedEnd, true);
  }

  room(): Promise<void> | undefined {
    if (this.#pendingBytes <= this.#context.limits.pendingBytesMax) return undefined;
    return new Promise((resolve, reject) => this.#roomWaiters.push({ offset: 0, synced: false, resolve, reject }));
  }

  checkpoint(): PartitionCheckpoint {
    return {
      ...this.#syncedPlace,
      offset: this.#syncedEnd,
      leaderEpoch: this.#leaderEpoch,
      ...this.#syncedTrail.snapshot(),
    };
  }

  /** Syncs what is left, and leaves an index for the next start. */
  async close(): Promise<void> {
    await this.sync();
    await writeIndex(this.#context.disk, this.#active, this.#index);
  }

  /** Nothing more is written; all who wait are refused. */
  refuse(reason: unknown): void {
    if (this.#refusal) return;
    this.#refusal = { reason };
    this.#pending = [];
    this.#pendingBytes = 0;
    for (const waiter of [...this.#waiters.splice(0), ...this.#roomWaiters.splice(0)]) waiter.reject(reason);
  }

  get #active(): Segment {
    return this.#segments.at(-1) as Segment;
  }

  #reached(offset: number, synced: boolean): Promise<void> {
    if (this.#refusal) return Promise.reject(this.#refusal.reason);
    if (offset <= (synced ? this.#syncedEnd : this.#writtenEnd)) return Promise.resolve();
    if (synced && offset > this.#syncWantedEnd) this.#syncWantedEnd = offset;
    this.#start();
    return new Promise((resolve, reject) => this.#waiters.push({ offset, synced, resolve, reject }));
  }

  #start(): void {
    if (this.#running || this.#refusal) return;
    this.#running = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    try {
      for (;;) {
        // Those who were just answered append their next batches before the next group is taken.
        await nextTurn();
        if (this.#refusal) break;
        const wanted = this.#syncWantedEnd > this.#syncedEnd;
        if (this.#pending.length > 0) await this.#writeGroup();
        else if (!wanted) break;
        const tooMuch = this.#unsyncedBytes >= this.#context.limits.unsyncedBytesMax;
        if (this.#syncWantedEnd > this.#syncedEnd || tooMuch) await this.#sync();
      }
      this.#running = false;
    } catch (error) {
      this.#running = false;
      this.#events.failed(error);
    }
  }

  #take(): Buffer[] {
    const { groupBytesMax } = this.#context.limits;
    let count = 0;
    let bytes = 0;
    for (const batch of this.#pending) {
      if (count > 0 && bytes + batch.length > groupBytesMax) break;
      bytes += batch.length;
      count++;
    }
    const group = count === this.#pending.length ? this.#pending : this.#pending.slice(0, count);
    this.#pending = count === this.#pending.length ? [] : this.#pending.slice(count);
    this.#pendingBytes -= bytes;
    return group;
  }

  async #writeGroup(): Promise<void> {
    const group = this.#take();
    const { groupBytesMax, unsyncedBytesMax } = this.#context.limits;
    const bytes = group.reduce((sum, { length }) => sum + length, 0);
    if (this.#unsyncedBytes > 0 && this.#unsyncedBytes + bytes > groupBytesMax + unsyncedBytesMax) await this.#sync();
    for (let from = 0; from < group.length; ) {
      const first = group[from] as Buffer;
      let sizeBytes = this.#active.sizeBytes;
      if (sizeBytes > segmentHeaderBytes && sizeBytes + first.length > this.#settings.segmentBytesMax) {
        await this.#roll(batchBaseOffset(first));
        sizeBytes = this.#active.sizeBytes;
      }
      let to = from;
      for (; to < group.length; to++) {
        const { length } = group[to] as Buffer;
        if (to > from && sizeBytes + length > this.#settings.segmentBytesMax) break;
        sizeBytes += length;
      }
      await this.#write(from === 0 && to === group.length ? group : group.slice(from, to));
      from = to;
    }
    this.#answer();
    if (this.#pendingBytes <= this.#context.limits.pendingBytesMax) {
      for (const waiter of this.#roomWaiters.splice(0)) waiter.resolve();
    }
  }

  async #write(batches: readonly Buffer[]): Promise<void> {
    const active = this.#active;
    await this.#context.files.use(active.path, (file) => file.write(batches, active.sizeBytes));
    for (const batch of batches) {
      const lastOffset = batchLastOffset(batch);
      this.#index.add(batchBaseOffset(batch), lastOffset, batch.length, batchMaxTimestamp(batch));
      active.sizeBytes += batch.length;
      this.#unsyncedBytes += batch.length;
      this.#writtenEnd = lastOffset + 1;
      if (isTransactional(batchAttributes(batch))) this.#unsyncedMarks.push(batch);
      this.#tail.add(withoutSlack(batch));
    }
  }

  async #sync(): Promise<void> {
    const active = this.#active;
    await this.#context.files.use(active.path, (file) => file.datasync());
    this.#syncedEnd = this.#writtenEnd;
    this.#syncedPlace = { segment: active.baseOffset, bytePosition: active.sizeBytes };
    this.#unsyncedBytes = 0;
    for (const batch of this.#unsyncedMarks) follow(this.#syncedTrail, batch);
    this.#unsyncedMarks = [];
    this.#answer();
  }

  /** A segment is synced whole before the next one exists: recovery relies on it. */
  async #roll(baseOffset: number): Promise<void> {
    await this.#sync();
    const full = this.#active;
    await this.#context.indexes.closed(full, this.#index);
    const segment = await createSegment(this.#context, this.#place, baseOffset);
    this.#segments.push(segment);
    this.#index = new OffsetIndex(baseOffset, segmentHeaderBytes);
    this.#syncedPlace = { segment: baseOffset, bytePosition: segment.sizeBytes };
  }

  #answer(): void {
    const waiting = this.#waiters;
    this.#waiters = [];
    const reached: Waiter[] = [];
    for (const waiter of waiting) {
      const isReached = waiter.offset <= (waiter.synced ? this.#syncedEnd : this.#writtenEnd);
      (isReached ? reached : this.#waiters).push(waiter);
    }
    // Readers first: who was answered may read at once what it wrote.
    this.#events.advanced();
    for (const waiter of reached) waiter.resolve();
  }
}

/** A batch that is a small part of a large buffer would keep all of it in memory. */
function withoutSlack(batch: Buffer): Buffer {
  if (batch.buffer.byteLength <= batch.length * 2) return batch;
  const copy = Buffer.allocUnsafeSlow(batch.length);
  batch.copy(copy);
  return copy;
}
