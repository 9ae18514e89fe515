import assert from "node:assert/strict";
import { test } from "node:test";
import { runBenchmark } from "../harness.ts";
import { benchmark } from "./engines.ts";

test("the benchmark of the engine's variants runs", async () => {
  const { results } = await runBenchmark(benchmark, "tiny");
  assert.equal(results.length % 5, 0);
  for (const { name, value } of results) assert.ok(value > 0, name);
});
