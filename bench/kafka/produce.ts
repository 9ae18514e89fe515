/** How fast do clients that are not ours produce records of 1 KB, and what does it cost the broker? */
import type { Benchmark, BenchmarkSize, Progress } from "../harness.ts";
import { makeScratch } from "../log/support/scratch.ts";
import { alternate, type Figures, outcomeOf } from "./support/alternation.ts";
import { javaMissing, javaProduce, kcatMissing, kcatProduce, recordBytes, writeLines } from "./support/clients.ts";
import type { Subject } from "./support/subjects.ts";
import { expectRecords, prepareTopic } from "./support/topics.ts";

const sizes = {
  full: { rounds: 5, records: 500_000, javaRecords: 300_000 },
  tiny: { rounds: 0, records: 1_000, javaRecords: 1_000 },
} as const;
const million = 1_000_000;

async function run(size: BenchmarkSize, progress: Progress) {
  const { rounds, records, javaRecords } = sizes[size];
  await using scratch = await makeScratch();
  const file = await writeLines(scratch.directory, records);
  const missing = { kcat: kcatMissing(), java: javaMissing() };
  const alternated = await alternate({
    size,
    subjects: ["millrace", "kafka, flush.messages=1", "kafka", "null server"],
    rounds,
    progress,
    notes: [missing.kcat, missing.java],
    async measure(subject, round) {
      const figures: Record<string, Figures> = {};
      if (!missing.kcat) {
        figures["librdkafka, large batches"] = await produceTo(subject, `lines-${round}`, records, async (topic) => {
          const seconds = await kcatProduce(subject.bootstrap, topic, file);
          return { value: (records * recordBytes) / million / seconds };
        });
      }
      if (!missing.java) {
        figures["Java, batches of 16 KB"] = await produceTo(subject, `java-${round}`, javaRecords, async (topic) => {
          const { megabytesPerSecond, p50Ms, p99Ms } = await javaProduce(subject.bootstrap, topic, javaRecords);
          return { value: megabytesPerSecond, details: { p50Ms, p99Ms } };
        });
      }
      return figures;
    },
  });
  return outcomeOf([alternated], "librdkafka, large batches, kafka, flush.messages=1");
}

async function produceTo(
  subject: Subject,
  topic: string,
  count: number,
  produce: (topic: string) => Promise<Omit<Figures, "unit">>,
): Promise<Figures> {
  await prepareTopic(subject, topic);
  const beforeSeconds = subject.cpuSeconds();
  const { value, details } = await produce(topic);
  const brokerCpuSecondsPerMillion = ((subject.cpuSeconds() - beforeSeconds) / count) * million;
  const residentMegabytes = subject.residentMegabytes();
  await expectRecords(subject, topic, count);
  return { value, unit: "MB/s", details: { ...details, brokerCpuSecondsPerMillion, residentMegabytes } };
}

export const benchmark: Benchmark = {
  question: "kafka/produce: how fast do Kafka's clients produce records of 1 KB, acks=all?",
  method:
    "kcat (librdkafka in its defaults: batches up to 1 MB, 5 ms of linger) sends the lines of a file, its start and end being part of the time; Java's ProducerPerformance sends its own records " +
    "(its defaults: 16 KB batches, idempotent). One partition of a new topic, made before, on loopback; afterwards the partition's end is compared with what was sent. Subjects in turn, medians of " +
    "the rounds, the first round is warm-up. Kafka 4.3.1 runs with the heap and the collector of its scripts; the null server acknowledges unread",
  notMeasured: "several partitions, compression, replication, a network",
  run,
};
