import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer } from "node:net";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { postgres } from "../catalog/definitions.ts";
import { failure, PostgresFixture, recovered, remembering, until } from "./postgres-fixture.ts";
import { checkServer } from "./server-setup.ts";
import { soon } from "./source.suite.ts";
import { sourceError } from "./source-error.ts";

const facts = {
  version: 180_004,
  walLevel: "logical",
  database: "shop",
  encoding: "UTF8",
  user: "app",
  standby: false,
  walKeepUnbounded: true,
};

test("a server that is too old, without logical wal_level, or a standby before 16 is refused with the way out", () => {
  const refusal = (more: Partial<typeof facts>): MillraceError => {
    try {
      checkServer("shop", { ...facts, ...more });
    } catch (error) {
      if (MillraceError.is(error)) return error;
    }
    return assert.fail("it was accepted");
  };
  checkServer("shop", facts);
  assert.equal(refusal({ version: 130_015 }).code, "SOURCE_VERSION_UNSUPPORTED");
  const level = refusal({ walLevel: "replica" });
  assert.equal(level.code, "SOURCE_WAL_LEVEL");
  assert.match(level.hint ?? "", /alter system set wal_level = 'logical'/);
  assert.equal(refusal({ standby: true, version: 150_003 }).code, "SOURCE_NOT_PERMITTED");
  checkServer("shop", { ...facts, standby: true });
});

for (const [what, sql, table, message] of [
  ["a table that does not exist", "", "missing", /no table "public.missing"/],
  ["a view", "create view v as select 1 as id", "v", /is a view/],
  ["a materialized view", "create materialized view m as select 1 as id", "m", /is a materialized view/],
  ["an unlogged table", "create unlogged table u (id int primary key)", "u", /is unlogged/],
] as const) {
  test(`${what} is refused with the reason`, async () => {
    await using fixture = await PostgresFixture.open(sql);
    const error = await failure(fixture.source([table]));
    assert.equal(error.code, "SOURCE_TABLE_UNKNOWN");
    assert.match(error.message, message);
    assert.ok(error.hint);
  });
}

test("a table without a key is refused with every way out, and each of them works", async () => {
  await using fixture = await PostgresFixture.open("create table t (v text)");
  const source = fixture.source(["t"]);
  const error = await failure(source);
  assert.equal(error.code, "SOURCE_TABLE_WITHOUT_KEY");
  assert.match(error.hint ?? "", /alter table "public"."t" replica identity full/);
  assert.match(error.hint ?? "", /add primary key/);
  assert.match(error.hint ?? "", /appendOnly: true/);
  // It is looked at again by itself.
  await fixture.sql(`alter table "public"."t" replica identity full`);
  await recovered(source);
  assert.equal(source.status().tables[0]?.key, null);
});

for (const away of [false, true]) {
  test(`a captured table that is dropped holds back no others, ${away ? "while nobody captures" : "live"}, and is read when it is there again`, async () => {
    await using fixture = await PostgresFixture.open(
      "create table a (id int primary key); create table b (id int primary key); insert into a values (1); insert into b values (1)",
    );
    const settings = { auditMs: 10, heartbeatMs: 20 };
    let source = fixture.source(["a", "b"], { settings });
    await fixture.caughtUp(source);
    if (away) await fixture.restart();
    await fixture.sql("insert into a values (2); drop table a; insert into b values (2)");
    if (away) source = fixture.source(["a", "b"], { settings });
    while (!source.status().warnings.some((warning) => /"public.a" is gone/.test(warning))) await soon();
    await fixture.caughtUp(source);
    assert.deepEqual(
      (await fixture.values("shop.public.b")).map((value) => value?.after?.id),
      [1, 2],
    );
    assert.deepEqual(
      source.status().tables.map(({ table }) => table),
      ["a", "b"],
    );
    await fixture.sql("create table a (id int primary key); insert into a values (3)");
    const isWhole = async () => (await fixture.events()).some(({ status }) => status === "TABLE_END");
    while (!(await isWhole())) await soon();
    await fixture.sql("insert into a values (4)");
    await fixture.caughtUp(source);
    assert.deepEqual(
      (await fixture.values("shop.public.a")).slice(-2).map((value) => value?.after?.id),
      [3, 4],
    );
    while (source.status().warnings.some((warning) => /is gone/.test(warning))) await soon();
  });
}

test("a captured table that has another name for a while is read again when it has its own back", async () => {
  await using fixture = await PostgresFixture.open(
    "create table a (id int primary key); create table b (id int primary key); insert into a values (1)",
  );
  await fixture.caughtUp(fixture.source(["a", "b"]));
  await fixture.restart();
  await fixture.sql("alter table a rename to c; insert into c values (2); insert into b values (1)");
  await fixture.caughtUp(fixture.source(["a", "b"]));
  await fixture.restart();
  await fixture.sql("alter table c rename to a");
  await fixture.caughtUp(fixture.source(["a", "b"]));
  assert.deepEqual(
    (await fixture.values("shop.public.a")).slice(-2).map((value) => value?.after?.id),
    [1, 2],
  );
});

test("a table whose key is deferrable is refused, for the source's own updates would fail; full rows are a way out", async () => {
  await using fixture = await PostgresFixture.open(
    "create table t (id int, v int, primary key (id) deferrable); insert into t values (1, 1)",
  );
  const source = fixture.source(["t"]);
  const error = await failure(source);
  assert.equal(error.code, "SOURCE_TABLE_WITHOUT_KEY");
  assert.match(error.message, /a primary key that is deferrable/);
  await fixture.sql("update t set v = 2");
  await fixture.sql("alter table t replica identity full");
  await recovered(source);
  assert.equal(source.status().tables[0]?.key, null);
  await fixture.sql("update t set v = 3");
});

test("a table whose updates are not published is refused, for the source's own updates would fail", async () => {
  await using fixture = await PostgresFixture.open(
    "create table t (id int primary key); alter table t replica identity nothing",
  );
  const error = await failure(fixture.source(["t"]));
  assert.equal(error.code, "SOURCE_TABLE_WITHOUT_KEY");
  assert.match(error.hint ?? "", /replica identity default/);
});

test("tables that would share a topic are refused", async () => {
  await using fixture = await PostgresFixture.open();
  const error = await failure(fixture.source(["a b", "a_b"]));
  assert.equal(error.code, "SOURCE_TOPIC_COLLISION");
  assert.match(error.hint ?? "", /topic:/);
});

test("a role without the rights is told the SQL for each, one after the other", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key); insert into t values (1)");
  const role = `role_${randomBytes(5).toString("hex")}`;
  await fixture.sql(`create role ${role} login password 'secret'`);
  try {
    const url = fixture.database.url.replace(/\/\/[^@]*@/, `//${role}:secret@`);
    const { diagnostics, said } = remembering();
    const source = fixture.source(["t"], { url, diagnostics });
    const told = async (pattern: RegExp) => {
      for (;;) {
        const { state } = source.status();
        if (state.kind === "failed" && pattern.test(state.error.hint ?? "")) return state.error;
        await soon();
      }
    };
    assert.equal((await told(/grant select on "public"."t" to/)).code, "SOURCE_NOT_PERMITTED");
    assert.ok(!source.status().url.includes("secret"), "the password is not shown");
    await fixture.sql(`grant select on t to ${role}`);
    await told(/alter role .* replication/);
    await fixture.sql(`alter role ${role} replication`);
    const { hint } = await told(/create publication/);
    // The hint is the SQL itself.
    await fixture.sql((hint ?? "").replace(/^.*?: /, ""));
    await recovered(source);
    await source.stop({ release: true });
    // The slot was its own, the publication is the administrator's.
    assert.deepEqual(
      said.filter((line) => line.includes("given up")),
      [],
    );
    assert.equal((await fixture.sql("select from pg_publication")).length, 1);
  } finally {
    await fixture.sql(
      "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()",
    );
    await fixture.sql(`drop owned by ${role}; drop role ${role}`);
  }
});

test("a server that is down is tried again until it is there, and the tries are said once", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const port = await new Promise<number>((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
  const { diagnostics, said } = remembering();
  const source = fixture.source(["t"], { url: `postgres://postgres@127.0.0.1:${port}/x`, diagnostics });
  await until(source, (state) => state === "waiting");
  const { state } = source.status();
  assert.equal(state.kind === "waiting" && state.error.code, "SOURCE_UNREACHABLE");
  assert.ok(state.kind === "waiting" && state.retryAtMs > 0);
  await source.stop();
  assert.equal(source.status().state.kind, "stopped");
  assert.equal(said.filter((line) => line.includes("does not go on")).length, 1);
});

test("the address of a pooler is recognised by its name and by its answer", async () => {
  await using fixture = await PostgresFixture.open();
  const named = await failure(fixture.source(["t"], { url: "postgres://u@ep-x-pooler.eu.example.com/db" }));
  assert.equal(named.code, "SOURCE_POOLER");
  assert.match(named.hint ?? "", /ep-x\.eu\.example\.com/);
  const answered = sourceError(new Error("unsupported startup parameter: replication"), { name: "shop", url: "" });
  assert.equal(answered.code, "SOURCE_POOLER");
});

test("types that are not known and settings that are dangerous stand in the warnings", async () => {
  await using fixture = await PostgresFixture.open(
    "create table t (id int primary key, p point, twice int generated always as (id * 2) stored)",
  );
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  const { warnings } = source.status();
  assert.ok(warnings.includes("public.t.p is of type point, which is carried as text"));
  assert.ok(warnings.includes("public.t.twice is a generated column, which is left out"));
  assert.ok(warnings.some((warning) => warning.startsWith("max_slot_wal_keep_size is -1")));
});

test("a stop that gives up leaves neither slot nor publication in the database; any other stop leaves both", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key); create table h (v text)");
  const tables = ["t", { name: "h", appendOnly: true }] as never;
  const left = async () => [
    (await fixture.sql("select 1 from pg_replication_slots where database = current_database()")).length,
    (await fixture.sql("select 1 from pg_publication")).length,
  ];
  const first = fixture.source(tables);
  await fixture.caughtUp(first);
  await first.stop();
  assert.deepEqual(await left(), [1, 2]);
  const second = fixture.source(tables);
  await fixture.caughtUp(second);
  await second.stop({ release: true });
  assert.deepEqual(await left(), [0, 0]);
  assert.equal(second.status().slot, null);
});

test("a publication of a table without updates never publishes updates", async () => {
  await using fixture = await PostgresFixture.open("create table h (v text)");
  const source = fixture.source([{ name: "h", appendOnly: true }] as never);
  await fixture.caughtUp(source);
  assert.deepEqual(await fixture.sql("select pubinsert, pubupdate, pubdelete, pubtruncate from pg_publication"), [
    { pubinsert: true, pubupdate: false, pubdelete: false, pubtruncate: true },
  ]);
});

test("a program that is meant to stay gives nothing up", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const source = fixture.source(["t"], { mode: "start" });
  await fixture.caughtUp(source);
  await source.stop({ release: true });
  assert.equal((await fixture.sql("select 1 from pg_replication_slots where database = current_database()")).length, 1);
});

test("the first load reads over as many connections as the definition says", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const { url } = fixture.database;
  const client = await fixture.connect();
  await client.query("begin");
  // The server waits for its own slot, and is faster than whoever must connect first.
  const locked = client.query(`do $$ begin
    loop exit when exists (select from pg_replication_slots where database = current_database() and confirmed_flush_lsn is not null); end loop;
    lock table t in access exclusive mode; end $$`);
  const source = fixture.source(["t"], {
    definition: postgres("shop", { url, tables: ["t"], snapshot: { connections: 3 } }),
  });
  await locked;
  const waiting = "select from pg_locks where relation = 't'::regclass and not granted";
  while ((await fixture.sql(waiting)).length === 0) await soon();
  const reading = `select from pg_stat_activity where datname = current_database() and
    (query like 'set transaction snapshot%' or query like 'lock table%access share%')`;
  assert.equal((await fixture.sql(reading)).length, 3);
  await client.query("rollback");
  await fixture.caughtUp(source);
});
