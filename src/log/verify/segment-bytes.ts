/** A file's bytes for who wants all of them that can be had: a place that the disk cannot read is zeros, and is told. */
import type { DiskFile } from "../../base/disk.ts";

const chunkBytes = 1024 * 1024;
/** Around a place that cannot be read so much is given up. */
const pageBytes = 4096;

export interface ByteRange {
  readonly fromBytes: number;
  readonly toBytes: number;
}

export interface SegmentBytesOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with what was read from the disk. */
  readonly onRead?: (bytes: number) => void;
}

export class SegmentBytes {
  readonly sizeBytes: number;
  /** What could not be read, in the order in which it was tried. */
  readonly unreadable: ByteRange[] = [];
  readonly #file: DiskFile;
  readonly #options: SegmentBytesOptions;
  #bytes: Buffer = Buffer.alloc(0);
  #start = 0;

  constructor(file: DiskFile, sizeBytes: number, options: SegmentBytesOptions = {}) {
    this.#file = file;
    this.sizeBytes = sizeBytes;
    this.#options = options;
  }

  /** Fewer than `count` at the end of the file only. Valid until the next call. Throws the signal's reason. */
  async at(bytePosition: number, count: number): Promise<Buffer> {
    const have = this.#start + this.#bytes.length;
    if (bytePosition < this.#start || (bytePosition + count > have && have < this.sizeBytes)) {
      this.#options.signal?.throwIfAborted();
      const left = Math.max(0, this.sizeBytes - bytePosition);
      this.#bytes = await this.#read(bytePosition, Math.min(Math.max(count, chunkBytes), left));
      this.#start = bytePosition;
      this.#options.onRead?.(this.#bytes.length);
    }
    return this.#bytes.subarray(bytePosition - this.#start, bytePosition - this.#start + count);
  }

  async #read(bytePosition: number, count: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafeSlow(count);
    try {
      return bytes.subarray(0, await this.#file.read(bytes, bytePosition));
    } catch (error) {
      if (!isUnreadable(error)) throw error;
    }
    for (let at = 0; at < count; ) {
      const next = Math.min(count, at + pageBytes - ((bytePosition + at) % pageBytes));
      const page = bytes.subarray(at, next);
      try {
        page.fill(0, await this.#file.read(page, bytePosition + at));
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        page.fill(0);
        this.unreadable.push({ fromBytes: bytePosition + at, toBytes: bytePosition + next });
      }
      at = next;
    }
    return bytes;
  }
}

/** Whether the disk says that it cannot read what it holds. */
export function isUnreadable(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "EIO";
}
