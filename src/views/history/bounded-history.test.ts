/** A join as of a moment costs the versions and facts of the keys that change, however many others there are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { testDatabase } from "../../../test/support/postgres.ts";
import { sql, view } from "../../catalog/definitions.ts";
import { connectionSettings } from "../applier.ts";
import { type Layout, planHistoryChange } from "../applier-batch.ts";
import type { PipelineStatement } from "../applier-pipeline.ts";
import { compileView } from "../compile.ts";
import type { CompiledView } from "../compiled-view.ts";
import { createStaging, deltaTable, type Mirror, mirrorTable } from "../mirror.ts";
import { tableShape } from "../source-fixture.ts";
import { historySchema } from "./history-store.ts";
import { createHistory, historyShape, historyTable } from "./history-table.ts";

const facts = process.env.MILLRACE_SOAK ? 1_000_000 : 20_000;
/** Each has 20 facts and 4 versions. */
const keys = facts / 20;
const tuplesMax = 500;

const moment = "timestamp with time zone";
const sales = tableShape("shop", "sales", ["id integer", "country integer", "amount integer", `at ${moment}`]);
const rates = tableShape("shop", "rates", ["country integer", "rate integer"], { key: ["country"] });
const columns = ["country", "rate"].map((name) => ({ name, type: "integer" }));
const history: Mirror = { id: 3, shape: historyShape("rates", ["country"], columns) };
const mirrors: readonly Mirror[] = [{ id: 1, shape: sales }, { id: 2, shape: rates }, history];

const ratesView = view("rates", sql`select country, rate from shop.rates`, { history: true });
const asOf = `r.country = s.country and r._valid_from <= s.at and (r._valid_to is null or s.at < r._valid_to)`;
const cases: readonly { readonly text: string; readonly is: CompiledView["class"] }[] = [
  {
    text: `select s.id, s.amount * r.rate as tax from shop.sales s join views."rates.history" r on ${asOf}`,
    is: "linear",
  },
  {
    text: `select s.country, sum(s.amount * r.rate) as tax from shop.sales s join views."rates.history" r on ${asOf} group by s.country`,
    is: "additive",
  },
  { text: `select s.id, r.rate from shop.sales s left join views."rates.history" r on ${asOf}`, is: "keyed" },
];

for (const { text, is } of cases) {
  test(`a change of a fact, and of what it is joined with, reads at most ${tuplesMax} rows of ${facts}: ${is}`, async () => {
    await using database = await testDatabase();
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      const compile = (definition: typeof ratesView, version: number) =>
        compileView({ view: definition, mirrors, views: [ratesView], version });
      const followed = await compile(ratesView, 1);
      const joined = await compile(view("joined", { ...sql``, text }) as typeof ratesView, 1);
      assert.equal(joined.class, is);
      await fill(client, [followed, joined]);
      const layout: Layout = {
        mirrors: new Map(mirrors.map((one) => [one.id, one])),
        views: [followed, joined],
        recording: [],
      };
      await client.query(`insert into ${followed.logTable} values (1, -1, 7, 3), (1, 1, 7, 30)`);
      const change = { kind: "batch", batch: 1, atMs: Date.UTC(2026, 0, 1) } as const;
      const { statements } = planHistoryChange(layout, { view: followed, mirror: history }, change, 1, {
        rowsMs: 0,
        clockMs: null,
      });
      const ofRate = await counted(client, statements);
      assert.ok(ofRate.read <= tuplesMax, `the change of a rate read ${ofRate.read} rows`);
      const ofSale = await counted(client, changeOfSale(joined));
      assert.ok(ofSale.read <= tuplesMax, `the change of a sale read ${ofSale.read} rows`);
      const { rows } = await client.query(`(${joined.query}) except all select * from views.joined`);
      assert.deepEqual(rows, []);
    } finally {
      await client.end();
    }
  });
}

async function fill(client: pg.Client, views: readonly CompiledView[]): Promise<void> {
  const day = (n: string) => `timestamptz '2025-01-01 00:00+00' + (${n}) * interval '1 day'`;
  const version = (n: number) =>
    `insert into ${historyTable("rates")} select ${n} * ${keys} + i, i, ${n}, ${day(`${n * 80}`)}, ${n === 3 ? "null" : day(`${n * 80 + 80}`)}, sha256(convert_to(row(i)::text, 'UTF8')) from generate_series(1, ${keys}) i`;
  const statements = [
    "create schema shop; create schema millrace; create schema views",
    ...historySchema,
    ...[sales, rates].map(
      (shape) =>
        `create table ${mirrorTable(shape)} (${shape.columns.map((one) => `${one.name} ${one.storeType}`).join(", ")}, primary key (${shape.key}))`,
    ),
    ...createHistory(history.shape, "rates", ["country"]),
    `select setval('millrace."rates__history_seq"', ${5 * keys})`,
    `insert into millrace.histories values ('rates', ${day("0")}, ${day("240")})`,
    `insert into shop.sales select i, 1 + i % ${keys}, i, ${day("i % 330")} from generate_series(1, ${facts}) i`,
    `insert into shop.rates select i, 3 from generate_series(1, ${keys}) i`,
    ...[0, 1, 2, 3].map(version),
    ...mirrors.flatMap(createStaging),
    ...views.flatMap(({ mirrorIndexes }) =>
      mirrorIndexes.map(({ mirrorId, columns: probed }) => {
        const mirror = mirrors.find(({ id }) => id === mirrorId) as Mirror;
        return `create index on ${mirrorTable(mirror.shape)} (${probed.join(", ")})`;
      }),
    ),
    ...views.flatMap((one) => [...one.create, one.fill, one.publicView, ...one.connect, `analyze ${one.stateTable}`]),
    `analyze shop.sales; analyze shop.rates; analyze ${historyTable("rates")}`,
  ];
  for (const statement of statements) await client.query(statement);
  for (const [name, value] of Object.entries(connectionSettings))
    await client.query("select set_config($1, $2, false)", [name, value]);
}

/** A sale that was there is of another country. */
function changeOfSale({ clear, terms, recompute, merge }: CompiledView): PipelineStatement[] {
  const termsOf = (place: "before" | "after") =>
    terms.filter((term) => term.mirrorId === 1 && term.place === place).map((term) => term.sql);
  return [
    ...clear,
    `insert into ${deltaTable(1)} select e.w, id, case when e.w < 0 then country else 9 end, amount, at from shop.sales cross join (values (-1), (1)) e(w) where id = 21`,
    ...termsOf("before"),
    "update shop.sales set country = 9 where id = 21",
    ...termsOf("after"),
    ...recompute,
    merge("2"),
  ].map((text) => ({ sql: text }));
}

async function counted(client: pg.Client, statements: readonly PipelineStatement[]): Promise<{ read: number }> {
  await client.query("begin");
  const before = await tuples(client);
  for (const { sql: text, values = [] } of statements) await client.query(text, [...values]);
  const read = (await tuples(client)) - before;
  await client.query("commit");
  return { read };
}

async function tuples(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ n: string }>(
    "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::text as n from pg_stat_xact_user_tables where schemaname in ('shop', 'millrace')",
  );
  return Number(rows[0]?.n ?? 0);
}
