import assert from "node:assert/strict";
import { test } from "node:test";
import { compileView } from "./compile.ts";
import { viewOf } from "./group-fixture.ts";
import { chunkRowsMax, Recording } from "./recording.ts";
import { tableShape } from "./source-fixture.ts";

async function recording(): Promise<Recording> {
  const shape = tableShape("shop", "orders", ["id integer", "status text"]);
  const view = viewOf("orders", "select id, status from shop.orders", "id");
  return new Recording(await compileView({ view, mirrors: [{ id: 1, shape }], version: 3 }), "id, status");
}

test("chunks are whole steps, oldest first, and no larger than they are to be unless a single step is", async () => {
  const pending = await recording();
  const steps = [3_000, 0, 4_000, 2_999, 1, 9_000, 25_000, 10];
  steps.forEach((rows, step) => {
    pending.took(step, rows);
  });
  const chunks: string[] = [];
  for (let chunk = pending.next; chunk !== null; chunk = pending.next) {
    chunks.push(`${chunk.from} to ${chunk.to}: ${chunk.rows}`);
    pending.merged(chunk);
  }
  assert.deepEqual(chunks, ["-1 to 4: 10000", "4 to 5: 9000", "5 to 6: 25000", "6 to 7: 10"]);
  assert.equal(chunkRowsMax, 10_000);
  assert.deepEqual([pending.rowsRecorded, pending.rowsMerged], [44_010, 44_010]);
});

test("what is left is one chunk, or there is more than one", async () => {
  const pending = await recording();
  assert.equal(pending.fitsOne, true);
  pending.took(1, chunkRowsMax);
  assert.equal(pending.fitsOne, true);
  pending.took(2, 1);
  assert.equal(pending.fitsOne, false);
  const first = pending.next;
  assert.ok(first);
  pending.merged(first);
  assert.deepEqual([pending.fitsOne, pending.next], [true, { from: 1, to: 2, rows: 1 }]);
});
