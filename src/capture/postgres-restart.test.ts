import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { failure, PostgresFixture, recovered, remembering, until } from "./postgres-fixture.ts";
import { soon } from "./source.suite.ts";

const begins = async (fixture: PostgresFixture) =>
  (await fixture.events()).filter((event) => event.status === "SNAPSHOT_BEGIN");

/** Rows of the newest snapshot and everything after it, by id; a later event of an id wins. */
async function table(fixture: PostgresFixture, topic: string): Promise<Map<number, string[]>> {
  const begin = (await begins(fixture)).at(-1);
  const from = begin?.status === "SNAPSHOT_BEGIN" ? (begin.frontier[topic] ?? 0) : 0;
  const told = new Map<number, string[]>();
  for (const { offset, value } of await fixture.read(topic)) {
    if (offset < from || value === null) continue;
    const { op, after } = JSON.parse(String(value));
    told.set(after.id, [...(told.get(after.id) ?? []), op]);
  }
  return told;
}

test("a snapshot that is broken off is begun anew under another id, whose BEGIN cuts the old rows away", async () => {
  await using fixture = await PostgresFixture.open(
    "create table t (id int primary key, v text); insert into t select i, repeat('v', 200) from generate_series(1, 20000) i",
  );
  const settings = { chunkBytes: 64 * 1024, partBytes: 128 * 1024, batchBytes: 32 * 1024 };
  const first = fixture.source(["t"], { settings });
  for (;;) {
    const { state } = first.status();
    if (state.kind === "snapshotting" && state.rows > 2000) break;
    assert.notEqual(state.kind, "streaming");
    await new Promise((resolve) => setImmediate(resolve));
  }
  await fixture.cutPower();
  await fixture.sql("insert into t values (30000, 'late'); delete from t where id = 1");
  const second = fixture.source(["t"], { settings });
  await fixture.caughtUp(second);
  const events = await fixture.events();
  const [broken, whole] = await begins(fixture);
  assert.notEqual(broken?.id, whole?.id);
  assert.deepEqual(
    events.filter(({ status }) => status === "SNAPSHOT_END").map(({ id }) => id),
    [whole?.id],
  );
  const rows = await table(fixture, "shop.public.t");
  assert.equal(rows.size, 20000);
  assert.deepEqual(rows.get(30000), ["r"]);
  assert.ok([...rows.values()].every((ops) => ops.length === 1));
  const last = events.findLast((event) => event.status === "SNAPSHOT_CHUNK");
  assert.equal(last?.status === "SNAPSHOT_CHUNK" && last.rows, 20000);
});

test("wherever the power is cut while changes stream, each is in the log once, and whole transactions only", async () => {
  await using fixture = await PostgresFixture.open(
    "create table a (id int primary key); create table b (id int primary key)",
  );
  const first = fixture.source(["a", "b"]);
  await fixture.caughtUp(first);
  let next = 0;
  for (let cut = 1; cut <= 24; cut += 1) {
    // The log takes so many operations of the disk, and the one after is the last.
    fixture.disk.cutAfter(fixture.disk.operations + cut);
    while (!fixture.disk.isOff) {
      await fixture.sql(`begin; insert into a values (${next}); insert into b values (${next}); commit`);
      next++;
    }
    await fixture.cutPower();
    const source = fixture.source(["a", "b"]);
    await fixture.caughtUp(source);
    for (const topic of ["shop.public.a", "shop.public.b"]) {
      const ids = (await fixture.values(topic)).map(({ after }) => after?.id);
      assert.deepEqual(
        ids,
        Array.from({ length: next }, (_, i) => i),
        `cut ${cut}`,
      );
    }
  }
  const ends = (await fixture.events()).filter((event) => event.status === "END");
  assert.equal(ends.length, next);
  assert.equal((await begins(fixture)).length, 1);
});

test("the server cutting the connection costs nothing but the time to connect again", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  for (let i = 0; i < 5; i++) {
    await fixture.sql(`insert into t values (${i})`);
    await fixture.sql(
      "select pg_terminate_backend(active_pid) from pg_replication_slots where database = current_database()",
    );
    await until(source, (state) => state !== "streaming");
    await fixture.caughtUp(source);
  }
  assert.deepEqual(
    (await fixture.values("shop.public.t")).map(({ after }) => after?.id),
    [0, 1, 2, 3, 4],
  );
});

const dropSlot = "select pg_drop_replication_slot($slot)";
const refusals: readonly (readonly [what: string, sql: readonly string[], code: string])[] = [
  ["gone", [dropSlot], "SOURCE_SLOT_LOST"],
  [
    "made anew by somebody",
    [dropSlot, "insert into t values (3)", "select pg_create_logical_replication_slot($slot, 'pgoutput')"],
    "SOURCE_SLOT_AHEAD",
  ],
  [
    "advanced by somebody",
    ["insert into t values (3)", "select pg_replication_slot_advance($slot, pg_current_wal_lsn())"],
    "SOURCE_SLOT_AHEAD",
  ],
  ["of another kind", [dropSlot, "select pg_create_physical_replication_slot($slot)"], "SOURCE_SLOT_FOREIGN"],
];

for (const [what, sql, code] of refusals) {
  test(`a slot that is ${what} is refused, and a new snapshot is the way out`, async () => {
    await using fixture = await PostgresFixture.open("create table t (id int primary key); insert into t values (1)");
    const first = fixture.source(["t"]);
    await fixture.caughtUp(first);
    await fixture.sql("insert into t values (2)");
    await fixture.caughtUp(first);
    const slot = first.status().slot ?? "";
    await first.stop();
    for (const statement of sql) await fixture.sql(statement.replace("$slot", `'${slot}'`));
    const source = fixture.source(["t"]);
    const error = await failure(source);
    assert.equal(error.code, code);
    assert.match(error.hint ?? "", /millrace sources resnapshot shop/);
    assert.equal(error.action, "call-operator");
    const before = (await fixture.read("shop.public.t")).length;
    source.resnapshot();
    await recovered(source);
    await fixture.caughtUp(source);
    assert.equal((await begins(fixture)).length, 2);
    assert.ok((await fixture.read("shop.public.t")).length > before);
  });
}

test("another database behind the url is refused", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  await using other = await PostgresFixture.open("create table t (id int primary key)");
  await fixture.caughtUp(fixture.source(["t"]));
  await fixture.restart();
  const error = await failure(fixture.source(["t"], { url: other.database.url }));
  assert.equal(error.code, "SOURCE_REPLACED");
});

test("a table that was added to the definition is read alone; one that was taken out is let go", async () => {
  await using fixture = await PostgresFixture.open(`
    create table a (id int primary key); create table b (id int primary key); insert into a values (1); insert into b values (1)`);
  await fixture.caughtUp(fixture.source(["a"]));
  await fixture.restart();
  await fixture.caughtUp(fixture.source(["a", "b"]));
  assert.equal((await begins(fixture)).length, 1);
  assert.deepEqual(
    (await fixture.values("shop.public.b")).map(({ after }) => after),
    [{ id: 1 }],
  );
  await fixture.restart();
  const last = fixture.source(["b"]);
  await fixture.sql("insert into a values (2)");
  await fixture.sql("insert into b values (2)");
  await fixture.caughtUp(last);
  assert.equal((await begins(fixture)).length, 1);
  assert.deepEqual(
    last.status().tables.map((shape) => shape.table),
    ["b"],
  );
  assert.equal((await fixture.values("shop.public.a")).length, 1);
  assert.equal((await fixture.values("shop.public.b")).length, 2);
  assert.equal((await fixture.sql("select * from pg_publication_tables")).length, 1);
});

test("changes made to the tables while nobody captured are noticed at the start", async () => {
  await using fixture = await PostgresFixture.open(
    "create table t (id int primary key, v text); insert into t values (1, 'a')",
  );
  await fixture.caughtUp(fixture.source(["t"]));
  await fixture.restart();
  await fixture.sql("alter table t add column n int not null default 7");
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  assert.equal((await begins(fixture)).length, 1);
  const rows = (await fixture.values("shop.public.t")).map(({ after }) => after);
  assert.deepEqual(rows.at(-1), { id: 1, v: "a", n: 7 });
});

test("a log that fails is told as the log's error, and nothing is confirmed past it", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  const slot = source.status().slot;
  const confirmed = async () =>
    (
      await fixture.sql("select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = $1", [
        slot,
      ])
    )[0]?.lsn;
  const { position } = source.status();
  fixture.disk.cut();
  await fixture.sql("insert into t values (1)");
  await until(source, (state) => state === "failed" || state === "waiting");
  const { state } = source.status();
  assert.ok((state.kind === "failed" || state.kind === "waiting") && MillraceError.is(state.error));
  await source.stop();
  const behind = await fixture.sql("select $1::pg_lsn <= $2::pg_lsn as behind", [await confirmed(), position]);
  assert.equal(behind[0]?.behind, true);
});

test("a program that dies between giving up the old slot and beginning the new snapshot goes on with a snapshot", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key); insert into t values (1)");
  const first = fixture.source(["t"]);
  await fixture.caughtUp(first);
  // The new slot waits for this transaction.
  const client = await fixture.connect();
  await client.query("begin; insert into t values (2)");
  first.resnapshot();
  const slots =
    "select 1 from pg_replication_slots where database = current_database() and confirmed_flush_lsn is not null";
  while ((await fixture.sql(slots)).length > 0) await soon();
  await fixture.cutPower();
  await client.query("commit");
  await fixture.caughtUp(fixture.source(["t"]));
  assert.equal((await table(fixture, "shop.public.t")).size, 2);
});

test("who lost the source to another owner does not take the slot from it", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const first = fixture.source(["t"]);
  await fixture.caughtUp(first);
  const { diagnostics, said } = remembering();
  const second = fixture.source(["t"], { diagnostics });
  await until(first, (state) => state !== "streaming");
  const error = await failure(first);
  assert.equal(error.code, "PRODUCER_FENCED");
  await fixture.sql("insert into t values (1)");
  await fixture.caughtUp(second);
  assert.equal((await fixture.values("shop.public.t")).length, 1);
  assert.equal(said.filter((line) => line.startsWith("the stream begins")).length, 1);
});
