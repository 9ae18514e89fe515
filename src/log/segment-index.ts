/**
 * What finds its way in a segment: the offset index and the aborted transactions, each in a file beside it. Both are
 * helps and no truth: a file that is missing, damaged or short is made anew from the segments. Of segments that are no
 * longer written, the most recently used ones are in memory.
 */
import type { Disk } from "../base/disk.ts";
import { batchMaxTimestamp, isControl, isTransactional, readBatchHeader } from "../records/batch-header.ts";
import { controlKind } from "../records/batch-records.ts";
import { AbortedIndex } from "./aborted-index.ts";
import type { FilePool } from "./file-pool.ts";
import { OffsetIndex } from "./offset-index.ts";
import { ProducerTable } from "./producer-table.ts";
import { offsetsPerSegmentMax, type Segment, segmentHeaderBytes } from "./segment.ts";
import { isCleanedSegment } from "./segment-name.ts";
import { scanSegment } from "./segment-scan.ts";

export interface SegmentIndex {
  readonly offsets: OffsetIndex;
  readonly aborted: AbortedIndex;
}

export class SegmentIndexes {
  readonly #disk: Disk;
  readonly #files: FilePool;
  readonly #countMax: number;
  readonly #cached = new Map<string, Promise<SegmentIndex>>();

  constructor(disk: Disk, files: FilePool, countMax = 64) {
    this.#disk = disk;
    this.#files = files;
    this.#countMax = countMax;
  }

  /** Of a segment that is whole; `segments` are its partition's, up to it at least. */
  of(segment: Segment, segments: readonly Segment[]): Promise<SegmentIndex> {
    const known = this.#cached.get(segment.path);
    if (known) {
      this.#cached.delete(segment.path);
      this.#cached.set(segment.path, known);
      return known;
    }
    const loading = this.load(segment, segments);
    this.#keep(segment.path, loading);
    loading.catch(() => this.#cached.delete(segment.path));
    return loading;
  }

  /** The same, not kept: the caller goes on to add to it. */
  async load(segment: Segment, segments: readonly Segment[]): Promise<SegmentIndex> {
    const stored = await readSegmentIndex(this.#disk, segment);
    if (stored?.offsets.endBytes === segment.sizeBytes && stored.aborted.endBytes === segment.sizeBytes) return stored;
    const index = await buildSegmentIndex(this.#files, segment, segments);
    await this.write(segment, index);
    return index;
  }

  /** The index of a segment that was just closed, and its files. */
  async closed(segment: Segment, index: SegmentIndex): Promise<void> {
    this.#keep(segment.path, Promise.resolve(index));
    await this.write(segment, index);
  }

  /** Not synced, and no failure when they cannot be written: they can be made again. */
  async write(segment: Segment, { offsets, aborted }: SegmentIndex): Promise<void> {
    // Both as they are now: while one is written the segment may go on.
    const [offsetBytes, abortedBytes] = [offsets.encode(), aborted.encode()];
    await replace(this.#disk, indexPath(segment), offsetBytes).catch(() => undefined);
    await replace(this.#disk, abortedPath(segment), abortedBytes).catch(() => undefined);
  }

  forget(segment: Segment): void {
    this.#cached.delete(segment.path);
  }

  #keep(path: string, index: Promise<SegmentIndex>): void {
    this.#cached.set(path, index);
    for (const oldest of this.#cached.keys()) {
      if (this.#cached.size <= this.#countMax) break;
      this.#cached.delete(oldest);
    }
  }
}

export function indexPath(segment: Segment): string {
  return segment.path.replace(/\.log$/, ".index");
}

export function abortedPath(segment: Segment): string {
  return segment.path.replace(/\.log$/, ".aborted");
}

/** Undefined when one of the two cannot be used. */
export async function readSegmentIndex(disk: Disk, segment: Segment): Promise<SegmentIndex | undefined> {
  const offsets = await readWhole(disk, indexPath(segment), (bytes) => OffsetIndex.decode(bytes, segment.baseOffset));
  if (!offsets) return undefined;
  const file = abortedPath(segment);
  const aborted = await readWhole(disk, file, (bytes) => AbortedIndex.decode(bytes, segment.baseOffset, file));
  return aborted && { offsets, aborted };
}

/** From the segment's bytes. What its abort markers ended may have begun in an earlier one, so those may be read too. */
async function buildSegmentIndex(
  files: FilePool,
  segment: Segment,
  segments: readonly Segment[],
): Promise<SegmentIndex> {
  const offsets = new OffsetIndex(segment.baseOffset, segmentHeaderBytes);
  const aborted = new AbortedIndex(segment.baseOffset, segmentHeaderBytes);
  let hasAborts = false;
  // An offset that cannot be is damage: whoever reads up to it is told so, and the index ends before it.
  const next = segments.find(({ baseOffset }) => baseOffset > segment.baseOffset);
  const offsetMax =
    Math.min(next?.baseOffset ?? Number.POSITIVE_INFINITY, segment.baseOffset + offsetsPerSegmentMax) - 1;
  let isBroken = false;
  await eachBatch(files, segment, (batch) => {
    const { baseOffset, lastOffset, attributes } = readBatchHeader(batch);
    isBroken ||= lastOffset > offsetMax;
    if (isBroken) return;
    offsets.add(baseOffset, lastOffset, batch.length, batchMaxTimestamp(batch));
    hasAborts ||= isControl(attributes) && controlKind(batch) === "abort";
  });
  aborted.endBytes = offsets.endBytes;
  if (!hasAborts) return { offsets, aborted };
  const open = new ProducerTable(Number.POSITIVE_INFINITY);
  for (const each of segments) {
    if (each.baseOffset > segment.baseOffset) break;
    await eachBatch(files, each, (batch) => {
      const header = readBatchHeader(batch);
      if (!isTransactional(header.attributes)) return;
      const kind = isControl(header.attributes) ? controlKind(batch) : undefined;
      if (!isControl(header.attributes)) open.apply(header, header.maxTimestamp);
      const range = kind && open.marker(kind, header, header.maxTimestamp);
      if (range && each === segment) aborted.add(range, Math.min(open.firstOpenOffset(), header.lastOffset + 1));
    });
  }
  return { offsets, aborted };
}

async function eachBatch(files: FilePool, segment: Segment, visit: (batch: Buffer) => void): Promise<void> {
  const start = { bytePosition: segmentHeaderBytes, offset: segment.baseOffset };
  const gaps = isCleanedSegment(segment);
  await files.use(segment.path, (file) => scanSegment(file, start, segment.sizeBytes, gaps, visit));
}

async function readWhole<T>(disk: Disk, path: string, decode: (bytes: Buffer) => T): Promise<T | undefined> {
  if (!(await disk.exists(path))) return undefined;
  const file = await disk.open(path, "read");
  try {
    const bytes = Buffer.alloc(await file.size());
    return decode(bytes.subarray(0, await file.read(bytes, 0)));
  } finally {
    await file.close();
  }
}

async function replace(disk: Disk, path: string, bytes: Buffer): Promise<void> {
  const file = await disk.open(path, "create");
  try {
    await file.truncate(bytes.length);
    await file.write([bytes], 0);
  } finally {
    await file.close();
  }
}
