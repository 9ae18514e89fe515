/**
 * The LZ4 frame format (Yann Collet, "LZ4 Frame Format Description" 1.6), as Kafka's clients use it. Java's client writes independent
 * blocks of 64 KiB without sizes and checksums, and so is it written here; others may link blocks, make them of up to 4 MiB,
 * and add the content's size and checksums. All of it is read and checked, except for dictionaries, which Kafka does not have.
 */
import { damagedRecords, tooLargeRecords } from "./compression-faults.ts";
import { blockTooLarge, lz4BlockBytesMax, readLz4Block, writeLz4Block } from "./lz4-block.ts";
import { xxhash32 } from "./xxhash32.ts";

const frameMagic = 0x184d2204;
const skippableMagic = 0x184d2a50;
const skippableMask = 0xfffffff0;
const rawBlockBit = 0x80000000;
const flag = { version: 0xc0, independent: 0x20, blockChecksum: 0x10, size: 0x08, checksum: 0x04, zero: 0x03 } as const;
const version1 = 0x40;
/** A match grows by at most 255 bytes with each byte of its length. */
const expansionMax = 255;
const blockContentBytes = 64 * 1024;

/** Throws `BATCH_CORRUPT`, and `RECORD_TOO_LARGE` beyond `recordsBytesMax`. */
export function readLz4(input: Buffer, recordsBytesMax: number): Buffer {
  return new FrameReader(input, recordsBytesMax).read();
}

class FrameReader {
  readonly #input: Buffer;
  readonly #recordsBytesMax: number;
  #at = 0;
  #output: Buffer = Buffer.alloc(0);
  #to = 0;
  #flags = 0;
  #blockBytesMax = 0;
  /** -1 when the frame does not say. */
  #contentBytes = -1;

  constructor(input: Buffer, recordsBytesMax: number) {
    this.#input = input;
    this.#recordsBytesMax = recordsBytesMax;
  }

  read(): Buffer {
    // Twice over the frames: for the room that they can take, and for their content.
    const roomBytes = this.#frames(() => this.#skipBlocks());
    this.#output = Buffer.allocUnsafeSlow(Math.min(roomBytes, this.#recordsBytesMax));
    this.#frames(() => this.#readBlocks());
    // Room that was not needed is not kept with the records.
    const used = this.#output.subarray(0, this.#to);
    return this.#to < this.#output.length - (this.#output.length >> 2) ? Buffer.from(used) : used;
  }

  /** Calls `visit` behind the header of each frame, and answers the sum of what it answers. */
  #frames(visit: () => number): number {
    let sum = 0;
    this.#at = 0;
    do {
      const magic = this.#word();
      if ((magic & skippableMask) >>> 0 === skippableMagic) this.#skip(this.#word());
      else if (magic !== frameMagic) damagedRecords("lz4", "it does not begin as a frame");
      else {
        this.#header();
        sum += visit();
      }
    } while (this.#at < this.#input.length);
    return sum;
  }

  #header(): void {
    const start = this.#at;
    this.#skip(2);
    this.#flags = this.#input[start] as number;
    const blockSize = this.#input[start + 1] as number;
    if ((this.#flags & flag.version) !== version1 || this.#flags & flag.zero || blockSize & 0x8f || blockSize < 0x40) {
      damagedRecords("lz4", "the header of a frame");
    }
    this.#blockBytesMax = 1 << (8 + 2 * (blockSize >>> 4));
    this.#contentBytes = -1;
    if (this.#flags & flag.size) this.#contentBytes = this.#word() + this.#word() * 0x100000000;
    this.#skip(1);
    const checksum = (xxhash32(this.#input, start, this.#at - 1) >>> 8) & 0xff;
    if (this.#input[this.#at - 1] !== checksum) damagedRecords("lz4", "the header's checksum");
  }

  /** To the end of the frame; answers the bytes that it can hold at most. */
  #skipBlocks(): number {
    let roomBytes = 0;
    for (let size = this.#word(); size !== 0; size = this.#word()) {
      const blockBytes = (size & ~rawBlockBit) >>> 0;
      this.#skip(blockBytes);
      if (this.#flags & flag.blockChecksum) this.#skip(4);
      roomBytes += size & rawBlockBit ? blockBytes : Math.min(this.#blockBytesMax, blockBytes * expansionMax);
    }
    if (this.#flags & flag.checksum) this.#skip(4);
    if (this.#contentBytes < 0) return roomBytes;
    if (this.#contentBytes > roomBytes) damagedRecords("lz4", "the declared size");
    if (this.#contentBytes > this.#recordsBytesMax) tooLargeRecords(this.#recordsBytesMax);
    return this.#contentBytes;
  }

  #readBlocks(): number {
    const start = this.#to;
    for (let size = this.#word(); size !== 0; size = this.#word()) {
      const from = this.#at;
      this.#skip((size & ~rawBlockBit) >>> 0);
      const end = this.#at;
      if (this.#flags & flag.blockChecksum && this.#word() !== xxhash32(this.#input, from, end)) {
        damagedRecords("lz4", "a block's checksum");
      }
      this.#to = size & rawBlockBit ? this.#copyBlock(from, end) : this.#readBlock(from, end, start);
    }
    if (this.#contentBytes >= 0 && this.#to - start !== this.#contentBytes) damagedRecords("lz4", "the declared size");
    if (this.#flags & flag.checksum && this.#word() !== xxhash32(this.#output, start, this.#to)) {
      damagedRecords("lz4", "the content's checksum");
    }
    return this.#to - start;
  }

  #copyBlock(from: number, end: number): number {
    if (end - from > this.#blockBytesMax) damagedRecords("lz4", "a block is larger than its frame allows");
    if (end - from > this.#output.length - this.#to) this.#noRoom();
    return this.#to + this.#input.copy(this.#output, this.#to, from, end);
  }

  #readBlock(from: number, end: number, frameStart: number): number {
    const outputEnd = Math.min(this.#output.length, this.#to + this.#blockBytesMax);
    const history = this.#flags & flag.independent ? this.#to : frameStart;
    const to = readLz4Block(this.#input, from, end, this.#output, this.#to, outputEnd, history);
    if (to === blockTooLarge && outputEnd === this.#output.length) this.#noRoom();
    if (to < 0) damagedRecords("lz4", "a block");
    return to;
  }

  /** The room is what the frames can hold; where it is less, it is the caller's limit. */
  #noRoom(): never {
    if (this.#output.length < this.#recordsBytesMax) damagedRecords("lz4", "it holds more than it declares");
    tooLargeRecords(this.#recordsBytesMax);
  }

  #word(): number {
    this.#skip(4);
    return this.#input.readUInt32LE(this.#at - 4);
  }

  #skip(count: number): void {
    if (count > this.#input.length - this.#at) damagedRecords("lz4", "it ends too early");
    this.#at += count;
  }
}

export function writeLz4(content: Buffer): Buffer {
  const blocks = Math.ceil(content.length / blockContentBytes);
  const output = Buffer.allocUnsafeSlow(7 + blocks * (4 + lz4BlockBytesMax(blockContentBytes)) + 4);
  output.writeUInt32LE(frameMagic);
  output[4] = version1 | flag.independent;
  output[5] = 0x40;
  output[6] = (xxhash32(output, 4, 6) >>> 8) & 0xff;
  let to = 7;
  for (let start = 0; start < content.length; start += blockContentBytes) {
    const end = Math.min(content.length, start + blockContentBytes);
    const blockEnd = writeLz4Block(content, start, end, output, to + 4);
    if (blockEnd - to - 4 < end - start) {
      output.writeUInt32LE(blockEnd - to - 4, to);
      to = blockEnd;
    } else {
      output.writeUInt32LE((rawBlockBit | (end - start)) >>> 0, to);
      to += 4 + content.copy(output, to + 4, start, end);
    }
  }
  return output.subarray(0, output.writeUInt32LE(0, to));
}
