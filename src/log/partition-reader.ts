/**
 * The reading side of a partition: the newest batches from memory, older ones from the segments, and what no segment has yet
 * from the writer. What may be read, and what to do when segments are replaced meanwhile, is the partition's to say.
 */
import { batchMaxTimestamp } from "../records/batch-header.ts";
import type { LogContext, PartitionPlace } from "./log-context.ts";
import type { PartitionWriter } from "./partition-writer.ts";
import type { Segment } from "./segment.ts";
import { type FoundRecord, firstOfTime, type IndexedSegment, laterOf, SegmentReader } from "./segment-reader.ts";
import type { PartitionSegments } from "./segments.ts";
import type { PartitionTail } from "./tail-cache.ts";

export class PartitionReader {
  readonly #segments: PartitionSegments;
  readonly #writer: PartitionWriter;
  readonly #tail: PartitionTail;
  readonly #reader: SegmentReader;

  constructor(
    context: LogContext,
    place: PartitionPlace,
    segments: PartitionSegments,
    writer: PartitionWriter,
    tail: PartitionTail,
  ) {
    this.#segments = segments;
    this.#writer = writer;
    this.#tail = tail;
    this.#reader = new SegmentReader(context, place);
  }

  /** From the batch that holds `offset` on, all below `end`, at most `bytesMax` but always one. */
  async read(offset: number, end: number, bytesMax: number): Promise<Buffer[]> {
    return this.#tail.read(offset, end, bytesMax) ?? (await this.#readOlder(offset, end, bytesMax));
  }

  /** The first record in [from, end) that is not older. */
  async recordForTime(timestampMs: number, from: number, end: number): Promise<FoundRecord | undefined> {
    // Taken now: it may go to a segment meanwhile.
    const inMemory = this.#writer.unflushed(this.#segments.writtenEnd, end, Number.POSITIVE_INFINITY);
    const { list } = this.#segments;
    for (let at = 0; at < list.length; at++) {
      const found = await this.#reader.recordForTime(await this.#indexed(list, at), timestampMs, from, end);
      if (found) return found;
    }
    for (const batch of inMemory) {
      if (batchMaxTimestamp(batch) < timestampMs) continue;
      const found = firstOfTime(batch, timestampMs, from);
      if (found) return found;
    }
    return undefined;
  }

  /** The first of the records in [from, end) with the latest time of all. */
  async latestRecord(from: number, end: number): Promise<FoundRecord | undefined> {
    const inMemory = this.#writer.unflushed(this.#segments.writtenEnd, end, Number.POSITIVE_INFINITY);
    const { list } = this.#segments;
    let latest: FoundRecord | undefined;
    for (let at = 0; at < list.length; at++) {
      latest = await this.#reader.latestRecord(await this.#indexed(list, at), from, end, latest);
    }
    for (const batch of inMemory) latest = laterOf(batch, from, latest);
    return latest;
  }

  /** From the segments, or from what is in none of them yet. */
  async #readOlder(offset: number, end: number, bytesMax: number): Promise<Buffer[]> {
    for (;;) {
      const { list, writtenEnd } = this.#segments;
      if (offset < writtenEnd) {
        for (let at = this.#segments.at(offset); at < list.length; at++) {
          const from = await this.#indexed(list, at);
          const batches = await this.#reader.read(from, offset, Math.min(end, writtenEnd), bytesMax);
          if (batches.length > 0) return batches;
        }
      }
      // Where the first of what was in memory has gone to a segment meanwhile, the rest of it does not follow on `offset`.
      if (this.#segments.writtenEnd === writtenEnd) return this.#writer.unflushed(offset, end, bytesMax);
    }
  }

  async #indexed(list: readonly Segment[], at: number): Promise<IndexedSegment> {
    const segment = list[at] as Segment;
    const { offsets } = await this.#segments.indexOf(segment);
    return { segment, index: offsets, endOffset: list[at + 1]?.baseOffset };
  }
}
