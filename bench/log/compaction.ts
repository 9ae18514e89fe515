/** How fast is a partition compacted, and in how much memory? */
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import { realDisk } from "../../src/base/real-disk.ts";
import type { PartitionPlace } from "../../src/log/log-context.ts";
import { type Benchmark, type BenchmarkSize, type Measurement, type Progress, percentile } from "../harness.ts";
import { runChild } from "./support/child.ts";
import type { CompactionCost, CompactionTask } from "./support/compaction-child.ts";
import { writeKeyedSegments } from "./support/keyed-segments.ts";
import { makeScratch } from "./support/scratch.ts";

const valueBytes = 100;
const recordsPerBatch = 500;
/** Of the cleaner; as many as Kafka's has (log.cleaner.dedupe.buffer.size). */
const memoryBytesMax = 128 * 1024 * 1024;
const copyChunkBytes = 1024 * 1024;
const sizes = {
  full: { rounds: 3, records: 10_000_000, fewKeys: 1_000_000, segmentBytesMax: 256 * 1024 * 1024 },
  tiny: { rounds: 1, records: 4_000, fewKeys: 400, segmentBytesMax: 128 * 1024 },
} as const;
const child = new URL("support/compaction-child.ts", import.meta.url);

class Case {
  readonly name: string;
  readonly keys: number;
  bytes = 0;
  copyMs = 0;
  readonly costs: CompactionCost[] = [];

  constructor(name: string, keys: number) {
    this.name = name;
    this.keys = keys;
  }

  get copyName(): string {
    return `copy and fdatasync, ${this.name}`;
  }

  results(): [Measurement, Measurement] {
    const rounds = this.costs.length;
    const mean = (part: (cost: CompactionCost) => number) =>
      this.costs.reduce((sum, cost) => sum + part(cost), 0) / rounds;
    const megabytesPerSecond = (elapsedMs: number) => this.bytes / 1e6 / (elapsedMs / 1000);
    const details = {
      inputMB: this.bytes / 1e6,
      leftShare: mean(({ bytesAfter }) => bytesAfter) / this.bytes,
      cleanings: mean(({ cleanings }) => cleanings),
      peakRssMB: percentile(
        this.costs.map(({ rssPeakBytes }) => rssPeakBytes / 1e6),
        1,
      ),
      grownRssMB: percentile(
        this.costs.map(({ rssPeakBytes, rssBeforeBytes }) => (rssPeakBytes - rssBeforeBytes) / 1e6),
        1,
      ),
    };
    const unit = "MB/s";
    return [
      {
        name: `compaction, ${this.name}`,
        value: megabytesPerSecond(mean(({ elapsedMs }) => elapsedMs)),
        unit,
        details,
        bounds: [this.copyName],
      },
      { name: this.copyName, value: megabytesPerSecond(this.copyMs / rounds), unit },
    ];
  }
}

async function run(size: BenchmarkSize, progress: Progress) {
  const { rounds, records, fewKeys, segmentBytesMax } = sizes[size];
  const cases = [new Case("ten records a key", fewKeys), new Case("each key once", records)] as const;
  for (const one of cases) {
    await using scratch = await makeScratch();
    const topicId = systemRandom.uuid();
    const placeIn = (folder: string): PartitionPlace => {
      return { topic: "t", topicId, partition: 0, directory: join(scratch.directory, folder) };
    };
    progress(`writing ${records} records of ${one.keys} keys`);
    const original = placeIn("original");
    const what = { records, keys: one.keys, valueBytes, recordsPerBatch, segmentBytesMax };
    one.bytes = await writeKeyedSegments(original, what);
    for (let round = 0; round < rounds; round++) {
      progress(`round ${round + 1} of ${rounds}: ${one.name}`);
      // The copy is the bound, and then what is cleaned.
      const copied = placeIn("copy");
      const startMs = systemClock.monotonicMs();
      await copyFiles(original.directory, copied.directory);
      one.copyMs += systemClock.monotonicMs() - startMs;
      one.costs.push(await clean({ place: copied, endOffset: records, segmentBytesMax, memoryBytesMax }));
      await realDisk.removeDirectory(copied.directory);
    }
  }
  const [first, second] = cases;
  return { results: [...first.results(), ...second.results()], bound: first.copyName } as const;
}

async function clean(task: CompactionTask): Promise<CompactionCost> {
  await using cleaning = runChild(child, [JSON.stringify(task)]);
  return (await cleaning.message()) as CompactionCost;
}

/** Reads, writes and syncs one file after the other. */
async function copyFiles(from: string, to: string): Promise<void> {
  await realDisk.makeDirectory(to);
  const chunk = Buffer.alloc(copyChunkBytes);
  for (const name of await realDisk.list(from)) {
    const source = await realDisk.open(join(from, name), "read");
    const target = await realDisk.open(join(to, name), "exclusive");
    for (let at = 0, count = -1; count !== 0; at += count) {
      count = await source.read(chunk, at);
      await target.write([chunk.subarray(0, count)], at);
    }
    await target.datasync();
    await target.close();
    await source.close();
  }
}

export const benchmark: Benchmark = {
  question: "log/compaction: how fast is a partition compacted, and in how much memory?",
  method:
    `10 million records with values of ${valueBytes} bytes and keys of 16, in batches of ${recordsPerBatch} and segments of 256 MB: of 1 million keys by chance, and each of its own key (then nothing is superseded, and segments that lose nothing are only read). ` +
    "All closed segments are cleaned, the swaps made durable, in a process of its own with 128 MB for the cleaner; more keys than fit take several cleanings. MB/s of what there was before; the largest resident memory, and how much of it is since the cleaning began. " +
    "The bound copies the same files with reads and writes of 1 MB and an fdatasync for each",
  notMeasured:
    "appends and reads meanwhile, throttling, compressed batches, transactions, tombstones; the segments are in the page cache, for both",
  run,
};
