import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./large-transaction.ts";

test("the benchmark large-transaction runs, and reports what it says", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 2);
  assert.ok(report.results.every(({ value }) => Number.isFinite(value)));
});
