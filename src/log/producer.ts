/**
 * One producer of a partition: its epoch, its last batches, and its open transaction.
 *
 * Always true: it holds numbers only, so that a batch after the first allocates nothing; the batches kept are of the
 * epoch that is known. Which producers there are, and which of them may go, is producer-table.ts.
 */
import { isTransactional } from "../records/batch-header.ts";

/** Batches by which a repeated one is known. */
export const batchesKept = 5;

/** Under version 2 (KIP-890) an epoch has one transaction, and its end is the end of the epoch. */
export type TransactionVersion = 1 | 2;

/** The fields of a batch's header that matter here. */
export interface ProducerBatch {
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly attributes: number;
  /** For `decide` only the distance between the two counts. */
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly maxTimestamp: number;
}

export type ProducerDecision =
  | { readonly outcome: "append" }
  /** It is in the log already; offsets and timestamp are those of then. */
  | {
      readonly outcome: "duplicate";
      readonly baseOffset: number;
      readonly lastOffset: number;
      readonly timestamp: number;
    }
  /** `epoch` is the one known. Kafka's INVALID_PRODUCER_EPOCH. */
  | { readonly outcome: "fenced"; readonly epoch: number }
  | { readonly outcome: "out-of-order"; readonly expected: number }
  /** `firstOffset` is that of the open transaction. */
  | { readonly outcome: "invalid-transaction-state"; readonly firstOffset: number }
  /** Every one of the producers that are remembered has a transaction open, so that none can make room for a new one. */
  | { readonly outcome: "full" };

/** As DescribeProducers answers it; -1 where nothing is known. */
export interface ProducerDescription {
  readonly producerId: number;
  readonly epoch: number;
  readonly lastSequence: number;
  readonly lastTimestamp: number;
  readonly coordinatorEpoch: number;
  readonly currentTransactionStartOffset: number;
}

export interface KeptBatch {
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly lastOffset: number;
  readonly timestamp: number;
}

/** All that is known of one producer, for a snapshot. */
export interface StoredProducer {
  readonly producerId: number;
  readonly epoch: number;
  /** Of the last transaction that a marker ended; -1 for none. */
  readonly endedEpoch: number;
  /** Of the last marker; -1 for none. */
  readonly coordinatorEpoch: number;
  /** Of its last batch or marker. */
  readonly lastOffset: number;
  readonly lastTimestamp: number;
  readonly lastSeenMs: number;
  readonly open: { readonly epoch: number; readonly firstOffset: number; readonly startedMs: number } | undefined;
  /** The oldest first. */
  readonly batches: readonly KeptBatch[];
}

const none = -1;
/** Sequences are 31 bits wide: 0 follows 2^31 - 1. */
const sequenceMask = 0x7fffffff;
const append: ProducerDecision = { outcome: "append" };

/** Places in `#kept`. */
const keptField = { firstSequence: 0, lastSequence: 1, lastOffset: 2, timestamp: 3 } as const;
const keptFields = 4;

export class Producer {
  readonly producerId: number;
  epoch = none;
  endedEpoch = none;
  coordinatorEpoch = none;
  lastOffset = none;
  lastTimestamp = none;
  lastSeenMs = 0;
  /** Of the open transaction; -1 when none is open, as is its epoch. */
  firstOffset = none;
  openEpoch = none;
  startedMs = none;
  /** Neighbours in the list that it is in. */
  older: Producer | undefined;
  newer: Producer | undefined;
  /** A ring of the epoch's last batches, four numbers each; all are doubles in one array. */
  readonly #kept: number[] = new Array(batchesKept * keptFields).fill(-0.5);
  #keptCount = 0;
  /** The place in the ring of the next one. */
  #next = 0;

  constructor(producerId: number) {
    this.producerId = producerId;
  }

  get isOpen(): boolean {
    return this.firstOffset !== none;
  }

  /** Where the batch ends that a compaction must leave: the last of the epoch, or the marker that began the epoch. */
  get lastNeededOffset(): number {
    return this.#keptCount > 0 ? this.#at(this.#keptCount - 1, keptField.lastOffset) : this.lastOffset;
  }

  /**
   * For a batch of records; `isVersion2` says that it is of a transaction of that version, `isNumbered` that its sequence
   * counts.
   */
  decide(batch: ProducerBatch, isVersion2: boolean, isNumbered: boolean): ProducerDecision {
    const { producerEpoch, baseSequence, attributes } = batch;
    if (producerEpoch < this.epoch) return { outcome: "fenced", epoch: this.epoch };
    const isSameEpoch = producerEpoch === this.epoch;
    const known = isSameEpoch && isNumbered ? this.#find(baseSequence, lastSequenceOf(batch)) : none;
    if (known !== none) return this.#duplicate(known);
    // A batch that was still on its way when its transaction ended must not begin another one.
    if (isVersion2 && producerEpoch <= this.endedEpoch) return { outcome: "fenced", epoch: this.epoch };
    const expected = isSameEpoch ? (this.#lastSequence + 1) & sequenceMask : 0;
    // Of an epoch that only a marker tells of, the batches are forgotten (KIP-360).
    const isForgotten = isSameEpoch && this.#keptCount === 0 && !isVersion2 && baseSequence > 0;
    if (isNumbered && baseSequence !== expected && !isForgotten) return { outcome: "out-of-order", expected };
    if (this.isOpen && (!isTransactional(attributes) || producerEpoch > this.openEpoch)) {
      return { outcome: "invalid-transaction-state", firstOffset: this.firstOffset };
    }
    return append;
  }

  begin(epoch: number): void {
    this.epoch = epoch;
    this.#keptCount = 0;
  }

  keep(batch: ProducerBatch): void {
    this.#push(batch.baseSequence, lastSequenceOf(batch), batch.lastOffset, batch.maxTimestamp);
  }

  see({ lastOffset, maxTimestamp }: ProducerBatch, nowMs: number): void {
    this.lastOffset = lastOffset;
    this.lastTimestamp = maxTimestamp;
    this.lastSeenMs = nowMs;
  }

  open(epoch: number, firstOffset: number, startedMs: number): void {
    this.openEpoch = epoch;
    this.firstOffset = firstOffset;
    this.startedMs = startedMs;
  }

  end(): void {
    this.endedEpoch = this.openEpoch;
    this.open(none, none, none);
  }

  describe(): ProducerDescription {
    const { producerId, epoch, lastTimestamp, coordinatorEpoch } = this;
    const lastSequence = this.#lastSequence;
    const currentTransactionStartOffset = this.firstOffset;
    return { producerId, epoch, lastSequence, lastTimestamp, coordinatorEpoch, currentTransactionStartOffset };
  }

  state(): StoredProducer {
    const { producerId, epoch, endedEpoch, coordinatorEpoch, lastOffset, lastTimestamp, lastSeenMs } = this;
    const { openEpoch, firstOffset, startedMs } = this;
    const open = this.isOpen ? { epoch: openEpoch, firstOffset, startedMs } : undefined;
    const batches = Array.from({ length: this.#keptCount }, (_, i) => this.#batch(i));
    return {
      producerId,
      epoch,
      endedEpoch,
      coordinatorEpoch,
      lastOffset,
      lastTimestamp,
      lastSeenMs,
      open,
      batches,
    };
  }

  restore(state: StoredProducer): void {
    this.epoch = state.epoch;
    this.endedEpoch = state.endedEpoch;
    this.coordinatorEpoch = state.coordinatorEpoch;
    this.lastOffset = state.lastOffset;
    this.lastTimestamp = state.lastTimestamp;
    this.lastSeenMs = state.lastSeenMs;
    if (state.open) this.open(state.open.epoch, state.open.firstOffset, state.open.startedMs);
    for (const { firstSequence, lastSequence, lastOffset, timestamp } of state.batches) {
      this.#push(firstSequence, lastSequence, lastOffset, timestamp);
    }
  }

  get #lastSequence(): number {
    return this.#keptCount > 0 ? this.#at(this.#keptCount - 1, keptField.lastSequence) : none;
  }

  /** Which of the kept batches has these sequences, 0 being the oldest; -1 when none has. */
  #find(firstSequence: number, lastSequence: number): number {
    for (let i = this.#keptCount - 1; i >= 0; i--) {
      if (this.#at(i, keptField.firstSequence) !== firstSequence) continue;
      if (this.#at(i, keptField.lastSequence) === lastSequence) return i;
    }
    return none;
  }

  #duplicate(i: number): ProducerDecision {
    const { firstSequence, lastSequence, lastOffset, timestamp } = this.#batch(i);
    const baseOffset = lastOffset - ((lastSequence - firstSequence) & sequenceMask);
    return { outcome: "duplicate", baseOffset, lastOffset, timestamp };
  }

  #batch(i: number): KeptBatch {
    return {
      firstSequence: this.#at(i, keptField.firstSequence),
      lastSequence: this.#at(i, keptField.lastSequence),
      lastOffset: this.#at(i, keptField.lastOffset),
      timestamp: this.#at(i, keptField.timestamp),
    };
  }

  #at(i: number, field: number): number {
    const place = (this.#next - this.#keptCount + i + batchesKept) % batchesKept;
    return this.#kept[place * keptFields + field] as number;
  }

  #push(firstSequence: number, lastSequence: number, lastOffset: number, timestamp: number): void {
    const at = this.#next * keptFields;
    this.#kept[at + keptField.firstSequence] = firstSequence;
    this.#kept[at + keptField.lastSequence] = lastSequence;
    this.#kept[at + keptField.lastOffset] = lastOffset;
    this.#kept[at + keptField.timestamp] = timestamp;
    this.#next = (this.#next + 1) % batchesKept;
    if (this.#keptCount < batchesKept) this.#keptCount++;
  }
}

/** Linked through the producers themselves: each is in one list. */
export class ProducerList {
  first: Producer | undefined;
  #last: Producer | undefined;
  length = 0;

  add(producer: Producer): void {
    producer.older = this.#last;
    producer.newer = undefined;
    if (this.#last) this.#last.newer = producer;
    else this.first = producer;
    this.#last = producer;
    this.length++;
  }

  remove(producer: Producer): void {
    const { older, newer } = producer;
    if (older) older.newer = newer;
    else this.first = newer;
    if (newer) newer.older = older;
    else this.#last = older;
    producer.older = undefined;
    producer.newer = undefined;
    this.length--;
  }
}

function lastSequenceOf({ baseSequence, baseOffset, lastOffset }: ProducerBatch): number {
  return (baseSequence + (lastOffset - baseOffset)) & sequenceMask;
}
