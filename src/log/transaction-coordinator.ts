/**
 * Transactions over many partitions (KIP-98), of code in this process and of clients behind a protocol. In this process the
 * epoch grows with every transaction (KIP-890); a client decides by the version of its calls whether it does.
 *
 * One durable record in `_millrace.transactions` decides, and becomes durable no earlier than the data (`Partition.ahead`):
 * where all of it goes through the journal, one sync makes both durable. After it the markers are appended, all in one
 * turn, and need no sync: a start reads the decision and writes them again. What this process has not decided is aborted by
 * the next start, by the next holder of the transactional id, or when its time is up; what a client has open goes on
 * after a start. Not here: what a client may do (transaction-decisions.ts), how a decision and its data become durable
 * (transaction-ends.ts), what a start makes of what it finds (transaction-recovery.ts), how records are kept (transaction-log.ts).
 */
import { MillraceError } from "../base/errors.ts";
import { encodeControlBatch } from "../records/batch-builder.ts";
import type { TransactionsCheckpoint } from "./log-checkpoint.ts";
import type { LogContext } from "./log-context.ts";
import type { Partition } from "./partition.ts";
import type { TransactionVersion } from "./producer.ts";
import { ProducerIds } from "./producer-ids.ts";
import { decideEnd, decideInit, decideJoin, isEpochLast, notOpen, refusal } from "./transaction-decisions.ts";
import { TransactionEnds } from "./transaction-ends.ts";
import { TransactionLog } from "./transaction-log.ts";
import {
  type Decision,
  encodeForgottenId,
  encodeReservation,
  encodeTransactionRecord,
  type ProducerIdentity,
  type ProducerState,
  type TransactionRecord,
  type WireState,
} from "./transaction-records.ts";
import { Decisions, type FoundTransaction, planRecovery, reopen } from "./transaction-recovery.ts";
import {
  describe,
  knownOf,
  newWork,
  type OpenWork,
  type Slot,
  TransactionalIds,
  type TransactionDescription,
  withOpen,
  workOf,
} from "./transactional-ids.ts";

const wireIdsMaxDefault = 100_000;

/** Who takes an id. */
interface Taking {
  readonly timeoutMs: number | null;
  /** Undefined for a holder in this process. */
  readonly wire?: WireState;
  /** What a client says it has. */
  readonly expected?: ProducerIdentity;
  /** Nobody takes it, unless this is still open when its turn has come. */
  readonly toAbort?: OpenWork;
}

/** How a batch of a client came. */
export interface WireOrigin {
  /** Under version 1 a partition is added to a transaction before it is written to. */
  readonly transactionVersion?: TransactionVersion;
  /** The id that was named beside the batch. */
  readonly transactionalId?: string;
}

export class TransactionCoordinator {
  readonly #context: LogContext;
  readonly #log: TransactionLog;
  readonly #ids = new TransactionalIds();
  readonly #producerIds: ProducerIds;
  readonly #ends: TransactionEnds;
  readonly #wireIdsMax: number;

  /** `wireIdsMax` bounds the ids of clients: beyond, those that were not used for longest are forgotten, which fences their holders. */
  constructor(context: LogContext, partition: Partition, wireIdsMax = wireIdsMaxDefault) {
    this.#context = context;
    this.#wireIdsMax = wireIdsMax;
    this.#log = new TransactionLog(partition);
    this.#producerIds = new ProducerIds((to) =>
      this.#log.append(encodeReservation(to, this.#context.clock.now()), () => undefined),
    );
    this.#ends = new TransactionEnds({
      context,
      log: this.#log,
      after: (state) => this.#after(state),
      learn: (state, usedMs) => this.#learn(state, usedMs),
    });
  }

  /**
   * Reads the records behind the checkpoint, and ends in `partitions` what was open when the log went down, but for what
   * clients have open. Throws `PARTITION_DAMAGED`, `LOG_FORMAT_NEWER`.
   */
  async recover(checkpoint: TransactionsCheckpoint | undefined, partitions: readonly Partition[]): Promise<void> {
    for (const { usedMs, ...state } of checkpoint?.producers ?? []) this.#learn(state, usedMs);
    this.#producerIds.reserved(checkpoint?.nextProducerId ?? 1);
    const decisions = new Decisions();
    await this.#log.readBack(checkpoint?.transactionsOffset ?? 0, (stored) => {
      if (stored.kind === "reserved") this.#producerIds.reserved(stored.nextProducerId);
      else if (stored.kind === "forgotten") this.#ids.forget(stored.transactionalId);
      else {
        this.#learn(stored.record, stored.timestamp);
        if (stored.record.decided) decisions.add(stored.record.decided);
      }
    });
    this.#producerIds.start();
    const found = partitions.flatMap((partition) => {
      return partition.failure ? [] : partition.openTransactions().map((transaction) => ({ partition, transaction }));
    });
    const plan = planRecovery(found, decisions, (producerId) => this.#ids.ofProducer(producerId)?.state);
    await this.#fenceInterrupted(plan.interrupted);
    for (const { partition, transaction, outcome } of plan.ended) {
      partition.appendMarker(encodeControlBatch(outcome, transaction, this.#context.clock.now()));
    }
    this.#goOn(plan.goesOn, partitions);
  }

  /** Records below `transactionsOffset` have been applied: their markers are appended, though not synced. */
  snapshot(): TransactionsCheckpoint {
    const producers = [...this.#ids.values()].flatMap((slot) => {
      return slot.state ? [{ ...withOpen(slot.state, workOf(slot.phase)), usedMs: slot.usedMs }] : [];
    });
    return {
      transactionsOffset: this.#log.appliedTo,
      producers,
      nextProducerId: this.#producerIds.reservedTo,
    };
  }

  /** A producer id that nobody else has or had, for idempotent appends. */
  newProducerId(): Promise<number> {
    return this.#producerIds.take();
  }

  /**
   * For code in this process: fences whoever held the id and aborts its open transaction; waits for one that is being
   * committed.
   */
  init(transactionalId: string, timeoutMs: number | null): Promise<ProducerState> {
    return this.#inTurn(this.#ids.slot(transactionalId, this.#context.clock.now()), { timeoutMs });
  }

  /**
   * For a client: the same, and with what it says it has only when that is so, or when the call is a repetition.
   * Throws `PRODUCER_FENCED`.
   */
  async initByWire(
    transactionalId: string,
    timeoutMs: number | null,
    expected?: ProducerIdentity,
  ): Promise<ProducerState> {
    const state = await this.#inTurn(this.#ids.slot(transactionalId, this.#context.clock.now()), {
      timeoutMs,
      wire: {},
      ...(expected && { expected }),
    });
    if (this.#ids.size > this.#wireIdsMax) await this.#makeRoom();
    return state;
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
   * The open transaction of a client that names itself in its batches. Under version 2 it begins with the first of them; under
   * version 1 it is undefined unless `partition` was added to it. Throws `PRODUCER_UNKNOWN`, `PRODUCER_FENCED`,
   * `TRANSACTION_INVALID` while it is being ended.
   */
  join(producer: ProducerIdentity, partition: Partition, origin: WireOrigin = {}): OpenWork | undefined {
    const slot = this.#ids.ofProducer(producer.producerId);
    const { transactionalId = slot?.transactionalId, transactionVersion = 2 } = origin;
    if (!slot?.state?.wire || slot.transactionalId !== transactionalId) {
      throw new MillraceError("PRODUCER_UNKNOWN", `no transactional id has the producer id ${producer.producerId}`, {
        details: { producerId: producer.producerId, epoch: producer.epoch },
      });
    }
    const decision = decideJoin(knownOf(slot), producer);
    if (decision.kind === "refused") {
      throw refusal(decision.why === "concurrent" ? "invalid" : decision.why, slot.transactionalId, producer);
    }
    const { phase } = slot;
    if (transactionVersion === 1) {
      return phase.kind === "open" && phase.work.touched.has(partition) ? phase.work : undefined;
    }
    return phase.kind === "open" ? phase.work : this.#open(slot);
  }

  /**
   * Adds partitions to a client's open transaction, or begins one with them; resolves when that is durable. Throws
   * `PRODUCER_UNKNOWN`, `PRODUCER_FENCED`, and `TRANSACTION_CONCURRENT` while the one before is being ended.
   */
  async addPartitions(
    transactionalId: string,
    producer: ProducerIdentity,
    partitions: readonly Partition[],
  ): Promise<void> {
    const slot = this.#ids.get(transactionalId);
    const decision = decideJoin(knownOf(slot), producer);
    if (decision.kind === "refused" || !slot) throw refusedBy(decision, transactionalId, producer);
    const isNew = slot.phase.kind !== "open";
    const work = slot.phase.kind === "open" ? slot.phase.work : this.#open(slot);
    const added = partitions.filter((partition) => !work.touched.has(partition));
    for (const partition of added) work.touched.set(partition, { endOffset: 0, sequence: 0 });
    if (isNew || added.length > 0) await this.#store(slot, work);
    // Those that are there already may have been added in this turn.
    else if (work.storedEnd > 0) await this.#log.durable(work.storedEnd);
  }

  /** Throws `PRODUCER_FENCED` and `TRANSACTION_INVALID`. */
  assertOpen(transactionalId: string, identity: ProducerIdentity, work: OpenWork): void {
    const { phase } = this.#current(transactionalId, identity);
    if (phase.kind !== "open" || phase.work !== work) throw notOpen(transactionalId);
  }

  /**
   * For code in this process: ends the open transaction; resolves when that is durable and readable, with the producer's next
   * epoch. When data cannot be made durable the transaction is aborted, and the reason thrown. Throws `PRODUCER_FENCED`,
   * `TRANSACTION_INVALID`.
   */
  async end(transactionalId: string, identity: ProducerIdentity, outcome: Decision): Promise<ProducerState> {
    const slot = this.#current(transactionalId, identity);
    if (slot.phase.kind !== "open") throw notOpen(transactionalId);
    return await this.#ends.finish(slot, slot.phase.work, outcome, 2);
  }

  /**
   * For a client: the same, or what a repetition of the call is answered. Under version 1 the epoch stays, unless data could not be
   * made durable. Throws `PRODUCER_UNKNOWN`, `PRODUCER_FENCED`, `TRANSACTION_INVALID`, `TRANSACTION_CONCURRENT`.
   */
  async endByWire(
    transactionalId: string,
    producer: ProducerIdentity,
    outcome: Decision,
    version: TransactionVersion = 2,
  ): Promise<ProducerState> {
    const slot = this.#ids.get(transactionalId);
    const decision = decideEnd(knownOf(slot), producer, outcome, version);
    if (decision.kind === "refused" || !slot?.state) throw refusedBy(decision, transactionalId, producer);
    if (decision.kind === "same") return slot.state;
    const work = slot.phase.kind === "open" ? slot.phase.work : newWork(this.#context.clock.now());
    return await this.#ends.finish(slot, work, outcome, version);
  }

  /** Aborts the open transaction of an id, whoever holds it, and fences that one. False when there is none. */
  async abort(transactionalId: string): Promise<boolean> {
    const slot = this.#ids.get(transactionalId);
    if (!slot?.state || slot.phase.kind !== "open") return false;
    const timeoutMs = slot.state.timeoutMs ?? null;
    const wire: WireState = { ended: { outcome: "abort", transactionVersion: 2 } };
    const toAbort = slot.phase.work;
    await this.#inTurn(slot, slot.state.wire ? { timeoutMs, wire, toAbort } : { timeoutMs, toAbort });
    return true;
  }

  /** The id whose open transaction this is; undefined when none is, or not of this epoch. */
  holderOf({ producerId, epoch }: ProducerIdentity): string | undefined {
    const slot = this.#ids.ofProducer(producerId);
    return slot?.state?.epoch === epoch && slot.phase.kind === "open" ? slot.transactionalId : undefined;
  }

  /** Aborts what has been open for longer than its timeout, and makes durable since when the others are. */
  async expire(): Promise<void> {
    const nowMs = this.#context.clock.now();
    for (const { transactionalId, state, phase } of [...this.#ids.values()]) {
      const timeoutMs = state?.timeoutMs ?? null;
      if (phase.kind !== "open" || timeoutMs === null || nowMs - phase.work.startedMs <= timeoutMs) continue;
      this.#context.diagnostics.warn("a transaction was open for longer than its timeout and is aborted", {
        transactionalId,
        timeoutMs,
      });
      await this.abort(transactionalId);
    }
    const stored: Promise<void>[] = [];
    for (const slot of this.#ids.values()) {
      if (slot.phase.kind !== "open" || !slot.state?.wire || slot.phase.work.storedEnd > 0) continue;
      stored.push(this.#store(slot, slot.phase.work));
    }
    await Promise.all(stored);
  }

  /** Forgets ids that nobody has used for so long. */
  async forgetIdle(olderThanMs: number): Promise<void> {
    const nowMs = this.#context.clock.now();
    for (const slot of [...this.#ids.values()]) {
      if (slot.phase.kind !== "none" || !slot.state || nowMs - slot.usedMs < olderThanMs) continue;
      await this.#forgetDurably(slot);
    }
  }

  list(): TransactionDescription[] {
    return [...this.#ids.values()].flatMap((slot) => describe(slot) ?? []);
  }

  describe(transactionalId: string): TransactionDescription | undefined {
    const slot = this.#ids.get(transactionalId);
    return slot && describe(slot);
  }

  /**
   * Who had a transaction open that nobody decided must not go on with it: a part of it will be aborted. Durable before
   * the markers are, or a second start would not know.
   */
  async #fenceInterrupted(states: Iterable<ProducerState>): Promise<void> {
    for (const state of states) {
      const { producerId, epoch } = state;
      const next = this.#after(state);
      const nowMs = this.#context.clock.now();
      const record: TransactionRecord = { ...next, decided: { outcome: "abort", producerId, epoch } };
      await this.#log.append(encodeTransactionRecord(record, nowMs), () => this.#learn(next, nowMs));
    }
  }

  /** What clients have open, as far as it is durable; what else they sent they send again. */
  #goOn(parts: ReadonlyMap<string, readonly FoundTransaction<Partition>[]>, partitions: readonly Partition[]): void {
    const byPlace = new Map(partitions.map((each) => [`${each.place.topicId}/${each.place.partition}`, each]));
    const now = { nowMs: this.#context.clock.now(), nextOffset: this.#log.nextOffset };
    for (const slot of this.#ids.values()) {
      const reopened = reopen(slot.state, parts.get(slot.transactionalId) ?? [], byPlace, now);
      if (!reopened) continue;
      slot.state = reopened.state;
      slot.phase = { kind: "open", work: reopened.work };
    }
  }

  #current(transactionalId: string, { producerId, epoch }: ProducerIdentity): Slot {
    const slot = this.#ids.get(transactionalId);
    const { state, phase } = slot ?? {};
    if (slot && state?.producerId === producerId && state.epoch === epoch && phase?.kind !== "fencing") return slot;
    throw new MillraceError("PRODUCER_FENCED", `a newer producer has taken over ${transactionalId}`, {
      details: { transactionalId },
    });
  }

  #open(slot: Slot): OpenWork {
    const work = newWork(this.#context.clock.now());
    slot.phase = { kind: "open", work };
    slot.usedMs = work.startedMs;
    return work;
  }

  /** Makes durable that it is open, since when, and which partitions were added to it. */
  async #store(slot: Slot, work: OpenWork): Promise<void> {
    const record = withOpen(slot.state as ProducerState, work);
    slot.usedMs = this.#context.clock.now();
    work.storedEnd = this.#log.put(encodeTransactionRecord(record, slot.usedMs));
    await this.#log.stored(work.storedEnd);
  }

  #inTurn(slot: Slot, taking: Taking): Promise<ProducerState> {
    slot.takers++;
    const taken = slot.queue
      .then(() => this.#take(slot, taking))
      .finally(() => {
        slot.takers--;
      });
    slot.queue = taken.catch(() => undefined);
    return taken;
  }

  async #take(slot: Slot, { timeoutMs, wire, expected, toAbort }: Taking): Promise<ProducerState> {
    if (slot.phase.kind === "ending") await slot.phase.ended.catch(() => undefined);
    if (toAbort && slot.state && workOf(slot.phase) !== toAbort) return slot.state;
    const { transactionalId, state: before } = slot;
    const decision = decideInit(knownOf(slot), expected);
    if (decision.kind === "refused") throw refusal(decision.why, transactionalId, expected as ProducerIdentity);
    const open = workOf(slot.phase);
    slot.phase = { kind: "fencing", work: open };
    try {
      let identity: ProducerIdentity = before ?? { producerId: await this.newProducerId(), epoch: 0 };
      if (before && decision.kind !== "same") identity = this.#after(before);
      const previous = decision.kind === "same" ? before?.wire?.previous : decision.previous;
      const { producerId, epoch } = identity;
      const next: ProducerState = {
        transactionalId,
        producerId,
        epoch,
        timeoutMs,
        ...(wire && { wire: { ...wire, ...(previous && { previous }) } }),
      };
      const decided = before &&
        open && { outcome: "abort" as const, producerId: before.producerId, epoch: before.epoch };
      const record: TransactionRecord = { ...next, ...(decided && { decided }) };
      await this.#log.append(encodeTransactionRecord(record, this.#context.clock.now()), () => {
        this.#learn(next, this.#context.clock.now());
        // The new epoch is durable, so what was open can no longer be decided any other way.
        if (open && before) this.#ends.mark("abort", before, open);
      });
      return next;
    } finally {
      slot.phase = { kind: "none" };
    }
  }

  #after(state: ProducerState): ProducerState {
    if (!isEpochLast(state)) return { ...state, epoch: state.epoch + 1 };
    // The record that carries it also reserves it: ids in use are learnt from records.
    return { ...state, producerId: this.#producerIds.takeUnreserved(), epoch: 0 };
  }

  #learn(state: ProducerState, usedMs: number): void {
    this.#ids.learn(state, usedMs);
    this.#producerIds.used(state.producerId);
  }

  async #makeRoom(): Promise<void> {
    for (const slot of this.#ids.values()) {
      if (this.#ids.size <= this.#wireIdsMax) return;
      if (slot.phase.kind === "none" && slot.state?.wire) await this.#forgetDurably(slot);
    }
  }

  /** Who takes the id meanwhile takes it as a new one. */
  #forgetDurably(slot: Slot): Promise<void> {
    const forgotten = slot.queue.then(async () => {
      if (slot.phase.kind !== "none" || !slot.state) return;
      slot.phase = { kind: "fencing", work: undefined };
      try {
        await this.#log.append(encodeForgottenId(slot.transactionalId, this.#context.clock.now()), () => {
          this.#ids.forget(slot.transactionalId);
        });
      } finally {
        slot.phase = { kind: "none" };
      }
    });
    slot.queue = forgotten.catch(() => undefined);
    return forgotten;
  }
}

function refusedBy(
  decision: ReturnType<typeof decideJoin | typeof decideEnd>,
  transactionalId: string,
  producer: ProducerIdentity,
): MillraceError {
  return refusal(decision.kind === "refused" ? decision.why : "unknown", transactionalId, producer);
}
