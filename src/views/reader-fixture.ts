/**
 * For tests of reading: a group made by hand in a database of its own, in the form that the applier writes. Its batches
 * are committed by the test.
 */
import assert from "node:assert/strict";
import pg from "pg";
import { type TestDatabase, testDatabase } from "../../test/support/postgres.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import type { ErrorCode } from "../base/error-codes.ts";
import { MillraceError } from "../base/errors.ts";
import { type FindOptions, quote, type ReadOptions, type ViewDefinition } from "../catalog/definitions.ts";
import { findIndexes, findRelation, findTables, type LiveFind } from "./find/find-columns.ts";
import { makeExtensions } from "./find/find-extensions.ts";
import type { ColumnIndex, GroupViews, LiveView } from "./live-view.ts";
import { livePolicy } from "./policy/live-policy.ts";
import { readIndexes } from "./read-indexes.ts";
import { openReader, type ReaderLimits } from "./reader.ts";
import { relationsOf } from "./row-relations.ts";
import { listIndexedColumns } from "./versions-build.ts";
import type { GroupPosition, ViewColumn, ViewInfo, ViewState, ViewsReader } from "./view-info.ts";

export interface FixtureView {
  readonly columns: readonly ViewColumn[];
  readonly key: readonly string[];
  readonly find?: FindOptions;
  readonly reads?: ReadOptions;
  readonly policy?: string;
}

export type FixtureRow = Readonly<Record<string, unknown>>;

export interface FixtureChange {
  readonly upsert?: readonly FixtureRow[];
  /** Keys of rows that go. */
  readonly remove?: readonly FixtureRow[];
}

export class GroupFixture implements AsyncDisposable {
  readonly pool: pg.Pool;
  readonly admin: pg.Client;
  readonly clock: Clock;
  readonly group: GroupViews;
  readonly #database: TestDatabase;
  readonly #views = new Map<string, { live: LiveView; state: ViewState }>();
  readonly #listeners = new Set<() => void>();
  #position: GroupPosition = { generation: 1, batch: 0 };
  /** Whose references relate the views. */
  definitions: readonly Pick<ViewDefinition, "name" | "references">[] = [];
  /** Of each view, as its description has it. */
  rowsEstimated = 0;
  /** Batches are told to readers; off, the test calls `wake`. */
  wakes = true;

  private constructor(database: TestDatabase, admin: pg.Client, poolSize: number, clock: Clock) {
    this.#database = database;
    this.admin = admin;
    this.clock = clock;
    this.pool = new pg.Pool({ connectionString: database.url, max: poolSize });
    this.pool.on("error", () => {});
    this.group = this.#groupViews();
  }

  static async open(options: { poolSize?: number; clock?: Clock } = {}): Promise<GroupFixture> {
    const database = await testDatabase();
    const admin = new pg.Client({ connectionString: database.url });
    admin.on("error", () => {});
    await admin.connect();
    await admin.query(
      "create schema millrace; create schema views;" +
        "create table millrace.fixture_group (generation bigint, batch bigint, oldest_batch bigint);" +
        "insert into millrace.fixture_group values (1, 0, 1)",
    );
    return new GroupFixture(database, admin, options.poolSize ?? 6, options.clock ?? systemClock);
  }

  reader(limits?: Partial<ReaderLimits>, rowCacheBytesMax?: number): ViewsReader {
    return openReader({
      group: this.group,
      store: { readers: this.pool, shared: this.pool },
      clock: this.clock,
      ...(limits ? { limits } : {}),
      ...(rowCacheBytesMax === undefined ? {} : { rowCacheBytesMax }),
    });
  }

  async createView(name: string, view: FixtureView, version = 1): Promise<void> {
    const columns = view.columns.map((column) => {
      return `${quote(column.name)} ${column.type}${column.nullable ? "" : " not null"}`;
    });
    const state = `millrace.${quote(`${name}__${version}`)}`;
    const log = `millrace.${quote(`${name}__${version}_log`)}`;
    const names = view.columns.map((column) => quote(column.name)).join(", ");
    await this.admin.query(
      `create table ${state} (${columns.join(", ")});` +
        `create table ${log} (batch bigint not null, w smallint not null, ${columns.join(", ")});` +
        `create index on ${log} (batch); drop view if exists views.${quote(name)};` +
        `create view views.${quote(name)} as select ${names} from ${state}` +
        (view.key.length === 0
          ? ""
          : `; create unique index on ${state} (${view.key.map(quote).join(", ")}) nulls not distinct`),
    );
    for (const sql of readIndexes({ stateTable: state, reads: view.reads ?? {} }, view.columns))
      await this.admin.query(sql);
    const indexes = await this.admin.query<ColumnIndex>(listIndexedColumns, [state]);
    const policies = { own: view.policy, wanted: view.policy };
    const policy = await livePolicy({ name, columns: view.columns }, policies, (sql) => this.admin.query(sql));
    const live = {
      name,
      version,
      hash: `hash ${version}`,
      sql: `select ${names} from somewhere`,
      publicView: `views.${quote(name)}`,
      stateTable: state,
      logTable: log,
      columns: view.columns,
      key: view.key,
      indexes: indexes.rows,
      compiled: {} as never,
      ...(view.reads ? { reads: view.reads } : {}),
      ...(policy ? { policy } : {}),
      ...(view.find ? { find: await this.#makeFind(name, version, names, view.find) } : {}),
    };
    this.#views.set(name, { live, state: { kind: "live" } });
  }

  async #makeFind(name: string, version: number, names: string, options: FindOptions): Promise<LiveFind> {
    const query = async (sql: string, values: readonly unknown[]) => (await this.admin.query(sql, [...values])).rows;
    const schemas = await makeExtensions(query, name, options);
    const stateTable = `millrace.${quote(`${name}__${version}`)}`;
    const publicView = `create or replace view views.${quote(name)} as select ${names} from ${stateTable}`;
    const tables = { name, version, stateTable, publicView, key: [], find: options };
    for (const sql of [...findTables(tables, schemas), ...findIndexes(tables, schemas)]) await this.admin.query(sql);
    return { options, relation: findRelation(tables), schemas };
  }

  setState(name: string, state: ViewState): void {
    const view = this.#views.get(name);
    if (view) view.state = state;
    this.wake();
  }

  /** One batch: rows whose key is there are replaced, and change rows are written for what really changed. */
  async commit(name: string, change: FixtureChange): Promise<GroupPosition> {
    const view = this.#view(name).live;
    const names = view.columns.map((column) => quote(column.name)).join(", ");
    const batch = this.#position.batch + 1;
    const gone = JSON.stringify([...(change.upsert ?? []), ...(change.remove ?? [])]);
    const match =
      (view.key ?? []).map((one) => `s.${quote(one)} is not distinct from k.${quote(one)}`).join(" and ") || "true";
    const there = `exists (select from jsonb_populate_recordset(null::${view.stateTable}, $1) as k where ${match})`;
    await this.#inTransaction(async () => {
      await this.admin.query(
        `create temporary table olds on commit drop as select ${names} from ${view.stateTable} with no data`,
      );
      await this.admin.query(
        `create temporary table news on commit drop as select ${names} from ${view.stateTable} with no data`,
      );
      await this.admin.query(`insert into olds select ${names} from ${view.stateTable} as s where ${there}`, [gone]);
      await this.admin.query(`delete from ${view.stateTable} as s where ${there}`, [gone]);
      await this.admin.query(
        `insert into news select ${names} from jsonb_populate_recordset(null::${view.stateTable}, $1)`,
        [JSON.stringify(change.upsert ?? [])],
      );
      await this.admin.query(`insert into ${view.stateTable} (${names}) select ${names} from news`);
      for (const [w, from, without] of [
        [-1, "olds", "news"],
        [1, "news", "olds"],
      ] as const) {
        await this.admin.query(
          `insert into ${view.logTable} select ${batch}, ${w}, ${names} from (table ${from} except all table ${without}) as d`,
        );
      }
      await this.admin.query("update millrace.fixture_group set batch = $1", [batch]);
    });
    this.#position = { ...this.#position, batch };
    if (this.wakes) this.wake();
    return this.#position;
  }

  /** Change rows before this batch are no longer kept. In one transaction, as the group does it: a reader in between must not find less without being told. */
  async forget(oldestBatch: number): Promise<void> {
    const deletes = [...this.#views.values()].map(
      ({ live }) => `delete from ${live.logTable} where batch < ${Number(oldestBatch)};`,
    );
    await this.admin.query(
      `begin; ${deletes.join(" ")} update millrace.fixture_group set oldest_batch = ${Number(oldestBatch)}; commit`,
    );
  }

  /** With it, in one transaction, `change` (SQL) and perhaps another batch, as of a store that came back earlier. */
  async beginGeneration(change = "", batch = this.#position.batch): Promise<void> {
    this.#position = { generation: this.#position.generation + 1, batch };
    await this.admin.query(
      `begin; ${change}${change === "" ? "" : ";"} update millrace.fixture_group set generation = generation + 1, ` +
        `batch = ${Number(batch)}, oldest_batch = ${Number(batch) + 1}; commit`,
    );
    this.wake();
  }

  wake(): void {
    for (const listener of this.#listeners) listener();
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.pool.ending) await this.pool.end();
    await this.admin.end();
    await this.#database[Symbol.asyncDispose]();
  }

  async #inTransaction(work: () => Promise<void>): Promise<void> {
    await this.admin.query("begin");
    try {
      await work();
      await this.admin.query("commit");
    } catch (error) {
      await this.admin.query("rollback");
      throw error;
    }
  }

  #view(name: string): { live: LiveView; state: ViewState } {
    const view = this.#views.get(name);
    if (!view) {
      const hint = `Views are: ${[...this.#views.keys()].join(", ")}.`;
      throw new MillraceError("VIEW_UNKNOWN", `there is no view "${name}"`, { hint });
    }
    return view;
  }

  #groupViews(): GroupViews {
    return {
      list: () => [...this.#views.keys()].map((name) => this.group.info(name)),
      info: (name): ViewInfo => {
        const { live, state } = this.#view(name);
        const { sql, columns, key, hash } = live;
        return { name, sql, class: "linear", columns, key, hash, state, rowsEstimated: this.rowsEstimated, changes: 0 };
      },
      readable: (name) => {
        const { live, state } = this.#view(name);
        if (state.kind === "building") throw new MillraceError("VIEW_BUILDING", `view "${name}" is being built`);
        if (state.kind === "failed") throw state.error;
        return live;
      },
      relations: (name) => relationsOf(name, this.definitions),
      compiled: () => null,
      sourcesOf: () => [],
      endsOfTopics: () => Promise.resolve([]),
      upkeep: () => Promise.resolve(null),
      position: () => this.#position,
      positionSql: "select generation, batch, oldest_batch from millrace.fixture_group",
      onChange: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
      waitFor: () => Promise.resolve(),
    };
  }
}

export function column(name: string, type: string, nullable = false): ViewColumn {
  return { name, type, nullable };
}

/** The error that the work ends with; of this code and with these words where they are named. */
export async function refusalOf(work: Promise<unknown>, code?: ErrorCode, message = /./): Promise<MillraceError> {
  const error = await work.then(
    () => assert.fail("it was not refused"),
    (one: unknown) => one,
  );
  assert.ok(MillraceError.is(error, code), String(error));
  assert.match(error.message, message);
  return error;
}
