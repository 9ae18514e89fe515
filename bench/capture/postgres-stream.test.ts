import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./postgres-stream.ts";

test("the benchmark of the stream runs, captures every change, and reports a ratio to its bound", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 4);
  assert.ok(report.ratio !== null && report.ratio > 0);
});
