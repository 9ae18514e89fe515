/**
 * Writes captured changes to the log as log transactions: rows, the records of the transaction topic with their
 * frontiers, and the progress record, all together or not at all.
 *
 * Many source transactions ride one log transaction: while one is being made durable, the next gathers. A log
 * transaction ends at the end of a source transaction only; a source transaction larger than `partBytes` is written in
 * several appends as it comes, and committed once. Who feeds the writer looks at `full` and pauses its socket.
 */
import type { Clock } from "../base/clock.ts";
import { invariant } from "../base/errors.ts";
import type { AppendRequest, Transaction } from "../engine/engine.ts";
import { BatchBuilder } from "../records/batch-builder.ts";
import type { Header } from "../records/record.ts";
import type { Frontier, TransactionEvent } from "../schema/transaction-events.ts";
import {
  type CapturedTopic,
  type OffsetOf,
  PendingGroup,
  type SourceTransaction,
  singleRecord,
  transactionRecords,
} from "./pending-group.ts";

export interface LogWriterSettings {
  readonly begin: () => Transaction;
  readonly clock: Clock;
  readonly transactionTopic: string;
  readonly topics: readonly CapturedTopic[];
  /** The high watermark of each. */
  readonly ends: readonly number[];
  /** The progress record for a position. Called when everything else of the log transaction has its offsets. */
  readonly progress: (position: number) => AppendRequest;
  readonly onDurable: (position: number) => void;
  /** The log failed: nothing can be written any more. */
  readonly onFailure: (error: unknown) => void;
  readonly batchBytes?: number;
  readonly partBytes?: number;
}

/** What BEGIN and END of a transaction take in the log, about. */
const transactionBytes = 512;

export class LogWriter {
  readonly #settings: LogWriterSettings;
  readonly #batchBytes: number;
  readonly #partBytes: number;
  readonly #builders: readonly BatchBuilder[];
  readonly #events = new BatchBuilder(16 * 1024);
  /** Where a topic's next record will be at the earliest. */
  readonly #next: Float64Array;
  /** Events of the open source transaction by topic, and the topics that have some. */
  readonly #inTransaction: Float64Array;
  #touched: number[] = [];
  /** Records since the last end of a source transaction. */
  #open = 0;
  #group: PendingGroup;
  /** The group that is being written, when it is whole or has parts in the log already. */
  #writing: PendingGroup | null = null;
  #work: Promise<void> | null = null;
  #failure: { readonly error: unknown } | null = null;
  #waiters: (() => void)[] = [];

  constructor(settings: LogWriterSettings) {
    this.#settings = settings;
    this.#batchBytes = settings.batchBytes ?? 512 * 1024;
    this.#partBytes = settings.partBytes ?? 8 * 1024 * 1024;
    this.#builders = settings.topics.map(() => new BatchBuilder(4 * 1024));
    this.#next = Float64Array.from(settings.ends);
    this.#inTransaction = new Float64Array(settings.topics.length);
    this.#group = new PendingGroup(settings.topics.length);
  }

  /** True while what gathers is as much as may be held. */
  get full(): boolean {
    return this.#group.bytes >= this.#partBytes && this.#work !== null;
  }

  /** True when all that was given is durable. */
  get idle(): boolean {
    return this.#work === null && this.#open === 0 && this.#group.bytes === 0 && this.#group.position < 0;
  }

  /** When the oldest record that is not durable was given; null when all are. */
  get waitingSinceMs(): number | null {
    if (this.#writing !== null) return this.#writing.openedMs;
    return this.#group.bytes > 0 ? this.#group.openedMs : null;
  }

  /** Events of the open source transaction in this topic; tombstones do not count. */
  eventsOf(topic: number): number {
    return this.#inTransaction[topic] as number;
  }

  /** One more event; its record is given to `add`. */
  countEvent(topic: number): void {
    const count = this.eventsOf(topic) + 1;
    this.#inTransaction[topic] = count;
    if (count === 1) this.#touched.push(topic);
  }

  /** The bytes are copied. */
  add(topic: number, key: Buffer | null, value: Buffer | null, timestampMs: number, headers?: readonly Header[]): void {
    const group = this.#group;
    const builder = this.#builders[topic] as BatchBuilder;
    if (group.bytes === 0 && group !== this.#writing) group.openedMs = timestampMs;
    const before = builder.sizeBytes;
    builder.add(key, value, timestampMs, headers);
    group.bytes += builder.sizeBytes - before;
    group.count[topic] = (group.count[topic] as number) + 1;
    this.#open++;
    if (builder.sizeBytes < this.#batchBytes) return;
    group.batches.push({ topic, batch: builder.finish() });
    if (group.bytes >= this.#partBytes) this.#pump();
  }

  /** Writes BEGIN and END; a transaction without events only moves the position. */
  endTransaction(transaction: SourceTransaction, position: number): void {
    const group = this.#group;
    const touched = this.#touched;
    if (touched.length > 0) {
      const counts = touched.map((topic) => this.#inTransaction[topic] as number);
      const ends = touched.map((topic) => group.count[topic] as number);
      for (const topic of touched) this.#inTransaction[topic] = 0;
      this.#touched = [];
      group.events.push(transactionRecords(transaction, this.#settings.topics, touched, counts, ends));
      group.bytes += transactionBytes;
    }
    this.#endAt(position);
  }

  /** A record of the transaction topic in its place: before the source transaction that is open. */
  event(make: (frontier: Frontier) => TransactionEvent, onPlaced?: (offset: number) => void): void {
    const group = this.#group;
    group.events.push(singleRecord(this.#settings.topics, group.boundary, make, onPlaced));
    group.bytes += transactionBytes;
  }

  /** Everything given so far is whole: a chunk of a snapshot, or a position without rows. */
  eventAtEnd(
    make: (frontier: Frontier) => TransactionEvent,
    position: number,
    onPlaced?: (offset: number) => void,
  ): void {
    this.#group.boundary.set(this.#group.count);
    this.event(make, onPlaced);
    this.#endAt(position);
  }

  /** Only the position moves: nothing is written for readers. */
  moveTo(position: number): void {
    this.#endAt(position);
  }

  /** Resolves when all that has ended is durable. Throws what the log threw. */
  async flushed(): Promise<void> {
    await this.#until(() => this.#work === null && this.#group.position < 0);
  }

  /** Resolves when there is room again. Throws what the log threw. */
  async room(): Promise<void> {
    await this.#until(() => !this.full);
  }

  /** Gives up what has not ended; what is under way ends first. Never throws. */
  async close(): Promise<void> {
    this.#failure ??= { error: new Error("the writer is closed") };
    this.#wake();
    await this.#work;
    try {
      await this.#group.log?.abort();
    } catch {
      // The next owner's first step aborts it.
    }
    this.#group.log = null;
  }

  #endAt(position: number): void {
    this.#group.boundary.set(this.#group.count);
    this.#group.position = position;
    this.#open = 0;
    this.#pump();
  }

  async #until(condition: () => boolean): Promise<void> {
    while (this.#failure === null && !condition()) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
    if (this.#failure !== null) throw this.#failure.error;
  }

  #wake(): void {
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  #pump(): void {
    if (this.#work !== null || this.#failure !== null) return;
    const group = this.#group;
    const whole = group.position >= 0 && this.#open === 0;
    if (!whole && group.bytes < this.#partBytes) return;
    this.#finishBatches(group);
    if (whole) this.#group = new PendingGroup(this.#settings.topics.length);
    this.#writing = group;
    this.#work = this.#run(group, whole);
  }

  #finishBatches(group: PendingGroup): void {
    this.#builders.forEach((builder, topic) => {
      if (builder.recordCount > 0) group.batches.push({ topic, batch: builder.finish() });
    });
  }

  async #run(group: PendingGroup, whole: boolean): Promise<void> {
    try {
      group.log ??= this.#settings.begin();
      const { batches } = group;
      group.batches = [];
      group.bytes = 0;
      await this.#appendRows(group, group.log, batches);
      if (whole) await this.#commit(group, group.log);
    } catch (error) {
      this.#fail(error);
      await group.log?.abort().catch(() => {});
      return;
    } finally {
      this.#work = null;
    }
    if (whole) {
      this.#writing = null;
      this.#settings.onDurable(group.position);
    }
    this.#wake();
    this.#pump();
  }

  #fail(error: unknown): void {
    if (this.#failure === null) {
      this.#failure = { error };
      this.#settings.onFailure(error);
    }
    this.#wake();
  }

  async #appendRows(group: PendingGroup, log: Transaction, batches: PendingGroup["batches"]): Promise<void> {
    const byTopic = new Map<number, Buffer[]>();
    for (const { topic, batch } of batches) {
      const list = byTopic.get(topic);
      if (list === undefined) byTopic.set(topic, [batch]);
      else list.push(batch);
    }
    await Promise.all(
      Array.from(byTopic, async ([topic, list]) => {
        const { name } = this.#settings.topics[topic] as CapturedTopic;
        for (const batch of list) {
          const placed = await log.append({ topic: name, partition: 0, batch });
          if (Number.isNaN(group.base[topic])) group.base[topic] = placed.baseOffset;
          else invariant(placed.baseOffset === this.#next[topic], "nobody else writes to a topic of a source");
          this.#next[topic] = placed.lastOffset + 1;
        }
      }),
    );
  }

  async #commit(group: PendingGroup, log: Transaction): Promise<void> {
    const offsetOf: OffsetOf = (topic, count) => {
      const base = group.base[topic] as number;
      return Number.isNaN(base) ? (this.#next[topic] as number) : base + count;
    };
    let placedHere: { readonly index: number; readonly tell: (offset: number) => void }[] = [];
    const append = async () => {
      const placed = await log.append({
        topic: this.#settings.transactionTopic,
        partition: 0,
        batch: this.#events.finish(),
      });
      for (const { index, tell } of placedHere) tell(placed.baseOffset + index);
      placedHere = [];
    };
    const nowMs = this.#settings.clock.now();
    for (const event of group.events) {
      for (const { id, value } of event.records(offsetOf)) {
        this.#events.add(Buffer.from(JSON.stringify({ id })), Buffer.from(value), nowMs);
      }
      if (event.onPlaced) placedHere.push({ index: this.#events.recordCount - 1, tell: event.onPlaced });
      if (this.#events.sizeBytes >= this.#batchBytes) await append();
    }
    if (this.#events.recordCount > 0) await append();
    await log.append(this.#settings.progress(group.position));
    await log.commit();
  }
}
