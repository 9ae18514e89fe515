/**
 * Variable-length integers as Kafka writes them: base 128, low group first, signed values zig-zag (Protocol Buffers'
 * encoding). Values are numbers: 32 bits for `…Int`, up to 2^53 either side of zero for `…Long`.
 */

/** Bytes that `writeVarint` takes for a value of up to 2^53 either side of zero. */
export function varintBytes(value: number): number {
  if (value >= -0x40000000 && value <= 0x3fffffff) {
    const zigzag = ((value << 1) ^ (value >> 31)) >>> 0;
    if (zigzag < 0x80) return 1;
    if (zigzag < 0x4000) return 2;
    if (zigzag < 0x200000) return 3;
    return zigzag < 0x10000000 ? 4 : 5;
  }
  let zigzag = value < 0 ? -value * 2 - 1 : value * 2;
  let count = 1;
  for (; zigzag >= 0x80; zigzag = Math.floor(zigzag / 128)) count++;
  return count;
}

/** Writes and answers the position after it. */
export function writeVarint(target: Uint8Array, position: number, value: number): number {
  let at = position;
  if (value >= -0x40000000 && value <= 0x3fffffff) {
    let zigzag = ((value << 1) ^ (value >> 31)) >>> 0;
    while (zigzag >= 0x80) {
      target[at++] = (zigzag & 0x7f) | 0x80;
      zigzag >>>= 7;
    }
    target[at++] = zigzag;
    return at;
  }
  // 2^54 - 1 is not a number that doubles hold, so the lowest bits are taken off before doubling.
  const negative = value < 0;
  const magnitude = negative ? -value - 1 : value;
  let low = (magnitude % 64) * 2 + (negative ? 1 : 0);
  let rest = Math.floor(magnitude / 64);
  while (rest > 0) {
    target[at++] = low | 0x80;
    low = rest % 128;
    rest = Math.floor(rest / 128);
  }
  target[at++] = low;
  return at;
}

/**
 * Reads varints one after the other without allocating: `position` moves on. `failed` stays true once a value ran over
 * `end`, was longer than its type, or is beyond 2^53; values read after that mean nothing.
 */
export class VarintReader {
  bytes: Uint8Array;
  position: number;
  end: number;
  failed = false;

  constructor(bytes: Uint8Array, position = 0, end = bytes.length) {
    this.bytes = bytes;
    this.position = position;
    this.end = end;
  }

  /** 32 bits, zig-zag. */
  int(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      if (this.position >= this.end) break;
      const byte = this.bytes[this.position++] as number;
      if (shift === 28 && byte > 0x0f) break;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (value >>> 1) ^ -(value & 1);
    }
    this.failed = true;
    return 0;
  }

  /** 64 bits on the wire, zig-zag; within 2^53 either side of zero. */
  long(): number {
    if (this.position >= this.end) {
      this.failed = true;
      return 0;
    }
    const first = this.bytes[this.position++] as number;
    let magnitude = (first & 0x7f) >>> 1;
    let scale = 64;
    let byte = first;
    for (let count = 1; byte >= 0x80; count++) {
      if (count === 10 || this.position >= this.end) {
        this.failed = true;
        return 0;
      }
      byte = this.bytes[this.position++] as number;
      magnitude += (byte & 0x7f) * scale;
      scale *= 128;
    }
    if (magnitude > Number.MAX_SAFE_INTEGER) {
      this.failed = true;
      return 0;
    }
    return first & 1 ? -magnitude - 1 : magnitude;
  }
}
