/** How fast does the log take durable appends, compared with a bare loop that writes and syncs the same groups? */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import type { Disk, DiskFile } from "../../src/base/disk.ts";
import { systemRandom } from "../../src/base/random.ts";
import { realDisk } from "../../src/base/real-disk.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/embedded-engine.ts";
import { BatchBuilder } from "../../src/records/batch-builder.ts";
import { type Benchmark, type BenchmarkSize, percentile } from "../harness.ts";

const recordBytes = 1024;
const recordsPerBatch = 64;
const writers = 64;
const sizes = {
  full: { rounds: 3, appendsPerRound: 3_000 },
  tiny: { rounds: 1, appendsPerRound: 8 },
} as const;

interface Phase {
  bytes: number;
  elapsedMs: number;
}

async function run(size: BenchmarkSize) {
  const { rounds, appendsPerRound } = sizes[size];
  const directory = await mkdtemp(join(process.env.MILLRACE_BENCH_DIRECTORY ?? tmpdir(), "millrace-bench-"));
  const log: Phase = { bytes: 0, elapsedMs: 0 };
  const loop: Phase = { bytes: 0, elapsedMs: 0 };
  const latenciesMs: number[] = [];
  let groups = 0;
  try {
    for (let round = 0; round < rounds; round++) {
      // One after the other in each round, so that both meet the same disk.
      const writes = await appendThroughLog(join(directory, `log-${round}`), appendsPerRound, log, latenciesMs);
      await writeInLoop(join(directory, `loop-${round}`), writes, loop);
      groups += writes.length;
    }
  } finally {
    await rm(directory, { recursive: true });
  }
  const details = {
    p50Ms: percentile(latenciesMs, 0.5),
    p99Ms: percentile(latenciesMs, 0.99),
    groupKB: log.bytes / 1024 / groups,
  };
  const megabytesPerSecond = ({ bytes, elapsedMs }: Phase) => bytes / 1e6 / (elapsedMs / 1000);
  return {
    results: [
      { name: "log", value: megabytesPerSecond(log), unit: "MB/s", details },
      { name: "write and fdatasync", value: megabytesPerSecond(loop), unit: "MB/s" },
    ],
    bound: "write and fdatasync",
  } as const;
}

/** Answers the sizes of the writes that the log made. */
async function appendThroughLog(
  directory: string,
  appends: number,
  phase: Phase,
  latenciesMs: number[],
): Promise<number[]> {
  const writes: number[] = [];
  const engine = await openEmbeddedEngine({
    disk: watched(realDisk, writes),
    directory,
    clock: systemClock,
    random: systemRandom,
    diagnostics: silentDiagnostics,
  });
  await engine.createTopic("t");
  writes.length = 0;
  const template = batch();
  let left = appends;
  const write = async () => {
    while (left-- > 0) {
      const startMs = systemClock.monotonicMs();
      await engine.append({ topic: "t", partition: 0, batch: Buffer.from(template) });
      latenciesMs.push(systemClock.monotonicMs() - startMs);
    }
  };
  const startMs = systemClock.monotonicMs();
  await Promise.all(Array.from({ length: writers }, write));
  phase.elapsedMs += systemClock.monotonicMs() - startMs;
  phase.bytes += appends * template.length;
  const made = [...writes];
  await engine.close();
  return made;
}

async function writeInLoop(path: string, writes: readonly number[], phase: Phase): Promise<void> {
  const file = await realDisk.open(path, "exclusive");
  const source = batch();
  const startMs = systemClock.monotonicMs();
  let position = 0;
  for (const bytes of writes) {
    const buffers = Array.from({ length: Math.ceil(bytes / source.length) }, (_, i) =>
      source.subarray(0, Math.min(source.length, bytes - i * source.length)),
    );
    await file.write(buffers, position);
    await file.datasync();
    position += bytes;
  }
  phase.elapsedMs += systemClock.monotonicMs() - startMs;
  phase.bytes += position;
  await file.close();
}

function batch(): Buffer {
  const builder = new BatchBuilder(recordsPerBatch * recordBytes * 2);
  for (let i = 0; i < recordsPerBatch; i++) builder.add(null, systemRandom.bytes(recordBytes), 0);
  return builder.finish();
}

/** The disk, noting how many bytes each write of a segment has. */
function watched(disk: Disk, writes: number[]): Disk {
  return {
    ...disk,
    async open(path, mode) {
      const file = await disk.open(path, mode);
      if (!path.endsWith(".log")) return file;
      const noted: DiskFile = {
        path,
        read: (target, position) => file.read(target, position),
        write(buffers, position) {
          writes.push(buffers.reduce((sum, { length }) => sum + length, 0));
          return file.write(buffers, position);
        },
        datasync: () => file.datasync(),
        truncate: (length) => file.truncate(length),
        size: () => file.size(),
        close: () => file.close(),
      };
      return noted;
    },
  };
}

export const benchmark: Benchmark = {
  question: "log/append-durable: how fast are durable appends?",
  method: `${writers} writers append batches of ${recordsPerBatch} records of 1 KB to one partition; the bound writes and fdatasyncs groups of the same sizes, one after the other`,
  notMeasured: "the network, making the batches, more than one partition",
  run,
};
