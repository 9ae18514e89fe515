/**
 * What a log must hold of a source's history: the topics of a source, read back, against the source's own account of it
 * (rows of an audit trigger). It throws `CaptureViolation` at the first thing that is not as promised:
 *
 * - each transaction of the transaction topic has exactly the rows that the source recorded for it, in that order, each
 *   row once, its events numbered without a gap and all of them between the frontiers before and after it;
 * - transactions stand in commit order, and so do the changes of each key;
 * - a transaction of the source that is not in the log lies before the snapshot, and is in the snapshot;
 * - there is one whole snapshot, and nothing past the last frontier;
 * - the replayed state is the source's, and balanced at every frontier where it must be.
 */
import { createHash } from "node:crypto";
import type { StoredRecord } from "../../src/records/record.ts";
import type { Frontier, TransactionEvent } from "../../src/schema/transaction-events.ts";

export class CaptureViolation extends Error {}

/** A captured table, and how its rows are written down to be compared. */
export interface JudgedTable {
  readonly name: string;
  readonly topic: string;
  readonly key: readonly string[];
  /** The others, in the order in which the audit writes them down. */
  readonly columns: readonly string[];
  /** Columns of large values: compared by their MD5. */
  readonly hashed?: readonly string[];
}

/** What the source's trigger wrote about one change. `key` and `value` are printed by `printParts`. */
export interface AuditRow {
  readonly seq: number;
  /** Where the source's own log ended when the change was made; the commit lies behind it. */
  readonly lsn: string;
  readonly table: string;
  readonly op: "c" | "u" | "d" | "t";
  /** Empty for a truncate. */
  readonly key: string;
  /** Empty for a delete and a truncate. */
  readonly value: string;
}

export interface Audit {
  /** By transaction, each in the order of `seq`. */
  rowsOf(xids: readonly number[]): Promise<ReadonlyMap<number, readonly AuditRow[]>>;
  /** Rows of all other transactions, in the order of `seq`. */
  others(xids: ReadonlySet<number>): AsyncIterable<AuditRow>;
  /** Places of transactions in the order of commits, for those that know theirs. */
  readonly places: ReadonlyMap<number, number>;
}

export interface JudgedLog {
  readonly transactions: AsyncIterable<StoredRecord>;
  readonly topic: (name: string) => AsyncIterable<StoredRecord>;
}

export interface Verdict {
  readonly transactions: number;
  readonly events: number;
  readonly snapshotRows: number;
  /** SNAPSHOT_BEGIN without an END: snapshots that were broken off. */
  readonly brokenSnapshots: number;
  readonly largestTransaction: number;
  /** By table and key, as `printParts` prints them. */
  readonly state: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

export type Row = Readonly<Record<string, unknown>>;

/** Called with the replayed rows of tables at every frontier; throws what is wrong with them. */
export type AtFrontier = (rows: (table: string) => ReadonlyMap<string, Row>, touched: ReadonlySet<string>) => void;

/** How the audit's SQL prints, too: parts joined by `|`, NULL as `-`. */
export function printParts(row: Row, columns: readonly string[]): string {
  return columns.map((column) => (row[column] === null ? "-" : String(row[column]))).join("|");
}

/** Transactions whose audit rows are fetched at once. */
const batchTransactions = 200;
const batchEvents = 50_000;

export async function judgeCapture(
  tables: readonly JudgedTable[],
  log: JudgedLog,
  audit: Audit,
  atFrontier: AtFrontier = () => {},
): Promise<Verdict> {
  return new Judge(tables, log, audit, atFrontier).run();
}

type End = Extract<TransactionEvent, { status: "END" }>;

class Judge {
  readonly #tables: readonly Replayed[];
  readonly #byName: ReadonlyMap<string, Replayed>;
  readonly #log: JudgedLog;
  readonly #audit: Audit;
  readonly #atFrontier: AtFrontier;
  readonly #seen = new Set<number>();
  readonly #ids = new Set<string>();
  #waiting: End[] = [];
  #waitingEvents = 0;
  #lastLsn = 0n;
  #snapshotLsn = 0n;
  #lastPlace = -1;
  #events = 0;
  #largest = 0;

  constructor(tables: readonly JudgedTable[], log: JudgedLog, audit: Audit, atFrontier: AtFrontier) {
    this.#tables = tables.map((table) => new Replayed(table, new Cursor(log.topic(table.topic))));
    this.#byName = new Map(this.#tables.map((one) => [one.table.name, one]));
    this.#log = log;
    this.#audit = audit;
    this.#atFrontier = atFrontier;
  }

  async run(): Promise<Verdict> {
    let begun: { id: string; frontier: Frontier } | null = null;
    let whole = 0;
    let snapshots = 0;
    let open: string | null = null;
    for await (const { value } of this.#log.transactions) {
      const event = JSON.parse(String(value)) as TransactionEvent;
      if (event.status === "SNAPSHOT_BEGIN") {
        snapshots++;
        if (whole > 0) throw new CaptureViolation("a second snapshot was taken");
        begun = event;
        for (const table of this.#tables) await table.beginSnapshot(frontierOf(event.frontier, table));
      } else if (event.status === "SNAPSHOT_END") {
        if (event.id !== begun?.id) throw new CaptureViolation(`snapshot ${event.id} ends and did not begin`);
        whole++;
        this.#snapshotLsn = lsnOf(event.lsn);
        for (const table of this.#tables) await table.readSnapshot(frontierOf(event.frontier, table));
      } else if (event.status === "BEGIN") {
        if (whole === 0) throw new CaptureViolation(`transaction ${event.id} stands before the end of the snapshot`);
        if (open !== null) throw new CaptureViolation(`transaction ${open} has no END`);
        open = event.id;
      } else if (event.status === "END") {
        if (event.id !== open) throw new CaptureViolation(`END of ${event.id} follows BEGIN of ${open}`);
        open = null;
        this.#inOrder(event.lsn, event.id);
        await this.#ended(event);
      } else if (event.status === "HEARTBEAT") this.#inOrder(event.lsn, event.id, true);
      else if (event.status !== "SNAPSHOT_CHUNK") throw new CaptureViolation(`${event.status} without a reason for it`);
    }
    if (open !== null) throw new CaptureViolation(`transaction ${open} has no END`);
    if (whole === 0) throw new CaptureViolation("there is no whole snapshot");
    await this.#judgeWaiting();
    for (const table of this.#tables) await table.expectEnd();
    await this.#judgeOthers();
    return {
      transactions: this.#ids.size,
      events: this.#events,
      snapshotRows: this.#tables.reduce((sum, { snapshot }) => sum + snapshot.size, 0),
      brokenSnapshots: snapshots - whole,
      largestTransaction: this.#largest,
      state: new Map(this.#tables.map((one) => [one.table.name, one.printed()])),
    };
  }

  /** Positions grow; that of a heartbeat may be the one before. */
  #inOrder(lsn: string, id: string, same = false): void {
    const position = lsnOf(lsn);
    if (position < this.#lastLsn || (position === this.#lastLsn && !same)) {
      throw new CaptureViolation(`${id} at ${lsn} stands behind what is later`);
    }
    this.#lastLsn = position;
  }

  async #ended(end: End): Promise<void> {
    if (this.#ids.has(end.id)) throw new CaptureViolation(`transaction ${end.id} is there twice`);
    this.#ids.add(end.id);
    this.#waiting.push(end);
    this.#waitingEvents += end.event_count;
    if (this.#waiting.length >= batchTransactions || this.#waitingEvents >= batchEvents) await this.#judgeWaiting();
  }

  async #judgeWaiting(): Promise<void> {
    const ends = this.#waiting;
    this.#waiting = [];
    this.#waitingEvents = 0;
    const audited = await this.#audit.rowsOf(ends.map(({ id }) => xidOf(id)));
    for (const end of ends) await this.#judge(end, audited.get(xidOf(end.id)) ?? []);
  }

  async #judge(end: End, audited: readonly AuditRow[]): Promise<void> {
    const xid = xidOf(end.id);
    this.#seen.add(xid);
    const place = this.#audit.places.get(xid);
    if (place !== undefined) {
      if (place < this.#lastPlace) throw new CaptureViolation(`transaction ${end.id} stands behind a later commit`);
      this.#lastPlace = place;
    }
    const events: Told[] = [];
    for (const table of this.#tables) {
      const to = end.frontier[table.table.topic];
      if (to !== undefined) for (const told of await table.take(to, end.id)) events.push(told);
    }
    events.sort((a, b) => a.order - b.order);
    events.forEach(({ order }, i) => {
      if (order !== i + 1) throw new CaptureViolation(`transaction ${end.id}: event ${i + 1} is numbered ${order}`);
    });
    if (events.length !== end.event_count) {
      throw new CaptureViolation(`transaction ${end.id} has ${events.length} events of ${end.event_count}`);
    }
    const touched = new Set<string>();
    for (let i = 0; i < Math.max(events.length, audited.length); i++) {
      const [event, row] = [events[i], audited[i]];
      const found = event === undefined ? "nothing" : this.#apply(event);
      const wanted = row === undefined ? "nothing" : `${row.table} ${row.op} ${row.key} ${row.value}`.trimEnd();
      if (found !== wanted) {
        throw new CaptureViolation(`transaction ${end.id}, change ${i + 1}: ${found} is told, ${wanted} was done`);
      }
      if (row === undefined) continue;
      this.#byName.get(row.table)?.follow(row);
      touched.add(row.table);
    }
    this.#events += events.length;
    this.#largest = Math.max(this.#largest, events.length);
    this.#atFrontier((name) => this.#byName.get(name)?.rows ?? new Map(), touched);
  }

  /** Answers how the audit would write it down. */
  #apply({ table, change }: Told): string {
    return `${table.table.name} ${change.op} ${table.apply(change)}`.trimEnd();
  }

  /** What is not in the stream must be in the snapshot. */
  async #judgeOthers(): Promise<void> {
    const before = new Map(this.#tables.map((one) => [one.table.name, new Map<string, string>()]));
    for await (const row of this.#audit.others(this.#seen)) {
      const table = this.#byName.get(row.table);
      const state = before.get(row.table);
      if (table === undefined || state === undefined) throw new CaptureViolation(`nobody captures ${row.table}`);
      if (lsnOf(row.lsn) >= this.#snapshotLsn || table.precedes(row)) {
        throw new CaptureViolation(`lost: ${row.table} ${row.op} ${row.key} ${row.value}, done at ${row.lsn}`);
      }
      if (row.op === "t") state.clear();
      else if (row.op === "d") state.delete(row.key);
      else state.set(row.key, row.value);
    }
    for (const { table, snapshot, emptied } of this.#tables) {
      if (emptied) continue;
      const wanted = before.get(table.name) ?? new Map();
      for (const [key, value] of wanted) {
        if (snapshot.get(key) !== value) {
          throw new CaptureViolation(`lost: ${table.name} ${key} ${value}, and the snapshot has ${snapshot.get(key)}`);
        }
      }
      for (const key of snapshot.keys()) {
        if (!wanted.has(key)) throw new CaptureViolation(`the snapshot has ${table.name} ${key}, which nobody wrote`);
      }
    }
  }
}

interface Change {
  readonly op: "c" | "u" | "d" | "t" | "r";
  readonly before: Row | null;
  readonly after: Row | null;
  readonly transaction: { readonly id: string; readonly total_order: number } | null;
  readonly unchanged: readonly string[];
  /** Printed. */
  readonly oldKey: string | null;
}

interface Told {
  readonly table: Replayed;
  readonly order: number;
  readonly change: Change;
}

/** A table as its topic tells it, up to the frontier that is judged. */
class Replayed {
  readonly table: JudgedTable;
  rows = new Map<string, Row>();
  /** Printed. */
  readonly snapshot = new Map<string, string>();
  readonly #cursor: Cursor;
  /** `seq` of the newest and the oldest change of each key, of the table, and of the newest truncate. */
  readonly #newest = new Map<string, number>();
  readonly #oldest = new Map<string, number>();
  #newestOfAll = -1;
  #truncated = -1;
  #oldestTruncate = Number.POSITIVE_INFINITY;
  #removed: { readonly key: string; readonly row: Row } | null = null;
  /** Changes of rows that were not there, in a table that may have been emptied before the snapshot read it. */
  #unknown = 0;

  constructor(table: JudgedTable, cursor: Cursor) {
    this.table = table;
    this.#cursor = cursor;
  }

  /** What lies below is of a snapshot that was broken off. */
  async beginSnapshot(from: number): Promise<void> {
    while ((await this.#cursor.below(from)) !== undefined);
  }

  async readSnapshot(to: number): Promise<void> {
    for (;;) {
      const record = await this.#cursor.below(to);
      if (record === undefined) return;
      const { op, after } = this.#read(record);
      if (op !== "r" || after === null) throw new CaptureViolation(`${this.table.name}: op ${op} in the snapshot`);
      const key = printParts(after, this.table.key);
      if (this.rows.has(key)) throw new CaptureViolation(`the snapshot has ${this.table.name} ${key} twice`);
      this.rows.set(key, after);
      this.snapshot.set(key, printParts(after, this.table.columns));
    }
  }

  /** The events below the frontier, all of this transaction; tombstones are looked at and left out. */
  async take(to: number, id: string): Promise<Told[]> {
    const events: Told[] = [];
    for (;;) {
      const record = await this.#cursor.below(to);
      if (record === undefined) return events;
      const change = this.#read(record);
      if (change.transaction?.id !== id) {
        throw new CaptureViolation(
          `${this.table.topic} at ${record.offset}: an event of ${change.transaction?.id} is below the frontier of ${id}`,
        );
      }
      const order = change.transaction.total_order;
      if (order <= (events.at(-1)?.order ?? 0)) {
        throw new CaptureViolation(`${this.table.topic} at ${record.offset}: event ${order} stands behind a later one`);
      }
      events.push({ table: this, order, change });
      if (change.op !== "d") continue;
      const tombstone = await this.#cursor.below(to);
      if (tombstone?.value !== null || String(tombstone.key) !== String(record.key)) {
        throw new CaptureViolation(`${this.table.topic} at ${record.offset}: a delete without its tombstone`);
      }
    }
  }

  /**
   * A truncate that comes between a snapshot and the reading of its table leaves nothing there to be read: to
   * PostgreSQL it is no change of rows. What the stream tells until that truncate is of rows that nobody has.
   */
  get emptied(): boolean {
    return this.snapshot.size === 0 && this.#truncated >= 0;
  }

  get #mayBeEmptied(): boolean {
    return this.snapshot.size === 0 && this.#truncated < 0;
  }

  async expectEnd(): Promise<void> {
    if (this.#unknown > 0 && !this.emptied) {
      throw new CaptureViolation(`${this.table.name}: ${this.#unknown} changes of rows that were not there`);
    }
    const record = await this.#cursor.below(Number.POSITIVE_INFINITY);
    if (record) throw new CaptureViolation(`${this.table.topic} at ${record.offset}: past the last frontier`);
  }

  /** Answers key and value, printed. */
  apply({ op, before, after, unchanged, oldKey }: Change): string {
    const { key: keyColumns, columns, name } = this.table;
    if (op === "t") {
      this.rows.clear();
      return "";
    }
    if (op === "d") {
      const key = printParts(before ?? {}, keyColumns);
      const row = this.rows.get(key);
      if (row !== undefined) this.#removed = { key, row };
      else if (this.#mayBeEmptied) this.#unknown++;
      else throw new CaptureViolation(`${name} ${key} is deleted and was not there`);
      this.rows.delete(key);
      return key;
    }
    const row = after ?? {};
    const key = printParts(row, keyColumns);
    const held = this.rows.get(key);
    if ((held !== undefined) !== (op === "u")) {
      if (op !== "u" || !this.#mayBeEmptied) {
        throw new CaptureViolation(`${name} ${key}: op ${op} of a row that is ${held ? "" : "not "}there`);
      }
      this.#unknown++;
    }
    if (op === "u" && before !== null && held !== undefined) {
      const [told, kept] = [printParts(before, columns), printParts(held, columns)];
      if (told !== kept) throw new CaptureViolation(`${name} ${key}: before is ${told}, and the row was ${kept}`);
    }
    const from = oldKey === null ? held : this.#removed?.key === oldKey ? this.#removed.row : undefined;
    const now: Record<string, unknown> = { ...row };
    for (const column of unchanged) now[column] = from?.[column];
    this.rows.set(key, now);
    return `${key} ${printParts(now, columns)}`;
  }

  /** Changes of a key are told in the order in which they were done. */
  follow({ seq, key, op }: AuditRow): void {
    const before = op === "t" ? this.#newestOfAll : Math.max(this.#newest.get(key) ?? -1, this.#truncated);
    if (seq <= before) throw new CaptureViolation(`${this.table.name} ${key}: a change stands behind a later one`);
    this.#newestOfAll = Math.max(this.#newestOfAll, seq);
    if (op === "t") {
      this.#truncated = seq;
      this.#oldestTruncate = Math.min(this.#oldestTruncate, seq);
      return;
    }
    this.#newest.set(key, seq);
    if (!this.#oldest.has(key)) this.#oldest.set(key, seq);
  }

  /** Whether something that the stream told was done before this. */
  precedes({ seq, key, op }: AuditRow): boolean {
    if (this.#oldestTruncate < seq) return true;
    if (op === "t") return [...this.#oldest.values()].some((oldest) => oldest < seq);
    return (this.#oldest.get(key) ?? Number.POSITIVE_INFINITY) < seq;
  }

  printed(): Map<string, string> {
    return new Map(Array.from(this.rows, ([key, row]) => [key, printParts(row, this.table.columns)]));
  }

  #read({ offset, value, headers }: StoredRecord): Change {
    if (value === null) throw new CaptureViolation(`${this.table.topic} at ${offset}: a tombstone without a delete`);
    const { op, before, after, transaction } = JSON.parse(String(value)) as Change;
    const header = (name: string) => headers.find(({ key }) => key === name)?.value ?? null;
    const [unchanged, oldKey] = [header("millrace.unchanged"), header("__debezium.oldkey")];
    return {
      op,
      before: this.#hash(before),
      after: this.#hash(after),
      transaction,
      unchanged: unchanged === null ? [] : JSON.parse(String(unchanged)),
      oldKey: oldKey === null ? null : printParts(JSON.parse(String(oldKey)), this.table.key),
    };
  }

  #hash(row: Row | null): Row | null {
    if (row === null || this.table.hashed === undefined) return row;
    const hashed: Record<string, unknown> = { ...row };
    for (const column of this.table.hashed) {
      const value = row[column];
      if (typeof value === "string") hashed[column] = createHash("md5").update(value).digest("hex");
    }
    return hashed;
  }
}

/** Records of a topic, in order, up to where it is asked. */
class Cursor {
  readonly #records: AsyncIterator<StoredRecord>;
  #next: StoredRecord | null = null;
  #offset = -1;

  constructor(records: AsyncIterable<StoredRecord>) {
    this.#records = records[Symbol.asyncIterator]();
  }

  /** Undefined when the next one is not below `offset`, or there is none. */
  async below(offset: number): Promise<StoredRecord | undefined> {
    if (this.#next === null) {
      const { done, value } = await this.#records.next();
      if (done) return undefined;
      if (value.offset <= this.#offset) throw new CaptureViolation(`offset ${value.offset} is read twice`);
      this.#next = value;
    }
    const record = this.#next as StoredRecord;
    if (record.offset >= offset) return undefined;
    this.#offset = record.offset;
    this.#next = null;
    return record;
  }
}

function frontierOf(frontier: Frontier, { table }: Replayed): number {
  const offset = frontier[table.topic];
  if (offset === undefined) throw new CaptureViolation(`a snapshot's frontier does not name ${table.topic}`);
  return offset;
}

function xidOf(id: string): number {
  return Number(id.slice(0, id.indexOf(":")));
}

function lsnOf(text: string): bigint {
  const [high = "", low = ""] = text.split("/");
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}
