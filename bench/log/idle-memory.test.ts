import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./idle-memory.ts";

test("the benchmark of idle partitions runs in processes of its own, and has no bound", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 2);
  for (const { value } of report.results) assert.ok(Number.isFinite(value));
  assert.equal(report.ratio, null);
});
