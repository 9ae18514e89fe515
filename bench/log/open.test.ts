import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./open.ts";

test("the benchmark of opening runs, after a clean stop and after a process was killed while it appended", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 4);
  for (const { value } of report.results) assert.ok(value > 0);
  assert.ok(report.ratio !== null && report.ratio > 0);
});
