/**
 * Reads segments batch by batch for the cleaner, in chunks of one size: while one is looked at, the next one is read. A batch
 * that is larger has a buffer of its own while it is looked at. The header of the segment, and every batch's header, checksum and place in the
 * order of offsets, are checked before anything of it is used. Between chunks other work gets its turn.
 */
import { MillraceError } from "../../base/errors.ts";
import { nextTurn } from "../../base/turn.ts";
import {
  batchBaseOffset,
  batchHeaderBytes,
  batchLastOffset,
  batchSizeBytes,
  hasRightChecksum,
} from "../../records/batch-header.ts";
import { headerFault } from "../../records/batch-validator.ts";
import type { FilePool } from "../file-pool.ts";
import type { PartitionPlace } from "../log-context.ts";
import { damaged, type Segment, segmentHeaderBytes, segmentHeaderFault } from "../segment.ts";

export interface BatchWalkOptions {
  readonly files: FilePool;
  readonly place: PartitionPlace;
  readonly chunkBytes: number;
  readonly signal: AbortSignal | undefined;
  /** Waited for after so many bytes were read or written. */
  readonly throttle: ((bytes: number) => Promise<void>) | undefined;
}

export interface WalkVisitor {
  /** A whole, right batch; valid until `chunkEnd` resolves. False ends the walk. */
  batch(batch: Buffer, bytePosition: number): boolean;
  /** The batches since the last call end at this place. */
  chunkEnd?(bytePosition: number): Promise<void>;
}

interface WholeBatches {
  /** Where the whole batches of the chunk end. */
  readonly wholeEnd: number;
  /** What the one behind them takes, as far as that is known; 0 at the end of the chunk. */
  readonly neededBytes: number;
  /** Why there can be none behind them. */
  readonly fault: string | undefined;
}

export class BatchWalk {
  readonly #options: BatchWalkOptions;
  /** Two of one size, made when first needed: while one is looked at, the other is filled. */
  readonly #chunks: (Buffer | undefined)[] = [undefined, undefined];
  #filled = 0;

  constructor(options: BatchWalkOptions) {
    this.#options = options;
  }

  /**
   * The segment's batches up to `endBytes`; none of them reaches `endOffset`. False when the visitor ended it. Throws
   * `PARTITION_DAMAGED`, also for what the visitor finds wrong in a batch's records, and the signal's reason.
   */
  async walk(segment: Segment, endBytes: number, endOffset: number, visitor: WalkVisitor): Promise<boolean> {
    const { signal, throttle } = this.#options;
    let reading = this.#read(segment, 0, endBytes, 0);
    let expected = segment.baseOffset;
    try {
      for (let position = 0; position < endBytes; ) {
        signal?.throwIfAborted();
        const chunk = await reading;
        const first = position === 0 ? this.#checkHeader(segment, chunk) : 0;
        const { wholeEnd, neededBytes, fault } = this.#wholeBatches(chunk, first, endBytes - position);
        if (fault === undefined) reading = this.#read(segment, position + wholeEnd, endBytes, neededBytes);
        let at = first;
        let goesOn = true;
        while (goesOn && at < wholeEnd) {
          const batch = chunk.subarray(at, at + batchSizeBytes(chunk, at));
          expected = this.#checkBatch(segment, batch, position + at, expected, endOffset);
          goesOn = this.#visited(segment, visitor, batch, position + at);
          at += batch.length;
        }
        // What comes before it was right, so that this is the place.
        if (goesOn && fault !== undefined) throw this.#damaged(segment, position + wholeEnd, fault);
        position += at;
        await visitor.chunkEnd?.(position);
        if (!goesOn) return false;
        if (throttle) await throttle(at);
        await nextTurn();
      }
      return true;
    } finally {
      // Nobody may have its buffer, or the file, before it has ended.
      await reading.catch(() => undefined);
    }
  }

  /** Up to `chunkBytes`, or `neededBytes` where that is more; all of it is there. Empty at the end. */
  #read(segment: Segment, position: number, endBytes: number, neededBytes: number): Promise<Buffer> {
    const { files, chunkBytes } = this.#options;
    const count = Math.min(endBytes - position, Math.max(neededBytes, chunkBytes));
    if (count <= 0) return Promise.resolve(Buffer.alloc(0));
    const chunk = this.#nextChunk(count);
    const reading = files.use(segment.path, async (file) => {
      const readBytes = await file.read(chunk, position);
      if (readBytes < count) throw this.#damaged(segment, position + readBytes, "the file is too short");
      return chunk;
    });
    // It is looked at later.
    reading.catch(() => undefined);
    return reading;
  }

  #nextChunk(count: number): Buffer {
    const { chunkBytes } = this.#options;
    if (count > chunkBytes) return Buffer.allocUnsafeSlow(count);
    this.#filled = 1 - this.#filled;
    this.#chunks[this.#filled] ??= Buffer.allocUnsafeSlow(chunkBytes);
    return (this.#chunks[this.#filled] as Buffer).subarray(0, count);
  }

  /** Nothing but heads is looked at. */
  #wholeBatches(chunk: Buffer, first: number, leftBytes: number): WholeBatches {
    for (let at = first; ; ) {
      const headBytes = chunk.length - at;
      if (headBytes === 0) return { wholeEnd: at, neededBytes: 0, fault: undefined };
      const isHead = headBytes >= batchHeaderBytes;
      const fault = isHead ? headerFault(chunk, at, chunk.length) : undefined;
      if (fault !== undefined) return { wholeEnd: at, neededBytes: 0, fault };
      const batchBytes = isHead ? batchSizeBytes(chunk, at) : batchHeaderBytes;
      if (batchBytes > leftBytes - at) return { wholeEnd: at, neededBytes: 0, fault: "a batch is not whole" };
      if (batchBytes > headBytes) return { wholeEnd: at, neededBytes: batchBytes, fault: undefined };
      at += batchBytes;
    }
  }

  /** Answers where the batches begin. */
  #checkHeader(segment: Segment, chunk: Buffer): number {
    const { topicId, partition } = this.#options.place;
    const fault = segmentHeaderFault(chunk, { topicId, partition, baseOffset: segment.baseOffset }, segment.path);
    if (fault) throw this.#damaged(segment, 0, fault);
    return segmentHeaderBytes;
  }

  /** Answers the offset behind the batch. */
  #checkBatch(segment: Segment, batch: Buffer, bytePosition: number, expected: number, endOffset: number): number {
    if (!hasRightChecksum(batch)) throw this.#damaged(segment, bytePosition, "a batch's checksum does not match");
    const next = batchLastOffset(batch) + 1;
    if (batchBaseOffset(batch) < expected || next > endOffset) {
      const found = `${batchBaseOffset(batch)} to ${next - 1}`;
      const fault = `a batch has offsets ${found} where they lie from ${expected} up to ${endOffset}`;
      throw this.#damaged(segment, bytePosition, fault);
    }
    return next;
  }

  #visited(segment: Segment, visitor: WalkVisitor, batch: Buffer, bytePosition: number): boolean {
    try {
      return visitor.batch(batch, bytePosition);
    } catch (cause) {
      const isFault =
        MillraceError.is(cause, "BATCH_CORRUPT") ||
        MillraceError.is(cause, "RECORD_INVALID") ||
        MillraceError.is(cause, "RECORD_TOO_LARGE");
      throw isFault ? this.#damaged(segment, bytePosition, cause.message) : cause;
    }
  }

  #damaged(segment: Segment, bytePosition: number, reason: string): MillraceError {
    return damaged(this.#options.place, segment.path, bytePosition, reason);
  }
}
