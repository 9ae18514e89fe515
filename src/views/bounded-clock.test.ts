/** A move of the clock costs the rows that come and go by it, however many there are: no class of view reads a table whole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { testDatabase } from "../../test/support/postgres.ts";
import { sql, view } from "../catalog/definitions.ts";
import { connectionSettings } from "./applier.ts";
import { clockSchema } from "./clock-store.ts";
import { compileView } from "./compile.ts";
import type { CompiledView, MirrorBinding } from "./compiled-view.ts";

const rows = process.env.MILLRACE_SOAK ? 1_000_000 : 50_000;
/** A row each second, of which the clock goes on by ten; a kind has 20 rows. */
const movedSeconds = 10;
const tuplesMax = 600;

const last = "interval '1000 seconds'";
const cases: readonly { readonly about: string; readonly text: string; readonly is: CompiledView["class"] }[] = [
  { about: "rows", is: "linear", text: `select id, kind from events where at > now() - ${last}` },
  {
    about: "rows between two moments",
    is: "linear",
    text: `select id, kind from events where at between now() - ${last} and now() - interval '10 seconds'`,
  },
  { about: "an interval added to the column", is: "linear", text: `select id from events where at + ${last} > now()` },
  {
    about: "a join of two filtered sides",
    is: "linear",
    text: `select e.id, k.name from events e join kinds k on k.id = e.kind and k.until > now() where e.at > now() - ${last}`,
  },
  {
    about: "sums",
    is: "additive",
    text: `select kind, count(*) as n from events where at > now() - ${last} group by kind`,
  },
  {
    about: "extremes",
    is: "keyed",
    text: `select kind, min(id) as lo from events where at > now() - ${last} group by kind`,
  },
  {
    about: "a left join",
    is: "keyed",
    text: `select k.id, e.id as event from kinds k left join (select * from events where at > now() - ${last}) e on e.kind = k.id`,
  },
];

function mirror(id: number, table: string, columns: readonly (readonly [string, string])[]): MirrorBinding {
  const shaped = columns.map(([name, storeType]) => ({
    ...{ name, storeType, sourceType: storeType },
    nullable: false,
    carriedAsText: false,
  }));
  const topic = `shop.public.${table}`;
  return {
    id,
    shape: { source: "shop", schema: "public", table, topic, columns: shaped, key: ["id"], appendOnly: false },
  };
}

const moment = "timestamp with time zone";
const mirrors = [
  mirror(1, "events", [
    ["id", "integer"],
    ["kind", "integer"],
    ["at", moment],
  ]),
  mirror(2, "kinds", [
    ["id", "integer"],
    ["name", "text"],
    ["until", moment],
  ]),
];

test(`a move of the clock among ${rows} rows reads at most ${tuplesMax} rows, whatever the class`, async () => {
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    await fill(client);
    for (const { about, text, is } of cases) {
      const compiled = await compileView({ view: view("v", { ...sql``, text }), mirrors, version: 1 });
      assert.equal(compiled.class, is, about);
      await create(client, compiled);
      const { read, changed } = await moved(client, compiled);
      assert.ok(read <= tuplesMax, `${about}: a move read ${read} rows\n${compiled.clock?.terms.join("\n")}`);
      assert.ok(changed > 0, about);
      for (const statement of [
        "drop view views.v",
        ...compiled.drop,
        "drop table if exists pg_temp.dv_v__1, pg_temp.fr_v__1",
      ])
        await client.query(statement);
    }
  } finally {
    await client.end();
  }
});

async function fill(client: pg.Client): Promise<void> {
  for (const [name, value] of Object.entries(connectionSettings))
    await client.query("select set_config($1, $2, false)", [name, value]);
  const statements = [
    "create schema shop; create schema millrace; create schema views",
    ...clockSchema,
    "insert into millrace.clock values ('main', '2026-01-01 00:00+00', '2026-01-01 00:00+00')",
    `create table shop.events (id integer primary key, kind integer not null, at ${moment} not null)`,
    `create table shop.kinds (id integer primary key, name text not null, until ${moment} not null)`,
    `insert into shop.events select i, i % ${rows / 20}, timestamptz '2026-01-01 00:00+00' + (i - ${rows - 2_000}) * interval '1 second' from generate_series(1, ${rows}) i`,
    `insert into shop.kinds select i, 'k' || i, timestamptz '2026-01-01 00:00+00' + (i % 1000) * interval '1 minute' from generate_series(0, ${rows / 20 - 1}) i`,
  ];
  for (const statement of statements) await client.query(statement);
}

async function create(client: pg.Client, compiled: CompiledView): Promise<void> {
  for (const { mirrorId, columns } of compiled.mirrorIndexes)
    await client.query(
      `create index if not exists m_${mirrorId}_${columns.join("_")} on shop.${mirrorId === 1 ? "events" : "kinds"} (${columns.join(", ")})`,
    );
  for (const statement of [...compiled.create, compiled.fill, compiled.publicView, ...compiled.connect])
    await client.query(statement);
  await client.query(`analyze shop.events; analyze shop.kinds; analyze ${compiled.stateTable}`);
}

/** Rows that were read to know when the next one goes, and to let go of those of ten seconds; and change rows. */
async function moved(client: pg.Client, compiled: CompiledView): Promise<{ read: number; changed: number }> {
  const { clock } = compiled;
  assert.ok(clock);
  await client.query("begin");
  for (const sql of compiled.clear) await client.query(sql);
  await client.query(`update millrace.clock set before = at, at = at + interval '${movedSeconds} seconds'`);
  const before = await tuples(client);
  await client.query(`select least(${clock.flips.join(", ")})`);
  for (const sql of clock.terms) await client.query(sql);
  const planner = (on: boolean) => [
    `set local join_collapse_limit = ${on ? 8 : 1}`,
    `set local enable_hashjoin = ${on}`,
    `set local enable_mergejoin = ${on}`,
  ];
  for (const sql of [...planner(true), ...compiled.recompute, ...planner(false)]) await client.query(sql);
  await client.query(compiled.merge("1"));
  const read = (await tuples(client)) - before;
  const { rows: found } = await client.query<{ n: number }>(`select count(*)::integer as n from ${compiled.logTable}`);
  await client.query("commit");
  return { read, changed: found[0]?.n ?? 0 };
}

async function tuples(client: pg.Client): Promise<number> {
  const { rows: found } = await client.query<{ n: string }>(
    "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::text as n from pg_stat_xact_user_tables where schemaname in ('shop', 'millrace')",
  );
  return Number(found[0]?.n ?? 0);
}
