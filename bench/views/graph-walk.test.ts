import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./graph-walk.ts";

test("the benchmark of walks over a graph runs, and reports a ratio to its bound", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.ok(report.results.length >= 2);
  assert.ok(report.ratio !== null && report.ratio > 0);
});
