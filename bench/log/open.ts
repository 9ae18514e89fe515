/** How long does a start take on a log of many partitions, after a clean stop and after a crash? */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { realDisk } from "../../src/base/real-disk.ts";
import { defaultLogLimits } from "../../src/log/log-context.ts";
import { type Benchmark, type BenchmarkSize, type Measurement, type Progress, percentile } from "../harness.ts";
import { copyOf, randomBatch } from "./support/batches.ts";
import { runChild } from "./support/child.ts";
import { openLog } from "./support/open-log.ts";
import { type CacheState, cat, settlePageCache } from "./support/page-cache.ts";
import { makeScratch } from "./support/scratch.ts";
import { lastSegmentFiles } from "./support/segment-files.ts";
import { WatchedDisk } from "./support/watched-disk.ts";

const recordBytes = 1024;
const recordsPerBatch = 64;
const distinctBatches = 64;
const partitionsAtOnce = 16;
const sizes = {
  full: { rounds: 3, partitions: 1_000, batchesEach: 320, crashAfterBytes: defaultLogLimits.checkpointBytes },
  tiny: { rounds: 1, partitions: 4, batchesEach: 2, crashAfterBytes: 256 * 1024 },
} as const;
const child = new URL("support/appending-child.ts", import.meta.url);

class Opens {
  readonly seconds: number[] = [];
  readBytes = 0;
  syncs = 0;

  measurement(name: string, bounds: readonly string[]): Measurement {
    const count = this.seconds.length;
    const details = {
      maxSeconds: percentile(this.seconds, 1),
      readMB: this.readBytes / 1e6 / count,
      syncs: this.syncs / count,
    };
    return { name, value: percentile(this.seconds, 0.5), unit: "s", details, bounds };
  }
}

async function run(size: BenchmarkSize, progress: Progress) {
  const { rounds, partitions, batchesEach, crashAfterBytes } = sizes[size];
  await using scratch = await makeScratch();
  const directory = join(scratch.directory, "log");
  progress(`writing ${batchesEach} batches of ${recordsPerBatch} KB to each of ${partitions} partitions`);
  const topicId = await fill(directory, partitions, batchesEach);
  const files = lastSegmentFiles(directory, topicId);
  // The cache is the whole machine's: a run whose figures mean nothing leaves it alone.
  const settle = async (): Promise<CacheState> => (size === "full" ? await settlePageCache(files) : "warm");
  const clean = new Opens();
  const crashed = new Opens();
  const seconds: Record<"headers" | "cat", number[]> = { headers: [], cat: [] };
  let state: CacheState = "warm";
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}: after a clean stop`);
    state = await settle();
    await openOnce(directory, clean);
    await settle();
    seconds.headers.push(await timed(() => readHeaders(files)));
    progress(`round ${round + 1} of ${rounds}: after a crash`);
    // Each crash is elsewhere between two checkpoints.
    await crashWhileAppending(directory, crashAfterBytes * (1 + (round + 0.5) / rounds));
    await settle();
    await openOnce(directory, crashed);
    await settle();
    seconds.cat.push(await timed(() => cat(files)));
  }
  const names = {
    headers: `open and read 4 KB of each last segment, ${state}`,
    cat: `cat of each last segment, ${state}`,
  };
  const bounds = [names.headers, names.cat];
  return {
    results: [
      crashed.measurement(`open after a crash, ${state}`, bounds),
      clean.measurement(`open after a clean stop, ${state}`, bounds),
      { name: names.headers, value: percentile(seconds.headers, 0.5), unit: "s" },
      { name: names.cat, value: percentile(seconds.cat, 0.5), unit: "s" },
    ],
    bound: names.cat,
  } as const;
}

/** Answers the topic's id. A partition is written whole before the next one, as time has it in a log that was written for long. */
async function fill(directory: string, partitions: number, batchesEach: number): Promise<string> {
  const templates = Array.from({ length: distinctBatches }, () => randomBatch(recordsPerBatch, recordBytes));
  const engine = await openLog(directory);
  try {
    const { id } = await engine.createTopic("t", { partitions });
    let next = 0;
    const write = async () => {
      for (let partition = next++; partition < partitions; partition = next++) {
        for (let from = 0; from < batchesEach; from += distinctBatches) {
          const some = templates.slice(0, Math.min(distinctBatches, batchesEach - from));
          await Promise.all(some.map((batch) => engine.append({ topic: "t", partition, batch: copyOf(batch) })));
        }
      }
    };
    await Promise.all(Array.from({ length: partitionsAtOnce }, write));
    return id;
  } finally {
    await engine.close();
  }
}

async function openOnce(directory: string, into: Opens): Promise<void> {
  const watched = new WatchedDisk(realDisk);
  const startMs = systemClock.monotonicMs();
  const engine = await openLog(directory, watched.disk);
  into.seconds.push((systemClock.monotonicMs() - startMs) / 1000);
  into.readBytes += watched.readBytes;
  into.syncs += watched.syncs;
  await engine.close();
}

/** A process appends to all partitions, and is killed when so many bytes have been acknowledged to it. */
async function crashWhileAppending(directory: string, bytes: number): Promise<void> {
  await using appending = runChild(child, [directory]);
  while (((await appending.message()) as number) < bytes) {}
  await appending.kill();
}

async function readHeaders(files: readonly string[]): Promise<void> {
  const bytes = Buffer.alloc(4096);
  for (const path of files) {
    const file = await open(path, "r");
    await file.stat();
    await file.read(bytes, 0, bytes.length, 0);
    await file.close();
  }
}

async function timed(act: () => Promise<void>): Promise<number> {
  const startMs = systemClock.monotonicMs();
  await act();
  return (systemClock.monotonicMs() - startMs) / 1000;
}

export const benchmark: Benchmark = {
  question: "log/open: how long does it take to open a log of 1,000 partitions?",
  method:
    "1,000 partitions of 20 MB (20 GB), one segment each, batches of 64 records of 1 KB; the median of the rounds, from the call of open to its answer, in a process that has its code loaded. " +
    "A crash is SIGKILL of a process that appends such batches to all partitions in turn, at three places between two checkpoints. The page cache is dropped before each where that is allowed, " +
    "else all is read once before (cold or warm in the names). The bounds: a look at the beginning of each partition's last segment, and cat of all these segments, which is what a start without a checkpoint would read",
  notMeasured:
    "the start of the process, a crash of the machine (what was written and not synced is still there), open transactions, partitions of many segments",
  run,
};
