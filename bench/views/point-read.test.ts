import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./point-read.ts";

test("the benchmark of reads by key runs, and reports ratios to a bare server", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 4);
  assert.ok(report.ratio !== null && report.ratio > 0);
});
