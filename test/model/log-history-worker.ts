/** Runs a range of histories in a thread of its own: under the test runner's hooks promises take twice the time. */
import { parentPort, workerData } from "node:worker_threads";
import { misleadIndexes } from "./log-canaries.ts";
import { runDamagedHistories } from "./log-damage.ts";
import { runHistories } from "./log-histories.ts";

export interface WorkerTask {
  readonly kind: "plain" | "misled" | "damaged";
  readonly firstSeed: number;
  readonly count: number;
}

const { kind, firstSeed, count } = workerData as WorkerTask;
try {
  if (kind === "damaged") await runDamagedHistories(firstSeed, count);
  else await runHistories(firstSeed, count, kind === "misled" ? { beforeStart: misleadIndexes } : {});
  parentPort?.postMessage("done");
} catch (error) {
  parentPort?.postMessage((error as Error).message);
}
