/**
 * Random schemas and workloads on a real source, with changes of shape in their midst. A trigger in the source writes down
 * what each transaction did; the topics, replayed, must stand where that account stands at the end of every source
 * transaction, and at the end be the source.
 *
 * Every transaction counts up the one row of `ticks`, which is captured too: it tells which prefix of the account a state
 * of the topics is to be compared with. A statement that rewrites rows without telling the stream (`alter table … using`)
 * makes its table stale until the topics say that it was read anew; that must come.
 */
import assert from "node:assert/strict";
import pg from "pg";
import { testDatabase } from "../../test/support/postgres.ts";
import type { StoredRecord } from "../records/record.ts";
import type { TransactionEvent } from "../schema/transaction-events.ts";
import { printingSettings } from "./connection.ts";
import {
  type AddOperation,
  type ColumnOperation,
  columnTypes,
  type History,
  type HistoryTransaction,
  type Operation,
  type RowOperation,
  type ShapeOperation,
  type TableOperation,
} from "./differential-history.fixture.ts";
import type { PostgresFixture } from "./postgres-fixture.ts";
import { Replay, rowText } from "./replay.fixture.ts";
import { soon } from "./source.suite.ts";
import type { Source } from "./source.ts";

type Row = Readonly<Record<string, string | null>>;

interface AuditRow {
  readonly xid: string;
  readonly tab: string;
  readonly op: "INSERT" | "UPDATE" | "DELETE" | "TRUNCATE" | "REWRITTEN";
  readonly old: Row | null;
  readonly new: Row | readonly Row[] | null;
}

/** Everything that is compared. */
export interface Evidence {
  readonly records: ReadonlyMap<string, readonly StoredRecord[]>;
  readonly audit: readonly AuditRow[];
  /** By tick: tables whose rows were changed without the stream. */
  readonly rewritten: ReadonlyMap<number, readonly string[]>;
  /** The tables as they stand. */
  readonly source: ReadonlyMap<string, readonly string[]>;
}

export interface Verdict {
  /** Ends of source transactions that were compared. */
  readonly boundaries: number;
  /** Tables whose change of shape the topics do not have yet. */
  readonly stale: readonly string[];
}

const tableNames = ["t0", "t1", "t2"] as const;
const topicOf = (table: string) => `shop.public.${table}`;

interface TableModel {
  columns: { readonly name: string; readonly type: number }[];
  nextColumn: number;
}

/** Runs a history against a source of its own; throws where topics and source differ. */
export async function runHistory(fixture: PostgresFixture, history: History): Promise<Evidence & Verdict> {
  const world = new World(fixture);
  await world.make(history);
  const source = fixture.source([...tableNames, "ticks"], { settings: { auditMs: 10, heartbeatMs: 50 } });
  // What rewrites a table while it is read by an older snapshot is another test's matter.
  await fixture.caughtUp(source);
  for (const transaction of history.transactions) {
    await world.run(transaction);
    if (transaction.quiet) await fixture.caughtUp(source);
  }
  const evidence = await settled(fixture, source, world);
  await checkFresh(evidence);
  return evidence;
}

/** Looks at the topics after which a change of shape that was not told counts as lost; the catalogue is compared in each. */
const looksMax = 150;

/** A shape's change may be noticed by a look at the catalogue only, which comes by itself. */
async function settled(fixture: PostgresFixture, source: Source, world: World): Promise<Evidence & Verdict> {
  let told = -1;
  for (let looks = 0; ; looks++) {
    await fixture.caughtUp(source);
    const { length } = (await fixture.events()).filter(({ status }) => status !== "HEARTBEAT");
    if (length !== told) {
      told = length;
      looks = 0;
    }
    if (looks === 0 || looks === looksMax) {
      const evidence = await world.evidence();
      const verdict = judge(evidence);
      if (verdict.stale.length === 0) return { ...evidence, ...verdict };
      assert.ok(looks < looksMax, `the topics were never told of a change of shape of ${verdict.stale.join(" and ")}`);
    }
    await soon();
  }
}

class World {
  readonly #fixture: PostgresFixture;
  #tables: TableModel[] = [];
  #tick = 0;
  readonly #rewritten = new Map<number, string[]>();
  #rewrittenNow: string[] = [];

  constructor(fixture: PostgresFixture) {
    this.#fixture = fixture;
  }

  async make({ schemas }: History): Promise<void> {
    const { name } = this.#fixture.database;
    // Transactions with large values are streamed while they run.
    await this.#fixture.sql(`alter database ${name} set logical_decoding_work_mem = '64kB'; ${printingSettings}; ${auditing}
      create type mood as enum ('well', 'not "so" well');
      create table ticks (id int primary key, n int not null); insert into ticks values (1, 0); ${auditOn("ticks")}`);
    this.#tables = schemas.map(() => ({ columns: [], nextColumn: 0 }));
    for (const [table, types] of schemas.entries()) {
      await this.#create(table, types);
      for (let n = 0; n < 4; n++) await this.#row({ kind: "insert", table, n });
    }
    this.#rewrittenNow = [];
    await this.#fixture.sql("update ticks set n = 0");
  }

  async run({ operations, end }: HistoryTransaction): Promise<void> {
    const before = structuredClone(this.#tables);
    this.#rewrittenNow = [];
    await this.#fixture.sql("begin");
    for (const operation of operations) await this.#attempt(operation);
    if (end === "rollback") {
      await this.#fixture.sql("rollback");
      this.#tables = before;
      return;
    }
    await this.#fixture.sql("update ticks set n = n + 1; commit");
    this.#rewritten.set(++this.#tick, this.#rewrittenNow);
  }

  async evidence(): Promise<Evidence> {
    const fixture = this.#fixture;
    const records = new Map<string, readonly StoredRecord[]>();
    for (const topic of ["shop.transaction", ...[...tableNames, "ticks"].map(topicOf)]) {
      records.set(topic, await fixture.read(topic));
    }
    const audit = await fixture.sql("select xid::text, tab, op, old, new from audit order by seq");
    const source = new Map<string, readonly string[]>();
    for (const table of tableNames) source.set(table, await dump(fixture.client, table));
    return { records, audit: audit as unknown as AuditRow[], rewritten: this.#rewritten, source };
  }

  /** A statement that the server refuses is undone, and the transaction goes on. */
  async #attempt(operation: Operation): Promise<void> {
    const before = structuredClone(this.#tables);
    const rewritten = [...this.#rewrittenNow];
    await this.#fixture.sql("savepoint attempt");
    try {
      if (operation.kind === "undone") {
        for (const inner of operation.operations) await this.#row(inner);
        await this.#fixture.sql("rollback to attempt");
      } else if (isRowOperation(operation)) {
        await this.#row(operation);
      } else {
        await this.#shape(operation);
      }
      await this.#fixture.sql("release attempt");
    } catch (error) {
      if (!(error instanceof Error) || !("severity" in error)) throw error;
      await this.#fixture.sql("rollback to attempt");
      this.#tables = before;
      this.#rewrittenNow = rewritten;
    }
  }

  async #row(operation: RowOperation): Promise<void> {
    await this.#fixture.sql(rowStatement(operation, this.#tables[operation.table] as TableModel));
  }

  async #shape(operation: ShapeOperation): Promise<void> {
    switch (operation.kind) {
      case "recreate":
      case "identity":
        return this.#remake(operation);
      case "add":
        return this.#add(operation);
      default:
        return this.#column(operation);
    }
  }

  async #remake({ kind, table, n }: TableOperation): Promise<void> {
    const name = tableNames[table] as string;
    if (kind === "identity") {
      // The one without a key has no other.
      if (table < 2)
        await this.#fixture.sql(`alter table ${name} replica identity ${n % 2 === 0 ? "full" : "default"}`);
      return;
    }
    const count = columnTypes.length;
    await this.#fixture.sql(`drop table ${name}`);
    await this.#create(table, [n % count, (n + 3) % count]);
    await this.#row({ kind: "insert", table, n });
    await this.#rewrite(name);
  }

  async #add({ table, type, filled }: AddOperation): Promise<void> {
    const name = tableNames[table] as string;
    const model = this.#tables[table] as TableModel;
    const column = `c${model.nextColumn++}`;
    const { name: typeName, value } = columnTypes[type] as (typeof columnTypes)[number];
    // A default is an expression without a query.
    const standard = filled && type !== large ? ` default ${value(3)}` : "";
    await this.#fixture.sql(`alter table ${name} add column ${column} ${typeName}${standard}`);
    model.columns.push({ name: column, type });
    if (standard !== "") await this.#rewrite(name);
  }

  async #column({ kind, table, column: index }: ColumnOperation): Promise<void> {
    const name = tableNames[table] as string;
    const model = this.#tables[table] as TableModel;
    const at = index % Math.max(1, model.columns.length);
    const column = model.columns[at];
    if (column === undefined) return;
    const { into, value } = columnTypes[column.type] as (typeof columnTypes)[number];
    if (kind === "fill-later") {
      // Rows that are there stay as they are.
      if (column.type !== large) {
        await this.#fixture.sql(`alter table ${name} alter ${column.name} set default ${value(5)}`);
      }
      return;
    }
    if (kind === "drop") {
      await this.#fixture.sql(`alter table ${name} drop column ${column.name}`);
      model.columns.splice(at, 1);
    } else if (kind === "rename") {
      const renamed = `c${model.nextColumn++}`;
      await this.#fixture.sql(`alter table ${name} rename column ${column.name} to ${renamed}`);
      model.columns[at] = { ...column, name: renamed };
    } else {
      if (into === column.type) return;
      const type = columnTypes[into]?.name;
      const using = `type ${type} using ${column.name}::${type}`;
      await this.#fixture.sql(`alter table ${name} alter ${column.name} drop default, alter ${column.name} ${using}`);
      model.columns[at] = { ...column, type: into };
    }
    await this.#rewrite(name);
  }

  async #create(table: number, types: readonly number[]): Promise<void> {
    const name = tableNames[table] as string;
    const model = this.#tables[table] as TableModel;
    model.columns = types.map((type) => ({ name: `c${model.nextColumn++}`, type }));
    const key = ["k int primary key", "k int, l text, primary key (l, k)", "k int"][table];
    const columns = model.columns.map((column) => `, ${column.name} ${columnTypes[column.type]?.name}`).join("");
    await this.#fixture.sql(`create table ${name} (${key}${columns}); ${auditOn(name)}
      ${table === 2 ? `alter table ${name} replica identity full;` : ""}
      ${model.columns.map((column) => (column.type === large ? `alter table ${name} alter ${column.name} set storage external;` : "")).join("")}`);
  }

  async #rewrite(table: string): Promise<void> {
    this.#rewrittenNow.push(table);
    await this.#fixture.sql(`insert into audit (tab, op, new)
      select '${table}', 'REWRITTEN', coalesce(jsonb_agg(hstore_to_jsonb(hstore(q))), '[]') from ${table} q`);
  }
}

/** The type whose values lie out of line. */
const large = columnTypes.findIndex(({ name }) => name === "character varying");

const auditing = `
  create extension hstore;
  create table audit (seq bigserial, xid xid8 not null default pg_current_xact_id(), tab text, op text, old jsonb, new jsonb);
  create function audit() returns trigger language plpgsql as $$
  declare o jsonb; n jsonb;
  begin
    if tg_op in ('UPDATE', 'DELETE') then execute 'select hstore_to_jsonb(hstore($1))' into o using old; end if;
    if tg_op in ('UPDATE', 'INSERT') then execute 'select hstore_to_jsonb(hstore($1))' into n using new; end if;
    insert into audit (tab, op, old, new) values (tg_table_name, tg_op, o, n);
    return null;
  end $$;`;

function auditOn(table: string): string {
  return `create trigger audit_rows after insert or update or delete on ${table} for each row execute function audit();
    create trigger audit_truncate after truncate on ${table} for each statement execute function audit();`;
}

function isRowOperation(operation: Exclude<Operation, { kind: "undone" }>): operation is RowOperation {
  return ["insert", "update", "delete", "move", "truncate"].includes(operation.kind);
}

function rowStatement(operation: RowOperation, { columns }: TableModel): string {
  const table = tableNames[operation.table] as string;
  if (operation.kind === "truncate") return `truncate ${table}`;
  const { kind, n } = operation;
  const literal = (column: TableModel["columns"][number], of: number) =>
    (columnTypes[column.type] as (typeof columnTypes)[number]).value(of);
  if (kind === "insert") {
    const composite = operation.table === 1;
    const names = ["k", ...(composite ? ["l"] : []), ...columns.map(({ name }) => name)];
    const values = [n, ...(composite ? [`'l${n % 3}'`] : []), ...columns.map((column, i) => literal(column, n + i))];
    return `insert into ${table} (${names.join(", ")}) values (${values.join(", ")}) on conflict do nothing`;
  }
  if (kind === "delete") return `delete from ${table} where k % 7 = ${n % 7}`;
  if (kind === "move") return `update ${table} set k = k + 1000 where k % 11 = ${n % 11}`;
  const column = columns[n % Math.max(1, columns.length)];
  const set = column === undefined ? "k = k" : `${column.name} = ${n % 9 === 0 ? "null" : literal(column, n + 7)}`;
  return `update ${table} set ${set} where k % 5 = ${n % 5}`;
}

async function dump(client: pg.Client, table: string): Promise<string[]> {
  const { rows } = await client.query<{ row: Row }>(`select hstore_to_jsonb(hstore(q)) as row from ${table} q`);
  return rows.map(({ row }) => rowText(row)).sort();
}

/** Compares the replayed topics with the account of the source at the end of every source transaction, and with the source at last. */
export function judge({ records, audit, rewritten, source }: Evidence): Verdict {
  const replay = new Replay(records);
  const account = new Account(audit);
  const stale = new Set<string>();
  const reshaped = new Set<string>();
  let boundaries = 0;
  for (const { value } of records.get("shop.transaction") ?? []) {
    const event = JSON.parse(String(value)) as TransactionEvent;
    if (event.status === "SCHEMA") reshaped.add(event.table.table);
    if (!replay.step(event)) continue;
    const [ticks] = replay.rowsOf(topicOf("ticks")) ?? [];
    if (ticks === undefined) continue;
    for (const tick of account.advance(tickOf(ticks))) for (const table of rewritten.get(tick) ?? []) stale.add(table);
    if (event.status === "SNAPSHOT_END") stale.clear();
    for (const table of tableNames) {
      const rows = replay.rowsOf(topicOf(table));
      if (rows === null) continue;
      const expected = account.rowsOf(table);
      const told = event.status === "TABLE_END" || reshaped.has(table);
      if (told && isDeepEqual(rows, expected)) stale.delete(table);
      if (!stale.has(table)) {
        assert.deepEqual(rows, expected, `${table} at ${event.status} ${event.id}, tick ${account.tick}`);
      }
    }
    reshaped.clear();
    boundaries++;
  }
  if (account.tick === account.ticks) {
    // A change of shape that left no trace in the rows need not be told.
    for (const table of stale)
      if (isDeepEqual(replay.rowsOf(topicOf(table)), account.rowsOf(table))) stale.delete(table);
  }
  if (stale.size === 0) {
    assert.equal(account.tick, account.ticks, "transactions that the topics do not have");
    for (const table of tableNames) {
      assert.deepEqual(account.rowsOf(table), source.get(table), `${table} in the account`);
    }
  }
  return { boundaries, stale: [...stale] };
}

function isDeepEqual(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function tickOf(row: string): number {
  return Number((JSON.parse(row) as [string, string][]).find(([name]) => name === "n")?.[1]);
}

/** What the source's trigger wrote, transaction by transaction. */
class Account {
  tick = -1;
  readonly ticks: number;
  readonly #transactions: AuditRow[][] = [];
  readonly #tables = new Map<string, Map<string, number>>();

  constructor(audit: readonly AuditRow[]) {
    const byXid = new Map<string, AuditRow[]>();
    for (const row of audit) byXid.set(row.xid, [...(byXid.get(row.xid) ?? []), row]);
    // Before the first tick each statement was a transaction.
    let pending: AuditRow[] = [];
    for (const rows of byXid.values()) {
      pending.push(...rows);
      const tick = rows.find(({ tab, op }) => tab === "ticks" && op === "UPDATE");
      if (tick === undefined) continue;
      this.#transactions[Number((tick.new as Row).n)] = pending;
      pending = [];
    }
    this.ticks = this.#transactions.length - 1;
  }

  /** Answers the ticks that were passed. */
  advance(to: number): number[] {
    assert.ok(to >= this.tick, `the topics went back from tick ${this.tick} to ${to}`);
    const passed: number[] = [];
    while (this.tick < to) {
      for (const row of this.#transactions[++this.tick] ?? []) this.#apply(row);
      passed.push(this.tick);
    }
    return passed;
  }

  rowsOf(table: string): string[] {
    return [...(this.#tables.get(table) ?? [])].flatMap(([row, count]) => new Array<string>(count).fill(row)).sort();
  }

  #apply({ tab, op, old, new: now }: AuditRow): void {
    const rows = this.#tables.get(tab) ?? new Map<string, number>();
    this.#tables.set(tab, rows);
    const add = (row: Row, more: number) => {
      const count = (rows.get(rowText(row)) ?? 0) + more;
      if (count === 0) rows.delete(rowText(row));
      else rows.set(rowText(row), count);
    };
    if (op === "TRUNCATE" || op === "REWRITTEN") rows.clear();
    if (old !== null) add(old, -1);
    if (Array.isArray(now)) for (const row of now as readonly Row[]) add(row, 1);
    else if (now !== null) add(now as Row, 1);
  }
}

/** The replayed rows, put into tables of the mirrors' types, print what the source prints. */
async function checkFresh({ records, source }: Evidence): Promise<void> {
  const replay = new Replay(records);
  for (const { value } of records.get("shop.transaction") ?? []) replay.step(JSON.parse(String(value)));
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    await client.query(`${printingSettings}; create extension hstore`);
    for (const table of tableNames) {
      const shape = replay.tables.get(topicOf(table))?.shape;
      assert.ok(shape);
      const columns = shape.columns.map(({ name, storeType }) => `${name} ${storeType}`).join(", ");
      await client.query(`create table ${table} (${columns})`);
      const casts = shape.columns.map(({ name, storeType }) => `(r->>'${name}')::${storeType}`).join(", ");
      const rows = (replay.rowsOf(topicOf(table)) ?? []).map((row) => Object.fromEntries(JSON.parse(row)));
      await client.query(`insert into ${table} select ${casts} from jsonb_array_elements($1::jsonb) r`, [
        JSON.stringify(rows),
      ]);
      assert.deepEqual(await dump(client, table), source.get(table), `${table} in a fresh schema`);
    }
  } finally {
    await client.end();
  }
}
