/** Protobuf's wire format: a place in a payload that moves on. */

/** A payload is not what its schema says. */
export class ProtoFault extends Error {}

export const wireType = { varint: 0, fixed64: 1, bytes: 2, groupBegin: 3, groupEnd: 4, fixed32: 5 } as const;

export class ProtoInput {
  readonly bytes: Buffer;
  #position = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get position(): number {
    return this.#position;
  }

  get left(): number {
    return this.bytes.length - this.#position;
  }

  /** At most 64 bits. */
  varint(): bigint {
    let small = 0;
    for (let i = 0; i < 4; i++) {
      const byte = this.#byte();
      small |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) return BigInt(small);
    }
    let value = BigInt(small);
    for (let i = 4n; i < 10n; i++) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << (7n * i);
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new ProtoFault("a number has more than 64 bits");
  }

  /** The number of a field and the wire type of its value. */
  tag(): { readonly number: number; readonly wire: number } {
    const value = this.varint();
    const number = Number(value >> 3n);
    if (value > 0xffff_ffffn || number === 0) throw new ProtoFault("a field has no valid number");
    return { number, wire: Number(value & 7n) };
  }

  /** Lie in the payload: not a copy. */
  take(length: number): Buffer {
    if (length > this.left) throw new ProtoFault(`${length} bytes are said to follow, and ${this.left} do`);
    const start = this.#position;
    this.#position += length;
    return this.bytes.subarray(start, this.#position);
  }

  /** With their length before them. */
  block(): Buffer {
    const length = this.varint();
    if (length > BigInt(this.left)) throw new ProtoFault(`${length} bytes are said to follow, and ${this.left} do`);
    return this.take(Number(length));
  }

  /** The bytes of a group that has begun, its end apart. */
  group(number: number, depthMax: number): Buffer {
    const start = this.#position;
    const open = [number];
    for (;;) {
      const before = this.#position;
      const tag = this.tag();
      if (tag.wire === wireType.groupBegin) {
        open.push(tag.number);
        if (open.length > depthMax) throw new ProtoFault("groups are nested too deep");
      } else if (tag.wire === wireType.groupEnd) {
        if (open.pop() !== tag.number) throw new ProtoFault("a group ends that did not begin");
        if (open.length === 0) return this.bytes.subarray(start, before);
      } else this.skip(tag.wire);
    }
  }

  /** A value of a field that is not known; groups apart. */
  skip(wire: number): void {
    if (wire === wireType.varint) this.varint();
    else if (wire === wireType.fixed64) this.take(8);
    else if (wire === wireType.bytes) this.block();
    else if (wire === wireType.fixed32) this.take(4);
    else throw new ProtoFault(`there is no wire type ${wire}`);
  }

  #byte(): number {
    const byte = this.bytes[this.#position];
    if (byte === undefined) throw new ProtoFault("the bytes end too early");
    this.#position++;
    return byte;
  }
}
