import assert from "node:assert/strict";
import { test } from "node:test";
import { oldKeyHeader, readChange, unchangedHeader } from "../schema/envelope.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { Frontier } from "../schema/transaction-events.ts";
import { type Envelope, PostgresFixture } from "./postgres-fixture.ts";
import { eventsOf } from "./source.suite.ts";

const told = ({ op, before, after }: Envelope): unknown[] => [op, before, after];
const large = "string_agg(md5(i::text || random()), '') from generate_series(1, 300) i";

test("a changed key is a delete, a tombstone and a create with Debezium's headers", async () => {
  await using fixture = await PostgresFixture.open("create table pairs (a int, b text, v text, primary key (a, b))");
  const source = fixture.source(["pairs"]);
  await fixture.caughtUp(source);
  await fixture.sql("insert into pairs values (1, 'x', 'v')");
  await fixture.sql("update pairs set b = 'y'");
  await fixture.caughtUp(source);
  const records = await fixture.read("shop.public.pairs");
  assert.deepEqual(
    records.map(({ key, value, headers }) => [
      String(key),
      value === null ? null : JSON.parse(String(value)).op,
      headers.map((header) => `${header.key}: ${header.value}`),
    ]),
    [
      ['{"a":1,"b":"x"}', "c", []],
      ['{"a":1,"b":"x"}', "d", ['__debezium.newkey: {"a":1,"b":"y"}']],
      ['{"a":1,"b":"x"}', null, ['__debezium.newkey: {"a":1,"b":"y"}']],
      ['{"a":1,"b":"y"}', "c", ['__debezium.oldkey: {"a":1,"b":"x"}']],
    ],
  );
  const end = (await fixture.events()).findLast(({ status }) => status === "END");
  assert.equal(end?.status === "END" && end.event_count, 2);
});

test("a large value that did not change is absent, named, and never made up", async () => {
  await using fixture = await PostgresFixture.open(`
    create table docs (id int primary key, body text, tags jsonb, n int);
    alter table docs alter body set storage external, alter tags set storage external;
    create table whole (id int primary key, body text, n int);
    alter table whole alter body set storage external; alter table whole replica identity full;
    insert into docs select 1, ${large};
    update docs set tags = jsonb_build_object('t', body);
    insert into whole select 1, body from docs`);
  const source = fixture.source(["docs", "whole"]);
  await fixture.caughtUp(source);
  await fixture.sql("update docs set n = 1; update docs set id = 2; update docs set body = null");
  await fixture.sql("update whole set n = 1; update whole set id = 2");
  await fixture.caughtUp(source);
  const shape = source.status().tables[0] as TableShape;
  const records = (await fixture.read("shop.public.docs")).filter(({ value }) => value !== null);
  const changes = records.map(({ key, value, headers }) => readChange(value as Buffer, key, headers, shape));
  assert.deepEqual(
    changes.slice(1).map(({ op, row }) => [op, ...row]),
    [
      ["upsert", "1", undefined, undefined, "1"],
      ["delete", "1", undefined, undefined, undefined],
      ["upsert", "2", undefined, undefined, "1"],
      ["upsert", "2", null, undefined, "1"],
    ],
  );
  assert.deepEqual(changes[3]?.oldKey, ["1", undefined, undefined, undefined]);
  const names = records[3]?.headers.find(({ key }) => key === unchangedHeader)?.value;
  assert.equal(String(names), '["body","tags"]');
  assert.ok(records[3]?.headers.some(({ key }) => key === oldKeyHeader));
  // With replica identity full the old row has the value, and so has the event.
  const whole = (await fixture.values("shop.public.whole")).filter((value) => value !== null);
  const body = (await fixture.sql("select body from whole"))[0]?.body;
  assert.deepEqual(
    whole.map(({ op, before, after }) => [op, before?.body === body, after?.body === body]),
    [
      ["r", false, true],
      ["u", true, true],
      ["d", true, false],
      ["c", false, true],
    ],
  );
});

test("tables without a key: whole old rows under replica identity full, inserts only when append-only", async () => {
  await using fixture = await PostgresFixture.open(`
    create table bag (v text, n int); alter table bag replica identity full;
    create table history (v text)`);
  const source = fixture.source(["bag", { name: "history", appendOnly: true }] as never);
  await fixture.caughtUp(source);
  await fixture.sql("insert into bag values ('a', 1), ('a', 1), (null, 2)");
  await fixture.sql("update bag set n = 3 where v is null; delete from bag where ctid = (select min(ctid) from bag)");
  await fixture.sql("insert into history values ('x'), ('y')");
  // Not captured, and above all not refused by the server because of us.
  await fixture.sql("update history set v = 'z' where v = 'x'; delete from history where v = 'z'");
  await fixture.caughtUp(source);
  const bag = await fixture.read("shop.public.bag");
  assert.ok(bag.every(({ key }) => key === null));
  assert.deepEqual((await fixture.values("shop.public.bag")).slice(3).map(told), [
    ["u", { v: null, n: 2 }, { v: null, n: 3 }],
    ["d", { v: "a", n: 1 }, null],
  ]);
  assert.deepEqual((await fixture.values("shop.public.history")).map(told), [
    ["c", null, { v: "x" }],
    ["c", null, { v: "y" }],
  ]);
});

test("a truncate of several tables is an event of each, in its place", async () => {
  await using fixture = await PostgresFixture.open(`
    create table a (id int primary key); create table b (id int primary key references a)`);
  const source = fixture.source(["a", "b"]);
  await fixture.caughtUp(source);
  await fixture.sql("begin; insert into a values (1); truncate a cascade; insert into a values (2); commit");
  await fixture.caughtUp(source);
  const ops = (values: Envelope[]) => values.map(({ op, after }) => `${op}${after?.id ?? ""}`);
  assert.deepEqual(ops(await fixture.values("shop.public.a")), ["c1", "t", "c2"]);
  assert.deepEqual(ops(await fixture.values("shop.public.b")), ["t"]);
});

test("odd names reach the events as they are, and the topic as what it can carry", async () => {
  await using fixture = await PostgresFixture.open(`
    create schema "Odd Schema"; create table "Odd Schema"."Täble ""x""" ("Key ä" int primary key, "a.b" text)`);
  const source = fixture.source(['Odd Schema.Täble "x"']);
  await fixture.caughtUp(source);
  await fixture.sql(`insert into "Odd Schema"."Täble ""x""" values (1, 'v')`);
  await fixture.caughtUp(source);
  const [event] = await fixture.values("shop.Odd_Schema.T_ble__x_");
  assert.deepEqual(event?.after, { "Key ä": 1, "a.b": "v" });
  assert.equal(event?.source.table, 'Täble "x"');
});

test("a rolled-back transaction and a rolled-back savepoint leave nothing, small or streamed while it runs", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key, v text)");
  await fixture.sql(`alter database ${fixture.database.name} set logical_decoding_work_mem = '64kB'`);
  const source = fixture.source(["t"], {
    settings: { spoolBytes: 64 * 1024, partBytes: 128 * 1024, batchBytes: 32 * 1024 },
  });
  await fixture.caughtUp(source);
  const insert = (from: number, count: number) =>
    `insert into t select i, repeat('v', 100) from generate_series(${from}, ${from + count - 1}) i;`;
  await fixture.sql(`begin; ${insert(1, 2)} savepoint s; ${insert(10, 2)} rollback to s; ${insert(20, 1)} commit`);
  await fixture.sql(`begin; ${insert(30, 3)} rollback`);
  await fixture.sql(
    `begin; ${insert(1000, 3000)} savepoint a; ${insert(5000, 3000)} savepoint b; ${insert(9000, 3000)} rollback to a;
     ${insert(13000, 3000)} savepoint c; ${insert(20000, 10)} release c; commit`,
  );
  await fixture.sql(`begin; ${insert(100000, 5000)} rollback`);
  await fixture.sql(insert(7, 1));
  await fixture.caughtUp(source);
  const ids = (await fixture.values("shop.public.t")).map(({ after }) => Number(after?.id));
  const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
  assert.deepEqual(ids, [...range(1, 2), 20, ...range(1000, 3000), ...range(13000, 3000), ...range(20000, 10), 7]);
  const statistics = await fixture.sql(
    "select stream_txns > 0 as streamed from pg_stat_replication_slots where slot_name = $1",
    [source.status().slot],
  );
  assert.equal(statistics.length, 1);
  const orders = (await fixture.values("shop.public.t"))
    .slice(3, -1)
    .map(({ transaction }) => transaction?.total_order);
  assert.deepEqual(orders, range(1, 6010));
  assert.equal(await fixture.disk.exists("/data/spill/shop"), true);
  assert.deepEqual(await fixture.disk.list("/data/spill/shop"), []);
});

test("transactions that run side by side arrive in commit order, each whole", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key, v text)");
  await fixture.sql(`alter database ${fixture.database.name} set logical_decoding_work_mem = '64kB'`);
  const source = fixture.source(["t"], { settings: { spoolBytes: 100 * 1024 } });
  await fixture.caughtUp(source);
  const client = await fixture.connect();
  const insert = (from: number) =>
    `insert into t select i, repeat('v', 100) from generate_series(${from}, ${from + 1999}) i`;
  await fixture.sql("begin");
  await client.query("begin");
  await fixture.sql(insert(0));
  await client.query(insert(10000));
  await fixture.sql(insert(2000));
  await client.query(insert(12000));
  await client.query("commit");
  await fixture.sql("commit");
  await fixture.caughtUp(source);
  const ids = (await fixture.values("shop.public.t")).map(({ after }) => Number(after?.id));
  assert.deepEqual(ids, [
    ...Array.from({ length: 4000 }, (_, i) => 10000 + i),
    ...Array.from({ length: 4000 }, (_, i) => i),
  ]);
});

test("a column added without a default is a SCHEMA event before the rows that have it, and no snapshot", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  await fixture.sql("insert into t values (1)");
  await fixture.sql(
    "begin; insert into t values (2); alter table t add column p point; insert into t values (3, '(1,2)'); commit",
  );
  await fixture.caughtUp(source);
  const events = await fixture.events();
  const statuses = events
    .map(({ status }) => status)
    .filter((status) => status !== "HEARTBEAT" && status !== "SNAPSHOT_CHUNK");
  assert.deepEqual(statuses, ["SNAPSHOT_BEGIN", "SNAPSHOT_END", "BEGIN", "END", "SCHEMA", "BEGIN", "END"]);
  const schema = events.find((event) => event.status === "SCHEMA");
  assert.deepEqual(
    schema?.status === "SCHEMA" && schema.table.columns.map(({ name, storeType }) => `${name} ${storeType}`),
    ["id integer", "p text"],
  );
  const frontier: Frontier = schema?.status === "SCHEMA" ? schema.frontier : {};
  const records = await fixture.read("shop.public.t");
  assert.equal(records.filter(({ offset }) => offset < (frontier["shop.public.t"] ?? 0)).length, 1);
  assert.deepEqual(
    (await fixture.values("shop.public.t")).map(({ after }) => after),
    [{ id: 1 }, { id: 2 }, { id: 3, p: "(1,2)" }],
  );
  assert.ok(source.status().warnings.some((warning) => warning.includes("public.t.p is of type point")));
  // The log knows the new shape, so that a restart goes on.
  await fixture.restart();
  const again = fixture.source(["t"]);
  await fixture.sql("insert into t values (4, null)");
  await fixture.caughtUp(again);
  assert.equal((await fixture.events()).filter(({ status }) => status === "SNAPSHOT_BEGIN").length, 1);
  assert.deepEqual(
    again.status().tables[0]?.columns.map(({ name }) => name),
    ["id", "p"],
  );
});

test("a row that is no text in any encoding is set aside with its bytes, and the stream goes on", async () => {
  await using fixture = await PostgresFixture.open();
  const name = `${fixture.database.name}_ascii`;
  const [server] = await fixture.sql("select current_setting('server_version_num')::int >= 150000 as provides");
  const provider = server?.provides ? " locale_provider libc" : "";
  await fixture.sql(`create database ${name} encoding 'SQL_ASCII' locale 'C'${provider} template template0`);
  try {
    const url = fixture.database.url.replace(fixture.database.name, name);
    const client = await fixture.connect(url);
    await client.query("create table t (id int primary key, v text); insert into t values (1, E'\\xff'), (2, 'b')");
    const source = fixture.source(["t"], { url });
    await fixture.caughtUp(source);
    await client.query("begin; insert into t values (3, E'\\xfe\\xff'); insert into t values (4, 'd'); commit");
    await fixture.caughtUp(source);
    assert.deepEqual(
      (await fixture.values("shop.public.t")).map(({ op, after }) => `${op}${after?.id}`),
      ["r2", "c4"],
    );
    const rejected = (await fixture.read("shop.rejected")).map(({ value }) => JSON.parse(String(value)));
    assert.deepEqual(
      rejected.map(({ table, reason, transaction }) => [table, reason, transaction === null]),
      [
        ["public.t", "the row's text is not UTF-8", true],
        ["public.t", "the row's text is not UTF-8", false],
      ],
    );
    assert.ok(Buffer.from(rejected[1].bytes, "base64").includes(Buffer.from([0xfe, 0xff])));
    assert.ok(source.status().warnings.some((warning) => warning.includes("rows set aside in topic shop.rejected: 2")));
    await source.stop({ release: true });
  } finally {
    await fixture.sql(`drop database ${name} with (force)`);
  }
});

test("a transaction of a table that is not captured moves the position, and writes no record for it", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key); create table quiet (id int)");
  const source = fixture.source(["t"], { settings: { heartbeatMs: 3_600_000 } });
  await fixture.caughtUp(source);
  const before = source.status();
  await fixture.sql("insert into quiet select generate_series(1, 1000)");
  await fixture.caughtUp(source);
  assert.notEqual(source.status().position, before.position);
  const statuses = eventsOf(await fixture.read("shop.transaction")).map(({ status }) => status);
  assert.ok(!statuses.includes("BEGIN"));
});

test("heartbeats let an idle table's slot advance while others are busy", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key); create table busy (id int)");
  const source = fixture.source(["t"], { settings: { heartbeatMs: 10 } });
  await fixture.caughtUp(source);
  await fixture.sql("insert into busy select generate_series(1, 1000)");
  const end = (await fixture.sql("select pg_current_wal_lsn()::text as lsn"))[0]?.lsn;
  for (;;) {
    const slots = await fixture.sql(
      "select confirmed_flush_lsn >= $1::pg_lsn as done from pg_replication_slots where slot_name = $2",
      [end, source.status().slot],
    );
    if (slots[0]?.done === true) break;
  }
  assert.ok((await fixture.events()).some(({ status }) => status === "HEARTBEAT"));
});

test("a row of many megabytes is an event; one that no topic takes is set aside, and the stream goes on", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key, v text)");
  await fixture.sql("insert into t values (1, repeat('x', 1500000))");
  const source = fixture.source(["t"], { settings: { eventBytesMax: 3_000_000 } });
  await fixture.caughtUp(source);
  await fixture.sql("insert into t values (2, repeat(E'y\\\\', 700000))");
  await fixture.sql("insert into t values (3, repeat('z', 4000000))");
  await fixture.sql("insert into t values (4, 'small')");
  await fixture.caughtUp(source);
  const sizes = (await fixture.values("shop.public.t")).map(({ after }) => [after?.id, String(after?.v).length]);
  assert.deepEqual(sizes, [
    [1, 1_500_000],
    [2, 1_400_000],
    [4, 5],
  ]);
  const rejected = (await fixture.read("shop.rejected")).map(({ value }) => JSON.parse(String(value)));
  assert.deepEqual(
    rejected.map(({ reason, bytes }) => [reason.slice(0, 25), bytes]),
    [["the event is larger than ", null]],
  );
});
