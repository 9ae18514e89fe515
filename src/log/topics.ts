/**
 * The topics of a log and their partitions: the catalogue says which there are, a folder per topic holds its partitions.
 *
 * Always true: a topic in the catalogue has its folders and first segments on the disk; one that is being made or deleted
 * when the power goes is found and ended by the next start.
 */
import * as path from "node:path";
import { MillraceError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import type { Journal } from "./journal.ts";
import type { JournaledBatches } from "./journal-recovery.ts";
import type { LogContext, PartitionPlace, PartitionSettings } from "./log-context.ts";
import { Partition } from "./partition.ts";
import { createPartitionFiles, type PartitionCheckpoint } from "./partition-recovery.ts";
import { segmentHeaderBytes } from "./segment.ts";
import { parseSegmentName } from "./segment-name.ts";
import type { LogTopic, LogTopicSettings, TopicCatalogue } from "./topic-catalogue.ts";
import { transactionsTopic } from "./transaction-records.ts";

const deletedSuffix = ".deleted";
/** Partitions that are made or read back at the same time. */
const openAtOnce = 16;

/** What a start knows of the partitions, by `<topic id>/<partition>`. */
export interface PartitionStarts {
  readonly checkpoints: ReadonlyMap<string, PartitionCheckpoint>;
  readonly journaled: ReadonlyMap<string, JournaledBatches>;
}

/** What may be altered beside the settings; left out, it stays as it is. */
export interface TopicAlteration {
  readonly readOnly?: boolean;
  readonly configs?: LogTopic["configs"];
}

interface OpenTopic {
  /** Handed to the partitions, which see it change. */
  readonly settings: PartitionSettings;
  readonly partitions: Partition[];
}

export class Topics {
  readonly #context: LogContext;
  readonly #directory: string;
  readonly #random: Random;
  readonly #catalogue: TopicCatalogue;
  readonly #open = new Map<string, OpenTopic>();
  #journal: Journal | undefined;

  constructor(context: LogContext, directory: string, random: Random, catalogue: TopicCatalogue) {
    this.#context = context;
    this.#directory = directory;
    this.#random = random;
    this.#catalogue = catalogue;
  }

  list(): readonly LogTopic[] {
    return this.#catalogue.topics;
  }

  get(name: string): LogTopic | undefined {
    return this.#catalogue.get(name);
  }

  /** Of all topics. */
  *partitions(): Generator<Partition> {
    for (const { partitions } of this.#open.values()) yield* partitions;
  }

  /** Throws `TOPIC_UNKNOWN`. */
  partitionsOf(topic: string): readonly Partition[] {
    const open = this.#open.get(topic);
    if (!open) throw topicUnknown(topic);
    return open.partitions;
  }

  /** Throws `TOPIC_UNKNOWN`, `PARTITION_UNKNOWN`. */
  partition(topic: string, partition: number): Partition {
    const partitions = this.partitionsOf(topic);
    const found = partitions[partition];
    if (found) return found;
    throw new MillraceError("PARTITION_UNKNOWN", `topic ${topic} has no partition ${partition}`, {
      details: { topic, partition, partitions: partitions.length },
    });
  }

  /** Ends what was begun before, and opens all partitions. A damaged partition does not stop the others. */
  async open(journal: Journal, starts: PartitionStarts): Promise<void> {
    this.#journal = journal;
    await this.#removeLeftovers();
    const opened = new Map<string, OpenTopic>();
    const waiting: { readonly topic: LogTopic; readonly partition: number; readonly into: OpenTopic }[] = [];
    for (const topic of this.#catalogue.topics) {
      const into: OpenTopic = { settings: partitionSettings(topic.settings), partitions: [] };
      opened.set(topic.name, into);
      for (let partition = 0; partition < topic.settings.partitions; partition++) {
        waiting.push({ topic, partition, into });
      }
    }
    const openAll = (some: typeof waiting) =>
      eachOf(some, async ({ topic, partition, into }) => {
        const key = `${topic.id}/${partition}`;
        into.partitions[partition] = await this.#openPartition(topic, partition, into.settings, {
          checkpoint: starts.checkpoints.get(key),
          journaled: starts.journaled.get(key),
        });
      });
    // What the journal holds may be in the page cache only: a decision must not get to its segment before the data.
    await openAll(waiting.filter(({ topic }) => topic.name !== transactionsTopic));
    await openAll(waiting.filter(({ topic }) => topic.name === transactionsTopic));
    for (const [name, topic] of opened) this.#open.set(name, topic);
  }

  /** Durable when it resolves. */
  async create(
    name: string,
    settings: LogTopicSettings,
    readOnly: boolean,
    configs?: LogTopic["configs"],
  ): Promise<LogTopic> {
    const made = { name, id: this.#random.uuid(), settings, readOnly, createdMs: this.#context.clock.now() };
    const topic = withConfigs(made, configs);
    const { disk } = this.#context;
    await disk.makeDirectory(this.#topicDirectory(topic.id));
    const open: OpenTopic = { settings: partitionSettings(settings), partitions: [] };
    await this.#makePartitions(topic, 0, open);
    await disk.syncDirectory(path.join(this.#directory, "topics"));
    await disk.syncDirectory(this.#directory);
    await this.#catalogue.add(topic);
    this.#open.set(name, open);
    return topic;
  }

  /** Other settings, and perhaps more partitions; never fewer. Throws `TOPIC_UNKNOWN`. */
  async alter(name: string, settings: LogTopicSettings, also: TopicAlteration = {}): Promise<LogTopic> {
    const topic = this.#catalogue.get(name);
    const open = this.#open.get(name);
    if (!topic || !open) throw topicUnknown(name);
    const { readOnly = topic.readOnly, configs = topic.configs } = also;
    const altered = withConfigs({ ...topic, settings, readOnly }, configs);
    if (settings.durability === "fsync" && topic.settings.durability === "os") await this.#makeDurable(open);
    const grown: OpenTopic = { settings: open.settings, partitions: [...open.partitions] };
    // Folders that a start finds behind the last partition of the catalogue are made anew.
    await this.#makePartitions(altered, topic.settings.partitions, grown);
    await this.#catalogue.replace(altered);
    Object.assign(open.settings, partitionSettings(settings));
    open.partitions.push(...grown.partitions.slice(open.partitions.length));
    return altered;
  }

  /** The space is free when it resolves. Throws `TOPIC_UNKNOWN`. */
  async delete(name: string): Promise<void> {
    const topic = this.#catalogue.get(name);
    const open = this.#open.get(name);
    if (!topic || !open) throw topicUnknown(name);
    this.#open.delete(name);
    for (const partition of open.partitions) partition.close(topicUnknown(name));
    for (const { place } of open.partitions) await this.#context.files.forgetUnder(place.directory);
    // The new name is the decision: a start that finds it goes on from here.
    const doomed = `${this.#topicDirectory(topic.id)}${deletedSuffix}`;
    await this.#context.disk.rename(this.#topicDirectory(topic.id), doomed);
    await this.#context.disk.syncDirectory(path.join(this.#directory, "topics"));
    await this.#catalogue.remove(name);
    await this.#context.disk.removeDirectory(doomed);
  }

  /** What was only written is synced before the catalogue promises that it is. */
  async #makeDurable({ settings, partitions }: OpenTopic): Promise<void> {
    settings.durability = "fsync";
    await eachOf([...partitions], async (partition) => {
      // One that fails here serves nothing more, and says so itself.
      if (!partition.failure) await partition.settle().catch(() => undefined);
    });
  }

  async #makePartitions(topic: LogTopic, from: number, into: OpenTopic): Promise<void> {
    const { disk } = this.#context;
    const count = topic.settings.partitions - from;
    const numbers = Array.from({ length: Math.max(0, count) }, (_, i) => from + i);
    if (numbers.length === 0) return;
    await eachOf([...numbers], async (partition) => {
      const place = this.#placeOf(topic, partition);
      await disk.removeDirectory(place.directory);
      await createPartitionFiles(this.#context, place);
    });
    await disk.syncDirectory(this.#topicDirectory(topic.id));
    await eachOf([...numbers], async (partition) => {
      into.partitions[partition] = await this.#openPartition(topic, partition, into.settings, {});
    });
  }

  #openPartition(
    topic: LogTopic,
    partition: number,
    settings: PartitionSettings,
    from: Parameters<typeof Partition.open>[4],
  ): Promise<Partition> {
    return Partition.open(this.#context, this.#placeOf(topic, partition), settings, this.#journal as Journal, from);
  }

  /** A folder with records that nobody knows is left alone. */
  async #removeLeftovers(): Promise<void> {
    const { disk, diagnostics } = this.#context;
    const root = path.join(this.#directory, "topics");
    if (!(await disk.exists(root))) return;
    // The names that are seen may not be durable yet, when the process died and the machine did not.
    await disk.syncDirectory(root);
    const known = new Map(this.#catalogue.topics.map((topic) => [topic.id, topic]));
    for (const name of await disk.list(root)) {
      const folder = path.join(root, name);
      const id = name.endsWith(deletedSuffix) ? name.slice(0, -deletedSuffix.length) : name;
      const topic = known.get(id);
      if (id !== name) {
        if (topic) await this.#catalogue.remove(topic.name);
        await disk.removeDirectory(folder);
      } else if (!topic) {
        if (await this.#hasRecords(folder)) {
          diagnostics.warn("a folder holds records of a topic that is not in the catalogue; it is left alone", {
            folder,
          });
        } else await disk.removeDirectory(folder);
      }
    }
  }

  /** Whether any segment below a topic's folder is longer than its header. */
  async #hasRecords(folder: string): Promise<boolean> {
    const { disk } = this.#context;
    for (const partition of await disk.list(folder)) {
      const directory = path.join(folder, partition);
      for (const name of await disk.list(directory)) {
        if (parseSegmentName(name) === undefined) continue;
        const file = await disk.open(path.join(directory, name), "read");
        const sizeBytes = await file.size();
        await file.close();
        if (sizeBytes > segmentHeaderBytes) return true;
      }
    }
    return false;
  }

  #placeOf(topic: LogTopic, partition: number): PartitionPlace {
    const directory = path.join(this.#topicDirectory(topic.id), String(partition));
    return { topic: topic.name, topicId: topic.id, partition, directory };
  }

  #topicDirectory(id: string): string {
    return path.join(this.#directory, "topics", id);
  }
}

export function topicUnknown(topic: string): MillraceError {
  return new MillraceError("TOPIC_UNKNOWN", `there is no topic ${topic}`, {
    hint: "Run millrace topics list to see the topics.",
    details: { topic },
  });
}

/** Without the field where there are none. */
function withConfigs({ configs: _, ...topic }: LogTopic, configs: LogTopic["configs"]): LogTopic {
  return configs && Object.keys(configs).length > 0 ? { ...topic, configs } : topic;
}

function partitionSettings(settings: LogTopicSettings): PartitionSettings {
  const { segmentBytesMax, durability, cleanup, compactionLagMaxMs } = settings;
  // Only closed segments are compacted.
  const lagMs = cleanup === "delete" ? null : compactionLagMaxMs;
  const segmentMs = Math.min(settings.segmentMs, lagMs ?? Number.POSITIVE_INFINITY);
  return { segmentBytesMax, segmentMs, durability };
}

async function eachOf<T>(items: T[], act: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const actNext = async () => {
    while (next < items.length) await act(items[next++] as T);
  };
  await Promise.all(Array.from({ length: openAtOnce }, actNext));
}
