/**
 * For tests and benchmarks of view groups: a source that writes rows and transaction events into the log as capture
 * does, by hand. Rows are given as PostgreSQL's text, in the order of the table's columns.
 */
import type { Engine, Transaction, TransactionalProducer } from "../engine/engine.ts";
import { BatchBuilder } from "../records/batch-builder.ts";
import type { Header } from "../records/record.ts";
import { newKeyHeader, oldKeyHeader, unchangedHeader } from "../schema/envelope.ts";
import type { ColumnShape, TableShape } from "../schema/table-shape.ts";
import type { Frontier, TransactionEvent } from "../schema/transaction-events.ts";
import { jsonOfText, valueForm } from "../schema/value-form.ts";

/** Undefined: the source did not send the value, because it did not change. */
export type FixtureCells = readonly (string | null | undefined)[];

export type FixtureChange =
  | { readonly table: TableShape; readonly insert: FixtureCells }
  | { readonly table: TableShape; readonly update: FixtureCells; readonly was?: FixtureCells }
  | { readonly table: TableShape; readonly delete: FixtureCells }
  | { readonly table: TableShape; readonly truncate: true };

export interface TableOptions {
  readonly key?: readonly string[] | null;
  readonly appendOnly?: boolean;
}

/** `columns` are `name type`, with types as `format_type` prints them. */
export function tableShape(
  source: string,
  table: string,
  columns: readonly string[],
  { key = ["id"], appendOnly = false }: TableOptions = {},
): TableShape {
  return {
    source,
    schema: "public",
    table,
    topic: `${source}.public.${table}`,
    columns: columns.map((text): ColumnShape => {
      const space = text.indexOf(" ");
      const [name, type] = [text.slice(0, space), text.slice(space + 1)];
      return { name, sourceType: type, storeType: type, nullable: !key?.includes(name), carriedAsText: false };
    }),
    key,
    appendOnly,
  };
}

interface TopicRecord {
  readonly key: string | null;
  readonly value: string | null;
  readonly headers?: readonly Header[];
}

const recordsPerBatch = 500;
/** Of the transaction topic's LSNs: each event moves on by this. */
const lsnStep = 0x100;

export class SourceFixture {
  readonly name: string;
  readonly #engine: Engine;
  readonly #producer: TransactionalProducer;
  tables: readonly TableShape[];
  /** When transactions are committed from now on. */
  atMs = 0;
  #lsn = 0x1000000;
  #number = 0;

  private constructor(engine: Engine, name: string, tables: readonly TableShape[], producer: TransactionalProducer) {
    this.#engine = engine;
    this.name = name;
    this.tables = tables;
    this.#producer = producer;
  }

  static async open(engine: Engine, name: string, tables: readonly TableShape[]): Promise<SourceFixture> {
    for (const topic of [`${name}.transaction`, ...tables.map((table) => table.topic)]) {
      await engine.createTopic(topic, {}, { readOnly: true });
    }
    return new SourceFixture(engine, name, tables, await engine.initProducer(`test/${name}`));
  }

  /** The position after the last transaction, as PostgreSQL prints it. */
  get lsn(): string {
    return `0/${this.#lsn.toString(16).toUpperCase()}`;
  }

  /** A whole snapshot: its begin, the rows in chunks, its end. */
  async snapshot(rows: readonly FixtureChange[], chunkRows = 1_000): Promise<void> {
    const id = await this.beginSnapshot();
    for (let i = 0; i < rows.length; i += chunkRows) await this.chunk(id, rows.slice(i, i + chunkRows), rows.length);
    await this.endSnapshot(id);
  }

  async beginSnapshot(): Promise<string> {
    const id = `snapshot-${++this.#number}`;
    await this.#write(
      [],
      (frontier) => [{ status: "SNAPSHOT_BEGIN", id, ts_ms: 0, tables: this.tables, frontier }],
      true,
    );
    return id;
  }

  async chunk(id: string, rows: readonly FixtureChange[], rowsEstimated = rows.length): Promise<void> {
    const event = (frontier: Frontier): TransactionEvent[] => [
      { status: "SNAPSHOT_CHUNK", id, ts_ms: this.atMs, frontier, rows: rows.length, rowsEstimated },
    ];
    await this.#write(rows, event, true, "r");
  }

  async endSnapshot(id: string): Promise<void> {
    this.#lsn += lsnStep;
    await this.#write([], (frontier) => [{ status: "SNAPSHOT_END", id, ts_ms: 0, frontier, lsn: this.lsn }], true);
  }

  /** One transaction of the source. */
  async commit(...changes: readonly FixtureChange[]): Promise<string> {
    await this.commitTogether([changes]);
    return this.lsn;
  }

  /** Several transactions of the source that ride one transaction of the log. */
  async commitTogether(transactions: readonly (readonly FixtureChange[])[]): Promise<void> {
    const log = this.#producer.begin();
    const events: TransactionEvent[] = [];
    for (const changes of transactions) {
      this.#lsn += lsnStep;
      const id = `${++this.#number}:${this.#lsn}`;
      const frontier = await this.#rows(log, changes, "c", id);
      events.push({ status: "BEGIN", id, ts_ms: this.atMs }, this.#end(id, changes.length, frontier));
    }
    await this.#append(log, `${this.name}.transaction`, events.map(eventRecord));
    await log.commit();
  }

  async heartbeat(): Promise<string> {
    this.#lsn += lsnStep;
    await this.#write([], () => [{ status: "HEARTBEAT", id: `h${++this.#number}`, ts_ms: 0, lsn: this.lsn }]);
    return this.lsn;
  }

  /** Columns were added to the table. */
  async changeShape(table: TableShape): Promise<void> {
    this.tables = this.tables.map((one) => (one.topic === table.topic ? table : one));
    const event = (frontier: Frontier): TransactionEvent[] => [
      { status: "SCHEMA", id: `s${++this.#number}`, ts_ms: 0, table, frontier },
    ];
    await this.#write([], event, true);
  }

  #end(id: string, count: number, frontier: Frontier): TransactionEvent {
    return { status: "END", id, ts_ms: this.atMs, event_count: count, data_collections: [], frontier, lsn: this.lsn };
  }

  async #write(
    rows: readonly FixtureChange[],
    events: (frontier: Frontier) => TransactionEvent[],
    allTopics = false,
    op: "c" | "r" = "c",
  ): Promise<void> {
    const log = this.#producer.begin();
    const touched = await this.#rows(log, rows, op, "");
    const all: Record<string, number> = {};
    if (allTopics)
      for (const { topic } of this.tables) all[topic] = (await this.#engine.offsets(topic, 0)).highWatermark;
    await this.#append(log, `${this.name}.transaction`, events({ ...all, ...touched }).map(eventRecord));
    await log.commit();
  }

  /** One table is read anew, in the shape that is given; `chunk` with this id writes its rows. */
  async beginTable(table: TableShape): Promise<string> {
    this.tables = [...this.tables.filter((one) => one.topic !== table.topic), table];
    await this.#engine.createTopic(table.topic, {}, { readOnly: true });
    const id = `table-${++this.#number}`;
    const event = (frontier: Frontier): TransactionEvent[] => [
      { status: "TABLE_BEGIN", id, ts_ms: 0, table, reason: "it is new", frontier },
    ];
    await this.#write([], event, true);
    return id;
  }

  async tableChunk(id: string, rows: readonly FixtureChange[]): Promise<void> {
    const event = (frontier: Frontier): TransactionEvent[] => [
      { status: "TABLE_CHUNK", id, ts_ms: 0, frontier, rows: rows.length, rowsEstimated: rows.length },
    ];
    await this.#write(rows, event, true, "r");
  }

  async endTable(id: string): Promise<void> {
    await this.#write([], (frontier) => [{ status: "TABLE_END", id, ts_ms: 0, frontier }], true);
    await this.heartbeat();
  }

  async #rows(log: Transaction, changes: readonly FixtureChange[], op: "c" | "r", id: string): Promise<Frontier> {
    const byTopic = new Map<string, TopicRecord[]>();
    changes.forEach((change, i) => {
      const records = byTopic.get(change.table.topic) ?? [];
      records.push(...changeRecords(change, op, id, i + 1));
      byTopic.set(change.table.topic, records);
    });
    const frontier: Record<string, number> = {};
    for (const [topic, records] of byTopic) frontier[topic] = await this.#append(log, topic, records);
    return frontier;
  }

  async #append(log: Transaction, topic: string, records: readonly TopicRecord[]): Promise<number> {
    let next = 0;
    for (let i = 0; i < records.length; i += recordsPerBatch) {
      const batch = new BatchBuilder();
      for (const { key, value, headers } of records.slice(i, i + recordsPerBatch)) {
        batch.add(key === null ? null : Buffer.from(key), value === null ? null : Buffer.from(value), 1, headers);
      }
      next = (await log.append({ topic, partition: 0, batch: batch.finish() })).lastOffset + 1;
    }
    return next;
  }
}

function eventRecord(event: TransactionEvent): TopicRecord {
  return { key: JSON.stringify({ id: event.id }), value: JSON.stringify(event) };
}

function changeRecords(change: FixtureChange, op: "c" | "r", id: string, order: number): TopicRecord[] {
  const { table } = change;
  const record = (
    debeziumOp: string,
    before: FixtureCells | null,
    after: FixtureCells | null,
    headers: Header[] = [],
  ) => {
    const tail = `"op":"${debeziumOp}","transaction":{"id":${JSON.stringify(id)},"total_order":${order}}`;
    const value = `{"before":${rowJson(table, before)},"after":${rowJson(table, after)},${tail}}`;
    const row = after ?? before;
    return { key: row && table.key ? keyJson(table, row) : null, value, headers };
  };
  if ("truncate" in change) return [record("t", null, null)];
  if ("insert" in change) return [record(op, null, change.insert)];
  const tombstone = (row: FixtureCells): TopicRecord => ({ key: keyJson(table, row), value: null });
  if ("delete" in change) {
    const gone = record("d", change.delete, null);
    return table.key === null ? [gone] : [gone, tombstone(change.delete)];
  }
  const { update, was } = change;
  const unchanged = table.columns.flatMap((column, i) => (update[i] === undefined ? [column.name] : []));
  const headers: Header[] = unchanged.length > 0 ? [header(unchangedHeader, JSON.stringify(unchanged))] : [];
  if (!was || !table.key || keyJson(table, was) === keyJson(table, update)) {
    return [record("u", was ?? null, update, headers)];
  }
  return [
    record("d", was, null, [header(newKeyHeader, keyJson(table, update))]),
    tombstone(was),
    record("c", null, update, [...headers, header(oldKeyHeader, keyJson(table, was))]),
  ];
}

function header(key: string, value: string): Header {
  return { key, value: Buffer.from(value) };
}

function rowJson(table: TableShape, row: FixtureCells | null): string {
  if (row === null) return "null";
  const fields = table.columns.flatMap((column, i) => {
    const cell = row[i];
    if (cell === undefined) return [];
    return [`${JSON.stringify(column.name)}:${cell === null ? "null" : jsonOfText(valueForm(column.storeType), cell)}`];
  });
  return `{${fields.join(",")}}`;
}

function keyJson(table: TableShape, row: FixtureCells): string {
  const fields = (table.key ?? []).map((name) => {
    const i = table.columns.findIndex((column) => column.name === name);
    const form = valueForm(table.columns[i]?.storeType ?? "text");
    return `${JSON.stringify(name)}:${jsonOfText(form, row[i] ?? "")}`;
  });
  return `{${fields.join(",")}}`;
}
