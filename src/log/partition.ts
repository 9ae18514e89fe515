/**
 * One partition: batches get their offsets in `append`, are written by its writer, and can be read up to the high
 * watermark, which is their durable end.
 *
 * Always true: offsets are given in the order of the calls, and bytes are written in the order of offsets; nothing past
 * the high watermark is handed out; after a failed write or sync it serves nothing more until it is opened again.
 */
import { MillraceError } from "../base/errors.ts";
import { placeBatch, readBatchHeader } from "../records/batch-header.ts";
import type { Replacement } from "./cleaner/clean-segments.ts";
import { commitSwap } from "./cleaner/swap.ts";
import type { Journal } from "./journal.ts";
import type { JournaledBatches } from "./journal-recovery.ts";
import { PartitionKeys } from "./keys/partition-keys.ts";
import type { LogContext, PartitionPlace, PartitionSettings } from "./log-context.ts";
import { PartitionReader } from "./partition-reader.ts";
import { follow, type PartitionCheckpoint, type RecoveredPartition, recoverPartition } from "./partition-recovery.ts";
import { endOfEpoch, firstPartitionState, type PartitionState, writePartitionState } from "./partition-state.ts";
import { PartitionWriter } from "./partition-writer.ts";
import type { ProducerDecision, TransactionVersion } from "./producer.ts";
import { encodeProducerSnapshot } from "./producer-snapshot.ts";
import type { AbortedRange, ProducerTable } from "./producer-table.ts";
import { ReadWaiters } from "./read-waiters.ts";
import type { Segment } from "./segment.ts";
import { abortedPath, indexPath, type SegmentIndex } from "./segment-index.ts";
import type { FoundRecord } from "./segment-reader.ts";
import { PartitionSegments } from "./segments.ts";
import type { PartitionTail } from "./tail-cache.ts";

export interface Placed {
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly leaderEpoch: number;
}

export interface PartitionRead {
  readonly batches: readonly Buffer[];
  readonly aborted: readonly AbortedRange[];
}

type State = { readonly kind: "open" } | { readonly kind: "unusable"; readonly error: MillraceError };

/** Everything that an open partition has and an unusable one has not. */
interface Served {
  readonly segments: PartitionSegments;
  readonly writer: PartitionWriter;
  readonly tail: PartitionTail;
  readonly producers: ProducerTable;
  readonly reader: PartitionReader;
}

export class Partition {
  readonly place: PartitionPlace;
  /** The last offset of each key, where somebody asks for it. */
  readonly keys: PartitionKeys;
  readonly #context: LogContext;
  readonly #waiters: ReadWaiters;
  readonly #served: Served | undefined;
  #state: State = { kind: "open" };
  #kept: PartitionState;
  #nextOffset: number;
  #checkpoint: PartitionCheckpoint | undefined;
  /** Changes of the state file and of the list of segments follow each other. */
  #changes: Promise<unknown> = Promise.resolve();

  private constructor(
    context: LogContext,
    place: PartitionPlace,
    settings: PartitionSettings,
    journal: Journal,
    from: RecoveredPartition | MillraceError,
    checkpoint: PartitionCheckpoint | undefined,
  ) {
    this.#context = context;
    this.place = place;
    this.#waiters = new ReadWaiters(context.clock);
    this.keys = new PartitionKeys(this, context.keys, (batches) => context.readMemory.giveBack(batches));
    this.#checkpoint = checkpoint;
    if (from instanceof Error) {
      this.#state = { kind: "unusable", error: from };
      this.#kept = firstPartitionState;
      this.#nextOffset = 0;
      return;
    }
    this.#kept = from.state;
    this.#nextOffset = from.nextOffset;
    const tail = context.tails.tail();
    const segments = new PartitionSegments(context, place, settings, from.segments, from.nextOffset, from.index);
    const writer = new PartitionWriter(context, place, settings, journal, segments, tail, {
      advanced: () => this.#waiters.advanced(this.highWatermark, this.lastStable),
      failed: (error) => this.#fail(error),
    });
    const reader = new PartitionReader(context, place, segments, writer, tail);
    this.#served = { segments, writer, tail, producers: from.producers, reader };
  }

  /**
   * A partition that is damaged, or that the disk cannot read, is opened as one that answers everything with
   * `PARTITION_DAMAGED` or `PARTITION_FAILED`. Throws `LOG_FORMAT_NEWER`.
   */
  static async open(
    context: LogContext,
    place: PartitionPlace,
    settings: PartitionSettings,
    journal: Journal,
    from: {
      readonly checkpoint?: PartitionCheckpoint | undefined;
      readonly journaled?: JournaledBatches | undefined;
    } = {},
  ): Promise<Partition> {
    const { checkpoint, journaled } = from;
    try {
      const recovered = await recoverPartition(context, place, settings, checkpoint, journaled);
      return new Partition(context, place, settings, journal, recovered, checkpoint);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      const error = code === "EIO" || code === "ENOSPC" ? failed(place, cause) : cause;
      if (!MillraceError.is(error, "PARTITION_DAMAGED") && !MillraceError.is(error, "PARTITION_FAILED")) throw cause;
      context.diagnostics.error("a partition does not serve", { ...error.details, message: error.message });
      return new Partition(context, place, settings, journal, error, checkpoint);
    }
  }

  get logStart(): number {
    return this.#kept.logStart;
  }

  get highWatermark(): number {
    return this.#served?.writer.durableEnd ?? 0;
  }

  get lastStable(): number {
    const { highWatermark } = this;
    if (!this.#served) return 0;
    return Math.min(Math.max(this.#served.producers.firstOpenOffset(), this.logStart), highWatermark);
  }

  get leaderEpoch(): number {
    return this.#kept.epochs.at(-1)?.epoch ?? 0;
  }

  /** The offset that the next appended record gets. */
  get nextOffset(): number {
    return this.#nextOffset;
  }

  /** Of its segments, and of what is durable in the journal and in none of them yet. */
  get sizeBytes(): number {
    return this.#served ? this.#served.segments.sizeBytes + this.#served.writer.unflushedBytes : 0;
  }

  /** Why it serves nothing; undefined when it does. */
  get failure(): MillraceError | undefined {
    return this.#state.kind === "unusable" ? this.#state.error : undefined;
  }

  /** In offset order; the last one is active. Empty when it does not serve. */
  get segments(): readonly Segment[] {
    return this.#served?.segments.list ?? [];
  }

  get cleanedTo(): number {
    return this.#kept.cleanedTo;
  }

  /** To be asked, and told of expiry; batches are taken in by `append`. */
  get producers(): ProducerTable {
    return this.#usable().producers;
  }

  /** Whether a start would find everything in the segments, up to a point that a checkpoint names. */
  get isUnchanged(): boolean {
    return this.#checkpoint?.offset === this.#nextOffset && (this.#served?.writer.isSettled ?? false);
  }

  openTransactions(): ReturnType<ProducerTable["openTransactions"]> {
    return this.#served?.producers.openTransactions() ?? [];
  }

  /** Whether a batch of an idempotent or transactional producer may be appended now. */
  decide(batch: Buffer, version: TransactionVersion, isNumbered = true): ProducerDecision {
    return this.#usable().producers.decide(readBatchHeader(batch), this.#nextOffset, version, isNumbered);
  }

  /**
   * Gives the batch its offsets and queues it; the bytes belong to the partition from here on. It is written when
   * somebody waits for it with `durable`, or when much has gathered.
   */
  append(batch: Buffer): Placed {
    const { writer, producers, segments } = this.#usable();
    const baseOffset = this.#nextOffset;
    placeBatch(batch, baseOffset, this.leaderEpoch);
    this.#nextOffset = writer.enqueue(batch);
    this.keys.note(batch);
    const aborted = follow(producers, batch, this.#context.clock.now());
    if (aborted) segments.noteAborted(aborted, Math.min(producers.firstOpenOffset(), this.#nextOffset));
    return { baseOffset, lastOffset: this.#nextOffset - 1, leaderEpoch: this.leaderEpoch };
  }

  /**
   * A marker that ends a transaction: readers see its end at once, since the decision is durable elsewhere; the
   * marker itself becomes durable with whatever is written next.
   */
  appendMarker(marker: Buffer): void {
    this.append(marker);
    this.#waiters.advanced(this.highWatermark, this.lastStable);
  }

  /** Resolves when all below `offset` is durable (written, for a topic of durability "os"). Throws `PARTITION_FAILED`. */
  durable(offset: number): Promise<void> {
    return this.#usable().writer.durable(offset);
  }

  /** As `PartitionWriter.ahead`: all below `offset` becomes durable no later than what the journal is given from now on. */
  ahead(offset: number): Promise<void> | undefined {
    return this.#usable().writer.ahead(offset);
  }

  /** As `PartitionWriter.behind`: the same, and no earlier than what the journal was given by now. */
  behind(from: number, offset: number): Promise<void> | undefined {
    return this.#usable().writer.behind(from, offset);
  }

  /** Whether what is appended now goes through the journal, behind all that is enrolled there. */
  get followsJournal(): boolean {
    return this.#usable().writer.followsJournal;
  }

  /** Undefined while there is room; else resolves when there is again. */
  room(): Promise<void> | undefined {
    return this.#usable().writer.room();
  }

  /** Makes all that was appended so far durable, markers included. */
  sync(): Promise<void> {
    return this.#usable().writer.durable(this.#nextOffset);
  }

  /** Syncs in the segments all that was appended so far. */
  settle(): Promise<void> {
    return this.#usable().writer.settle(this.#nextOffset);
  }

  /** Writes to the segments what is only in memory. */
  flush(): Promise<void> {
    return this.#usable().writer.flush();
  }

  /** The newest point for the next start. */
  get lastCheckpoint(): PartitionCheckpoint | undefined {
    return this.#checkpoint;
  }

  /** Syncs what was appended so far, and makes its end the point for the next start. */
  async checkpoint(): Promise<void> {
    const { writer, segments, producers } = this.#usable();
    const snapshot = { offset: this.#nextOffset, table: producers };
    const encoded = producers.size > 0 ? encodeProducerSnapshot(this.place, snapshot) : undefined;
    const { segment, bytePosition, offset } = await writer.checkpoint();
    await segments.saveIndex();
    this.#checkpoint = { segment, bytePosition, offset, producers: encoded };
  }

  /** Throws `OFFSET_OUT_OF_RANGE`, `PARTITION_FAILED`, `PARTITION_DAMAGED`. */
  read(offset: number, committed: boolean, bytesMax: number): Promise<PartitionRead> {
    return this.#steadily(async ({ reader, segments }) => {
      this.#assertInRange(offset);
      const end = committed ? this.lastStable : this.highWatermark;
      if (offset >= end) return { batches: [], aborted: [] };
      const batches = await reader.read(offset, end, bytesMax);
      if (!committed || batches.length === 0) return { batches, aborted: [] };
      return { batches, aborted: await segments.abortedIn(offset, end) };
    });
  }

  /** Resolves when there is something to read at `offset`, or after `waitMs`. Rejects with the signal's reason. */
  async readable(offset: number, committed: boolean, waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    this.#usable();
    this.#assertInRange(offset);
    if (offset < (committed ? this.lastStable : this.highWatermark)) return;
    await this.#waiters.wait(offset, committed, waitMs, signal);
  }

  /** Wakes once, when something at `offset` can be read or nothing ever can; undefined when that is so already. */
  watch(offset: number, committed: boolean, wake: () => void): (() => void) | undefined {
    if (this.failure || offset < (committed ? this.lastStable : this.highWatermark)) return undefined;
    return this.#waiters.watch(offset, committed, wake);
  }

  /** The high watermark when there is none. */
  async offsetForTime(timestampMs: number): Promise<number> {
    return await this.#steadily(async ({ reader }) => {
      const { logStart, highWatermark } = this;
      return (await reader.recordForTime(timestampMs, logStart, highWatermark))?.offset ?? highWatermark;
    });
  }

  /** The first record that is not older; null when there is none. */
  async recordForTime(timestampMs: number): Promise<FoundRecord | null> {
    return await this.#steadily(
      async ({ reader }) => (await reader.recordForTime(timestampMs, this.logStart, this.highWatermark)) ?? null,
    );
  }

  /** The first of the records with the latest time; null when there is none. */
  async latestRecord(): Promise<FoundRecord | null> {
    return await this.#steadily(
      async ({ reader }) => (await reader.latestRecord(this.logStart, this.highWatermark)) ?? null,
    );
  }

  /** Where the records of an epoch end; undefined when it is older than all that is known. */
  endOfEpoch(epoch: number): { readonly epoch: number; readonly endOffset: number } | undefined {
    this.#usable();
    return endOfEpoch(this.#kept.epochs, epoch, this.highWatermark);
  }

  /**
   * Retires all records below `offset`, for good when it resolves; segments that hold nothing else are removed.
   * What is retired already stays so. Throws `OFFSET_OUT_OF_RANGE` past the high watermark.
   */
  async deleteRecords(offset: number): Promise<void> {
    const isRetired = Number.isSafeInteger(offset) && offset >= 0 && offset < this.logStart;
    if (!isRetired) this.#assertInRange(offset);
    return this.#change(async () => {
      if (offset <= this.logStart) return;
      const { writer, segments } = this.#usable();
      // A start must never lie behind what survives a power cut: without syncs the end may be lost.
      await writer.settle(offset);
      await this.#keep({ ...this.#kept, logStart: offset });
      if (segments.active.baseOffset < offset && offset === this.#nextOffset) await writer.roll();
      await this.#removeBelow(offset);
    });
  }

  /** Retires the closed segments that end at `start` or before it, where one of them begins or the last one ends. */
  retire(start: number): Promise<void> {
    return this.#change(async () => {
      if (start > this.logStart) await this.#keep({ ...this.#kept, logStart: start });
      await this.#removeBelow(start);
    });
  }

  /** Closes the active segment, unless it is empty. */
  roll(): Promise<void> {
    return this.#usable().writer.roll();
  }

  /** The largest timestamp in the active segment; -1 when it is empty. */
  async activeTimestamp(): Promise<number> {
    return await this.#usable().segments.activeTimestamp();
  }

  async indexOf(segment: Segment): Promise<SegmentIndex> {
    return await this.#usable().segments.indexOf(segment);
  }

  /** Runs a cleaning, during which no segment is retired; it answers up to where it has come. */
  async compact(clean: (segments: PartitionSegments) => Promise<number>): Promise<number> {
    let cleanedTo = this.cleanedTo;
    await this.#change(async () => {
      const { segments, tail } = this.#usable();
      cleanedTo = await clean(segments);
      tail.dropBelow(cleanedTo);
      if (cleanedTo > this.cleanedTo) await this.#keep({ ...this.#kept, cleanedTo });
    });
    return cleanedTo;
  }

  /** For a cleaning: puts a new segment in the place of others. When that fails the partition serves nothing more. */
  async replaceSegments(replacement: Replacement): Promise<void> {
    const { segments } = this.#usable();
    try {
      await commitSwap(this.#context.disk, this.#context.files, this.place.directory, replacement);
      segments.replace(new Set(replacement.remove), [replacement.add.segment]);
    } catch (cause) {
      // Which of the files are there is known again when the partition is read back.
      this.#fail(cause);
      throw cause;
    }
  }

  /** What was read of it cannot be: it serves nothing until it is opened again. */
  fail(error: MillraceError): void {
    this.#fail(error);
  }

  /** Later calls throw `reason`; those who wait are refused with it. */
  close(reason: MillraceError): void {
    this.#stop(reason, "closed");
    this.#served?.tail.clear();
  }

  #usable(): Served {
    if (this.#state.kind === "unusable") throw this.#state.error;
    return this.#served as Served;
  }

  #fail(cause: unknown): void {
    if (this.#state.kind === "unusable") return;
    const error = MillraceError.is(cause, "PARTITION_DAMAGED") ? cause : failed(this.place, cause);
    this.#context.diagnostics.error("the disk failed under a partition; it serves nothing until a restart", {
      ...error.details,
      message: error.message,
    });
    this.#stop(error, "failed");
  }

  #stop(error: MillraceError, kind: "failed" | "closed"): void {
    if (this.#state.kind === "open") this.#state = { kind: "unusable", error };
    this.keys.letGo();
    this.#served?.writer.refuse(error, kind);
    this.#waiters.fail(error);
  }

  /**
   * Reads, and again when segments were retired or compacted meanwhile: their files may be gone, and with them what they
   * said of aborted transactions.
   */
  async #steadily<T>(act: (served: Served) => Promise<T>): Promise<T> {
    for (;;) {
      const served = this.#usable();
      const { replacedCount } = served.segments;
      try {
        const result = await act(served);
        if (served.segments.replacedCount === replacedCount) return result;
      } catch (error) {
        await this.#changes;
        const isGone = (error as NodeJS.ErrnoException).code === "ENOENT";
        if (!isGone || (served.segments.replacedCount === replacedCount && !this.failure)) throw error;
      }
    }
  }

  #change(change: () => Promise<void>): Promise<void> {
    const changed = this.#changes.then(change).catch((error) => {
      // Its files may have gone with its topic.
      this.#usable();
      throw error;
    });
    this.#changes = changed.catch(() => undefined);
    return changed;
  }

  async #keep(state: PartitionState): Promise<void> {
    await writePartitionState(this.#context.disk, this.place, state);
    this.#kept = state;
  }

  /** The state file says already that they are retired: a start that finds some of them left goes on. */
  async #removeBelow(offset: number): Promise<void> {
    const { segments, tail } = this.#usable();
    tail.dropBelow(offset);
    const removed = new Set<Segment>();
    segments.list.forEach((segment, i) => {
      const next = segments.list[i + 1];
      if (next && next.baseOffset <= offset) removed.add(segment);
    });
    if (removed.size === 0) return;
    segments.replace(removed, []);
    const { disk, files } = this.#context;
    for (const segment of removed) {
      await files.forget(segment.path);
      for (const file of [segment.path, indexPath(segment), abortedPath(segment)]) await disk.remove(file);
    }
    await disk.syncDirectory(this.place.directory);
  }

  #assertInRange(offset: number): void {
    if (Number.isSafeInteger(offset) && offset >= this.logStart && offset <= this.highWatermark) return;
    const { topic, partition } = this.place;
    const { logStart, highWatermark } = this;
    throw new MillraceError(
      "OFFSET_OUT_OF_RANGE",
      `offset ${offset} of partition ${partition} of topic ${topic} is not in ${logStart} to ${highWatermark}`,
      { details: { topic, partition, offset, logStart, highWatermark } },
    );
  }
}

function failed({ topic, partition }: PartitionPlace, cause: unknown): MillraceError {
  const what = cause instanceof Error ? cause.message : String(cause);
  return new MillraceError(
    "PARTITION_FAILED",
    `the disk failed under partition ${partition} of topic ${topic}: ${what}`,
    {
      hint: "Restart Millrace when the disk is well again: the partition is then read back from it.",
      cause,
      details: { topic, partition },
    },
  );
}
