/**
 * Transactional ids on the cluster: taking them, ending their transactions, looking at all of them.
 *
 * Always true: whoever takes an id fences who had it. Transactions of code in this process that are open when it is closed are
 * aborted then; where they could not be, Kafka does it when their time is over, or whoever takes the id next. Those of clients
 * stay open. What was ended is readable, or nowhere, when the call resolves.
 */
import { MillraceError } from "../../base/errors.ts";
import { addPartitionsToTxn } from "../../kafka/apis/add-partitions-to-txn.ts";
import { describeConfigs } from "../../kafka/apis/describe-configs.ts";
import { describeTransactions } from "../../kafka/apis/describe-transactions.ts";
import { endTxn } from "../../kafka/apis/end-txn.ts";
import { initProducerId } from "../../kafka/apis/init-producer-id.ts";
import { listTransactions } from "../../kafka/apis/list-transactions.ts";
import { writeTxnMarkers } from "../../kafka/apis/write-txn-markers.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import type { ProducerIdentity, TransactionInfo, Transactions, TransactionVersion } from "../engine.ts";
import { newProducerId } from "./appender.ts";
import type { ClusterClient } from "./cluster-client.ts";
import { assertNone, KafkaError, nameOfError, toMillraceError } from "./kafka-error.ts";
import type { PartitionFacts } from "./partition-facts.ts";

/** Where the brokers do not say how long a transaction may be open (transaction.max.timeout.ms). */
const timeoutMsFallback = 15 * 60_000;
const brokerResource = 4;
const knownMax = 10_000;
const readableWaitMs = 60_000;
const readablePauseMostMs = 200;
/** Since this version a response carries the next epoch (KIP-890). */
const endVersionMin = 5;

/** Of Kafka's names: what is neither is on its way to its end. */
const states: Readonly<Record<string, TransactionInfo["state"]>> = {
  Empty: "empty",
  CompleteCommit: "empty",
  CompleteAbort: "empty",
  Dead: "empty",
  Ongoing: "ongoing",
};

const outcomes: Readonly<Record<string, "commit" | "abort">> = {
  PrepareCommit: "commit",
  CompleteCommit: "commit",
  PrepareAbort: "abort",
  CompleteAbort: "abort",
};

export class ClusterTransactions implements Transactions {
  readonly #client: ClusterClient;
  readonly #facts: PartitionFacts;
  /** Of producers that were named here, so that their batches can say whose they are. */
  readonly #idOf = new Map<number, string>();
  /** Ids with an open transaction of code in this process. */
  readonly #open = new Map<string, ProducerIdentity>();
  #timeoutMsMax: Promise<number> | undefined;

  constructor(client: ClusterClient, facts: PartitionFacts) {
    this.#client = client;
    this.#facts = facts;
  }

  newProducerId(): Promise<ProducerIdentity> {
    return asMillrace(newProducerId(this.#client));
  }

  async init(
    transactionalId: string,
    timeoutMs: number | null,
    options: { readonly producer?: ProducerIdentity } = {},
  ): Promise<ProducerIdentity> {
    const longestMs = await this.#longestMs();
    const atMostMs = Math.min(timeoutMs ?? longestMs, longestMs);
    const identity = await asMillrace(this.#init(transactionalId, atMostMs, options.producer));
    this.#open.delete(transactionalId);
    this.#know(identity.producerId, transactionalId);
    return identity;
  }

  async end(
    transactionalId: string,
    producer: ProducerIdentity,
    outcome: "commit" | "abort",
    options: { readonly transactionVersion?: TransactionVersion } = {},
  ): Promise<ProducerIdentity> {
    const what = `ending the transaction of ${transactionalId}`;
    const isOld = options.transactionVersion === 1;
    const version = isOld ? { versionMax: endVersionMin - 1 } : { versionMin: endVersionMin };
    const next = await asMillrace(
      this.#client.persistAtCoordinator("transaction", transactionalId, what, async (node) => {
        const { producerId, epoch } = producer;
        const request = { transactionalId, producerId, producerEpoch: epoch, committed: outcome === "commit" };
        const answer = await this.#client.ask(node, "transaction", endTxn, request, version);
        assertNone(answer.errorCode, what);
        return isOld ? producer : { producerId: answer.producerId, epoch: answer.producerEpoch };
      }),
    );
    this.#open.delete(transactionalId);
    this.#know(next.producerId, transactionalId);
    await this.#untilReadable(transactionalId);
    return next;
  }

  async addPartitions(
    transactionalId: string,
    producer: ProducerIdentity,
    partitions: readonly { readonly topic: string; readonly partition: number }[],
  ): Promise<void> {
    const what = `adding partitions to the transaction of ${transactionalId}`;
    for (const { topic, partition } of partitions) this.#client.metadata.partition(topic, partition);
    const topics = [...Map.groupBy(partitions, ({ topic }) => topic)].map(([name, places]) => ({
      name,
      partitions: places.map(({ partition }) => partition),
    }));
    await asMillrace(
      this.#client.persistAtCoordinator("transaction", transactionalId, what, async (node) => {
        const request = {
          v3AndBelowTransactionalId: transactionalId,
          v3AndBelowProducerId: producer.producerId,
          v3AndBelowProducerEpoch: producer.epoch,
          v3AndBelowTopics: topics,
        };
        const answer = await this.#client.ask(node, "transaction", addPartitionsToTxn, request, { versionMax: 3 });
        for (const { resultsByPartition } of answer.resultsByTopicV3AndBelow) {
          for (const { partitionErrorCode } of resultsByPartition) assertNone(partitionErrorCode, what);
        }
      }),
    );
  }

  async abortIn(topic: string, partition: number, producer: ProducerIdentity): Promise<void> {
    const { producerId, epoch } = producer;
    const found = (await this.#facts.producers(topic, partition)).find((one) => one.producerId === producerId);
    if (!found || found.currentTransactionStartOffset < 0) return;
    if (epoch < found.epoch) throw fenced(producer);
    const transactionalId = await this.idOf(producerId).catch(() => undefined);
    const info = transactionalId === undefined ? undefined : await this.describe(transactionalId);
    if (info?.state === "ongoing" && info.producerId === producerId) {
      if (epoch < info.epoch) throw fenced(producer);
      await this.abort(info.transactionalId);
      return;
    }
    await this.#writeAbort(topic, partition, producer, found.coordinatorEpoch);
  }

  async list(): Promise<TransactionInfo[]> {
    const ids = new Set<string>();
    for (const node of this.#client.metadata.brokers.keys()) {
      for (const { transactionalId } of await this.#listed(node, [])) ids.add(transactionalId);
    }
    const found: TransactionInfo[] = [];
    for (const id of [...ids].sort()) {
      const info = await this.describe(id);
      if (info) found.push(info);
    }
    return found;
  }

  async describe(transactionalId: string): Promise<TransactionInfo | undefined> {
    const what = `asking about ${transactionalId}`;
    return await asMillrace(
      this.#client.persistAtCoordinator("transaction", transactionalId, what, async (node) => {
        const request = { transactionalIds: [transactionalId] };
        const answer = await this.#client.ask(node, "transaction", describeTransactions, request);
        const found = answer.transactionStates[0];
        if (found && nameOfError(found.errorCode) === "TRANSACTIONAL_ID_NOT_FOUND") return undefined;
        assertNone(found?.errorCode ?? kafkaErrors.UNKNOWN_SERVER_ERROR, what);
        if (!found) return undefined;
        const state = states[found.transactionState] ?? "ending";
        const isOpen = state !== "empty";
        const startedMs = isOpen && found.transactionStartTimeMs >= 0 ? found.transactionStartTimeMs : undefined;
        const partitions = found.topics.flatMap(({ topic, partitions: numbers }) =>
          numbers.map((partition) => ({ topic, partition })),
        );
        return {
          transactionalId,
          producerId: found.producerId,
          epoch: found.producerEpoch,
          state,
          outcome: outcomes[found.transactionState],
          timeoutMs: found.transactionTimeoutMs,
          startedMs,
          // Kafka tells no more.
          updatedMs: startedMs ?? 0,
          partitions: isOpen ? partitions : [],
        };
      }),
    );
  }

  async abort(transactionalId: string): Promise<boolean> {
    const info = await this.describe(transactionalId);
    if (info?.state !== "ongoing") return false;
    await asMillrace(this.#init(transactionalId, info.timeoutMs ?? timeoutMsFallback));
    this.#open.delete(transactionalId);
    return true;
  }

  /** Whose batches have this producer id. Throws `PRODUCER_UNKNOWN`. */
  async idOf(producerId: number): Promise<string> {
    const known = this.#idOf.get(producerId);
    if (known !== undefined) return known;
    for (const node of this.#client.metadata.brokers.keys()) {
      const [found] = await this.#listed(node, [producerId]);
      if (!found) continue;
      this.#know(producerId, found.transactionalId);
      return found.transactionalId;
    }
    throw new MillraceError("PRODUCER_UNKNOWN", `no transactional id has the producer id ${producerId}`, {
      details: { producerId },
    });
  }

  /** Without asking; undefined when it is not known here. */
  knownIdOf(producerId: number): string | undefined {
    return this.#idOf.get(producerId);
  }

  /** A batch of it is about to be sent. */
  noteOpen(transactionalId: string, producer: ProducerIdentity): void {
    if (!this.#open.has(transactionalId)) this.#open.set(transactionalId, producer);
  }

  noteEnded(transactionalId: string): void {
    this.#open.delete(transactionalId);
  }

  /** Aborts what was begun here and is open, unless somebody else has the id by now. Throws nothing. */
  async abortAll(): Promise<void> {
    const aborting = [...this.#open].map(async ([transactionalId, producer]) => {
      try {
        const longestMs = await this.#longestMs();
        const info = await this.describe(transactionalId);
        if (info?.producerId !== producer.producerId || info.state !== "ongoing") return;
        await this.#init(transactionalId, Math.min(info.timeoutMs ?? longestMs, longestMs));
      } catch (cause) {
        const fields = { transactionalId, cause: String(cause) };
        this.#client.diagnostics.warn(
          "an open transaction could not be aborted; Kafka will when its time is over",
          fields,
        );
      }
    });
    await Promise.all(aborting);
    this.#open.clear();
  }

  /** The coordinator knows of no such transaction, and the partition waits for its end. */
  async #writeAbort(
    topic: string,
    partition: number,
    producer: ProducerIdentity,
    coordinatorEpoch: number,
  ): Promise<void> {
    const what = `ending a transaction that hangs in ${topic}/${partition}`;
    await asMillrace(
      this.#client.persist(what, async () => {
        const { leaderId } = this.#client.metadata.partition(topic, partition);
        const marker = {
          producerId: producer.producerId,
          producerEpoch: producer.epoch,
          transactionResult: false,
          topics: [{ name: topic, partitionIndexes: [partition] }],
          coordinatorEpoch: Math.max(coordinatorEpoch, 0),
        };
        const answer = await this.#client.ask(leaderId, "admin", writeTxnMarkers, { markers: [marker] });
        for (const { topics } of answer.markers) {
          for (const one of topics) for (const { errorCode } of one.partitions) assertNone(errorCode, what);
        }
      }),
    );
  }

  /** The decision is durable; the partitions hear of it one after the other. */
  async #untilReadable(transactionalId: string): Promise<void> {
    const endMs = this.#client.clock.monotonicMs() + readableWaitMs;
    for (let attempts = 0; (await this.describe(transactionalId))?.state === "ending"; attempts++) {
      if (this.#client.clock.monotonicMs() >= endMs) {
        throw new MillraceError(
          "CLUSTER_UNREACHABLE",
          `the transaction of ${transactionalId} has ended, and a partition of it has not heard of it in time`,
          { details: { transactionalId } },
        );
      }
      await this.#client.pause(
        Math.min(readablePauseMostMs, 2 ** Math.min(attempts, 10)) * (0.5 + this.#client.random.next() / 2),
      );
    }
  }

  async #init(
    transactionalId: string,
    transactionTimeoutMs: number,
    producer: ProducerIdentity = { producerId: -1, epoch: -1 },
  ): Promise<ProducerIdentity> {
    const what = `taking the transactional id ${transactionalId}`;
    return await this.#client.persistAtCoordinator("transaction", transactionalId, what, async (node) => {
      const request = {
        transactionalId,
        transactionTimeoutMs,
        producerId: producer.producerId,
        producerEpoch: producer.epoch,
      };
      const answer = await this.#client.ask(node, "transaction", initProducerId, request, { versionMin: 3 });
      assertNone(answer.errorCode, what);
      return { producerId: answer.producerId, epoch: answer.producerEpoch };
    });
  }

  async #listed(node: number, producerIdFilters: readonly number[]) {
    const what = "listing transactional ids";
    return await asMillrace(
      this.#client.persist(what, async () => {
        const request = { stateFilters: [], producerIdFilters };
        const answer = await this.#client.ask(node, "transaction", listTransactions, request);
        assertNone(answer.errorCode, what);
        return answer.transactionStates;
      }),
    );
  }

  /** Kafka knows no transaction without an end. */
  async #longestMs(): Promise<number> {
    this.#timeoutMsMax ??= this.#askLongestMs().catch((cause) => {
      this.#timeoutMsMax = undefined;
      if (cause instanceof KafkaError) return timeoutMsFallback;
      throw cause;
    });
    return await this.#timeoutMsMax;
  }

  async #askLongestMs(): Promise<number> {
    const what = "asking how long a transaction may be open";
    return await this.#client.persist(what, async () => {
      const [node] = this.#client.metadata.brokers.keys();
      if (node === undefined) throw new MillraceError("CLUSTER_UNREACHABLE", "no broker is known");
      const configurationKeys = ["transaction.max.timeout.ms"];
      const resources = [{ resourceType: brokerResource, resourceName: String(node), configurationKeys }];
      const answer = await this.#client.ask(node, "lookup", describeConfigs, { resources });
      const found = answer.results[0];
      assertNone(found?.errorCode ?? kafkaErrors.UNKNOWN_SERVER_ERROR, what);
      const value = Number(found?.configs[0]?.value);
      return value > 0 ? value : timeoutMsFallback;
    });
  }

  #know(producerId: number, transactionalId: string): void {
    if (this.#idOf.size >= knownMax) this.#idOf.clear();
    this.#idOf.set(producerId, transactionalId);
  }
}

function fenced({ producerId, epoch }: ProducerIdentity): MillraceError {
  return new MillraceError("PRODUCER_FENCED", `epoch ${epoch} of producer ${producerId} has ended`, {
    details: { producerId, epoch },
  });
}

async function asMillrace<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw toMillraceError(error);
  }
}
