/**
 * The writing side of a partition: which way appended batches go, and how far they have come.
 *
 *   pending ──small──► journal (one sync for all partitions) ──► unflushed ──later, in larger pieces──┐
 *      └──large, or unsynced ones before──────────────────────────────────────────────────────────► segment ─► sync
 *
 * Always true: batches reach the segment in offset order; the journal takes a batch only when all before it are durable,
 * so that what is journaled continues what is durable without a gap; no more than recovery takes for the tear of one
 * crash is in the segment and neither synced nor journaled. Nothing is written because time has passed: a write happens
 * when somebody waits for it, or when too much has gathered.
 */
import { nextTurn } from "../base/turn.ts";
import { batchBaseOffset, batchLastOffset } from "../records/batch-header.ts";
import type { Journal, JournalMember } from "./journal.ts";
import type { LogContext, PartitionPlace, PartitionSettings } from "./log-context.ts";
import type { PartitionSegments, SegmentPlace } from "./segments.ts";
import type { PartitionTail } from "./tail-cache.ts";
import type { Flushable } from "./write-memory.ts";

export interface WriterEvents {
  /** The durable end moved. */
  advanced(): void;
  /** A write or a sync failed; nothing more is tried. */
  failed(error: unknown): void;
}

/** In a segment, durable anywhere, synced in a segment. */
type Level = "written" | "durable" | "settled";

interface Waiter {
  readonly offset: number;
  readonly level: Level;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/** `failed`: what is journaled and not yet in a segment is needed by the next start; `closed`: it is not. */
type Refusal = { readonly kind: "failed" | "closed"; readonly reason: unknown };

export class PartitionWriter implements JournalMember, Flushable {
  readonly place: PartitionPlace;
  readonly #context: LogContext;
  readonly #settings: PartitionSettings;
  readonly #journal: Journal;
  readonly #segments: PartitionSegments;
  readonly #tail: PartitionTail;
  readonly #events: WriterEvents;

  /** In no file yet. */
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  /** In the journal's group that is being written. */
  #journaling: readonly Buffer[] = [];
  /** Journaled, and not yet in the segment. */
  #unflushed: Buffer[] = [];
  #unflushedBytes = 0;
  /** In the segment, and neither synced nor journaled. */
  #unsyncedBytes = 0;

  #enqueuedEnd: number;
  #durableEnd: number;
  /** Behind what was last taken for the segment without the journal; where it is behind the durable end, that is not synced yet. */
  #directEnd = 0;
  /** Behind what was answered when it was written, as durability "os" has it. */
  #looseEnd = 0;
  /** Somebody waits until all below is durable … */
  #wantedEnd = 0;
  /** … or synced in its segment … */
  #settleEnd = 0;
  /** … or in its segment … */
  #flushEnd = 0;
  /** … or relies on the journal taking it before whatever is enrolled later. */
  #pinnedEnd = 0;
  /** Of each time that it is enrolled in the journal, the first one first: batches from this offset on wait for a later one. */
  #enrolledEnds: number[] = [];
  #working = false;
  #waiters: Waiter[] = [];
  #roomWaiters: Waiter[] = [];
  #rollWaiters: Waiter[] = [];
  #refusal: Refusal | undefined;

  constructor(
    context: LogContext,
    place: PartitionPlace,
    settings: PartitionSettings,
    journal: Journal,
    segments: PartitionSegments,
    tail: PartitionTail,
    events: WriterEvents,
  ) {
    this.#context = context;
    this.place = place;
    this.#settings = settings;
    this.#journal = journal;
    this.#segments = segments;
    this.#tail = tail;
    this.#events = events;
    this.#enqueuedEnd = this.#durableEnd = segments.writtenEnd;
  }

  /** Behind the last durable batch (the last written one, for a topic of durability "os"). */
  get durableEnd(): number {
    return this.#durableEnd;
  }

  /** Journaled, and in no segment yet. */
  get unflushedBytes(): number {
    return this.#unflushedBytes;
  }

  /** Whether everything that was appended is synced in segments. */
  get isSettled(): boolean {
    return this.#segments.syncedEnd >= this.#enqueuedEnd;
  }

  /** A batch with its offsets in it; answers the offset behind it. */
  enqueue(batch: Buffer): number {
    const kept = withoutSlack(batch);
    this.#pending.push(kept);
    this.#pendingBytes += kept.length;
    this.#context.memory.added(this, kept.length);
    this.#enqueuedEnd = batchLastOffset(kept) + 1;
    if (this.#settings.durability === "os" || this.#pendingBytes >= this.#context.limits.directBytesMin) this.#kick();
    return this.#enqueuedEnd;
  }

  /** Resolves when all below `offset` is durable. */
  durable(offset: number): Promise<void> {
    if (this.#refusal) return Promise.reject(this.#refusal.reason);
    if (offset <= this.#durableEnd) return Promise.resolve();
    if (offset > this.#wantedEnd) this.#wantedEnd = offset;
    this.#kick();
    return this.#reached(offset, "durable");
  }

  /**
   * Makes sure that all below `offset` becomes durable no later than what is enrolled in the journal from now on:
   * undefined when that is so already, else a promise of it. Throws when the partition does not serve.
   */
  ahead(offset: number): Promise<void> | undefined {
    if (this.#refusal) throw this.#refusal.reason;
    if (offset <= this.#durableEnd) return undefined;
    if (this.#isDirect) return this.durable(offset);
    this.#pinnedEnd = Math.max(this.#pinnedEnd, offset);
    this.#wantedEnd = Math.max(this.#wantedEnd, offset);
    this.#enrol();
    return undefined;
  }

  /**
   * The same, for batches from `from` on that must not become durable earlier than what is enrolled in the journal by now:
   * they do not go along with what waits there already.
   */
  behind(from: number, offset: number): Promise<void> | undefined {
    const waiting = this.#enrolledEnds.length;
    if (waiting > 0 && !this.#isDirect) {
      this.#enrolledEnds[waiting - 1] = Math.min(this.#enrolledEnds[waiting - 1] as number, from);
      this.#enrolledEnds.push(Number.POSITIVE_INFINITY);
      this.#journal.enrol(this);
    }
    return this.ahead(offset);
  }

  /** Whether what is appended now goes through the journal, behind all that is enrolled there. */
  get followsJournal(): boolean {
    return this.#refusal === undefined && !this.#isDirect;
  }

  /** Undefined while there is room; else resolves when there is again. */
  room(): Promise<void> | undefined {
    if (this.#pendingBytes <= this.#context.limits.pendingBytesMax) return undefined;
    this.#flushEnd = this.#enqueuedEnd;
    this.#kick();
    return new Promise((resolve, reject) => this.#roomWaiters.push({ offset: 0, level: "written", resolve, reject }));
  }

  /** Resolves when all below `offset` is synced in segments, or is needed no more. */
  settle(offset: number): Promise<void> {
    if (this.#segments.syncedEnd >= offset || this.#refusal?.kind === "closed") return Promise.resolve();
    if (this.#refusal) return Promise.reject(this.#refusal.reason);
    if (offset > this.#settleEnd) this.#settleEnd = offset;
    this.#kick();
    return this.#reached(offset, "settled");
  }

  /** Settles all that was appended so far; answers where it ends. */
  async checkpoint(): Promise<SegmentPlace> {
    const place = this.#segments.noteAt(this.#enqueuedEnd);
    await this.settle(place.offset);
    return place;
  }

  /** Closes the active segment when all that was appended so far is in it, unless it is empty. */
  async roll(): Promise<void> {
    await this.settle(this.#enqueuedEnd);
    return new Promise((resolve, reject) => {
      if (this.#refusal) return reject(this.#refusal.reason);
      this.#rollWaiters.push({ offset: 0, level: "settled", resolve, reject });
      this.#kick();
    });
  }

  /** Frees memory: whatever is in no segment yet is written to it, though not synced. */
  async flush(): Promise<void> {
    if (this.#refusal || this.#segments.writtenEnd >= this.#enqueuedEnd) return;
    this.#flushEnd = this.#enqueuedEnd;
    this.#kick();
    await this.#reached(this.#flushEnd, "written").catch(() => undefined);
  }

  /** Batches that are durable and in no segment yet: from the one that holds `offset`, below `end`, at most `bytesMax` but always one. */
  unflushed(offset: number, end: number, bytesMax: number): Buffer[] {
    const batches: Buffer[] = [];
    let bytes = 0;
    for (const batch of this.#unflushed) {
      if (batchLastOffset(batch) < offset) continue;
      if (batchBaseOffset(batch) >= end || (batches.length > 0 && bytes + batch.length > bytesMax)) break;
      batches.push(batch);
      bytes += batch.length;
    }
    return batches;
  }

  /** Nothing more is written to the segment; all who wait are refused. */
  refuse(reason: unknown, kind: Refusal["kind"]): void {
    if (this.#refusal) return;
    this.#refusal = { kind, reason };
    if (kind === "failed") this.#journal.hold(this);
    // A decision may be on its way that relies on these, and the journal is well.
    const pinned = kind === "failed" ? this.#pending.filter((batch) => batchBaseOffset(batch) < this.#pinnedEnd) : [];
    this.#pending = pinned;
    this.#context.memory.forget(this);
    for (const waiter of [...this.#waiters.splice(0), ...this.#roomWaiters.splice(0), ...this.#rollWaiters.splice(0)]) {
      waiter.reject(reason);
    }
  }

  take(): readonly Buffer[] {
    let end = this.#enrolledEnds.shift() ?? Number.POSITIVE_INFINITY;
    if (this.#refusal?.kind === "closed" || (this.#isDirect && this.#refusal === undefined)) {
      this.#kick();
      return [];
    }
    // Only what is relied on: what came behind it is too large for the journal.
    if (this.#pendingBytes >= this.#context.limits.directBytesMin) end = Math.min(end, this.#pinnedEnd);
    const later = this.#pending.findIndex((batch) => batchBaseOffset(batch) >= end);
    const taken = later < 0 ? this.#pending : this.#pending.slice(0, later);
    this.#pending = later < 0 ? [] : this.#pending.slice(later);
    // It may have been enrolled twice for this group.
    this.#journaling = this.#journaling.length === 0 ? taken : [...this.#journaling, ...taken];
    this.#pendingBytes = this.#pending.reduce((sum, { length }) => sum + length, 0);
    this.#giveRoom();
    return taken;
  }

  journaled(): void {
    const batches = this.#journaling;
    this.#journaling = [];
    if (this.#refusal) {
      // It failed while this was on its way: the next start needs it all the same.
      if (this.#refusal.kind === "failed") this.#journal.hold(this);
      return;
    }
    if (batches.length === 0) return;
    for (const batch of batches) {
      this.#unflushed.push(batch);
      this.#unflushedBytes += batch.length;
      this.#tail.add(batch);
    }
    this.#durableEnd = batchLastOffset(batches.at(-1) as Buffer) + 1;
    this.#answer();
    this.#kick();
  }

  journalFailed(error: unknown): void {
    this.#enrolledEnds = [];
    this.#journaling = [];
    this.#events.failed(error);
  }

  /** Whether what is pending goes to the segment and not through the journal. */
  get #isDirect(): boolean {
    // What the journal holds must follow on what is sure to be there: what is loose is synced first.
    if (this.#settings.durability === "os" || this.#looseEnd > this.#segments.syncedEnd) return true;
    if (this.#pinnedEnd > this.#durableEnd) return false;
    if (this.#directEnd > this.#durableEnd) return true;
    if (this.#pendingBytes >= this.#context.limits.directBytesMin) return true;
    const pendingStart = this.#pending[0] ? batchBaseOffset(this.#pending[0]) : this.#enqueuedEnd;
    return Math.max(this.#settleEnd, this.#flushEnd) > pendingStart;
  }

  get #writesPending(): boolean {
    return this.#pending.length > 0 && this.#journaling.length === 0 && this.#isDirect;
  }

  get #writesUnflushed(): boolean {
    if (this.#unflushed.length === 0) return false;
    if (this.#unflushedBytes >= this.#context.limits.flushBytes) return true;
    return Math.max(this.#settleEnd, this.#flushEnd) > this.#segments.writtenEnd;
  }

  /** Whether a sync would bring somebody further. */
  get #syncs(): boolean {
    const { writtenEnd, syncedEnd } = this.#segments;
    if (writtenEnd <= syncedEnd) return false;
    if (this.#settleEnd > syncedEnd) return true;
    const isTooMuch = this.#unsyncedBytes >= this.#context.limits.unsyncedBytesMax;
    if (this.#settings.durability === "os") return isTooMuch;
    if (writtenEnd <= this.#durableEnd) return false;
    return this.#wantedEnd > this.#durableEnd || isTooMuch;
  }

  #kick(): void {
    if (this.#refusal) return;
    if (
      !this.#working &&
      (this.#writesPending || this.#writesUnflushed || this.#rollWaiters.length > 0 || this.#syncs)
    ) {
      this.#working = true;
      void this.#work();
    } else if (this.#pending.length > 0 && this.#wantedEnd > this.#durableEnd && !this.#isDirect) this.#enrol();
  }

  #enrol(): void {
    if (this.#enrolledEnds.length > 0) return;
    this.#enrolledEnds.push(Number.POSITIVE_INFINITY);
    this.#journal.enrol(this);
  }

  /**
   * Writes to the segment and syncs it, one after the other, as long as there is something to do. Writing the next group while one
   * is synced was measured: on ext4 both then take as long as they do one after the other, and longer.
   */
  async #work(): Promise<void> {
    try {
      // Those who append in this turn are in the first group.
      await nextTurn();
      while (!this.#refusal) {
        if (this.#rollWaiters.length > 0) {
          await this.#segments.roll();
          // All that is written has been synced by it, also what others wait for.
          this.#unsyncedBytes = 0;
          this.#synced();
          for (const waiter of this.#rollWaiters.splice(0)) waiter.resolve();
        }
        if (this.#writesPending || this.#writesUnflushed) {
          if (this.#wouldTearTooMuch) await this.#sync();
          await this.#write();
        }
        const hasSynced = this.#syncs;
        while (this.#syncs && this.#rollWaiters.length === 0) await this.#syncAndGoOn();
        if (!hasSynced && !this.#writesPending && !this.#writesUnflushed && this.#rollWaiters.length === 0) break;
      }
    } catch (error) {
      this.#events.failed(error);
    } finally {
      this.#working = false;
    }
    this.#kick();
  }

  /** The next group is on its way to the disk before those of this one are answered and make their next batches. */
  async #syncAndGoOn(): Promise<void> {
    await this.#sync();
    const writing = this.#writesPending ? this.#write() : undefined;
    writing?.catch(() => undefined);
    if (writing) await nextTurn();
    this.#answer();
    if (writing) await writing;
    else await nextTurn();
  }

  get #wouldTearTooMuch(): boolean {
    if (this.#unsyncedBytes === 0 || !this.#writesPending) return false;
    const { groupBytesMax, unsyncedBytesMax } = this.#context.limits;
    const nextBytes = Math.max((this.#pending[0] as Buffer).length, Math.min(this.#pendingBytes, groupBytesMax));
    return this.#unsyncedBytes + nextBytes > groupBytesMax + unsyncedBytesMax;
  }

  async #write(): Promise<void> {
    const flushed = this.#unflushed.length;
    const group = this.#writesPending ? this.#takeGroup() : [];
    await this.#segments.append([...this.#unflushed.slice(0, flushed), ...group]);
    for (const { length } of this.#unflushed.splice(0, flushed)) {
      this.#unflushedBytes -= length;
      this.#context.memory.removed(this, length);
    }
    for (const batch of group) {
      this.#unsyncedBytes += batch.length;
      this.#tail.add(batch);
      this.#context.memory.removed(this, batch.length);
    }
    if (this.#settings.durability === "os") {
      this.#looseEnd = this.#segments.writtenEnd;
      this.#durableEnd = Math.max(this.#durableEnd, this.#looseEnd);
    }
    this.#synced();
    this.#giveRoom();
  }

  /** Answers nobody yet. */
  async #sync(): Promise<void> {
    const unsyncedBytes = this.#unsyncedBytes;
    await this.#segments.sync();
    this.#unsyncedBytes -= unsyncedBytes;
    this.#durableEnd = Math.max(this.#durableEnd, this.#segments.syncedEnd);
  }

  #synced(): void {
    this.#durableEnd = Math.max(this.#durableEnd, this.#segments.syncedEnd);
    this.#answer();
  }

  #giveRoom(): void {
    if (this.#pendingBytes > this.#context.limits.pendingBytesMax) return;
    for (const waiter of this.#roomWaiters.splice(0)) waiter.resolve();
  }

  #takeGroup(): Buffer[] {
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
    this.#directEnd = batchLastOffset(group.at(-1) as Buffer) + 1;
    return group;
  }

  #reached(offset: number, level: Level): Promise<void> {
    return new Promise((resolve, reject) => this.#waiters.push({ offset, level, resolve, reject }));
  }

  #answer(): void {
    // Readers first: who was answered may read at once what it wrote.
    this.#events.advanced();
    if (this.#waiters.length === 0) return;
    const waiting = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiting) {
      if (waiter.offset <= this.#endOf(waiter.level)) waiter.resolve();
      else this.#waiters.push(waiter);
    }
  }

  #endOf(level: Level): number {
    if (level === "durable") return this.#durableEnd;
    return level === "settled" ? this.#segments.syncedEnd : this.#segments.writtenEnd;
  }
}

/** A batch that is a small part of a large buffer would keep all of it in memory. */
function withoutSlack(batch: Buffer): Buffer {
  if (batch.buffer.byteLength <= batch.length * 2) return batch;
  const copy = Buffer.allocUnsafeSlow(batch.length);
  batch.copy(copy);
  return copy;
}
