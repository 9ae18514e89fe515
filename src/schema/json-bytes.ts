/** JSON written by hand into one buffer that grows and is used again: no object and no string per record. */
export class JsonBytes {
  bytes: Buffer;
  end = 0;

  constructor(capacityBytes = 64 * 1024) {
    this.bytes = Buffer.allocUnsafeSlow(capacityBytes);
  }

  /** Begins anew; a buffer that one large record blew up is let go. */
  clear(): void {
    this.end = 0;
    if (this.bytes.length > 4 * 1024 * 1024) this.bytes = Buffer.allocUnsafeSlow(64 * 1024);
  }

  reserve(moreBytes: number): void {
    const needed = this.end + moreBytes;
    if (needed <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(larger, 0, 0, this.end);
    this.bytes = larger;
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
    const count = from.length;
    this.reserve(count);
    const { bytes } = this;
    let at = this.end;
    if (count < shortCopyBytes) for (let i = 0; i < count; i++) bytes[at++] = from[i] as number;
    else bytes.set(from, at);
    this.end += count;
  }

  part(from: Buffer, start: number, end: number): void {
    const count = end - start;
    this.reserve(count);
    const { bytes } = this;
    let at = this.end;
    if (count < 2 * shortCopyBytes) for (let i = start; i < end; i++) bytes[at++] = from[i] as number;
    else from.copy(bytes, at, start, end);
    this.end += count;
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

/** Below this a loop beats a call into the runtime. */
const shortCopyBytes = 24;
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
