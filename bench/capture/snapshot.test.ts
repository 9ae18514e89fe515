import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./snapshot.ts";

test("the benchmark of the first load runs, captures every row, and reports a ratio to its bound", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 3);
  assert.ok(report.ratio !== null && report.ratio > 0);
});
