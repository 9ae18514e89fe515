/**
 * How an open transaction ends: its decision is made durable, no earlier than its data, and then its markers are appended.
 * Who may end it, and who holds its id, is the coordinator's.
 */
import { MillraceError } from "../base/errors.ts";
import { encodeControlBatch } from "../records/batch-builder.ts";
import type { LogContext } from "./log-context.ts";
import type { TransactionVersion } from "./producer.ts";
import type { TransactionLog } from "./transaction-log.ts";
import {
  type Decision,
  encodeTransactionRecord,
  type ProducerIdentity,
  type ProducerState,
  type TransactionRecord,
} from "./transaction-records.ts";
import { endsOf, type OpenWork, type Slot, writtenIn } from "./transactional-ids.ts";

interface DecisionToMake {
  readonly next: ProducerState;
  readonly record: TransactionRecord;
  readonly batch: Buffer;
}

export interface TransactionEndsOptions {
  readonly context: LogContext;
  readonly log: TransactionLog;
  /** The same producer in its next epoch. */
  readonly after: (state: ProducerState) => ProducerState;
  /** Called when a state is durable. */
  readonly learn: (state: ProducerState, usedMs: number) => void;
}

export class TransactionEnds {
  readonly #options: TransactionEndsOptions;

  constructor(options: TransactionEndsOptions) {
    this.#options = options;
  }

  /** Resolves when it is durable and readable, with the producer's next state; throws why data could not be made durable. */
  async finish(slot: Slot, work: OpenWork, outcome: Decision, version: TransactionVersion): Promise<ProducerState> {
    const ended = this.#end(slot, work, outcome, version);
    slot.phase = { kind: "ending", work, outcome, ended };
    try {
      await ended;
    } finally {
      if (slot.phase.kind === "ending") slot.phase = { kind: "none" };
    }
    return slot.state as ProducerState;
  }

  async #end(slot: Slot, work: OpenWork, outcome: Decision, version: TransactionVersion): Promise<void> {
    if (work.touched.size === 0 && !slot.state?.wire) return;
    let decision = this.#decisionOf(slot, work, outcome, version);
    // Where the epoch goes on, what is aborted must be there too: its end in each partition is told from then on.
    while (outcome === "commit" || decision.record.decided?.ends) {
      try {
        await this.#putAhead(work, slot.state);
        // From here on in the same turn: the decision cannot become durable before the data.
        const isSmall = decision.batch.length < this.#options.context.limits.directBytesMin;
        if (!isSmall || !this.#options.log.followsJournal) await this.#makeDurable(work, slot.state);
        for (const [{ failure }] of writtenIn(work, slot.state)) if (failure) throw failure;
        break;
      } catch (error) {
        const isDeleted = slot.state?.wire !== undefined && MillraceError.is(error, "TOPIC_UNKNOWN");
        decision = this.#decisionOf(slot, work, isDeleted ? outcome : "abort", isDeleted ? version : 2);
        if (isDeleted) continue;
        await this.#decide(slot, work, decision);
        if (outcome === "commit") throw error;
        return;
      }
    }
    await this.#decide(slot, work, decision);
  }

  /** Each call is made in this turn. One that throws must not leave the promises of others to nobody. */
  async #putAhead(work: OpenWork, state: ProducerState | undefined): Promise<void> {
    const written = writtenIn(work, state);
    await Promise.all(written.map(async ([partition, endOffset]) => partition.ahead(endOffset)));
  }

  async #makeDurable(work: OpenWork, state: ProducerState | undefined): Promise<void> {
    const written = writtenIn(work, state);
    await Promise.all(written.map(async ([partition, endOffset]) => partition.durable(endOffset)));
  }

  /** The producer's next epoch is part of the same record. */
  #decisionOf(slot: Slot, work: OpenWork, outcome: Decision, version: TransactionVersion): DecisionToMake {
    const before = slot.state as ProducerState;
    const { producerId, epoch } = before;
    const ends = version === 1 ? endsOf(work, before) : undefined;
    const moved = ends ? before : this.#options.after(before);
    const previous = ends ? before.wire?.previous : { producerId, epoch };
    const ended = { outcome, transactionVersion: version };
    const next = before.wire ? { ...moved, wire: { ...(previous && { previous }), ended } } : moved;
    const record: TransactionRecord = { ...next, decided: { outcome, producerId, epoch, ...(ends && { ends }) } };
    return { next, record, batch: encodeTransactionRecord(record, this.#options.context.clock.now()) };
  }

  async #decide(slot: Slot, work: OpenWork, { next, record, batch }: DecisionToMake): Promise<void> {
    const { producerId, epoch } = slot.state as ProducerState;
    await this.#options.log.append(batch, () => {
      this.#options.learn(next, this.#options.context.clock.now());
      if (record.decided) this.mark(record.decided.outcome, { producerId, epoch }, work);
    });
  }

  /** Appends the markers of a decision that is durable. */
  mark(outcome: Decision, producer: ProducerIdentity, { touched }: OpenWork): void {
    const nowMs = this.#options.context.clock.now();
    for (const [partition, { endOffset }] of touched) {
      // A partition that failed or was deleted meanwhile gets its marker when it is read back, if ever.
      if (endOffset > 0 && !partition.failure) partition.appendMarker(encodeControlBatch(outcome, producer, nowMs));
    }
  }
}
