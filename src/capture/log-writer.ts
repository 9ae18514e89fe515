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
import type { Header, JoinedRecord } from "../records/record.ts";
import type { Frontier, TransactionEvent } from "../schema/transaction-events.ts";
import {
  type CapturedTopic,
  type Counted,
  type OffsetOf,
  PendingGroup,
  type SourceTransaction,
  singleRecord,
  type TopicText,
  topicText,
  transactionRecords,
} from "./pending-group.ts";

export interface LogWriterSettings {
  readonly begin: () => Transaction;
  readonly clock: Clock;
  readonly transactionTopic: string;
  /** What is known when it opens; more may `join`. */
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
const nothingPublished: Counted["published"] = [];
const builderBytes = 4 * 1024;
const sharedBuilderBytes = 256;
/** Lengths, deltas and the like of one record, at most, and of one of its headers. */
const recordOverheadBytes = 64;

export class LogWriter {
  readonly #settings: LogWriterSettings;
  readonly #batchBytes: number;
  readonly #partBytes: number;
  readonly #topics: CapturedTopic[];
  readonly #texts: TopicText[];
  readonly #builders: BatchBuilder[];
  readonly #events = new BatchBuilder(16 * 1024);
  /** Where a topic's next record will be at the earliest. */
  readonly #next: number[];
  /** Events of the open source transaction by topic, and the topics that have some. */
  readonly #inTransaction: number[];
  #touched: number[] = [];
  /** Shared topics that the open source transaction has written to. */
  readonly #published = new Set<number>();
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
    this.#topics = [...settings.topics];
    this.#texts = settings.topics.map(topicText);
    this.#builders = settings.topics.map(() => new BatchBuilder(builderBytes));
    this.#next = [...settings.ends];
    this.#inTransaction = settings.topics.map(() => 0);
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

  /** One more topic, at any time; answers its number. `end` is its high watermark, where nobody else writes. */
  join(topic: CapturedTopic, end = 0): number {
    const number = this.#topics.push(topic) - 1;
    this.#texts.push(topicText(topic));
    this.#builders.push(new BatchBuilder(builderBytes));
    this.#next.push(end);
    this.#inTransaction.push(0);
    this.#group.grow(this.#topics.length);
    this.#writing?.grow(this.#topics.length);
    return number;
  }

  /** Nothing can be given to it any more. */
  get closed(): boolean {
    return this.#failure !== null;
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
    const builder = this.#builders[topic] as BatchBuilder;
    const before = builder.sizeBytes;
    builder.add(key, value, timestampMs, headers);
    this.#added(topic, builder, before, timestampMs);
  }

  /** The same for a record that lies in one piece. */
  addJoined(topic: number, record: JoinedRecord, timestampMs: number, headers?: readonly Header[]): void {
    const builder = this.#builders[topic] as BatchBuilder;
    const before = builder.sizeBytes;
    builder.addJoined(record, timestampMs, headers);
    this.#added(topic, builder, before, timestampMs);
  }

  #added(topic: number, builder: BatchBuilder, before: number, timestampMs: number): void {
    const group = this.#group;
    if (group.bytes === 0 && group !== this.#writing) group.openedMs = timestampMs;
    group.bytes += builder.sizeBytes - before;
    group.count[topic] = (group.count[topic] as number) + 1;
    this.#open++;
    if (builder.sizeBytes >= this.#batchBytes) this.#finishBatch(group, topic);
    if (group.bytes >= this.#partBytes) this.#pump();
  }

  /**
   * A record of the open source transaction for a shared topic. The caller has seen to it that the topic takes it:
   * what a topic refuses here, the log as a whole refuses.
   */
  publish(
    topic: number,
    key: Buffer | null,
    value: Buffer | null,
    timestampMs: number,
    headers: readonly Header[],
  ): void {
    const builder = this.#builders[topic] as BatchBuilder;
    const most = this.#topics[topic]?.shared?.batchBytesMax ?? Number.POSITIVE_INFINITY;
    if (builder.recordCount > 0 && builder.sizeBytes + recordBytes(key, value, headers) > most) {
      this.#finishBatch(this.#group, topic);
    }
    this.#published.add(topic);
    this.add(topic, key, value, timestampMs, headers);
  }

  /**
   * Writes BEGIN and END, and answers true; a transaction without events only moves the position.
   */
  endTransaction(transaction: SourceTransaction, position: number): boolean {
    const group = this.#group;
    const touched = this.#touched;
    const told = touched.length > 0 || this.#published.size > 0;
    if (told) {
      const counts: number[] = [];
      const ends: number[] = [];
      for (const topic of touched) {
        counts.push(this.#inTransaction[topic] as number);
        ends.push(group.count[topic] as number);
        this.#inTransaction[topic] = 0;
      }
      const counted = { touched, counts, ends, published: this.#takePublished(group) };
      this.#touched = [];
      group.events.push(transactionRecords(transaction, this.#topics, this.#texts, counted));
      group.bytes += transactionBytes;
    }
    this.#endAt(position);
    return told;
  }

  /**
   * A record of the transaction topic in its place: before the source transaction that is open. Its frontier takes in all
   * that was given for the topic `cut`, and of the others what lies before that transaction.
   */
  event(make: (frontier: Frontier) => TransactionEvent, onPlaced?: (offset: number) => void, cut?: number): void {
    const group = this.#group;
    let place = group.boundary;
    if (cut !== undefined) {
      place = place.slice();
      place[cut] = group.count[cut] as number;
    }
    group.events.push(singleRecord(this.#topics, place, make, onPlaced));
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

  #takePublished(group: PendingGroup): Counted["published"] {
    if (this.#published.size === 0) return nothingPublished;
    const published = Array.from(this.#published, (topic) => ({ topic, end: group.count[topic] as number }));
    this.#published.clear();
    return published;
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
    if (whole) this.#group = new PendingGroup(this.#topics.length);
    this.#writing = group;
    this.#work = this.#run(group, whole);
  }

  #finishBatches(group: PendingGroup): void {
    this.#builders.forEach((builder, topic) => {
      if (builder.recordCount > 0) this.#finishBatch(group, topic);
    });
  }

  #finishBatch(group: PendingGroup, topic: number): void {
    const builder = this.#builders[topic] as BatchBuilder;
    group.batches.push({ topic, records: builder.recordCount, batch: builder.finish() });
    // An application may publish to any of its topics: none of them keeps a buffer as large as its last batch.
    if (this.#topics[topic]?.shared) this.#builders[topic] = new BatchBuilder(sharedBuilderBytes);
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
    const byTopic = Map.groupBy(batches, ({ topic }) => topic);
    await Promise.all(
      Array.from(byTopic, async ([topic, list]) => {
        const { name, partition = 0, shared } = this.#topics[topic] as CapturedTopic;
        for (const { batch, records } of list) {
          const placed = await log.append({ topic: name, partition, batch });
          if (shared) group.placed(topic, placed.baseOffset, records);
          else if (Number.isNaN(group.base[topic])) group.base[topic] = placed.baseOffset;
          else invariant(placed.baseOffset === this.#next[topic], "nobody else writes to a topic of a source");
          this.#next[topic] = placed.lastOffset + 1;
        }
      }),
    );
  }

  async #commit(group: PendingGroup, log: Transaction): Promise<void> {
    const offsetOf: OffsetOf = (topic, count) => {
      if (this.#topics[topic]?.shared) return group.sharedOffset(topic, count);
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
      for (const { key, value } of event.records(offsetOf)) {
        this.#events.add(Buffer.from(key), Buffer.from(value), nowMs);
      }
      if (event.onPlaced) placedHere.push({ index: this.#events.recordCount - 1, tell: event.onPlaced });
      if (this.#events.sizeBytes >= this.#batchBytes) await append();
    }
    if (this.#events.recordCount > 0) await append();
    await log.append(this.#settings.progress(group.position));
    await log.commit();
  }
}

function recordBytes(key: Buffer | null, value: Buffer | null, headers: readonly Header[]): number {
  let bytes = recordOverheadBytes + (key?.length ?? 0) + (value?.length ?? 0);
  for (const header of headers) bytes += 16 + Buffer.byteLength(header.key) + (header.value?.length ?? 0);
  return bytes;
}
