/** Topics made before anything is timed, records put into them, and a look at how many there are afterwards. */
import { systemClock } from "../../../src/base/clock.ts";
import { createTopics } from "../../../src/kafka/apis/create-topics.ts";
import { listOffsets } from "../../../src/kafka/apis/list-offsets.ts";
import { metadata } from "../../../src/kafka/apis/metadata.ts";
import { produce } from "../../../src/kafka/apis/produce.ts";
import { BareClient } from "./bare-client.ts";
import type { Subject } from "./subjects.ts";

const metadataVersion = 9;
const produceVersion = 9;
const createTopicsVersion = 5;
const listOffsetsVersion = 5;
const latest = -1;
const retryMs = 5;
const inFlightMax = 4;

/** Says how many records it will have: the null server knows it from there. */
export function topicOf(what: string, round: number, records: number): string {
  return `${what}-${round}.${records}`;
}

/** One partition, made as clients have it made: by asking for it. Resolves when the partition serves. */
export async function makeTopic(client: BareClient, name: string): Promise<void> {
  await client.ask(metadata, metadataVersion, { topics: [{ name }] });
  await untilServed(client, [name], 1);
}

export async function makeTopics(client: BareClient, names: readonly string[], partitions: number): Promise<void> {
  const topics = names.map((name) => ({
    name,
    numPartitions: partitions,
    replicationFactor: 1,
    assignments: [],
    configs: [],
  }));
  const made = await client.ask(createTopics, createTopicsVersion, { topics });
  const refused = made.topics.find(({ errorCode }) => errorCode !== 0);
  if (refused) throw new Error(`topic ${refused.name} was not made: ${refused.errorMessage ?? refused.errorCode}`);
  await untilServed(client, names, partitions);
}

/** Kafka tells of a leader before that serves, so both are asked for. */
async function untilServed(client: BareClient, names: readonly string[], partitions: number): Promise<void> {
  const asked = names.map((name) => ({ name }));
  for (;;) {
    const { topics } = await client.ask(metadata, metadataVersion, { topics: asked });
    const hasLeaders = topics.every(({ errorCode, partitions: all }) => {
      return errorCode === 0 && all.length === partitions && all.every((one) => one.errorCode === 0);
    });
    if (hasLeaders) {
      const ends = await endsOf(client, names, partitions);
      if (ends.every(({ errorCode }) => errorCode === 0)) return;
    }
    await systemClock.sleep(retryMs);
  }
}

async function endsOf(client: BareClient, names: readonly string[], partitions: number) {
  const each = Array.from({ length: partitions }, (_, partitionIndex) => ({ partitionIndex, timestamp: latest }));
  const topics = names.map((name) => ({ name, partitions: each }));
  const answer = await client.ask(listOffsets, listOffsetsVersion, { replicaId: -1, topics });
  return answer.topics.flatMap((topic) => topic.partitions);
}

/** Acknowledged by all; throws when the broker refuses. */
export async function produceBatch(client: BareClient, topic: string, index: number, records: Buffer): Promise<void> {
  const partitionData = [{ index, records }];
  const request = { acks: -1, timeoutMs: 30_000, topicData: [{ name: topic, partitionData }] };
  const { responses } = await client.ask(produce, produceVersion, request);
  const errorCode = responses[0]?.partitionResponses[0]?.errorCode;
  if (errorCode !== 0) throw new Error(`the broker refused a batch: error ${errorCode}`);
}

/** The batch over and over, to the partitions in turn, a few at once. */
export async function fill(
  client: BareClient,
  topic: string,
  { batch, batches, partitions }: { readonly batch: Buffer; readonly batches: number; readonly partitions: number },
): Promise<void> {
  let next = 0;
  const write = async () => {
    for (let i = next++; i < batches; i = next++) await produceBatch(client, topic, i % partitions, batch);
  };
  await Promise.all(Array.from({ length: inFlightMax }, write));
}

/** Throws when partition 0 holds another number of records: then a client has not done what was timed. */
export async function expectRecords(subject: Subject, topic: string, count: number): Promise<void> {
  if (subject.name === "null server") return;
  await using client = await BareClient.open(subject.port);
  const end = (await endsOf(client, [topic], 1))[0]?.offset;
  if (end !== count) throw new Error(`${subject.name} has ${end} records in ${topic}, and was sent ${count}`);
}

/** Makes the topic over a connection of its own. */
export async function prepareTopic(subject: Subject, topic: string): Promise<void> {
  await using client = await BareClient.open(subject.port);
  await makeTopic(client, topic);
}
