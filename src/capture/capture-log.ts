/**
 * The log's side of a source: its topics, the right to write them, and what the last owner had done. One of these lives
 * from taking the unit over to losing it.
 */
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import type { PostgresDefinition } from "../catalog/definitions.ts";
import type { AppendRequest, Engine } from "../engine/engine.ts";
import { decodeCommitted } from "../engine/records.ts";
import { becomeOwner, type Ownership, unitOfSource } from "../ownership/become-owner.ts";
import type { ProgressTable } from "../ownership/progress-table.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { TransactionEvent } from "../schema/transaction-events.ts";
import { topicBatchBytesMax } from "./change-recorder.ts";
import { LogWriter } from "./log-writer.ts";
import { printLsn } from "./lsn.ts";
import { messageCollection } from "./message-event.ts";
import { messageTopic, rejectedTopic, topicName, transactionTopic } from "./names.ts";
import type { CapturedTopic } from "./pending-group.ts";
import { type CaptureProgress, readProgress, type TableReading } from "./progress.ts";
import type { CheckedTable } from "./table-checks.ts";
import { readKeptMarks, type TableMarks } from "./table-marks.ts";

export interface WriterSizes {
  readonly batchBytes: number;
  readonly partBytes: number;
}

/** The beginning of the snapshot, or of the reading alone, that what is known of a table begins with. */
export interface Begun {
  readonly id: string;
  readonly ms: number;
  /** The first of the table's topic that is of it. */
  readonly offset: number;
}

export class CaptureLog {
  readonly messageTopic: number;
  readonly rejectedTopic: number;
  progress: CaptureProgress | null;
  readonly #engine: Engine;
  readonly #definition: PostgresDefinition;
  readonly #clock: Clock;
  readonly #owner: Ownership;
  readonly #topics: CapturedTopic[];
  /** What writes at the moment, and the numbers that it gave to topics that were added since it was opened. */
  #writer: LogWriter | null = null;
  #joined = new Map<string, number>();
  /** Offsets of the last TABLE_BEGIN by topic: one that another follows tells nothing any more. */
  readonly #beganAt = new Map<string, number>();
  /** By topic. They are written with the next progress when they have changed, and not with every one. */
  #marks: Readonly<Record<string, TableMarks>>;
  #marksWritten = true;

  private constructor(engine: Engine, definition: PostgresDefinition, clock: Clock, owner: Ownership) {
    this.#engine = engine;
    this.#definition = definition;
    this.#clock = clock;
    this.#owner = owner;
    this.progress = readProgress(owner.progress);
    this.#marks = readKeptMarks(owner.beside);
    this.#topics = [
      ...definition.tables.map((table) => ({
        name: topicName(definition.name, table),
        collection: `${table.schema}.${table.table}`,
      })),
      { name: messageTopic(definition.name), collection: messageCollection },
      { name: rejectedTopic(definition.name), collection: null },
    ];
    this.messageTopic = this.#topics.length - 2;
    this.rejectedTopic = this.#topics.length - 1;
  }

  get topics(): readonly CapturedTopic[] {
    return this.#topics;
  }

  /** What a writer knows a topic by: its place, or what the writer that is open gave to one that was added since; -1 when it is none of ours. */
  numberOf(topic: string): number {
    const joined = this.#writer?.closed === false ? this.#joined.get(topic) : undefined;
    return joined ?? this.#topics.findIndex(({ name }) => name === topic);
  }

  /** The topic of a table that nobody has named, made where it is missing. Throws what the engine throws. */
  async addTable({ topic: name, schema, table }: Pick<TableShape, "topic" | "schema" | "table">): Promise<void> {
    if (this.numberOf(name) >= 0) return;
    await this.#make(name);
    const { highWatermark } = await this.#engine.offsets(name, 0);
    if (this.numberOf(name) >= 0) return;
    const topic = { name, collection: `${schema}.${table}` };
    this.#topics.push(topic);
    if (this.#writer?.closed === false) this.#joined.set(name, this.#writer.join(topic, highWatermark));
  }

  async #make(topic: string): Promise<void> {
    await this.#engine.createTopic(topic, { partitions: 1, batchBytesMax: topicBatchBytesMax }, { readOnly: true });
  }

  /** Takes the source over, and makes the topics that are missing. Throws what the engine throws. */
  static async own(
    engine: Engine,
    definition: PostgresDefinition,
    clock: Clock,
    progress: ProgressTable | undefined,
  ): Promise<CaptureLog> {
    const owner = await becomeOwner(engine, unitOfSource(definition.name), progress === undefined ? {} : { progress });
    const log = new CaptureLog(engine, definition, clock, owner);
    for (const name of [transactionTopic(definition.name), ...log.topics.map((topic) => topic.name)]) {
      await log.#make(name);
    }
    return log;
  }

  /** `onDurable` gets positions as they become durable; the progress is moved along. */
  async openWriter(
    sizes: WriterSizes,
    listener: { onDurable(position: number): void; onFailure(error: unknown): void },
  ): Promise<LogWriter> {
    const offsets = await Promise.all(this.topics.map(({ name }) => this.#engine.offsets(name, 0)));
    this.#joined = new Map();
    this.#writer = new LogWriter({
      ...sizes,
      clock: this.#clock,
      begin: () => this.#owner.begin(),
      transactionTopic: transactionTopic(this.#definition.name),
      topics: this.topics,
      ends: offsets.map(({ highWatermark }) => highWatermark),
      progress: (position) => this.#moved(position),
      onDurable: (position) => listener.onDurable(position),
      onFailure: (error) => listener.onFailure(error),
    });
    return this.#writer;
  }

  /** The progress alone, in a log transaction of its own. Throws `PRODUCER_FENCED` when somebody has taken over. */
  async writeProgress(progress: CaptureProgress): Promise<void> {
    this.progress = progress;
    const transaction = this.#owner.begin();
    await transaction.append(this.#batchOf(progress));
    await transaction.commit();
  }

  /** The server may be on another timeline by now, in whose past our position lies; nothing keeps the source any more. */
  followed(timeline: number): void {
    if (this.progress === null) return;
    const { refused: _, slotRestart, ...progress } = this.progress;
    const kept = slotRestart !== undefined && timeline === progress.timeline ? { slotRestart } : {};
    this.progress = { ...progress, ...kept, timeline };
  }

  /** A SNAPSHOT_BEGIN or SCHEMA was placed in the transaction topic. */
  shapePlaced(kind: "snapshot" | "schema", offset: number): void {
    if (this.progress === null) return;
    const shapesAt = kind === "snapshot" ? [offset] : [...this.progress.shapesAt, offset];
    this.progress = { ...this.progress, shapesAt };
    if (kind === "snapshot") this.setReading(null);
  }

  /** What the catalogue said of the table when its rows were right; null when nothing is known. */
  marksOf(topic: string): TableMarks | null {
    return this.#marks[topic] ?? null;
  }

  setMarks(marks: Readonly<Record<string, TableMarks>>): void {
    this.#marks = { ...this.#marks, ...marks };
    this.#marksWritten = false;
  }

  /** A TABLE_BEGIN was placed: what is known of the table begins there. */
  tableBegun(
    topic: string,
    { oid, read: { where }, marks }: Pick<CheckedTable, "oid" | "read" | "marks">,
    offset: number,
    reading: TableReading,
  ): void {
    if (this.progress === null) return;
    if (marks !== null) this.setMarks({ [topic]: marks });
    const { [topic]: _, ...others } = this.progress.wheres ?? {};
    const before = this.#beganAt.get(topic);
    this.#beganAt.set(topic, offset);
    this.progress = {
      ...this.progress,
      oids: { ...this.progress.oids, [topic]: oid },
      wheres: where === null ? others : { ...others, [topic]: where },
      shapesAt: [...this.progress.shapesAt.filter((one) => one !== before), offset],
    };
    this.setReading(topic, reading);
  }

  /** Without a table none is being read any more; without a reading it is done. Others' readings stay. */
  setReading(topic: string | null, reading?: TableReading): void {
    if (this.progress === null) return;
    const { reading: all = {}, ...progress } = this.progress;
    const others = topic === null ? [] : Object.entries(all).filter(([name]) => name !== topic);
    if (topic !== null && reading !== undefined) others.push([topic, reading]);
    this.progress = others.length === 0 ? progress : { ...progress, reading: Object.fromEntries(others) };
  }

  /** The tables as the log knows them. */
  async readShapes(): Promise<TableShape[]> {
    const shapes = new Map<string, TableShape>();
    for (const offset of this.progress?.shapesAt ?? []) {
      const event = await this.#readEvent(offset);
      const one = event.status === "SCHEMA" || event.status === "TABLE_BEGIN" ? [event.table] : [];
      const told = event.status === "SNAPSHOT_BEGIN" ? event.tables : one;
      if (event.status === "TABLE_BEGIN") this.#beganAt.set(event.table.topic, offset);
      for (const shape of told) shapes.set(`${shape.schema}.${shape.table}`, shape);
    }
    return [...shapes.values()];
  }

  /** Where what is known of each table was begun to be read, by topic: what came before is not of it. */
  async readBegun(): Promise<Map<string, Begun>> {
    const begun = new Map<string, Begun>();
    for (const offset of this.progress?.shapesAt ?? []) {
      const event = await this.#readEvent(offset);
      if (event.status !== "SNAPSHOT_BEGIN" && event.status !== "TABLE_BEGIN") continue;
      const { id, ts_ms: ms, frontier } = event;
      const tables = event.status === "SNAPSHOT_BEGIN" ? event.tables : [event.table];
      for (const { topic } of tables) begun.set(topic, { id, ms, offset: frontier[topic] ?? 0 });
    }
    return begun;
  }

  #moved(position: number): AppendRequest {
    if (this.progress === null) throw new MillraceError("SOURCE_FAILED", "there is no progress to move");
    this.progress = { ...this.progress, lsn: printLsn(position) };
    return this.#batchOf(this.progress);
  }

  #batchOf(progress: CaptureProgress): AppendRequest {
    if (this.#marksWritten) return this.#owner.progressBatch(progress);
    this.#marksWritten = true;
    // Those of tables that were taken out are of no use: they are read when they come back.
    const marks = this.topics.flatMap(({ name }) => (name in this.#marks ? [[name, this.#marks[name]]] : []));
    return this.#owner.progressBatch(progress, { version: 1, marks: Object.fromEntries(marks) });
  }

  async #readEvent(offset: number): Promise<TransactionEvent> {
    const topic = transactionTopic(this.#definition.name);
    const result = await this.#engine.read({
      topic,
      partition: 0,
      offset,
      isolation: "read_committed",
      bytesMax: 1,
    });
    const record = decodeCommitted(result, offset)[0];
    if (record?.offset !== offset || record.value === null) {
      throw new MillraceError("SOURCE_FAILED", `topic "${topic}" has no record at offset ${offset}`);
    }
    return JSON.parse(record.value.toString("utf8")) as TransactionEvent;
  }
}
