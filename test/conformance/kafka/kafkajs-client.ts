/** kafkajs 2.2.4, as its own documentation uses it. */
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import kafkajs, {
  type Admin,
  type CompressionTypes,
  type Consumer,
  type EachBatchPayload,
  type IHeaders,
  type Kafka,
  type Producer,
  type Transaction,
} from "kafkajs";
import { type Arguments, type Client, isInternal, type Json, Refused, unsupported } from "./client.ts";
import { explicitTimestampMax, Member, type Received, tellText } from "./member.ts";

const { CompressionCodecs, CompressionTypes: Compressions, ConfigResourceTypes } = kafkajs;

process.env.KAFKAJS_NO_PARTITIONER_WARNING = "1";
// Codecs are the user's to bring; this one is Node.js's own.
CompressionCodecs[Compressions.ZSTD] = () => ({
  compress: async (encoder: { buffer: Buffer }) => zstdCompressSync(encoder.buffer),
  decompress: async (buffer: Buffer) => zstdDecompressSync(buffer),
});

const compressions: Readonly<Record<string, CompressionTypes>> = {
  gzip: Compressions.GZIP,
  zstd: Compressions.ZSTD,
};

// biome-ignore lint/suspicious/noConfusingVoidType: most operations have no value.
type Operation = (args: never) => Promise<Json | undefined | void>;

interface Place {
  readonly topic: string;
  readonly partition: number;
}

interface Sent {
  readonly partition?: number;
  readonly key?: string | null;
  readonly value?: string | null;
  readonly valueBytes?: number;
  readonly timestamp?: number;
  readonly headers?: readonly (readonly [string, string | null])[];
}

interface OpenArguments {
  readonly name: string;
  readonly group: string;
  readonly topics?: string[];
  readonly pattern?: string;
  readonly assignor?: string;
  readonly protocol?: string;
  readonly instanceId?: string;
  readonly reset?: string;
  readonly committed?: boolean;
  /** Records of other partitions are left out. */
  readonly partition?: number;
}

class Unsupported extends Error {}

export async function openKafkaJs(bootstrap: string): Promise<Client> {
  const client = new KafkaJsClient(bootstrap);
  await client.connect();
  return client;
}

class KafkaJsClient implements Client {
  readonly #kafka: Kafka;
  readonly #admin: Admin;
  readonly #consumers = new Map<string, { consumer: Consumer; member: Member; group: string }>();
  readonly #producers = new Map<string, { producer: Producer; transaction?: Transaction }>();
  readonly #operations: Readonly<Record<string, Operation>>;
  #reads = 0;

  constructor(bootstrap: string) {
    this.#kafka = new kafkajs.Kafka({
      brokers: [bootstrap],
      logLevel: kafkajs.logLevel.NOTHING,
      retry: { retries: 6, initialRetryTime: 50, maxRetryTime: 500 },
    });
    this.#admin = this.#kafka.admin();
    this.#operations = { ...this.#topicOperations(), ...this.#groupOperations(), ...this.#recordOperations() };
  }

  connect(): Promise<void> {
    return this.#admin.connect();
  }

  async run(operation: string, args: Arguments): Promise<Json> {
    const run = this.#operations[operation];
    try {
      if (run === undefined) throw new Unsupported(operation);
      return ((await run(args as never)) as Json | undefined) ?? null;
    } catch (error) {
      throw new Refused(nameOf(error), error instanceof Error ? error.message : String(error));
    }
  }

  async close(): Promise<void> {
    const open = [...this.#consumers.values()].map(({ consumer }) => consumer.disconnect());
    const producers = [...this.#producers.values()].map(({ producer }) => producer.disconnect());
    await Promise.allSettled([...open, ...producers, this.#admin.disconnect()]);
  }

  #topicOperations(): Readonly<Record<string, Operation>> {
    const admin = this.#admin;
    return {
      createTopic: async (args: {
        topic: string;
        partitions?: number;
        replicationFactor?: number;
        configs?: Record<string, string>;
        validateOnly?: boolean;
      }) =>
        admin.createTopics({
          validateOnly: args.validateOnly ?? false,
          topics: [
            {
              topic: args.topic,
              ...(args.partitions === undefined ? {} : { numPartitions: args.partitions }),
              ...(args.replicationFactor === undefined ? {} : { replicationFactor: args.replicationFactor }),
              configEntries: Object.entries(args.configs ?? {}).map(([name, value]) => ({ name, value })),
            },
          ],
        }),
      listTopics: async () => (await admin.listTopics()).filter((name) => !isInternal(name)).sort(),
      describeTopic: async ({ topic }: { topic: string }) => {
        const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
        const partitions = (topics[0]?.partitions ?? []).toSorted((a, b) => a.partitionId - b.partitionId);
        return {
          partitions: partitions.map(({ partitionId, leader, replicas, isr }) => ({
            partition: partitionId,
            led: leader >= 0,
            replicas: replicas.length,
            inSync: isr.length,
          })),
        };
      },
      deleteTopic: async ({ topic }: { topic: string }) => void (await admin.deleteTopics({ topics: [topic] })),
      addPartitions: async ({ topic, count }: { topic: string; count: number }) =>
        admin.createPartitions({ topicPartitions: [{ topic, count }] }),
      describeConfigs: async ({ topic, broker, names }: { topic?: string; broker?: string; names?: string[] }) => {
        const type = topic === undefined ? ConfigResourceTypes.BROKER : ConfigResourceTypes.TOPIC;
        const query = { type, name: topic ?? broker ?? "", ...(names === undefined ? {} : { configNames: names }) };
        const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [query] });
        const entries = (resources[0]?.configEntries ?? []).toSorted((a, b) => (a.configName < b.configName ? -1 : 1));
        return Object.fromEntries(
          entries.map(({ configName, configValue, configSource, readOnly, isSensitive }) => [
            configName,
            `${configValue} (source ${configSource}${readOnly ? ", read only" : ""}${isSensitive ? ", sensitive" : ""})`,
          ]),
        );
      },
      alterConfigs: async ({ topic, set, ...more }: { topic: string; set?: Record<string, string> }) => {
        if (set === undefined || Object.keys(more).length > 0) throw new Unsupported("only all settings at once");
        const configEntries = Object.entries(set).map(([name, value]) => ({ name, value }));
        const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }];
        await admin.alterConfigs({ validateOnly: false, resources });
      },
      listOffset: async ({ topic, partition, at, committed }: Place & { at: Json; committed?: boolean }) => {
        if (committed === true) throw new Unsupported("isolation");
        if (typeof at !== "number" && at !== "earliest" && at !== "latest") throw new Unsupported(String(at));
        if (typeof at === "number") {
          const found = await admin.fetchTopicOffsetsByTimestamp(topic, at);
          return { offset: Number(found.find((each) => each.partition === partition)?.offset) };
        }
        const found = (await admin.fetchTopicOffsets(topic)).find((each) => each.partition === partition);
        return { offset: found === undefined ? null : Number(at === "earliest" ? found.low : found.high) };
      },
      deleteRecords: async ({ topic, partition, before }: Place & { before: number }) =>
        void (await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] })),
      describeCluster: async () => {
        const { brokers, controller, clusterId } = await admin.describeCluster();
        return { nodes: brokers.length, controlled: controller !== null, named: clusterId !== "" };
      },
      listReassignments: async () => (await admin.listPartitionReassignments({})).topics.length,
    };
  }

  #groupOperations(): Readonly<Record<string, Operation>> {
    const admin = this.#admin;
    return {
      listGroups: async () => {
        const { groups } = await admin.listGroups();
        return groups.map(({ groupId, protocolType }) => `${groupId} ${protocolType}`).sort();
      },
      describeGroup: async ({ group }: { group: string }) => {
        const found = (await admin.describeGroups([group])).groups[0];
        return {
          state: found?.state ?? null,
          type: found?.protocolType ?? null,
          assignor: found?.protocol ?? null,
          members: found?.members.map(({ clientHost }) => clientHost) ?? null,
        };
      },
      deleteGroup: async ({ group }: { group: string }) => void (await admin.deleteGroups([group])),
      groupOffsets: async ({ group }: { group: string }) => this.#groupOffsets(group),
      resetOffsets: async ({ group, offsets }: { group: string; offsets: [string, number, number][] }) => {
        for (const [topic, partition, offset] of offsets) {
          await admin.setOffsets({ groupId: group, topic, partitions: [{ partition, offset: String(offset) }] });
        }
      },
      consumerOpen: async (args: OpenArguments) => this.#open(args),
      consumerTake: async ({ name, count }: { name: string; count: number }) => this.#member(name).member.take(count),
      consumerAssigned: async ({ name, count }: { name: string; count: number }) =>
        this.#member(name).member.assigned(count),
      consumerAtEnd: async ({ name }: { name: string }) => this.#member(name).member.atEnd(),
      consumerCommit: async ({ name, metadata }: { name: string; metadata?: string }) => {
        const { consumer, member } = this.#member(name);
        await consumer.commitOffsets(
          member.positions.map(({ topic, partition, offset }) => ({
            topic,
            partition,
            offset: String(offset),
            ...(metadata === undefined ? {} : { metadata }),
          })),
        );
      },
      consumerCommitted: async ({ name, topic, partition }: Place & { name: string }) =>
        (await this.#groupOffsets(this.#member(name).group))[`${topic}-${partition}`] ?? null,
      consumerSeek: async ({ name, topic, partition, offset }: Place & { name: string; offset: number }) => {
        const { consumer, member } = this.#member(name);
        consumer.seek({ topic, partition, offset: String(offset) });
        member.forget(topic, partition);
      },
      consumerClose: async ({ name }: { name: string }) => {
        const { consumer } = this.#member(name);
        this.#consumers.delete(name);
        await consumer.disconnect();
      },
    };
  }

  #recordOperations(): Readonly<Record<string, Operation>> {
    return {
      produce: async (args: {
        topic: string;
        records: Sent[];
        compression?: string;
        acks?: string;
        idempotent?: boolean;
      }) => {
        const compression = args.compression === undefined ? Compressions.None : compressions[args.compression];
        if (compression === undefined) throw new Unsupported(String(args.compression));
        const producer = this.#kafka.producer({ idempotent: args.idempotent ?? false });
        await producer.connect();
        try {
          const acks = { "0": 0, "1": 1, all: -1 }[args.acks ?? "all"] ?? -1;
          return tellSent(
            await producer.send({ topic: args.topic, messages: args.records.map(messageOf), acks, compression }),
          );
        } finally {
          await producer.disconnect();
        }
      },
      read: async (args: Place & { count: number; from?: number; reset?: string; committed?: boolean }) => {
        if (args.reset !== undefined) throw new Unsupported("what to do out of range");
        const name = `read-${++this.#reads}`;
        await this.#open({ ...args, name, group: name, topics: [args.topic] });
        const { consumer, member } = this.#member(name);
        if (args.from !== undefined) consumer.seek({ ...args, offset: String(args.from) });
        const found = await member.take(args.count);
        this.#consumers.delete(name);
        await consumer.disconnect();
        await this.#admin.deleteGroups([name]);
        return found;
      },
      transactionOpen: async (args: { name: string; transactionalId: string; timeoutMs?: number }) => {
        const producer = this.#kafka.producer({
          transactionalId: args.transactionalId,
          idempotent: true,
          maxInFlightRequests: 1,
          ...(args.timeoutMs === undefined ? {} : { transactionTimeout: args.timeoutMs }),
        });
        this.#producers.set(args.name, { producer });
        await producer.connect();
      },
      transactionBegin: async ({ name }: { name: string }) => {
        const { producer } = this.#producer(name);
        this.#producers.set(name, { producer, transaction: await producer.transaction() });
      },
      transactionSend: async ({ name, topic, records }: { name: string; topic: string; records: Sent[] }) =>
        tellSent(await this.#transaction(name).send({ topic, messages: records.map(messageOf) })),
      transactionOffsets: async (args: { name: string; group: string; offsets: [string, number, number][] }) => {
        const topics = args.offsets.map(([topic, partition, offset]) => ({
          topic,
          partitions: [{ partition, offset: String(offset) }],
        }));
        await this.#transaction(args.name).sendOffsets({ consumerGroupId: args.group, topics });
      },
      transactionCommit: async ({ name }: { name: string }) => void (await this.#transaction(name).commit()),
      transactionAbort: async ({ name }: { name: string }) => void (await this.#transaction(name).abort()),
      transactionClose: async ({ name }: { name: string }) => {
        const { producer } = this.#producer(name);
        this.#producers.delete(name);
        await producer.disconnect();
      },
    };
  }

  async #groupOffsets(group: string): Promise<{ readonly [place: string]: Json }> {
    const topics = await this.#admin.fetchOffsets({ groupId: group });
    return Object.fromEntries(
      topics
        .flatMap(({ topic, partitions }) =>
          partitions.map(({ partition, offset, metadata }): [string, Json] => [
            `${topic}-${partition}`,
            metadata ? `${offset} ${metadata}` : Number(offset),
          ]),
        )
        .filter(([, told]) => told !== -1)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  }

  async #open(args: OpenArguments): Promise<void> {
    const usual = args.assignor === undefined || args.assignor === "roundrobin";
    if (!usual || args.protocol !== undefined || args.instanceId !== undefined) throw new Unsupported("membership");
    const consumer = this.#kafka.consumer({
      groupId: args.group,
      heartbeatInterval: 200,
      sessionTimeout: 6_000,
      rebalanceTimeout: 5_000,
      maxWaitTimeInMs: 100,
      readUncommitted: args.committed !== true,
    });
    const member = new Member();
    this.#consumers.set(args.name, { consumer, member, group: args.group });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) =>
      member.assign(new Map(Object.entries(payload.memberAssignment))),
    );
    consumer.on(consumer.events.REBALANCING, () => member.assign(new Map()));
    consumer.on(consumer.events.CRASH, ({ payload }) => member.fail(payload.error));
    consumer.on(consumer.events.FETCH, () => {
      member.fetched = true;
    });
    await consumer.connect();
    const topics = args.pattern === undefined ? (args.topics ?? []) : [new RegExp(args.pattern)];
    await consumer.subscribe({ topics, fromBeginning: args.reset !== "latest" });
    const eachBatch = async (payload: EachBatchPayload) => {
      if ((args.partition ?? payload.batch.partition) === payload.batch.partition) member.receive(receivedOf(payload));
    };
    await consumer.run({ autoCommit: false, eachBatch });
  }

  #member(name: string): { consumer: Consumer; member: Member; group: string } {
    const found = this.#consumers.get(name);
    if (found === undefined) throw new Unsupported(`no consumer ${name}`);
    return found;
  }

  #producer(name: string): { producer: Producer; transaction?: Transaction } {
    const found = this.#producers.get(name);
    if (found === undefined) throw new Unsupported(`no producer ${name}`);
    return found;
  }

  #transaction(name: string): Transaction {
    const { transaction } = this.#producer(name);
    if (transaction === undefined) throw new Unsupported(`no transaction of ${name}`);
    return transaction;
  }
}

function messageOf({ partition, key, value, valueBytes, timestamp, headers }: Sent) {
  const made: IHeaders = {};
  for (const [name, text] of headers ?? []) {
    if (text === null) throw new Unsupported("null headers");
    const before = made[name];
    made[name] = before === undefined ? text : [before, text].flat();
  }
  return {
    value: valueBytes === undefined ? (value ?? null) : "x".repeat(valueBytes),
    key: key ?? null,
    ...(partition === undefined ? {} : { partition }),
    ...(timestamp === undefined ? {} : { timestamp: String(timestamp) }),
    ...(headers === undefined ? {} : { headers: made }),
  };
}

function tellSent(results: readonly { partition: number; baseOffset?: string }[] | undefined): Json {
  return (results ?? []).map(({ partition, baseOffset }) => `${partition}@${baseOffset ?? "?"}`).sort();
}

function receivedOf({ batch }: EachBatchPayload): Received[] {
  return batch.messages.map(({ offset, key, value, headers, timestamp }) => {
    const told: { [name: string]: Json } = { key: tellText(key), value: tellText(value) };
    const entries = Object.entries(headers ?? {}).flatMap(([name, values]) =>
      [values].flat().map((text): Json => [name, tellText(text)]),
    );
    if (entries.length > 0) told.headers = entries;
    if (Number(timestamp) < explicitTimestampMax) told.timestamp = Number(timestamp);
    return { topic: batch.topic, partition: batch.partition, offset: Number(offset), told };
  });
}

function nameOf(error: unknown): string {
  if (error instanceof Unsupported) return unsupported;
  const { type, name, cause, errors, groups, partitions } = error as {
    type?: string;
    name?: string;
    cause?: unknown;
    errors?: readonly unknown[];
    groups?: readonly { error?: unknown }[];
    partitions?: readonly { error?: unknown }[];
  };
  const inner = errors?.[0] ?? groups?.[0]?.error ?? partitions?.[0]?.error ?? cause;
  if (type !== undefined) return type;
  return inner === undefined ? (name ?? "Error") : nameOf(inner);
}
