/**
 * The embedded log: topics with their partitions, and transactions over them, in one directory. Nothing else may have
 * the directory open (`directory-lock.ts`).
 *
 *   <directory>/catalogue                             which topics there are, and the log's id
 *   <directory>/checkpoint                            where reading back may begin
 *   <directory>/journal/*.journal                     small appends of all partitions, until they are in segments
 *   <directory>/topics/<topic id>/<partition>/*.log   segments, with their indexes beside them
 */
import * as path from "node:path";
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Disk } from "../base/disk.ts";
import { MillraceError } from "../base/errors.ts";
import { Gate } from "../base/gate.ts";
import type { Random } from "../base/random.ts";
import { admitBatch } from "../records/batch-admission.ts";
import {
  attributeMask,
  batchAttributes,
  batchMaxTimestamp,
  batchProducerId,
  isTransactional,
  readBatchHeader,
} from "../records/batch-header.ts";
import { Checkpointer } from "./checkpointer.ts";
import { type RetentionHolder, RetentionHolders } from "./cleaner/retention-holders.ts";
import { DiskReserve } from "./disk-reserve.ts";
import { FilePool } from "./file-pool.ts";
import { Journal } from "./journal.ts";
import { type JournalContent, readJournal } from "./journal-recovery.ts";
import { KeyMemory } from "./keys/key-memory.ts";
import type { ExpectedKey } from "./keys/partition-keys.ts";
import { type LogCheckpoint, readLogCheckpoint } from "./log-checkpoint.ts";
import { defaultLogLimits, type LogContext, type LogLimits } from "./log-context.ts";
import { Maintenance } from "./maintenance.ts";
import type { Partition, Placed } from "./partition.ts";
import { partitionMissing, producerFenced, refusalOf } from "./producer-refusals.ts";
import { ReadAhead } from "./read-ahead.ts";
import { ReadMemory } from "./read-memory.ts";
import { SegmentIndexes } from "./segment-index.ts";
import { TailCache } from "./tail-cache.ts";
import { type LogTopic, type LogTopicSettings, laterTopicSettings, TopicCatalogue } from "./topic-catalogue.ts";
import { type TopicAlteration, Topics, topicUnknown } from "./topics.ts";
import { TransactionCoordinator, type WireOrigin } from "./transaction-coordinator.ts";
import { type ProducerIdentity, transactionsTopic } from "./transaction-records.ts";
import { LogProducer } from "./transactions.ts";
import { WriteMemory } from "./write-memory.ts";

export interface LogOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly limits?: Partial<LogLimits>;
}

/** How a batch came, and what must be so for it to be appended. */
export interface AppendOrigin extends WireOrigin {
  readonly expect?: ExpectedKey;
}

export interface Appended extends Placed {
  /** The time that the log gave its records; -1 in a topic where they have their writer's. */
  readonly appendTimeMs: number;
}

const transactionsSettings: LogTopicSettings = {
  ...laterTopicSettings,
  partitions: 1,
  retentionMs: null,
  retentionBytes: null,
  cleanup: "compact",
  batchBytesMax: 1024 * 1024,
  segmentBytesMax: 64 * 1024 * 1024,
  durability: "fsync",
};

/** Half of Node's pool of threads. */
const oldReadsAtOnce = 2;

export class Log {
  readonly #context: LogContext;
  readonly #directory: string;
  readonly #random: Random;
  readonly #catalogue: TopicCatalogue;
  readonly #topics: Topics;
  readonly #reserve: DiskReserve;
  readonly #holders: RetentionHolders;
  #journal: Journal | undefined;
  #coordinator: TransactionCoordinator | undefined;
  #checkpointer: Checkpointer | undefined;
  #maintenance: Maintenance | undefined;
  /** Files of the journal that partitions which do not serve will need. */
  #held: readonly number[] = [];
  #sinceCheckpointBytes = 0;
  /** Changes of the catalogue, and checkpoints, follow each other. */
  #changes: Promise<unknown> = Promise.resolve();
  #checkpointing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  private constructor(context: LogContext, options: LogOptions, catalogue: TopicCatalogue) {
    this.#context = context;
    this.#directory = options.directory;
    this.#random = options.random;
    this.#catalogue = catalogue;
    this.#topics = new Topics(context, options.directory, options.random, catalogue);
    this.#reserve = new DiskReserve(context, options.directory);
    this.#holders = new RetentionHolders(context.diagnostics);
  }

  /** Throws `LOG_FORMAT_NEWER`, and `LOG_DAMAGED` when the catalogue or the journal cannot be read; a damaged partition does not stop the others. */
  static async open(options: LogOptions): Promise<Log> {
    const limits = { ...defaultLogLimits, ...options.limits };
    const { disk, clock, diagnostics, directory } = options;
    const files = new FilePool(disk, limits.openFilesMax);
    const readMemory = new ReadMemory(limits.readAheadBytes);
    const context: LogContext = {
      disk,
      clock,
      diagnostics,
      limits,
      files,
      indexes: new SegmentIndexes(disk, files),
      tails: new TailCache(limits.tailCacheBytes),
      memory: new WriteMemory(limits.unflushedBytesMax),
      readMemory,
      keys: new KeyMemory(limits.keyOffsetsBytes),
      ahead: new ReadAhead(readMemory, limits.readAheadBytes),
      oldReads: new Gate(oldReadsAtOnce),
    };
    await makeRoot(disk, directory);
    const catalogue = await TopicCatalogue.open(disk, directory, options.random);
    const log = new Log(context, options, catalogue);
    try {
      await log.#start();
    } catch (error) {
      await log.#journal?.close();
      await files.close();
      throw error;
    }
    return log;
  }

  /** Nobody looks at these batches any more: what they lie in is read into again. */
  letGo(batches: readonly Buffer[]): void {
    this.#context.readMemory.giveBack(batches);
  }

  get logId(): string {
    return this.#catalogue.logId;
  }

  topics(): readonly LogTopic[] {
    return this.#topics.list();
  }

  topic(name: string): LogTopic | undefined {
    return this.#topics.get(name);
  }

  /** Throws `TOPIC_UNKNOWN`, `PARTITION_UNKNOWN`, `LOG_CLOSED`. */
  partition(topic: string, partition: number): Partition {
    this.#assertOpen();
    return this.#topics.partition(topic, partition);
  }

  /** Throws `PARTITION_DAMAGED` or `PARTITION_FAILED` when transactions cannot be recorded, and `LOG_CLOSED`. */
  get transactions(): TransactionCoordinator {
    this.#assertOpen();
    const broken = this.#topics.partition(transactionsTopic, 0).failure;
    if (broken || !this.#coordinator) throw broken;
    return this.#coordinator;
  }

  /** The name and settings have been checked. Durable when it resolves. */
  createTopic(
    name: string,
    settings: LogTopicSettings,
    readOnly: boolean,
    configs?: LogTopic["configs"],
  ): Promise<LogTopic> {
    this.#assertOpen();
    return this.#change(
      async () => this.#topics.get(name) ?? (await this.#topics.create(name, settings, readOnly, configs)),
    );
  }

  /**
   * `alter` makes checked settings of those that hold when its turn has come; it takes no partition away. `configs` takes
   * the place of those that were kept, `readOnly` that of what held.
   * Throws `TOPIC_UNKNOWN`, `TOPIC_READ_ONLY`.
   */
  alterTopic(
    name: string,
    alter: (settings: LogTopicSettings) => LogTopicSettings,
    also: TopicAlteration = {},
  ): Promise<LogTopic> {
    this.#assertOpen();
    if (name === transactionsTopic) throw ownTopic(name);
    return this.#change(async () => {
      const topic = this.#topics.get(name);
      if (!topic) throw topicUnknown(name);
      return await this.#topics.alter(name, alter(topic.settings), also);
    });
  }

  /** Throws `TOPIC_UNKNOWN`, and `TOPIC_READ_ONLY` for the log's own topic. */
  deleteTopic(name: string): Promise<void> {
    this.#assertOpen();
    if (name === transactionsTopic) throw ownTopic(name);
    return this.#change(() => this.#topics.delete(name));
  }

  /**
   * Resolves when durable; a batch that its producer has sent before is answered with the offsets that it has. A transactional
   * one without a sequence is taken in read-only topics: so a coordinator in this process writes there for a client.
   * Throws `TOPIC_UNKNOWN`, `PARTITION_UNKNOWN`, `BATCH_CORRUPT`, `RECORD_TOO_LARGE`, `RECORD_INVALID`,
   * `RECORD_TIMESTAMP_INVALID`, `DISK_LOW`, `PARTITION_FAILED`, and of producers `PRODUCER_FENCED`, `PRODUCER_SEQUENCE_INVALID`, `PRODUCER_UNKNOWN`,
   * `TRANSACTION_INVALID`, `TRANSACTION_PARTITION_MISSING`, `PRODUCERS_EXHAUSTED`; where something is expected `KEY_OFFSET_MISMATCH`,
   * `KEY_OFFSET_UNDECIDED`, `KEY_OFFSETS_FULL`.
   */
  async append(topic: string, partition: number, batch: Buffer, origin: AppendOrigin = {}): Promise<Appended> {
    const room = this.#context.memory.room();
    if (room) await room;
    const { expect } = origin;
    const openingKeys = () => (expect ? this.#openingKeys(topic, partition) : undefined);
    for (let opening = openingKeys(); opening; opening = openingKeys()) await opening;
    const { into, admitted } = this.#admit(topic, partition, batch);
    const unlike = expect && into.keys.unlike(expect);
    if (unlike) {
      // What it says is durable.
      await into.sync();
      throw unlike;
    }
    const hasAppendTime = (batchAttributes(admitted) & attributeMask.logAppendTime) !== 0;
    const { placed, timestamp } =
      batchProducerId(admitted) < 0
        ? { placed: this.#place(into, admitted), timestamp: batchMaxTimestamp(admitted) }
        : this.#placeOfProducer(into, admitted, origin);
    await into.durable(placed.lastOffset + 1);
    return { ...placed, appendTimeMs: hasAppendTime ? timestamp : -1 };
  }

  async initProducer(
    transactionalId: string,
    options: { readonly timeoutMs?: number | null } = {},
  ): Promise<LogProducer> {
    const { transactions } = this;
    const state = await transactions.init(transactionalId, options.timeoutMs ?? null);
    const place = (
      topic: string,
      partition: number,
      batch: Buffer,
      stamp: (partition: Partition, admitted: Buffer) => void,
      expect: ExpectedKey | undefined,
    ) => {
      const { into, admitted } = this.#admit(topic, partition, batch, true);
      const unlike = expect && into.keys.unlike(expect);
      if (unlike) return { partition: into, unlike };
      stamp(into, admitted);
      return { partition: into, placed: this.#place(into, admitted) };
    };
    return new LogProducer(transactions, { place, openingKeys: this.#openingKeys.bind(this) }, state);
  }

  /** Aborts, whole, the transaction that a producer has open in a partition; nothing when it has none. Throws `PRODUCER_FENCED`. */
  async abortIn(topic: string, partition: number, producer: ProducerIdentity): Promise<void> {
    const { producers } = this.partition(topic, partition);
    const known = producers.describe().find(({ producerId }) => producerId === producer.producerId);
    if (!known) return;
    if (producer.epoch < known.epoch)
      throw producerFenced(this.partition(topic, partition).place, producer, known.epoch);
    const holder = producers.isOpen(producer.producerId) ? this.transactions.holderOf(producer) : undefined;
    if (holder !== undefined) await this.transactions.abort(holder);
  }

  sizeBytes(topic: string): number {
    return this.#topics.partitionsOf(topic).reduce((sum, partition) => sum + partition.sizeBytes, 0);
  }

  /** As `Engine.holdRetention`. */
  holdRetention(holder: RetentionHolder): () => void {
    return this.#holders.add(holder);
  }

  /** Makes everything durable in segments, and lets the next start begin here. */
  checkpoint(): Promise<void> {
    this.#checkpointing ??= this.#change(() => this.#writeCheckpoint()).finally(() => {
      this.#checkpointing = undefined;
    });
    return this.#checkpointing;
  }

  /** Does at once what the log else does in its own time: retention, compaction, expiry. */
  async maintain(): Promise<void> {
    this.#assertOpen();
    await this.#maintenance?.run();
  }

  /** Open transactions stay undecided: the next start aborts them. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#maintenance?.close();
    await this.#changes.catch(() => undefined);
    try {
      await this.#writeCheckpoint();
    } catch (cause) {
      this.#context.diagnostics.warn("the log's checkpoint could not be written; the next start reads more", {
        cause: String(cause),
      });
    }
    const reason = logClosed();
    for (const partition of this.#topics.partitions()) partition.close(reason);
    await this.#journal?.close();
    await this.#context.ahead.close();
    await this.#context.files.close();
  }

  async #start(): Promise<void> {
    const { disk, diagnostics } = this.#context;
    const checkpoint = await readLogCheckpoint(disk, this.#directory, this.logId, diagnostics);
    const journalDirectory = path.join(this.#directory, "journal");
    const journaled = await readJournal(disk, journalDirectory, this.logId, {
      position: checkpoint?.journal,
      held: checkpoint?.heldJournalFiles ?? [],
    });
    const journal = new Journal(this.#context, journalDirectory, this.logId, journaled.lastNumber);
    this.#journal = journal;
    await this.#reserve.check();
    const checkpoints = checkpoint?.partitions ?? new Map();
    await this.#topics.open(journal, { checkpoints, journaled: journaled.partitions });
    this.#held = this.#neededFiles(journaled);
    this.#checkpointer = new Checkpointer(this.#context, this.#directory, this.logId, checkpoint);
    await this.#release(journal, checkpoint, journaled);
    await this.#startTransactions(checkpoint);
    if (!this.#coordinator) return;
    this.#maintenance = new Maintenance(this.#context, this.#random, {
      topics: this.#topics,
      transactions: this.#coordinator,
      transactionsOffset: () => this.#checkpointer?.last?.transactionsOffset ?? 0,
      reserve: this.#reserve,
      holders: this.#holders,
    });
  }

  /**
   * What the journal held is in the segments now, and a checkpoint says so before the journal is written again; but for
   * the files that partitions which do not serve will need.
   */
  async #release(journal: Journal, checkpoint: LogCheckpoint | undefined, journaled: JournalContent): Promise<void> {
    if (journaled.partitions.size > 0 || !checkpoint)
      await this.#checkpointer?.seal(journal, [...this.#topics.partitions()], this.#held);
    await journal.open(this.#held);
  }

  async #startTransactions(checkpoint: LogCheckpoint | undefined): Promise<void> {
    const own = this.#topics.get(transactionsTopic);
    if (!own) await this.#topics.create(transactionsTopic, transactionsSettings, true);
    else if (own.settings.cleanup !== "compact") await this.#topics.alter(transactionsTopic, transactionsSettings);
    const decisions = this.#topics.partition(transactionsTopic, 0);
    const all = [...this.#topics.partitions()];
    this.#coordinator = new TransactionCoordinator(this.#context, decisions);
    if (decisions.failure) return;
    try {
      await this.#coordinator.recover(checkpoint, all);
    } catch (error) {
      if (!MillraceError.is(error, "PARTITION_DAMAGED")) throw error;
      // Transactions are refused; everything else is served.
      decisions.fail(error);
      return;
    }
    if (all.some((partition) => !partition.failure && !partition.isUnchanged)) await this.#writeCheckpoint();
  }

  #neededFiles({ partitions }: JournalContent): number[] {
    const needed = new Set<number>();
    for (const { failure, place } of this.#topics.partitions()) {
      if (!failure) continue;
      for (const file of partitions.get(`${place.topicId}/${place.partition}`)?.files ?? []) needed.add(file);
    }
    return [...needed];
  }

  /** The partition that takes the batch, and the batch as it is kept, by the topic's settings. */
  #admit(
    topic: string,
    partition: number,
    batch: Buffer,
    isMadeHere = false,
  ): { readonly into: Partition; readonly admitted: Buffer } {
    const into = this.partition(topic, partition);
    const known = this.#topics.get(topic);
    if (!known) throw topicUnknown(topic);
    if (topic === transactionsTopic) throw ownTopic(topic);
    const place = { topic, partition, isOwn: known.readOnly, isMadeHere };
    const admitted = admitBatch(batch, place, known.settings, this.#context.clock.now());
    this.#reserve.admit(admitted.length);
    if (into.failure) throw into.failure;
    return { into, admitted };
  }

  /** As `PartitionKeys.opening`. */
  #openingKeys(topic: string, partition: number): Promise<void> | undefined {
    return this.partition(topic, partition).keys.opening();
  }

  #place(into: Partition, batch: Buffer): Placed {
    const placed = into.append(batch);
    this.#sinceCheckpointBytes += batch.length;
    if (this.#sinceCheckpointBytes >= this.#context.limits.checkpointBytes) this.#checkpointSoon();
    return placed;
  }

  #placeOfProducer(
    into: Partition,
    batch: Buffer,
    origin: WireOrigin,
  ): { readonly placed: Placed; readonly timestamp: number } {
    const header = readBatchHeader(batch);
    const isInTransaction = isTransactional(batchAttributes(batch));
    const identity = { producerId: header.producerId, epoch: header.producerEpoch };
    const work = isInTransaction ? this.transactions.join(identity, into, origin) : undefined;
    const version = isInTransaction ? (origin.transactionVersion ?? 2) : 1;
    const isNumbered = header.baseSequence >= 0 || !this.#topics.get(into.place.topic)?.readOnly;
    const decision = into.decide(batch, version, isNumbered);
    if (decision.outcome === "duplicate") {
      const { baseOffset, lastOffset, timestamp } = decision;
      return { placed: { baseOffset, lastOffset, leaderEpoch: into.leaderEpoch }, timestamp };
    }
    if (isInTransaction && !work) throw partitionMissing(into.place, identity);
    if (decision.outcome !== "append") throw refusalOf(decision, into.place, identity);
    const placed = this.#place(into, batch);
    work?.touched.set(into, { endOffset: placed.lastOffset + 1, sequence: 0 });
    return { placed, timestamp: header.maxTimestamp };
  }

  #checkpointSoon(): void {
    this.#sinceCheckpointBytes = 0;
    this.checkpoint().catch((cause) =>
      this.#context.diagnostics.warn("the log's checkpoint could not be written", { cause: String(cause) }),
    );
  }

  async #writeCheckpoint(): Promise<void> {
    if (!this.#coordinator || !this.#journal) return;
    const all = [...this.#topics.partitions()];
    const isClosing = this.#closing !== undefined;
    await this.#checkpointer?.write(this.#coordinator, this.#journal, all, this.#held, isClosing);
    this.#sinceCheckpointBytes = 0;
  }

  #change<T>(change: () => Promise<T>): Promise<T> {
    const changed = this.#changes.then(change);
    this.#changes = changed.catch(() => undefined);
    return changed;
  }

  #assertOpen(): void {
    if (this.#closing) throw logClosed();
  }
}
/** The log's folder and the name of it are durable, also when an earlier start was killed in between. */
async function makeRoot(disk: Disk, directory: string): Promise<void> {
  const parent = path.dirname(path.resolve(directory));
  await disk.makeDirectory(directory);
  for (const folder of [path.dirname(parent), parent, directory]) {
    await disk.syncDirectory(folder).catch((error: NodeJS.ErrnoException) => {
      // A folder above ours may not be readable for us.
      if (folder === directory || (error.code !== "EACCES" && error.code !== "EPERM")) throw error;
    });
  }
}

function ownTopic(topic: string): MillraceError {
  return new MillraceError("TOPIC_READ_ONLY", `topic ${topic} is written by the log itself`, { details: { topic } });
}

function logClosed(): MillraceError {
  return new MillraceError("LOG_CLOSED", "the log is shutting down");
}
