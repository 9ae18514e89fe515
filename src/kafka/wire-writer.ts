/**
 * Writes Kafka's primitive types one after the other into one buffer that grows, and hands the frame out in chunks.
 *
 * Always true: between frames the writer keeps a buffer of at most `keptBytesMax`; a finished frame shares no memory
 * with it. Records are referenced, not copied: their owner must leave them alone until the frame is sent.
 * Values that a type does not hold are bugs of the caller, and throw.
 */
import { invariant } from "../base/errors.ts";
import { stringBytesMax } from "./wire-reader.ts";

const keptBytesMax = 64 * 1024;
/** Texts up to this many characters are written in place when they are ASCII; others by the runtime. */
const shortTextLength = 24;

export class WireWriter {
  #bytes: Buffer = Buffer.allocUnsafeSlow(keptBytesMax);
  #position = 0;
  #cutPositions: number[] = [];
  #cutBuffers: (Buffer | readonly Buffer[])[] = [];
  #cutBytes = 0;

  /** Forgets what was written before, whole or not. */
  begin(): void {
    this.#position = 0;
    if (this.#bytes.length > keptBytesMax) this.#bytes = Buffer.allocUnsafeSlow(keptBytesMax);
    if (this.#cutPositions.length > 0) {
      this.#cutPositions = [];
      this.#cutBuffers = [];
    }
    this.#cutBytes = 0;
  }

  /** Bytes of the frame so far, records included. */
  get frameBytes(): number {
    return this.#position + this.#cutBytes;
  }

  /** Replaces what `int32` wrote at this byte of the frame. */
  setInt32(position: number, value: number): void {
    this.#bytes.writeInt32BE(value, position);
  }

  /** What was written since the last frame, in order. */
  finish(): Buffer[] {
    const whole = this.#release();
    const chunks: Buffer[] = [];
    let from = 0;
    for (const [index, to] of this.#cutPositions.entries()) {
      if (to > from) chunks.push(whole.subarray(from, to));
      from = to;
      const cut = this.#cutBuffers[index] as Buffer | readonly Buffer[];
      if (Buffer.isBuffer(cut)) chunks.push(cut);
      else for (const buffer of cut) if (buffer.length > 0) chunks.push(buffer);
    }
    if (from === 0) chunks.push(whole);
    else if (whole.length > from) chunks.push(whole.subarray(from));
    this.begin();
    return chunks;
  }

  /** A buffer that outgrew what is kept goes with the frame; else the frame gets a copy of its own size. */
  #release(): Buffer {
    const bytes = this.#bytes;
    const position = this.#position;
    if (bytes.length > keptBytesMax) {
      this.#bytes = Buffer.allocUnsafeSlow(keptBytesMax);
      return bytes.subarray(0, position);
    }
    const whole = Buffer.allocUnsafe(position);
    bytes.copy(whole, 0, 0, position);
    return whole;
  }

  #take(byteCount: number): number {
    const at = this.#position;
    const end = at + byteCount;
    if (end > this.#bytes.length) this.#grow(end);
    this.#position = end;
    return at;
  }

  #grow(bytesMin: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, bytesMin));
    this.#bytes.copy(grown, 0, 0, this.#position);
    this.#bytes = grown;
  }

  bool(value: boolean): void {
    const at = this.#take(1);
    this.#bytes[at] = value ? 1 : 0;
  }

  int8(value: number): void {
    const at = this.#take(1);
    this.#bytes.writeInt8(value, at);
  }

  int16(value: number): void {
    const at = this.#take(2);
    this.#bytes.writeInt16BE(value, at);
  }

  int32(value: number): void {
    const at = this.#take(4);
    this.#bytes.writeInt32BE(value, at);
  }

  /** From 2^63 on it is the largest value of all, 2^63 - 1. */
  int64(value: number): void {
    invariant(!Number.isNaN(value), "NaN has no place in an int64");
    const at = this.#take(8);
    if (value >= 2 ** 63) {
      this.#bytes.writeUInt32BE(0x7fffffff, at);
      this.#bytes.writeUInt32BE(0xffffffff, at + 4);
      return;
    }
    this.#bytes.writeInt32BE(Math.floor(value / 0x100000000), at);
    this.#bytes.writeUInt32BE(value >>> 0, at + 4);
  }

  uint16(value: number): void {
    const at = this.#take(2);
    this.#bytes.writeUInt16BE(value, at);
  }

  uint32(value: number): void {
    const at = this.#take(4);
    this.#bytes.writeUInt32BE(value, at);
  }

  float64(value: number): void {
    const at = this.#take(8);
    this.#bytes.writeDoubleBE(value, at);
  }

  unsignedVarint(value: number): void {
    let at = this.#take(5);
    const bytes = this.#bytes;
    let rest = value;
    while (rest >= 0x80) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.#position = at;
  }

  /** 32 hexadecimal digits with dashes wherever they stand. */
  uuid(value: string): void {
    let at = this.#take(16);
    const end = this.#position;
    const bytes = this.#bytes;
    let high = -1;
    for (let index = 0; index < value.length; index++) {
      const code = value.charCodeAt(index);
      if (code === 0x2d) continue;
      const digit = hexDigit(code);
      invariant(digit >= 0 && at < end, `${value} is not a uuid`);
      if (high < 0) high = digit << 4;
      else {
        bytes[at++] = high | digit;
        high = -1;
      }
    }
    invariant(at === end && high < 0, `${value} is not a uuid`);
  }

  /** With its length before it: 16 bits, or compact. */
  text(value: string, compact: boolean): void {
    const start = this.#position;
    if (value.length <= shortTextLength) {
      const bodyAt = start + (compact ? 1 : 2);
      this.#take(2 + value.length);
      if (writeAscii(this.#bytes, bodyAt, value)) {
        this.#position = bodyAt + value.length;
        if (compact) this.#bytes[start] = value.length + 1;
        else this.#bytes.writeInt16BE(value.length, start);
        return;
      }
      this.#position = start;
    }
    const byteCount = Buffer.byteLength(value);
    invariant(byteCount <= stringBytesMax, `a text of ${byteCount} bytes is longer than the protocol allows`);
    if (compact) this.unsignedVarint(byteCount + 1);
    else this.int16(byteCount);
    const at = this.#take(byteCount);
    this.#bytes.write(value, at, byteCount, "utf8");
  }

  /** Makes room for the size of what follows; its answer goes to `endSized`. */
  beginSized(): number {
    return this.#take(1) + 1;
  }

  /** Writes the size of everything since `start` in front of it. */
  endSized(start: number): void {
    const size = this.#position - start;
    if (size < 0x80) {
      this.#bytes[start - 1] = size;
      return;
    }
    const lengthBytes = size < 0x4000 ? 2 : size < 0x200000 ? 3 : size < 0x10000000 ? 4 : 5;
    this.#take(5);
    const bodyAt = start - 1 + lengthBytes;
    this.#bytes.copyWithin(bodyAt, start, start + size);
    this.#position = start - 1;
    this.unsignedVarint(size);
    this.#position = bodyAt + size;
  }

  copy(value: Uint8Array): void {
    const at = this.#take(value.length);
    this.#bytes.set(value, at);
  }

  /** Puts the buffers here without a copy. */
  cut(value: Buffer | readonly Buffer[], byteCount: number): void {
    if (byteCount === 0) return;
    this.#cutPositions.push(this.#position);
    this.#cutBuffers.push(value);
    this.#cutBytes += byteCount;
  }
}

function writeAscii(bytes: Buffer, position: number, text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code >= 0x80) return false;
    bytes[position + index] = code;
  }
  return true;
}

/** -1 for what is none. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
