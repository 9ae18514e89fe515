import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { postgres } from "../catalog/definitions.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { EndEvent } from "../schema/transaction-events.ts";
import { closeConnection, connect } from "./connection.ts";
import { PostgresFixture } from "./postgres-fixture.ts";

interface MessageJson {
  readonly op: string;
  readonly source: Readonly<Record<string, unknown>>;
  readonly message: { readonly prefix: string; readonly content: string };
  readonly transaction: Readonly<Record<string, unknown>> | null;
}

async function messages(fixture: PostgresFixture): Promise<MessageJson[]> {
  return (await fixture.values("shop.message")) as unknown as MessageJson[];
}

const ends = async (fixture: PostgresFixture): Promise<EndEvent[]> =>
  (await fixture.events()).filter((event) => event.status === "END");

test("a logical message is an event as Debezium writes it, in its transaction and its frontier; one outside is alone", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  await fixture.sql("begin; insert into t values (1)");
  await fixture.sql("select pg_logical_emit_message(true, 'app.audit', 'within')");
  await fixture.sql("insert into t values (2); commit");
  await fixture.sql("begin; select pg_logical_emit_message(true, 'app.audit', 'rolled back')");
  await fixture.sql("select pg_logical_emit_message(false, 'log', '\\x00ff'::bytea); rollback");
  await fixture.caughtUp(source);
  const [within, outside, ...more] = await messages(fixture);
  assert.ok(within && outside);
  assert.deepEqual(more, []);
  const [end] = await ends(fixture);
  assert.deepEqual(within.message, { prefix: "app.audit", content: Buffer.from("within").toString("base64") });
  assert.deepEqual(within.transaction, { id: end?.id, total_order: 2, data_collection_order: 1 });
  assert.deepEqual(
    [within.op, within.source.schema, within.source.table, within.source.snapshot, within.source.txId],
    ["m", "", "", "false", Number(end?.id.split(":")[0])],
  );
  assert.deepEqual(outside.message, { prefix: "log", content: Buffer.from([0, 255]).toString("base64") });
  assert.deepEqual([outside.transaction, outside.source.txId], [null, null]);
  const [first] = await fixture.read("shop.message");
  assert.equal(String(first?.key), '{"prefix":"app.audit"}');
  assert.deepEqual(end?.data_collections, [
    { data_collection: "public.t", event_count: 2 },
    { data_collection: "LOGICAL_DECODING_MESSAGE", event_count: 1 },
  ]);
  assert.deepEqual(end?.frontier, { "shop.public.t": 2, "shop.message": 1 });
});

test("messages are there once across restarts, also those outside of transactions, large ones and streamed ones", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key, v text)");
  await fixture.sql(`alter database ${fixture.database.name} set logical_decoding_work_mem = '64kB'`);
  let source = fixture.source(["t"], { settings: { spoolBytes: 64 * 1024 } });
  await fixture.caughtUp(source);
  const other = await fixture.connect();
  const said: string[] = [];
  for (let round = 0; round < 4; round++) {
    await fixture.sql("begin");
    await fixture.sql("insert into t select i, repeat('v', 100) from generate_series($1::int, $1 + 999) i", [
      round * 1000,
    ]);
    await fixture.sql("select pg_logical_emit_message(true, 'm', repeat($1, 100000))", [String(round)]);
    await fixture.sql("savepoint s; select pg_logical_emit_message(true, 'm', 'undone'); rollback to s");
    await other.query("select pg_logical_emit_message(false, 'm', $1)", [`at once ${round}`]);
    await fixture.sql("commit");
    said.push(`at once ${round}`, String(round).repeat(100_000));
    await fixture.caughtUp(source);
    await (round % 2 === 0 ? fixture.cutPower() : fixture.restart());
    source = fixture.source(["t"], { settings: { spoolBytes: 64 * 1024 } });
  }
  await fixture.caughtUp(source);
  assert.equal((await fixture.read("shop.public.t")).filter(({ value }) => value !== null).length, 4000);
  assert.deepEqual(
    (await fixture.read("shop.rejected")).map(({ value }) => String(value).slice(0, 200)),
    [],
  );
  const brief = (text: string) => `${text.slice(0, 20)} (${text.length})`;
  assert.deepEqual(
    (await messages(fixture)).map(({ message }) => brief(String(Buffer.from(message.content, "base64")))),
    said.map(brief),
  );
});

test("messages of Millrace's own are no events", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  await fixture.sql(
    "select pg_logical_emit_message(true, 'millrace.heartbeat', ''), pg_logical_emit_message(false, 'millrace.x', '')",
  );
  await fixture.caughtUp(source);
  assert.deepEqual(await messages(fixture), []);
  assert.deepEqual(await fixture.read("shop.rejected"), []);
});

for (const large of [false, true]) {
  const what = large ? "large and streamed before it is prepared" : "small";
  test(`a prepared transaction, ${what}, comes whole with its COMMIT PREPARED, although we restarted in between`, async () => {
    await using fixture = await PostgresFixture.open("create table t (id int primary key, v text)");
    await fixture.sql(`alter database ${fixture.database.name} set logical_decoding_work_mem = '64kB'`);
    let source = fixture.source(["t"]);
    await fixture.caughtUp(source);
    const rows = large ? 5_000 : 3;
    const { name } = fixture.database;
    const prepare = (from: number, gid: string) =>
      fixture.sql(`begin; insert into t select i, repeat('v', 100) from generate_series(${from}, ${from + rows - 1}) i;
        prepare transaction '${name}_${gid}'`);
    await prepare(1, "kept");
    await prepare(100_000, "undone");
    await fixture.sql("insert into t values (-1)");
    await fixture.caughtUp(source);
    const prepared = (await fixture.sql("select pg_current_wal_lsn()::text as lsn"))[0]?.lsn as string;
    await fixture.restart();
    source = fixture.source(["t"]);
    await fixture.sql("insert into t values (-2)");
    await fixture.caughtUp(source);
    // What is confirmed lies behind the PREPARE: the server keeps the transaction by itself.
    const [slot] = await fixture.sql(
      "select confirmed_flush_lsn >= $1::pg_lsn as past, two_phase from pg_replication_slots where slot_name = $2",
      [prepared, source.status().slot],
    );
    assert.deepEqual(slot, { past: true, two_phase: false });
    await fixture.sql(`rollback prepared '${name}_undone'`);
    await fixture.sql(`commit prepared '${name}_kept'`);
    await fixture.sql("insert into t values (-3)");
    await fixture.caughtUp(source);
    assert.deepEqual(
      (await fixture.values("shop.public.t")).map(({ after }) => after?.id),
      [-1, -2, ...Array.from({ length: rows }, (_, i) => 1 + i), -3],
    );
    assert.deepEqual(
      (await ends(fixture)).map(({ event_count }) => event_count),
      [1, 1, rows, 1],
    );
  });
}

test("a slot that was altered to decode prepared transactions is refused before anything of one is passed over", async (t) => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const [server] = await fixture.sql("select current_setting('server_version_num')::int >= 180000 as alters");
  if (server?.alters !== true) return t.skip("skipped: slots can be altered from PostgreSQL 18 on");
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  const { slot, position } = source.status();
  await source.stop();
  const address = { name: "shop", url: fixture.database.url };
  const replication = await connect(address, "replication");
  await replication.query(`ALTER_REPLICATION_SLOT "${slot}" (TWO_PHASE true)`);
  await closeConnection(replication);
  const name = fixture.database.name;
  await fixture.sql(`begin; insert into t values (1); prepare transaction '${name}'`);
  const again = fixture.source(["t"]);
  const error = await failed(again);
  assert.equal(error.code, "SOURCE_SLOT_FOREIGN");
  assert.match(error.message, new RegExp(`begin-prepare of "${name}"`));
  assert.equal(again.status().position, position);
  assert.deepEqual(await fixture.values("shop.public.t"), []);
  await fixture.sql(`rollback prepared '${name}'`);
});

test("a slot that was made anew to decode prepared transactions is refused", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  const { slot, position } = source.status();
  await source.stop();
  // The same place in a slot that was made to decode them.
  await fixture.sql("select pg_copy_logical_replication_slot($1, 'held')", [slot]);
  await fixture.sql("select pg_drop_replication_slot($1)", [slot]);
  await fixture.sql("select pg_create_logical_replication_slot($1, 'pgoutput', false, true)", [slot]);
  await fixture.sql("select pg_drop_replication_slot('held')");
  const again = fixture.source(["t"]);
  assert.ok(["SOURCE_SLOT_AHEAD", "SOURCE_SLOT_FOREIGN"].includes((await failed(again)).code));
  assert.equal(again.status().position, position);
});

test("a transaction that came by replication is told with its origin, or left out where that is asked for", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  await fixture.sql("select pg_replication_origin_create('elsewhere')");
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  const logOfItsOwn = await openLog();
  const { url } = fixture.database;
  const definition = postgres("shop", { url, tables: ["t"], origin: "none" });
  const own = fixture.source(["t"], { definition, engine: logOfItsOwn, logId: "22222222-0000" });
  const [server] = await fixture.sql("select current_setting('server_version_num')::int >= 160000 as knows");
  if (server?.knows === true) await fixture.caughtUp(own);
  else assert.equal((await failed(own)).code, "SOURCE_VERSION_UNSUPPORTED");
  await fixture.sql("select pg_replication_origin_session_setup('elsewhere')");
  await fixture.sql("begin; select pg_replication_origin_xact_setup('0/ABC', now()); insert into t values (1); commit");
  await fixture.sql("select pg_replication_origin_session_reset()");
  await fixture.sql("insert into t values (2)");
  await fixture.caughtUp(source);
  assert.deepEqual(
    (await ends(fixture)).map(({ origin }) => origin),
    [{ name: "elsewhere", lsn: "0/ABC" }, undefined],
  );
  if (server?.knows === true) {
    await fixture.caughtUp(own);
    assert.equal((await logOfItsOwn.offsets("shop.public.t", 0)).highWatermark, 1);
  }
  await own.stop({ release: true });
  await logOfItsOwn.close();
  await fixture.sql("select pg_replication_origin_drop('elsewhere')");
});

function openLog() {
  return openEmbeddedEngine({
    disk: new SimulatedDisk(seededRandom(21)),
    directory: "/log",
    clock: systemClock,
    random: seededRandom(22),
    diagnostics: silentDiagnostics,
  });
}

async function failed(source: ReturnType<PostgresFixture["source"]>) {
  for (;;) {
    const { state } = source.status();
    if (state.kind === "failed") return state.error;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
