/** What does it cost to make one small append to each of very many partitions durable, all at once? */
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { realDisk } from "../../src/base/real-disk.ts";
import { type Benchmark, type BenchmarkSize, type Measurement, type Progress, percentile } from "../harness.ts";
import { copyOf, randomBatch } from "./support/batches.ts";
import { openLog } from "./support/open-log.ts";
import { makeScratch } from "./support/scratch.ts";
import { writeAndSync } from "./support/sync-loop.ts";
import { WatchedDisk } from "./support/watched-disk.ts";

const recordBytes = 1024;
const sizes = { full: { rounds: 5, partitions: 10_000 }, tiny: { rounds: 1, partitions: 20 } } as const;
/** How many files the naive way has at work; more than Node's threads, which are what limits it. */
const filesAtOnce = 64;
const oneFile = "one interleaved file, one write and fdatasync";
const naive = "one fdatasync per partition";

async function run(size: BenchmarkSize, progress: Progress) {
  const { rounds, partitions } = sizes[size];
  await using scratch = await makeScratch();
  const template = randomBatch(1, recordBytes);
  const watched = new WatchedDisk(realDisk);
  const roundsMs: Record<"log" | "one" | "naive", number[]> = { log: [], one: [], naive: [] };
  let syncs = 0;
  let writtenBytes = 0;
  progress(`making ${partitions} partitions and as many bare files`);
  const files = Array.from({ length: partitions }, (_, i) => join(scratch.directory, `partition-${i}`));
  await eachOf(files, async (path) => (await realDisk.open(path, "exclusive")).close());
  const engine = await openLog(join(scratch.directory, "log"), watched.disk);
  try {
    await engine.createTopic("t", { partitions });
    for (let round = 0; round < rounds; round++) {
      progress(`round ${round + 1} of ${rounds}`);
      watched.reset();
      const batches = files.map(() => copyOf(template));
      const startMs = systemClock.monotonicMs();
      await Promise.all(batches.map((batch, partition) => engine.append({ topic: "t", partition, batch })));
      roundsMs.log.push(systemClock.monotonicMs() - startMs);
      syncs += watched.syncs;
      writtenBytes += watched.writtenBytes;
      roundsMs.naive.push(await appendAndSyncEach(files, template, round * template.length));
      const all = Buffer.concat(files.map(() => template));
      const loop = await writeAndSync(join(scratch.directory, "one"), [all.length], all, "growing");
      roundsMs.one.push(loop.elapsedMs);
    }
  } finally {
    await engine.close();
  }
  const details = { syncs: syncs / rounds, writtenPerByte: writtenBytes / rounds / partitions / template.length };
  return {
    results: [
      { ...measured("log", roundsMs.log, details), bounds: [oneFile, naive] },
      measured(oneFile, roundsMs.one, { syncs: 1 }),
      measured(naive, roundsMs.naive, { syncs: partitions }),
    ],
    bound: oneFile,
  } as const;
}

/** Each file is opened, written, synced and closed: no process keeps so many open. */
async function appendAndSyncEach(files: readonly string[], batch: Buffer, bytePosition: number): Promise<number> {
  const startMs = systemClock.monotonicMs();
  await eachOf(files, async (path) => {
    const file = await realDisk.open(path, "write");
    await file.write([batch], bytePosition);
    await file.datasync();
    await file.close();
  });
  return systemClock.monotonicMs() - startMs;
}

async function eachOf(files: readonly string[], act: (path: string) => Promise<void>): Promise<void> {
  const left = files.values();
  await Promise.all(
    Array.from({ length: filesAtOnce }, async () => {
      for (const path of left) await act(path);
    }),
  );
}

function measured(name: string, roundsMs: number[], details: Readonly<Record<string, number>>): Measurement {
  const value = percentile(roundsMs, 0.5);
  return { name, value, unit: "ms a round", details: { ...details, maxMs: percentile(roundsMs, 1) } };
}

export const benchmark: Benchmark = {
  question:
    "log/append-many-partitions: how long does a round of one durable append to each of 10,000 partitions take?",
  method:
    "10,000 appends of one record of 1 KB, one to each partition, all at once, until the last is answered; the median of the rounds. " +
    "The bounds: all of it in one write and one fdatasync of one file that grows, and (the naive way) a file per partition, each opened, written, fdatasynced and closed, 64 at once",
  notMeasured: "the network, making the batches, what the log writes to segments after its answer",
  run,
};
