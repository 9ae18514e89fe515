/** Indexes of segments that are no longer written, the most recently used ones in memory. */
import type { Disk } from "../base/disk.ts";
import { batchMaxTimestamp, readBatchHeader } from "../records/batch-header.ts";
import type { FilePool } from "./file-pool.ts";
import { OffsetIndex } from "./offset-index.ts";
import { type Segment, segmentHeaderBytes } from "./segment.ts";
import { scanSegment } from "./segment-scan.ts";

export class IndexCache {
  readonly #disk: Disk;
  readonly #files: FilePool;
  readonly #countMax: number;
  readonly #indexes = new Map<string, Promise<OffsetIndex>>();

  constructor(disk: Disk, files: FilePool, countMax = 64) {
    this.#disk = disk;
    this.#files = files;
    this.#countMax = countMax;
  }

  /** Read from its file, or made anew from the segment. */
  of(segment: Segment, gaps: boolean): Promise<OffsetIndex> {
    const known = this.#indexes.get(segment.path);
    if (known) {
      this.#indexes.delete(segment.path);
      this.#indexes.set(segment.path, known);
      return known;
    }
    const loading = this.#load(segment, gaps);
    this.#keep(segment.path, loading);
    loading.catch(() => this.#indexes.delete(segment.path));
    return loading;
  }

  /** The index of a segment that was just closed, and its file. */
  async closed(segment: Segment, index: OffsetIndex): Promise<void> {
    this.#keep(segment.path, Promise.resolve(index));
    await writeIndex(this.#disk, segment, index);
  }

  forget(segment: Segment): void {
    this.#indexes.delete(segment.path);
  }

  async #load(segment: Segment, gaps: boolean): Promise<OffsetIndex> {
    const stored = await readIndex(this.#disk, segment);
    if (stored && stored.endBytes === segment.sizeBytes) return stored;
    const index = await buildIndex(this.#files, segment, undefined, segment.sizeBytes, gaps);
    await writeIndex(this.#disk, segment, index);
    return index;
  }

  #keep(path: string, index: Promise<OffsetIndex>): void {
    this.#indexes.set(path, index);
    for (const oldest of this.#indexes.keys()) {
      if (this.#indexes.size <= this.#countMax) break;
      this.#indexes.delete(oldest);
    }
  }
}

/** From the segment's bytes up to `endBytes`, or from where `known` ends. Stops where a batch is not right. */
export async function buildIndex(
  files: FilePool,
  segment: Segment,
  known: OffsetIndex | undefined,
  endBytes: number,
  gaps: boolean,
): Promise<OffsetIndex> {
  const index = known ?? new OffsetIndex(segment.baseOffset, segmentHeaderBytes);
  await files.use(segment.path, (file) =>
    scanSegment(file, { bytePosition: index.endBytes, offset: index.endOffset }, endBytes, gaps, (batch) => {
      const { baseOffset, lastOffset } = readBatchHeader(batch);
      index.add(baseOffset, lastOffset, batch.length, batchMaxTimestamp(batch));
    }),
  );
  return index;
}

/** Undefined when there is none that can be used. */
export async function readIndex(disk: Disk, segment: Segment): Promise<OffsetIndex | undefined> {
  const path = indexPath(segment);
  if (!(await disk.exists(path))) return undefined;
  const file = await disk.open(path, "read");
  try {
    const bytes = Buffer.alloc(await file.size());
    return OffsetIndex.decode(bytes.subarray(0, await file.read(bytes, 0)), segment.baseOffset);
  } finally {
    await file.close();
  }
}

/** Not synced, and no failure when it cannot be written: it can be made again. */
export async function writeIndex(disk: Disk, segment: Segment, index: OffsetIndex): Promise<void> {
  try {
    const file = await disk.open(indexPath(segment), "create");
    try {
      const bytes = index.encode();
      await file.truncate(bytes.length);
      await file.write([bytes], 0);
    } finally {
      await file.close();
    }
  } catch {
    // The next reader builds it from the segment.
  }
}

export function indexPath(segment: Segment): string {
  return segment.path.replace(/\.log$/, ".index");
}
