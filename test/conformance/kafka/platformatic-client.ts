/** @platformatic/kafka 2.12.1, as its own documentation uses it. */
import {
  Admin,
  type ConfigResourceTypeValue,
  ConfigSources,
  Consumer,
  FetchIsolationLevels,
  IncrementalAlterConfigOperationTypes,
  type Message,
  type MessagesStream,
  Producer,
} from "@platformatic/kafka";
import { type Arguments, type Client, isInternal, type Json, Refused, unsupported } from "./client.ts";
import { explicitTimestampMax, Member, type Received, tellText } from "./member.ts";

// biome-ignore lint/suspicious/noConfusingVoidType: most operations have no value.
type Operation = (args: never) => Promise<Json | undefined | void>;

type Transaction = Awaited<ReturnType<Producer["beginTransaction"]>>;

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
}

interface Membership {
  readonly consumer: Consumer;
  readonly stream: MessagesStream<Buffer, Buffer, Buffer, Buffer>;
  readonly member: Member;
  readonly group: string;
  /** By place and offset, for transactions. */
  readonly messages: Map<string, Message>;
}

class Unsupported extends Error {}

const specialOffsets: Readonly<Record<string, bigint>> = {
  latest: -1n,
  earliest: -2n,
  "max-timestamp": -3n,
  "earliest-local": -4n,
  "latest-tiered": -5n,
};

export async function openPlatformatic(bootstrap: string): Promise<Client> {
  return new PlatformaticClient(bootstrap);
}

class PlatformaticClient implements Client {
  readonly #common: { clientId: string; bootstrapBrokers: string[]; retries: number; retryDelay: number };
  readonly #admin: Admin;
  readonly #consumers = new Map<string, Membership>();
  readonly #producers = new Map<string, { producer: Producer; transaction?: Transaction }>();
  readonly #operations: Readonly<Record<string, Operation>>;
  #reads = 0;

  constructor(bootstrap: string) {
    this.#common = { clientId: "tour", bootstrapBrokers: [bootstrap], retries: 3, retryDelay: 100 };
    this.#admin = new Admin({ ...this.#common });
    this.#operations = { ...this.#topicOperations(), ...this.#groupOperations(), ...this.#recordOperations() };
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
    const consumers = [...this.#consumers.values()].map(({ consumer }) => consumer.close(true));
    const producers = [...this.#producers.values()].map(({ producer }) => producer.close(true));
    await Promise.allSettled([...consumers, ...producers, this.#admin.close()]);
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
      }) => {
        if (args.validateOnly) throw new Unsupported("only trying");
        const [made] = await admin.createTopics({
          topics: [args.topic],
          ...(args.partitions === undefined ? {} : { partitions: args.partitions }),
          ...(args.replicationFactor === undefined ? {} : { replicas: args.replicationFactor }),
          configs: Object.entries(args.configs ?? {}).map(([name, value]) => ({ name, value })),
        });
        return { partitions: made?.partitions ?? null, replicationFactor: made?.replicas ?? null };
      },
      listTopics: async () => (await admin.listTopics()).filter((name) => !isInternal(name)).sort(),
      describeTopic: async ({ topic }: { topic: string }) => {
        const { topics } = await admin.metadata({ topics: [topic], autocreateTopics: false, forceUpdate: true });
        const found = topics.get(topic);
        return {
          identified: found?.id !== undefined,
          partitions: (found?.partitions ?? []).map(({ leader, replicas, isr }, partition) => ({
            partition,
            led: leader >= 0,
            replicas: replicas.length,
            inSync: isr.length,
          })),
        };
      },
      deleteTopic: async ({ topic }: { topic: string }) => admin.deleteTopics({ topics: [topic] }),
      addPartitions: async ({ topic, count }: { topic: string; count: number }) =>
        admin.createPartitions({ topics: [{ name: topic, count, assignments: null }] }),
      describeConfigs: async ({ topic, broker, names }: { topic?: string; broker?: string; names?: string[] }) => {
        const resource = { ...resourceOf(topic, broker), configurationKeys: names ?? null };
        const [found] = await admin.describeConfigs({ resources: [resource] });
        const configs = (found?.configs ?? []).toSorted((a, b) => (a.name < b.name ? -1 : 1));
        const sources = new Map<number, string>(Object.entries(ConfigSources).map(([name, source]) => [source, name]));
        return Object.fromEntries(
          configs.map(({ name, value, configSource, configType, readOnly, isSensitive }) => [
            name,
            `${value} (${sources.get(configSource)}, type ${configType}${readOnly ? ", read only" : ""}${isSensitive ? ", sensitive" : ""})`,
          ]),
        );
      },
      alterConfigs: async ({ topic, ...changes }: { topic: string } & Record<string, Record<string, string>>) => {
        const kinds = IncrementalAlterConfigOperationTypes;
        const configs = Object.entries(changes).flatMap(([kind, entries]) =>
          Object.entries(entries as Record<string, string>).map(([name, value]) => {
            if (kind === "delete") return { name, configOperation: kinds.DELETE };
            return { name, value, configOperation: { set: kinds.SET, append: kinds.APPEND }[kind] ?? kinds.SUBTRACT };
          }),
        );
        await admin.incrementalAlterConfigs({ resources: [{ ...resourceOf(topic), configs }] });
      },
      listOffset: async ({ topic, partition, at, committed }: Place & { at: Json; committed?: boolean }) => {
        const timestamp = typeof at === "number" ? BigInt(at) : specialOffsets[String(at)];
        if (timestamp === undefined) throw new Unsupported(String(at));
        const { READ_COMMITTED, READ_UNCOMMITTED } = FetchIsolationLevels;
        const [found] = await admin.listOffsets({
          topics: [{ name: topic, partitions: [{ partitionIndex: partition, timestamp }] }],
          isolationLevel: committed ? READ_COMMITTED : READ_UNCOMMITTED,
        });
        const told = found?.partitions[0];
        const time = Number(told?.timestamp ?? -1);
        return {
          offset: Number(told?.offset ?? -1),
          ...(time >= 0 && time < explicitTimestampMax ? { timestamp: time } : {}),
        };
      },
      deleteRecords: async ({ topic, partition, before }: Place & { before: number }) => {
        const partitions = [{ partition, offset: BigInt(before) }];
        const [found] = await admin.deleteRecords({ topics: [{ name: topic, partitions }] });
        return { lowWatermark: Number(found?.partitions[0]?.lowWatermark ?? -1) };
      },
      describeCluster: async () => {
        const { brokers, controllerId, id } = await admin.metadata({ topics: [] });
        return { nodes: brokers.size, controlled: controllerId >= 0, named: id !== "" };
      },
      describeLogDirs: async ({ topic }: { topic: string }) => {
        const found = await admin.describeLogDirs({ topics: [{ name: topic, partitions: [0, 1] }] });
        const partitions = found.flatMap(({ results }) =>
          results.flatMap(({ topics }) => topics.flatMap((each) => each.partitions)),
        );
        return Object.fromEntries(
          partitions
            .toSorted((a, b) => a.partitionIndex - b.partitionIndex)
            .map(({ partitionIndex, partitionSize, offsetLag, isFutureKey }) => [
              `${topic}-${partitionIndex}`,
              { filled: partitionSize > 0n, lag: Number(offsetLag), future: isFutureKey },
            ]),
        );
      },
      describeAcls: async () => {
        const filter = {
          ...{ resourceType: 1, resourceName: null, resourcePatternType: 1 },
          ...{ principal: null, host: null, operation: 1, permissionType: 1 },
        } as const;
        return (await admin.describeAcls({ filter: filter as never })).length;
      },
    };
  }

  #groupOperations(): Readonly<Record<string, Operation>> {
    const admin = this.#admin;
    return {
      listGroups: async () =>
        [...(await admin.listGroups()).values()]
          .map(({ id, state, groupType, protocolType }) => `${id} ${groupType} ${protocolType} ${state}`)
          .sort(),
      describeGroup: async ({ group }: { group: string }) => {
        const found = (await admin.describeGroups({ groups: [group] })).get(group);
        const members = [...(found?.members.values() ?? [])].map(({ groupInstanceId, clientHost, assignments }) => {
          const places = [...(assignments?.values() ?? [])].flatMap(({ topic, partitions }) =>
            partitions.map((partition) => `${topic}-${partition}`),
          );
          return `${groupInstanceId ?? "-"} ${clientHost} ${places.sort().join(" ")}`;
        });
        return {
          state: found?.state ?? null,
          type: found?.protocolType ?? null,
          assignor: found?.protocol ?? null,
          members: members.sort(),
        };
      },
      deleteGroup: async ({ group }: { group: string }) => void (await admin.deleteGroups({ groups: [group] })),
      groupOffsets: async ({ group }: { group: string }) => this.#groupOffsets(group),
      resetOffsets: async ({ group, offsets }: { group: string; offsets: [string, number, number][] }) => {
        const topics = offsets.map(([name, partition, offset]) => ({
          name,
          partitionOffsets: [{ partition, offset: BigInt(offset) }],
        }));
        await admin.alterConsumerGroupOffsets({ groupId: group, topics });
      },
      deleteOffsets: async ({ group, partitions }: { group: string; partitions: [string, number][] }) => {
        const topics = partitions.map(([name, partition]) => ({ name, partitionIndexes: [partition] }));
        await admin.deleteConsumerGroupOffsets({ groupId: group, topics });
      },
      consumerOpen: async (args: OpenArguments) => this.#open(args),
      consumerTake: async ({ name, count }: { name: string; count: number }) => this.#member(name).member.take(count),
      consumerAssigned: async ({ name, count }: { name: string; count: number }) =>
        this.#member(name).member.assigned(count),
      consumerAtEnd: async ({ name }: { name: string }) => this.#member(name).member.atEnd(),
      consumerCommit: async ({ name, metadata }: { name: string; metadata?: string }) => {
        if (metadata !== undefined) throw new Unsupported("metadata of an offset");
        const { consumer, member } = this.#member(name);
        await consumer.commit({
          offsets: member.positions.map(({ offset, ...place }) => ({
            ...place,
            offset: BigInt(offset),
            leaderEpoch: -1,
          })),
        });
      },
      consumerCommitted: async ({ name, topic, partition }: Place & { name: string }) => {
        const found = await this.#member(name).consumer.listCommittedOffsets({
          topics: [{ topic, partitions: [partition] }],
        });
        return Number(found.get(topic)?.[partition] ?? -1);
      },
      consumerClose: async ({ name }: { name: string }) => {
        const { consumer } = this.#member(name);
        this.#consumers.delete(name);
        await consumer.close(true);
      },
    };
  }

  #recordOperations(): Readonly<Record<string, Operation>> {
    return {
      produce: async (args: {
        topic: string;
        records: Sent[];
        compression?: "gzip" | "snappy" | "lz4" | "zstd";
        acks?: string;
        idempotent?: boolean;
      }) => {
        const producer = new Producer({
          ...this.#common,
          autocreateTopics: true,
          ...(args.idempotent === undefined ? {} : { idempotent: args.idempotent, retries: 3 }),
        });
        try {
          const sent = await producer.send({
            messages: args.records.map((record) => messageOf(args.topic, record)),
            acks: { "0": 0, "1": 1, all: -1 }[args.acks ?? "all"] ?? -1,
            ...(args.compression === undefined ? {} : { compression: args.compression }),
          });
          return tellSent(sent.offsets);
        } finally {
          await producer.close(true);
        }
      },
      read: async (args: Place & { count: number; from?: number; reset?: string; committed?: boolean }) => {
        const name = `read-${++this.#reads}`;
        await this.#open({ ...args, name, group: name, topics: [args.topic] }, args);
        const { consumer, member } = this.#member(name);
        try {
          return await member.take(args.count);
        } finally {
          this.#consumers.delete(name);
          await consumer.close(true);
          await this.#admin.deleteGroups({ groups: [name] }).catch(() => undefined);
        }
      },
      transactionOpen: async (args: { name: string; transactionalId: string; timeoutMs?: number }) => {
        if (args.timeoutMs !== undefined) throw new Unsupported("a transaction's time");
        const { transactionalId } = args;
        const producer = new Producer({ ...this.#common, transactionalId, idempotent: true });
        this.#producers.set(args.name, { producer });
      },
      transactionBegin: async ({ name }: { name: string }) => {
        const { producer } = this.#producer(name);
        this.#producers.set(name, { producer, transaction: await producer.beginTransaction() });
      },
      transactionSend: async ({ name, topic, records }: { name: string; topic: string; records: Sent[] }) => {
        const messages = records.map((record) => messageOf(topic, record));
        return tellSent((await this.#transaction(name).send({ messages })).offsets);
      },
      transactionOffsets: async (args: { name: string; consumer?: string; offsets: [string, number, number][] }) => {
        if (args.consumer === undefined) throw new Unsupported("a group without a consumer");
        const { consumer, messages } = this.#member(args.consumer);
        const transaction = this.#transaction(args.name);
        await transaction.addConsumer(consumer);
        for (const [topic, partition, offset] of args.offsets) {
          const message = messages.get(`${topic}-${partition}@${offset - 1}`);
          if (message === undefined) throw new Unsupported("an offset that was not read");
          await transaction.addOffset(message);
        }
      },
      transactionCommit: async ({ name }: { name: string }) => this.#transaction(name).commit(),
      transactionAbort: async ({ name }: { name: string }) => this.#transaction(name).abort(),
      transactionClose: async ({ name }: { name: string }) => {
        const { producer } = this.#producer(name);
        this.#producers.delete(name);
        await producer.close(true);
      },
    };
  }

  async #groupOffsets(group: string): Promise<Json> {
    const [found] = await this.#admin.listConsumerGroupOffsets({ groups: [group] });
    return Object.fromEntries(
      (found?.topics ?? [])
        .flatMap(({ name, partitions }) =>
          partitions.map(({ partitionIndex, committedOffset, metadata }): [string, Json] => [
            `${name}-${partitionIndex}`,
            metadata ? `${committedOffset} ${metadata}` : Number(committedOffset),
          ]),
        )
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  }

  async #open(args: OpenArguments, from?: Partial<Place> & { readonly from?: number }): Promise<void> {
    if (args.pattern !== undefined || args.assignor === "range") throw new Unsupported("membership");
    const cooperative = args.assignor === "cooperative";
    const consumer = new Consumer({
      ...this.#common,
      groupId: args.group,
      autocommit: false,
      maxWaitTime: 100,
      isolationLevel: args.committed ? FetchIsolationLevels.READ_COMMITTED : FetchIsolationLevels.READ_UNCOMMITTED,
      ...(args.protocol === "consumer"
        ? { groupProtocol: "consumer" as const }
        : { sessionTimeout: 6_000, rebalanceTimeout: 6_000, heartbeatInterval: 200 }),
      ...(cooperative ? { protocols: [{ name: "cooperative-sticky", version: 1 }] } : {}),
      ...(args.instanceId === undefined ? {} : { groupInstanceId: args.instanceId }),
    });
    const member = new Member();
    const messages = new Map<string, Message>();
    const assign = () =>
      member.assign(new Map((consumer.assignments ?? []).map(({ topic, partitions }) => [topic, partitions])));
    consumer.on("consumer:group:join", assign);
    consumer.on("consumer:heartbeat:end", assign);
    const place =
      from?.from === undefined ? undefined : { topic: args.topics?.[0] ?? "", partition: from.partition ?? 0 };
    try {
      const stream = await consumer.consume({
        topics: args.topics ?? [],
        ...(place === undefined
          ? { mode: "committed" as const }
          : { mode: "manual" as const, offsets: [{ ...place, offset: BigInt(from?.from ?? 0) }] }),
        fallbackMode: args.reset === "latest" ? "latest" : args.reset === "none" ? "fail" : "earliest",
      });
      this.#consumers.set(args.name, { consumer, stream, member, group: args.group, messages });
      stream.on("fetch", () => {
        member.fetched = true;
      });
      stream.on("error", (error) => member.fail(error));
      stream.on("data", (message) => {
        if ((from?.partition ?? message.partition) !== message.partition) return;
        messages.set(`${message.topic}-${message.partition}@${message.offset}`, message);
        member.receive([receivedOf(message)]);
      });
      assign();
    } catch (error) {
      await consumer.close(true).catch(() => undefined);
      throw error;
    }
  }

  #member(name: string): Membership {
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

function resourceOf(topic?: string, broker?: string): { resourceType: ConfigResourceTypeValue; resourceName: string } {
  return topic === undefined
    ? { resourceType: 4, resourceName: broker ?? "" }
    : { resourceType: 2, resourceName: topic };
}

function messageOf(topic: string, { partition, key, value, valueBytes, timestamp, headers }: Sent) {
  if (headers?.some(([, text]) => text === null)) throw new Unsupported("null headers");
  const bytes = (text: string | null | undefined) => (typeof text === "string" ? Buffer.from(text) : undefined);
  return {
    topic,
    key: bytes(key) as Buffer,
    value: (valueBytes === undefined ? bytes(value) : Buffer.alloc(valueBytes, "x")) as Buffer,
    ...(partition === undefined ? {} : { partition }),
    ...(timestamp === undefined ? {} : { timestamp: BigInt(timestamp) }),
    ...(headers === undefined
      ? {}
      : { headers: new Map(headers.map(([name, text]) => [Buffer.from(name), Buffer.from(text ?? "")])) }),
  };
}

function tellSent(offsets: readonly { partition: number; offset: bigint }[] | undefined): Json {
  return (offsets ?? []).map(({ partition, offset }) => `${partition}@${offset}`).sort();
}

function receivedOf({ topic, partition, offset, key, value, headerEntries, timestamp }: Message): Received {
  const told: { [name: string]: Json } = { key: tellText(key), value: tellText(value) };
  const headers = headerEntries.map(([name, text]): Json => [tellText(name), tellText(text)]);
  if (headers.length > 0) told.headers = headers;
  if (timestamp < BigInt(explicitTimestampMax)) told.timestamp = Number(timestamp);
  return { topic, partition, offset: Number(offset), told };
}

function nameOf(error: unknown): string {
  if (error instanceof Unsupported) return unsupported;
  const { apiId, code, errors, cause } = error as {
    apiId?: string;
    code?: string;
    errors?: readonly unknown[];
    cause?: unknown;
  };
  if (apiId !== undefined) return apiId;
  const inner = errors?.at(-1) ?? cause;
  return inner === undefined ? (code ?? (error instanceof Error ? error.name : "Error")) : nameOf(inner);
}
