/** What must hold of tables that are read while the stream goes on, on a server that is handed in. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { type RowText, readChange } from "../../schema/envelope.ts";
import type { TableShape } from "../../schema/table-shape.ts";
import type { CaptureSettings } from "../capture-tools.ts";
import { type PostgresFixture, until } from "../postgres-fixture.ts";
import { soon } from "../source.suite.ts";
import type { Source } from "../source.ts";

/** Many small chunks. */
const small: Partial<CaptureSettings> = { chunkBytes: 2 * 1024, batchBytes: 4 * 1024, partBytes: 64 * 1024 };

/** Everything is in the log, and no table is being read. */
async function settled(fixture: PostgresFixture, source: Source): Promise<void> {
  for (;;) {
    await until(source, (state) => state === "streaming");
    await fixture.caughtUp(source);
    const events = await fixture.events();
    const begun = new Set(events.flatMap((event) => (event.status === "TABLE_BEGIN" ? [event.table.topic] : [])));
    const open = [...begun].filter((topic) => !lastIsWhole(events, topic));
    if (open.length === 0 && source.status().reading.length === 0) return;
    await soon();
  }
}

type Events = Awaited<ReturnType<PostgresFixture["events"]>>;

function lastIsWhole(events: Events, topic: string): boolean {
  const begin = events.findLast((event) => event.status === "TABLE_BEGIN" && event.table.topic === topic);
  return events.some((event) => event.status === "TABLE_END" && event.id === begin?.id);
}

async function reads(fixture: PostgresFixture): Promise<string[]> {
  return (await fixture.events()).flatMap((event) => (event.status === "TABLE_BEGIN" ? [event.table.table] : []));
}

async function snapshots(fixture: PostgresFixture): Promise<number> {
  return (await fixture.events()).filter(({ status }) => status === "SNAPSHOT_BEGIN").length;
}

/** The rows that a reader of the topic has, as texts in order. */
async function replayed(fixture: PostgresFixture, topic: string): Promise<string[]> {
  let shape: TableShape | undefined;
  let from = 0;
  for (const event of await fixture.events()) {
    const told = event.status === "SNAPSHOT_BEGIN" ? event.tables : "table" in event ? [event.table] : [];
    const one = told.find((table) => table.topic === topic);
    if (one === undefined) continue;
    shape = one;
    if (event.status !== "SCHEMA") from = "frontier" in event ? (event.frontier[topic] ?? 0) : from;
  }
  assert.ok(shape);
  const key = (shape.key ?? []).map((name) =>
    (shape as TableShape).columns.findIndex((column) => column.name === name),
  );
  const rows = new Map<string, RowText>();
  const keyOf = (row: RowText) => key.map((column) => row[column]).join("\u0000");
  const merged = (row: RowText, before: RowText | undefined) =>
    row.map((cell, i) => (cell === undefined ? before?.[i] : cell));
  let gone: RowText | undefined;
  let next = 0;
  for (const record of await fixture.read(topic)) {
    if (record.offset < from || record.value === null) continue;
    const change = readChange(record.value, record.key, record.headers, shape);
    if (change.op === "truncate") rows.clear();
    else if (key.length === 0) {
      const same = (row: RowText) =>
        [...rows].find(([, one]) => JSON.stringify(one) === JSON.stringify(row))?.[0] ?? "";
      if (change.op === "delete") rows.delete(same(change.row));
      else if (change.before !== null) rows.delete(same(change.before));
      if (change.op === "upsert") rows.set(`${next++}`, change.row);
    } else if (change.op === "delete") {
      gone = rows.get(keyOf(change.row));
      rows.delete(keyOf(change.row));
    } else rows.set(keyOf(change.row), merged(change.row, change.oldKey === null ? rows.get(keyOf(change.row)) : gone));
  }
  return [...rows.values()].map((row) => JSON.stringify(row)).sort();
}

async function plain(fixture: PostgresFixture, table: string): Promise<string[]> {
  const columns = await fixture.sql(
    "select attname::text as name from pg_attribute where attrelid = $1::regclass and attnum > 0 and not attisdropped order by attnum",
    [table],
  );
  const list = columns.map(({ name }) => `"${name}"::text`).join(", ");
  const result = await fixture.client.query({ text: `select ${list} from ${table}`, rowMode: "array" });
  return result.rows.map((row) => JSON.stringify(row)).sort();
}

async function assertSame(fixture: PostgresFixture, table: string): Promise<void> {
  assert.deepEqual(await replayed(fixture, `shop.public.${table}`), await plain(fixture, table), table);
}

const rows = (table: string) => `insert into ${table} select i, i, 'v' || i from generate_series(1, 300) i`;

const changes: readonly (readonly [what: string, sql: string])[] = [
  ["a column that was added with a default", "alter table a add column more int not null default 3"],
  ["a column whose type was changed", "alter table a alter column n type text using 'n' || n"],
  ["a column that was renamed", "alter table a rename column n to m"],
  ["a column that was dropped", "alter table a drop column n"],
  ["a table that was made anew", `drop table a; create table a (id int primary key, n int, v text); ${rows("a")}`],
  [
    "another key",
    "alter table a alter column n set not null; alter table a drop constraint a_pkey; alter table a add primary key (n)",
  ],
];

export function readsSuite(
  name: string,
  open: (sql: string) => Promise<PostgresFixture>,
  skip: string | false = false,
): void {
  describe(name, { skip }, () => {
    for (const [what, sql] of changes) {
      test(`${what} leads to that table being read anew, alone and while the others go on`, async () => {
        await using fixture = await open(
          `create table a (id int primary key, n int, v text); create table b (id int primary key, n int, v text); ${rows("a")}; ${rows("b")}`,
        );
        const source = fixture.source(["a", "b"], { settings: { ...small, auditMs: 20 } });
        await fixture.caughtUp(source);
        await fixture.sql("update a set n = -n where id < 5");
        await fixture.sql(
          `begin; insert into a (id, n, v) values (1000, 1000, 'x'); ${sql}; update a set v = 'y' where v = 'v7'; commit`,
        );
        await fixture.sql("insert into b values (1000, 1, 'z'); delete from a where v = 'v8'");
        while (!(await reads(fixture)).includes("a")) await soon();
        await settled(fixture, source);
        await assertSame(fixture, "a");
        await assertSame(fixture, "b");
        assert.deepEqual([...new Set(await reads(fixture))], ["a"]);
        assert.equal(await snapshots(fixture), 1);
        await fixture.sql(
          "insert into a (v) select 'late' where false; update a set v = 'w' where v = 'v9'; insert into b values (1001, 1, 'z')",
        );
        await settled(fixture, source);
        await assertSame(fixture, "a");
        await assertSame(fixture, "b");
      });
    }

    test("shape changes while nobody captured are read at the next start, of these tables alone", async () => {
      await using fixture = await open(
        `create table a (id int primary key, n int, v text); create table b (id int primary key, n int, v text); ${rows("a")}; ${rows("b")}`,
      );
      await fixture.caughtUp(fixture.source(["a", "b"]));
      await fixture.restart();
      await fixture.sql(
        "update a set n = 0 where id = 1; alter table a alter column n type text; insert into a values (400, 'x', 'y'); insert into b values (400, 1, 'y')",
      );
      const source = fixture.source(["a", "b"], { settings: small });
      await settled(fixture, source);
      await assertSame(fixture, "a");
      await assertSame(fixture, "b");
      assert.deepEqual(await reads(fixture), ["a"]);
      assert.equal(await snapshots(fixture), 1);
    });

    const kinds: readonly (readonly [what: string, table: string, rows: string])[] = [
      [
        "a key of two columns",
        "a int, b text, v text, primary key (b, a)",
        "select i % 7, 'k' || i / 7, 'v' || i from generate_series(1, 400) i",
      ],
      [
        "a key of text with quotes, backslashes and another order than that of bytes",
        'k text collate "und-x-icu" primary key, v text',
        `select c || i, 'v' from generate_series(1, 60) i, unnest(array['a', 'A', 'ä', 'Z', '''', '"', '\\', E'\\t', '~', '_']) c`,
      ],
      [
        "an index with a collation of its own as identity",
        'k text collate "und-x-icu" not null, v text',
        "select c || i, 'v' from generate_series(1, 60) i, unnest(array['a', 'B', 'c', 'D', '-']) c",
      ],
      [
        "a uuid key",
        "id uuid primary key, v text",
        "select md5(i::text)::uuid, 'v' || i from generate_series(1, 400) i",
      ],
      [
        "a numeric key with NaN",
        "id numeric primary key, v text",
        "select i / 3.0, 'v' from generate_series(-200, 200) i union all select 'NaN', 'n'",
      ],
      [
        "a timestamp key with infinities",
        "id timestamptz primary key, v text",
        "select now() - i * interval '1 day', 'v' from generate_series(1, 300) i union all select 'infinity', 'i'",
      ],
    ];

    for (const [what, columns, fill] of kinds) {
      test(`a table that is added later is read in chunks: ${what}`, async () => {
        await using fixture = await open(
          `create table b (id int primary key); create table a (${columns}); insert into a ${fill}; set timezone = 'UTC'`,
        );
        if (what.startsWith("an index")) {
          await fixture.sql(
            'create unique index a_k on a (k collate "C"); alter table a replica identity using index a_k',
          );
        }
        await fixture.caughtUp(fixture.source(["b"]));
        await fixture.restart();
        const source = fixture.source(["b", "a"], { settings: small });
        await settled(fixture, source);
        const chunks = (await fixture.events()).filter(({ status }) => status === "TABLE_CHUNK").length;
        assert.ok(chunks >= 2, `${chunks} chunks`);
        const key = await fixture.sql("select count(*)::int as n from a");
        const told = await replayed(fixture, "shop.public.a");
        assert.equal(told.length, key[0]?.n);
        if (!what.includes("timestamp")) await assertSame(fixture, "a");
        assert.equal(await snapshots(fixture), 1);
      });
    }

    test("a partitioned table that is added later is read whole, and its changes come under its own name", async () => {
      await using fixture = await open(
        `create table b (id int primary key);
         create table a (id int, region int, v text, primary key (region, id)) partition by list (region);
         create table a_1 partition of a for values in (1);
         create table a_2 (v text, region int not null, id int not null, primary key (region, id)); alter table a attach partition a_2 for values in (2);
         insert into a select i, 1 + i % 2, 'v' || i from generate_series(1, 400) i`,
      );
      await fixture.caughtUp(fixture.source(["b"]));
      await fixture.restart();
      const source = fixture.source(["b", "a"], { settings: small });
      await fixture.sql("update a set v = 'w' where id < 20; delete from a where id > 390");
      await settled(fixture, source);
      await assertSame(fixture, "a");
    });

    test("a table without a key is read while the stream is held back, and every row is there as often as in the source", async () => {
      await using fixture = await open(
        `create table b (id int primary key); create table a (n int, v text); alter table a replica identity full;
         insert into a select i % 50, 'v' || i % 3 from generate_series(1, 400) i`,
      );
      await fixture.caughtUp(fixture.source(["b"]));
      await fixture.restart();
      const source = fixture.source(["b", "a"], { settings: small });
      const client = await fixture.connect();
      for (let i = 0; i < 40; i++) {
        await client.query(
          `insert into a values (${i}, 'new'); update a set v = v || '.' where ctid = (select min(ctid) from a); insert into b values (${i})`,
        );
        await client.query("delete from a where ctid = (select max(ctid) from a where v <> 'new')");
      }
      await settled(fixture, source);
      await assertSame(fixture, "a");
      await assertSame(fixture, "b");
      await fixture.sql("alter table a alter column n type text; insert into a values ('t', 'after')");
      while ((await reads(fixture)).length < 2) await soon();
      await settled(fixture, source);
      await assertSame(fixture, "a");
      assert.equal(await snapshots(fixture), 1);
    });

    test("while a table is read its rows change, move, vanish and come again, large values left alone: it ends as the source's", async (t) => {
      const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(performance.now() * 1e6) % 1e9);
      t.diagnostic(`seed ${seed}`);
      const random = seededRandom(seed);
      await using fixture = await open(
        `create table b (id int primary key); create table a (id int primary key, n int, v text);
         alter table a alter column v set storage external;
         insert into a select i * 2, i, repeat('x', 2200) || i from generate_series(1, 400) i`,
      );
      await fixture.caughtUp(fixture.source(["b"]));
      await fixture.restart();
      const source = fixture.source(["b", "a"], { settings: { ...small, chunkBytes: 64 * 1024 } });
      const clients = await Promise.all([fixture.connect(), fixture.connect()]);
      const id = () => 1 + random.below(900);
      const step = (): string => {
        const dice = random.below(10);
        if (dice < 4) return `update a set n = n + 1 where id = ${id()}`;
        if (dice < 6) return `update a set id = ${id()} where id = ${id()}`;
        if (dice < 7) return `delete from a where id = ${id()}`;
        if (dice < 9)
          return `insert into a values (${id()}, 0, repeat('y', ${random.below(2) * 2200}) || ${id()}) on conflict (id) do update set v = excluded.v`;
        return `update a set v = repeat('z', 2200) || ${id()} where id = ${id()}`;
      };
      let over = false;
      const work = clients.map(async (client) => {
        for (let n = 0; n < 400 && !over; n++) {
          const sql = ["begin", step(), step(), random.below(8) === 0 ? "rollback" : "commit"];
          for (const one of sql) await client.query(one).catch(() => client.query("rollback"));
        }
      });
      await until(source, (state) => state === "streaming");
      await Promise.all(work);
      over = true;
      await settled(fixture, source);
      await assertSame(fixture, "a");
      assert.equal(await snapshots(fixture), 1);
    });

    for (const dead of [false, true]) {
      const when = dead ? "after a crash, before the next start" : "live";
      test(`a table whose rows are written anew while it is read, ${when}, is read from its beginning`, async () => {
        await using fixture = await open(
          `create table b (id int primary key); create table a (id int primary key, v text);
           insert into a select i, repeat('v', 100) from generate_series(1, 20000) i`,
        );
        await fixture.caughtUp(fixture.source(["b"]));
        await fixture.restart();
        const settings = { ...small, chunkBytes: 64 * 1024 };
        let source = fixture.source(["b", "a"], { settings });
        while ((source.status().reading[0]?.rows ?? 0) < 2_000) await soon();
        if (dead) await fixture.cutPower();
        await fixture.sql("alter table a alter column v type text using upper(v)");
        if (dead) source = fixture.source(["b", "a"], { settings });
        await settled(fixture, source);
        await assertSame(fixture, "a");
        assert.deepEqual(await reads(fixture), ["a", "a"]);
      });
    }

    test("a crash while a table is read costs a chunk: the next start goes on behind the last one that is in the log", async () => {
      await using fixture = await open(
        `create table b (id int primary key); create table a (id int primary key, v text);
         insert into a select i, repeat('v', 100) from generate_series(1, 20000) i`,
      );
      await fixture.caughtUp(fixture.source(["b"]));
      await fixture.restart();
      const settings = { ...small, chunkBytes: 64 * 1024 };
      let source = fixture.source(["b", "a"], { settings });
      let rowsBefore = 0;
      for (let cut = 1; cut <= 3; cut++) {
        while ((source.status().reading[0]?.rows ?? 0) < rowsBefore + 2_000) {
          assert.ok(!lastIsWhole(await fixture.events(), "shop.public.a"));
          await soon();
        }
        await fixture.cutPower();
        await fixture.sql(
          `update a set v = 'cut ${cut}' where id % 1000 = ${cut}; delete from a where id % 1000 = 10 + ${cut}; insert into b values (${cut})`,
        );
        source = fixture.source(["b", "a"], { settings });
        while (source.status().reading.length === 0) await soon();
        rowsBefore = source.status().reading[0]?.rows ?? 0;
        assert.ok(rowsBefore > 0);
      }
      await settled(fixture, source);
      await assertSame(fixture, "a");
      assert.deepEqual(await reads(fixture), ["a"]);
      const copied = (await fixture.values("shop.public.a")).filter((value) => value?.op === "r").length;
      assert.ok(copied < 30_000, `${copied} rows were read in all`);
    });
  });
}
