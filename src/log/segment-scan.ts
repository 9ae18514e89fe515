/** Reads a segment batch by batch, as recovery does: every header and every checksum is looked at. */
import type { DiskFile } from "../base/disk.ts";
import { batchHeaderBytes, batchLastOffset, batchSizeBytes, hasRightChecksum } from "../records/batch-header.ts";
import { headerFault } from "../records/batch-validator.ts";
import { readInt64 } from "../records/int64.ts";

const chunkBytes = 1024 * 1024;

export interface ScanStart {
  readonly bytePosition: number;
  /** The offset that the next batch must have. */
  readonly offset: number;
}

export interface ScanEnd extends ScanStart {
  /** Why reading ended before the end of the file. */
  readonly fault: string | undefined;
}

/** A window over a file that grows and moves with reading. */
class Window {
  readonly #file: DiskFile;
  readonly #fileBytes: number;
  #bytes = Buffer.alloc(0);
  #start = 0;

  constructor(file: DiskFile, fileBytes: number) {
    this.#file = file;
    this.#fileBytes = fileBytes;
  }

  /** The bytes at a position; fewer than `count` at the end of the file only. Valid until the next call. */
  async at(position: number, count: number): Promise<Buffer> {
    const have = this.#start + this.#bytes.length;
    if (position < this.#start || (position + count > have && have < this.#fileBytes)) {
      const wanted = Math.min(Math.max(count, chunkBytes), Math.max(0, this.#fileBytes - position));
      const bytes = Buffer.allocUnsafeSlow(wanted);
      this.#bytes = bytes.subarray(0, await this.#file.read(bytes, position));
      this.#start = position;
    }
    return this.#bytes.subarray(position - this.#start, position - this.#start + count);
  }
}

/**
 * Calls `onBatch` with each whole batch (valid during the call) up to the first that is not whole, not right, or not
 * the next one. `gaps` allows offsets to be missing between batches, as compaction leaves them.
 */
export async function scanSegment(
  file: DiskFile,
  start: ScanStart,
  fileBytes: number,
  gaps: boolean,
  onBatch: (batch: Buffer, bytePosition: number) => void,
): Promise<ScanEnd> {
  const window = new Window(file, fileBytes);
  let { bytePosition, offset } = start;
  while (bytePosition < fileBytes) {
    const header = await window.at(bytePosition, batchHeaderBytes);
    const fault = headerFault(header, 0, header.length);
    if (fault) return { bytePosition, offset, fault };
    const sizeBytes = batchSizeBytes(header);
    const baseOffset = readInt64(header, 0);
    if (baseOffset < offset || (baseOffset > offset && !gaps)) {
      return { bytePosition, offset, fault: `a batch begins at offset ${baseOffset} where ${offset} belongs` };
    }
    if (bytePosition + sizeBytes > fileBytes) return { bytePosition, offset, fault: "a batch is not whole" };
    const batch = await window.at(bytePosition, sizeBytes);
    if (batch.length < sizeBytes || !hasRightChecksum(batch)) {
      return { bytePosition, offset, fault: "a batch's checksum does not match" };
    }
    onBatch(batch, bytePosition);
    bytePosition += sizeBytes;
    offset = batchLastOffset(batch) + 1;
  }
  return { bytePosition, offset, fault: undefined };
}

/** The place of a whole, right batch at or behind `from` whose offsets come after `offset`; undefined when there is none. */
export async function findBatchBehind(
  file: DiskFile,
  from: number,
  offset: number,
  fileBytes: number,
): Promise<number | undefined> {
  const window = new Window(file, fileBytes);
  for (let position = from; position + batchHeaderBytes <= fileBytes; position++) {
    const bytes = await window.at(position, batchHeaderBytes);
    // Most places fail on the first byte that is looked at.
    if (bytes[16] !== 2 || headerFault(bytes, 0, bytes.length) !== undefined || readInt64(bytes, 0) <= offset) continue;
    const sizeBytes = batchSizeBytes(bytes);
    if (position + sizeBytes > fileBytes) continue;
    const batch = await window.at(position, sizeBytes);
    if (hasRightChecksum(batch)) return position;
  }
  return undefined;
}
