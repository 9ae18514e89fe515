import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./bloat.ts";

test("the benchmark of bloat runs, and reports a ratio to its bound", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.ok(report.ratio !== null && report.ratio > 0);
});
