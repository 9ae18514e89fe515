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
import { rejectedTopic, topicName, transactionTopic } from "./names.ts";
import type { CapturedTopic } from "./pending-group.ts";
import { type CaptureProgress, readProgress } from "./progress.ts";

export interface WriterSizes {
  readonly batchBytes: number;
  readonly partBytes: number;
}

export class CaptureLog {
  readonly topics: readonly CapturedTopic[];
  readonly rejectedTopic: number;
  progress: CaptureProgress | null;
  readonly #engine: Engine;
  readonly #definition: PostgresDefinition;
  readonly #clock: Clock;
  readonly #owner: Ownership;

  private constructor(engine: Engine, definition: PostgresDefinition, clock: Clock, owner: Ownership) {
    this.#engine = engine;
    this.#definition = definition;
    this.#clock = clock;
    this.#owner = owner;
    this.progress = readProgress(owner.progress);
    this.topics = [
      ...definition.tables.map((table) => ({
        name: topicName(definition.name, table),
        collection: `${table.schema}.${table.table}`,
      })),
      { name: rejectedTopic(definition.name), collection: null },
    ];
    this.rejectedTopic = this.topics.length - 1;
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
      await engine.createTopic(name, { partitions: 1, batchBytesMax: topicBatchBytesMax }, { readOnly: true });
    }
    return log;
  }

  /** `onDurable` gets positions as they become durable; the progress is moved along. */
  async openWriter(
    sizes: WriterSizes,
    listener: { onDurable(position: number): void; onFailure(error: unknown): void },
  ): Promise<LogWriter> {
    const offsets = await Promise.all(this.topics.map(({ name }) => this.#engine.offsets(name, 0)));
    return new LogWriter({
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
  }

  /** The progress alone, in a log transaction of its own. Throws `PRODUCER_FENCED` when somebody has taken over. */
  async writeProgress(progress: CaptureProgress): Promise<void> {
    this.progress = progress;
    const transaction = this.#owner.begin();
    await transaction.append(this.#owner.progressBatch(progress));
    await transaction.commit();
  }

  /** A SNAPSHOT_BEGIN or SCHEMA was placed in the transaction topic. */
  shapePlaced(kind: "snapshot" | "schema", offset: number): void {
    if (this.progress === null) return;
    const shapesAt = kind === "snapshot" ? [offset] : [...this.progress.shapesAt, offset];
    this.progress = { ...this.progress, shapesAt };
  }

  /** The tables as the log knows them. */
  async readShapes(): Promise<TableShape[]> {
    const shapes = new Map<string, TableShape>();
    for (const offset of this.progress?.shapesAt ?? []) {
      const event = await this.#readEvent(offset);
      const told = event.status === "SNAPSHOT_BEGIN" ? event.tables : event.status === "SCHEMA" ? [event.table] : [];
      for (const shape of told) shapes.set(`${shape.schema}.${shape.table}`, shape);
    }
    return [...shapes.values()];
  }

  #moved(position: number): AppendRequest {
    if (this.progress === null) throw new MillraceError("SOURCE_FAILED", "there is no progress to move");
    this.progress = { ...this.progress, lsn: printLsn(position) };
    return this.#owner.progressBatch(this.progress);
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
