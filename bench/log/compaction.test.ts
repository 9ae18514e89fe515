import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./compaction.ts";

test("the benchmark of compaction runs for few and for many keys, and removes what is superseded", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 4);
  assert.ok(report.ratio !== null && report.ratio > 0);
  assert.ok((report.results[0]?.details?.leftShare ?? 1) < 0.5);
  assert.equal(report.results[2]?.details?.leftShare, 1);
});
