/**
 * For tests: applies batches to mirrors and views as plainly as can be, and checks the law after each. Shares nothing
 * with the applier but the compiled statements.
 */
import assert from "node:assert/strict";
import pg from "pg";
import { testDatabase } from "../../test/support/postgres.ts";
import type { Random } from "../base/random.ts";
import { mirrorName, quote, type ViewDefinition } from "../catalog/definitions.ts";
import { pinnedSession } from "../store/session.ts";
import { clockSchema } from "./clock-store.ts";
import { compileView } from "./compile.ts";
import {
  type CompiledView,
  type DeltaTerm,
  hiddenKey,
  type MirrorBinding,
  type WholeRefresh,
  weightColumn,
} from "./compiled-view.ts";
import { featureViews } from "./law-features.fixture.ts";

export type LawRow = Readonly<Record<string, string | null>>;

/** Where the clock begins: in the midst of the moments that generated rows have. */
export const lawClock = "2024-03-31 01:00:00+00";

export type LawChange =
  | { readonly op: "put"; readonly mirrorId: number; readonly row: LawRow }
  | { readonly op: "delete"; readonly mirrorId: number; readonly key: LawRow }
  | { readonly op: "truncate"; readonly mirrorId: number };

/** Joins go as they are printed, from the delta through indexes. */
const smallDeltaSettings = { join_collapse_limit: "1", enable_hashjoin: "off", enable_mergejoin: "off" };

interface LawView {
  readonly compiled: CompiledView;
  /** Rows that stood there before the first batch, as text, each with how often. */
  readonly initial: Map<string, number>;
  readonly texts: string;
  readonly comparable: boolean;
}

/** Where a view's contributions are kept while it records. */
const pendingOf = ({ name }: CompiledView) => `pg_temp.${quote(`pending_${name}`)}`;

export class LawDriver {
  readonly #client: pg.Client;
  readonly #mirrors: readonly MirrorBinding[];
  readonly #views: LawView[] = [];
  /** Views that only record, since when. */
  readonly #recording = new Map<CompiledView, { from: number }>();
  #batch = 0;

  private constructor(client: pg.Client, mirrors: readonly MirrorBinding[]) {
    this.#client = client;
    this.#mirrors = [...mirrors].sort((a, b) => a.id - b.id);
  }

  static async create(client: pg.Client, mirrors: readonly MirrorBinding[]): Promise<LawDriver> {
    const settings = Object.entries({
      ...pinnedSession,
      ...smallDeltaSettings,
      synchronous_commit: "off",
      client_min_messages: "warning",
    });
    for (const [name, value] of settings) await client.query("select set_config($1, $2, false)", [name, String(value)]);
    const schemas = new Set(["millrace", "views", ...mirrors.map(({ shape }) => shape.source)]);
    for (const schema of schemas) await client.query(`create schema if not exists ${quote(schema)}`);
    for (const sql of [...clockSchema, "delete from millrace.clock"]) await client.query(sql);
    await client.query("insert into millrace.clock values ('main', $1, $1)", [lawClock]);
    for (const mirror of mirrors) {
      const columns = columnsOf(mirror);
      const typed = columns.map(({ name, type }) => `${quote(name)} ${type}`).join(", ");
      const key = keyOf(mirror).map(quote).join(", ");
      await client.query(`drop table if exists ${tableOf(mirror)} cascade`);
      await client.query(`create table ${tableOf(mirror)} (${typed}, primary key (${key}))`);
      await client.query(`drop table if exists pg_temp.s_${mirror.id}, pg_temp.d_${mirror.id}`);
      await client.query(`create temp table s_${mirror.id} (${typed}, _del boolean not null)`);
      await client.query(`create temp table d_${mirror.id} (${weightColumn} integer not null, ${typed})`);
    }
    return new LawDriver(client, mirrors);
  }

  /** `change` may break the compiled view, to see that the law notices. */
  async define(view: ViewDefinition, change = (compiled: CompiledView) => compiled): Promise<CompiledView> {
    const compiled = change(await compileView({ view, mirrors: this.#mirrors, views: featureViews, version: 1 }));
    for (const { mirrorId, columns } of compiled.mirrorIndexes) {
      const mirror = this.#mirrors.find((one) => one.id === mirrorId);
      assert.ok(mirror);
      await this.#client.query(`create index on ${tableOf(mirror)} (${columns.map(quote).join(", ")})`);
    }
    const filled =
      compiled.whole === undefined ? [] : [compiled.whole.filled(`${this.#batch}`), compiled.whole.readable];
    for (const sql of [...compiled.create, compiled.fill, ...filled, compiled.publicView, ...compiled.connect]) {
      await this.#client.query(sql);
    }
    const texts = compiled.publicColumns.map((name) => `coalesce(${quote(name)}::text, '∅')`).join(" || '|' || ");
    const types = await this.#types(compiled);
    const initial = await this.#counts(`select ${texts} as row, 1 as w from views.${quote(compiled.name)}`);
    this.#views.push({ compiled, initial, texts, comparable: !types.includes("json") });
    await this.check();
    return compiled;
  }

  async drop(compiled: CompiledView): Promise<void> {
    await this.#client.query(`drop view views.${quote(compiled.name)}`);
    for (const sql of compiled.drop) await this.#client.query(sql);
    for (const sql of compiled.connect) {
      const [, table = ""] = / if not exists ("(?:[^"]|"")+")/.exec(sql) ?? [];
      await this.#client.query(`drop table if exists pg_temp.${table}`);
    }
    this.#views.splice(0, this.#views.length, ...this.#views.filter((one) => one.compiled !== compiled));
  }

  /** From the next batch on its contributions are kept, and its state stays as it is. */
  async record(compiled: CompiledView): Promise<void> {
    await this.#client.query(
      `create temp table ${pendingOf(compiled).slice("pg_temp.".length)} as select 0 as step, * from ${compiled.deltaTable} with no data`,
    );
    this.#recording.set(compiled, { from: this.#batch });
  }

  /** Merges what was recorded in several goes, `forget` leaving a step out, and goes on with the view as with the others. */
  async catchUp(compiled: CompiledView, random: Random, forget = -1): Promise<void> {
    const { rows } = await this.#client.query<{ columns: string }>(
      "select string_agg(quote_ident(attname), ', ' order by attnum) as columns from pg_attribute where attrelid = $1::regclass and attnum > 0",
      [compiled.deltaTable],
    );
    const columns = rows[0]?.columns ?? "";
    const recording = this.#recording.get(compiled);
    assert.ok(recording);
    const last = this.#batch;
    for (let from = recording.from; from < last; ) {
      const to = Math.min(last, from + 1 + random.below(3));
      for (const sql of compiled.clear) await this.#client.query(sql);
      const steps = `step > ${from} and step <= ${to} and step <> ${recording.from + 1 + forget}`;
      await this.#client.query(
        `insert into ${compiled.deltaTable} (${columns}) select ${columns} from ${pendingOf(compiled)} where ${steps}`,
      );
      for (const sql of [...compiled.recompute, compiled.merge(String(++this.#batch))]) await this.#client.query(sql);
      from = to;
    }
    await this.#client.query(`drop table ${pendingOf(compiled)}`);
    this.#recording.delete(compiled);
    await this.check();
  }

  /** The view has the columns and types of its query. */
  async #types(compiled: CompiledView): Promise<string[]> {
    await this.#client.query(`create temp table law_query as select * from (${compiled.query}\n) q with no data`);
    const describe = async (relation: string) => {
      const { rows } = await this.#client.query<{ name: string; type: string }>(
        "select attname as name, format_type(atttypid, null) as type from pg_attribute where attrelid = $1::regclass and attnum > 0 order by attnum",
        [relation],
      );
      return rows;
    };
    const ofQuery = await describe("pg_temp.law_query");
    await this.#client.query("drop table law_query");
    assert.deepEqual(await describe(`views.${quote(compiled.name)}`), ofQuery, compiled.query);
    return ofQuery.map((column) => column.type);
  }

  async #counts(sql: string): Promise<Map<string, number>> {
    const { rows } = await this.#client.query<{ row: string; w: number }>(sql);
    const counts = new Map<string, number>();
    for (const { row, w } of rows) addTo(counts, row, Number(w));
    return counts;
  }

  /** `to` moves the clock in it. */
  async batch(changes: readonly LawChange[], to?: string): Promise<void> {
    this.#batch++;
    await this.#client.query("begin");
    for (const { compiled } of this.#views) for (const sql of compiled.clear) await this.#client.query(sql);
    if (to !== undefined) await this.#tick(to);
    const onlys = to === undefined && this.#batch % 2 === 0 ? this.#onlyTerms(changes) : new Map();
    for (const mirror of this.#mirrors) {
      await this.#stage(mirror, changes);
      await this.#images(mirror);
      await this.#terms(mirror, "before", onlys);
      await this.#write(mirror);
      await this.#terms(mirror, "after", onlys);
    }
    for (const { compiled } of this.#views) {
      if (onlys.has(compiled)) continue;
      const kept = `insert into ${pendingOf(compiled)} select ${this.#batch}, * from ${compiled.deltaTable}`;
      const merged = [...compiled.recompute, compiled.merge(String(this.#batch))];
      for (const sql of this.#recording.has(compiled) ? [kept] : merged) await this.#client.query(sql);
    }
    await this.#client.query("commit");
    for (const { compiled } of this.#views) await this.#refresh(compiled);
    await this.check();
  }

  /** That the view's query stays as it is until the moment at which time is said to let a row in or out next, which is not past, or `msMax` have gone. */
  async quiet({ clock, query }: CompiledView, msMax: number): Promise<void> {
    assert.ok(clock);
    const rows = async () =>
      (await this.#client.query(`select row(q)::text as row from (${query}\n) q order by 1`)).rows;
    const before = await rows();
    await this.#client.query("begin");
    const next = `least(${clock.flips.join(", ")}, (select millrace.now()) + $1::float8 * interval '1 ms')`;
    const { rows: moved } = await this.#client.query(
      `update millrace.clock set at = greatest(at, q.next - interval '1 us') from (select ${next} as next) q returning at, q.next < old.at as past`,
      [msMax],
    );
    const later = await rows();
    await this.#client.query("rollback");
    assert.equal(moved[0]?.past, false, query);
    assert.deepEqual(later, before, `until ${moved[0]?.at}: ${query}`);
  }

  async #tick(to: string): Promise<void> {
    await this.#client.query("update millrace.clock set before = at, at = $1", [to]);
    for (const { compiled } of this.#views)
      for (const sql of compiled.clock?.terms ?? []) await this.#client.query(sql);
  }

  /** One that is recomputed whole must say by itself that it is behind: one that does not is checked as it is. */
  async #refresh({ whole }: CompiledView): Promise<void> {
    if (whole === undefined || (await this.#reach(whole)).batch === null) return;
    const { runs, changed } = await this.#reach(whole);
    assert.equal(Number(changed), this.#batch);
    await this.#client.query("begin");
    for (const sql of [...whole.compare, ...whole.bring(`${this.#batch}`)]) await this.#client.query(sql);
    await this.#client.query(whole.brought(`${this.#batch}`, runs));
    await this.#client.query("commit");
    assert.equal((await this.#reach(whole)).batch, null);
  }

  async #reach({ reachTable }: WholeRefresh): Promise<{ batch: string | null; changed: string | null; runs: string }> {
    const { rows } = await this.#client.query(`select batch, changed, runs from ${reachTable}`);
    return rows[0];
  }

  /** The last change of each key, as if the batch were one step. */
  async #stage(mirror: MirrorBinding, changes: readonly LawChange[]): Promise<void> {
    await this.#client.query(`delete from pg_temp.s_${mirror.id}`);
    const key = keyOf(mirror);
    const staged = new Map<string, Record<string, string | null | boolean>>();
    for (const change of changes.filter((one) => one.mirrorId === mirror.id)) {
      if (change.op === "truncate") {
        const { rows } = await this.#client.query<Record<string, string>>(
          `select ${key.map((name) => `${quote(name)}::text`).join(", ")} from ${tableOf(mirror)}`,
        );
        staged.clear();
        for (const row of rows) staged.set(keyText(key, row), { ...row, _del: true });
      } else {
        const row = change.op === "put" ? change.row : change.key;
        staged.set(keyText(key, row), { ...row, _del: change.op === "delete" });
      }
    }
    const columns = columnsOf(mirror);
    const texts = columns.map(({ name }) => `${quote(name)} text`).join(", ");
    const cast = columns.map(({ name, type }) => `${quote(name)}::${type}`).join(", ");
    await this.#client.query(
      `insert into pg_temp.s_${mirror.id} select ${cast}, _del from json_to_recordset($1) r (${texts}, _del boolean)`,
      [JSON.stringify([...staged.values()])],
    );
  }

  async #images(mirror: MirrorBinding): Promise<void> {
    const columns = columnsOf(mirror).map(({ name }) => quote(name));
    const row = (alias: string) => `row(${columns.map((name) => `${alias}.${name}`).join(", ")})::record`;
    const [s, d] = [`pg_temp.s_${mirror.id}`, `pg_temp.d_${mirror.id}`];
    const match = keyOf(mirror)
      .map((name) => `m.${quote(name)} = s.${quote(name)}`)
      .join(" and ");
    await this.#client.query(`delete from ${d}`);
    await this.#client.query(
      `insert into ${d} select -1, ${columns.map((name) => `m.${name}`).join(", ")} from ${tableOf(mirror)} m join ${s} s on ${match} where s._del or ${row("m")} *<> ${row("s")}`,
    );
    await this.#client.query(
      `insert into ${d} select 1, ${columns.map((name) => `s.${name}`).join(", ")} from ${s} s where not s._del and not exists (select from ${tableOf(mirror)} m where ${match} and ${row("m")} *= ${row("s")})`,
    );
  }

  async #write(mirror: MirrorBinding): Promise<void> {
    const columns = columnsOf(mirror).map(({ name }) => quote(name));
    const [s, table] = [`pg_temp.s_${mirror.id}`, tableOf(mirror)];
    const match = keyOf(mirror)
      .map((name) => `m.${quote(name)} = s.${quote(name)}`)
      .join(" and ");
    await this.#client.query(`delete from ${table} m using ${s} s where ${match}`);
    await this.#client.query(`insert into ${table} select ${columns.join(", ")} from ${s} where not _del`);
  }

  /** Views that one term alone has something for, and can be merged with it. */
  #onlyTerms(changes: readonly LawChange[]): Map<CompiledView, DeltaTerm> {
    const changed = new Set(changes.map((change) => change.mirrorId));
    const onlys = new Map<CompiledView, DeltaTerm>();
    for (const { compiled } of this.#views) {
      const [first, second] = compiled.terms.filter((term) => changed.has(term.mirrorId));
      const mergeable = compiled.mergeRows !== undefined && !this.#recording.has(compiled);
      if (first && !second && mergeable) onlys.set(compiled, first);
    }
    return onlys;
  }

  async #terms(
    mirror: MirrorBinding,
    place: "before" | "after",
    onlys: ReadonlyMap<CompiledView, DeltaTerm>,
  ): Promise<void> {
    for (const { compiled } of this.#views) {
      const only = onlys.get(compiled);
      for (const term of compiled.terms) {
        if (term.mirrorId !== mirror.id || term.place !== place) continue;
        if (only === undefined) await this.#client.query(term.sql);
        else if (term === only) {
          await this.#client.query(compiled.mergeRows?.(String(this.#batch), term.rows ?? "") ?? "");
        }
      }
    }
  }

  /** Throws when a view is not its query, or its change rows are not its differences. */
  async check(): Promise<void> {
    for (const view of this.#views.filter(({ compiled }) => !this.#recording.has(compiled))) {
      const { compiled, comparable } = view;
      const about = `after batch ${this.#batch}:\n${compiled.query}\nkey ${compiled.key?.join(", ") ?? "none"}`;
      const [query, rows] = [`(${compiled.query}\n) q`, `views.${quote(compiled.name)} q`];
      const compared = [...(comparable ? ["*"] : []), await this.#spelled(compiled)];
      for (const columns of compared) {
        const [wanted, found] = [`select ${columns} from ${query}`, `select ${columns} from ${rows}`];
        const missing = await this.#client.query(`(${wanted}) except all (${found})`);
        const extra = await this.#client.query(`(${found}) except all (${wanted})`);
        assert.deepEqual({ missing: missing.rows, extra: extra.rows }, { missing: [], extra: [] }, about);
      }
      await this.#checkChanges(view, about);
    }
  }

  /** Each column as text; numbers without the zeros at their end, which a sum keeps from rows that have left. */
  async #spelled(compiled: CompiledView): Promise<string> {
    const { fields } = await this.#client.query(`select * from views.${quote(compiled.name)} limit 0`);
    const numericOid = 1700;
    return fields
      .map(({ name, dataTypeID }) =>
        dataTypeID === numericOid ? `trim_scale(${quote(name)})::text` : `${quote(name)}::text`,
      )
      .join(", ");
  }

  async #checkChanges({ compiled, initial, texts }: LawView, about: string): Promise<void> {
    const replayed = new Map(initial);
    const log = await this.#client.query<{ batch: string; row: string; w: number }>(
      `select batch, ${texts} as row, w from ${compiled.logTable}`,
    );
    const perBatch = new Set<string>();
    for (const { batch, row, w } of log.rows) {
      // Without a key equal rows change as often as they are there.
      const repeats = compiled.key !== null && perBatch.has(`${batch} ${row}`);
      assert.ok(!repeats, `a change row that cancels or repeats: ${batch} ${row} ${about}`);
      perBatch.add(`${batch} ${row}`);
      addTo(replayed, row, w);
    }
    const standing = await this.#counts(`select ${texts} as row, 1 as w from views.${quote(compiled.name)}`);
    assert.deepEqual([...replayed].sort(), [...standing].sort(), `change rows replayed ${about}`);
  }
}

function addTo(counts: Map<string, number>, row: string, w: number): void {
  const sum = (counts.get(row) ?? 0) + w;
  if (sum === 0) counts.delete(row);
  else counts.set(row, sum);
}

function columnsOf({ shape }: MirrorBinding): { name: string; type: string }[] {
  const columns = shape.columns.map(({ name, storeType }) => ({ name, type: storeType }));
  return shape.key === null ? [...columns, { name: hiddenKey, type: "bigint" }] : columns;
}

function keyOf({ shape }: MirrorBinding): readonly string[] {
  return shape.key ?? [hiddenKey];
}

function keyText(key: readonly string[], row: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(key.map((name) => String(row[name])));
}

function tableOf({ shape }: MirrorBinding): string {
  return `${quote(shape.source)}.${quote(mirrorName(shape.schema, shape.table))}`;
}

/** On a connection to a database of its own. */
export async function withDatabase(work: (client: pg.Client) => Promise<void>): Promise<void> {
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
