/** What does it cost to hand the newest batches to many readers? */
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { batchLastOffset } from "../../src/records/batch-header.ts";
import { type Benchmark, type BenchmarkSize, type Measurement, type Progress, percentile } from "../harness.ts";
import { copyOf, randomBatch } from "./support/batches.ts";
import { openLog } from "./support/open-log.ts";
import { makeScratch } from "./support/scratch.ts";

const recordBytes = 1024;
const recordsPerBatch = 64;
const readBytesMax = 1024 * 1024;
/** Appends that the writer has on the way. */
const appendsAtOnce = 8;
/** As many bytes as the log keeps in memory for readers at the end. */
const distinctBatches = 1_000;
const readerCounts = [256, 16, 1] as const;
const sizes = {
  full: { rounds: 3, appends: { 256: 2_000, 16: 4_000, 1: 4_000 }, distinct: distinctBatches },
  tiny: { rounds: 1, appends: { 256: 2, 16: 8, 1: 8 }, distinct: 4 },
} as const;

interface Cost {
  bytes: number;
  cpuMs: number;
  elapsedMs: number;
}

class Case {
  readonly readers: (typeof readerCounts)[number];
  readonly log: Cost = { bytes: 0, cpuMs: 0, elapsedMs: 0 };
  /** The writer without any reader. */
  readonly writer: Cost = { bytes: 0, cpuMs: 0, elapsedMs: 0 };
  readonly copies: Cost = { bytes: 0, cpuMs: 0, elapsedMs: 0 };
  readonly readBytes: number[] = [];

  constructor(readers: (typeof readerCounts)[number]) {
    this.readers = readers;
  }

  get name(): string {
    return this.readers === 1 ? "1 reader" : `${this.readers} readers`;
  }

  get copiesName(): string {
    return `Buffer.copy for ${this.name}`;
  }

  results(): [Measurement, Measurement] {
    const perCore = ({ bytes, cpuMs }: Cost) => bytes / 1e6 / (cpuMs / 1000);
    // What the same writes cost without readers is not theirs; a measurement is never finer than a hundredth of the whole.
    const readersCpuMs = Math.max(this.log.cpuMs - this.writer.cpuMs, this.log.cpuMs / 100);
    const details = {
      withWriterMBPerCore: perCore(this.log),
      deliveredMBPerSecond: this.log.bytes / 1e6 / (this.log.elapsedMs / 1000),
      writerCpuShare: this.writer.cpuMs / this.log.cpuMs,
      readKBp50: percentile(this.readBytes, 0.5) / 1024,
    };
    const unit = "MB/s per core";
    return [
      {
        name: `log, ${this.name}`,
        value: perCore({ ...this.log, cpuMs: readersCpuMs }),
        unit,
        details,
        bounds: [this.copiesName],
      },
      { name: this.copiesName, value: perCore(this.copies), unit },
    ];
  }
}

async function run(size: BenchmarkSize, progress: Progress) {
  const { rounds, appends, distinct } = sizes[size];
  await using scratch = await makeScratch();
  const batches = Array.from({ length: distinct }, () => randomBatch(recordsPerBatch, recordBytes));
  const cases = readerCounts.map((readers) => new Case(readers));
  const engine = await openLog(join(scratch.directory, "log"));
  try {
    for (let round = 0; round < rounds; round++) {
      for (const one of cases) {
        progress(`round ${round + 1} of ${rounds}: ${one.name}`);
        const count = appends[one.readers];
        await measure(one.writer, () => follow(engine, batches, count, 0, []));
        await measure(one.log, () => follow(engine, batches, count, one.readers, one.readBytes));
        await measure(one.copies, async () => copy(batches, count, one.readers));
      }
    }
  } finally {
    await engine.close();
  }
  const [first] = cases;
  return {
    results: cases.flatMap((one) => one.results()) as unknown as [Measurement, ...Measurement[]],
    bound: first?.copiesName ?? null,
  };
}

async function measure(into: Cost, act: () => Promise<number>): Promise<void> {
  const before = process.cpuUsage();
  const startMs = systemClock.monotonicMs();
  into.bytes += await act();
  into.elapsedMs += systemClock.monotonicMs() - startMs;
  const { user, system } = process.cpuUsage(before);
  into.cpuMs += (user + system) / 1000;
}

/** Answers how many bytes all readers got together, when each has everything. */
async function follow(
  engine: Engine,
  batches: readonly Buffer[],
  appends: number,
  readers: number,
  readBytes: number[],
): Promise<number> {
  const topic = systemRandom.uuid();
  await engine.createTopic(topic);
  const delivered = Array.from({ length: readers }, () => readAll(engine, topic, appends * recordsPerBatch, readBytes));
  let next = 0;
  const write = async () => {
    while (next < appends) {
      const batch = copyOf(batches[next++ % batches.length] as Buffer);
      await engine.append({ topic, partition: 0, batch });
    }
  };
  await Promise.all(Array.from({ length: appendsAtOnce }, write));
  const sums = await Promise.all(delivered);
  await engine.deleteTopic(topic);
  return sums.reduce((sum, bytes) => sum + bytes, 0);
}

async function readAll(engine: Engine, topic: string, endOffset: number, readBytes: number[]): Promise<number> {
  let sum = 0;
  for (let offset = 0; offset < endOffset; ) {
    const { batches } = await engine.read({
      topic,
      partition: 0,
      offset,
      isolation: "read_committed",
      bytesMax: readBytesMax,
      waitMs: 10_000,
    });
    const last = batches.at(-1);
    if (!last) continue;
    const bytes = batches.reduce((total, { length }) => total + length, 0);
    readBytes.push(bytes);
    sum += bytes;
    offset = batchLastOffset(last) + 1;
  }
  return sum;
}

/** Each batch to each reader's place: what it would cost to hand every reader bytes of its own. */
function copy(batches: readonly Buffer[], appends: number, readers: number): number {
  const target = Buffer.alloc(readBytesMax);
  let bytes = 0;
  for (let i = 0; i < appends; i++) {
    const batch = batches[i % batches.length] as Buffer;
    const slots = Math.floor(target.length / batch.length);
    for (let reader = 0; reader < readers; reader++) bytes += batch.copy(target, (reader % slots) * batch.length);
  }
  return bytes;
}

export const benchmark: Benchmark = {
  question: "log/tail-fan-out: what does it cost to hand the newest batches to many readers?",
  method:
    `One writer, ${appendsAtOnce} durable appends of ${recordsPerBatch} records of 1 KB on the way, and readers that wait at the end and take at most 1 MB at a time, in one process; ` +
    "delivered bytes over the processor time of all of it less that of the same writes without readers (withWriterMBPerCore: nothing taken off; writerCpuShare: what was). " +
    "The bound copies the same bytes as many times, within the processor's cache where there are many readers; the log hands out what it holds without a copy, so it may be above it",
  notMeasured: "what readers do with the bytes, sockets, readers that fall behind what is in memory",
  run,
};
