/**
 * The last offset of each key, found by the first 16 bytes of the key's SHA-256: 64 hash tables with linear probing in typed
 * arrays, which grow one at a time, so that no growth is long.
 *
 * Always true: of what was noted for a key the largest offset is answered, in whatever order it was noted. A key takes 24
 * bytes in a table that is at most three quarters full, and at least three eighths after it has grown.
 */
import { createHash } from "node:crypto";

export interface KeyOffset {
  readonly offset: number;
  readonly isTombstone: boolean;
}

const slotWords = 6;
const shardCount = 64;
const slotsMin = 16;
/** Of the last word: the record is a tombstone; a slot is taken; the rest is the high part of the offset. */
const tombstoneBit = 0x8000_0000;
const takenBit = 0x4000_0000;
const highMask = 0x3fff_ffff;

interface Shard {
  words: Uint32Array;
  count: number;
}

/** The hash that a key is known by. */
export function hashOfKey(key: Uint8Array): Buffer {
  return createHash("sha256").update(key).digest().subarray(0, 16);
}

export class KeyOffsetTable {
  readonly #shards: Shard[] = Array.from({ length: shardCount }, () => ({
    words: new Uint32Array(slotsMin * slotWords),
    count: 0,
  }));
  #slots = shardCount * slotsMin;

  /** Of memory. */
  get bytes(): number {
    return this.#slots * slotWords * 4;
  }

  /** Of keys, those that were let go not counted. */
  get size(): number {
    return this.#shards.reduce((sum, { count }) => sum + count, 0);
  }

  find(hash: Buffer): KeyOffset | undefined {
    const { words } = this.#shardOf(hash);
    const at = placeOf(words, hash.readUInt32LE(0), hash.readUInt32LE(4), hash.readUInt32LE(8), hash.readUInt32LE(12));
    if (words[at + 5] === 0) return undefined;
    return { offset: offsetAt(words, at), isTombstone: isTombstoneAt(words, at) };
  }

  /** Nothing below `start` is there any more: where a table would grow, such keys are let go first. */
  note(hash: Buffer, offset: number, isTombstone: boolean, start: number): void {
    const shard = this.#shardOf(hash);
    const [h0, h1, h2, h3] = [0, 4, 8, 12].map((i) => hash.readUInt32LE(i)) as [number, number, number, number];
    let at = placeOf(shard.words, h0, h1, h2, h3);
    if (shard.words[at + 5] === 0) {
      if ((shard.count + 1) * 4 > (shard.words.length / slotWords) * 3) {
        this.#grow(shard, start);
        at = placeOf(shard.words, h0, h1, h2, h3);
      }
      shard.count++;
    } else if (offsetAt(shard.words, at) >= offset) return;
    put(shard.words, at, [h0, h1, h2, h3], offset, isTombstone);
  }

  #shardOf(hash: Buffer): Shard {
    return this.#shards[(hash[15] as number) & (shardCount - 1)] as Shard;
  }

  #grow(shard: Shard, start: number): void {
    const { words: old } = shard;
    let kept = 0;
    for (let at = 0; at < old.length; at += slotWords) if (old[at + 5] !== 0 && offsetAt(old, at) >= start) kept++;
    const slots = old.length / slotWords;
    // Half of it is free after it: else it would grow again at once.
    const wanted = kept * 2 >= slots ? slots * 2 : slots;
    const words = new Uint32Array(wanted * slotWords);
    for (let at = 0; at < old.length; at += slotWords) {
      if (old[at + 5] === 0 || offsetAt(old, at) < start) continue;
      const [h0, h1, h2, h3] = old.subarray(at, at + 4) as unknown as [number, number, number, number];
      const place = placeOf(words, h0, h1, h2, h3);
      for (let i = 0; i < slotWords; i++) words[place + i] = old[at + i] as number;
    }
    this.#slots += wanted - slots;
    shard.words = words;
    shard.count = kept;
  }
}

/** Where the hash is, or the free slot where it would be; in words. */
function placeOf(words: Uint32Array, h0: number, h1: number, h2: number, h3: number): number {
  const mask = words.length / slotWords - 1;
  for (let slot = h0 & mask; ; slot = (slot + 1) & mask) {
    const at = slot * slotWords;
    if (words[at + 5] === 0) return at;
    if (words[at] === h0 && words[at + 1] === h1 && words[at + 2] === h2 && words[at + 3] === h3) return at;
  }
}

function put(
  words: Uint32Array,
  at: number,
  hash: readonly [number, number, number, number],
  offset: number,
  isTombstone: boolean,
): void {
  for (let i = 0; i < 4; i++) words[at + i] = hash[i] as number;
  words[at + 4] = offset % 2 ** 32;
  words[at + 5] = (Math.floor(offset / 2 ** 32) | takenBit | (isTombstone ? tombstoneBit : 0)) >>> 0;
}

function offsetAt(words: Uint32Array, at: number): number {
  return ((words[at + 5] as number) & highMask) * 2 ** 32 + (words[at + 4] as number);
}

function isTombstoneAt(words: Uint32Array, at: number): boolean {
  return ((words[at + 5] as number) & tombstoneBit) !== 0;
}
