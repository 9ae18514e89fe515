import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../../test/support/postgres.ts";
import { eventually } from "../../test/support/program.ts";
import { MillraceError } from "../base/errors.ts";
import { PostgresFixture } from "./postgres-fixture.ts";
import { sourceError } from "./source-error.ts";

const mebibyte = 1024 ** 2;

/** What the server keeps for the slot, when all that was written by now has been looked at. */
async function retained(fixture: PostgresFixture): Promise<number> {
  const [row] = await fixture.sql(
    "select pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::float8 as bytes from pg_replication_slots where database = current_database()",
  );
  return row?.bytes as number;
}

/** Resolves when the server keeps less than that; the test runner's own limit ends what never does. */
async function flowsOff(fixture: PostgresFixture, bytesMax: number): Promise<void> {
  await eventually(async () => {
    if ((await retained(fixture)) <= bytesMax) return true;
    // As the server does every 15 s by itself: where the running transactions stand is what lets a slot move on.
    await fixture.sql("checkpoint");
    return undefined;
  });
}

const noise = "select pg_logical_emit_message(true, 'somebody', repeat('x', 1000000)) from generate_series(1, 8)";

test("an idle captured table beside busy ones that are not captured holds no log", async () => {
  await using fixture = await PostgresFixture.open(
    "create table quiet (id int primary key); create table busy (id int, v text)",
  );
  const source = fixture.source(["quiet"], { settings: { heartbeatMs: 20 } });
  await fixture.caughtUp(source);
  for (let round = 0; round < 3; round++) {
    await fixture.sql("insert into busy select i, repeat(md5(i::text), 20) from generate_series(1, 12000) i");
    assert.ok((await retained(fixture)) > 4 * mebibyte);
    await flowsOff(fixture, mebibyte);
  }
  assert.equal((await fixture.values("shop.public.quiet")).length, 0);
});

test("nor does one beside a busy database of the same server", async () => {
  await using fixture = await PostgresFixture.open("create table quiet (id int primary key)");
  await using neighbour = await testDatabase();
  const source = fixture.source(["quiet"], { settings: { heartbeatMs: 20 } });
  await fixture.caughtUp(source);
  const client = await fixture.connect(neighbour.url);
  for (let round = 0; round < 3; round++) {
    await client.query(noise);
    assert.ok((await retained(fixture)) > 4 * mebibyte);
    await flowsOff(fixture, mebibyte);
  }
});

test("a source has one replication connection, and what the server keeps for it stands in its status", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const source = fixture.source(["t"], { careMs: 10, settings: { heartbeatMs: 20 } });
  await fixture.caughtUp(source);
  const [row] = await fixture.sql(
    "select count(*)::int as count from pg_stat_activity where backend_type = 'walsender' and datname = current_database()",
  );
  assert.equal(row?.count, 1);
  await fixture.sql(noise);
  const held = () => source.status().wal?.heldBytes ?? 0;
  await eventually(async () => held() >= 4 * mebibyte || undefined);
  await flowsOff(fixture, mebibyte);
  await eventually(async () => held() <= mebibyte || undefined);
  assert.equal(source.status().wal?.status, "reserved");
});

test("a server without room for one more connection, or one more slot, is told as what it is", () => {
  const said = (code: string, message: string) =>
    sourceError(Object.assign(new Error(message), { code }), { name: "shop", url: "" });
  const connections = said("53300", "sorry, too many clients already");
  assert.equal(connections.code, "SOURCE_UNREACHABLE");
  assert.equal(connections.action, "wait");
  const slots = said("53400", "all replication slots are in use");
  assert.equal(slots.code, "SOURCE_NOT_PERMITTED");
  assert.match(slots.hint ?? "", /max_replication_slots/);
  assert.ok(MillraceError.is(sourceError(slots, { name: "shop", url: "" }), "SOURCE_NOT_PERMITTED"));
});

test("a server that cannot decode its own log is told as that, with the way out", () => {
  for (const message of [
    'could not map filenumber "base/5/17351" to relation OID',
    'could not map filenode "base/5/17351" to relation OID',
  ]) {
    const error = sourceError(Object.assign(new Error(message), { code: "XX000" }), { name: "shop", url: "" });
    assert.equal(error.code, "SOURCE_UNDECODABLE");
    assert.match(error.hint ?? "", /sources resnapshot shop/);
  }
});

test("time limits that the role has for people do not end a capture", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const limits = ["statement_timeout", "lock_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout"];
  const url = new URL(fixture.database.url);
  url.searchParams.set("options", limits.map((limit) => `-c ${limit}=500`).join(" "));
  const source = fixture.source(["t"], { url: url.href.replaceAll("+", "%20") });
  await fixture.caughtUp(source);
  const connections = () =>
    fixture.sql(
      "select pid from pg_stat_activity where application_name = 'millrace shop' and datname = current_database() order by pid",
    );
  const before = await connections();
  assert.equal(before.length, 2);
  await fixture.sql("select pg_sleep(0.7)");
  await fixture.sql("insert into t values (1)");
  await fixture.caughtUp(source);
  assert.equal((await fixture.values("shop.public.t")).length, 1);
  assert.deepEqual(await connections(), before);
});
