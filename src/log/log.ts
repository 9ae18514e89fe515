/**
 * The embedded log: topics with their partitions, and transactions over them, in one directory. Nothing else may have
 * the directory open (`directory-lock.ts`).
 *
 *   <directory>/catalogue                             which topics there are, and the log's id
 *   <directory>/checkpoint                            where reading back may begin
 *   <directory>/topics/<topic id>/<partition>/*.log   segments, each with an .index beside it
 */
import * as path from "node:path";
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { Disk } from "../base/disk.ts";
import { MillraceError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { checkAppendable } from "../records/batch-validator.ts";
import { DiskReserve } from "./disk-reserve.ts";
import { FilePool } from "./file-pool.ts";
import { IndexCache } from "./index-cache.ts";
import { type LogCheckpoint, readLogCheckpoint, writeLogCheckpoint } from "./log-checkpoint.ts";
import { defaultLogLimits, type LogContext, type LogLimits } from "./log-context.ts";
import { Partition, type Placed } from "./partition.ts";
import { createPartitionFiles } from "./partition-recovery.ts";
import { baseOffsetOfFileName, segmentHeaderBytes } from "./segment.ts";
import { TailCache } from "./tail-cache.ts";
import { type LogTopic, type LogTopicSettings, TopicCatalogue } from "./topic-catalogue.ts";
import { transactionsTopic } from "./transaction-records.ts";
import { type LogProducer, TransactionCoordinator } from "./transactions.ts";

export interface LogOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly diagnostics: Diagnostics;
  readonly limits?: Partial<LogLimits>;
}

const transactionsSettings: LogTopicSettings = {
  partitions: 1,
  retentionMs: null,
  retentionBytes: null,
  cleanup: "delete",
  batchBytesMax: 1024 * 1024,
  segmentBytesMax: 64 * 1024 * 1024,
  durability: "fsync",
};

const deletedSuffix = ".deleted";

/** Partitions that are read back at the same time. */
const openAtOnce = 8;

export class Log {
  readonly #context: LogContext;
  readonly #directory: string;
  readonly #random: Random;
  readonly #catalogue: TopicCatalogue;
  readonly #reserve: DiskReserve;
  /** By topic name. */
  readonly #partitions = new Map<string, readonly Partition[]>();
  #coordinator: TransactionCoordinator | undefined;
  #checkpoint: LogCheckpoint | undefined;
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
    this.#reserve = new DiskReserve(context, options.directory);
  }

  /** Throws `LOG_FORMAT_NEWER`, and `LOG_DAMAGED` when the catalogue cannot be read; a damaged partition does not stop the others. */
  static async open(options: LogOptions): Promise<Log> {
    const limits = { ...defaultLogLimits, ...options.limits };
    const { disk, clock, diagnostics, directory } = options;
    const files = new FilePool(disk, limits.openFilesMax);
    const indexes = new IndexCache(disk, files);
    const context = { disk, clock, diagnostics, limits, files, indexes, tails: new TailCache(limits.tailCacheBytes) };
    await makeRoot(disk, directory);
    const catalogue = await TopicCatalogue.open(disk, directory, options.random);
    const log = new Log(context, options, catalogue);
    try {
      await log.#start();
    } catch (error) {
      await files.close();
      throw error;
    }
    return log;
  }

  get logId(): string {
    return this.#catalogue.logId;
  }

  topics(): readonly LogTopic[] {
    return this.#catalogue.topics;
  }

  topic(name: string): LogTopic | undefined {
    return this.#catalogue.get(name);
  }

  /** Throws `TOPIC_UNKNOWN`, `PARTITION_UNKNOWN`, `LOG_CLOSED`. */
  partition(topic: string, partition: number): Partition {
    this.#assertOpen();
    const partitions = this.#partitions.get(topic);
    if (!partitions) throw topicUnknown(topic);
    const found = partitions[partition];
    if (found) return found;
    throw new MillraceError("PARTITION_UNKNOWN", `topic ${topic} has no partition ${partition}`, {
      details: { topic, partition, partitions: partitions.length },
    });
  }

  /** The name and settings have been checked. Durable when it resolves. */
  createTopic(name: string, settings: LogTopicSettings, readOnly: boolean): Promise<LogTopic> {
    this.#assertOpen();
    return this.#change(async () => this.#catalogue.get(name) ?? (await this.#create(name, settings, readOnly)));
  }

  /** Throws `TOPIC_UNKNOWN`, and `TOPIC_READ_ONLY` for the log's own topic. */
  deleteTopic(name: string): Promise<void> {
    this.#assertOpen();
    if (name === transactionsTopic) throw ownTopic(name);
    return this.#change(async () => {
      const topic = this.#catalogue.get(name);
      const partitions = this.#partitions.get(name);
      if (!topic || !partitions) throw topicUnknown(name);
      this.#partitions.delete(name);
      await Promise.all(partitions.map((partition) => partition.settle().catch(() => undefined)));
      for (const partition of partitions) partition.close(topicUnknown(name));
      for (const { place } of partitions) await this.#context.files.forgetUnder(place.directory);
      // The new name is the decision: a start that finds it goes on from here.
      const doomed = `${this.#topicDirectory(topic.id)}${deletedSuffix}`;
      await this.#context.disk.rename(this.#topicDirectory(topic.id), doomed);
      await this.#context.disk.syncDirectory(path.join(this.#directory, "topics"));
      await this.#catalogue.remove(name);
      await this.#context.disk.removeDirectory(doomed);
    });
  }

  /** Resolves when durable. Throws `TOPIC_UNKNOWN`, `PARTITION_UNKNOWN`, `BATCH_CORRUPT`, `RECORD_TOO_LARGE`, `RECORD_INVALID`, `DISK_LOW`, `PARTITION_FAILED`. */
  async append(topic: string, partition: number, batch: Buffer): Promise<Placed> {
    const { partition: into, placed } = this.#place(topic, partition, batch);
    await into.durable(placed.lastOffset + 1);
    return placed;
  }

  /** Throws `PARTITION_DAMAGED` or `PARTITION_FAILED` when transactions cannot be recorded. */
  initProducer(transactionalId: string): Promise<LogProducer> {
    this.#assertOpen();
    const broken = this.partition(transactionsTopic, 0).failure;
    if (broken || !this.#coordinator) return Promise.reject(broken);
    return this.#coordinator.initProducer(transactionalId);
  }

  sizeBytes(topic: string): number {
    const partitions = this.#partitions.get(topic);
    if (!partitions) throw topicUnknown(topic);
    return partitions.reduce((sum, partition) => sum + partition.sizeBytes, 0);
  }

  /** Makes everything durable, and lets the next start begin here. */
  checkpoint(): Promise<void> {
    this.#checkpointing ??= this.#change(() => this.#writeCheckpoint()).finally(() => {
      this.#checkpointing = undefined;
    });
    return this.#checkpointing;
  }

  /** Open transactions stay undecided: the next start aborts them. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#changes.catch(() => undefined);
    const all = [...this.#partitions.values()].flat();
    await Promise.all(all.map((partition) => partition.settle().catch(() => undefined)));
    try {
      await this.#writeCheckpoint();
    } catch (cause) {
      this.#context.diagnostics.warn("the log's checkpoint could not be written; the next start reads more", {
        cause: String(cause),
      });
    }
    const reason = logClosed();
    for (const partition of all) partition.close(reason);
    await this.#context.files.close();
  }

  async #start(): Promise<void> {
    const { disk, diagnostics } = this.#context;
    this.#checkpoint = await readLogCheckpoint(disk, this.#directory, this.logId, diagnostics);
    await this.#removeLeftovers();
    await this.#reserve.check();
    await this.#openPartitions();
    if (!this.#catalogue.get(transactionsTopic)) await this.#create(transactionsTopic, transactionsSettings, true);
    const decisions = this.partition(transactionsTopic, 0);
    const all = [...this.#partitions.values()].flat();
    this.#coordinator = new TransactionCoordinator(this.#context, decisions, (topic, partition, batch, stamp) =>
      this.#place(topic, partition, batch, stamp),
    );
    if (!decisions.failure) await this.#coordinator.recover(this.#checkpoint, all);
    const changed = all.some(
      (partition) => partition.changedByRecovery || partition.highWatermark !== partition.nextOffset,
    );
    if (changed && !decisions.failure) await this.#writeCheckpoint();
  }

  async #openPartitions(): Promise<void> {
    const waiting = this.#catalogue.topics.flatMap((topic) =>
      Array.from({ length: topic.settings.partitions }, (_, partition) => ({ topic, partition })),
    );
    const opened = new Map<string, Partition[]>();
    const openNext = async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        const { topic, partition } = next;
        const found = await this.#openPartition(topic, partition);
        const partitions = opened.get(topic.name) ?? [];
        partitions[partition] = found;
        opened.set(topic.name, partitions);
      }
    };
    await Promise.all(Array.from({ length: openAtOnce }, openNext));
    for (const [name, partitions] of opened) this.#partitions.set(name, partitions);
  }

  #openPartition(topic: LogTopic, partition: number): Promise<Partition> {
    const checkpoint = this.#checkpoint?.partitions[`${topic.id}/${partition}`];
    return Partition.open(this.#context, this.#placeOf(topic, partition), topic.settings, checkpoint);
  }

  #place(topic: string, partition: number, batch: Buffer, stamp?: (partition: Partition) => void) {
    const into = this.partition(topic, partition);
    const settings = this.#catalogue.get(topic)?.settings;
    if (topic === transactionsTopic) throw ownTopic(topic);
    checkAppendable(batch, settings?.batchBytesMax ?? 0, topic);
    this.#reserve.admit(batch.length);
    if (into.failure) throw into.failure;
    stamp?.(into);
    const placed = into.append(batch);
    this.#sinceCheckpointBytes += batch.length;
    if (this.#sinceCheckpointBytes >= this.#context.limits.checkpointBytes) this.#checkpointSoon();
    return { partition: into, placed };
  }

  #checkpointSoon(): void {
    this.#sinceCheckpointBytes = 0;
    this.checkpoint().catch((cause) =>
      this.#context.diagnostics.warn("the log's checkpoint could not be written", { cause: String(cause) }),
    );
  }

  async #writeCheckpoint(): Promise<void> {
    const coordinator = this.#coordinator;
    if (!coordinator) return;
    // Before the syncs: what was applied up to here has its markers appended, so the syncs make them durable.
    const applied = coordinator.snapshot();
    const all = [...this.#partitions.values()].flat();
    await Promise.all(
      all.map((partition) => (partition.failure ? undefined : partition.sync().catch(() => undefined))),
    );
    const before = this.#checkpoint;
    const partitions: Record<string, NonNullable<ReturnType<Partition["checkpoint"]>>> = {};
    for (const partition of all) {
      const key = `${partition.place.topicId}/${partition.place.partition}`;
      const point = partition.checkpoint() ?? before?.partitions[key];
      if (point) partitions[key] = point;
    }
    // A partition that does not serve may need older decisions when it is read back.
    const allServe = all.every((partition) => !partition.failure);
    const { transactionsOffset, producers } = allServe ? applied : (before ?? { transactionsOffset: 0, producers: [] });
    const checkpoint: LogCheckpoint = { logId: this.logId, transactionsOffset, producers, partitions };
    await writeLogCheckpoint(this.#context.disk, this.#directory, checkpoint);
    this.#checkpoint = checkpoint;
    this.#sinceCheckpointBytes = 0;
  }

  async #create(name: string, settings: LogTopicSettings, readOnly: boolean): Promise<LogTopic> {
    const topic: LogTopic = { name, id: this.#random.uuid(), settings, readOnly, createdMs: this.#context.clock.now() };
    const { disk } = this.#context;
    const numbers = Array.from({ length: settings.partitions }, (_, partition) => partition);
    await disk.makeDirectory(this.#topicDirectory(topic.id));
    await Promise.all(numbers.map((partition) => createPartitionFiles(this.#context, this.#placeOf(topic, partition))));
    await disk.syncDirectory(this.#topicDirectory(topic.id));
    await disk.syncDirectory(path.join(this.#directory, "topics"));
    await disk.syncDirectory(this.#directory);
    const partitions = await Promise.all(numbers.map((partition) => this.#openPartition(topic, partition)));
    await this.#catalogue.add(topic);
    this.#partitions.set(name, partitions);
    return topic;
  }

  /** Ends what a topic's creation or deletion had begun. A folder with records that nobody knows is left alone. */
  async #removeLeftovers(): Promise<void> {
    const { disk, diagnostics } = this.#context;
    const root = path.join(this.#directory, "topics");
    if (!(await disk.exists(root))) return;
    // The names that are seen may not be durable yet, when the process died and the machine did not.
    await disk.syncDirectory(root);
    for (const name of await disk.list(root)) {
      const folder = path.join(root, name);
      const id = name.endsWith(deletedSuffix) ? name.slice(0, -deletedSuffix.length) : name;
      const known = this.#catalogue.topics.find((topic) => topic.id === id);
      if (id !== name) {
        if (known) await this.#catalogue.remove(known.name);
        await disk.removeDirectory(folder);
      } else if (!known) {
        if (await hasRecords(disk, folder)) {
          diagnostics.warn("a folder holds records of a topic that is not in the catalogue; it is left alone", {
            folder,
          });
        } else await disk.removeDirectory(folder);
      }
    }
  }

  #placeOf(topic: LogTopic, partition: number) {
    const directory = path.join(this.#topicDirectory(topic.id), String(partition));
    return { topic: topic.name, topicId: topic.id, partition, directory };
  }

  #topicDirectory(id: string): string {
    return path.join(this.#directory, "topics", id);
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

/** Whether any segment below a topic's folder is longer than its header. */
async function hasRecords(disk: Disk, folder: string): Promise<boolean> {
  for (const partition of await disk.list(folder)) {
    const directory = path.join(folder, partition);
    for (const name of await disk.list(directory)) {
      if (baseOffsetOfFileName(name) === undefined) continue;
      const file = await disk.open(path.join(directory, name), "read");
      const sizeBytes = await file.size();
      await file.close();
      if (sizeBytes > segmentHeaderBytes) return true;
    }
  }
  return false;
}

function topicUnknown(topic: string): MillraceError {
  return new MillraceError("TOPIC_UNKNOWN", `there is no topic ${topic}`, {
    hint: "Run millrace topics list to see the topics.",
    details: { topic },
  });
}

function ownTopic(topic: string): MillraceError {
  return new MillraceError("TOPIC_READ_ONLY", `topic ${topic} is written by the log itself`, { details: { topic } });
}

function logClosed(): MillraceError {
  return new MillraceError("LOG_CLOSED", "the log is shutting down");
}
