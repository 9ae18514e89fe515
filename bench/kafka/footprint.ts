/** What does a broker take: memory at rest and at work, processor for what is produced, and what connections and partitions add? */
import { setTimeout as after } from "node:timers/promises";
import { systemClock } from "../../src/base/clock.ts";
import { metadata } from "../../src/kafka/apis/metadata.ts";
import { encodeRequestFrame } from "../../src/kafka/frames.ts";
import { type Benchmark, type BenchmarkSize, type Progress, percentile } from "../harness.ts";
import { makeScratch } from "../log/support/scratch.ts";
import { alternate, type Figures, outcomeOf } from "./support/alternation.ts";
import { BareClient } from "./support/bare-client.ts";
import { kcatMissing, kcatProduce, recordBytes, writeLines } from "./support/clients.ts";
import { openBroker, type Subject } from "./support/subjects.ts";
import { expectRecords, makeTopics, prepareTopic } from "./support/topics.ts";

const sizes = {
  full: { rounds: 3, settleMs: 5_000, lines: 500_000, times: 4, connections: 1_000, topics: 1_000, asked: 500 },
  tiny: { rounds: 0, settleMs: 0, lines: 1_000, times: 1, connections: 10, topics: 4, asked: 10 },
} as const;
const partitionsOfTopic = 10;
const topicsAtOnce = 100;
const connectsAtOnce = 50;
const watchMs = 50;
const million = 1_000_000;
const version = 12;

type Sizes = (typeof sizes)[BenchmarkSize];

async function run(size: BenchmarkSize, progress: Progress) {
  const given = sizes[size];
  await using scratch = await makeScratch();
  const missing = kcatMissing();
  const file = missing ? "" : await writeLines(scratch.directory, given.lines);
  const shared = { size, subjects: ["millrace", "kafka"], rounds: given.rounds, progress, open: openBroker } as const;
  const atWork = await alternate({
    ...shared,
    notes: [missing],
    measure: async (subject) => {
      const idle = await restingMegabytes(subject, given);
      return { "idle, an empty log": idle, ...(!missing && (await underLoad(subject, file, given))) };
    },
  });
  const withMany = await alternate({
    ...shared,
    measure: async (subject) => ({
      ...(await withConnections(subject, given)),
      ...(await withPartitions(subject, given)),
    }),
  });
  return outcomeOf([atWork, withMany], "idle, an empty log, kafka");
}

async function restingMegabytes(subject: Subject, { settleMs }: Sizes, details?: Figures["details"]): Promise<Figures> {
  await after(settleMs);
  return { value: subject.residentMegabytes(), unit: "MB resident", ...(details && { details }) };
}

async function underLoad(subject: Subject, file: string, given: Sizes): Promise<Record<string, Figures>> {
  const records = given.lines * given.times;
  await prepareTopic(subject, "load");
  const beforeSeconds = subject.cpuSeconds();
  const beganMs = systemClock.monotonicMs();
  let peakMegabytes = 0;
  const watching = setInterval(() => {
    peakMegabytes = Math.max(peakMegabytes, subject.residentMegabytes());
  }, watchMs);
  try {
    for (let time = 0; time < given.times; time++) await kcatProduce(subject.bootstrap, "load", file);
  } finally {
    clearInterval(watching);
  }
  const megabytesPerSecond = (records * recordBytes) / 1000 / (systemClock.monotonicMs() - beganMs);
  const cpuSeconds = ((subject.cpuSeconds() - beforeSeconds) / records) * million;
  await expectRecords(subject, "load", records);
  const endMegabytes = subject.residentMegabytes();
  const value = Math.max(peakMegabytes, endMegabytes);
  return {
    "peak while kcat produces": { value, unit: "MB resident", details: { megabytesPerSecond } },
    "after that, at rest": await restingMegabytes(subject, given),
    "producing, the broker's processor": { value: cpuSeconds, unit: "s per million records" },
  };
}

async function withConnections(subject: Subject, given: Sizes): Promise<Record<string, Figures>> {
  await using stack = new AsyncDisposableStack();
  await prepareTopic(subject, "one");
  const before = subject.residentMegabytes();
  const clients: BareClient[] = [];
  while (clients.length < given.connections) {
    const some = Math.min(connectsAtOnce, given.connections - clients.length);
    const opened = await Promise.all(Array.from({ length: some }, () => BareClient.open(subject.port)));
    for (const client of opened) clients.push(stack.use(client));
  }
  for (const client of clients) await client.ask(metadata, version, { topics: [{ name: "one" }] });
  const more = (subject.residentMegabytes() - before) / given.connections;
  const resident = await restingMegabytes(subject, given, { kilobytesPerConnection: more * 1024 });
  return { [`${given.connections} idle connections`]: resident };
}

async function withPartitions(subject: Subject, given: Sizes): Promise<Record<string, Figures>> {
  await using client = await BareClient.open(subject.port);
  const before = subject.residentMegabytes();
  const beganMs = systemClock.monotonicMs();
  const names = Array.from({ length: given.topics }, (_, i) => `many-${i}`);
  for (let from = 0; from < names.length; from += topicsAtOnce) {
    await makeTopics(client, names.slice(from, from + topicsAtOnce), partitionsOfTopic);
  }
  const makeSeconds = (systemClock.monotonicMs() - beganMs) / 1000;
  const partitions = given.topics * partitionsOfTopic;
  const kilobytesPerPartition = ((subject.residentMegabytes() - before) / partitions) * 1024;
  const resident = await restingMegabytes(subject, given, { kilobytesPerPartition, makeSeconds });
  const all = await askMetadata(client, null, given.asked);
  return {
    [`${partitions} partitions`]: resident,
    "Metadata of all topics": all,
    "Metadata of one topic": await askMetadata(client, "many-0", given.asked * 10),
    "after those answers, at rest": await restingMegabytes(subject, given),
  };
}

async function askMetadata(client: BareClient, name: string | null, times: number): Promise<Figures> {
  const topics = name === null ? null : [{ name }];
  const frame = Buffer.concat(encodeRequestFrame(metadata, version, 1, "bench", { topics }));
  const latenciesMs: number[] = [];
  let answerBytes = 0;
  // The first tenth is warm-up.
  for (let time = 0; time < times * 1.1; time++) {
    const beganMs = systemClock.monotonicMs();
    answerBytes = (await client.send([frame])).length;
    if (time >= times * 0.1) latenciesMs.push(systemClock.monotonicMs() - beganMs);
  }
  const value = percentile(latenciesMs, 0.99);
  const details = { p50Ms: percentile(latenciesMs, 0.5), answerKilobytes: answerBytes / 1024 };
  return { value, unit: "ms p99", details };
}

export const benchmark: Benchmark = {
  question: "kafka/footprint: what does a broker take of memory and processor?",
  method:
    "Resident memory of the broker's process after five seconds at rest, at its peak while kcat produces 2 million records of 1 KB (acks=all, one partition, sampled 20 times a second), and with 1,000 " +
    "connections that have asked for Metadata once; then, in the same process, with 1,000 topics of 10 partitions, and how long one connection then waits for Metadata 12 of all topics and of one (p99 of 500 and 5,000). The " +
    "broker's processor time for what was produced. Both brokers in turn, new processes and empty logs each round, medians of the rounds. Ours is the log and its Kafka door alone, run from its sources; Kafka 4.3.1 runs with the heap (1 GB) and the " +
    "collector of its scripts",
  notMeasured:
    "the whole program, which has the HTTP door, capture, views and their store beside it; the kernel's memory (page cache, sockets)",
  run,
};
