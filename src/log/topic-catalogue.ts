/**
 * Which topics there are: one checked file, replaced whole at each change, which also holds the log's id
 * (docs/internals/formats/topic-catalogue.md).
 */
import * as path from "node:path";
import type { Disk } from "../base/disk.ts";
import { MillraceError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { readCheckedFile, writeCheckedFile } from "./checked-file.ts";

const catalogueFormat = 1;

export interface LogTopicSettings {
  readonly partitions: number;
  readonly retentionMs: number | null;
  readonly retentionBytes: number | null;
  readonly cleanup: "delete" | "compact";
  readonly batchBytesMax: number;
  readonly segmentBytesMax: number;
  readonly durability: "fsync" | "os";
}

export interface LogTopic {
  readonly name: string;
  /** Also the name of its folder. */
  readonly id: string;
  readonly settings: LogTopicSettings;
  readonly readOnly: boolean;
  readonly createdMs: number;
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
    const found = await readCheckedFile(disk, file, "catalogue", catalogueFormat);
    if (found.kind === "read") return new TopicCatalogue(disk, file, found.value as Content);
    const topics = path.join(directory, "topics");
    if (found.kind === "damaged" || ((await disk.exists(topics)) && (await disk.list(topics)).length > 0)) {
      const reason = found.kind === "damaged" ? found.reason : "it is missing, and there are topics";
      throw new MillraceError("LOG_DAMAGED", `the log's catalogue ${file} cannot be used: ${reason}`, {
        hint: "Nothing was deleted. Restore the file from a backup of this data directory.",
        details: { path: file },
      });
    }
    const catalogue = new TopicCatalogue(disk, file, { logId: random.uuid(), topics: [] });
    await catalogue.#store(catalogue.#content);
    return catalogue;
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

  async #store(content: Content): Promise<void> {
    await writeCheckedFile(this.#disk, this.#file, "catalogue", catalogueFormat, content);
    this.#content = content;
    this.#byName = new Map(content.topics.map((topic) => [topic.name, topic]));
  }
}
