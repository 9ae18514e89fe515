import assert from "node:assert/strict";
import { test } from "node:test";
import { CuttingProxy } from "../../../test/support/cutting-proxy.ts";
import { systemClock } from "../../base/clock.ts";
import { PostgresFixture } from "../postgres-fixture.ts";
import { soon } from "../source.suite.ts";

type Tables = Parameters<PostgresFixture["source"]>[0];

/** What the topic has when `changes` were made, and the table read again, before the stream told anything of them. */
async function readBeforeTheStream(tables: Tables, changes: readonly string[]): Promise<string[]> {
  await using fixture = await PostgresFixture.open("create table t (id int primary key, v int)");
  await fixture.sql("insert into t values (1, 1)");
  const { hostname: host, port } = new URL(fixture.database.url);
  await using proxy = await CuttingProxy.listen({ target: { host, port: Number(port) }, clock: systemClock });
  const source = fixture.source(tables, { url: proxy.url(fixture.database.url), settings: { auditMs: 20 } });
  await fixture.caughtUp(source);
  // So that the stream has told the shape.
  await fixture.sql("insert into t values (2, 1)");
  await fixture.caughtUp(source);
  const [stream] = await fixture.sql(
    "select a.client_port::int as port from pg_replication_slots s join pg_stat_activity a on a.pid = s.active_pid where s.slot_name = $1",
    [source.status().slot],
  );
  proxy.stall(stream?.port as number);
  for (const change of changes) await fixture.sql(change);
  const readAndPlaced =
    "select 1 from pg_stat_activity where datname = current_database() and state = 'idle' and pid <> pg_backend_pid() and query like '%pg_current_wal_insert_lsn%'";
  while (source.status().reading.length === 0 || (await fixture.sql(readAndPlaced)).length === 0) await soon();
  proxy.resume();
  await fixture.caughtUp(source);
  assert.equal((await fixture.events()).filter(({ status }) => status === "TABLE_BEGIN").length, 1);
  return (await fixture.values("shop.public.t")).map(({ op, after }) => `${op} ${after?.id}=${after?.v}`);
}

test("rows of a chunk are written when the stream has passed all that they were read with", async () => {
  const changes = ["update t set v = 2 where id = 1", "alter table t alter v type bigint"];
  assert.deepEqual(await readBeforeTheStream(["t"], changes), ["r 1=1", "c 2=1", "r 1=2", "r 2=1"]);
});

test("what a table that is read at once was read with is passed over when the stream tells it", async () => {
  const tables = [{ name: "t", appendOnly: true }] as never;
  const changes = [
    "alter table t drop constraint t_pkey",
    "insert into t values (3, 1)",
    "alter table t alter v type int using v + 0",
  ];
  assert.deepEqual(await readBeforeTheStream(tables, changes), ["r 1=1", "c 2=1", "r 1=1", "r 2=1", "r 3=1"]);
});
