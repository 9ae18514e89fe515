/**
 * One client of Node.js in a process of its own: produces to a topic, then reads it, and tells its parent how long each
 * took and how many records there were: `node-client-child.ts <task as JSON>`.
 */
import { Consumer as PlatformaticConsumer, Producer as PlatformaticProducer } from "@platformatic/kafka";
import kafkajs from "kafkajs";
import { systemClock } from "../../../src/base/clock.ts";
import { systemRandom } from "../../../src/base/random.ts";

export type NodeClient = "kafkajs" | "@platformatic/kafka";

export interface NodeClientTask {
  readonly client: NodeClient;
  readonly bootstrap: string;
  readonly topic: string;
  readonly recordBytes: number;
  readonly recordsPerBatch: number;
  readonly inFlight: number;
  /** Batches that are not timed, before those that are. */
  readonly warmUpBatches: number;
  readonly batches: number;
}

export interface NodeClientPhase {
  /** Of those that were timed. */
  readonly records: number;
  readonly seconds: number;
  /** Of this process, meanwhile. */
  readonly cpuSeconds: number;
}

interface Client {
  /** Resolves when it is acknowledged by all. */
  send(values: readonly Buffer[]): Promise<void>;
  /** From the first record on, until `on` says that it is enough; resolves when it has begun. */
  read(on: (records: number, lastOffset: number) => void): Promise<void>;
  close(): Promise<void>;
}

const task = JSON.parse(process.argv[2] ?? "") as NodeClientTask;
const { bootstrap, topic } = task;
process.env.KAFKAJS_NO_PARTITIONER_WARNING = "1";
process.on("disconnect", () => process.exit(1));
// kafkajs 2.2.4 sets a timer for a time that is over, and Node.js says so each time.
process.removeAllListeners("warning");

const client = task.client === "kafkajs" ? await openKafkaJs() : await openPlatformatic();
process.send?.(await produce(client));
process.send?.(await consume(client));
await client.close();
process.exit(0);

async function openKafkaJs(): Promise<Client> {
  const kafka = new kafkajs.Kafka({ brokers: [bootstrap], logLevel: kafkajs.logLevel.NOTHING });
  const producer = kafka.producer();
  const consumer = kafka.consumer({ groupId: `${topic}-group` });
  await producer.connect();
  return {
    async send(values) {
      await producer.send({ topic, acks: -1, messages: values.map((value) => ({ value, partition: 0 })) });
    },
    async read(on) {
      const joined = Promise.withResolvers<void>();
      consumer.on("consumer.group_join", () => joined.resolve());
      await consumer.connect();
      await consumer.subscribe({ topics: [topic], fromBeginning: true });
      await consumer.run({
        autoCommit: false,
        eachBatch: async ({ batch }) => on(batch.messages.length, Number(batch.lastOffset())),
      });
      await joined.promise;
    },
    async close() {
      await Promise.all([producer.disconnect(), consumer.disconnect()]);
    },
  };
}

async function openPlatformatic(): Promise<Client> {
  const base = { clientId: "bench", bootstrapBrokers: [bootstrap] };
  const producer = new PlatformaticProducer(base);
  const consumer = new PlatformaticConsumer({ ...base, groupId: `${topic}-group`, autocommit: false });
  return {
    async send(values) {
      await producer.send({ acks: -1, messages: values.map((value) => ({ topic, value, partition: 0 })) });
    },
    async read(on) {
      const stream = await consumer.consume({ topics: [topic], mode: "earliest" });
      stream.on("data", ({ offset }) => on(1, Number(offset)));
    },
    async close() {
      await Promise.all([producer.close(), consumer.close(true)]);
    },
  };
}

async function produce({ send }: Client): Promise<NodeClientPhase> {
  const values = Array.from({ length: task.recordsPerBatch }, () => systemRandom.bytes(task.recordBytes));
  const write = async (batches: number) => {
    let left = batches;
    const one = async () => {
      while (left-- > 0) await send(values);
    };
    await Promise.all(Array.from({ length: task.inFlight }, one));
  };
  await write(task.warmUpBatches);
  const stop = begin();
  await write(task.batches);
  return { records: task.batches * task.recordsPerBatch, ...stop() };
}

async function consume({ read }: Client): Promise<NodeClientPhase> {
  const warmUp = task.warmUpBatches * task.recordsPerBatch;
  const wanted = warmUp + task.batches * task.recordsPerBatch;
  const done = Promise.withResolvers<NodeClientPhase>();
  let seen = 0;
  let beganAt = 0;
  let stop = begin();
  await read((records, lastOffset) => {
    if (seen >= wanted) return;
    seen += records;
    if (lastOffset !== seen - 1) done.reject(new Error(`${seen} records were read up to offset ${lastOffset}`));
    if (seen >= wanted) done.resolve({ records: seen - beganAt, ...stop() });
    else if (seen >= warmUp && beganAt === 0 && warmUp > 0) {
      beganAt = seen;
      stop = begin();
    }
  });
  if (seen === 0) stop = begin();
  return await done.promise;
}

function begin(): () => { readonly seconds: number; readonly cpuSeconds: number } {
  const beganMs = systemClock.monotonicMs();
  const began = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(began);
    return { seconds: (systemClock.monotonicMs() - beganMs) / 1000, cpuSeconds: (user + system) / 1e6 };
  };
}
