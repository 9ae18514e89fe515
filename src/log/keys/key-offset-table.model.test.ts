import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { hashOfKey, type KeyOffset, KeyOffsetTable } from "./key-offset-table.ts";

test("the table answers the largest offset that was noted of a key, whatever the order, as a map does", () => {
  for (let seed = 1; seed <= 3; seed++) {
    const random = seededRandom(seed);
    const table = new KeyOffsetTable();
    const model = new Map<string, KeyOffset>();
    for (let step = 0; step < 20_000; step++) {
      const key = `key ${random.below(6_000)}`;
      const offset = random.below(4) === 0 ? 2 ** 40 + random.below(1_000_000) : random.below(1_000_000);
      const isTombstone = random.below(5) === 0;
      table.note(hashOfKey(Buffer.from(key)), offset, isTombstone, 0);
      const known = model.get(key);
      if (!known || offset > known.offset) model.set(key, { offset, isTombstone });
    }
    for (let i = 0; i < 6_100; i++) {
      const key = `key ${i}`;
      assert.deepEqual(table.find(hashOfKey(Buffer.from(key))), model.get(key), `seed ${seed}, ${key}`);
    }
    assert.equal(table.size, model.size);
  }
});

test("a key takes at most 64 bytes, and keys that are no longer there make room for others", () => {
  const table = new KeyOffsetTable();
  const note = (i: number, start: number) => table.note(hashOfKey(Buffer.from(`${i}`)), i, false, start);
  for (let i = 0; i < 50_000; i++) note(i, 0);
  assert.ok(table.bytes / 50_000 <= 64, `${table.bytes / 50_000} bytes a key`);
  const { bytes } = table;
  // Each new record retires an old one.
  for (let i = 50_000; i < 200_000; i++) note(i, i - 50_000);
  assert.ok(table.bytes <= 2 * bytes, `${table.bytes} bytes, where ${bytes} were enough`);
  assert.equal(table.find(hashOfKey(Buffer.from("199999")))?.offset, 199_999);
});
