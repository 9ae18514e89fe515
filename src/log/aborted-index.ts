/**
 * The aborted transactions whose abort marker lies in one segment, so that a read_committed reader is told which
 * records to leave out (docs/internals/formats/aborted-index.md).
 *
 * Always true: entries are in the order of their markers, and so is `lastStable`, the last stable offset behind each
 * marker. No transaction that ends later begins before it: that is what ends a search.
 */
import { crc32c } from "../records/crc32c.ts";
import { readInt64, writeInt64 } from "../records/int64.ts";
import { newerFormat } from "./checked-file.ts";
import type { AbortedRange } from "./producer-table.ts";

export const abortedIndexFormat = 1;
const brand = 0x4d4c5241; // "MLRA"
const headerBytes = 36;
const field = { brand: 0, format: 4, crc: 8, baseOffset: 12, endBytes: 20, reserved: 28, count: 32 } as const;
const entryBytes = 32;
/** Places in `#entries`; in the file the same numbers follow each other. */
const entryField = { producerId: 0, firstOffset: 1, lastOffset: 2, lastStable: 3 } as const;
const entryFields = 4;

export class AbortedIndex {
  /** Of the segment. */
  readonly baseOffset: number;
  /** The index covers the segment up to here. */
  endBytes: number;
  /** Undefined while there is no entry. */
  #entries: Float64Array<ArrayBuffer> | undefined;
  #count = 0;

  constructor(baseOffset: number, startBytes: number) {
    this.baseOffset = baseOffset;
    this.endBytes = startBytes;
  }

  get length(): number {
    return this.#count;
  }

  /** An abort marker of the segment; `lastStable` is the last stable offset behind it, were all of it durable. */
  add({ producerId, firstOffset, lastOffset }: AbortedRange, lastStable: number): void {
    const last = this.#count - 1;
    if (last >= 0 && !(lastOffset > this.#at(last, entryField.lastOffset))) {
      throw new RangeError(`the marker at offset ${lastOffset} comes out of order`);
    }
    // One that is made anew does not know of transactions that began in retired segments, and has nothing of them: it goes on
    // from what it has said.
    const lastStableMin = last >= 0 ? this.#at(last, entryField.lastStable) : 0;
    const entries = this.#room();
    const at = this.#count * entryFields;
    entries[at + entryField.producerId] = producerId;
    entries[at + entryField.firstOffset] = firstOffset;
    entries[at + entryField.lastOffset] = lastOffset;
    entries[at + entryField.lastStable] = Math.max(lastStable, lastStableMin);
    this.#count++;
  }

  /**
   * Adds to `found` those with records in [from, end). True when no later segment has any, so that a search over
   * segments, in order, may stop.
   */
  overlapping(from: number, end: number, found: AbortedRange[]): boolean {
    for (let i = this.#firstEndingFrom(from); i < this.#count; i++) {
      if (this.#at(i, entryField.firstOffset) < end) found.push(this.#range(i));
      if (this.#at(i, entryField.lastStable) >= end) return true;
    }
    return false;
  }

  ranges(): AbortedRange[] {
    return Array.from({ length: this.#count }, (_, i) => this.#range(i));
  }

  encode(): Buffer {
    const bytes = Buffer.alloc(headerBytes + this.#count * entryBytes);
    bytes.writeUInt32BE(brand, field.brand);
    bytes.writeUInt32BE(abortedIndexFormat, field.format);
    writeInt64(bytes, field.baseOffset, this.baseOffset);
    writeInt64(bytes, field.endBytes, this.endBytes);
    bytes.writeUInt32BE(this.#count, field.count);
    for (let i = 0; i < this.#count * entryFields; i++) {
      writeInt64(bytes, headerBytes + i * 8, (this.#entries as Float64Array)[i] as number);
    }
    bytes.writeUInt32BE(checksum(bytes), field.crc);
    return bytes;
  }

  /**
   * Undefined when the bytes are not a whole index of this segment. `file` is for the error's words.
   * Throws `LOG_FORMAT_NEWER`.
   */
  static decode(bytes: Buffer, baseOffset: number, file: string): AbortedIndex | undefined {
    if (bytes.length < headerBytes || bytes.readUInt32BE(field.brand) !== brand) return undefined;
    // The checksum has this place in every format, so that a damaged file is told apart from a newer one.
    if (bytes.readUInt32BE(field.crc) !== checksum(bytes)) return undefined;
    const format = bytes.readUInt32BE(field.format);
    if (format > abortedIndexFormat) throw newerFormat(file, format, abortedIndexFormat);
    if (format !== abortedIndexFormat || readInt64(bytes, field.baseOffset) !== baseOffset) return undefined;
    const endBytes = readInt64(bytes, field.endBytes);
    const count = bytes.readUInt32BE(field.count);
    if (!(endBytes >= 0) || bytes.readUInt32BE(field.reserved) !== 0) return undefined;
    if (bytes.length !== headerBytes + count * entryBytes) return undefined;
    const index = new AbortedIndex(baseOffset, endBytes);
    return index.#read(bytes, count) ? index : undefined;
  }

  #read(bytes: Buffer, count: number): boolean {
    if (count === 0) return true;
    const entries = new Float64Array(count * entryFields);
    this.#entries = entries;
    let lastBefore = this.baseOffset - 1;
    let stableBefore = 0;
    for (let i = 0; i < count; i++) {
      const at = i * entryFields;
      for (let part = 0; part < entryFields; part++) {
        entries[at + part] = readInt64(bytes, headerBytes + (at + part) * 8);
      }
      this.#count++;
      const lastOffset = this.#at(i, entryField.lastOffset);
      const lastStable = this.#at(i, entryField.lastStable);
      const firstOffset = this.#at(i, entryField.firstOffset);
      if (!(this.#at(i, entryField.producerId) >= 0) || !(firstOffset >= 0 && firstOffset < lastOffset)) return false;
      if (!(lastOffset > lastBefore && lastStable >= stableBefore && lastStable <= lastOffset + 1)) return false;
      lastBefore = lastOffset;
      stableBefore = lastStable;
    }
    return true;
  }

  /** Markers come in offset order, so the transactions that ended before `from` are at the front. */
  #firstEndingFrom(from: number): number {
    let low = 0;
    for (let high = this.#count; low < high; ) {
      const middle = (low + high) >> 1;
      if (this.#at(middle, entryField.lastOffset) < from) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #range(i: number): AbortedRange {
    return {
      producerId: this.#at(i, entryField.producerId),
      firstOffset: this.#at(i, entryField.firstOffset),
      lastOffset: this.#at(i, entryField.lastOffset),
    };
  }

  #at(i: number, part: number): number {
    return (this.#entries as Float64Array)[i * entryFields + part] as number;
  }

  #room(): Float64Array<ArrayBuffer> {
    const entries = this.#entries;
    if (entries && this.#count * entryFields < entries.length) return entries;
    const larger = new Float64Array(entries ? entries.length * 2 : 4 * entryFields);
    if (entries) larger.set(entries);
    this.#entries = larger;
    return larger;
  }
}

function checksum(bytes: Buffer): number {
  return crc32c(Buffer.concat([bytes.subarray(0, field.crc), bytes.subarray(field.baseOffset)]));
}
