import assert from "node:assert/strict";
import { test } from "node:test";
import { formatReport, runBenchmark } from "../harness.ts";
import { benchmark } from "./append-durable.ts";

test("the benchmark of durable appends runs, and reports a ratio to its bound for each count of partitions", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 6);
  assert.ok(report.ratio !== null && report.ratio > 0);
  const compared = report.results.filter(({ ratios }) => ratios !== undefined);
  assert.equal(compared.length, 2);
  for (const { ratios } of compared) for (const ratio of Object.values(ratios ?? {})) assert.ok(ratio > 0);
  assert.match(formatReport(report), /ratio/);
  assert.deepEqual(JSON.parse(JSON.stringify(report)), report);
});
