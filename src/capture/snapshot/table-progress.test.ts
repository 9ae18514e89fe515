import assert from "node:assert/strict";
import { test } from "node:test";
import { readProgress } from "./table-progress.ts";

test("a rate is told when there is something to go by, and what remains when the estimate says so", () => {
  assert.deepEqual(readProgress(0, 100, null, 5_000), {
    rows: 0,
    rowsEstimated: 100,
    rowsPerSecond: null,
    remainingMs: null,
  });
  const began = { ms: 1_000, rows: 40 };
  assert.equal(readProgress(50, 100, began, 1_400).rowsPerSecond, null);
  assert.deepEqual(readProgress(60, 100, began, 3_000), {
    rows: 60,
    rowsEstimated: 100,
    rowsPerSecond: 10,
    remainingMs: 4_000,
  });
});

test("more rows than the statistics know of are no promise of an end", () => {
  assert.deepEqual(readProgress(500, 100, { ms: 0, rows: 0 }, 1_000), {
    rows: 500,
    rowsEstimated: 500,
    rowsPerSecond: 500,
    remainingMs: null,
  });
});
