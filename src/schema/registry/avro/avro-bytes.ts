/** Avro's binary form, byte by byte: a place in a payload that moves on, and a payload that grows. */

/** A payload is not what its schema says. */
export class AvroFault extends Error {}

export class AvroInput {
  readonly #bytes: Buffer;
  #position = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#position;
  }

  byte(): number {
    const byte = this.#bytes[this.#position];
    if (byte === undefined) throw new AvroFault("the bytes end too early");
    this.#position++;
    return byte;
  }

  /** A zigzag number of at most 64 bits, as decimal text. */
  long(): string {
    const start = this.#position;
    let low = 0;
    let factor = 1;
    for (let i = 0; i < 6; i++) {
      const byte = this.byte();
      low += (byte & 0x7f) * factor;
      factor *= 128;
      if (byte < 0x80) return String(low % 2 === 0 ? low / 2 : -(low + 1) / 2);
    }
    this.#position = start;
    return String(this.#wideLong());
  }

  #wideLong(): bigint {
    let value = 0n;
    for (let i = 0n; i < 10n; i++) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << (7n * i);
      if (byte < 0x80) {
        if (value >= 2n ** 64n) break;
        return (value >> 1n) ^ -(value & 1n);
      }
    }
    throw new AvroFault("a number has more than 64 bits");
  }

  /** As `long`, for counts and indexes; past 2^53 it is refused. */
  count(): number {
    const value = Number(this.long());
    if (!Number.isSafeInteger(value)) throw new AvroFault("a count is out of range");
    return value;
  }

  /** Lie in the payload: not a copy. */
  take(length: number): Buffer {
    if (length < 0 || length > this.left)
      throw new AvroFault(`${length} bytes are said to follow, and ${this.left} do`);
    const start = this.#position;
    this.#position += length;
    return this.#bytes.subarray(start, this.#position);
  }
}

export class AvroOutput {
  #bytes = Buffer.allocUnsafe(256);
  #end = 0;

  /** A copy of what was written. */
  finish(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#end));
  }

  byte(byte: number): void {
    this.#room(1);
    this.#bytes[this.#end++] = byte;
  }

  /** From decimal text, at most 64 bits. */
  long(text: string | number): void {
    const small = Number(text);
    if (small >= -(2 ** 31) && small < 2 ** 31) {
      let zigzag = ((small << 1) ^ (small >> 31)) >>> 0;
      while (zigzag > 0x7f) {
        this.byte((zigzag & 0x7f) | 0x80);
        zigzag >>>= 7;
      }
      this.byte(zigzag);
      return;
    }
    const value = BigInt(text);
    if (BigInt.asIntN(64, value) !== value) throw new AvroFault("a number has more than 64 bits");
    let zigzag = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
    while (zigzag > 0x7fn) {
      this.byte(Number(zigzag & 0x7fn) | 0x80);
      zigzag >>= 7n;
    }
    this.byte(Number(zigzag));
  }

  float(value: number): void {
    this.#room(4);
    this.#end = this.#bytes.writeFloatLE(value, this.#end);
  }

  double(value: number): void {
    this.#room(8);
    this.#end = this.#bytes.writeDoubleLE(value, this.#end);
  }

  raw(bytes: Buffer): void {
    this.#room(bytes.length);
    this.#end += bytes.copy(this.#bytes, this.#end);
  }

  /** With its length before it. */
  bytes(bytes: Buffer): void {
    this.long(bytes.length);
    this.raw(bytes);
  }

  #room(bytes: number): void {
    if (this.#end + bytes <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#end + bytes));
    this.#bytes.copy(grown, 0, 0, this.#end);
    this.#bytes = grown;
  }
}
