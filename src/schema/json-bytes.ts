/** JSON written by hand into one buffer that grows and is used again: no object and no string per record. */
import { copyBytes } from "../base/copy-bytes.ts";

export class JsonBytes {
  bytes: Buffer;
  end = 0;
  #view: DataView;

  constructor(capacityBytes = 64 * 1024) {
    this.bytes = Buffer.allocUnsafeSlow(capacityBytes);
    this.#view = viewOf(this.bytes);
  }

  /** Begins anew; a buffer that one large record blew up is let go. */
  clear(): void {
    this.end = 0;
    if (this.bytes.length > 4 * 1024 * 1024) this.#use(Buffer.allocUnsafeSlow(64 * 1024));
  }

  reserve(moreBytes: number): void {
    const needed = this.end + moreBytes;
    if (needed <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(larger, 0, 0, this.end);
    this.#use(larger);
  }

  #use(bytes: Buffer): void {
    this.bytes = bytes;
    this.#view = viewOf(bytes);
  }

  byte(code: number): void {
    if (this.end === this.bytes.length) this.reserve(1);
    this.bytes[this.end++] = code;
  }

  /** Short text of ASCII characters, as it is. */
  ascii(text: string): void {
    this.reserve(text.length);
    const { bytes } = this;
    let at = this.end;
    for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i);
    this.end = at;
  }

  text(text: string): void {
    this.reserve(text.length * 3);
    this.end += this.bytes.write(text, this.end);
  }

  /** All of it. Faster than a part of the same size, when it is not short. */
  whole(from: Uint8Array): void {
    this.reserve(from.length);
    this.bytes.set(from, this.end);
    this.end += from.length;
  }

  /** The same for what is short. What lies behind it is written over. */
  short({ words, length }: ShortText): void {
    this.reserve(words.length * 4);
    const view = this.#view;
    let at = this.end;
    for (let i = 0; i < words.length; i++, at += 4) view.setUint32(at, words[i] as number);
    this.end += length;
  }

  part(from: Buffer, start: number, end: number): void {
    this.reserve(end - start);
    copyBytes(from, start, end, this.bytes, this.end);
    this.end += end - start;
  }

  /** A JSON string of UTF-8 bytes. */
  string(from: Buffer, start: number, end: number): void {
    const most = (end - start) * 6;
    this.reserve((most <= longStringBytes ? most : escapedBytes(from, start, end)) + 2);
    const { bytes } = this;
    let at = this.end;
    bytes[at++] = 0x22;
    for (let i = start; i < end; i++) {
      const code = from[i] as number;
      if (code >= 0x20 && code !== 0x22 && code !== 0x5c) {
        bytes[at++] = code;
        continue;
      }
      bytes[at++] = 0x5c;
      const short = shortEscapes[code];
      if (short !== undefined) {
        bytes[at++] = short;
      } else {
        bytes[at++] = 0x75;
        bytes[at++] = 0x30;
        bytes[at++] = 0x30;
        bytes[at++] = 0x30 + (code >> 4);
        bytes[at++] = hexDigits.charCodeAt(code & 15);
      }
    }
    bytes[at++] = 0x22;
    this.end = at;
  }
}

/** A name, or as short a text, that is written again and again: four bytes at a time. */
export class ShortText {
  readonly words: Uint32Array;
  /** In bytes. */
  readonly length: number;

  constructor(text: string) {
    const bytes = Buffer.from(text);
    const padded = Buffer.alloc(Math.ceil(bytes.length / 4) * 4);
    bytes.copy(padded);
    this.words = Uint32Array.from({ length: padded.length / 4 }, (_, i) => padded.readUInt32BE(i * 4));
    this.length = bytes.length;
  }
}

function viewOf({ buffer, byteOffset, length }: Buffer): DataView {
  return new DataView(buffer, byteOffset, length);
}

/** Beyond this room is made for what a string takes, not for what it could take at most. */
const longStringBytes = 64 * 1024;

function escapedBytes(from: Buffer, start: number, end: number): number {
  let bytes = end - start;
  for (let i = start; i < end; i++) {
    const code = from[i] as number;
    if (code < 0x20 || code === 0x22 || code === 0x5c) bytes += shortEscapes[code] === undefined ? 5 : 1;
  }
  return bytes;
}

const hexDigits = "0123456789abcdef";
/** The character after the backslash; undefined for those that are written as \u00XX. */
const shortEscapes: (number | undefined)[] = [];
shortEscapes[0x22] = 0x22;
shortEscapes[0x5c] = 0x5c;
shortEscapes[0x08] = 0x62;
shortEscapes[0x09] = 0x74;
shortEscapes[0x0a] = 0x6e;
shortEscapes[0x0c] = 0x66;
shortEscapes[0x0d] = 0x72;
