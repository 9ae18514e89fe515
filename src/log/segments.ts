/**
 * The segments of one partition: batches are appended to the last one, which is closed when it is full or old; the others
 * never change, but may be replaced by compaction and retired by retention.
 *
 * Always true: batches are whole and in offset order; a segment is synced whole before the next one exists; nothing past
 * `syncedEnd` is sure to survive a power cut. One call of `append`, `roll` and `replace` at a time.
 * Not here: what goes down when (partition-writer.ts) and what is retired (cleaner/).
 */
import {
  batchBaseOffset,
  batchHeaderBytes,
  batchLastOffset,
  batchMaxTimestamp,
  readBatchHeader,
} from "../records/batch-header.ts";
import { headerFault } from "../records/batch-validator.ts";
import { AbortedIndex } from "./aborted-index.ts";
import type { LogContext, PartitionPlace, PartitionSettings } from "./log-context.ts";
import { OffsetIndex } from "./offset-index.ts";
import type { AbortedRange } from "./producer-table.ts";
import {
  checkSegmentHeader,
  createSegment,
  offsetsPerSegmentMax,
  type Segment,
  segmentHeaderBytes,
} from "./segment.ts";
import type { SegmentIndex } from "./segment-index.ts";

/** A place behind which nothing of the partition is durable yet. */
export interface SegmentPlace {
  /** The first offset of the segment. */
  segment: number;
  bytePosition: number;
  readonly offset: number;
}

interface UnplacedAbort {
  readonly range: AbortedRange;
  readonly lastStable: number;
}

export class PartitionSegments {
  readonly #context: LogContext;
  readonly #place: PartitionPlace;
  readonly #settings: PartitionSettings;
  #list: Segment[];
  #replacedCount = 0;
  #writtenEnd: number;
  #syncedEnd: number;
  /** Of the active segment; undefined until something needs it. */
  #index: OffsetIndex | undefined;
  #aborted: AbortedIndex | undefined;
  #loading: Promise<void> | undefined;
  /** Of the active segment's first batch; undefined until it is known. */
  #firstTimestamp: number | undefined;
  #noted: SegmentPlace | undefined;
  #syncs: Promise<void> = Promise.resolve();
  /** Markers behind the written end. */
  readonly #unplaced: UnplacedAbort[] = [];

  /** `index` is the active segment's, where it is known. */
  constructor(
    context: LogContext,
    place: PartitionPlace,
    settings: PartitionSettings,
    segments: Segment[],
    endOffset: number,
    index?: SegmentIndex,
  ) {
    this.#context = context;
    this.#place = place;
    this.#settings = settings;
    this.#list = segments;
    this.#writtenEnd = this.#syncedEnd = endOffset;
    this.#index = index?.offsets;
    this.#aborted = index?.aborted;
  }

  /** In offset order; the last one is active. Another array after each change. */
  get list(): readonly Segment[] {
    return this.#list;
  }

  get active(): Segment {
    return this.#list.at(-1) as Segment;
  }

  /** Grows whenever closed segments are retired or replaced. */
  get replacedCount(): number {
    return this.#replacedCount;
  }

  /** Batches below it are in the files. */
  get writtenEnd(): number {
    return this.#writtenEnd;
  }

  /** Batches below it are durable in the files. */
  get syncedEnd(): number {
    return this.#syncedEnd;
  }

  get sizeBytes(): number {
    return this.#list.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  }

  /** The largest timestamp in the active segment; -1 when it is empty. */
  async activeTimestamp(): Promise<number> {
    await this.#loadActive();
    return this.#index?.maxTimestamp ?? -1;
  }

  /** Where the written batches end. */
  get end(): SegmentPlace {
    return { segment: this.active.baseOffset, bytePosition: this.active.sizeBytes, offset: this.#writtenEnd };
  }

  /** Filled in when the batches below `offset` are written; one at a time. */
  noteAt(offset: number): SegmentPlace {
    if (offset === this.#writtenEnd) return this.end;
    this.#noted = { segment: -1, bytePosition: -1, offset };
    return this.#noted;
  }

  /** Batches that follow the written ones. Rejects with the disk's error, and `PARTITION_DAMAGED`. */
  async append(batches: readonly Buffer[]): Promise<void> {
    await this.#loadActive();
    for (let from = 0; from < batches.length; ) {
      const first = batches[from] as Buffer;
      if (this.#isFullFor(first, this.active.sizeBytes)) await this.roll();
      let sizeBytes = this.active.sizeBytes;
      let to = from;
      for (; to < batches.length; to++) {
        const batch = batches[to] as Buffer;
        if (to > from && this.#isFullFor(batch, sizeBytes)) break;
        sizeBytes += batch.length;
      }
      await this.#write(from === 0 && to === batches.length ? batches : batches.slice(from, to));
      from = to;
    }
  }

  /**
   * Makes durable what is written when it is called. Syncs follow each other, and one that failed is the last: the next
   * one would claim what it has lost.
   */
  sync(): Promise<void> {
    this.#syncs = this.#syncs.then(() => this.#syncNow());
    return this.#syncs;
  }

  async #syncNow(): Promise<void> {
    const { active } = this;
    const end = this.#writtenEnd;
    await this.#context.files.use(active.path, (file) => file.datasync());
    if (end > this.#syncedEnd) this.#syncedEnd = end;
  }

  /** Closes the active segment, unless it is empty, and begins the next one. */
  async roll(): Promise<void> {
    await this.#loadActive();
    const full = this.active;
    if (full.sizeBytes === segmentHeaderBytes) return;
    await this.sync();
    const index = this.#activeIndex;
    full.maxTimestamp = index.offsets.maxTimestamp;
    await this.#context.indexes.closed(full, index);
    const segment = await createSegment(this.#context, this.#place, this.#writtenEnd);
    this.#list = [...this.#list, segment];
    this.#index = new OffsetIndex(segment.baseOffset, segmentHeaderBytes);
    // Markers that were appended but not yet written belong to the next one.
    this.#aborted = new AbortedIndex(segment.baseOffset, segmentHeaderBytes);
    this.#firstTimestamp = undefined;
  }

  /** Other files in place of closed ones, or none. */
  replace(removed: ReadonlySet<Segment>, added: readonly Segment[]): void {
    this.#replacedCount++;
    for (const segment of removed) this.#context.indexes.forget(segment);
    const kept = this.#list.filter((segment) => !removed.has(segment));
    this.#list = [...kept, ...added].sort((a, b) => a.baseOffset - b.baseOffset);
  }

  /** A transaction that an abort marker ended; the marker is in, or goes into, the active segment. */
  noteAborted(range: AbortedRange, lastStable: number): void {
    this.#unplaced.push({ range, lastStable });
  }

  async indexOf(segment: Segment): Promise<SegmentIndex> {
    if (segment !== this.active) return await this.#context.indexes.of(segment, this.#list);
    await this.#loadActive();
    return this.#activeIndex;
  }

  /** Aborted transactions with records in [from, end), also those whose markers are not written yet. */
  async abortedIn(from: number, end: number): Promise<AbortedRange[]> {
    const found: AbortedRange[] = [];
    const list = this.#list;
    for (let at = this.at(from); at < list.length; at++) {
      const { aborted } = await this.indexOf(list[at] as Segment);
      if (aborted.overlapping(from, end, found)) return found;
    }
    for (const { range } of this.#unplaced) {
      if (range.lastOffset >= from && range.firstOffset < end) found.push(range);
    }
    return found;
  }

  /** The place in the list of the segment that holds `offset`. */
  at(offset: number): number {
    let low = 0;
    for (let high = this.#list.length - 1; low < high; ) {
      const middle = (low + high + 1) >> 1;
      if ((this.#list[middle] as Segment).baseOffset <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Leaves the active segment's index for the next start. */
  async saveIndex(): Promise<void> {
    if (this.#index) await this.#context.indexes.write(this.active, this.#activeIndex);
  }

  get #activeIndex(): SegmentIndex {
    const aborted = this.#aborted as AbortedIndex;
    const offsets = this.#index as OffsetIndex;
    aborted.endBytes = offsets.endBytes;
    return { offsets, aborted };
  }

  #isFullFor(batch: Buffer, sizeBytes: number): boolean {
    if (sizeBytes === segmentHeaderBytes) return false;
    const { segmentBytesMax, segmentMs } = this.#settings;
    if (sizeBytes + batch.length > segmentBytesMax) return true;
    if (batchLastOffset(batch) - this.active.baseOffset > offsetsPerSegmentMax) return true;
    return this.#firstTimestamp !== undefined && batchMaxTimestamp(batch) - this.#firstTimestamp >= segmentMs;
  }

  async #write(batches: readonly Buffer[]): Promise<void> {
    const { active } = this;
    const index = this.#index as OffsetIndex;
    await this.#context.files.use(active.path, (file) => file.write(batches, active.sizeBytes));
    this.#firstTimestamp ??= batchMaxTimestamp(batches[0] as Buffer);
    for (const batch of batches) {
      const lastOffset = batchLastOffset(batch);
      index.add(batchBaseOffset(batch), lastOffset, batch.length, batchMaxTimestamp(batch));
      active.sizeBytes += batch.length;
      this.#writtenEnd = lastOffset + 1;
      if (this.#noted?.offset === this.#writtenEnd) {
        this.#noted.segment = active.baseOffset;
        this.#noted.bytePosition = active.sizeBytes;
        this.#noted = undefined;
      }
    }
    this.#placeAborted();
  }

  #placeAborted(): void {
    while ((this.#unplaced[0]?.range.lastOffset ?? Number.POSITIVE_INFINITY) < this.#writtenEnd) {
      const { range, lastStable } = this.#unplaced.shift() as UnplacedAbort;
      this.#aborted?.add(range, lastStable);
    }
  }

  async #loadActive(): Promise<void> {
    if (this.#index) return;
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined;
    });
    await this.#loading;
  }

  async #load(): Promise<void> {
    const { active } = this;
    await checkSegmentHeader(this.#context, this.#place, active);
    const index = await this.#context.indexes.load(active, this.#list);
    if (active.sizeBytes > segmentHeaderBytes) {
      const first = Buffer.alloc(batchHeaderBytes);
      await this.#context.files.use(active.path, (file) => file.read(first, segmentHeaderBytes));
      if (headerFault(first, 0, first.length) === undefined) this.#firstTimestamp = readBatchHeader(first).maxTimestamp;
    }
    this.#index = index.offsets;
    this.#aborted = index.aborted;
  }
}
