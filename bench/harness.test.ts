import assert from "node:assert/strict";
import { test } from "node:test";
import { type Benchmark, type BenchmarkOutcome, formatReport, runBenchmark } from "./harness.ts";

function benchmarkOf(outcome: BenchmarkOutcome): Benchmark {
  return { question: "how fast?", method: "m", notMeasured: "n", run: () => Promise.resolve(outcome) };
}

const ours = { name: "ours", value: 30, unit: "MB/s", bounds: ["loop", "copy"] };
const loop = { name: "loop", value: 40, unit: "MB/s" };
const copy = { name: "copy", value: 90, unit: "MB/s" };

test("the ratio is that of the first result to the bound, and each result has one to every bound that it names", async () => {
  const report = await runBenchmark(benchmarkOf({ results: [ours, loop, copy], bound: "loop" }), "tiny");
  assert.equal(report.ratio, 0.75);
  assert.deepEqual(report.results[0]?.ratios, { loop: 0.75, copy: 0.333 });
  assert.deepEqual(report.results.slice(1), [loop, copy]);
  assert.match(formatReport(report), /0\.333 of copy/);
});

test("a benchmark without a bound has no ratio", async () => {
  const report = await runBenchmark(benchmarkOf({ results: [loop], bound: null }), "tiny");
  assert.equal(report.ratio, null);
  assert.doesNotMatch(formatReport(report), /ratio/);
});

test("a bound that was not measured stops the run", async () => {
  await assert.rejects(runBenchmark(benchmarkOf({ results: [loop], bound: "copy" }), "tiny"), /copy/);
  await assert.rejects(runBenchmark(benchmarkOf({ results: [ours], bound: null }), "tiny"), /loop/);
});

test("what a run could not measure stands in its report", async () => {
  const report = await runBenchmark(benchmarkOf({ results: [loop], bound: null, notes: ["no loom is here"] }), "tiny");
  assert.deepEqual(report.notes, ["no loom is here"]);
  assert.match(formatReport(report), /no loom is here/);
});
