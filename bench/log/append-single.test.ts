import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./append-single.ts";

test("the benchmark of single appends runs for each count of callers, and compares one caller with both kinds of file", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 5);
  for (const { details } of report.results) assert.ok((details?.appendsPerSecond ?? 0) > 0);
  assert.ok(report.ratio !== null && report.ratio > 0);
  assert.equal(Object.keys(report.results[0]?.ratios ?? {}).length, 2);
});
