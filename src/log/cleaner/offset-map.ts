/**
 * The latest offset of each key, in a memory that is fixed beforehand whatever the keys are: a table with open addressing
 * that holds a hash of the key (key-hash.ts) and an offset relative to a base, 20 bytes a place.
 *
 * When three quarters of the places are taken, or an offset is too far from the base, `put` takes no further key: the
 * cleaner stops there, cleans up to there, and goes on from there in the next round.
 *
 * Keys go through it in lots, because nearly every one is a miss of the processor's caches: `add` hashes the keys of a lot,
 * `fetch` touches all their places at once, so that the misses overlap, and `put` and `get` then find them near. Measured
 * with 300,000 keys this takes half the time of one key after the other.
 */
import type { Random } from "../../base/random.ts";
import { KeyHash } from "./key-hash.ts";

/** Keys in a lot. */
export const lotMax = 64;

/** Four words of hash; the offset relative to the base, plus 1; 0 in a free place. */
const placeWords = 5;
const placeBytes = placeWords * 4;
const loadMax = 0.75;
const placesMin = 16;
/** Places in the array are 31-bit numbers. */
const placesMax = Math.floor((2 ** 31 - 1) / placeWords);
const offsetSpanMax = 2 ** 32 - 1;

export class OffsetMap {
  readonly #hash: KeyHash;
  readonly #words: Int32Array;
  readonly #places: number;
  readonly #scale: number;
  readonly #keysMax: number;
  readonly #baseOffset: number;
  #keys = 0;
  /** Of each key of the lot its hash, and where the search begins. */
  readonly #lot = new Int32Array(lotMax * placeWords);
  #lotEnd = 0;
  /** Means nothing; it is there so that no compiler leaves out what `fetch` reads. */
  fetched = 0;

  /** At most `memoryBytesMax`, and no more than `keysMax` keys need. */
  constructor(random: Random, baseOffset: number, memoryBytesMax: number, keysMax: number) {
    const affordable = Math.floor(memoryBytesMax / placeBytes);
    const needed = Math.ceil(keysMax / loadMax) + 1;
    this.#places = Math.max(placesMin, Math.min(affordable, needed, placesMax));
    this.#scale = this.#places / 2 ** 32;
    this.#keysMax = Math.floor(this.#places * loadMax);
    this.#words = new Int32Array(this.#places * placeWords);
    this.#baseOffset = baseOffset;
    this.#hash = KeyHash.random(random);
  }

  get size(): number {
    return this.#keys;
  }

  get sizeBytes(): number {
    return this.#words.byteLength;
  }

  /** Begins a lot. */
  clear(): void {
    this.#lotEnd = 0;
  }

  /** A key of the lot, which has `lotMax` at most. */
  add(bytes: DataView, start: number, end: number): void {
    const hash = this.#hash;
    hash.of(bytes, start, end);
    const lot = this.#lot;
    const at = this.#lotEnd;
    lot[at] = hash.h0;
    lot[at + 1] = hash.h1;
    lot[at + 2] = hash.h2;
    lot[at + 3] = hash.h3;
    lot[at + 4] = Math.floor((hash.h0 >>> 0) * this.#scale) * placeWords;
    this.#lotEnd = at + placeWords;
  }

  /** The lot is whole. */
  fetch(): void {
    const words = this.#words;
    const lot = this.#lot;
    let fetched = 0;
    for (let at = 4; at < this.#lotEnd; at += placeWords) fetched ^= words[lot[at] as number] as number;
    this.fetched = fetched;
  }

  /** For the lot's key at `index`. Offsets of a key come in rising order. False when there is no room for it. */
  put(index: number, offset: number): boolean {
    const relative = offset - this.#baseOffset + 1;
    if (relative > offsetSpanMax) return false;
    const at = this.#find(index);
    const words = this.#words;
    if (words[at + 4] === 0) {
      if (this.#keys === this.#keysMax) return false;
      this.#keys++;
      const lot = this.#lot;
      const key = index * placeWords;
      words[at] = lot[key] as number;
      words[at + 1] = lot[key + 1] as number;
      words[at + 2] = lot[key + 2] as number;
      words[at + 3] = lot[key + 3] as number;
    }
    words[at + 4] = relative;
    return true;
  }

  /** For the lot's key at `index`; -1 when it is not in the map. */
  get(index: number): number {
    const relative = this.#words[this.#find(index) + 4] as number;
    return relative === 0 ? -1 : this.#baseOffset + (relative >>> 0) - 1;
  }

  /** Where the key stands in the words, or the free place where it would. */
  #find(index: number): number {
    const lot = this.#lot;
    const key = index * placeWords;
    const h0 = lot[key];
    const h1 = lot[key + 1];
    const h2 = lot[key + 2];
    const h3 = lot[key + 3];
    const words = this.#words;
    const wordsEnd = words.length;
    let at = lot[key + 4] as number;
    while (words[at + 4] !== 0) {
      if (words[at] === h0 && words[at + 1] === h1 && words[at + 2] === h2 && words[at + 3] === h3) break;
      at += placeWords;
      if (at === wordsEnd) at = 0;
    }
    return at;
  }
}
