/**
 * Transactions over many partitions (KIP-98, with the epoch of KIP-890 that grows with every transaction).
 *
 * One durable record in `_millrace.transactions` decides. Before it all data is durable; after it the markers are
 * appended, all in one turn, and need no sync: a start reads the decision and writes them again. What is not decided
 * is aborted by the next start, or by the next owner of the transactional id.
 */
import { MillraceError } from "../base/errors.ts";
import { encodeControlBatch } from "../records/batch-builder.ts";
import { stampTransaction } from "../records/batch-header.ts";
import type { LogContext } from "./log-context.ts";
import type { Partition, Placed } from "./partition.ts";
import {
  type Decision,
  decodeTransactionRecords,
  encodeTransactionRecord,
  type ProducerState,
  type TransactionRecord,
} from "./transaction-records.ts";

const epochMax = 32_767;

/** How a transaction's batch gets into a partition; `stamp` is called with the checked batch before it gets its offset. */
export type PlaceBatch = (
  topic: string,
  partition: number,
  batch: Buffer,
  stamp: (partition: Partition) => void,
) => { readonly partition: Partition; readonly placed: Placed };

export interface PlacedIn extends Placed {
  readonly topic: string;
  readonly partition: number;
}

interface Slot {
  state: ProducerState | undefined;
  holder: LogProducer | undefined;
  /** Takings of one id follow each other. */
  queue: Promise<unknown>;
}

export class TransactionCoordinator {
  readonly #context: LogContext;
  readonly #partition: Partition;
  readonly #place: PlaceBatch;
  readonly #slots = new Map<string, Slot>();
  /** Offsets of records whose effect is not yet applied. */
  readonly #inFlight = new Set<number>();
  #nextProducerId = 1;

  constructor(context: LogContext, partition: Partition, place: PlaceBatch) {
    this.#context = context;
    this.#partition = partition;
    this.#place = place;
  }

  /** Reads the records behind the checkpoint, and ends in `partitions` what was open when the log went down. */
  async recover(
    checkpoint: { readonly transactionsOffset: number; readonly producers: readonly ProducerState[] } | undefined,
    partitions: readonly Partition[],
  ): Promise<void> {
    for (const state of checkpoint?.producers ?? []) this.#learn(state);
    const decisions = new Map<string, Decision>();
    let offset = checkpoint?.transactionsOffset ?? this.#partition.logStart;
    for (;;) {
      const { batches } = await this.#partition.read(offset, false, 1024 * 1024);
      if (batches.length === 0) break;
      for (const record of batches.flatMap(decodeTransactionRecords)) {
        this.#learn(record);
        const { decided } = record;
        if (decided) decisions.set(`${decided.producerId}:${decided.epoch}`, decided.outcome);
        offset++;
      }
    }
    for (const partition of partitions) {
      if (partition.failure) continue;
      for (const open of partition.openTransactions()) {
        const outcome = decisions.get(`${open.producerId}:${open.epoch}`) ?? "abort";
        partition.appendMarker(encodeControlBatch(outcome, open, this.#context.clock.now()));
      }
    }
  }

  /** Records below `transactionsOffset` have been applied: their markers are appended, though not synced. */
  snapshot(): { readonly transactionsOffset: number; readonly producers: ProducerState[] } {
    const producers = [...this.#slots.values()].flatMap((slot) => (slot.state ? [slot.state] : []));
    return { transactionsOffset: Math.min(this.#partition.nextOffset, ...this.#inFlight), producers };
  }

  /** Fences whoever held the id and aborts its open transaction; waits for one that is being committed. */
  initProducer(transactionalId: string): Promise<LogProducer> {
    const slot = this.#slot(transactionalId);
    const taken = slot.queue.then(() => this.#take(transactionalId, slot));
    slot.queue = taken.catch(() => undefined);
    return taken;
  }

  place(
    topic: string,
    partition: number,
    batch: Buffer,
    stamp: (partition: Partition) => void,
  ): ReturnType<PlaceBatch> {
    return this.#place(topic, partition, batch, stamp);
  }

  /** Decides the transaction of the producer's epoch. The producer's next epoch is part of the same record. */
  async decide(producer: LogProducer, outcome: Decision, touched: Iterable<Partition>): Promise<void> {
    const { transactionalId, producerId, epoch } = producer;
    const next = this.#after({ transactionalId, producerId, epoch });
    await this.#record({ ...next, decided: { outcome, producerId, epoch } }, () => {
      this.#slot(transactionalId).state = next;
      this.#mark(outcome, { producerId, epoch }, touched);
      producer.advance(next);
    });
  }

  async #take(transactionalId: string, slot: Slot): Promise<LogProducer> {
    const { holder } = slot;
    const open = await holder?.fence();
    const next = slot.state
      ? this.#after(slot.state)
      : { transactionalId, producerId: this.#nextProducerId++, epoch: 0 };
    const producer = new LogProducer(this, next);
    await this.#record(next, () => {
      slot.state = next;
      slot.holder = producer;
      // The new epoch is durable, so what was open can no longer be decided any other way.
      if (open && holder) this.#mark("abort", holder, open);
    });
    return producer;
  }

  /** Appends a record, and applies it when it is durable, in the same turn in which it stops being in flight. */
  async #record(record: TransactionRecord, apply: () => void): Promise<void> {
    const { baseOffset, lastOffset } = this.#partition.append(
      encodeTransactionRecord(record, this.#context.clock.now()),
    );
    this.#inFlight.add(baseOffset);
    await this.#partition.durable(lastOffset + 1);
    apply();
    this.#inFlight.delete(baseOffset);
  }

  #mark(
    outcome: Decision,
    producer: { readonly producerId: number; readonly epoch: number },
    touched: Iterable<Partition>,
  ): void {
    const nowMs = this.#context.clock.now();
    for (const partition of touched) {
      // A partition that failed or was deleted meanwhile gets its marker when it is read back, if ever.
      if (!partition.failure) partition.appendMarker(encodeControlBatch(outcome, producer, nowMs));
    }
  }

  #after(state: ProducerState): ProducerState {
    const { transactionalId, producerId, epoch } = state;
    if (epoch < epochMax) return { transactionalId, producerId, epoch: epoch + 1 };
    return { transactionalId, producerId: this.#nextProducerId++, epoch: 0 };
  }

  #learn({ transactionalId, producerId, epoch }: ProducerState): void {
    this.#slot(transactionalId).state = { transactionalId, producerId, epoch };
    this.#nextProducerId = Math.max(this.#nextProducerId, producerId + 1);
  }

  #slot(transactionalId: string): Slot {
    const known = this.#slots.get(transactionalId);
    if (known) return known;
    const slot: Slot = { state: undefined, holder: undefined, queue: Promise.resolve() };
    this.#slots.set(transactionalId, slot);
    return slot;
  }
}

/** The holder of a transactional id, until somebody else takes it. */
export class LogProducer {
  readonly transactionalId: string;
  readonly #coordinator: TransactionCoordinator;
  #producerId: number;
  #epoch: number;
  #fenced = false;
  #current: LogTransaction | undefined;

  constructor(coordinator: TransactionCoordinator, state: ProducerState) {
    this.#coordinator = coordinator;
    this.transactionalId = state.transactionalId;
    this.#producerId = state.producerId;
    this.#epoch = state.epoch;
  }

  get producerId(): number {
    return this.#producerId;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Throws `PRODUCER_FENCED`, and `TRANSACTION_INVALID` while another transaction is open. */
  begin(): LogTransaction {
    this.assertCurrent();
    if (this.#current && !this.#current.isEnded) {
      throw new MillraceError("TRANSACTION_INVALID", `producer ${this.transactionalId} has a transaction open already`);
    }
    this.#current = new LogTransaction(this.#coordinator, this);
    return this.#current;
  }

  assertCurrent(): void {
    if (!this.#fenced) return;
    throw new MillraceError("PRODUCER_FENCED", `a newer producer has taken over ${this.transactionalId}`, {
      details: { transactionalId: this.transactionalId },
    });
  }

  /** For the coordinator: after a decision. */
  advance(next: ProducerState): void {
    this.#producerId = next.producerId;
    this.#epoch = next.epoch;
  }

  /** For the coordinator: refuses everything from now on; answers what an open transaction has touched. */
  async fence(): Promise<readonly Partition[] | undefined> {
    this.#fenced = true;
    return await this.#current?.seize();
  }
}

type State = "open" | "ending" | "ended";

export class LogTransaction {
  readonly #coordinator: TransactionCoordinator;
  readonly #producer: LogProducer;
  #state: State = "open";
  #ending: Promise<void> = Promise.resolve();
  /** The offset behind the last batch, and the next sequence number. */
  readonly #touched = new Map<Partition, { endOffset: number; sequence: number }>();

  constructor(coordinator: TransactionCoordinator, producer: LogProducer) {
    this.#coordinator = coordinator;
    this.#producer = producer;
  }

  get isEnded(): boolean {
    return this.#state === "ended";
  }

  /** Resolves when the batch has its offsets and there is room for more. Throws `PRODUCER_FENCED`, `TRANSACTION_INVALID`, and what an append throws. */
  async append(request: {
    readonly topic: string;
    readonly partition: number;
    readonly batch: Buffer;
  }): Promise<PlacedIn> {
    this.#assertOpen();
    const { producerId, epoch } = this.#producer;
    const { topic, batch } = request;
    const { partition, placed } = this.#coordinator.place(topic, request.partition, batch, (into) =>
      stampTransaction(batch, producerId, epoch, this.#touched.get(into)?.sequence ?? 0),
    );
    const sequence = (this.#touched.get(partition)?.sequence ?? 0) + placed.lastOffset - placed.baseOffset + 1;
    this.#touched.set(partition, { endOffset: placed.lastOffset + 1, sequence: sequence & 0x7fffffff });
    await partition.room();
    return { topic, partition: request.partition, ...placed };
  }

  /** When data cannot be made durable the transaction is aborted, and the reason thrown. */
  async commit(): Promise<void> {
    this.#assertOpen();
    await this.#end(async () => {
      try {
        await Promise.all([...this.#touched].map(([partition, { endOffset }]) => partition.durable(endOffset)));
      } catch (error) {
        await this.#decide("abort");
        throw error;
      }
      await this.#decide("commit");
    });
  }

  async abort(): Promise<void> {
    this.#assertOpen();
    await this.#end(() => this.#decide("abort"));
  }

  /** For the next owner: ends it if it is open and answers what it touched; waits for an end that has begun. */
  async seize(): Promise<readonly Partition[] | undefined> {
    if (this.#state === "open") {
      this.#state = "ended";
      return [...this.#touched.keys()];
    }
    await this.#ending.catch(() => undefined);
    return undefined;
  }

  async #end(how: () => Promise<void>): Promise<void> {
    this.#state = "ending";
    this.#ending = how().finally(() => {
      this.#state = "ended";
    });
    await this.#ending;
  }

  async #decide(outcome: Decision): Promise<void> {
    if (this.#touched.size > 0) await this.#coordinator.decide(this.#producer, outcome, this.#touched.keys());
  }

  #assertOpen(): void {
    this.#producer.assertCurrent();
    if (this.#state === "open") return;
    throw new MillraceError("TRANSACTION_INVALID", `the transaction of ${this.#producer.transactionalId} is not open`);
  }
}
