/**
 * A hash of 128 bits that nobody can foresee: Chaskey-12 (Mouha, Mennink, Van Herrewege, Watanabe, Preneel, Verbauwhede:
 * "Chaskey: An Efficient MAC Algorithm for 32-bit Microcontrollers", 2014; ISO/IEC 29192-6) under a key of 128 bits.
 *
 * Two keys of records with one hash would be taken for one, and the older record would be lost. Under a key that is drawn
 * for each cleaning that has a chance of n² / 2^129 for n keys: for a thousand million 1.5e-21. The usual hashes for tables
 * do not give that against somebody who chooses keys: MurmurHash3, CityHash and xxHash have collisions that hold under
 * every seed (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012), so that a writer could destroy the records
 * of keys that it may not write.
 */
import type { Random } from "../../base/random.ts";

export class KeyHash {
  /** Of the key that was hashed last. */
  h0 = 0;
  h1 = 0;
  h2 = 0;
  h3 = 0;
  readonly #key: Int32Array;
  /** For a last block that is full, and for one that is not. */
  readonly #fullKey: Int32Array;
  readonly #paddedKey: Int32Array;

  constructor(key: Int32Array) {
    this.#key = key;
    this.#fullKey = doubled(key);
    this.#paddedKey = doubled(this.#fullKey);
  }

  static random(random: Random): KeyHash {
    const bytes = random.bytes(16);
    return new KeyHash(Int32Array.from({ length: 4 }, (_, i) => bytes.readInt32LE(i * 4)));
  }

  /** Of `bytes` from `start` up to `end`. */
  of(bytes: DataView, start: number, end: number): void {
    const key = this.#key;
    let v0 = key[0] as number;
    let v1 = key[1] as number;
    let v2 = key[2] as number;
    let v3 = key[3] as number;
    let at = start;
    for (let isLast = false; !isLast; ) {
      const left = end - at;
      isLast = left <= 16;
      let lastKey = key;
      if (left >= 16) {
        v0 ^= word(bytes, at);
        v1 ^= word(bytes, at + 4);
        v2 ^= word(bytes, at + 8);
        v3 ^= word(bytes, at + 12);
        if (isLast) lastKey = this.#fullKey;
      } else {
        v0 ^= paddedWord(bytes, at, end);
        v1 ^= paddedWord(bytes, at + 4, end);
        v2 ^= paddedWord(bytes, at + 8, end);
        v3 ^= paddedWord(bytes, at + 12, end);
        lastKey = this.#paddedKey;
      }
      at += 16;
      if (isLast) {
        v0 ^= lastKey[0] as number;
        v1 ^= lastKey[1] as number;
        v2 ^= lastKey[2] as number;
        v3 ^= lastKey[3] as number;
      }
      for (let round = 0; round < 12; round++) {
        v0 = (v0 + v1) | 0;
        v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
        v0 = (v0 << 16) | (v0 >>> 16);
        v2 = (v2 + v3) | 0;
        v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
        v0 = (v0 + v3) | 0;
        v3 = ((v3 << 13) | (v3 >>> 19)) ^ v0;
        v2 = (v2 + v1) | 0;
        v1 = ((v1 << 7) | (v1 >>> 25)) ^ v2;
        v2 = (v2 << 16) | (v2 >>> 16);
      }
      if (isLast) {
        v0 ^= lastKey[0] as number;
        v1 ^= lastKey[1] as number;
        v2 ^= lastKey[2] as number;
        v3 ^= lastKey[3] as number;
      }
    }
    this.h0 = v0;
    this.h1 = v1;
    this.h2 = v2;
    this.h3 = v3;
  }
}

function word(bytes: DataView, at: number): number {
  return bytes.getInt32(at, true);
}

/** The bytes before `end`, then a 1, then zeros. */
function paddedWord(bytes: DataView, at: number, end: number): number {
  const count = end - at;
  if (count < 0) return 0;
  if (count >= 4) return word(bytes, at);
  if (count === 0) return 1;
  if (count === 1) return bytes.getUint8(at) | 0x100;
  if (count === 2) return bytes.getUint16(at, true) | 0x1_0000;
  return bytes.getUint16(at, true) | (bytes.getUint8(at + 2) << 16) | 0x100_0000;
}

/** Times x in GF(2^128). */
function doubled(key: Int32Array): Int32Array {
  const [k0, k1, k2, k3] = key as unknown as [number, number, number, number];
  return Int32Array.of(
    (k0 << 1) ^ (k3 < 0 ? 0x87 : 0),
    (k1 << 1) | (k0 >>> 31),
    (k2 << 1) | (k1 >>> 31),
    (k3 << 1) | (k2 >>> 31),
  );
}
