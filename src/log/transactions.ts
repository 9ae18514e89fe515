/** A transactional id in the hands of code in this process, and its transactions (the rules are the coordinator's). */
import type { MillraceError } from "../base/errors.ts";
import { stampTransaction } from "../records/batch-header.ts";
import type { ExpectedKey } from "./keys/partition-keys.ts";
import type { Partition, Placed } from "./partition.ts";
import type { TransactionCoordinator } from "./transaction-coordinator.ts";
import type { Decision, ProducerIdentity, ProducerState } from "./transaction-records.ts";
import type { OpenWork } from "./transactional-ids.ts";

/**
 * How a transaction's batch gets into a partition; `stamp` is called with the batch that is kept, before it gets its offset.
 * What is expected and is not so is answered as `unlike`: nothing was placed.
 */
export type PlaceBatch = (
  topic: string,
  partition: number,
  batch: Buffer,
  stamp: (partition: Partition, admitted: Buffer) => void,
  expect: ExpectedKey | undefined,
) => { readonly partition: Partition } & ({ readonly placed: Placed } | { readonly unlike: MillraceError });

/** What a transaction needs of the log. */
export interface TransactionHost {
  readonly place: PlaceBatch;
  /** As `PartitionKeys.opening`. */
  openingKeys(topic: string, partition: number): Promise<void> | undefined;
}

export interface BatchRequest {
  readonly topic: string;
  readonly partition: number;
  readonly batch: Buffer;
  readonly expect?: ExpectedKey;
}

export interface PlacedIn extends Placed {
  readonly topic: string;
  readonly partition: number;
}

/** The holder of a transactional id, until somebody else takes it. */
export class LogProducer {
  readonly transactionalId: string;
  readonly #coordinator: TransactionCoordinator;
  readonly #host: TransactionHost;
  #identity: ProducerIdentity;

  constructor(coordinator: TransactionCoordinator, host: TransactionHost, state: ProducerState) {
    this.#coordinator = coordinator;
    this.#host = host;
    this.transactionalId = state.transactionalId;
    this.#identity = state;
  }

  get producerId(): number {
    return this.#identity.producerId;
  }

  get epoch(): number {
    return this.#identity.epoch;
  }

  /** Throws `PRODUCER_FENCED`, and `TRANSACTION_INVALID` while another transaction is open. */
  begin(): LogTransaction {
    const work = this.#coordinator.begin(this.transactionalId, this.#identity);
    return new LogTransaction(this, work);
  }

  /** For its transaction. */
  assertOpen(work: OpenWork): void {
    this.#coordinator.assertOpen(this.transactionalId, this.#identity, work);
  }

  /** For its transaction: as `PartitionKeys.opening`. */
  openingKeys(topic: string, partition: number): Promise<void> | undefined {
    return this.#host.openingKeys(topic, partition);
  }

  /** For its transaction. */
  place({ topic, partition, batch, expect }: BatchRequest, work: OpenWork): ReturnType<PlaceBatch> {
    const stamp = (into: Partition, admitted: Buffer) =>
      stampTransaction(admitted, this.producerId, this.epoch, work.touched.get(into)?.sequence ?? 0);
    return this.#host.place(topic, partition, batch, stamp, expect);
  }

  /** For its transaction. */
  async end(outcome: Decision): Promise<void> {
    this.#identity = await this.#coordinator.end(this.transactionalId, this.#identity, outcome).catch((error) => {
      // An aborted attempt to commit has an epoch of its own, too.
      const now = this.#coordinator.describe(this.transactionalId);
      if (now && now.producerId === this.producerId && now.epoch === this.epoch + 1) this.#identity = now;
      throw error;
    });
  }
}

export class LogTransaction {
  readonly #producer: LogProducer;
  readonly #work: OpenWork;

  constructor(producer: LogProducer, work: OpenWork) {
    this.#producer = producer;
    this.#work = work;
  }

  /** Resolves when the batch has its offsets and there is room for more. Throws `PRODUCER_FENCED`, `TRANSACTION_INVALID`, and what an append throws. */
  async append(request: BatchRequest): Promise<PlacedIn> {
    const { topic, partition: number, expect } = request;
    const openingKeys = () => (expect ? this.#producer.openingKeys(topic, number) : undefined);
    for (let opening = openingKeys(); opening; opening = openingKeys()) await opening;
    this.#producer.assertOpen(this.#work);
    const { touched } = this.#work;
    const answer = this.#producer.place(request, this.#work);
    const { partition } = answer;
    if ("unlike" in answer) {
      // What it says is durable.
      await partition.sync();
      throw answer.unlike;
    }
    const { placed } = answer;
    const sequence = (touched.get(partition)?.sequence ?? 0) + placed.lastOffset - placed.baseOffset + 1;
    touched.set(partition, { endOffset: placed.lastOffset + 1, sequence: sequence & 0x7fffffff });
    await partition.room();
    return { topic, partition: number, ...placed };
  }

  /** When data cannot be made durable the transaction is aborted, and the reason thrown. */
  async commit(): Promise<void> {
    this.#producer.assertOpen(this.#work);
    await this.#producer.end("commit");
  }

  async abort(): Promise<void> {
    this.#producer.assertOpen(this.#work);
    await this.#producer.end("abort");
  }
}
