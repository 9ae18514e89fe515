import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./round-trip.ts";

test("the benchmark of one Produce in flight runs against our broker and the null server, and every record is there", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.deepEqual(
    report.results.map(({ name }) => name),
    ["one Produce of 1 KB, millrace", "one Produce of 1 KB, null server"],
  );
  for (const { value } of report.results) assert.ok(value > 0);
  // The bound is a real Kafka, which the tiny form leaves out.
  assert.equal(report.ratio, null);
  assert.equal(Object.keys(report.results[0]?.ratios ?? {}).length, 1);
});
