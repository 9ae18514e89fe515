import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hashOfId } from "./hook-event.ts";
import { entriesPerChunk, IdTable } from "./id-table.ts";

const hash = (n: number) => hashOfId(`id-${n}`);

type Step =
  | { readonly kind: "add"; readonly id: number; readonly partition: number; readonly offset: number }
  | { readonly kind: "find"; readonly id: number }
  | { readonly kind: "expire"; readonly seconds: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("add" as const),
      id: fc.nat(60),
      partition: fc.nat(999),
      offset: fc.maxSafeNat().map((n) => n % 2 ** 48),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("find" as const), id: fc.nat(60) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("expire" as const), seconds: fc.nat(80) }) },
);

test("the table of ids answers as a map that forgets its oldest entries does", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 40 }), (steps, idsMax) => {
      const table = new IdTable(idsMax);
      const model = new Map<number, { place: { partition: number; offset: number }; seconds: number }>();
      let seconds = 0;
      for (const one of steps) {
        if (one.kind === "add") {
          const place = { partition: one.partition, offset: one.offset };
          seconds++;
          const gone = table.add(hash(one.id), place, seconds);
          if (model.has(one.id)) {
            assert.equal(gone, undefined);
            continue;
          }
          const [oldest] = model;
          const isFull = model.size >= idsMax && oldest !== undefined;
          assert.deepEqual(gone, isFull ? { evictedSeconds: oldest[1].seconds } : undefined);
          if (isFull) model.delete(oldest[0]);
          model.set(one.id, { place, seconds });
        } else if (one.kind === "find") {
          assert.deepEqual(table.find(hash(one.id)), model.get(one.id)?.place);
        } else {
          table.expire(one.seconds);
          for (const [id, entry] of model) if (entry.seconds < one.seconds) model.delete(id);
        }
        assert.equal(table.size, model.size);
      }
    }),
  );
});

test("an entry takes at most 39 bytes, and a chunk", () => {
  const table = new IdTable(3 * entriesPerChunk);
  for (let n = 0; n < 4 * entriesPerChunk; n++) table.add(hash(n), { partition: 0, offset: n }, 1);
  assert.equal(table.size, 3 * entriesPerChunk);
  assert.ok(table.bytes <= 39 * table.size + 28 * entriesPerChunk, `${table.bytes / table.size} bytes per id`);
  assert.equal(table.find(hash(entriesPerChunk - 1)), undefined);
  assert.deepEqual(table.find(hash(4 * entriesPerChunk - 1)), { partition: 0, offset: 4 * entriesPerChunk - 1 });
});

test("numbers of entries may pass what a slot can hold", () => {
  const table = new IdTable(100);
  table.restore(2 ** 32 - 50, []);
  for (let n = 0; n < 1_000; n++) table.add(hash(n), { partition: 1, offset: n }, n);
  assert.equal(table.size, 100);
  for (let n = 0; n < 1_000; n++) assert.equal(table.find(hash(n))?.offset, n < 900 ? undefined : n);
});

test("what a table holds can be put back from its chunks", () => {
  const table = new IdTable(2 * entriesPerChunk);
  for (let n = 0; n < entriesPerChunk + 500; n++) table.add(hash(n), { partition: 7, offset: 2 ** 40 + n }, n);
  table.expire(100);
  const again = new IdTable(2 * entriesPerChunk);
  const chunks = table.chunkNumbers().map((number) => ({ number, bytes: Buffer.from(table.chunkBytes(number)) }));
  again.restore(table.first, chunks);
  assert.equal(again.size, table.size);
  for (const n of [0, 99]) assert.equal(again.find(hash(n)), undefined);
  for (const n of [100, 65_535, 65_536, 66_035]) {
    assert.deepEqual(again.find(hash(n)), { partition: 7, offset: 2 ** 40 + n });
  }
  again.add(hash(-1), { partition: 0, offset: 0 }, 70_000);
  assert.ok(again.find(hash(-1)));
});
