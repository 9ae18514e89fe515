import assert from "node:assert/strict";
import { test } from "node:test";
import { prove } from "../services/consistency/proof.ts";

test("ten million states of all views are ones that the source had", async (t) => {
  const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  const say = (line: string) => t.diagnostic(line);
  say(`seed ${seed}`);
  const states = 10_000_000;
  const report = await prove({ seed, states, seconds: 3 * 3_600, sqlReaders: 2, swapEveryMs: 5_000, say });
  assert.ok(report.states >= states, `only ${report.states} states were seen`);
});
