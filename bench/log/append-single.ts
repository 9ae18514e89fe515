/** How long does one durable append of one small record take, alone and among others? */
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { type Benchmark, type BenchmarkSize, type Measurement, type Progress, percentile } from "../harness.ts";
import { copyOf, randomBatch } from "./support/batches.ts";
import { openLog } from "./support/open-log.ts";
import { makeScratch } from "./support/scratch.ts";
import { writeAndSync } from "./support/sync-loop.ts";

const recordBytes = 100;
const sizes = {
  full: { rounds: 5, appends: { 1: 2_000, 64: 20_000, 1000: 100_000 } },
  tiny: { rounds: 1, appends: { 1: 4, 64: 64, 1000: 1_000 } },
} as const;
const callerCounts = [1, 64, 1_000] as const;
const loopKinds = ["preallocated", "growing"] as const;

/** The samples of all rounds. */
class Samples {
  readonly latenciesMs: number[] = [];
  elapsedMs = 0;

  add(latenciesMs: readonly number[], elapsedMs: number): void {
    for (const latencyMs of latenciesMs) this.latenciesMs.push(latencyMs);
    this.elapsedMs += elapsedMs;
  }

  measurement(name: string, bounds?: readonly string[]): Measurement {
    const details = {
      p99Ms: percentile(this.latenciesMs, 0.99),
      appendsPerSecond: this.latenciesMs.length / (this.elapsedMs / 1000),
    };
    const value = percentile(this.latenciesMs, 0.5);
    return { name, value, unit: "ms p50", details, ...(bounds && { bounds }) };
  }
}

async function run(size: BenchmarkSize, progress: Progress) {
  const { rounds, appends } = sizes[size];
  await using scratch = await makeScratch();
  const template = randomBatch(1, recordBytes);
  const ours = { 1: new Samples(), 64: new Samples(), 1000: new Samples() };
  const loops = { growing: new Samples(), preallocated: new Samples() };
  const engine = await openLog(join(scratch.directory, "log"));
  try {
    await engine.createTopic("t");
    // What runs for the first time is slow.
    await appendSingly(engine, 1, Math.ceil(appends[1] / 10), template, new Samples());
    for (let round = 0; round < rounds; round++) {
      progress(`round ${round + 1} of ${rounds}`);
      for (const callers of callerCounts)
        await appendSingly(engine, callers, appends[callers], template, ours[callers]);
      for (const kind of loopKinds) {
        const groups = Array.from({ length: appends[1] }, () => template.length);
        const { latenciesMs, elapsedMs } = await writeAndSync(join(scratch.directory, "loop"), groups, template, kind);
        loops[kind].add(latenciesMs, elapsedMs);
      }
    }
  } finally {
    await engine.close();
  }
  const bounds = loopKinds.map(loopName);
  return {
    results: [
      ours[1].measurement("log, 1 caller", bounds),
      ours[64].measurement("log, 64 callers"),
      ours[1_000].measurement("log, 1000 callers"),
      ...loopKinds.map((kind) => loops[kind].measurement(loopName(kind))),
    ],
    bound: loopName("preallocated"),
  } as const;
}

async function appendSingly(
  engine: Engine,
  callers: number,
  appends: number,
  template: Buffer,
  into: Samples,
): Promise<void> {
  const latenciesMs: number[] = [];
  let left = appends;
  const call = async () => {
    while (left-- > 0) {
      const batch = copyOf(template);
      const beganMs = systemClock.monotonicMs();
      await engine.append({ topic: "t", partition: 0, batch });
      latenciesMs.push(systemClock.monotonicMs() - beganMs);
    }
  };
  const startMs = systemClock.monotonicMs();
  await Promise.all(Array.from({ length: callers }, call));
  into.add(latenciesMs, systemClock.monotonicMs() - startMs);
}

function loopName(kind: (typeof loopKinds)[number]): string {
  return `write and fdatasync, ${kind} file`;
}

export const benchmark: Benchmark = {
  question: "log/append-single: how long does a durable append of one small record take?",
  method:
    `Records of ${recordBytes} bytes, each a batch of its own, to one partition; each caller waits for its answer before its next append. ` +
    "The bound writes and fdatasyncs the same batch through the same asynchronous calls, one after the other, on a file that grows and on one that had its length before",
  notMeasured: "the network, making the batches, more than one partition",
  run,
};
