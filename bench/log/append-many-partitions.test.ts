import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./append-many-partitions.ts";

test("the benchmark of very many partitions runs, and compares a round with both ways to make it durable", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 3);
  assert.ok((report.results[0]?.details?.syncs ?? 0) > 0);
  for (const ratio of Object.values(report.results[0]?.ratios ?? {})) assert.ok(ratio > 0);
  assert.ok(report.ratio !== null && report.ratio > 0);
});
