import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { XidSet } from "./xid-set.ts";

test("a set of transaction numbers holds what was added, up to the largest number", () => {
  const xid = fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 4_090, max: 4_100 }));
  fc.assert(
    fc.property(fc.array(xid), fc.array(xid), (added, asked) => {
      const set = new XidSet();
      for (const one of added) set.add(one);
      for (const one of [...added, ...asked]) assert.equal(set.has(one), added.includes(one));
    }),
  );
});

test("a million subtransactions that were rolled back take little memory", () => {
  const set = new XidSet();
  for (let xid = 1_000_000; xid < 2_000_000; xid++) set.add(xid);
  assert.ok(set.bytes < 200_000);
});
