/**
 * Transactions over many partitions (KIP-98, in the form of KIP-890: the epoch grows with every transaction).
 *
 * One durable record in `_millrace.transactions` decides, and becomes durable no earlier than the data (`Partition.ahead`):
 * where all of it goes through the journal, one sync makes both durable. After it the markers are appended, all in one
 * turn, and need no sync: a start reads the decision and writes them again. What is not decided is aborted by the next
 * start, by the next holder of the transactional id, or when its time is up.
 */
import { MillraceError } from "../base/errors.ts";
import { encodeControlBatch } from "../records/batch-builder.ts";
import { batchBaseOffset, batchLastOffset } from "../records/batch-header.ts";
import type { TransactionsCheckpoint } from "./log-checkpoint.ts";
import type { LogContext } from "./log-context.ts";
import type { Partition } from "./partition.ts";
import { damaged } from "./segment.ts";
import {
  type Decision,
  decodeTransactionRecords,
  encodeForgottenId,
  encodeReservation,
  encodeTransactionRecord,
  type ProducerIdentity,
  type ProducerState,
  type StoredTransactionRecord,
  type TransactionRecord,
} from "./transaction-records.ts";

const epochMax = 32_767;
/** Producer ids are reserved so many at a time, so that handing one out costs nothing. */
const idsPerReservation = 1000;

export interface Touched {
  /** Behind the last batch. */
  endOffset: number;
  /** Of the next record, where the log counts them. */
  sequence: number;
}

/** An open transaction. */
export interface OpenWork {
  readonly startedMs: number;
  readonly touched: Map<Partition, Touched>;
}

type Phase =
  | { readonly kind: "none" }
  | { readonly kind: "open"; readonly work: OpenWork }
  | { readonly kind: "ending"; readonly work: OpenWork; readonly ended: Promise<void> }
  /** Its next epoch is on its way to the disk. */
  | { readonly kind: "fencing" };

interface Slot {
  readonly transactionalId: string;
  state: ProducerState | undefined;
  phase: Phase;
  usedMs: number;
  /** Takings of one id follow each other. */
  queue: Promise<unknown>;
}

export interface TransactionDescription extends ProducerIdentity {
  readonly transactionalId: string;
  readonly state: "empty" | "ongoing" | "ending";
  readonly timeoutMs: number | null;
  /** Undefined when none is open. */
  readonly startedMs: number | undefined;
  readonly partitions: readonly { readonly topic: string; readonly partition: number }[];
}

export class TransactionCoordinator {
  readonly #context: LogContext;
  readonly #partition: Partition;
  readonly #slots = new Map<string, Slot>();
  readonly #byProducerId = new Map<number, Slot>();
  /** Offsets of records whose effect is not yet applied. */
  readonly #inFlight = new Set<number>();
  #nextProducerId = 1;
  #reservedTo = 1;
  #reserving: Promise<void> | undefined;

  constructor(context: LogContext, partition: Partition) {
    this.#context = context;
    this.#partition = partition;
  }

  /** Reads the records behind the checkpoint, and ends in `partitions` what was open when the log went down. */
  async recover(checkpoint: TransactionsCheckpoint | undefined, partitions: readonly Partition[]): Promise<void> {
    for (const { usedMs, ...state } of checkpoint?.producers ?? []) this.#learn(state, usedMs);
    this.#reservedTo = Math.max(this.#reservedTo, checkpoint?.nextProducerId ?? 1);
    const decisions = new Map<string, Decision>();
    let offset = Math.max(checkpoint?.transactionsOffset ?? 0, this.#partition.logStart);
    for (;;) {
      const { batches } = await this.#partition.read(offset, false, 1024 * 1024);
      if (batches.length === 0) break;
      // Also behind batches in which compaction has left no record.
      offset = batchLastOffset(batches.at(-1) as Buffer) + 1;
      for (const stored of batches.flatMap((batch) => this.#decode(batch))) {
        if (stored.kind === "reserved") this.#reservedTo = Math.max(this.#reservedTo, stored.nextProducerId);
        else if (stored.kind === "forgotten") this.#forget(stored.transactionalId);
        else {
          const { decided, ...state } = stored.record;
          this.#learn(state, stored.timestamp);
          if (decided) decisions.set(`${decided.producerId}:${decided.epoch}`, decided.outcome);
        }
      }
    }
    // What was reserved may have been handed out.
    this.#nextProducerId = Math.max(this.#nextProducerId, this.#reservedTo);
    this.#reservedTo = this.#nextProducerId;
    await this.#fenceInterrupted(partitions, decisions);
    for (const partition of partitions) {
      if (partition.failure) continue;
      for (const open of partition.openTransactions()) {
        const outcome = decisions.get(`${open.producerId}:${open.epoch}`) ?? "abort";
        partition.appendMarker(encodeControlBatch(outcome, open, this.#context.clock.now()));
      }
    }
  }

  /** Throws `PARTITION_DAMAGED` for a record that is none of ours: a decision must not be passed over. */
  #decode(batch: Buffer): StoredTransactionRecord[] {
    const records = decodeTransactionRecords(batch);
    if (records) return records;
    const { place } = this.#partition;
    throw damaged(
      place,
      place.directory,
      0,
      `the records at offset ${batchBaseOffset(batch)} are not those of transactions`,
    );
  }

  /** Records below `transactionsOffset` have been applied: their markers are appended, though not synced. */
  snapshot(): TransactionsCheckpoint {
    const producers = [...this.#slots.values()].flatMap(({ state, usedMs }) => (state ? [{ ...state, usedMs }] : []));
    return {
      transactionsOffset: Math.min(this.#partition.nextOffset, ...this.#inFlight),
      producers,
      // An id whose epochs were used up took its next one without a reservation.
      nextProducerId: Math.max(this.#reservedTo, this.#nextProducerId),
    };
  }

  /** A producer id that nobody else has or had, for idempotent appends. */
  async newProducerId(): Promise<number> {
    while (this.#nextProducerId >= this.#reservedTo) {
      this.#reserving ??= this.#reserve().finally(() => {
        this.#reserving = undefined;
      });
      await this.#reserving;
    }
    return this.#nextProducerId++;
  }

  /** Fences whoever held the id and aborts its open transaction; waits for one that is being committed. */
  init(transactionalId: string, timeoutMs: number | null): Promise<ProducerState> {
    const slot = this.#slot(transactionalId);
    const taken = slot.queue.then(() => this.#take(slot, timeoutMs));
    slot.queue = taken.catch(() => undefined);
    return taken;
  }

  /** Throws `PRODUCER_FENCED`, and `TRANSACTION_INVALID` while another transaction is open. */
  begin(transactionalId: string, identity: ProducerIdentity): OpenWork {
    const slot = this.#current(transactionalId, identity);
    if (slot.phase.kind !== "none") {
      throw new MillraceError("TRANSACTION_INVALID", `producer ${transactionalId} has a transaction open already`);
    }
    return this.#open(slot);
  }

  /**
   * The open transaction of a producer that names itself in its batches; it begins with the first of them.
   * Throws `PRODUCER_UNKNOWN`, `PRODUCER_FENCED`, `TRANSACTION_INVALID` while it is being ended.
   */
  join(identity: ProducerIdentity): OpenWork {
    const slot = this.#byProducerId.get(identity.producerId);
    if (!slot) {
      throw new MillraceError("PRODUCER_UNKNOWN", `no transactional id has the producer id ${identity.producerId}`, {
        details: { ...identity },
      });
    }
    this.#current(slot.transactionalId, identity);
    if (slot.phase.kind === "none") return this.#open(slot);
    if (slot.phase.kind === "open") return slot.phase.work;
    throw notOpen(slot.transactionalId);
  }

  /** Throws `PRODUCER_FENCED` and `TRANSACTION_INVALID`. */
  assertOpen(transactionalId: string, identity: ProducerIdentity, work: OpenWork): void {
    const { phase } = this.#current(transactionalId, identity);
    if (phase.kind !== "open" || phase.work !== work) throw notOpen(transactionalId);
  }

  /**
   * Ends the open transaction; resolves when that is durable and readable, with the producer's next epoch. When data
   * cannot be made durable the transaction is aborted, and the reason thrown. Throws `PRODUCER_FENCED`, `TRANSACTION_INVALID`.
   */
  async end(transactionalId: string, identity: ProducerIdentity, outcome: Decision): Promise<ProducerState> {
    const slot = this.#current(transactionalId, identity);
    if (slot.phase.kind !== "open") throw notOpen(transactionalId);
    const { work } = slot.phase;
    const ended = this.#end(slot, work, outcome);
    slot.phase = { kind: "ending", work, ended };
    try {
      await ended;
    } finally {
      if (slot.phase.kind === "ending") slot.phase = { kind: "none" };
    }
    return slot.state as ProducerState;
  }

  /** Aborts the open transaction of an id, whoever holds it, and fences that one. False when there is none. */
  async abort(transactionalId: string): Promise<boolean> {
    const slot = this.#slots.get(transactionalId);
    if (!slot?.state || slot.phase.kind !== "open") return false;
    await this.init(transactionalId, slot.state.timeoutMs ?? null);
    return true;
  }

  /** Aborts what has been open for longer than its timeout. */
  async expire(): Promise<void> {
    const nowMs = this.#context.clock.now();
    for (const { transactionalId, state, phase } of [...this.#slots.values()]) {
      const timeoutMs = state?.timeoutMs ?? null;
      if (phase.kind !== "open" || timeoutMs === null || nowMs - phase.work.startedMs <= timeoutMs) continue;
      this.#context.diagnostics.warn("a transaction was open for longer than its timeout and is aborted", {
        transactionalId,
        timeoutMs,
      });
      await this.abort(transactionalId);
    }
  }

  /** Forgets ids that nobody has used for so long. */
  async forgetIdle(olderThanMs: number): Promise<void> {
    const nowMs = this.#context.clock.now();
    for (const slot of [...this.#slots.values()]) {
      if (slot.phase.kind !== "none" || !slot.state || nowMs - slot.usedMs < olderThanMs) continue;
      slot.phase = { kind: "fencing" };
      await this.#record(encodeForgottenId(slot.transactionalId, nowMs), () => this.#forget(slot.transactionalId));
    }
  }

  list(): TransactionDescription[] {
    return [...this.#slots.values()].flatMap((slot) => describe(slot) ?? []);
  }

  describe(transactionalId: string): TransactionDescription | undefined {
    const slot = this.#slots.get(transactionalId);
    return slot && describe(slot);
  }

  /**
   * Who had a transaction open that nobody decided must not go on with it: a part of it will be aborted. Durable before
   * the markers are, or a second start would not know.
   */
  async #fenceInterrupted(partitions: readonly Partition[], decisions: ReadonlyMap<string, Decision>): Promise<void> {
    for (const partition of partitions) {
      if (partition.failure) continue;
      for (const { producerId, epoch } of partition.openTransactions()) {
        const state = this.#byProducerId.get(producerId)?.state;
        if (!state || state.epoch !== epoch || decisions.has(`${producerId}:${epoch}`)) continue;
        const next = this.#after(state);
        const nowMs = this.#context.clock.now();
        const record: TransactionRecord = { ...next, decided: { outcome: "abort", producerId, epoch } };
        await this.#record(encodeTransactionRecord(record, nowMs), () => this.#learn(next, nowMs));
      }
    }
  }

  #current(transactionalId: string, { producerId, epoch }: ProducerIdentity): Slot {
    const slot = this.#slots.get(transactionalId);
    const { state, phase } = slot ?? {};
    if (slot && state?.producerId === producerId && state.epoch === epoch && phase?.kind !== "fencing") return slot;
    throw new MillraceError("PRODUCER_FENCED", `a newer producer has taken over ${transactionalId}`, {
      details: { transactionalId },
    });
  }

  #open(slot: Slot): OpenWork {
    const work: OpenWork = { startedMs: this.#context.clock.now(), touched: new Map() };
    slot.phase = { kind: "open", work };
    slot.usedMs = work.startedMs;
    return work;
  }

  async #end(slot: Slot, work: OpenWork, outcome: Decision): Promise<void> {
    if (work.touched.size === 0) return;
    if (outcome === "commit") {
      try {
        await this.#secure(work);
      } catch (error) {
        await this.#decide(slot, work, "abort");
        throw error;
      }
    }
    await this.#decide(slot, work, outcome);
  }

  /** Afterwards, in the same turn, a decision may be appended: it cannot become durable before the data. */
  async #secure({ touched }: OpenWork): Promise<void> {
    // Each call is made in this turn. One that throws must not leave the promises of others to nobody.
    await Promise.all([...touched].map(async ([partition, { endOffset }]) => partition.ahead(endOffset)));
    if (!this.#partition.followsJournal) {
      await Promise.all([...touched].map(async ([partition, { endOffset }]) => partition.durable(endOffset)));
    }
    for (const { failure } of touched.keys()) if (failure) throw failure;
  }

  /** The producer's next epoch is part of the same record. */
  async #decide(slot: Slot, work: OpenWork, outcome: Decision): Promise<void> {
    const { producerId, epoch } = slot.state as ProducerState;
    const next = this.#after(slot.state as ProducerState);
    const record: TransactionRecord = { ...next, decided: { outcome, producerId, epoch } };
    await this.#record(encodeTransactionRecord(record, this.#context.clock.now()), () => {
      this.#learn(next, this.#context.clock.now());
      this.#mark(outcome, { producerId, epoch }, work);
    });
  }

  async #take(slot: Slot, timeoutMs: number | null): Promise<ProducerState> {
    if (slot.phase.kind === "ending") await slot.phase.ended.catch(() => undefined);
    const open = slot.phase.kind === "open" ? slot.phase.work : undefined;
    slot.phase = { kind: "fencing" };
    try {
      const before = slot.state;
      const { producerId, epoch } = before ? this.#after(before) : { producerId: await this.newProducerId(), epoch: 0 };
      const next: ProducerState = { transactionalId: slot.transactionalId, producerId, epoch, timeoutMs };
      const decided = before &&
        open && { outcome: "abort" as const, producerId: before.producerId, epoch: before.epoch };
      const record: TransactionRecord = { ...next, ...(decided && { decided }) };
      await this.#record(encodeTransactionRecord(record, this.#context.clock.now()), () => {
        this.#learn(next, this.#context.clock.now());
        // The new epoch is durable, so what was open can no longer be decided any other way.
        if (open && before) this.#mark("abort", before, open);
      });
      return next;
    } finally {
      slot.phase = { kind: "none" };
    }
  }

  /** Appends a record, and applies it when it is durable, in the same turn in which it stops being in flight. */
  async #record(batch: Buffer, apply: () => void): Promise<void> {
    const { baseOffset, lastOffset } = this.#partition.append(batch);
    this.#inFlight.add(baseOffset);
    // Never with an earlier record that waits already: the data that it decides over may wait behind that one.
    await this.#partition.behind(baseOffset, lastOffset + 1);
    await this.#partition.durable(lastOffset + 1);
    apply();
    this.#inFlight.delete(baseOffset);
  }

  #mark(outcome: Decision, producer: ProducerIdentity, { touched }: OpenWork): void {
    const nowMs = this.#context.clock.now();
    for (const partition of touched.keys()) {
      // A partition that failed or was deleted meanwhile gets its marker when it is read back, if ever.
      if (!partition.failure) partition.appendMarker(encodeControlBatch(outcome, producer, nowMs));
    }
  }

  #after(state: ProducerState): ProducerState {
    if (state.epoch < epochMax) return { ...state, epoch: state.epoch + 1 };
    // The record that carries it also reserves it: ids in use are learnt from records.
    return { ...state, producerId: this.#nextProducerId++, epoch: 0 };
  }

  async #reserve(): Promise<void> {
    const to = this.#nextProducerId + idsPerReservation;
    await this.#record(encodeReservation(to, this.#context.clock.now()), () => {
      this.#reservedTo = Math.max(this.#reservedTo, to);
    });
  }

  #learn(state: ProducerState, usedMs: number): void {
    const slot = this.#slot(state.transactionalId);
    if (slot.state) this.#byProducerId.delete(slot.state.producerId);
    slot.state = state;
    slot.usedMs = usedMs;
    this.#byProducerId.set(state.producerId, slot);
    this.#nextProducerId = Math.max(this.#nextProducerId, state.producerId + 1);
  }

  #forget(transactionalId: string): void {
    const slot = this.#slots.get(transactionalId);
    if (slot?.state) this.#byProducerId.delete(slot.state.producerId);
    this.#slots.delete(transactionalId);
  }

  #slot(transactionalId: string): Slot {
    const known = this.#slots.get(transactionalId);
    if (known) return known;
    const slot: Slot = {
      transactionalId,
      state: undefined,
      phase: { kind: "none" },
      usedMs: this.#context.clock.now(),
      queue: Promise.resolve(),
    };
    this.#slots.set(transactionalId, slot);
    return slot;
  }
}

function describe({ transactionalId, state, phase }: Slot): TransactionDescription | undefined {
  if (!state) return undefined;
  const work = phase.kind === "open" || phase.kind === "ending" ? phase.work : undefined;
  return {
    transactionalId,
    producerId: state.producerId,
    epoch: state.epoch,
    state: phase.kind === "open" ? "ongoing" : phase.kind === "none" ? "empty" : "ending",
    timeoutMs: state.timeoutMs ?? null,
    startedMs: work?.startedMs,
    partitions: [...(work?.touched.keys() ?? [])].map(({ place: { topic, partition } }) => ({ topic, partition })),
  };
}

function notOpen(transactionalId: string): MillraceError {
  return new MillraceError("TRANSACTION_INVALID", `the transaction of ${transactionalId} is not open`, {
    details: { transactionalId },
  });
}
