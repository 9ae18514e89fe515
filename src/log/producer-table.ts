/**
 * What one partition knows of its producers: which batch each may send next, which it has sent already (idempotence,
 * KIP-98, KIP-360), and which transactions are open (KIP-890). The same steps are taken when a batch is appended and
 * when it is read back.
 *
 * Always true: `decide` touches nothing, and `apply` and `marker` refuse nothing, since what stands in the log is the
 * truth. A producer with an open transaction is never dropped. A partition without producers holds no memory for them.
 * Not here: what ends a transaction (transactions.ts), and which aborted ranges readers are told (aborted-index.ts).
 */
import { isControl, isTransactional } from "../records/batch-header.ts";
import {
  Producer,
  type ProducerBatch,
  type ProducerDecision,
  type ProducerDescription,
  ProducerList,
  type StoredProducer,
  type TransactionVersion,
} from "./producer.ts";

export const producersMaxDefault = 10_000;

export interface OpenTransaction {
  readonly producerId: number;
  readonly epoch: number;
  readonly firstOffset: number;
  /** When its first batch was appended, or read back. */
  readonly startedMs: number;
}

export interface AbortedRange {
  readonly producerId: number;
  readonly firstOffset: number;
  /** Of the abort marker. */
  readonly lastOffset: number;
}

const append: ProducerDecision = { outcome: "append" };
const full: ProducerDecision = { outcome: "full" };

interface Held {
  readonly byId: Map<number, Producer>;
  /** Those without an open transaction, the least recently seen first. */
  readonly idle: ProducerList;
  /** Those with one, in the order of the transactions' first offsets: they begin in that order. */
  readonly open: ProducerList;
}

export class ProducerTable {
  readonly #countMax: number;
  /** Undefined while there is no producer. */
  #held: Held | undefined;

  /** `countMax` bounds the producers remembered: the least recently seen without an open transaction goes first. */
  constructor(countMax = producersMaxDefault) {
    this.#countMax = countMax;
  }

  /** As `states()` gave them, in that order; each producer once. */
  static restore(states: Iterable<StoredProducer>, countMax = producersMaxDefault): ProducerTable {
    const table = new ProducerTable(countMax);
    for (const state of states) table.#restore(state);
    return table;
  }

  get size(): number {
    return this.#held?.byId.size ?? 0;
  }

  /**
   * Whether a batch may be appended. `nextOffset` is the partition's: where it is 0, no record was ever held, and a
   * producer that is not known begins at sequence 0; otherwise its state may have expired, and any sequence is taken
   * (KIP-360), except in a transaction of version 2, which has no state from before. What is not numbered is held against
   * epochs and open transactions only.
   */
  decide(batch: ProducerBatch, nextOffset: number, version: TransactionVersion, isNumbered = true): ProducerDecision {
    const { producerId, producerEpoch, baseSequence, attributes } = batch;
    if (producerId < 0) return append;
    const producer = this.#held?.byId.get(producerId);
    if (isControl(attributes)) {
      return producer && producerEpoch < producer.epoch ? { outcome: "fenced", epoch: producer.epoch } : append;
    }
    if (producerEpoch < 0) return { outcome: "fenced", epoch: producer?.epoch ?? 0 };
    const isVersion2 = version === 2 && isTransactional(attributes);
    if (!producer) {
      const anySequence = nextOffset > 0 && !isVersion2;
      if (isNumbered && baseSequence !== 0 && !(anySequence && baseSequence > 0))
        return { outcome: "out-of-order", expected: 0 };
      return this.#isFull ? full : append;
    }
    return producer.decide(batch, isVersion2, isNumbered);
  }

  /**
   * Takes in a batch of records that has its offsets; one without a producer, and a control batch, change nothing.
   * `nowMs` decides when the producer counts as idle: the time of the append, or of reading back.
   */
  apply(batch: ProducerBatch, nowMs: number): void {
    const { producerId, producerEpoch, attributes } = batch;
    if (producerId < 0 || isControl(attributes)) return;
    const held = this.#hold();
    const producer = this.#producer(held, producerId);
    if (producerEpoch > producer.epoch) producer.begin(producerEpoch);
    if (producerEpoch === producer.epoch && batch.baseSequence >= 0) producer.keep(batch);
    producer.see(batch, nowMs);
    if (producer.isOpen) return;
    held.idle.remove(producer);
    if (isTransactional(attributes)) {
      producer.open(producerEpoch, batch.baseOffset, nowMs);
      held.open.add(producer);
    } else held.idle.add(producer);
  }

  /** Takes in a marker. Answers the range that it aborted; a commit, and one without records before it, abort nothing. */
  marker(
    kind: "commit" | "abort",
    batch: ProducerBatch,
    nowMs: number,
    coordinatorEpoch = 0,
  ): AbortedRange | undefined {
    const { producerId, producerEpoch, lastOffset } = batch;
    if (producerId < 0) return undefined;
    const held = this.#hold();
    const producer = this.#producer(held, producerId);
    if (producerEpoch > producer.epoch) producer.begin(producerEpoch);
    producer.see(batch, nowMs);
    producer.coordinatorEpoch = coordinatorEpoch;
    const { isOpen, firstOffset } = producer;
    if (isOpen) {
      producer.end();
      held.open.remove(producer);
    } else held.idle.remove(producer);
    held.idle.add(producer);
    return isOpen && kind === "abort" ? { producerId, firstOffset, lastOffset } : undefined;
  }

  isOpen(producerId: number): boolean {
    return this.#held?.byId.get(producerId)?.isOpen ?? false;
  }

  /** The first offset of the earliest open transaction; infinity when none is open. */
  firstOpenOffset(): number {
    return this.#held?.open.first?.firstOffset ?? Number.POSITIVE_INFINITY;
  }

  /** In the order of their first offsets. */
  openTransactions(): OpenTransaction[] {
    const found: OpenTransaction[] = [];
    for (let at = this.#held?.open.first; at; at = at.newer) {
      const { producerId, openEpoch: epoch, firstOffset, startedMs } = at;
      found.push({ producerId, epoch, firstOffset, startedMs });
    }
    return found;
  }

  describe(): ProducerDescription[] {
    return Array.from(this.#held?.byId.values() ?? [], (producer) => producer.describe());
  }

  /**
   * Whether the batch that ends here holds what a start needs to know of the producer: its last batch of the epoch, or
   * the marker that began the epoch. Such a batch survives a compaction, without records if need be.
   */
  isLastBatch(producerId: number, lastOffset: number): boolean {
    const producer = this.#held?.byId.get(producerId);
    return producer !== undefined && lastOffset === producer.lastNeededOffset;
  }

  /** Drops producers without an open transaction that were not seen for `olderThanMs`; answers how many. */
  expire(nowMs: number, olderThanMs: number): number {
    return this.#dropIdle((producer) => {
      // A clock that went back must not keep it for ever.
      if (producer.lastSeenMs > nowMs) producer.lastSeenMs = nowMs;
      return nowMs - producer.lastSeenMs >= olderThanMs;
    });
  }

  /** In the order that `restore` needs. */
  *states(): Generator<StoredProducer> {
    for (let at = this.#held?.idle.first; at; at = at.newer) yield at.state();
    for (let at = this.#held?.open.first; at; at = at.newer) yield at.state();
  }

  get #isFull(): boolean {
    return this.#held !== undefined && this.#held.open.length >= this.#countMax;
  }

  #hold(): Held {
    this.#held ??= { byId: new Map(), idle: new ProducerList(), open: new ProducerList() };
    return this.#held;
  }

  #producer(held: Held, producerId: number): Producer {
    const known = held.byId.get(producerId);
    if (known) return known;
    while (held.byId.size >= this.#countMax && held.idle.first) drop(held, held.idle.first);
    return add(held, producerId);
  }

  /** Nothing makes room here: a bound that was lowered meanwhile holds from the next new producer on. */
  #restore(state: StoredProducer): void {
    const held = this.#hold();
    const producer = add(held, state.producerId);
    producer.restore(state);
    if (!producer.isOpen) return;
    held.idle.remove(producer);
    held.open.add(producer);
  }

  #dropIdle(isDropped: (producer: Producer) => boolean): number {
    const held = this.#held;
    if (!held) return 0;
    const before = held.byId.size;
    for (let at = held.idle.first; at; ) {
      const { newer } = at;
      if (isDropped(at)) drop(held, at);
      at = newer;
    }
    const { size } = held.byId;
    if (size === 0) this.#held = undefined;
    return before - size;
  }
}

/** As an idle one. */
function add(held: Held, producerId: number): Producer {
  const producer = new Producer(producerId);
  held.byId.set(producerId, producer);
  held.idle.add(producer);
  return producer;
}

function drop(held: Held, producer: Producer): void {
  held.idle.remove(producer);
  held.byId.delete(producer.producerId);
}
