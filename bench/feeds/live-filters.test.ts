import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./live-filters.ts";

test("the benchmark of live subscribers with filters runs, and reports a ratio to one subscriber", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 4);
  assert.ok(report.ratio !== null && report.ratio > 0);
});
