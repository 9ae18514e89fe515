import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./commit-to-reader.ts";

test("the benchmark of the path from a commit to a reader runs, at each of its rates", async () => {
  const report = await runBenchmark(benchmark, "tiny");
  assert.equal(report.results.length, 4);
  for (const { details } of report.results) assert.ok((details?.seenPerSecond ?? 0) > 0);
});
