import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./codec.ts";

test("the benchmark of the wire codec reads and writes one message each, and compares both with code by hand", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 4);
  for (const { value } of report.results) assert.ok(value > 0);
  for (const { ratios } of report.results.slice(0, 2)) assert.equal(Object.keys(ratios ?? {}).length, 1);
});
