/** The rows that a watermark lets in are found by a range of a column: held against all rows, in the store. */
import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { testDatabase } from "../../../test/support/postgres.ts";
import { seededRandom } from "../../base/random.ts";
import { sql, view } from "../../catalog/definitions.ts";
import { connectionSettings } from "../applier.ts";
import { clockSchema } from "../clock-store.ts";
import { compileViewSync, loadParser } from "../compile.ts";
import type { CompiledView } from "../compiled-view.ts";
import { createMirror } from "../mirror.ts";
import { topicFunctions } from "../topic-functions.ts";
import { watermarkSchema } from "../watermark-store.ts";
import { clicks, minuteEnd } from "../windows-fixture.ts";
import { compiled, table } from "./compile-fixture.ts";

const ends = [
  "at",
  "at + interval '1 hour'",
  "interval '1 month' + at - interval '10 minutes'",
  "date_bin('7 minutes', at, '2000-01-01') + interval '7 minutes'",
  "date_bin('1 day', at - interval '6 hours', '2001-02-03 04:05') + interval '30 hours'",
  "date_trunc('month', at) + interval '1 month'",
  "date_trunc('year', at) + interval '1 year'",
  "date_trunc('quarter', at) + interval '3 months'",
  "date_trunc('week', at, 'Europe/Berlin') + interval '7 days'",
  "date_trunc('day', at at time zone 'Pacific/Kiritimati') + interval '1 day'",
  "(date_trunc('day', at at time zone 'Pacific/Apia') + interval '1 day') at time zone 'Pacific/Apia'",
  "at::date + 1",
  "at::date + interval '2 days'",
  "at::timestamp",
];

/** The end of each of a record's windows, and what FROM has beside the topic to make them. */
const several: readonly (readonly [end: string, made: string])[] = [
  ["w", `generate_series(${minuteEnd}, ${minuteEnd} + interval '4 minutes', interval '1 minute') w`],
  ["w - interval '1 minute'", "generate_series(at + interval '3 hours', at, '-1 hour') w"],
  [
    "w",
    "generate_series(date_trunc('month', at) + interval '1 month', date_trunc('month', at) + interval '3 months', interval '1 month') w",
  ],
  [
    "w at time zone 'Europe/Berlin'",
    "generate_series(date_trunc('day', at::timestamp), at::timestamp + interval '1 day', interval '5 hours') w",
  ],
  ["date_bin('7 minutes', at, '2000-01-01') + k * interval '7 minutes'", "generate_series(-2, 5) k"],
  ["date_trunc('month', at) + (k + 1) * interval '1 month'", "generate_series(0, 3) k"],
  ["interval '1 hour' * (3 - k) + at", "unnest(array[0, 5, 2]) k"],
  ["at - k", "unnest(array[interval '1 minute', interval '2 hours', '-1 day']) k"],
  ["at::date + k", "generate_series(1, 7) k"],
];

async function prepare(client: pg.Client): Promise<void> {
  await run(client, "set timezone = 'UTC'", "create schema millrace", "create schema views", "create schema topics");
  for (const [name, value] of Object.entries(connectionSettings))
    await client.query("select set_config($1, $2, false)", [name, value]);
  await run(client, ...topicFunctions, ...clockSchema, ...watermarkSchema, ...createMirror(mirror.shape));
}

const mirror = { id: 1, shape: clicks(1, "never") };

async function run(client: pg.Client, ...statements: readonly string[]): Promise<void> {
  for (const statement of statements) await client.query(statement);
}

function compile(name: string, text: string, emit: "final" | "updates" = "final") {
  const defined = view(name, { ...sql``, text }, { window: { ends: "ends" }, emit });
  return compileViewSync({ view: defined, mirrors: [mirror], version: 1 });
}

async function fill(client: pg.Client, moment: () => string): Promise<void> {
  const values = JSON.stringify(Array.from({ length: 2_000 }, (_, n) => ({ n, at: moment() })));
  await client.query(
    "insert into topics.clicks (_partition, _offset, _time, _headers, _value) select 0, n, '2030-01-01', '{}', v from jsonb_array_elements($1::jsonb) with ordinality as t (v, n)",
    [values],
  );
}

async function moveWatermark(client: pg.Client, from: string | null, to: string): Promise<void> {
  await client.query(
    "insert into millrace.watermarks values ('clicks', $1, $2) on conflict (topic) do update set at = $1, before = $2",
    [to, from],
  );
}

test("each row whose window a watermark ends is found, and no other", async () => {
  await loadParser();
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const random = seededRandom(7);
  const moment = () => new Date(Date.UTC(2023, 11, 20) + random.below(100_000_000) * 1_000).toISOString();
  try {
    await prepare(client);
    await fill(client, moment);
    for (const [i, end] of ends.entries()) {
      const compiled = compile(`v${i}`, `select _partition, _offset, ${end} as ends from topics.clicks`);
      await run(client, ...compiled.create, ...compiled.connect);
      for (let n = 0; n < 6; n++) {
        const [earlier = "", to = ""] = [moment(), moment()].sort();
        const from = n === 0 ? null : earlier;
        await moveWatermark(client, from, to);
        await run(client, ...compiled.clear, ...(compiled.clock?.terms ?? []));
        const found = await client.query(`select _offset from ${compiled.deltaTable} order by 1`);
        const wanted = await client.query(
          `select _offset from topics.clicks where ${end} <= $1::timestamptz and (${end} <= $2::timestamptz) is not true order by 1`,
          [to, from],
        );
        assert.deepEqual(found.rows, wanted.rows, `${end} from ${from} to ${to}`);
      }
    }
  } finally {
    await client.end();
  }
});

test("each of a record's windows that a watermark ends is found, and no other", async () => {
  await loadParser();
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const random = seededRandom(9);
  const moment = () => new Date(Date.UTC(2023, 11, 20) + random.below(100_000_000) * 1_000).toISOString();
  try {
    await prepare(client);
    await fill(client, moment);
    for (const [i, [end, made]] of several.entries()) {
      const query = `select ${end} as ends, max(n) as m, count(*) as c from topics.clicks cross join lateral ${made} group by 1`;
      const compiled = compile(`v${i}`, query);
      await run(client, ...compiled.create, ...compiled.connect);
      for (let n = 0; n < 2; n++) {
        const from = n === 0 ? null : moment();
        const to = new Date(Date.parse(from ?? "2024-01-01") + random.below(1_000_000) * 1_000).toISOString();
        await moveWatermark(client, from, to);
        await run(client, ...compiled.clear, ...(compiled.clock?.terms ?? []));
        const found = await client.query(`select ends from ${compiled.deltaTable} order by 1`);
        const wanted = await client.query(
          `select distinct ${end} as ends from topics.clicks cross join lateral ${made} where ${end} <= $1::timestamptz and (${end} <= $2::timestamptz) is not true order by 1`,
          [to, from],
        );
        assert.deepEqual(found.rows, wanted.rows, `${end} from ${from} to ${to}`);
        await client.query(`delete from ${compiled.deltaTable} where md5(ends::text) > '1'`);
        await run(client, ...compiled.recompute);
        const { rows: fresh } = await client.query(`select * from pg_temp."fr_v${i}__1" order by 1`);
        const shown = await client.query(
          `select * from (${query}) q where ends in (select ends from ${compiled.deltaTable}) order by 1`,
        );
        assert.deepEqual(fresh, shown.rows, end);
      }
      assert.match(compiled.recompute.join(), /"at" >= \(select case when min\("ends"\)/, end);
      assert.deepEqual(
        compiled.mirrorIndexes.map(({ columns }) => columns.join()),
        ["at"],
        end,
      );
    }
  } finally {
    await client.end();
  }
});

test("rows whose windows are made in more than one way are found wherever they are", async () => {
  await loadParser();
  const made = (hours: number) =>
    `select w as ends, n from o, generate_series(at, at + interval '${hours} hours', interval '1 hour') w`;
  const query = (first: number, second: number) =>
    `with o as (select at, n from topics.clicks) select ends, max(n) as m from (${made(first)} union all ${made(second)}) u group by 1`;
  const recomputed = (text: string) =>
    compileViewSync({ view: view("v", { ...sql``, text }), mirrors: [mirror], version: 1 }).recompute.join();
  assert.match(recomputed(query(2, 2)), /"at" >= \(select case when min\("ends"\)/);
  assert.doesNotMatch(recomputed(query(1, 5)), /"at" >=/);
});

test("the rows of some windows are all found near their ends", async () => {
  await loadParser();
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const random = seededRandom(8);
  try {
    await prepare(client);
    await fill(client, () => new Date(Date.UTC(2023, 11, 20) + random.below(100_000_000) * 1_000).toISOString());
    for (const [i, end] of ends.entries()) {
      const query = `select ${end} as ends, max(n) as m, count(*) as c from topics.clicks group by 1`;
      const compiled = compile(`v${i}`, query, "updates");
      assert.equal(compiled.class, "keyed");
      await run(client, ...compiled.create, ...compiled.connect);
      await client.query(
        `insert into ${compiled.deltaTable} select ${end} from topics.clicks group by 1 order by md5(min(n)::text) limit 5`,
      );
      await run(client, ...compiled.recompute);
      const { rows: fresh } = await client.query(`select * from pg_temp."fr_v${i}__1" order by 1`);
      const wanted = await client.query(
        `select * from (${query}) q where ends in (select ends from ${compiled.deltaTable}) order by 1`,
      );
      assert.deepEqual(fresh, wanted.rows, end);
      if (end !== "at") assert.match(compiled.recompute.join(), /"at" >= \(select case when min\("ends"\)/);
    }
  } finally {
    await client.end();
  }
});

test("rows at the ends of time are found without going past them", async () => {
  await loadParser();
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const events = table(1, "events", ["id integer", "at timestamptz?", "day date?"], ["id"]);
  try {
    await run(client, "set timezone = 'UTC'", "create schema millrace", "create schema shop");
    await run(client, "create table shop.events (id integer primary key, at timestamptz, day date)");
    const ends = ["294276-12-31 23:59:59.999999", "4713-01-01 BC", "infinity", "-infinity", "2026-01-01"];
    for (const [id, at] of ends.entries()) {
      await client.query("insert into shop.events values ($1, $2, $3)", [id, at, id < 2 ? null : at]);
    }
    for (const key of ["date_trunc('day', at)", "date_bin('1 hour', at, '2000-01-01')", "day + interval '1 day'"]) {
      const query = `select ${key} as k, max(id) as m from shop.events group by 1`;
      const view = compiled(query, [events]);
      assert.match(view.recompute[0] ?? "", /case when min\("k"\)/, key);
      await run(client, ...view.create, ...view.connect);
      await client.query(`insert into ${view.deltaTable} select ${key} from shop.events`);
      await run(client, ...view.recompute);
      const { rows: found } = await client.query('select * from pg_temp."fr_v__1" order by 1');
      assert.deepEqual(found, (await client.query(`${query} order by 1`)).rows, key);
      await run(client, ...view.drop, `drop table ${view.deltaTable}`, 'drop table pg_temp."fr_v__1"');
    }
  } finally {
    await client.end();
  }
});

const rows = 20_000;

/** One each second; each of so many values comes again and again. */
async function fillSeconds(client: pg.Client, values: number): Promise<void> {
  await client.query(
    "insert into topics.clicks (_partition, _offset, _time, _headers, _value) select 0, n, '2030-01-01', '{}', " +
      `jsonb_build_object('n', n % ${values}, 'at', to_char(timestamptz '2025-01-01' + n * interval '1 second', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) from generate_series(1, ${rows}) n`,
  );
}

/** How many rows of the topic a move of the watermark reads, up to the view. */
async function rowsRead(client: pg.Client, compiled: CompiledView): Promise<number> {
  const tuplesRead = async () => {
    const { rows: found } = await client.query(
      "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::integer as n from pg_stat_xact_user_tables where schemaname = 'topics'",
    );
    return found[0].n;
  };
  await client.query("begin");
  const before = await tuplesRead();
  await run(client, ...(compiled.clock?.terms ?? []), ...compiled.recompute, compiled.merge("1"));
  const read = (await tuplesRead()) - before;
  await client.query("commit");
  return read;
}

test(`a move of a watermark among ${rows} records reads those of its windows, and no table whole`, async () => {
  await loadParser();
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    await prepare(client);
    await fillSeconds(client, rows + 1);
    await client.query("create index on topics.clicks (at); analyze topics.clicks");
    await moveWatermark(client, "2025-01-01T03:00:30Z", "2025-01-01T03:01:10Z");
    for (const aggregate of ["count(*)", "max(n)"]) {
      const name = aggregate === "count(*)" ? "added" : "recomputed";
      const compiled = compile(name, `select ${minuteEnd} as ends, ${aggregate} as c from topics.clicks group by 1`);
      assert.ok(compiled.mirrorIndexes.some(({ columns }) => columns.join() === "at"));
      await run(client, ...compiled.create, ...compiled.connect);
      const read = await rowsRead(client, compiled);
      assert.ok(read <= 400, `${aggregate}: ${read} rows were read`);
      const { rows: shown } = await client.query(`select c::integer as c from ${compiled.stateTable}`);
      assert.deepEqual(shown, [{ c: aggregate === "count(*)" ? 60 : 10859 }]);
      // Nothing ends in between.
      await moveWatermark(client, "2025-01-01T03:01:10Z", "2025-01-01T03:01:20Z");
      await run(client, ...compiled.clear);
      assert.ok((await rowsRead(client, compiled)) <= 400, aggregate);
      await moveWatermark(client, "2025-01-01T03:00:30Z", "2025-01-01T03:01:10Z");
    }
  } finally {
    await client.end();
  }
});

test(`a move of a watermark among ${rows} records reads those of its overlapping windows, or of its sessions' values`, async () => {
  await loadParser();
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const hops = `select w as ends, count(*) as c from topics.clicks, generate_series(${minuteEnd}, ${minuteEnd} + interval '2 minutes', interval '1 minute') w group by 1`;
  const sessions = "select n, _begins as began, _ends as ends, count(*) as c from topics.clicks group by 1, 2, 3";
  try {
    await prepare(client);
    await fillSeconds(client, 5_000);
    await client.query("create index on topics.clicks (at); create index on topics.clicks (n); analyze topics.clicks");
    for (const [name, query, window, shown] of [
      ["hops", hops, { ends: "ends" }, [{ c: 180 }]],
      ["sessions", sessions, { ends: "ends", session: { gap: "5m", by: "n" } }, Array(40).fill({ c: 1 })],
    ] as const) {
      const defined = view(name, { ...sql``, text: query }, { window, emit: "final" });
      const compiled = compileViewSync({ view: defined, mirrors: [mirror], version: 1 });
      const indexes = compiled.mirrorIndexes.map(({ columns }) => columns.join());
      assert.deepEqual(new Set(indexes), new Set(name === "hops" ? ["at"] : ["at", "n"]));
      await run(client, ...compiled.create, ...compiled.connect);
      await moveWatermark(client, "2025-01-01T03:00:30Z", "2025-01-01T03:01:10Z");
      const read = await rowsRead(client, compiled);
      assert.ok(read <= 800, `${name}: ${read} rows were read`);
      const { rows: found } = await client.query(
        `select c::integer as c from ${compiled.stateTable} where ends > '2025-01-01T03:00:30Z'`,
      );
      assert.deepEqual(found, shown, name);
    }
  } finally {
    await client.end();
  }
});
