import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { KeyHash } from "./key-hash.ts";
import { OffsetMap } from "./offset-map.ts";

/** Of the authors' reference implementation: the message of n bytes is 0, 1, 2, …, n - 1. */
const vectors: readonly (readonly [length: number, ...words: readonly number[]])[] = [
  [0, 0x43cb1f41, 0x51eba0c2, 0xff0a8ac3, 0x7ee3f642],
  [1, 0xf9ac2067, 0x9c35a846, 0x441aad3d, 0x777b7330],
  [7, 0xb7d29cb8, 0x40a2819d, 0xae403cdb, 0x6fbefa95],
  [15, 0x03cfb44b, 0x283c8163, 0xfca71448, 0xc40a0aea],
  [16, 0x5dd0e2a9, 0xfb5eac8c, 0x633a392e, 0x500c36f3],
  [17, 0x8b5f6d5a, 0x202314f6, 0x22092368, 0x9639e606],
  [32, 0x77962784, 0x07c647fa, 0xdd752c0f, 0xd2f5a799],
  [63, 0x2dd072e1, 0x42b89efe, 0xfb26b615, 0x049aa451],
];

test("the hash is Chaskey-12", () => {
  const hash = new KeyHash(Int32Array.of(0x833d3433 | 0, 0x009f389f, 0x2398e64f, 0x417acf39));
  const bytes = viewOf(Uint8Array.from([99, 99, ...Array.from({ length: 64 }, (_, i) => i)]));
  for (const [length, ...words] of vectors) {
    hash.of(bytes, 2, 2 + length);
    assert.deepEqual(
      [hash.h0, hash.h1, hash.h2, hash.h3].map((word) => word >>> 0),
      words,
      `of ${length} bytes`,
    );
  }
});

test("another cleaning has another hash", () => {
  const random = seededRandom(3);
  const [one, other] = [KeyHash.random(random), KeyHash.random(random)];
  for (const hash of [one, other]) hash.of(viewOf("key"), 0, 3);
  assert.notEqual(one.h0, other.h0);
});

function viewOf(text: string | Uint8Array): DataView {
  const bytes = Buffer.from(text);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function put(map: OffsetMap, key: string, offset: number): boolean {
  map.clear();
  map.add(viewOf(`.${key}`), 1, 1 + Buffer.byteLength(key));
  map.fetch();
  return map.put(0, offset);
}

function putAll(map: OffsetMap, keys: readonly string[], offset: (i: number) => number): number {
  return keys.findIndex((key, i) => !put(map, key, offset(i)));
}

function get(map: OffsetMap, key: string): number {
  map.clear();
  map.add(viewOf(`..${key}.`), 2, 2 + Buffer.byteLength(key));
  return map.get(0);
}

test("the map answers what a Map would, until it is full", () => {
  const random = seededRandom(9);
  for (let run = 0; run < 20; run++) {
    const map = new OffsetMap(random, 1000, 20 * (20 + random.below(2000)), 1_000_000);
    const model = new Map<string, number>();
    for (let i = 0; i < 3000; i++) {
      const key = "k".repeat(random.below(40)) + random.below(700);
      if (!put(map, key, 1000 + i)) {
        assert.ok(!model.has(key), "a key that is there is taken also when the map is full");
        break;
      }
      model.set(key, 1000 + i);
    }
    assert.equal(map.size, model.size);
    for (const [key, offset] of model) assert.equal(get(map, key), offset);
    for (let i = 0; i < 100; i++) assert.equal(get(map, `other ${i}`), -1);
  }
});

test("keys of one lot may be the same", () => {
  const map = new OffsetMap(seededRandom(2), 0, 100_000, 100);
  map.clear();
  const bytes = viewOf("abcab");
  for (const at of [0, 1, 0, 3, 2]) map.add(bytes, at, at + 1);
  map.fetch();
  for (let i = 0; i < 5; i++) assert.ok(map.put(i, 10 + i));
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((i) => map.get(i)),
    [13, 11, 13, 13, 14],
  );
});

test("the map takes no more memory than it may, and no more than its keys need", () => {
  assert.ok(new OffsetMap(seededRandom(1), 0, 100_000, 1_000_000).sizeBytes <= 100_000);
  assert.ok(new OffsetMap(seededRandom(1), 0, 100_000_000, 1000).sizeBytes < 30_000);
  const all = Array.from({ length: 1000 }, (_, i) => `key ${i}`);
  assert.equal(
    putAll(new OffsetMap(seededRandom(1), 0, 100_000_000, 1000), all, (i) => i),
    -1,
  );
});

test("however little memory there is, the map takes a key", () => {
  for (const memoryBytesMax of [-5000, 0, 1]) {
    const map = new OffsetMap(seededRandom(1), 0, memoryBytesMax, 100);
    assert.ok(putAll(map, ["a"], () => 5) === -1 && get(map, "a") === 5);
  }
});

test("three quarters of the places are used", () => {
  const map = new OffsetMap(seededRandom(1), 0, 20 * 1000, 1_000_000);
  const keys = Array.from({ length: 1000 }, (_, i) => `key ${i}`);
  assert.equal(
    putAll(map, keys, (i) => i),
    750,
  );
});

test("offsets go up to 2^32 - 2 past the base, and the map is full for the next one", () => {
  const base = 2 ** 40;
  const map = new OffsetMap(seededRandom(1), base, 20 * 1000, 2 ** 33);
  assert.equal(
    putAll(map, ["a", "b", "c"], (i) => base + ([0, 2 ** 31 + 7, 2 ** 32 - 2][i] as number)),
    -1,
  );
  assert.deepEqual(
    ["a", "b", "c"].map((key) => get(map, key) - base),
    [0, 2 ** 31 + 7, 2 ** 32 - 2],
  );
  assert.equal(put(map, "a", base + 2 ** 32 - 1), false);
  assert.equal(get(map, "a"), base);
});
