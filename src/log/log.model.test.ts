import assert from "node:assert/strict";
import { test } from "node:test";
import { canaries, misleadIndexes } from "../../test/model/log-canaries.ts";
import { runHistories } from "../../test/model/log-histories.ts";

/** `MILLRACE_MODEL_RUNS` runs that many histories, `MILLRACE_TEST_SEED` begins with another seed; one that fails prints its seed. */
const runs = Number(process.env.MILLRACE_MODEL_RUNS ?? 1000);
const firstSeed = Number(process.env.MILLRACE_TEST_SEED ?? 1);
/** Every canary is caught within so many histories. */
const canaryRunsMax = 300;

test("whatever is done to the log, and however it ends, readers find what a naive model of it says", async () => {
  await runHistories(firstSeed, runs);
});

test("an offset index that leads astray costs time and changes nothing that is read", async () => {
  await runHistories(firstSeed, Math.ceil(runs / 10), { beforeStart: misleadIndexes });
});

for (const { what, options, break: breakLog } of canaries) {
  test(`canary: the model notices ${what}`, async () => {
    const broken = breakLog?.();
    try {
      await assert.rejects(runHistories(1, canaryRunsMax, options), /MILLRACE_TEST_SEED/);
    } finally {
      broken?.mock.restore();
    }
  });
}
