import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./tail-fan-out.ts";

test("the benchmark of many readers at the tail runs, and each reader gets everything", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 6);
  for (const { value } of report.results) assert.ok(value > 0);
  assert.ok(report.ratio !== null && report.ratio > 0);
});
