/** How long after its start does a broker acknowledge a record: on nothing, after an orderly end, and after it was killed? */
import { setTimeout as after } from "node:timers/promises";
import { systemClock } from "../../src/base/clock.ts";
import type { Benchmark, BenchmarkSize, Progress } from "../harness.ts";
import { randomBatch } from "../log/support/batches.ts";
import { alternate, type Figures, outcomeOf } from "./support/alternation.ts";
import { BareClient } from "./support/bare-client.ts";
import { type Broker, openBroker } from "./support/subjects.ts";
import { fill, makeTopic, makeTopics, produceBatch } from "./support/topics.ts";

const recordBytes = 1024;
const sizes = {
  full: { rounds: 3, batches: 10_240, recordsPerBatch: 1_000, partitions: 8, logName: "10 GB" },
  tiny: { rounds: 0, batches: 10, recordsPerBatch: 100, partitions: 2, logName: "1 MB" },
} as const;
const retryMs = 5;

async function run(size: BenchmarkSize, progress: Progress) {
  const { rounds, batches, recordsPerBatch, partitions, logName } = sizes[size];
  const batch = randomBatch(recordsPerBatch, recordBytes);
  const alternated = await alternate({
    size,
    subjects: ["millrace", "kafka"],
    rounds,
    progress,
    open: openBroker,
    async measure(broker) {
      await broker.stop();
      await broker.clear();
      const empty = await start(broker);
      await write(broker, batch, { batches, partitions });
      await broker.kill();
      const killed = await start(broker);
      await broker.stop();
      const stopped = await start(broker);
      return {
        [`after kill -9, ${logName}`]: killed,
        [`after a clean stop, ${logName}`]: stopped,
        "on an empty folder": empty,
      };
    },
  });
  return outcomeOf([alternated], `after kill -9, ${logName}, kafka`);
}

async function write(
  { port }: Broker,
  batch: Buffer,
  { batches, partitions }: { readonly batches: number; readonly partitions: number },
): Promise<void> {
  await using client = await BareClient.open(port);
  await makeTopics(client, ["filled"], partitions);
  await fill(client, "filled", { batch, batches, partitions });
}

/** From the start of its process to the first acknowledged record, of a client that asks all the time. */
async function start(broker: Broker): Promise<Figures> {
  const giveUp = new AbortController();
  const beganMs = systemClock.monotonicMs();
  const started = broker.start();
  try {
    const first = firstRecord(broker.port, giveUp.signal);
    await Promise.race([first, started.then(() => first)]);
    const seconds = (systemClock.monotonicMs() - beganMs) / 1000;
    await started;
    return { value: seconds, unit: "s" };
  } finally {
    giveUp.abort();
  }
}

async function firstRecord(port: number, signal: AbortSignal): Promise<void> {
  const batch = randomBatch(1, recordBytes);
  while (!signal.aborted) {
    try {
      await using client = await BareClient.open(port);
      await makeTopic(client, "first");
      await produceBatch(client, "first", 0, batch);
      return;
    } catch {
      // It does not listen, or does not serve the partition yet.
      await after(retryMs);
    }
  }
}

export const benchmark: Benchmark = {
  question: "kafka/start: how long after its start does a broker acknowledge its first record?",
  method:
    "From the start of the process to the answer of a Produce with one record of 1 KB, acks=all, by a client that tries every 5 ms and has its topic made when it is not there. In each round on an empty folder; after 10 GB were " +
    "produced to 8 partitions (batches of 1 MB, 4 in flight) and the process was killed at once; and on the same log after an orderly end. The page cache stays as it is, as it does when a process is started again. Both brokers in " +
    "turn, medians of the rounds. Ours is the log and its Kafka door alone, compiled from its sources at each start; Kafka 4.3.1 is one KRaft node, its start includes making the folder's format or looking at it",
  notMeasured: "a crash of the machine, a cold page cache, the whole program",
  run,
};
