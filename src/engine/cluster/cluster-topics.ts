/**
 * The cluster's topics with their settings, as this process knows them: looked at when something is changed here, when
 * somebody asks for a topic that is not known, and every few seconds.
 *
 * Always true: what is changed here is known here, and to the brokers, when the change resolves. Kafka's own topics are not
 * among them.
 */
import type { Timer } from "../../base/clock.ts";
import { MillraceError } from "../../base/errors.ts";
import type { TopicConfigs, TopicInfo, TopicSettings } from "../engine.ts";
import { checkTopicName, checkTopicSettings, sameTopicSettings } from "../topic-settings.ts";
import type { ClusterClient } from "./cluster-client.ts";
import { type KnownTopic, partitionUnknown, topicUnknown } from "./cluster-metadata.ts";
import { TopicAdmin } from "./topic-admin.ts";
import { configKeys, settingsOf, type TopicNote } from "./topic-configs.ts";
import { notesSettings, notesTopic, type TopicNotes } from "./topic-notes.ts";

const lookEveryMs = 5_000;
const configsAgeMaxMs = 30_000;
/** Who asks for what is not there makes us look, but not more often than this. */
const lookAgainMs = 200;
const describedPerRequest = 200;

interface KnownConfigs {
  readonly configs: Readonly<Record<string, string>>;
  readonly atMs: number;
}

export class ClusterTopics {
  readonly #client: ClusterClient;
  readonly #notes: TopicNotes;
  readonly #admin: TopicAdmin;
  /** Told of topics that are gone. */
  readonly #gone: (topic: { readonly name: string; readonly id: string }) => void;
  readonly #configs = new Map<string, KnownConfigs>();
  /** Changes of a topic follow each other. */
  readonly #changes = new Map<string, Promise<unknown>>();
  #infos: ReadonlyMap<string, TopicInfo> = new Map();
  #looking: Promise<void> | undefined;
  #lookNext: Promise<void> | undefined;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;
  #isFailing = false;

  constructor(
    client: ClusterClient,
    notes: TopicNotes,
    gone: (topic: { readonly name: string; readonly id: string }) => void,
  ) {
    this.#client = client;
    this.#notes = notes;
    this.#admin = new TopicAdmin(client);
    this.#gone = gone;
  }

  list(): TopicInfo[] {
    return [...this.#infos.values()];
  }

  get(name: string): TopicInfo | undefined {
    const found = this.#infos.get(name);
    if (!found) this.#lookSoon();
    return found;
  }

  byId(id: string): TopicInfo | undefined {
    const known = this.#client.metadata.topicById(id);
    return known && this.#infos.get(known.name);
  }

  /** The first look; then every few seconds. */
  async start(): Promise<void> {
    await this.#client.persist("looking at the cluster's topics", () => this.look());
    this.#lookLater();
  }

  close(): void {
    this.#timer?.cancel();
  }

  /** Not earlier than the call. */
  look(): Promise<void> {
    if (this.#lookNext) return this.#lookNext;
    const before = this.#looking;
    if (!before) return this.#startLook();
    this.#lookNext = before
      .catch(() => undefined)
      .then(() => {
        this.#lookNext = undefined;
        return this.#startLook();
      });
    return this.#lookNext;
  }

  /** Undefined when the cluster has to be asked. */
  known(name: string, partition: number): TopicInfo | undefined {
    const info = this.#infos.get(name);
    const topic = this.#client.metadata.topics.get(name);
    return info && topic?.id === info.id && topic.partitions[partition] ? info : undefined;
  }

  /** The topic, when it and the partition are there by now. Throws `TOPIC_UNKNOWN`, `PARTITION_UNKNOWN`. */
  async find(name: string, partition = 0): Promise<TopicInfo> {
    const known = this.known(name, partition);
    if (known) return known;
    const earlyMs = this.#lookedMs + lookAgainMs - this.#client.clock.monotonicMs();
    if (earlyMs > 0) await this.#client.pause(earlyMs);
    await this.look();
    const found = this.known(name, partition);
    if (found) return found;
    throw this.known(name, 0) ? partitionUnknown(name, partition) : topicUnknown(name);
  }

  async create(
    name: string,
    settings: Partial<TopicSettings>,
    options: { readonly readOnly?: boolean; readonly configs?: TopicConfigs },
  ): Promise<TopicInfo> {
    checkTopicName(name);
    const wanted = checkTopicSettings(settings);
    const readOnly = options.readOnly ?? false;
    return await this.#inTurn(name, async () => {
      const note: TopicNote = {
        name,
        readOnly,
        createdMs: this.#client.clock.now(),
        settings: wanted,
        ...(options.configs && Object.keys(options.configs).length > 0 ? { configs: options.configs } : {}),
      };
      if (name !== notesTopic) await this.#makeNotesTopic();
      const isMade = await this.#admin.create(note);
      const topic = await this.#appeared(name, wanted.partitions);
      // One that is there without a note: its maker was interrupted, or is somebody else.
      if (isMade || this.#notes.of(topic.id) === undefined) {
        if (isMade || sameTopicSettings(this.#infoOf(topic).settings, wanted)) await this.#notes.write(topic.id, note);
      }
      await this.look();
      const info = this.#infos.get(name);
      if (!info) throw topicUnknown(name);
      if (sameTopicSettings(info.settings, wanted)) return info;
      throw new MillraceError("TOPIC_EXISTS", `topic ${name} exists with other settings`, {
        details: { topic: name, settings: info.settings },
      });
    });
  }

  async alter(
    name: string,
    settings: Partial<TopicSettings>,
    options: { readonly readOnly?: boolean; readonly configs?: TopicConfigs } = {},
  ): Promise<TopicInfo> {
    return await this.#inTurn(name, async () => {
      const known = await this.find(name);
      const { id, settings: before, createdMs, configs: configsBefore } = known;
      const { readOnly = known.readOnly } = options;
      const wanted = checkTopicSettings({ ...before, ...settings });
      if (wanted.partitions < before.partitions) {
        const message = `topic ${name} has ${before.partitions} partitions, and partitions are only ever added`;
        throw new MillraceError("SETTING_INVALID", message, { details: { setting: "partitions", topic: name } });
      }
      const configs = options.configs ?? configsBefore;
      const given = configs && Object.keys(configs).length > 0 ? configs : undefined;
      const note: TopicNote = { name, readOnly, createdMs, settings: wanted, ...(given ? { configs: given } : {}) };
      await this.#makeNotesTopic();
      await this.#admin.alterConfigs(note, Object.keys(configsBefore ?? {}));
      this.#configs.delete(id);
      if (wanted.partitions > before.partitions) await this.#admin.addPartitions(name, wanted.partitions);
      await this.#notes.write(id, note);
      await this.look();
      const info = this.#infos.get(name);
      if (!info || info.id !== id) throw topicUnknown(name);
      return info;
    });
  }

  async delete(name: string): Promise<void> {
    await this.#inTurn(name, async () => {
      const { id } = await this.find(name);
      await this.#admin.delete(name, id);
      if (this.#notes.of(id)) await this.#notes.write(id, null);
      await this.look();
    });
  }

  async #makeNotesTopic(): Promise<void> {
    if (this.#client.metadata.topics.has(notesTopic)) return;
    await this.#inTurn(notesTopic, async () => {
      const note = { name: notesTopic, readOnly: true, createdMs: this.#client.clock.now(), settings: notesSettings };
      const isMade = await this.#admin.create(note);
      const { id } = await this.#appeared(notesTopic, 1);
      if (isMade) await this.#notes.write(id, note);
    });
  }

  /** Bytes on the disks of its leaders. */
  async sizeBytes(name: string): Promise<number> {
    await this.find(name);
    const known = this.#client.metadata.topics.get(name);
    if (!known) throw topicUnknown(name);
    return await this.#admin.sizeBytes(known);
  }

  /** With a leader for each partition, and its configs. */
  async #appeared(name: string, partitions: number): Promise<KnownTopic> {
    const isThere = () => {
      const topic = this.#client.metadata.topics.get(name);
      return topic?.partitions.every(({ leaderId }) => leaderId >= 0) === true;
    };
    await this.#admin.untilSeen(`topic ${name} with ${partitions} partitions`, isThere);
    const topic = this.#client.metadata.topics.get(name);
    if (!topic) throw topicUnknown(name);
    await this.#client.persist(`asking for the settings of topic ${name}`, () => this.#describe([topic]));
    await this.#notes.readToEnd();
    return topic;
  }

  #startLook(): Promise<void> {
    const looking = this.#look().finally(() => {
      if (this.#looking === looking) this.#looking = undefined;
    });
    this.#looking = looking;
    return looking;
  }

  async #look(): Promise<void> {
    this.#lookedMs = this.#client.clock.monotonicMs();
    await this.#client.refresh();
    const { topics } = this.#client.metadata;
    const oldMs = this.#client.clock.monotonicMs() - configsAgeMaxMs;
    const open = [...topics.values()].filter(({ isInternal }) => !isInternal);
    const unknown = open.filter(({ id }) => (this.#configs.get(id)?.atMs ?? Number.NEGATIVE_INFINITY) <= oldMs);
    for (let from = 0; from < unknown.length; from += describedPerRequest) {
      await this.#describe(unknown.slice(from, from + describedPerRequest));
    }
    await this.#notes.readToEnd();
    const before = this.#infos;
    const infos = open.filter(({ id }) => this.#configs.has(id)).map((topic) => this.#infoOf(topic));
    this.#infos = new Map(infos.map((info) => [info.name, info]));
    const ids = new Set(open.map(({ id }) => id));
    for (const id of this.#configs.keys()) if (!ids.has(id)) this.#configs.delete(id);
    for (const info of before.values()) if (!ids.has(info.id)) this.#gone(info);
  }

  async #describe(topics: readonly KnownTopic[]): Promise<void> {
    const atMs = this.#client.clock.monotonicMs();
    const names = topics.map(({ name }) => name);
    const found = await this.#admin.configs(null, names, configKeys);
    for (const { name, id } of topics) {
      const configs = found.get(name);
      if (configs) this.#configs.set(id, { configs, atMs });
    }
  }

  #infoOf({ name, id, partitions }: KnownTopic): TopicInfo {
    const note = this.#notes.of(id);
    const configs = this.#configs.get(id)?.configs ?? {};
    const before = this.#infos.get(name);
    const info: TopicInfo = {
      name,
      id,
      settings: settingsOf(configs, partitions.length, note),
      readOnly: note?.readOnly ?? name.startsWith("_millrace"),
      createdMs: note?.createdMs ?? 0,
      ...(note?.configs ? { configs: note.configs } : {}),
    };
    const isAsBefore = before?.id === id && before.readOnly === info.readOnly && before.createdMs === info.createdMs;
    return isAsBefore && sameTopicSettings(before.settings, info.settings) && before.configs === info.configs
      ? before
      : info;
  }

  async #inTurn<T>(name: string, change: () => Promise<T>): Promise<T> {
    const before = this.#changes.get(name) ?? Promise.resolve();
    const turn = before.catch(() => undefined).then(change);
    this.#changes.set(name, turn);
    try {
      return await turn;
    } finally {
      if (this.#changes.get(name) === turn) this.#changes.delete(name);
    }
  }

  #isTimeToLook(): boolean {
    return this.#client.clock.monotonicMs() - this.#lookedMs >= lookAgainMs;
  }

  #lookSoon(): void {
    if (this.#looking || this.#client.isClosed || !this.#isTimeToLook()) return;
    this.look().catch((cause) => this.#tellFailure(cause));
  }

  #lookLater(): void {
    this.#timer = this.#client.clock.after(lookEveryMs, () => {
      this.look()
        .then(
          () => {
            this.#isFailing = false;
          },
          (cause) => this.#tellFailure(cause),
        )
        .finally(() => {
          if (!this.#client.isClosed) this.#lookLater();
        });
    });
  }

  /** Once, until it succeeds again. */
  #tellFailure(cause: unknown): void {
    if (this.#isFailing || this.#client.isClosed) return;
    this.#isFailing = true;
    this.#client.diagnostics.warn("the cluster's topics cannot be looked at; it is tried again", {
      cause: String(cause),
    });
  }
}
