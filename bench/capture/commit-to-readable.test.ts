import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./commit-to-readable.ts";

test("the benchmark commit-to-readable runs, and reports what it says", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 3);
  assert.ok(report.results.every(({ value }) => Number.isFinite(value)));
});
