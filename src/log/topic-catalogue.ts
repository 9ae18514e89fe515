/**
 * Which topics there are: one checked file, replaced whole at each change, which also holds the log's id
 * (docs/internals/formats/topic-catalogue.md).
 */
import * as path from "node:path";
import type { Disk } from "../base/disk.ts";
import { MillraceError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { isCount, isRecord, readCheckedFile, writeCheckedFile } from "./checked-file.ts";

const catalogueFormat = 3;

export interface LogTopicSettings {
  readonly partitions: number;
  readonly retentionMs: number | null;
  readonly retentionBytes: number | null;
  readonly cleanup: "delete" | "compact" | "compact,delete";
  readonly batchBytesMax: number;
  readonly segmentBytesMax: number;
  readonly segmentMs: number;
  readonly durability: "fsync" | "os";
  readonly dirtyRatioMin: number;
  readonly tombstoneRetentionMs: number;
  readonly compactionLagMinMs: number;
  readonly compactionLagMaxMs: number | null;
  readonly timestampType: "create" | "append";
  readonly timestampBeforeMaxMs: number | null;
  readonly timestampAfterMaxMs: number | null;
  readonly compression: "producer" | "uncompressed" | "gzip" | "snappy" | "lz4" | "zstd";
  readonly minInsyncReplicas: number;
}

/** For topics of formats 1 and 2, and for the log's own. */
export const laterTopicSettings = {
  segmentMs: 7 * 24 * 3_600_000,
  dirtyRatioMin: 0.5,
  tombstoneRetentionMs: 24 * 3_600_000,
  compactionLagMinMs: 0,
  compactionLagMaxMs: null,
  timestampType: "create",
  timestampBeforeMaxMs: null,
  timestampAfterMaxMs: null,
  compression: "producer",
  minInsyncReplicas: 1,
} as const;

export interface LogTopic {
  readonly name: string;
  /** Also the name of its folder. */
  readonly id: string;
  readonly settings: LogTopicSettings;
  readonly readOnly: boolean;
  readonly createdMs: number;
  /** Kafka's names and texts of what was set under them; absent when nothing was. */
  readonly configs?: Readonly<Record<string, string>>;
}

interface Content {
  readonly logId: string;
  readonly topics: readonly LogTopic[];
}

export class TopicCatalogue {
  readonly #disk: Disk;
  readonly #file: string;
  #content: Content;
  #byName: Map<string, LogTopic>;

  private constructor(disk: Disk, file: string, content: Content) {
    this.#disk = disk;
    this.#file = file;
    this.#content = content;
    this.#byName = new Map(content.topics.map((topic) => [topic.name, topic]));
  }

  /**
   * A directory without a catalogue becomes a new log, unless there are topics in it. Throws `LOG_FORMAT_NEWER`,
   * and `LOG_DAMAGED` when the file cannot be read.
   */
  static async open(disk: Disk, directory: string, random: Random): Promise<TopicCatalogue> {
    const file = path.join(directory, "catalogue");
    const found = await readCheckedFile(disk, file, "catalogue", catalogueFormat, isContent);
    if (found.kind === "read") return new TopicCatalogue(disk, file, complete(found.value as Content));
    const topics = path.join(directory, "topics");
    if (found.kind === "damaged") throw damaged(file, found.reason);
    if ((await disk.exists(topics)) && (await disk.list(topics)).length > 0) {
      throw damaged(file, "it is missing, and there are topics");
    }
    const catalogue = new TopicCatalogue(disk, file, { logId: random.uuid(), topics: [] });
    await catalogue.#store(catalogue.#content);
    return catalogue;
  }

  /** Only looks, also while another process has the log open; no topics where there is no log. Throws as `open` does. */
  static async topicsIn(disk: Disk, directory: string): Promise<readonly LogTopic[]> {
    const file = path.join(directory, "catalogue");
    const found = await readCheckedFile(disk, file, "catalogue", catalogueFormat, isContent);
    if (found.kind === "damaged") throw damaged(file, found.reason);
    return found.kind === "read" ? complete(found.value as Content).topics : [];
  }

  /** Only looks; null where there is no log. Throws as `open` does. */
  static async logIdIn(disk: Disk, directory: string): Promise<string | null> {
    const file = path.join(directory, "catalogue");
    const found = await readCheckedFile(disk, file, "catalogue", catalogueFormat, isContent);
    if (found.kind === "damaged") throw damaged(file, found.reason);
    return found.kind === "read" ? (found.value as Content).logId : null;
  }

  get logId(): string {
    return this.#content.logId;
  }

  get topics(): readonly LogTopic[] {
    return this.#content.topics;
  }

  get(name: string): LogTopic | undefined {
    return this.#byName.get(name);
  }

  /** Durable when it resolves. One change at a time. */
  async add(topic: LogTopic): Promise<void> {
    await this.#store({ ...this.#content, topics: [...this.#content.topics, topic] });
  }

  async remove(name: string): Promise<void> {
    await this.#store({ ...this.#content, topics: this.#content.topics.filter((topic) => topic.name !== name) });
  }

  async replace(topic: LogTopic): Promise<void> {
    const topics = this.#content.topics.map((known) => (known.name === topic.name ? topic : known));
    await this.#store({ ...this.#content, topics });
  }

  async #store(content: Content): Promise<void> {
    await writeCheckedFile(this.#disk, this.#file, "catalogue", catalogueFormat, content);
    this.#content = content;
    this.#byName = new Map(content.topics.map((topic) => [topic.name, topic]));
  }
}

function damaged(file: string, reason: string): MillraceError {
  return new MillraceError("LOG_DAMAGED", `the log's catalogue ${file} cannot be used: ${reason}`, {
    hint: "Nothing was deleted. Restore the file from a backup of this data directory.",
    details: { path: file },
  });
}

function isContent(content: unknown): content is Content {
  if (!isRecord(content) || typeof content.logId !== "string" || !Array.isArray(content.topics)) return false;
  return content.topics.every(
    (topic: unknown) =>
      isRecord(topic) &&
      typeof topic.name === "string" &&
      typeof topic.id === "string" &&
      isRecord(topic.settings) &&
      isCount(topic.settings.partitions) &&
      (topic.configs === undefined || isTexts(topic.configs)),
  );
}

function isTexts(content: unknown): boolean {
  return isRecord(content) && Object.values(content).every((text) => typeof text === "string");
}

function complete({ logId, topics }: Content): Content {
  return {
    logId,
    topics: topics.map((topic) => ({ ...topic, settings: { ...laterTopicSettings, ...topic.settings } })),
  };
}
