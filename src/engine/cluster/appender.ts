/**
 * Writes batches to the leaders of their partitions, durably: acknowledged by all replicas in sync.
 *
 * Always true: batches of one producer for one partition go in the order of the calls. Those without a producer get one of
 * this process's own, so that sending them again after a lost answer doubles nothing. Bytes that wait are bounded by
 * `waitingBytesMax`; who comes then waits for its turn, first come first served.
 */
import type { Timer } from "../../base/clock.ts";
import { initProducerId } from "../../kafka/apis/init-producer-id.ts";
import type { ProducerIdentity } from "../engine.ts";
import { AppendQueue, type BatchTransaction, type Numbering, type Placed } from "./append-queue.ts";
import type { ClusterClient } from "./cluster-client.ts";
import { topicUnknown } from "./cluster-metadata.ts";
import { assertNone, logClosed } from "./kafka-error.ts";
import { ProduceLane } from "./produce-lane.ts";

export interface QueuePlace {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
}

const waitingBytesMax = 128 * 1024 * 1024;
/** As long as Kafka's own producers try (delivery.timeout.ms). */
const patienceMs = 120_000;
const expireEveryMs = 1_000;
const idleQueuesMax = 20_000;

export class Appender {
  readonly #client: ClusterClient;
  readonly #lanes = new Map<string, ProduceLane>();
  readonly #queues = new Set<AppendQueue>();
  readonly #shared = new Map<string, AppendQueue>();
  readonly #paused = new Set<AppendQueue>();
  readonly #room: (() => void)[] = [];
  #waitingBytes = 0;
  #producer: Promise<ProducerIdentity> | undefined;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(client: ClusterClient) {
    this.#client = client;
  }

  /** The queue that everybody without a transaction shares; `foreign` for batches that name their producer. */
  shared(place: QueuePlace, numbering: "own" | "foreign", transaction: BatchTransaction | null = null): AppendQueue {
    const key = `${numbering}/${place.topicId}/${place.partition}/${keyOf(transaction)}`;
    let queue = this.#shared.get(key);
    if (!queue) {
      if (this.#shared.size >= idleQueuesMax) this.#drop(({ isIdle }) => isIdle);
      queue = new AppendQueue(place, numbering, transaction);
      this.#shared.set(key, queue);
    }
    return queue;
  }

  /** For a transaction alone; it is told its producer by `identify`. */
  queue(place: QueuePlace, numbering: Numbering, transaction: BatchTransaction): AppendQueue {
    return new AppendQueue(place, numbering, transaction);
  }

  /** Takes its place at once, if there is room. Rejects with what the broker says, and with `CLUSTER_UNREACHABLE`, `LOG_CLOSED`. */
  append(queue: AppendQueue, batch: Buffer): Promise<Placed> {
    if (this.#isClosed) return Promise.reject(logClosed());
    if (this.#room.length === 0 && (this.#waitingBytes === 0 || this.#waitingBytes + batch.length <= waitingBytesMax)) {
      return this.#add(queue, batch);
    }
    return new Promise((resolve, reject) => {
      this.#room.push(() => {
        if (this.#isClosed) reject(logClosed());
        else this.#add(queue, batch).then(resolve, reject);
      });
    });
  }

  /** The topic is gone: what waits for it is rejected. */
  forgetTopic(topicId: string, error: unknown): void {
    this.#drop(({ topicId: id }) => id === topicId);
    for (const queue of this.#queues) if (queue.topicId === topicId) queue.end(error);
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    for (const queue of this.#queues) queue.end(logClosed());
    this.#queues.clear();
    for (const next of this.#room.splice(0)) next();
  }

  #add(queue: AppendQueue, batch: Buffer): Promise<Placed> {
    this.#waitingBytes += batch.length;
    const done = () => {
      this.#waitingBytes -= batch.length;
      if (queue.isIdle) this.#queues.delete(queue);
      while (this.#room.length > 0 && this.#waitingBytes < waitingBytesMax) this.#room.shift()?.();
    };
    const endMs = this.#client.clock.monotonicMs() + patienceMs;
    return new Promise((resolve, reject) => {
      queue.add({
        batch,
        endMs,
        resolve: (placed) => {
          done();
          resolve(placed);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      this.#queues.add(queue);
      this.#expireLater();
      this.#send(queue);
    });
  }

  #send(queue: AppendQueue): void {
    if (this.#isClosed || queue.isIdle || this.#paused.has(queue)) return;
    const topic = this.#client.metadata.topicById(queue.topicId);
    if (!topic) {
      queue.end(topicUnknown(queue.topic));
      return;
    }
    if (queue.wantsProducer) return void this.#identify(queue);
    const leader = topic.partitions[queue.partition]?.leaderId ?? -1;
    if (leader < 0) return void this.#pause(queue, 1);
    this.#lane(leader, queue.transaction).add(queue);
  }

  #lane(node: number, transaction: BatchTransaction | null): ProduceLane {
    const key = `${node}/${keyOf(transaction)}`;
    let lane = this.#lanes.get(key);
    if (!lane) {
      lane = new ProduceLane(this.#client, node, transaction, (queue) => {
        if (queue.failures > 0) void this.#pause(queue, queue.failures);
        else this.#send(queue);
        if (transaction !== null && lane?.isIdle) this.#lanes.delete(key);
      });
      this.#lanes.set(key, lane);
    }
    return lane;
  }

  /** Something failed in passing: the leader may be another one, or there is none now. */
  async #pause(queue: AppendQueue, failures: number): Promise<void> {
    if (queue.isIdle || this.#paused.has(queue)) return;
    this.#paused.add(queue);
    try {
      await this.#client.pause(this.#client.pauseMs(failures - 1));
      await this.#client.refresh().catch(() => undefined);
    } catch {
      // It is being closed.
    } finally {
      this.#paused.delete(queue);
    }
    this.#send(queue);
  }

  async #identify(queue: AppendQueue): Promise<void> {
    this.#paused.add(queue);
    try {
      queue.identify(await this.#ownProducer(queue.spentProducerId));
    } catch (error) {
      queue.end(error);
    } finally {
      this.#paused.delete(queue);
    }
    this.#send(queue);
  }

  /** One for all partitions, until one of them cannot go on with it. */
  async #ownProducer(spentProducerId: number | undefined): Promise<ProducerIdentity> {
    this.#producer ??= newProducerId(this.#client);
    const asked = this.#producer;
    try {
      const identity = await asked;
      if (identity.producerId !== spentProducerId) return identity;
    } catch (error) {
      if (this.#producer === asked) this.#producer = undefined;
      throw error;
    }
    if (this.#producer === asked) this.#producer = undefined;
    return await this.#ownProducer(spentProducerId);
  }

  /** Whoever comes after them must not count from 0 again under their producer: that would be taken for what they sent. */
  #drop(isGone: (queue: AppendQueue) => boolean): void {
    for (const [key, queue] of this.#shared) if (isGone(queue)) this.#shared.delete(key);
    this.#producer = undefined;
  }

  #expireLater(): void {
    this.#timer ??= this.#client.clock.after(expireEveryMs, () => {
      this.#timer = undefined;
      const nowMs = this.#client.clock.monotonicMs();
      for (const queue of this.#queues) {
        queue.expire(nowMs);
        this.#send(queue);
      }
      if (this.#queues.size > 0) this.#expireLater();
    });
  }
}

function keyOf(transaction: BatchTransaction | null): string {
  return transaction === null ? "" : `${transaction.version}/${transaction.id}`;
}

/** Of nobody else, for batches outside of transactions. */
export async function newProducerId(client: ClusterClient): Promise<ProducerIdentity> {
  const what = "asking for a producer id";
  return await client.persist(what, async () => {
    const answer = await client.ask(null, "lookup", initProducerId, {
      transactionalId: null,
      transactionTimeoutMs: 60_000,
    });
    assertNone(answer.errorCode, what);
    return { producerId: answer.producerId, epoch: answer.producerEpoch };
  });
}
