/**
 * One partition: batches get their offsets in `append`, are written by its writer in groups, and can be read up to the
 * high watermark, which is their durable end.
 *
 * Always true: offsets are given in the order of the calls, and bytes are written in the order of offsets; nothing past
 * the high watermark is handed out; after a failed write or sync it serves nothing more until it is opened again.
 */
import { MillraceError } from "../base/errors.ts";
import { placeBatch } from "../records/batch-header.ts";
import { GroupWriter } from "./group-writer.ts";
import type { LogContext, PartitionPlace, PartitionSettings } from "./log-context.ts";
import { follow, type PartitionCheckpoint, type RecoveredPartition, recoverPartition } from "./partition-recovery.ts";
import { ReadWaiters } from "./read-waiters.ts";
import type { Segment } from "./segment.ts";
import { SegmentReader } from "./segment-reader.ts";
import type { PartitionTail } from "./tail-cache.ts";
import { type AbortedRange, TransactionTrail } from "./transaction-trail.ts";

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

export class Partition {
  readonly place: PartitionPlace;
  readonly #context: LogContext;
  readonly #settings: PartitionSettings;
  readonly #waiters: ReadWaiters;
  readonly #tail: PartitionTail;
  readonly #reader: SegmentReader;
  readonly #segments: Segment[];
  readonly #writer: GroupWriter | undefined;
  /** What has been appended, durable or not. */
  readonly #trail: TransactionTrail;
  readonly #leaderEpoch: number;
  /** True when recovery read or cut something behind the last checkpoint. */
  readonly changedByRecovery: boolean;
  #state: State = { kind: "open" };
  #nextOffset: number;

  private constructor(
    context: LogContext,
    place: PartitionPlace,
    settings: PartitionSettings,
    from: RecoveredPartition | MillraceError,
  ) {
    this.#context = context;
    this.place = place;
    this.#settings = settings;
    this.#waiters = new ReadWaiters(context.clock);
    this.#tail = context.tails.tail();
    this.#reader = new SegmentReader(context, place);
    if (from instanceof Error) {
      this.#state = { kind: "unusable", error: from };
      this.#segments = [];
      this.#trail = new TransactionTrail();
      this.#leaderEpoch = 0;
      this.#nextOffset = 0;
      this.changedByRecovery = false;
      return;
    }
    this.#segments = from.segments;
    this.#trail = from.trail;
    this.#leaderEpoch = from.leaderEpoch;
    this.#nextOffset = from.nextOffset;
    this.changedByRecovery = from.changed;
    this.#writer = new GroupWriter(context, place, settings, from, this.#tail, {
      advanced: () => this.#waiters.advanced(this.highWatermark, this.lastStable),
      failed: (error) => this.#fail(error),
    });
  }

  /**
   * A partition that is damaged, or that the disk cannot read, is opened as one that answers everything with
   * `PARTITION_DAMAGED` or `PARTITION_FAILED`. Throws `LOG_FORMAT_NEWER`.
   */
  static async open(
    context: LogContext,
    place: PartitionPlace,
    settings: PartitionSettings,
    checkpoint: PartitionCheckpoint | undefined,
  ): Promise<Partition> {
    try {
      return new Partition(context, place, settings, await recoverPartition(context, place, settings, checkpoint));
    } catch (cause) {
      const error = (cause as NodeJS.ErrnoException).code === "EIO" ? failed(place, cause) : cause;
      if (!MillraceError.is(error, "PARTITION_DAMAGED") && !MillraceError.is(error, "PARTITION_FAILED")) throw cause;
      context.diagnostics.error("a partition does not serve", { ...error.details, message: error.message });
      return new Partition(context, place, settings, error);
    }
  }

  get logStart(): number {
    return this.#segments[0]?.baseOffset ?? 0;
  }

  get highWatermark(): number {
    return this.#writer?.highWatermark ?? 0;
  }

  get lastStable(): number {
    return Math.min(this.#trail.firstOpenOffset(), this.highWatermark);
  }

  get leaderEpoch(): number {
    return this.#leaderEpoch;
  }

  /** The offset that the next appended record gets. */
  get nextOffset(): number {
    return this.#nextOffset;
  }

  get sizeBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  }

  /** Why it serves nothing; undefined when it does. */
  get failure(): MillraceError | undefined {
    return this.#state.kind === "unusable" ? this.#state.error : undefined;
  }

  openTransactions(): ReturnType<TransactionTrail["open"]> {
    return this.#trail.open();
  }

  /**
   * Gives the batch its offsets and queues it; the bytes belong to the partition from here on. It is written soon, and
   * synced when somebody waits for it with `durable`.
   */
  append(batch: Buffer): Placed {
    const writer = this.#usable();
    const baseOffset = this.#nextOffset;
    placeBatch(batch, baseOffset, this.#leaderEpoch);
    this.#nextOffset = writer.enqueue(batch);
    follow(this.#trail, batch);
    return { baseOffset, lastOffset: this.#nextOffset - 1, leaderEpoch: this.#leaderEpoch };
  }

  /**
   * A marker that ends a transaction: readers see its end at once, since the decision is durable elsewhere; the
   * marker itself becomes durable with whatever is synced next.
   */
  appendMarker(marker: Buffer): void {
    this.append(marker);
    this.#waiters.advanced(this.highWatermark, this.lastStable);
  }

  /** Resolves when all below `offset` is durable (written, for a topic of durability "os"). Throws `PARTITION_FAILED`. */
  durable(offset: number): Promise<void> {
    return this.#usable().durable(offset);
  }

  /** Resolves when all that was appended so far is synced, whatever the topic's durability. */
  sync(): Promise<void> {
    return this.#usable().sync();
  }

  /** Undefined while there is room; else resolves when there is again. */
  room(): Promise<void> | undefined {
    return this.#usable().room();
  }

  /** The durable end, for the next start; undefined when the partition does not serve. */
  checkpoint(): PartitionCheckpoint | undefined {
    return this.failure ? undefined : this.#writer?.checkpoint();
  }

  /** Throws `OFFSET_OUT_OF_RANGE`, `PARTITION_FAILED`, `PARTITION_DAMAGED`. */
  async read(offset: number, committed: boolean, bytesMax: number): Promise<PartitionRead> {
    this.#usable();
    this.#assertInRange(offset);
    const end = committed ? this.lastStable : this.highWatermark;
    if (offset >= end) return { batches: [], aborted: [] };
    const batches = this.#tail.read(offset, end, bytesMax) ?? (await this.#readFromDisk(offset, end, bytesMax));
    const last = batches.at(-1);
    if (!committed || !last) return { batches, aborted: [] };
    return { batches, aborted: this.#trail.abortedIn(offset, end) };
  }

  /** Resolves when there is something to read at `offset`, or after `waitMs`. Rejects with the signal's reason. */
  async readable(offset: number, committed: boolean, waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    this.#usable();
    this.#assertInRange(offset);
    if (offset < (committed ? this.lastStable : this.highWatermark)) return;
    await this.#waiters.wait(offset, committed, waitMs, signal);
  }

  async offsetForTime(timestampMs: number): Promise<number> {
    const writer = this.#usable();
    const end = this.highWatermark;
    for (const segment of this.#segments) {
      const index = await this.#indexOf(segment, writer);
      const found = await this.#reader.offsetForTime({ segment, index }, timestampMs, end);
      if (found !== undefined) return found;
    }
    return end;
  }

  /** Syncs what was appended, and leaves an index for a fast start. */
  async settle(): Promise<void> {
    if (this.#state.kind === "open") await this.#writer?.close();
  }

  /** Later calls throw `reason`; those who wait are refused with it. */
  close(reason: MillraceError): void {
    this.#stop(reason);
    this.#tail.clear();
  }

  #usable(): GroupWriter {
    if (this.#state.kind === "unusable") throw this.#state.error;
    return this.#writer as GroupWriter;
  }

  #fail(cause: unknown): void {
    const error = failed(this.place, cause);
    this.#context.diagnostics.error("the disk failed under a partition; it serves nothing until a restart", {
      ...error.details,
      message: error.message,
    });
    this.#stop(error);
  }

  #stop(error: MillraceError): void {
    if (this.#state.kind === "open") this.#state = { kind: "unusable", error };
    this.#writer?.refuse(error);
    this.#waiters.fail(error);
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

  async #readFromDisk(offset: number, end: number, bytesMax: number): Promise<Buffer[]> {
    const writer = this.#usable();
    let at = this.#segmentOf(offset);
    for (; at < this.#segments.length; at++) {
      const segment = this.#segments[at] as Segment;
      const index = await this.#indexOf(segment, writer);
      const batches = await this.#reader.read({ segment, index }, offset, end, bytesMax);
      if (batches.length > 0) return batches;
    }
    return [];
  }

  async #indexOf(segment: Segment, writer: GroupWriter) {
    if (segment === this.#segments.at(-1)) return writer.index;
    return await this.#context.indexes.of(segment, this.#settings.cleanup === "compact");
  }

  #segmentOf(offset: number): number {
    let low = 0;
    for (let high = this.#segments.length - 1; low < high; ) {
      const middle = (low + high + 1) >> 1;
      if ((this.#segments[middle] as Segment).baseOffset <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
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
