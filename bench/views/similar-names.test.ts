import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./similar-names.ts";

test("the benchmark of similar names runs, and reports a ratio to its bound", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.ok(report.results.length >= 2);
  assert.ok(report.ratio !== null && report.ratio > 0);
});
