/**
 * A unit's right to write transactions on the cluster (KIP-98), in the form of KIP-890: partitions join with their first batch,
 * and the epoch grows with every transaction, so that nothing late becomes part of another one.
 *
 * Always true: a transaction of which a batch may be lost or may be there, nobody knows, is not committed.
 */
import { MillraceError } from "../../base/errors.ts";
import { batchField } from "../../records/batch-header.ts";
import type { AppendRequest, PlacedBatch, ProducerIdentity, Transaction, TransactionalProducer } from "../engine.ts";
import type { AppendQueue, Placed } from "./append-queue.ts";
import type { QueuePlace } from "./appender.ts";
import type { KnownPartition } from "./cluster-metadata.ts";
import { toMillraceError } from "./kafka-error.ts";

/** What a transaction needs of the engine. */
export interface TransactionHost {
  /** The topic's id, when it is known here; undefined when the cluster has to be asked. Throws what the batch is refused for. */
  check(request: AppendRequest): string | undefined;
  /** The same, asking. Throws `TOPIC_UNKNOWN`, `PARTITION_UNKNOWN`. */
  find(request: AppendRequest): Promise<string>;
  /** A queue for batches of this transaction alone. */
  open(place: QueuePlace, transactionalId: string): AppendQueue;
  append(queue: AppendQueue, batch: Buffer): Promise<Placed>;
  partition(topic: string, partition: number): KnownPartition;
  end(transactionalId: string, producer: ProducerIdentity, outcome: "commit" | "abort"): Promise<ProducerIdentity>;
  /** It was opened, or has ended. */
  noteOpen(producer: ClusterProducer, isOpen: boolean): void;
}

export class ClusterProducer implements TransactionalProducer {
  readonly transactionalId: string;
  readonly #host: TransactionHost;
  #identity: ProducerIdentity;
  #open: ClusterTransaction | undefined;
  #failure: MillraceError | undefined;

  constructor(host: TransactionHost, transactionalId: string, identity: ProducerIdentity) {
    this.#host = host;
    this.transactionalId = transactionalId;
    this.#identity = identity;
  }

  get producerId(): number {
    return this.#identity.producerId;
  }

  get epoch(): number {
    return this.#identity.epoch;
  }

  begin(): ClusterTransaction {
    if (this.#failure) throw this.#failure;
    if (this.#open) throw invalid(this.transactionalId, "has a transaction open already");
    this.#open = new ClusterTransaction(this.#host, this);
    return this.#open;
  }

  /** For its transaction: it is over; `next` is the identity for the one after it, or why there is none. */
  ended(next: ProducerIdentity | MillraceError): void {
    this.#open = undefined;
    this.#host.noteOpen(this, false);
    if (next instanceof Error) this.#failure = next;
    else this.#identity = next;
  }

  /** Somebody else has the id by now. */
  fence(error: MillraceError): void {
    this.#failure ??= error;
  }

  get failure(): MillraceError | undefined {
    return this.#failure;
  }

  get transaction(): ClusterTransaction | undefined {
    return this.#open;
  }
}

export class ClusterTransaction implements Transaction {
  readonly #host: TransactionHost;
  readonly producer: ClusterProducer;
  readonly #queues = new Map<string, AppendQueue>();
  readonly #underWay = new Set<Promise<unknown>>();
  /** Something of it has been sent to the cluster. */
  #isBegun = false;
  /** And the cluster has taken some of it. */
  #hasSomething = false;
  #isOver = false;
  #failure: MillraceError | undefined;

  constructor(host: TransactionHost, producer: ClusterProducer) {
    this.#host = host;
    this.producer = producer;
  }

  /** It has its place in the order of the calls before anything is awaited, where the topic is known. */
  async append(request: AppendRequest): Promise<PlacedBatch> {
    this.#assertOpen();
    return await this.#during(this.#append(request));
  }

  /** Offsets of a group. `send` gets them there. */
  async commitOffsets(send: () => Promise<void>): Promise<void> {
    this.#assertOpen();
    await this.#during(
      (async () => {
        this.#begin();
        await send();
        this.#hasSomething = true;
      })(),
    );
  }

  async #append(request: AppendRequest): Promise<PlacedBatch> {
    const { topic, partition, batch } = request;
    const { transactionalId, producerId, epoch } = this.producer;
    const topicId = this.#host.check(request) ?? (await this.#host.find(request));
    const key = `${topicId}/${partition}`;
    let queue = this.#queues.get(key);
    if (!queue) {
      queue = this.#host.open({ topic, topicId, partition }, transactionalId);
      queue.identify({ producerId, epoch });
      this.#queues.set(key, queue);
    }
    const lastOffsetDelta = batch.readInt32BE(batchField.lastOffsetDelta);
    this.#begin();
    const { baseOffset } = await this.#host.append(queue, batch);
    this.#hasSomething = true;
    const { leaderEpoch } = this.#host.partition(topic, partition);
    return { topic, partition, baseOffset, lastOffset: baseOffset + lastOffsetDelta, leaderEpoch };
  }

  #begin(): void {
    if (!this.#isBegun) this.#host.noteOpen(this.producer, true);
    this.#isBegun = true;
  }

  /** Work that has to have succeeded, or to have been refused, before the transaction can be committed. */
  async #during<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    try {
      return await work;
    } catch (cause) {
      const error = toMillraceError(cause);
      this.#noteFailure(error);
      throw error;
    } finally {
      this.#underWay.delete(work);
    }
  }

  async commit(): Promise<void> {
    this.#assertOpen();
    this.#isOver = true;
    await this.#settled();
    const failure = this.#failure ?? this.producer.failure;
    if (failure) {
      await this.#end("abort").catch(() => undefined);
      throw failure;
    }
    // Where everything was refused there may be nothing to commit, which the cluster would refuse as well.
    await this.#end(this.#hasSomething ? "commit" : "abort");
  }

  async abort(): Promise<void> {
    this.#assertOpen();
    this.#isOver = true;
    await this.#settled();
    if (this.producer.failure) {
      this.producer.ended(this.producer.failure);
      throw this.producer.failure;
    }
    await this.#end("abort");
  }

  async #settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
  }

  async #end(outcome: "commit" | "abort"): Promise<void> {
    const { producer } = this;
    const { transactionalId, producerId, epoch } = producer;
    if (producer.failure) {
      producer.ended(producer.failure);
      throw producer.failure;
    }
    if (!this.#isBegun) return producer.ended({ producerId, epoch });
    try {
      producer.ended(await this.#host.end(transactionalId, { producerId, epoch }, outcome));
    } catch (cause) {
      const error = toMillraceError(cause);
      producer.ended(error);
      throw error;
    }
  }

  /** A batch that was refused is not there, and the others can be committed without it; anything else is the end of it. */
  #noteFailure(error: MillraceError): void {
    if (error.code === "PRODUCER_FENCED" || error.code === "PRODUCER_UNKNOWN") this.producer.fence(error);
    const isHarmless =
      error.code === "RECORD_INVALID" ||
      error.code === "RECORD_TOO_LARGE" ||
      error.code === "RECORD_TIMESTAMP_INVALID" ||
      error.code.startsWith("GROUP_");
    if (!isHarmless) this.#failure ??= error;
  }

  #assertOpen(): void {
    if (this.#isOver) throw invalid(this.producer.transactionalId, "has ended this transaction");
    if (this.producer.failure) throw this.producer.failure;
  }
}

function invalid(transactionalId: string, why: string): MillraceError {
  return new MillraceError("TRANSACTION_INVALID", `${transactionalId} ${why}`, { details: { transactionalId } });
}
