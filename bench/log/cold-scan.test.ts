import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./cold-scan.ts";

test("the benchmark of a scan runs, beside cat of the same files and beside a steady writer", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 4);
  assert.ok(report.ratio !== null && report.ratio > 0);
  for (const { value } of report.results) assert.ok(value > 0);
});
