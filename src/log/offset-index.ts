/**
 * A sparse index of one segment: at most one entry per `indexIntervalBytes` of log, each with a batch's first offset,
 * its place in the file, and the largest timestamp of all batches before it, so that it finds offsets and times.
 *
 * It is never needed to be right for safety: a file that is missing, damaged or short is made anew from the segment,
 * and a search that begins too early only reads more.
 */
import { crc32c } from "../records/crc32c.ts";
import { readInt64, writeInt64 } from "../records/int64.ts";

export const indexIntervalBytes = 16 * 1024;
export const indexFormat = 1;
const brand = 0x4d4c5249; // "MLRI"
const headerBytes = 48;
const entryBytes = 20;
const noTimestamp = -1;
const nothing = new Float64Array(0);
const field = {
  brand: 0,
  format: 4,
  baseOffset: 8,
  endBytes: 16,
  endOffset: 24,
  maxTimestamp: 32,
  count: 40,
  crc: 44,
} as const;

export class OffsetIndex {
  readonly baseOffset: number;
  /** The index covers the segment up to here. */
  endBytes: number;
  endOffset: number;
  /** Of all batches; -1 when there are none. */
  maxTimestamp = noTimestamp;
  #count = 0;
  /** Relative to `baseOffset`. */
  #offsets = nothing;
  #positions = nothing;
  #timestampsBefore = nothing;

  constructor(baseOffset: number, startBytes: number) {
    this.baseOffset = baseOffset;
    this.endBytes = startBytes;
    this.endOffset = baseOffset;
  }

  get length(): number {
    return this.#count;
  }

  /** The next batch of the segment. */
  add(baseOffset: number, lastOffset: number, sizeBytes: number, maxTimestamp: number): void {
    const last = this.#count === 0 ? Number.NEGATIVE_INFINITY : (this.#positions[this.#count - 1] as number);
    if (this.endBytes - last >= indexIntervalBytes)
      this.#push(baseOffset - this.baseOffset, this.endBytes, this.maxTimestamp);
    this.endBytes += sizeBytes;
    this.endOffset = lastOffset + 1;
    if (maxTimestamp > this.maxTimestamp) this.maxTimestamp = maxTimestamp;
  }

  /** Where to begin reading for this offset; undefined when the index is empty. */
  positionOf(offset: number): number | undefined {
    const found = lastAtMost(this.#offsets, this.#count, offset - this.baseOffset);
    return found < 0 ? undefined : this.#positions[found];
  }

  /** Where to begin reading for the first record that is not older than this. */
  positionOfTime(timestampMs: number): number | undefined {
    // Entries whose batches before them are all older; timestamps are whole, so "below t" is "at most t - 1".
    const found = lastAtMost(this.#timestampsBefore, this.#count, timestampMs - 1);
    return found < 0 ? undefined : this.#positions[found];
  }

  encode(): Buffer {
    const bytes = Buffer.alloc(headerBytes + this.#count * entryBytes);
    bytes.writeUInt32BE(brand, field.brand);
    bytes.writeUInt32BE(indexFormat, field.format);
    writeInt64(bytes, field.baseOffset, this.baseOffset);
    writeInt64(bytes, field.endBytes, this.endBytes);
    writeInt64(bytes, field.endOffset, this.endOffset);
    writeInt64(bytes, field.maxTimestamp, this.maxTimestamp);
    bytes.writeUInt32BE(this.#count, field.count);
    for (let i = 0; i < this.#count; i++) {
      const at = headerBytes + i * entryBytes;
      bytes.writeUInt32BE(this.#offsets[i] as number, at);
      writeInt64(bytes, at + 4, this.#positions[i] as number);
      writeInt64(bytes, at + 12, this.#timestampsBefore[i] as number);
    }
    bytes.writeUInt32BE(checksum(bytes), field.crc);
    return bytes;
  }

  /** Undefined when the bytes are not a whole index of this segment. */
  static decode(bytes: Buffer, baseOffset: number): OffsetIndex | undefined {
    if (bytes.length < headerBytes || bytes.readUInt32BE(field.brand) !== brand) return undefined;
    if (bytes.readUInt32BE(field.format) !== indexFormat || readInt64(bytes, field.baseOffset) !== baseOffset)
      return undefined;
    const count = bytes.readUInt32BE(field.count);
    if (bytes.length !== headerBytes + count * entryBytes) return undefined;
    if (bytes.readUInt32BE(field.crc) !== checksum(bytes)) return undefined;
    const index = new OffsetIndex(baseOffset, readInt64(bytes, field.endBytes));
    index.endOffset = readInt64(bytes, field.endOffset);
    index.maxTimestamp = readInt64(bytes, field.maxTimestamp);
    for (let i = 0; i < count; i++) {
      const at = headerBytes + i * entryBytes;
      index.#push(bytes.readUInt32BE(at), readInt64(bytes, at + 4), readInt64(bytes, at + 12));
    }
    return index;
  }

  #push(offset: number, position: number, timestampBefore: number): void {
    if (this.#count === this.#offsets.length) {
      this.#offsets = grown(this.#offsets);
      this.#positions = grown(this.#positions);
      this.#timestampsBefore = grown(this.#timestampsBefore);
    }
    this.#offsets[this.#count] = offset;
    this.#positions[this.#count] = position;
    this.#timestampsBefore[this.#count] = timestampBefore;
    this.#count++;
  }
}

function checksum(bytes: Buffer): number {
  return crc32c(Buffer.concat([bytes.subarray(0, field.crc), bytes.subarray(headerBytes)]));
}

function grown(values: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(Math.max(8, values.length * 2));
  larger.set(values);
  return larger;
}

/** The place of the last of the first `count` values (which rise) that is at most `limit`; -1 when there is none. */
function lastAtMost(values: Float64Array, count: number, limit: number): number {
  let low = -1;
  let high = count - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((values[middle] as number) <= limit) low = middle;
    else high = middle - 1;
  }
  return low;
}
