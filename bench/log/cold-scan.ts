/** How fast is an old topic read from the disk, and what does that do to somebody who appends meanwhile? */
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { batchLastOffset } from "../../src/records/batch-header.ts";
import { type Benchmark, type BenchmarkSize, type Progress, percentile } from "../harness.ts";
import { copyOf, randomBatch } from "./support/batches.ts";
import { openLog } from "./support/open-log.ts";
import { type CacheState, cat, settlePageCache } from "./support/page-cache.ts";
import { makeScratch } from "./support/scratch.ts";
import { segmentFiles } from "./support/segment-files.ts";

const recordBytes = 1024;
const recordsPerBatch = 64;
const distinctBatches = 64;
const fillersAtOnce = 16;
const readBytesMax = 1024 * 1024;
const appendsPerSecond = 200;
/** Appends on the way; what is due beyond them waits, and is late. */
const appendsAtOnceMax = 64;
const sizes = {
  full: { rounds: 4, batches: 65_536, quietMs: 10_000 },
  tiny: { rounds: 1, batches: 8, quietMs: 50 },
} as const;

class Latencies {
  readonly appendMs: number[] = [];
  readonly lateMs: number[] = [];

  get details(): Readonly<Record<string, number>> {
    return {
      p99Ms: percentile(this.appendMs, 0.99),
      maxMs: percentile(this.appendMs, 1),
      lateP99Ms: percentile(this.lateMs, 0.99),
      appends: this.appendMs.length,
    };
  }
}

async function run(size: BenchmarkSize, progress: Progress) {
  const { rounds, batches, quietMs } = sizes[size];
  await using scratch = await makeScratch();
  const directory = join(scratch.directory, "log");
  progress(`writing ${batches} batches of ${recordsPerBatch} KB`);
  const { topicId, bytes } = await fill(directory, batches);
  const files = segmentFiles(directory, topicId);
  // The cache is the whole machine's: a run whose figures mean nothing leaves it alone.
  const settle = async (): Promise<CacheState> => (size === "full" ? await settlePageCache(files) : "warm");
  const scanMs = { log: 0, cat: 0, beside: 0 };
  const alone = new Latencies();
  const beside = new Latencies();
  let state: CacheState = "warm";
  // Opened anew: what was written is no longer in the log's own memory.
  const engine = await openLog(directory);
  try {
    // Once without being counted: the first calls are slow.
    await settle();
    await scan(engine);
    for (let round = 0; round < rounds; round++) {
      progress(`round ${round + 1} of ${rounds}`);
      // Caches below the operating system favour who comes second.
      for (const who of round % 2 === 0 ? (["log", "cat"] as const) : (["cat", "log"] as const)) {
        state = await settle();
        scanMs[who] += await timed(() => (who === "log" ? scan(engine) : cat(files)));
      }
      await writeSteadily(engine, alone, () => systemClock.sleep(quietMs));
      await settle();
      await writeSteadily(engine, beside, async () => {
        scanMs.beside += await timed(() => scan(engine));
      });
    }
  } finally {
    await engine.close();
  }
  const megabytesPerSecond = (elapsedMs: number) => (bytes * rounds) / 1e6 / (elapsedMs / 1000);
  const names = {
    cat: `cat of the segments, ${state} cache`,
    alone: "append, nothing else",
  };
  return {
    results: [
      {
        name: `scan, ${state} cache`,
        value: megabytesPerSecond(scanMs.log),
        unit: "MB/s",
        details: { besideWriterMBPerSecond: megabytesPerSecond(scanMs.beside) },
        bounds: [names.cat],
      },
      { name: names.cat, value: megabytesPerSecond(scanMs.cat), unit: "MB/s" },
      {
        name: "append, beside a scan",
        value: percentile(beside.appendMs, 0.5),
        unit: "ms p50",
        details: beside.details,
        bounds: [names.alone],
      },
      { name: names.alone, value: percentile(alone.appendMs, 0.5), unit: "ms p50", details: alone.details },
    ],
    bound: names.cat,
  } as const;
}

async function fill(directory: string, batches: number): Promise<{ topicId: string; bytes: number }> {
  const templates = Array.from({ length: distinctBatches }, () => randomBatch(recordsPerBatch, recordBytes));
  const engine = await openLog(directory);
  try {
    const { id } = await engine.createTopic("scanned");
    await engine.createTopic("written");
    let left = batches;
    let bytes = 0;
    const write = async () => {
      while (left-- > 0) {
        const batch = copyOf(templates[left % templates.length] as Buffer);
        bytes += batch.length;
        await engine.append({ topic: "scanned", partition: 0, batch });
      }
    };
    await Promise.all(Array.from({ length: fillersAtOnce }, write));
    return { topicId: id, bytes };
  } finally {
    await engine.close();
  }
}

async function scan(engine: Engine): Promise<void> {
  const { logStart, highWatermark } = await engine.offsets("scanned", 0);
  for (let offset = logStart; offset < highWatermark; ) {
    const { batches } = await engine.read({
      topic: "scanned",
      partition: 0,
      offset,
      isolation: "read_committed",
      bytesMax: readBytesMax,
    });
    offset = batchLastOffset(batches.at(-1) as Buffer) + 1;
  }
}

/** At a fixed rate until `other` is done: a stall is seen as late appends, and not hidden by fewer of them. */
async function writeSteadily(engine: Engine, into: Latencies, other: () => Promise<void>): Promise<void> {
  const template = randomBatch(1, recordBytes);
  let done = false;
  const finished = other().finally(() => {
    done = true;
  });
  const onTheWay = new Set<Promise<void>>();
  const startMs = systemClock.monotonicMs();
  for (let issued = 0; !done; issued++) {
    const dueMs = startMs + (issued * 1000) / appendsPerSecond;
    for (let waitMs = dueMs - systemClock.monotonicMs(); waitMs > 0; waitMs = dueMs - systemClock.monotonicMs()) {
      await systemClock.sleep(waitMs);
    }
    if (onTheWay.size >= appendsAtOnceMax) await Promise.race(onTheWay);
    const beganMs = systemClock.monotonicMs();
    into.lateMs.push(beganMs - dueMs);
    const appended = engine.append({ topic: "written", partition: 0, batch: copyOf(template) }).then(() => {
      into.appendMs.push(systemClock.monotonicMs() - beganMs);
      onTheWay.delete(appended);
    });
    onTheWay.add(appended);
  }
  await Promise.all([finished, ...onTheWay]);
}

async function timed(act: () => Promise<void>): Promise<number> {
  const startMs = systemClock.monotonicMs();
  await act();
  return systemClock.monotonicMs() - startMs;
}

export const benchmark: Benchmark = {
  question: "log/cold-scan: how fast is an old topic read from the disk, and what does it do to a writer?",
  method:
    `4 GB of batches of ${recordsPerBatch} records of 1 KB (random bytes, ${distinctBatches} batches over and over) in one partition, read from its start to its end, at most 1 MB at a time; the page cache is dropped before where that is allowed, ` +
    `else all is read once before (cold or warm in the names). Then ${appendsPerSecond} durable appends of 1 KB a second to another topic, alone and beside a scan, in the same process. The bound of the scan is cat of the same segment files; of the append, the append alone`,
  notMeasured:
    "what a reader does with the records, the network, several scans at once, caches below the operating system; an append's time is from its call (lateP99Ms: how late the call was)",
  run,
};
