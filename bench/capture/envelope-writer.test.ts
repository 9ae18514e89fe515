import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./envelope-writer.ts";

test("the benchmark of the envelope runs and reports a ratio to its bound", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 3);
  assert.ok(report.ratio !== null && report.ratio > 0);
});
