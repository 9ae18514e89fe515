/** How fast do Kafka's clients read records of 1 KB that are still in memory, and old ones that must come from the disk? */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Benchmark, BenchmarkSize, Progress } from "../harness.ts";
import { settlePageCache } from "../log/support/page-cache.ts";
import { makeScratch } from "../log/support/scratch.ts";
import { alternate, type Figures, outcomeOf } from "./support/alternation.ts";
import {
  javaConsume,
  javaMissing,
  kcatConsume,
  kcatMissing,
  kcatProduce,
  recordBytes,
  writeLines,
} from "./support/clients.ts";
import type { Subject } from "./support/subjects.ts";
import { expectRecords, prepareTopic, topicOf } from "./support/topics.ts";

const sizes = {
  full: { rounds: 5, records: 100_000, coldRecords: 1_000_000 },
  tiny: { rounds: 0, records: 1_000, coldRecords: 2_000 },
} as const;
const million = 1_000_000;

async function run(size: BenchmarkSize, progress: Progress) {
  const { rounds, records, coldRecords } = sizes[size];
  await using scratch = await makeScratch();
  const file = await writeLines(scratch.directory, records);
  const old = topicOf("old", 0, coldRecords);
  const missing = { kcat: kcatMissing(), java: javaMissing() };
  const alternated = await alternate({
    size,
    subjects: ["millrace", "kafka", "null server"],
    rounds,
    progress,
    notes: [missing.kcat, missing.java],
    async measure(subject, round) {
      const figures: Record<string, Figures> = {};
      // It is what fills the topics, too.
      if (missing.kcat) return figures;
      if (round === 0) await fill(subject, old, file, coldRecords / records, records);
      const topic = topicOf("tail", round, records);
      await fill(subject, topic, file, 1, records);
      figures["what was just produced"] = await consume(subject, records, (count) =>
        kcatConsume(subject.bootstrap, topic, count),
      );
      if (!missing.java) {
        const { megabytesPerSecond: value, joinMs } = await javaConsume(subject.bootstrap, topic, records);
        figures["what was just produced, Java"] = { value, unit: "MB/s", details: { joinMs } };
      }
      // The cache is the whole machine's: a run whose figures mean nothing leaves it alone.
      const state = size === "full" ? await forgetFiles() : "warm";
      figures[`ten times as much, older, ${state}`] = await consume(subject, coldRecords, (count) =>
        kcatConsume(subject.bootstrap, old, count),
      );
      return figures;
    },
  });
  return outcomeOf([alternated], "what was just produced, kafka");
}

async function fill(subject: Subject, topic: string, file: string, times: number, records: number): Promise<void> {
  if (subject.name === "null server") return;
  await prepareTopic(subject, topic);
  for (let time = 0; time < times; time++) await kcatProduce(subject.bootstrap, topic, file);
  await expectRecords(subject, topic, times * records);
}

async function consume(subject: Subject, count: number, read: (count: number) => Promise<number>): Promise<Figures> {
  const beforeSeconds = subject.cpuSeconds();
  const seconds = await read(count);
  const brokerCpuSecondsPerMillion = ((subject.cpuSeconds() - beforeSeconds) / count) * million;
  const details = { brokerCpuSecondsPerMillion };
  return { value: (count * recordBytes) / million / seconds, unit: "MB/s", details };
}

/** What was written and is not on the disk yet cannot be forgotten: it is written first. */
async function forgetFiles(): Promise<"cold" | "warm"> {
  await promisify(execFile)("sync");
  return await settlePageCache([]);
}

export const benchmark: Benchmark = {
  question: "kafka/consume: how fast do Kafka's clients consume records of 1 KB?",
  method:
    "One partition is read from its beginning: 100 MB that were produced a moment ago, by kcat (librdkafka, its start and end being part of the time) and by Java's ConsumerPerformance (which joins a " +
    "group; the time of joining is not counted); and 1 GB that is older by kcat, after the page cache was dropped where that is allowed (cold or warm in the names), most of which our broker does not hold " +
    "in memory either. kcat may fetch 8 MB at once, and never stops for its own queue; it prints a letter for each record, and the letters are counted. Subjects in turn, medians of the rounds, the first round is " +
    "warm-up; the null server answers the same batch again and again",
  notMeasured: "groups of several members, several partitions, decompression, a network",
  run,
};
