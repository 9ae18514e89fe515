/** The engine on our own log, in this process (`log/log.ts`). */
import { MillraceError } from "../../base/errors.ts";
import { Log, type LogOptions } from "../../log/log.ts";
import type { Partition } from "../../log/partition.ts";
import type {
  AppendRequest,
  AppendResult,
  Engine,
  PartitionOffsets,
  ReadRequest,
  ReadResult,
  TopicInfo,
  TopicSettings,
  TransactionalProducer,
} from "../engine.ts";
import { checkTopicName, checkTopicSettings, sameTopicSettings } from "../topic-settings.ts";

/** Timers take no more. */
const waitMsMax = 2 ** 31 - 1;

/**
 * Opens the log in a directory, or makes a new one there; no other process may have it open (`log/directory-lock.ts`).
 * What a crash left is read back first. Throws `LOG_FORMAT_NEWER`, and `LOG_DAMAGED` when the catalogue of
 * topics cannot be read; a damaged partition answers with that code and stops nothing else.
 */
export async function openEmbeddedEngine(options: LogOptions): Promise<Engine> {
  return new EmbeddedEngine(await Log.open(options));
}

class EmbeddedEngine implements Engine {
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  get logId(): string {
    return this.#log.logId;
  }

  topics(): TopicInfo[] {
    return [...this.#log.topics()];
  }

  topic(name: string): TopicInfo | undefined {
    return this.#log.topic(name);
  }

  async createTopic(
    name: string,
    settings: Partial<TopicSettings> = {},
    options: { readonly readOnly?: boolean } = {},
  ): Promise<TopicInfo> {
    checkTopicName(name);
    const wanted = checkTopicSettings(settings);
    const topic = await this.#log.createTopic(name, wanted, options.readOnly ?? false);
    if (sameTopicSettings(topic.settings, wanted)) return topic;
    throw new MillraceError("TOPIC_EXISTS", `topic ${name} exists with other settings`, {
      details: { topic: name, settings: topic.settings },
    });
  }

  async deleteTopic(name: string): Promise<void> {
    await this.#log.deleteTopic(name);
  }

  offsets(topic: string, partition: number): PartitionOffsets {
    return offsetsOf(this.#log.partition(topic, partition));
  }

  async offsetForTime(topic: string, partition: number, timestampMs: number): Promise<number> {
    return await this.#log.partition(topic, partition).offsetForTime(timestampMs);
  }

  async append({ topic, partition, batch }: AppendRequest): Promise<AppendResult> {
    return { topic, partition, ...(await this.#log.append(topic, partition, batch)) };
  }

  async read({ topic, partition, offset, isolation, bytesMax, waitMs, signal }: ReadRequest): Promise<ReadResult> {
    const from = this.#log.partition(topic, partition);
    const committed = isolation === "read_committed";
    if (waitMs) await from.readable(offset, committed, Math.min(waitMs, waitMsMax), signal);
    const { batches, aborted } = await from.read(offset, committed, bytesMax);
    return { batches, aborted, ...offsetsOf(from) };
  }

  async initProducer(transactionalId: string): Promise<TransactionalProducer> {
    return await this.#log.initProducer(transactionalId);
  }

  sizeBytes(topic: string): number {
    return this.#log.sizeBytes(topic);
  }

  async close(): Promise<void> {
    await this.#log.close();
  }
}

/** Throws `PARTITION_FAILED`, `PARTITION_DAMAGED`. */
function offsetsOf(partition: Partition): PartitionOffsets {
  if (partition.failure) throw partition.failure;
  const { logStart, lastStable, highWatermark, leaderEpoch } = partition;
  return { logStart, lastStable, highWatermark, leaderEpoch };
}
