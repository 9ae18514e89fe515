/** What does the port to a log give in the two variants: the log in the process, and a real Kafka behind our own codec? */
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { systemRandom } from "../../src/base/random.ts";
import { openClusterEngine } from "../../src/engine/cluster/cluster-engine.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { type Benchmark, type BenchmarkSize, type Measurement, type Progress, percentile } from "../harness.ts";
import { copyOf, randomBatch } from "../log/support/batches.ts";
import { openLog } from "../log/support/open-log.ts";
import { makeScratch } from "../log/support/scratch.ts";
import { openSubject, type SubjectName, subjectMissing } from "./support/subjects.ts";

const sizes = {
  full: { rounds: 5, single: 1_000, shared: 20_000, bulkBatches: 3_000, transactions: 300 },
  tiny: { rounds: 1, single: 4, shared: 64, bulkBatches: 16, transactions: 2 },
} as const;
type Sizes = (typeof sizes)[BenchmarkSize];
const recordBytes = 1024;
const recordsPerBatch = 100;
const callers = 64;
const partitionsWritten = 6;
const readBytesMax = 8 * 1024 * 1024;
const million = 1_000_000;

type Variant = "embedded" | Extract<SubjectName, "kafka" | "kafka, flush.messages=1">;

interface OpenVariant extends AsyncDisposable {
  readonly name: Variant;
  readonly engine: Engine;
}

/** Of one round, by case. */
type Round = Readonly<Record<string, { readonly value: number; readonly unit: string; readonly p99Ms?: number }>>;

async function run(size: BenchmarkSize, progress: Progress) {
  const wanted: readonly Variant[] = ["embedded", "kafka", "kafka, flush.messages=1"];
  const missing = wanted.map((name) => whyMissing(name, size));
  await using stack = new AsyncDisposableStack();
  const variants: OpenVariant[] = [];
  for (const name of wanted.filter((_, i) => missing[i] === undefined)) variants.push(stack.use(await open(name)));
  const seen = new Map<Variant, Round[]>();
  const { rounds } = sizes[size];
  // What runs for the first time is slow: the first round is warm-up where there are several.
  for (let round = rounds > 1 ? 0 : 1; round <= rounds; round++) {
    for (const { name, engine } of variants) {
      progress(`round ${round} of ${rounds}: ${name}`);
      const figures = await measure(engine, `t${round}`, sizes[size]);
      if (round > 0) seen.set(name, [...(seen.get(name) ?? []), figures]);
    }
  }
  const notes = missing.filter((note) => note !== undefined && note !== "");
  const [first, ...rest] = measurementsOf(seen);
  const bound = rest.some(({ name }) => name.endsWith(", kafka")) ? `${Object.keys(cases)[0]}, kafka` : null;
  return {
    results: [first as Measurement, ...rest],
    bound,
    ...(notes.length > 0 && { notes: notes as string[] }),
  } as const;
}

/** Empty where the tiny form leaves it out. */
function whyMissing(name: Variant, size: BenchmarkSize): string | undefined {
  if (name === "embedded") return undefined;
  if (size === "tiny" && process.env.MILLRACE_BENCH_KAFKA !== "1") return "";
  return subjectMissing(name);
}

async function open(name: Variant): Promise<OpenVariant> {
  if (name === "embedded") {
    const scratch = await makeScratch();
    const engine = await openLog(join(scratch.directory, "log"));
    return {
      name,
      engine,
      async [Symbol.asyncDispose]() {
        await engine.close();
        await scratch[Symbol.asyncDispose]();
      },
    };
  }
  const kafka = await openSubject(name);
  const engine = await openClusterEngine({
    brokers: [{ host: "127.0.0.1", port: kafka.port }],
    clock: systemClock,
    random: systemRandom,
    diagnostics: silentDiagnostics,
  });
  return {
    name,
    engine,
    async [Symbol.asyncDispose]() {
      await engine.close();
      await kafka[Symbol.asyncDispose]();
    },
  };
}

const cases = {
  "an append of 1 KB, alone": appendAlone,
  "appends of 1 KB, 64 callers": appendTogether,
  "batches of 100 KB, 64 callers": appendBulk,
  "reading them again": readBulk,
  "a transaction over 6 partitions": writeTransactions,
} as const;

async function measure(engine: Engine, topic: string, size: Sizes): Promise<Round> {
  await engine.createTopic(topic, { partitions: partitionsWritten });
  await engine.createTopic(`${topic}-bulk`);
  const figures: Record<string, Round[string]> = {};
  for (const [name, answer] of Object.entries(cases)) figures[name] = await answer(engine, topic, size);
  return figures;
}

async function appendAlone(engine: Engine, topic: string, { single }: Sizes) {
  const template = randomBatch(1, recordBytes);
  const { latenciesMs } = await appendAll(engine, topic, template, { callers: 1, appends: single });
  return { value: percentile(latenciesMs, 0.5), unit: "ms p50", p99Ms: percentile(latenciesMs, 0.99) };
}

async function appendTogether(engine: Engine, topic: string, { shared }: Sizes) {
  const template = randomBatch(1, recordBytes);
  const { latenciesMs, seconds } = await appendAll(engine, topic, template, { callers, appends: shared });
  return { value: shared / seconds, unit: "appends/s", p99Ms: percentile(latenciesMs, 0.99) };
}

async function appendBulk(engine: Engine, topic: string, { bulkBatches }: Sizes) {
  const template = randomBatch(recordsPerBatch, recordBytes);
  const { seconds } = await appendAll(engine, `${topic}-bulk`, template, { callers, appends: bulkBatches });
  return { value: (bulkBatches * template.length) / million / seconds, unit: "MB/s" };
}

async function appendAll(
  engine: Engine,
  topic: string,
  template: Buffer,
  { callers, appends }: { readonly callers: number; readonly appends: number },
) {
  const latenciesMs: number[] = [];
  let left = appends;
  const call = async () => {
    while (left-- > 0) {
      const batch = copyOf(template);
      const beganMs = systemClock.monotonicMs();
      await engine.append({ topic, partition: 0, batch });
      latenciesMs.push(systemClock.monotonicMs() - beganMs);
    }
  };
  const beganMs = systemClock.monotonicMs();
  await Promise.all(Array.from({ length: callers }, call));
  return { latenciesMs, seconds: (systemClock.monotonicMs() - beganMs) / 1000 };
}

async function readBulk(engine: Engine, topic: string, { bulkBatches }: Sizes) {
  const place = { topic: `${topic}-bulk`, partition: 0, isolation: "read_committed", bytesMax: readBytesMax } as const;
  const end = bulkBatches * recordsPerBatch;
  let bytes = 0;
  const beganMs = systemClock.monotonicMs();
  for (let offset = 0; offset < end; ) {
    const { batches } = await engine.read({ ...place, offset, waitMs: 1_000 });
    for (const batch of batches) bytes += batch.length;
    offset += batches.length * recordsPerBatch;
  }
  return { value: bytes / million / ((systemClock.monotonicMs() - beganMs) / 1000), unit: "MB/s" };
}

async function writeTransactions(engine: Engine, topic: string, { transactions }: Sizes) {
  const producer = await engine.initProducer(`bench-${topic}`);
  const template = randomBatch(1, recordBytes);
  const latenciesMs: number[] = [];
  for (let i = 0; i < transactions; i++) {
    const batches = Array.from({ length: partitionsWritten }, () => copyOf(template));
    const beganMs = systemClock.monotonicMs();
    const transaction = producer.begin();
    await Promise.all(batches.map((batch, partition) => transaction.append({ topic, partition, batch })));
    await transaction.commit();
    latenciesMs.push(systemClock.monotonicMs() - beganMs);
  }
  return { value: percentile(latenciesMs, 0.5), unit: "ms p50", p99Ms: percentile(latenciesMs, 0.99) };
}

function measurementsOf(seen: ReadonlyMap<Variant, readonly Round[]>): Measurement[] {
  const others = [...seen.keys()].filter((variant) => variant !== "embedded");
  return Object.keys(cases).flatMap((name) =>
    [...seen].map(([variant, rounds]): Measurement => {
      const ofCase = rounds.flatMap((round) => round[name] ?? []);
      const p99s = ofCase.flatMap(({ p99Ms }) => p99Ms ?? []);
      return {
        name: `${name}, ${variant}`,
        value: percentile(
          ofCase.map(({ value }) => value),
          0.5,
        ),
        unit: ofCase[0]?.unit ?? "",
        ...(p99s.length > 0 && { details: { p99Ms: percentile(p99s, 0.5) } }),
        ...(variant === "embedded" && { bounds: others.map((other) => `${name}, ${other}`) }),
      };
    }),
  );
}

export const benchmark: Benchmark = {
  question: "kafka/engines: what does the engine give with the log in the process, and on a real Kafka?",
  method:
    `The same calls of the engine's port on the log in the process and on Kafka 4.3.1 on loopback, through our own codec, in its defaults and with flush.messages=1: records of ${recordBytes} bytes ` +
    `appended one by one and by ${callers} callers, batches of ${recordsPerBatch} records by ${callers} callers, the same read from the beginning, and transactions that write one record to each of ` +
    `${partitionsWritten} partitions. In alternation, medians of the rounds, the first round is warm-up. Only the log in the process and flush.messages=1 have synced what they acknowledge`,
  notMeasured: "replication, a network, several clients, the disk when nothing is in memory",
  run,
};
