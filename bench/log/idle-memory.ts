/** How much memory does a partition take that nobody uses? */
import { join } from "node:path";
import type { Benchmark, BenchmarkSize, Measurement, Progress } from "../harness.ts";
import { copyOf, randomBatch } from "./support/batches.ts";
import { runChild } from "./support/child.ts";
import type { HeldMemory } from "./support/idle-memory-child.ts";
import { openLog } from "./support/open-log.ts";
import { makeScratch } from "./support/scratch.ts";

const recordBytes = 1024;
const sizes = { full: { partitions: 10_000 }, tiny: { partitions: 40 } } as const;
const child = new URL("support/idle-memory-child.ts", import.meta.url);

async function run(size: BenchmarkSize, progress: Progress) {
  const { partitions } = sizes[size];
  await using scratch = await makeScratch();
  const many = join(scratch.directory, "many");
  const one = join(scratch.directory, "one");
  progress(`making a log of ${partitions} partitions, and one of a single partition`);
  await make(many, partitions);
  await make(one, 1);
  progress("measuring");
  const held = await memoryOf(many);
  const base = await memoryOf(one);
  const each = (phase: "opened" | "appended", name: string): Measurement => {
    const per = (part: keyof HeldMemory) => (held[phase][part] - base[phase][part]) / (partitions - 1);
    const details = { heap: per("heapBytes"), external: per("externalBytes"), rss: per("rssBytes") };
    return { name, value: details.heap + details.external, unit: "bytes per partition", details };
  };
  return {
    results: [
      each("opened", "opened, one record in it"),
      each("appended", "after one more append of 1 KB to each, idle again"),
    ],
    bound: null,
  } as const;
}

async function make(directory: string, partitions: number): Promise<void> {
  const engine = await openLog(directory);
  try {
    await engine.createTopic("t", { partitions });
    const template = randomBatch(1, recordBytes);
    await Promise.all(
      Array.from({ length: partitions }, (_, partition) =>
        engine.append({ topic: "t", partition, batch: copyOf(template) }),
      ),
    );
  } finally {
    await engine.close();
  }
}

async function memoryOf(directory: string): Promise<Record<"opened" | "appended", HeldMemory>> {
  await using measuring = runChild(child, [directory, String(recordBytes)], ["--expose-gc"]);
  const opened = (await measuring.message()) as HeldMemory;
  const appended = (await measuring.message()) as HeldMemory;
  return { opened, appended };
}

export const benchmark: Benchmark = {
  question: "log/idle-memory: how much memory does an idle partition take?",
  method:
    "Heap and external bytes after collecting garbage, in a process of its own that opens a log of 10,000 partitions of one topic, less those of one that opens a log with a single partition, per partition; " +
    "then once more after an append of 1 KB to each, when what the log keeps of the newest batches is in it",
  notMeasured: "the kernel's memory (page cache, open files)",
  run,
};
