/** The engine on our own log, in this process (`log/log.ts`). */
import { MillraceError } from "../../base/errors.ts";
import { Log, type LogOptions } from "../../log/log.ts";
import type { Partition } from "../../log/partition.ts";
import { ClientQuotas } from "../../log/quotas.ts";
import type {
  AppendRequest,
  AppendResult,
  Engine,
  FoundRecord,
  PartitionOffsets,
  ProducerIdentity,
  ProducerInfo,
  ReadRequest,
  ReadResult,
  RetentionHolder,
  TopicConfigs,
  TopicInfo,
  TopicSettings,
  TransactionalProducer,
  Transactions,
} from "../engine.ts";
import { checkTopicName, checkTopicSettings, sameTopicSettings } from "../topic-settings.ts";
import { ConsumerGroups } from "./consumer-groups.ts";

type Options<Name extends "init" | "end", Place extends number> = Exclude<
  Parameters<Transactions[Name]>[Place],
  undefined
>;

/** Timers take no more. */
const waitMsMax = 2 ** 31 - 1;

/**
 * Opens the log in a directory, or makes a new one there; no other process may have it open (`log/directory-lock.ts`).
 * What a crash left is read back first. Throws `LOG_FORMAT_NEWER`, and `LOG_DAMAGED` when the catalogue of
 * topics cannot be read; a damaged partition answers with that code and stops nothing else.
 */
export async function openEmbeddedEngine(options: LogOptions): Promise<EmbeddedEngine> {
  return new EmbeddedEngine(await Log.open(options), options);
}

export type ReadPlace = Pick<ReadRequest, "topic" | "partition" | "offset" | "isolation">;

/** It answers at once what the port lets an engine take its time for. */
export class EmbeddedEngine implements Engine {
  readonly #log: Log;
  readonly #quotas: ClientQuotas;
  /** Made anew when the topics have changed. */
  #byId: { readonly topics: readonly TopicInfo[]; readonly ids: ReadonlyMap<string, TopicInfo> } = {
    topics: [],
    ids: new Map(),
  };
  readonly #groups: ConsumerGroups;
  readonly #listeners = new Set<() => void>();

  constructor(log: Log, { clock, random, diagnostics }: LogOptions) {
    this.#log = log;
    this.#quotas = new ClientQuotas(clock);
    const engine = {
      topic: (name: string) => this.topic(name),
      createTopic: this.createTopic.bind(this),
      offsets: this.offsets.bind(this),
      append: this.append.bind(this),
      read: this.read.bind(this),
      settle: (topic: string, partition: number) => this.#log.partition(topic, partition).sync(),
    };
    this.#groups = new ConsumerGroups({ engine, clock, random, diagnostics });
  }

  get groups(): ConsumerGroups {
    return this.#groups;
  }

  get logId(): string {
    return this.#log.logId;
  }

  topics(): TopicInfo[] {
    return [...this.#log.topics()];
  }

  topic(name: string): TopicInfo | undefined {
    return this.#log.topic(name);
  }

  async createTopic(
    name: string,
    settings: Partial<TopicSettings> = {},
    options: { readonly readOnly?: boolean; readonly configs?: TopicConfigs } = {},
  ): Promise<TopicInfo> {
    checkTopicName(name);
    const wanted = checkTopicSettings(settings);
    const topic = await this.#log.createTopic(name, wanted, options.readOnly ?? false, options.configs);
    this.#topicsChanged();
    if (sameTopicSettings(topic.settings, wanted)) return topic;
    throw new MillraceError("TOPIC_EXISTS", `topic ${name} exists with other settings`, {
      details: { topic: name, settings: topic.settings },
    });
  }

  async alterTopic(
    name: string,
    settings: Partial<TopicSettings>,
    options: { readonly readOnly?: boolean; readonly configs?: TopicConfigs } = {},
  ): Promise<TopicInfo> {
    const alter = (known: TopicSettings) => {
      const wanted = checkTopicSettings({ ...known, ...settings });
      if (wanted.partitions >= known.partitions) return wanted;
      const message = `topic ${name} has ${known.partitions} partitions, and partitions are only ever added`;
      throw new MillraceError("SETTING_INVALID", message, { details: { setting: "partitions", topic: name } });
    };
    const altered = await this.#log.alterTopic(name, alter, options);
    this.#topicsChanged();
    return altered;
  }

  async deleteTopic(name: string): Promise<void> {
    await this.#log.deleteTopic(name);
    await this.#groups.topicDeleted(name);
    this.#topicsChanged();
  }

  offsets(topic: string, partition: number): PartitionOffsets {
    return offsetsOf(this.#log.partition(topic, partition));
  }

  leaderEpoch(topic: string, partition: number): number {
    return this.#log.partition(topic, partition).leaderEpoch;
  }

  async offsetForTime(topic: string, partition: number, timestampMs: number): Promise<number> {
    return await this.#log.partition(topic, partition).offsetForTime(timestampMs);
  }

  async recordForTime(topic: string, partition: number, timestampMs: number): Promise<FoundRecord | null> {
    return await this.#log.partition(topic, partition).recordForTime(timestampMs);
  }

  async latestRecord(topic: string, partition: number): Promise<FoundRecord | null> {
    return await this.#log.partition(topic, partition).latestRecord();
  }

  endOfEpoch(topic: string, partition: number, epoch: number) {
    return this.#log.partition(topic, partition).endOfEpoch(epoch);
  }

  async deleteRecords(topic: string, partition: number, offset: number): Promise<number> {
    const from = this.#log.partition(topic, partition);
    await from.deleteRecords(offset);
    return from.logStart;
  }

  producers(topic: string, partition: number): ProducerInfo[] {
    return this.#log.partition(topic, partition).producers.describe();
  }

  async append(request: AppendRequest): Promise<AppendResult> {
    const { topic, partition, batch, clientId } = request;
    const sizeBytes = batch.length;
    const placed = await this.#log.append(topic, partition, batch, request);
    return { topic, partition, ...placed, throttleMs: this.#used("produce", clientId, sizeBytes) };
  }

  async read(request: ReadRequest): Promise<ReadResult> {
    const { topic, partition, offset, isolation, bytesMax, waitMs, signal, clientId } = request;
    const from = this.#log.partition(topic, partition);
    const committed = isolation === "read_committed";
    if (waitMs) await from.readable(offset, committed, Math.min(waitMs, waitMsMax), signal);
    const { batches, aborted } = await from.read(offset, committed, bytesMax);
    const sizeBytes = clientId === undefined ? 0 : batches.reduce((sum, { length }) => sum + length, 0);
    return { batches, aborted, ...offsetsOf(from), throttleMs: this.#used("fetch", clientId, sizeBytes) };
  }

  /** Nobody looks at the batches of this answer any more: the memory that they lie in may be used again. */
  letGo({ batches }: Pick<ReadResult, "batches">): void {
    this.#log.letGo(batches);
  }

  topicById(id: string): TopicInfo | undefined {
    const topics = this.#log.topics();
    if (this.#byId.topics !== topics) this.#byId = { topics, ids: new Map(topics.map((topic) => [topic.id, topic])) };
    return this.#byId.ids.get(id);
  }

  /** Calls when a topic was made, has grown or was deleted; the answer ends it. */
  onTopicsChanged(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  partitionSizeBytes(topic: string, partition: number): number {
    return this.#log.partition(topic, partition).sizeBytes;
  }

  /** Wakes once, when there is something to read at `offset` or nothing ever will be; undefined when that is so already. */
  watch({ topic, partition, offset, isolation }: ReadPlace, wake: () => void): (() => void) | undefined {
    return this.#log.partition(topic, partition).watch(offset, isolation === "read_committed", wake);
  }

  async initProducer(
    transactionalId: string,
    options?: { readonly timeoutMs?: number | null },
  ): Promise<TransactionalProducer> {
    return await this.#log.initProducer(transactionalId, options);
  }

  get transactions() {
    const { transactions } = this.#log;
    return {
      newProducerId: async () => ({ producerId: await transactions.newProducerId(), epoch: 0 }),
      init: async (transactionalId: string, timeoutMs: number | null, options: Options<"init", 2> = {}) =>
        identityOf(await transactions.initByWire(transactionalId, timeoutMs, options.producer)),
      addPartitions: async (transactionalId, producer, partitions) => {
        const into = partitions.map(({ topic, partition }) => this.#log.partition(topic, partition));
        await transactions.addPartitions(transactionalId, producer, into);
      },
      end: async (
        transactionalId: string,
        producer: ProducerIdentity,
        outcome: "commit" | "abort",
        options: Options<"end", 3> = {},
      ) => identityOf(await transactions.endByWire(transactionalId, producer, outcome, options.transactionVersion)),
      abortIn: (topic, partition, producer) => this.#log.abortIn(topic, partition, producer),
      list: () => transactions.list(),
      describe: (transactionalId) => transactions.describe(transactionalId),
      abort: (transactionalId) => transactions.abort(transactionalId),
    } satisfies Transactions;
  }

  setQuota(kind: "produce" | "fetch", clientId: string | null, bytesPerSecond: number | undefined): void {
    const client = clientId ?? undefined;
    if (bytesPerSecond !== undefined && !(bytesPerSecond > 0 && bytesPerSecond <= Number.MAX_SAFE_INTEGER)) {
      throw new MillraceError("SETTING_INVALID", `a quota of ${bytesPerSecond} bytes a second cannot be`);
    }
    if (bytesPerSecond === undefined) this.#quotas.remove(kind, client);
    else if (!this.#quotas.set(kind, client, bytesPerSecond)) {
      throw new MillraceError(
        "SETTING_INVALID",
        `a quota for client ${clientId} cannot be set: there are too many, or its name is too long`,
      );
    }
  }

  #topicsChanged(): void {
    this.#groups.topicsChanged();
    for (const listener of this.#listeners) listener();
  }

  #used(kind: "produce" | "fetch", clientId: string | undefined, bytes: number): number {
    return clientId === undefined ? 0 : this.#quotas.record(kind, clientId, bytes);
  }

  holdRetention(holder: RetentionHolder): () => void {
    return this.#log.holdRetention(holder);
  }

  sizeBytes(topic: string): number {
    return this.#log.sizeBytes(topic);
  }

  async close(): Promise<void> {
    await this.#groups.close();
    await this.#log.close();
  }
}

/** Throws `PARTITION_FAILED`, `PARTITION_DAMAGED`. */
function offsetsOf(partition: Partition): PartitionOffsets {
  if (partition.failure) throw partition.failure;
  const { logStart, lastStable, highWatermark, leaderEpoch } = partition;
  return { logStart, lastStable, highWatermark, leaderEpoch };
}

function identityOf({ producerId, epoch }: ProducerIdentity): ProducerIdentity {
  return { producerId, epoch };
}
