/** Reads whole batches of one partition from its segments on the disk. Every batch that is handed out has its checksum checked. */
import { MillraceError } from "../base/errors.ts";
import {
  batchField,
  batchHeaderBytes,
  batchLastOffset,
  batchMaxTimestamp,
  batchSizeBytes,
  hasRightChecksum,
} from "../records/batch-header.ts";
import { BatchRecords } from "../records/batch-records.ts";
import { headerFault } from "../records/batch-validator.ts";
import { readInt64 } from "../records/int64.ts";
import type { LogContext, PartitionPlace } from "./log-context.ts";
import { indexIntervalBytes, type OffsetIndex } from "./offset-index.ts";
import { damaged, type Segment, segmentHeaderBytes } from "./segment.ts";
import { isCleanedSegment } from "./segment-name.ts";

export interface FoundRecord {
  readonly offset: number;
  readonly timestampMs: number;
  readonly leaderEpoch: number;
}

const readBytesMin = 64 * 1024;
const readBytesMax = 8 * 1024 * 1024;

export interface IndexedSegment {
  readonly segment: Segment;
  readonly index: OffsetIndex;
  /** Where the next segment begins; undefined for the last one. */
  readonly endOffset: number | undefined;
}

/** A batch's place, known because what is before it was read. */
interface KnownPlace {
  readonly path: string;
  readonly offset: number;
  readonly position: number;
}

export class SegmentReader {
  readonly #context: LogContext;
  readonly #place: PartitionPlace;
  /** Behind what was read last: who reads on from there reads in order. */
  #next: KnownPlace | undefined;

  constructor(context: LogContext, place: PartitionPlace) {
    this.#context = context;
    this.#place = place;
  }

  /**
   * From the batch that holds `offset` (or the next one, where compaction left a gap) up to `end`, at most `bytesMax`
   * but always one; empty when the segment has none. Throws `PARTITION_DAMAGED`.
   */
  async read(at: IndexedSegment, offset: number, end: number, bytesMax: number): Promise<Buffer[]> {
    const known = this.#next?.path === at.segment.path && this.#next.offset === offset ? this.#next : undefined;
    if (known) return (await this.#readFrom(at, known.position, offset, end, bytesMax, "in order")) as Buffer[];
    const start = at.index.positionOf(offset) ?? segmentHeaderBytes;
    // An index is no truth: where it leads behind the offset, or to no batch at all, the segment itself is looked through.
    const found = start > segmentHeaderBytes ? await this.#readFrom(at, start, offset, end, bytesMax) : undefined;
    return found ?? ((await this.#readFrom(at, segmentHeaderBytes, offset, end, bytesMax)) as Buffer[]);
  }

  /** Undefined when `start`, if it is not the first batch's place, is not that of a batch at `offset` or before it. */
  async #readFrom(
    from: IndexedSegment,
    start: number,
    offset: number,
    end: number,
    bytesMax: number,
    order?: "in order",
  ): Promise<Buffer[] | undefined> {
    const wantedBytes = Math.min(readBytesMax, Math.max(readBytesMin, bytesMax + indexIntervalBytes));
    const batches: Buffer[] = [];
    let bytes = 0;
    let isRightPlace = order !== undefined || start === segmentHeaderBytes;
    let next: KnownPlace | undefined;
    const visit = (batch: Buffer, position: number) => {
      isRightPlace ||= readInt64(batch, 0) <= offset;
      if (!isRightPlace || readInt64(batch, 0) >= end) return false;
      if (batchLastOffset(batch) < offset) return true;
      if (batches.length > 0 && bytes + batch.length > bytesMax) return false;
      batches.push(batch);
      bytes += batch.length;
      next = { path: from.segment.path, offset: batchLastOffset(batch) + 1, position: position + batch.length };
      return bytes < bytesMax;
    };
    const hasRoom = (batchBytes: number) => batches.length === 0 || bytes + batchBytes <= bytesMax;
    try {
      await this.#walk(from, start, wantedBytes, visit, hasRoom);
    } catch (error) {
      if (isRightPlace || !MillraceError.is(error, "PARTITION_DAMAGED")) throw error;
    }
    if (!isRightPlace) return undefined;
    this.#next = next;
    if (order && next) this.#readAhead(from.segment, next.position, wantedBytes);
    return batches;
  }

  /** Who has read two chunks in order will ask for the third. */
  #readAhead(segment: Segment, position: number, wantedBytes: number): void {
    const sizeBytes = Math.min(wantedBytes, segment.sizeBytes - position);
    if (sizeBytes < batchHeaderBytes) return;
    const read = () => this.#bytes(segment, position, sizeBytes);
    this.#context.ahead.begin(this, segment.path, position, sizeBytes, read);
  }

  /** The first record in [from, end) that is not older. */
  async recordForTime(
    at: IndexedSegment,
    timestampMs: number,
    from: number,
    end: number,
  ): Promise<FoundRecord | undefined> {
    if (at.index.maxTimestamp < timestampMs) return undefined;
    const start = at.index.positionOfTime(timestampMs) ?? segmentHeaderBytes;
    let found: FoundRecord | undefined;
    await this.#walk(at, start, readBytesMin, (batch) => {
      if (readInt64(batch, 0) >= end) return false;
      if (batchMaxTimestamp(batch) < timestampMs || batchLastOffset(batch) < from) return true;
      found = firstOfTime(batch, timestampMs, from);
      return found === undefined;
    });
    return found;
  }

  /** The first of the records in [from, end) that are later than `latest` and all others; else `latest`. */
  async latestRecord(
    at: IndexedSegment,
    from: number,
    end: number,
    latest: FoundRecord | undefined,
  ): Promise<FoundRecord | undefined> {
    // Where the index names the segment's latest time, most often it is a record's. Retired and compacted ones may have had it.
    const { maxTimestamp } = at.index;
    if (latest && maxTimestamp <= latest.timestampMs) return latest;
    const found = await this.recordForTime(at, maxTimestamp, from, end);
    if (found) return found;
    let later = latest;
    await this.#walk(at, segmentHeaderBytes, readBytesMin, (batch) => {
      if (readInt64(batch, 0) >= end) return false;
      if (batchLastOffset(batch) >= from) later = laterOf(batch, from, later);
      return true;
    });
    return later;
  }

  /**
   * Calls `visit` with each batch from a batch's place on, until it answers false or the segment ends. Where a chunk holds only
   * the beginning of a batch, the rest is read if `isWanted`.
   */
  async #walk(
    { segment, endOffset }: Omit<IndexedSegment, "index">,
    start: number,
    chunkBytes: number,
    visit: (batch: Buffer, position: number) => boolean,
    isWanted: (batchBytes: number) => boolean = () => true,
  ): Promise<void> {
    // The size at the beginning: what is written meanwhile is not looked at.
    const { sizeBytes } = segment;
    const hasGaps = isCleanedSegment(segment);
    let expected = start === segmentHeaderBytes ? segment.baseOffset : undefined;
    const check = (batch: Buffer, position: number) => {
      if (!hasRightChecksum(batch)) throw this.#damaged(segment, position, "a batch's checksum does not match");
      const baseOffset = readInt64(batch, 0);
      const isNext = expected === undefined || baseOffset === expected || (hasGaps && baseOffset > expected);
      if (!isNext) throw this.#damaged(segment, position, `a batch begins at ${baseOffset} where ${expected} belongs`);
      expected = batchLastOffset(batch) + 1;
      if (endOffset !== undefined && expected > endOffset) {
        throw this.#damaged(
          segment,
          position,
          `a batch ends at ${expected}, and the next segment begins at ${endOffset}`,
        );
      }
    };
    for (let position = start; position < sizeBytes; ) {
      const ahead = position === start ? await this.#context.ahead.take(this, segment.path, start) : undefined;
      let chunk = ahead ?? (await this.#bytes(segment, position, chunkBytes));
      let at = 0;
      for (;;) {
        const left = chunk.length - at;
        if (left < batchHeaderBytes) break;
        const fault = headerFault(chunk, at, chunk.length);
        if (fault) throw this.#damaged(segment, position + at, fault);
        const batchBytes = batchSizeBytes(chunk, at);
        if (batchBytes > left) {
          if (at > 0 && !isWanted(batchBytes)) return;
          break;
        }
        const batch = chunk.subarray(at, at + batchBytes);
        check(batch, position + at);
        if (!visit(batch, position + at)) return;
        at += batchBytes;
      }
      if (at === 0) {
        // A batch larger than the chunk. What is written meanwhile lies behind: up to here all batches are whole.
        const batchBytes = chunk.length >= batchHeaderBytes ? batchSizeBytes(chunk) : Number.POSITIVE_INFINITY;
        if (position + batchBytes > sizeBytes) throw this.#damaged(segment, position, "a batch is not whole");
        chunk = await this.#bytes(segment, position, batchBytes);
        if (chunk.length < batchBytes) throw this.#damaged(segment, position, "a batch is not whole");
        check(chunk, position);
        if (!visit(chunk, position)) return;
        at = batchBytes;
      }
      position += at;
    }
    if (endOffset === undefined || expected === undefined || expected === endOffset) return;
    // A repair may have left a gap at the end of one, too.
    if (hasGaps && expected < endOffset) return;
    throw this.#damaged(segment, sizeBytes, `it ends at offset ${expected}, and the next one begins at ${endOffset}`);
  }

  async #bytes(segment: Segment, position: number, count: number): Promise<Buffer> {
    const { files, oldReads, readMemory } = this.#context;
    const bytes = readMemory.take(Math.min(count, segment.sizeBytes - position));
    const read = await oldReads.run(() => files.use(segment.path, (file) => file.read(bytes, position)));
    return bytes.subarray(0, read);
  }

  #damaged(segment: Segment, bytePosition: number, reason: string): Error {
    const error = damaged(this.#place, segment.path, bytePosition, reason);
    this.#context.diagnostics.error("a read met damaged bytes", { ...error.details, reason });
    return error;
  }
}

/** In one batch: the first record from `from` on that is not older. */
export function firstOfTime(batch: Buffer, timestampMs: number, from: number): FoundRecord | undefined {
  const records = new BatchRecords().open(batch);
  while (records.next()) if (records.timestamp >= timestampMs && records.offset >= from) return found(batch, records);
  return undefined;
}

/** The first of the batch's records from `from` on that are later than `latest` and the others; else `latest`. */
export function laterOf(batch: Buffer, from: number, latest: FoundRecord | undefined): FoundRecord | undefined {
  if (latest && batchMaxTimestamp(batch) <= latest.timestampMs) return latest;
  let later = latest;
  const records = new BatchRecords().open(batch);
  while (records.next()) {
    if (records.offset < from || (later && records.timestamp <= later.timestampMs)) continue;
    later = found(batch, records);
  }
  return later;
}

function found(batch: Buffer, { offset, timestamp }: BatchRecords): FoundRecord {
  return { offset, timestampMs: timestamp, leaderEpoch: batch.readInt32BE(batchField.leaderEpoch) };
}
