/**
 * Writes what a cleaning keeps of some neighbouring segments into one new one. Nothing is written before there is a batch
 * that changes, so that segments which lose nothing are only read; what came before it is then copied, checked once more.
 */
import type { Disk } from "../../base/disk.ts";
import { batchAttributes, batchMaxTimestamp } from "../../records/batch-header.ts";
import type { PartitionPlace } from "../log-context.ts";
import type { AbortedRange } from "../producer-table.ts";
import type { Segment } from "../segment.ts";
import type { SegmentName } from "../segment-name.ts";
import type { BatchFilter } from "./batch-filter.ts";
import type { BatchWalk } from "./batch-walk.ts";
import type { CleanedTransactions } from "./cleaned-transactions.ts";
import { DraftSegment } from "./draft-segment.ts";

export interface RewriteOptions {
  readonly disk: Disk;
  readonly place: PartitionPlace;
  readonly walk: BatchWalk;
  /** For what is copied while `walk` has a chunk in hand. */
  readonly copyWalk: BatchWalk;
  readonly filter: BatchFilter;
  readonly transactions: CleanedTransactions;
  readonly abortedIn: (from: number, end: number) => readonly AbortedRange[] | Promise<readonly AbortedRange[]>;
  readonly throttle: ((bytes: number) => Promise<void>) | undefined;
}

export interface RewrittenSegment {
  readonly segment: Segment;
  readonly draftPath: string;
}

export class SegmentRewrite {
  readonly #options: RewriteOptions;
  readonly #segments: readonly Segment[];
  readonly #endOffset: number;
  readonly #name: SegmentName;
  #draft: DraftSegment | undefined;
  /** Of what is kept, written or not. */
  #maxTimestamp = -1;
  /** What is kept of the chunk at hand, neighbours as one piece. */
  #pieces: Buffer[] = [];
  #pieceStart: Buffer | undefined;
  #pieceBytes = 0;
  /** True when something of the chunk at hand changed. */
  #changed = false;

  /** `endOffset` is that of the last segment. */
  constructor(options: RewriteOptions, segments: readonly Segment[], endOffset: number, name: SegmentName) {
    this.#options = options;
    this.#segments = segments;
    this.#endOffset = endOffset;
    this.#name = name;
  }

  /** Undefined when nothing would change; else the bytes of the draft are durable. Leaves no draft when it throws. */
  async run(): Promise<RewrittenSegment | undefined> {
    try {
      for (let i = 0; i < this.#segments.length; i++) await this.#filterSegment(i);
      const draft = this.#draft;
      return draft && { segment: await draft.finish(this.#maxTimestamp), draftPath: draft.path };
    } catch (error) {
      await this.#draft?.discard();
      throw error;
    }
  }

  async #filterSegment(index: number): Promise<void> {
    const { walk, filter, transactions, abortedIn } = this.#options;
    const segment = this.#segments[index] as Segment;
    const endOffset = this.#segmentEnd(index);
    const isLast = index === this.#segments.length - 1;
    transactions.enterSegment(await abortedIn(segment.baseOffset, endOffset));
    let chunkStart = 0;
    await walk.walk(segment, segment.sizeBytes, endOffset, {
      batch: (batch, bytePosition) => {
        const isLastOfSegment = isLast && bytePosition + batch.length === segment.sizeBytes;
        const kept = filter.filter(batch, batchAttributes(batch), isLastOfSegment);
        this.#changed ||= kept !== batch;
        if (kept) this.#keep(kept);
        else this.#endPiece();
        return true;
      },
      chunkEnd: async (bytePosition) => {
        this.#endPiece();
        if (this.#changed && !this.#draft) await this.#beginDraft(index, chunkStart);
        const pieces = this.#pieces;
        this.#pieces = [];
        chunkStart = bytePosition;
        if (this.#draft && pieces.length > 0) await this.#write(this.#draft, pieces);
      },
    });
  }

  #segmentEnd(index: number): number {
    return this.#segments[index + 1]?.baseOffset ?? this.#endOffset;
  }

  #keep(batch: Buffer): void {
    const maxTimestamp = batchMaxTimestamp(batch);
    if (maxTimestamp > this.#maxTimestamp) this.#maxTimestamp = maxTimestamp;
    const start = this.#pieceStart;
    const follows =
      start !== undefined && start.buffer === batch.buffer && start.byteOffset + this.#pieceBytes === batch.byteOffset;
    if (follows) this.#pieceBytes += batch.length;
    else {
      this.#endPiece();
      this.#pieceStart = batch;
      this.#pieceBytes = batch.length;
    }
  }

  #endPiece(): void {
    const start = this.#pieceStart;
    if (!start) return;
    this.#pieceStart = undefined;
    this.#pieces.push(Buffer.from(start.buffer, start.byteOffset, this.#pieceBytes));
  }

  /** The draft, with all that was left as it is before the chunk at hand. */
  async #beginDraft(index: number, endBytes: number): Promise<void> {
    const draft = await DraftSegment.create(this.#options.disk, this.#options.place, this.#name);
    this.#draft = draft;
    for (let i = 0; i <= index; i++) {
      const segment = this.#segments[i] as Segment;
      await this.#copy(draft, segment, i === index ? endBytes : segment.sizeBytes, this.#segmentEnd(i));
    }
  }

  async #copy(draft: DraftSegment, segment: Segment, endBytes: number, endOffset: number): Promise<void> {
    let first: Buffer | undefined;
    let count = 0;
    await this.#options.copyWalk.walk(segment, endBytes, endOffset, {
      batch: (batch) => {
        first ??= batch;
        count += batch.length;
        return true;
      },
      chunkEnd: async () => {
        if (first) await this.#write(draft, [Buffer.from(first.buffer, first.byteOffset, count)]);
        first = undefined;
        count = 0;
      },
    });
  }

  async #write(draft: DraftSegment, pieces: readonly Buffer[]): Promise<void> {
    await draft.write(pieces);
    const { throttle } = this.#options;
    if (throttle) await throttle(pieces.reduce((sum, piece) => sum + piece.length, 0));
  }
}
