/** How fast does the log take durable appends, compared with a bare loop that writes and syncs the same groups? */
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
const recordsPerBatch = 64;
const writers = 64;
const sizes = {
  full: { rounds: 5, appendsPerRound: 3_000 },
  tiny: { rounds: 1, appendsPerRound: 8 },
} as const;
const loopKinds = ["growing", "preallocated"] as const;

interface Phase {
  bytes: number;
  elapsedMs: number;
}

class Case {
  readonly name: string;
  readonly partitions: number;
  readonly log: Phase = { bytes: 0, elapsedMs: 0 };
  readonly loops = { growing: { bytes: 0, elapsedMs: 0 }, preallocated: { bytes: 0, elapsedMs: 0 } };
  readonly latenciesMs: number[] = [];
  groups = 0;
  syncs = 0;
  writtenBytes = 0;
  closeMs = 0;

  constructor(partitions: number) {
    this.partitions = partitions;
    this.name = partitions === 1 ? "log, 1 partition" : `log, ${partitions} partitions`;
  }

  loopName(kind: (typeof loopKinds)[number]): string {
    return `write and fdatasync as of ${this.partitions}, ${kind} file`;
  }
}

async function run(size: BenchmarkSize, progress: Progress) {
  const { rounds, appendsPerRound } = sizes[size];
  await using scratch = await makeScratch();
  const cases = [new Case(1), new Case(64)] as const;
  const template = randomBatch(recordsPerBatch, recordBytes);
  for (let round = 0; round < rounds; round++) {
    // One after the other in each round, so that all meet the same disk.
    for (const one of cases) {
      progress(`round ${round + 1} of ${rounds}: ${one.name}`);
      const directory = join(scratch.directory, `log-${one.partitions}-${round}`);
      const groups = await appendThroughLog(directory, appendsPerRound, template, one);
      for (const kind of loopKinds) {
        const { bytes, elapsedMs } = await writeAndSync(join(scratch.directory, "loop"), groups, template, kind);
        one.loops[kind].bytes += bytes;
        one.loops[kind].elapsedMs += elapsedMs;
      }
    }
  }
  const [first, ...others] = cases;
  return {
    results: [...measured(first), ...others.flatMap(measured)],
    bound: first.loopName("growing"),
  } as const;
}

/** Answers the sizes of the groups that were acknowledged together. */
async function appendThroughLog(
  directory: string,
  appends: number,
  template: Buffer,
  into: Case,
): Promise<readonly number[]> {
  const watched = new WatchedDisk(realDisk);
  const engine = await openLog(directory, watched.disk);
  await engine.createTopic("t", { partitions: into.partitions });
  // Made beforehand: the log owns what it is given, and where it came from is not what is asked here.
  const batches = Array.from({ length: appends }, () => copyOf(template));
  watched.reset();
  const write = async (_: unknown, writer: number) => {
    const partition = writer % into.partitions;
    for (let batch = batches.pop(); batch; batch = batches.pop()) {
      const startMs = systemClock.monotonicMs();
      await engine.append({ topic: "t", partition, batch });
      into.latenciesMs.push(systemClock.monotonicMs() - startMs);
      watched.acknowledged(template.length);
    }
  };
  const startMs = systemClock.monotonicMs();
  await Promise.all(Array.from({ length: writers }, write));
  const endMs = systemClock.monotonicMs();
  into.log.elapsedMs += endMs - startMs;
  into.log.bytes += appends * template.length;
  const groups = watched.groups;
  into.groups += groups.length;
  into.syncs += watched.syncs;
  await engine.close();
  into.closeMs += systemClock.monotonicMs() - endMs;
  into.writtenBytes += watched.writtenBytes;
  await realDisk.removeDirectory(directory);
  return groups;
}

function measured(one: Case): [Measurement, ...Measurement[]] {
  const { log, loops, groups, syncs, writtenBytes, closeMs, latenciesMs } = one;
  const megabytesPerSecond = ({ bytes, elapsedMs }: Phase) => bytes / 1e6 / (elapsedMs / 1000);
  const details = {
    p50Ms: percentile(latenciesMs, 0.5),
    p99Ms: percentile(latenciesMs, 0.99),
    groupKB: log.bytes / 1024 / groups,
    syncsPerGroup: syncs / groups,
    writtenPerByte: writtenBytes / log.bytes,
    closeShare: closeMs / log.elapsedMs,
  };
  const bounds = loopKinds.map((kind) => one.loopName(kind));
  return [
    { name: one.name, value: megabytesPerSecond(log), unit: "MB/s", details, bounds },
    ...loopKinds.map((kind) => ({
      name: one.loopName(kind),
      value: megabytesPerSecond(loops[kind]),
      unit: "MB/s",
    })),
  ];
}

export const benchmark: Benchmark = {
  question: "log/append-durable: how fast are durable appends?",
  method:
    `${writers} writers append batches of ${recordsPerBatch} records of 1 KB, to one partition and to 64; the bound writes and fdatasyncs groups of the same sizes, ` +
    "one after the other: what the log acknowledged after each of its syncs",
  notMeasured:
    "the network, making the batches; what the log still writes when all is acknowledged is in closeShare and writtenPerByte, not in its MB/s",
  run,
};
