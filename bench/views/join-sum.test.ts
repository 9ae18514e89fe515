import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./join-sum.ts";

test("the benchmark of a view that joins and sums runs, and reports a ratio to its bound", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 10);
  assert.ok(report.ratio !== null && report.ratio > 0);
});
