/**
 * Reads Kafka's primitive types one after the other from a frame that may say anything.
 *
 * Always true: nothing is read beyond `end`, no length or count is believed before the bytes for it are there, one
 * message has at most `elementsMax` elements, and what cannot be read throws REQUEST_MALFORMED. Buffers are views of the
 * frame.
 */
import { MillraceError } from "../base/errors.ts";
import { zeroUuid } from "./fields.ts";

/** Longer texts are refused by Kafka too, compact or not. */
export const stringBytesMax = 0x7fff;
/** An element of two bytes can be an object of fifty; Kafka has no such bound. */
export const elementsMax = 1_000_000;

export class WireReader {
  readonly bytes: Buffer;
  position: number;
  readonly end: number;
  readonly #what: string;
  #elementsLeft = elementsMax;

  /** `what` names the message in errors. */
  constructor(bytes: Buffer, position: number, what: string) {
    this.bytes = bytes;
    this.position = position;
    this.end = bytes.length;
    this.#what = what;
  }

  /** Moves on and answers the position before. */
  #take(byteCount: number): number {
    const at = this.position;
    if (byteCount > this.end - at) throw this.malformed(`${byteCount} bytes are wanted and ${this.end - at} are left`);
    this.position = at + byteCount;
    return at;
  }

  malformed(reason: string): MillraceError {
    return new MillraceError("REQUEST_MALFORMED", `${this.#what} is malformed at byte ${this.position}: ${reason}`);
  }

  /** Any byte but 0 is true. */
  bool(): boolean {
    return this.bytes[this.#take(1)] !== 0;
  }

  int8(): number {
    return this.bytes.readInt8(this.#take(1));
  }

  int16(): number {
    return this.bytes.readInt16BE(this.#take(2));
  }

  int32(): number {
    return this.bytes.readInt32BE(this.#take(4));
  }

  int64(): number {
    const at = this.#take(8);
    return this.bytes.readInt32BE(at) * 0x100000000 + this.bytes.readUInt32BE(at + 4);
  }

  uint16(): number {
    return this.bytes.readUInt16BE(this.#take(2));
  }

  uint32(): number {
    return this.bytes.readUInt32BE(this.#take(4));
  }

  float64(): number {
    return this.bytes.readDoubleBE(this.#take(8));
  }

  /** Up to 32 bits in up to five bytes. */
  unsignedVarint(): number {
    const first = this.bytes[this.#take(1)] as number;
    if (first < 0x80) return first;
    let value = first & 0x7f;
    for (let shift = 7; shift < 35; shift += 7) {
      const byte = this.bytes[this.#take(1)] as number;
      if (shift === 28 && byte > 0x0f) break;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw this.malformed("a variable-length number has more than 32 bits");
  }

  uuid(): string {
    const at = this.#take(16);
    const { bytes } = this;
    // Absent ids are common, and most others differ from zero in the first byte.
    if (bytes[at] === 0 && isZero(bytes, at, at + 16)) return zeroUuid;
    const hex = bytes.toString("hex", at, at + 16);
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  }

  /** Bytes that are not UTF-8 become U+FFFD. */
  text(byteCount: number): string {
    if (byteCount > stringBytesMax) throw this.malformed(`a text of ${byteCount} bytes`);
    const at = this.#take(byteCount);
    return byteCount === 0 ? "" : this.bytes.toString("utf8", at, at + byteCount);
  }

  view(byteCount: number): Buffer {
    const at = this.#take(byteCount);
    return this.bytes.subarray(at, at + byteCount);
  }

  /** Of an array whose elements take `leastBytes` or more; they must fit into what is left. */
  count(count: number, leastBytes: number): number {
    if (count * leastBytes > this.end - this.position) throw this.malformed(`an array of ${count} does not fit`);
    this.#elementsLeft -= count;
    if (this.#elementsLeft < 0) throw this.malformed(`there are more than ${elementsMax} elements in its arrays`);
    return count;
  }

  skip(byteCount: number): void {
    this.#take(byteCount);
  }
}

function isZero(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at] !== 0) return false;
  return true;
}
