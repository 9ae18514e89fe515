/** The engine on a real Kafka cluster, 4.0 or later, through our own codec (`kafka/`). */
import { createHash } from "node:crypto";
import { MillraceError } from "../../base/errors.ts";
import { ClientQuotas } from "../../log/quotas.ts";
import { batchAttributes, batchProducerId, isTransactional, readBatchHeader } from "../../records/batch-header.ts";
import { checkAppendable } from "../../records/batch-validator.ts";
import type {
  AppendRequest,
  AppendResult,
  Engine,
  EpochEnd,
  FoundRecord,
  PartitionOffsets,
  ProducerInfo,
  ReadRequest,
  ReadResult,
  TopicConfigs,
  TopicInfo,
  TopicSettings,
  TransactionalProducer,
  Transactions,
} from "../engine.ts";
import type { Groups } from "../groups.ts";
import type { AppendQueue } from "./append-queue.ts";
import { Appender } from "./appender.ts";
import { ClusterClient, type ClusterClientOptions } from "./cluster-client.ts";
import { ClusterGroups } from "./cluster-groups.ts";
import type { KnownPartition } from "./cluster-metadata.ts";
import { ClusterTopics } from "./cluster-topics.ts";
import { ClusterTransactions } from "./cluster-transactions.ts";
import { Fetcher } from "./fetcher.ts";
import { KafkaError, toMillraceError } from "./kafka-error.ts";
import { PartitionFacts } from "./partition-facts.ts";
import { notesTopic, TopicNotes } from "./topic-notes.ts";
import { ClusterProducer, type TransactionHost } from "./transactional-producer.ts";

export interface ClusterEngineOptions extends ClusterClientOptions {
  /** How often coordinators hear of the members of consumer groups, and those of rebalances; a second. */
  readonly groupHeartbeatMs?: number;
}

/** Timers take no more. */
const waitMsMax = 2 ** 31 - 1;
/** How long closing may wait for the cluster. */
const closeWaitMs = 5_000;
/** Transactions that cannot tear (KIP-890). */
const transactionVersionMin = 2;

/**
 * Connects to a cluster. Nothing is made on it before something is created or written. Throws `CLUSTER_UNREACHABLE`, when no
 * broker answers for a minute, `CLUSTER_REFUSED`, and `CLUSTER_UNSUITABLE` when it is older than Kafka 4.0 or its
 * `transaction.version` is below 2.
 */
export async function openClusterEngine(options: ClusterEngineOptions): Promise<Engine> {
  const client = await ClusterClient.open(options);
  try {
    assertSuitable(client);
    const engine = new ClusterEngine(client, options);
    await engine.start();
    return engine;
  } catch (error) {
    await client.close();
    throw toMillraceError(error);
  }
}

class ClusterEngine implements Engine {
  readonly logId: string;
  readonly #client: ClusterClient;
  readonly #topics: ClusterTopics;
  readonly #notes: TopicNotes;
  readonly #appender: Appender;
  readonly #fetcher: Fetcher;
  readonly #facts: PartitionFacts;
  readonly #transactions: ClusterTransactions;
  readonly #quotas: ClientQuotas;
  readonly #groups: ClusterGroups;
  readonly #producers = new Map<string, ClusterProducer>();
  #closing: Promise<void> | undefined;

  constructor(client: ClusterClient, { groupHeartbeatMs }: ClusterEngineOptions) {
    this.#client = client;
    this.logId = uuidOf(client.metadata.clusterId ?? "");
    this.#appender = new Appender(client);
    this.#fetcher = new Fetcher(client);
    this.#facts = new PartitionFacts(client);
    this.#transactions = new ClusterTransactions(client, this.#facts);
    this.#quotas = new ClientQuotas(client.clock);
    this.#notes = new TopicNotes(client, {
      read: (topicId, request) => this.#fetcher.read(topicId, request),
      append: (topicId, batch) =>
        this.#appender.append(this.#appender.shared({ topic: notesTopic, topicId, partition: 0 }, "own"), batch),
    });
    this.#groups = new ClusterGroups({
      client,
      random: client.random,
      partitionsOf: (topic) => this.#topics.get(topic)?.settings.partitions ?? 0,
      ...(groupHeartbeatMs === undefined ? {} : { heartbeatMs: groupHeartbeatMs }),
    });
    this.#topics = new ClusterTopics(client, this.#notes, ({ name, id }) => {
      const error = new MillraceError("TOPIC_UNKNOWN", `topic ${name} was deleted`, { details: { topic: name } });
      this.#fetcher.forgetTopic(id, error);
      this.#appender.forgetTopic(id, error);
    });
  }

  async start(): Promise<void> {
    await this.#topics.start();
  }

  get groups(): Groups {
    return this.#groups;
  }

  get transactions(): Transactions {
    return this.#transactions;
  }

  topics(): TopicInfo[] {
    return this.#topics.list();
  }

  topic(name: string): TopicInfo | undefined {
    return this.#topics.get(name);
  }

  topicById(id: string): TopicInfo | undefined {
    return this.#topics.byId(id);
  }

  createTopic(
    name: string,
    settings: Partial<TopicSettings> = {},
    options: { readonly readOnly?: boolean; readonly configs?: TopicConfigs } = {},
  ): Promise<TopicInfo> {
    return this.#changing(() => this.#topics.create(name, settings, options));
  }

  alterTopic(
    name: string,
    settings: Partial<TopicSettings>,
    options: { readonly readOnly?: boolean; readonly configs?: TopicConfigs } = {},
  ): Promise<TopicInfo> {
    return this.#changing(() => this.#topics.alter(name, settings, options));
  }

  deleteTopic(name: string): Promise<void> {
    return this.#changing(() => this.#topics.delete(name));
  }

  offsets(topic: string, partition: number): Promise<PartitionOffsets> {
    return this.#ask(async () => {
      await this.#topics.find(topic, partition);
      return await this.#facts.offsets(topic, partition);
    });
  }

  leaderEpoch(topic: string, partition: number): number {
    return this.#client.metadata.partition(topic, partition).leaderEpoch;
  }

  offsetForTime(topic: string, partition: number, timestampMs: number): Promise<number> {
    return this.#ask(async () => {
      await this.#topics.find(topic, partition);
      const found = await this.#facts.recordForTime(topic, partition, timestampMs);
      return found?.offset ?? (await this.#facts.highWatermark(topic, partition));
    });
  }

  recordForTime(topic: string, partition: number, timestampMs: number): Promise<FoundRecord | null> {
    return this.#ask(async () => {
      await this.#topics.find(topic, partition);
      return await this.#facts.recordForTime(topic, partition, timestampMs);
    });
  }

  latestRecord(topic: string, partition: number): Promise<FoundRecord | null> {
    return this.#ask(async () => {
      await this.#topics.find(topic, partition);
      return await this.#facts.latestRecord(topic, partition);
    });
  }

  endOfEpoch(topic: string, partition: number, epoch: number): Promise<EpochEnd | undefined> {
    return this.#ask(async () => {
      await this.#topics.find(topic, partition);
      if (!(epoch >= 0)) return undefined;
      return await this.#facts.endOfEpoch(topic, partition, epoch);
    });
  }

  deleteRecords(topic: string, partition: number, offset: number): Promise<number> {
    return this.#ask(async () => {
      await this.#topics.find(topic, partition);
      assertOffset(topic, partition, offset);
      return await this.#facts.deleteRecords(topic, partition, offset);
    });
  }

  producers(topic: string, partition: number): Promise<ProducerInfo[]> {
    return this.#ask(async () => {
      await this.#topics.find(topic, partition);
      return await this.#facts.producers(topic, partition);
    });
  }

  /** It has its place in the order of the calls before anything is awaited, where the topic is known. */
  append(request: AppendRequest): Promise<AppendResult> {
    return this.#ask(async () => {
      const { topic, partition, batch, clientId } = request;
      assertNothingExpected(request);
      const info = this.#topics.known(topic, partition) ?? (await this.#topics.find(topic, partition));
      checkAppendable(batch, info.settings.batchBytesMax, topic);
      const sizeBytes = batch.length;
      const { lastOffset } = readBatchHeader(batch);
      const queue = this.#queueOf(info, request) ?? (await this.#transactionalQueue(info, request));
      const { baseOffset, appendTimeMs } = await this.#appender.append(queue, batch).catch((error) => {
        throw request.transactionVersion === 1 ? missingPartition(error, topic, partition) : error;
      });
      return {
        topic,
        partition,
        baseOffset,
        lastOffset: baseOffset + lastOffset,
        leaderEpoch: this.leaderEpoch(topic, partition),
        appendTimeMs,
        throttleMs: this.#used("produce", clientId, sizeBytes),
      };
    });
  }

  read(request: ReadRequest): Promise<ReadResult> {
    return this.#ask(async () => {
      const { topic, partition, offset, waitMs = 0, clientId } = request;
      const info = this.#topics.known(topic, partition) ?? (await this.#topics.find(topic, partition));
      assertOffset(topic, partition, offset);
      const result = await this.#fetcher.read(info.id, { ...request, waitMs: Math.min(waitMs, waitMsMax) });
      if (clientId === undefined) return result;
      const sizeBytes = result.batches.reduce((sum, { length }) => sum + length, 0);
      return { ...result, throttleMs: this.#used("fetch", clientId, sizeBytes) };
    });
  }

  initProducer(
    transactionalId: string,
    options: { readonly timeoutMs?: number | null } = {},
  ): Promise<TransactionalProducer> {
    return this.#ask(async () => {
      const identity = await this.#transactions.init(transactionalId, options.timeoutMs ?? null);
      const fenced = new MillraceError("PRODUCER_FENCED", `a newer owner has taken over ${transactionalId}`, {
        details: { transactionalId },
      });
      this.#producers.get(transactionalId)?.fence(fenced);
      const producer = new ClusterProducer(this.#transactionHost(), transactionalId, identity);
      this.#producers.set(transactionalId, producer);
      return producer;
    });
  }

  async setQuota(
    kind: "produce" | "fetch",
    clientId: string | null,
    bytesPerSecond: number | undefined,
  ): Promise<void> {
    const client = clientId ?? undefined;
    if (bytesPerSecond !== undefined && !(bytesPerSecond > 0 && bytesPerSecond <= Number.MAX_SAFE_INTEGER)) {
      throw new MillraceError("SETTING_INVALID", `a quota of ${bytesPerSecond} bytes a second cannot be`);
    }
    if (bytesPerSecond === undefined) this.#quotas.remove(kind, client);
    else if (!this.#quotas.set(kind, client, bytesPerSecond)) {
      const message = `a quota for client ${clientId} cannot be set: there are too many, or its name is too long`;
      throw new MillraceError("SETTING_INVALID", message);
    }
  }

  holdRetention(): () => void {
    return () => {};
  }

  sizeBytes(topic: string): Promise<number> {
    return this.#ask(() => this.#topics.sizeBytes(topic));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#topics.close();
    this.#fetcher.close();
    const enough = new AbortController();
    const patience = this.#client.clock.sleep(closeWaitMs, enough.signal).catch(() => undefined);
    await Promise.race([Promise.all([this.#transactions.abortAll(), this.#groups.close()]), patience]);
    enough.abort();
    this.#appender.close();
    await this.#client.close();
  }

  #used(kind: "produce" | "fetch", clientId: string | undefined, bytes: number): number {
    return clientId === undefined ? 0 : this.#quotas.record(kind, clientId, bytes);
  }

  async #ask<T>(work: () => Promise<T>): Promise<T> {
    try {
      this.#client.assertOpen();
      return await work();
    } catch (error) {
      throw toMillraceError(error);
    }
  }

  #changing<T>(work: () => Promise<T>): Promise<T> {
    return this.#ask(async () => {
      const result = await work();
      this.#groups.topicsChanged();
      return result;
    });
  }

  /** Undefined when it is not known here whose transaction the batch is of. */
  #queueOf(info: TopicInfo, request: AppendRequest): AppendQueue | undefined {
    const { partition, batch, transactionalId, transactionVersion = 2 } = request;
    const place = { topic: info.name, topicId: info.id, partition };
    const producerId = batchProducerId(batch);
    if (producerId < 0) return this.#appender.shared(place, "own");
    if (!isTransactional(batchAttributes(batch))) return this.#appender.shared(place, "foreign");
    const id = transactionalId ?? this.#transactions.knownIdOf(producerId);
    return id === undefined ? undefined : this.#appender.shared(place, "foreign", { id, version: transactionVersion });
  }

  async #transactionalQueue(info: TopicInfo, request: AppendRequest): Promise<AppendQueue> {
    await this.#transactions.idOf(batchProducerId(request.batch));
    return this.#queueOf(info, request) as AppendQueue;
  }

  #transactionHost(): TransactionHost {
    const check = (request: AppendRequest): string | undefined => {
      const { topic, partition, batch } = request;
      assertNothingExpected(request);
      const info = this.#topics.known(topic, partition);
      if (info) checkAppendable(batch, info.settings.batchBytesMax, topic);
      return info?.id;
    };
    return {
      check,
      find: async (request) => {
        await this.#topics.find(request.topic, request.partition);
        return check(request) as string;
      },
      open: (place, transactionalId) => this.#appender.queue(place, "transaction", { id: transactionalId, version: 2 }),
      append: (queue, batch) => this.#appender.append(queue, batch),
      partition: (topic, partition): KnownPartition => this.#client.metadata.partition(topic, partition),
      end: (transactionalId, producer, outcome) => this.#transactions.end(transactionalId, producer, outcome),
      noteOpen: ({ transactionalId, producerId, epoch }, isOpen) => {
        if (isOpen) this.#transactions.noteOpen(transactionalId, { producerId, epoch });
        else this.#transactions.noteEnded(transactionalId);
      },
    };
  }
}

/** A client that adds its partitions itself has not added this one. */
function missingPartition(error: unknown, topic: string, partition: number): unknown {
  if (!(error instanceof KafkaError)) return error;
  if (error.label !== "INVALID_TXN_STATE" && error.label !== "TRANSACTION_ABORTABLE") return error;
  const message = `${topic}/${partition} was not added to the producer's open transaction`;
  return new MillraceError("TRANSACTION_PARTITION_MISSING", message, { cause: error, details: { topic, partition } });
}

/** The brokers compare nothing, and whatever is compared here somebody else's append may come behind. */
function assertNothingExpected({ topic, expect }: AppendRequest): void {
  if (!expect) return;
  const message = `topic ${topic} is on a Kafka cluster, which cannot append under the condition of a key's last offset`;
  throw new MillraceError("KEY_OFFSETS_UNSUPPORTED", message, {
    hint: "Append without a condition, or keep the topic in an embedded log.",
    details: { topic },
  });
}

function assertOffset(topic: string, partition: number, offset: number): void {
  if (Number.isSafeInteger(offset) && offset >= 0) return;
  throw new MillraceError("OFFSET_OUT_OF_RANGE", `${topic}/${partition} has no offset ${offset}`, {
    details: { topic, partition, offset },
  });
}

function assertSuitable({ features }: ClusterClient): void {
  const version = features.get("transaction.version") ?? 0;
  if (version >= transactionVersionMin) return;
  throw new MillraceError(
    "CLUSTER_UNSUITABLE",
    `the cluster's transaction.version is ${version}: its transactions can tear (KIP-890)`,
    {
      hint: "Run kafka-features.sh upgrade --feature transaction.version=2.",
      details: { transactionVersion: version },
    },
  );
}

/** Kafka's cluster ids are UUIDs in base64; of any other text one is made. */
export function uuidOf(clusterId: string): string {
  const decoded = Buffer.from(clusterId, "base64url");
  const isUuid = decoded.length === 16 && decoded.toString("base64url") === clusterId;
  const bytes = isUuid ? decoded : createHash("sha256").update(clusterId).digest().subarray(0, 16);
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
