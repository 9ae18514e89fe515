import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { canaries } from "../../test/model/log-canaries.ts";
import { runHistories } from "../../test/model/log-histories.ts";
import type { WorkerTask } from "../../test/model/log-history-worker.ts";

/**
 * `MILLRACE_MODEL_RUNS` runs that many histories, `MILLRACE_TEST_SEED` begins with another seed (and replays one together
 * with `MILLRACE_MODEL_RUNS=1`). One that fails prints its seed and its last steps.
 */
const runs = Number(process.env.MILLRACE_MODEL_RUNS ?? 600);
const firstSeed = Number(process.env.MILLRACE_TEST_SEED ?? 1);
/** Those of other kinds for each of the plain ones. */
const otherShare = 0.1;
/** Every canary is caught within so many histories. */
const canaryRunsMax = 300;

/** In threads of their own: under the test runner's hooks promises take twice the time. */
async function runInThreads(kind: WorkerTask["kind"], count: number, threads: number): Promise<void> {
  const each = Math.ceil(count / threads);
  const tasks = Array.from({ length: threads }, (_, i) => ({ kind, firstSeed: firstSeed + i * each, count: each }));
  await Promise.all(tasks.map(runInThread));
}

function runInThread(task: WorkerTask): Promise<void> {
  const file = new URL("../../test/model/log-history-worker.ts", import.meta.url);
  const worker = new Worker(file, { workerData: task, execArgv: ["-C", "source"] });
  return new Promise((resolve, reject) => {
    worker.on("message", (message: string) => (message === "done" ? resolve() : reject(new Error(message))));
    worker.on("error", reject);
    worker.on("exit", () => reject(new Error(`the thread ended early: ${JSON.stringify(task)}`)));
  });
}

test("whatever is done to the log, and however it ends, readers find what a naive model of it says", async () => {
  await runInThreads("plain", runs, 2);
});

test("an offset index that leads astray costs time and changes nothing that is read", async () => {
  await runInThreads("misled", runs * otherShare, 1);
});

test("damage by the disk is healed, reported, or taken for a torn end; nothing that is read is wrong", async () => {
  await runInThreads("damaged", runs * otherShare * 2, 1);
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
