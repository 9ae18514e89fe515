/**
 * What Kafka cannot keep about topics, as records of the compacted topic `_millrace.topics`: the key is the topic's id, so a
 * topic that was deleted and made again by others has no note of the one before.
 *
 * Not here: what is made of a note (topic-configs.ts).
 */
import { MillraceError } from "../../base/errors.ts";
import { encodeBatch } from "../../records/batch-builder.ts";
import { batchLastOffset } from "../../records/batch-header.ts";
import { defaultTopicSettings, type ReadRequest, type ReadResult, type TopicSettings } from "../engine.ts";
import { forEachCommitted } from "../records.ts";
import type { ClusterClient } from "./cluster-client.ts";
import type { TopicNote } from "./topic-configs.ts";

export const notesTopic = "_millrace.topics";

export const notesSettings: TopicSettings = {
  ...defaultTopicSettings,
  cleanup: "compact",
  segmentBytesMax: 16 * 1024 * 1024,
};

const readBytesMax = 1024 * 1024;

export interface NotesAccess {
  read(topicId: string, request: ReadRequest): Promise<ReadResult>;
  append(topicId: string, batch: Buffer): Promise<unknown>;
}

export class TopicNotes {
  readonly #client: ClusterClient;
  readonly #access: NotesAccess;
  readonly #notes = new Map<string, TopicNote>();
  #topicId: string | undefined;
  #nextOffset = 0;
  #reading: Promise<void> = Promise.resolve();

  constructor(client: ClusterClient, access: NotesAccess) {
    this.#client = client;
    this.#access = access;
  }

  of(topicId: string): TopicNote | undefined {
    return this.#notes.get(topicId);
  }

  /** Everything that is there by now; nothing when there is no topic. */
  readToEnd(): Promise<void> {
    this.#reading = this.#reading.catch(() => undefined).then(() => this.#read());
    return this.#reading;
  }

  /** Null forgets it. The topic of the notes is there. */
  async write(topicId: string, note: TopicNote | null): Promise<void> {
    const id = this.#client.metadata.topics.get(notesTopic)?.id;
    if (id === undefined) throw new MillraceError("CLUSTER_UNREACHABLE", `topic ${notesTopic} is not there`);
    const value = note === null ? null : Buffer.from(JSON.stringify(note));
    await this.#access.append(id, encodeBatch([{ key: Buffer.from(topicId), value }], this.#client.clock.now()));
    if (note === null) this.#notes.delete(topicId);
    else this.#notes.set(topicId, note);
  }

  async #read(): Promise<void> {
    const topicId = this.#client.metadata.topics.get(notesTopic)?.id;
    if (topicId !== this.#topicId) {
      this.#topicId = topicId;
      this.#nextOffset = 0;
      this.#notes.clear();
    }
    if (topicId === undefined) return;
    for (;;) {
      const offset = this.#nextOffset;
      const place = {
        topic: notesTopic,
        partition: 0,
        offset,
        isolation: "read_committed",
        bytesMax: readBytesMax,
      } as const;
      const result = await this.#access.read(topicId, place);
      const last = result.batches.at(-1);
      if (!last) return;
      forEachCommitted(result, offset, (_offset, _timestamp, key, value) => this.#fold(key, value));
      this.#nextOffset = batchLastOffset(last) + 1;
    }
  }

  #fold(key: Buffer | null, value: Buffer | null): void {
    if (key === null) return;
    const note = value === null ? undefined : decodeNote(value);
    if (note) this.#notes.set(key.toString(), note);
    else this.#notes.delete(key.toString());
  }
}

/** Undefined for what is no note. Settings that a later version has added are left out, earlier ones get their defaults. */
function decodeNote(value: Buffer): TopicNote | undefined {
  try {
    const note = JSON.parse(value.toString()) as Partial<TopicNote>;
    if (typeof note.name !== "string" || typeof note.settings !== "object" || note.settings === null) return undefined;
    return {
      name: note.name,
      readOnly: note.readOnly === true,
      createdMs: typeof note.createdMs === "number" ? note.createdMs : 0,
      settings: { ...defaultTopicSettings, ...note.settings },
      ...(note.configs === undefined ? {} : { configs: note.configs }),
    };
  } catch {
    return undefined;
  }
}
