/**
 * For tests: the topics of a source, replayed as a reader would by the transaction topic's frontiers. It shares nothing with
 * the mirrors but the reading of an event.
 */
import type { StoredRecord } from "../records/record.ts";
import { readChange } from "../schema/envelope.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { Frontier, TransactionEvent } from "../schema/transaction-events.ts";

/** Columns by name with PostgreSQL's text; a column that is NULL or unknown is left out. */
export type ReplayedRow = Readonly<Record<string, string>>;

interface ReplayedTable {
  shape: TableShape;
  /** By the text of the key, or of the whole row where there is none; each with how often. */
  readonly rows: Map<string, { readonly row: ReplayedRow; readonly count: number }>;
  /** Of this transaction, for rows that get another key. */
  readonly removed: Map<string, ReplayedRow>;
  /** The next record to take. */
  next: number;
  /** It is being read anew under this id. */
  building: string | null;
}

export class Replay {
  readonly tables = new Map<string, ReplayedTable>();
  readonly #records: ReadonlyMap<string, readonly StoredRecord[]>;

  /** `records` are all of each topic, in order. */
  constructor(records: ReadonlyMap<string, readonly StoredRecord[]>) {
    this.#records = records;
  }

  /** Answers whether the tables that are not building stand at the end of a source transaction now. */
  step(event: TransactionEvent): boolean {
    switch (event.status) {
      case "SNAPSHOT_BEGIN":
        this.tables.clear();
        for (const shape of event.tables) this.#begin(shape, event.frontier, event.id);
        return false;
      case "TABLE_BEGIN":
        this.#begin(event.table, event.frontier, event.id);
        return false;
      case "SNAPSHOT_CHUNK":
      case "TABLE_CHUNK":
        this.#take(event.frontier);
        return false;
      case "SNAPSHOT_END":
      case "TABLE_END":
        this.#take(event.frontier);
        for (const table of this.tables.values()) if (table.building === event.id) table.building = null;
        return true;
      case "SCHEMA": {
        this.#take(event.frontier);
        const table = this.tables.get(event.table.topic);
        if (table !== undefined) table.shape = event.table;
        return false;
      }
      case "END":
        this.#take(event.frontier);
        for (const { removed } of this.tables.values()) removed.clear();
        return true;
      default:
        return false;
    }
  }

  /** Rows as text, in order; a row that is there twice is there twice. Null while the table is read anew. */
  rowsOf(topic: string): string[] | null {
    const table = this.tables.get(topic);
    if (table === undefined || table.building !== null) return null;
    return [...table.rows.values()]
      .flatMap(({ row, count }) => {
        const text = rowText(row);
        return new Array<string>(Math.abs(count)).fill(count < 0 ? `removed too often: ${text}` : text);
      })
      .sort();
  }

  #begin(shape: TableShape, frontier: Frontier, id: string): void {
    const next = frontier[shape.topic] ?? 0;
    this.tables.set(shape.topic, { shape, rows: new Map(), removed: new Map(), next, building: id });
  }

  #take(frontier: Frontier): void {
    for (const [topic, to] of Object.entries(frontier)) {
      const table = this.tables.get(topic);
      if (table === undefined) continue;
      for (const record of this.#records.get(topic) ?? []) {
        if (record.offset < table.next || record.offset >= to) continue;
        if (record.value !== null) apply(table, record);
      }
      table.next = Math.max(table.next, to);
    }
  }
}

/** The same for every order of columns, whichever of the NULL ones are known. */
export function rowText(row: Readonly<Record<string, string | null>>): string {
  return JSON.stringify(
    Object.entries(row)
      .filter(([, value]) => value !== null)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

function apply(table: ReplayedTable, record: StoredRecord): void {
  const { shape, rows, removed } = table;
  const change = readChange(record.value as Buffer, record.key, record.headers, shape);
  if (change.op === "truncate") {
    rows.clear();
    return;
  }
  if (shape.key === null) {
    if (change.before !== null) add(rows, named(shape, change.before, {}), -1);
    if (change.op === "upsert") add(rows, named(shape, change.row, {}), 1);
    return;
  }
  const keyOf = (cells: readonly (string | null | undefined)[]) =>
    JSON.stringify(shape.columns.flatMap(({ name }, i) => (shape.key?.includes(name) ? [cells[i]] : [])));
  const key = keyOf(change.row);
  const known = rows.get(key)?.row;
  if (change.op === "delete") {
    if (known !== undefined) removed.set(key, known);
    rows.delete(key);
    return;
  }
  const before = change.oldKey === null ? known : removed.get(keyOf(change.oldKey));
  rows.set(key, { row: named(shape, change.row, before ?? {}), count: 1 });
}

function add(rows: ReplayedTable["rows"], row: ReplayedRow, more: number): void {
  const key = rowText(row);
  const count = (rows.get(key)?.count ?? 0) + more;
  if (count === 0) rows.delete(key);
  else rows.set(key, { row, count });
}

/** Cells that the event does not tell are those of `before`. */
function named(shape: TableShape, cells: readonly (string | null | undefined)[], before: ReplayedRow): ReplayedRow {
  const row: Record<string, string> = {};
  shape.columns.forEach(({ name }, i) => {
    const cell = cells[i] === undefined ? before[name] : cells[i];
    if (cell !== null && cell !== undefined) row[name] = cell;
  });
  return row;
}
