import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { postgres } from "../catalog/definitions.ts";
import { failure, PostgresFixture, recovered, remembering, until } from "./postgres-fixture.ts";
import { soon } from "./source.suite.ts";
import type { Source } from "./source.ts";

const held = async (fixture: PostgresFixture) => ({
  slots: (await fixture.sql("select 1 from pg_replication_slots where database = current_database()")).length,
  publications: (await fixture.sql("select 1 from pg_publication")).length,
});
const ids = async (fixture: PostgresFixture) =>
  (await fixture.values("shop.public.t")).flatMap((value) => (value?.after == null ? [] : [value.after.id]));
const snapshots = async (fixture: PostgresFixture) =>
  (await fixture.events()).filter(({ status }) => status === "SNAPSHOT_BEGIN").length;
const kindOf = (source: Source) => source.status().state.kind;

test("a paused source stands still through restarts, and loses nothing where its slot was kept", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const first = await fixture.running(["t"]);
  await first.hold("paused", "keep");
  assert.deepEqual([kindOf(first), (await held(fixture)).slots], ["paused", 1]);
  await fixture.sql("insert into t values (1)");
  await fixture.restart();
  const second = fixture.source(["t"], { mode: "dev" });
  await until(second, (state) => state === "paused");
  // What it costs the server stands in the status.
  while (second.status().wal === null) await soon();
  // Neither does a stop that gives slots up take what somebody has told to keep.
  await second.stop({ release: true });
  assert.equal((await held(fixture)).slots, 1);
  await fixture.restart();
  const third = fixture.source(["t"]);
  await until(third, (state) => state === "paused");
  await third.resume();
  await fixture.caughtUp(third);
  assert.deepEqual(await ids(fixture), [1]);
  assert.equal(await snapshots(fixture), 1);
});

test("a pause that drops the slot keeps nothing in the server, and a resume reads anew", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key); insert into t values (1)");
  const source = await fixture.running(["t"]);
  await source.hold("paused", "drop");
  const { state, slot } = source.status();
  assert.deepEqual([state.kind, "slot" in state && state.slot, slot], ["paused", "dropped", null]);
  assert.deepEqual(await held(fixture), { slots: 0, publications: 1 });
  await fixture.sql("insert into t values (2)");
  await source.resume();
  await fixture.caughtUp(source);
  assert.deepEqual(await ids(fixture), [1, 1, 2]);
  assert.equal(await snapshots(fixture), 2);
});

test("a removed source leaves nothing in the database, and is not started again by a restart", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const first = await fixture.running(["t"]);
  await first.hold("removed", "drop");
  assert.deepEqual(await held(fixture), { slots: 0, publications: 0 });
  await fixture.restart();
  const second = fixture.source(["t"]);
  await until(second, (state) => state === "removed");
  assert.deepEqual(await held(fixture), { slots: 0, publications: 0 });
  second.resnapshot();
  await recovered(second);
  assert.equal(await snapshots(fixture), 2);
});

test("a source can be paused before it ever ran, and while its server is away", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key); insert into t values (1)");
  const away = "postgres://postgres@127.0.0.1:1/x";
  const first = fixture.source(["t"], { url: away });
  await first.hold("paused", "drop");
  assert.equal(kindOf(first), "paused");
  assert.ok(first.status().warnings.some((warning) => /could not be dropped/.test(warning)));
  await fixture.restart();
  const second = fixture.source(["t"]);
  await until(second, (state) => state === "paused");
  await second.resume();
  await fixture.caughtUp(second);
  assert.deepEqual(await ids(fixture), [1]);
});

test("a slot that could not be dropped is dropped when its server is there again", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  await fixture.running(["t"]);
  await fixture.restart();
  const second = fixture.source(["t"], { url: "postgres://postgres@127.0.0.1:1/x" });
  await second.hold("paused", "drop");
  assert.equal((await held(fixture)).slots, 1);
  await fixture.restart();
  const third = fixture.source(["t"]);
  await until(third, (state) => state === "paused");
  while ((await held(fixture)).slots > 0) await soon();
});

test("who lost the source to another owner can neither pause it nor drop its slot", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const first = await fixture.running(["t"]);
  const second = await fixture.running(["t"]);
  await assert.rejects(
    first.hold("paused", "drop"),
    (error) => MillraceError.is(error, "PRODUCER_FENCED") || MillraceError.is(error, "SOURCE_FAILED"),
  );
  await fixture.sql("insert into t values (1)");
  await fixture.caughtUp(second);
  assert.deepEqual(await ids(fixture), [1]);
});

const filled = async (fixture: PostgresFixture) => {
  await fixture.sql(
    "select pg_logical_emit_message(true, 'somebody', repeat('x', 1000000)) from generate_series(1, 3)",
  );
};

test("past its limit of held log a source pauses and says why; told to go on, it goes on", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const { diagnostics, said } = remembering();
  const definition = postgres("shop", { url: fixture.database.url, tables: ["t"], walHeldBytesMax: "1MB" });
  const source = await fixture.running(["t"], { definition, careMs: 10, diagnostics });
  while (source.status().wal === null) await soon();
  // A transaction that runs holds the log.
  const client = await fixture.connect();
  await client.query("begin; insert into t values (1)");
  await fixture.sql("checkpoint");
  await filled(fixture);
  await until(source, (state) => state === "paused");
  const { state } = source.status();
  assert.ok(state.kind === "paused" && state.slot === "kept" && state.error?.code === "SOURCE_WAL_FULL");
  assert.match(state.error.hint ?? "", /resume shop.*drop-slot/s);
  assert.ok(said.some((line) => /stands still.*walHeldBytesMax is 1 MiB/.test(line)));
  await source.resume();
  await client.query("commit");
  await fixture.caughtUp(source);
  assert.deepEqual(await ids(fixture), [1]);
});

test("with onWalFull drop-slot the slot is given up, and the source read anew", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const { url } = fixture.database;
  const definition = postgres("shop", { url, tables: ["t"], walHeldBytesMax: "1MB", onWalFull: "drop-slot" });
  const { diagnostics, said } = remembering();
  const source = await fixture.running(["t"], { definition, careMs: 10, diagnostics });
  while (source.status().wal === null) await soon();
  const client = await fixture.connect();
  await client.query("begin; insert into t values (1)");
  await fixture.sql("checkpoint");
  await filled(fixture);
  while (!said.some((line) => line.startsWith("the slot is given up"))) await soon();
  await client.query("commit");
  while ((await snapshots(fixture)) < 2) await soon();
  await fixture.caughtUp(source);
  assert.deepEqual((await ids(fixture)).at(-1), 1);
});

test("the limit holds while a source is paused: a slot that was to be kept is dropped, and it says so", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const { url } = fixture.database;
  const definition = postgres("shop", { url, tables: ["t"], walHeldBytesMax: "1MB", onWalFull: "drop-slot" });
  const { diagnostics, said } = remembering();
  const source = await fixture.running(["t"], { definition, diagnostics });
  await source.hold("paused", "keep");
  await filled(fixture);
  while ((await held(fixture)).slots > 0) await soon();
  for (;;) {
    const { state } = source.status();
    if (state.kind === "paused" && state.slot === "dropped" && state.error?.code === "SOURCE_WAL_FULL") break;
    await soon();
  }
  assert.ok(said.some((line) => /stands still.*"slot":"dropped".*walHeldBytesMax/.test(line)));
});

test("a refusal at the start is told as one, or answered as was said beforehand", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key); insert into t values (1)");
  const first = await fixture.running(["t"]);
  assert.equal(first.refusedAtStart(), null);
  const slot = first.status().slot ?? "";
  const lose = async () => {
    await fixture.sql("select pg_drop_replication_slot($1)", [slot]);
    await fixture.sql("select pg_create_logical_replication_slot($1, 'pgoutput')", [slot]);
  };
  await fixture.restart();
  await lose();
  const second = fixture.source(["t"]);
  assert.equal((await failure(second)).code, "SOURCE_SLOT_AHEAD");
  assert.equal(second.refusedAtStart()?.code, "SOURCE_SLOT_AHEAD");
  await fixture.restart();
  const third = await fixture.running(["t"], { whenRefused: "adopt" });
  assert.equal(third.refusedAtStart(), null);
  assert.equal((await fixture.events()).filter(({ status }) => status === "GAP").length, 1);
  await fixture.restart();
  await lose();
  await fixture.running(["t"], { whenRefused: "resnapshot" });
  assert.equal(await snapshots(fixture), 2);
  // Where nothing is refused it means nothing.
  await fixture.restart();
  await fixture.running(["t"], { whenRefused: "resnapshot" });
  assert.equal(await snapshots(fixture), 2);
});

test("an adoption of a source that runs changes nothing, now or later", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const source = await fixture.running(["t"]);
  const slot = source.status().slot ?? "";
  source.adopt();
  await fixture.sql("select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1", [slot]);
  await fixture.caughtUp(source);
  await source.stop();
  await fixture.sql("select pg_drop_replication_slot($1)", [slot]);
  assert.equal((await failure(fixture.source(["t"]))).code, "SOURCE_SLOT_LOST");
  assert.equal((await fixture.events()).filter(({ status }) => status === "GAP").length, 0);
});

test("a limit of held log that is no size, or an answer to one that was not set, is refused where it is written", () => {
  const url = "postgres://u@h/d";
  const refused = (options: object) =>
    assert.throws(
      () => postgres("shop", { url, tables: ["t"], ...options } as never),
      (error) => MillraceError.is(error, "DEFINITION_INVALID"),
    );
  refused({ walHeldBytesMax: "much" });
  refused({ walHeldBytesMax: 20 });
  refused({ onWalFull: "drop-slot" });
  refused({ walHeldBytesMax: "20GB", onWalFull: "panic" });
  assert.equal(postgres("shop", { url, tables: ["t"], walHeldBytesMax: "20GB" }).walHeldBytesMax, 20 * 1024 ** 3);
});
