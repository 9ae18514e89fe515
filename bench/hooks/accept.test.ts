import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./accept.ts";

test("the benchmark of webhooks runs, and reports ratios to its bound and its peer", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 3);
  assert.ok(report.ratio !== null && report.ratio > 0);
  assert.equal(Object.keys(report.results[0]?.ratios ?? {}).length, 2);
});
