import assert from "node:assert/strict";
import { test } from "node:test";
import { publishVia } from "../catalog/define/outbox.ts";
import { PostgresFixture } from "./postgres-fixture.ts";
import type { Source } from "./source.ts";

/** Rows with more than 2,000 bytes are set aside, as those are that a newer version can read. */
const strict = { settings: { eventBytesMax: 3_000 } };
const large = "repeat('x', 2500)";

async function restarted(fixture: PostgresFixture): Promise<Source> {
  await fixture.restart();
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  return source;
}

const told = async (fixture: PostgresFixture) =>
  (await fixture.values("shop.public.t")).map((event) => event && `${event.op} ${(event.after ?? event.before)?.id}`);

test("what was set aside is written by a retry, in a transaction of its own, once, also in the same try after a crash", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key, v text)");
  let source = fixture.source(["t"], strict);
  await fixture.caughtUp(source);
  await fixture.sql(`insert into t values (1, 'small'), (2, ${large}), (3, ${large})`);
  await publishVia("late", { id: 1 }, { via: fixture.client, key: "k" });
  await fixture.caughtUp(source);
  assert.deepEqual(await told(fixture), ["c 1"]);
  const first = await source.retry();
  assert.deepEqual([first.tried, first.written, first.refused, first.more], [3, 0, 3, false]);
  assert.deepEqual(first.reasons, ["the event is larger than 3000 bytes", 'there is no topic "late"']);
  source = await restarted(fixture);
  await fixture.engine.createTopic("late");
  const second = await source.retry();
  assert.deepEqual(second, { tried: 3, written: 3, superseded: 0, refused: 0, reasons: [], more: false });
  assert.deepEqual(await told(fixture), ["c 1", "c 2", "c 3"]);
  assert.deepEqual(
    (await fixture.read("late")).map(({ key, value }) => `${key} ${value}`),
    ['k {"id":1}'],
  );
  // The end of the first log transaction is an offset, too.
  const offsets = 1;
  const end = (await fixture.events()).findLast((event) => event.status === "END");
  assert.deepEqual(
    [end?.id, end?.event_count, end?.frontier, end?.published],
    ["retry:0", 2, { "shop.public.t": 3 + offsets }, { late: { 0: 1 } }],
  );
  await fixture.cutPower();
  source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  assert.equal((await source.retry()).tried, 0);
  assert.deepEqual(await told(fixture), ["c 1", "c 2", "c 3"]);
});

test("a row whose key has a newer event is superseded: events of a key never change their order", async () => {
  await using fixture = await PostgresFixture.open(
    "create table t (id int primary key, v text); insert into t values (1, 'a'), (2, 'a'), (3, 'a'), (4, 'a')",
  );
  let source = fixture.source(["t"], strict);
  await fixture.caughtUp(source);
  await fixture.sql(`update t set v = ${large}`);
  await fixture.sql("update t set v = 'b' where id = 1");
  await fixture.sql("delete from t where id = 2");
  await fixture.sql(`update t set v = ${large} || 'y' where id = 3`);
  await fixture.sql("update t set id = 5, v = 'c' where id = 4");
  await fixture.caughtUp(source);
  source = await restarted(fixture);
  const { tried, written, superseded } = await source.retry();
  assert.deepEqual([tried, written, superseded], [5, 2, 3]);
  const rows = new Map<unknown, unknown>();
  for (const { key, value } of await fixture.read("shop.public.t")) {
    const after = value === null ? null : JSON.parse(String(value)).after;
    if (after === null) rows.delete(String(key));
    else rows.set(String(key), after.v);
  }
  const server = await fixture.sql("select * from t order by id");
  assert.deepEqual(
    [...rows].sort(),
    server.map(({ id, v }) => [`{"id":${id}}`, v]),
  );
});

test("a row from before its table was read anew is superseded, although the snapshot has no row of its key", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key, v text)");
  let source = fixture.source(["t"], strict);
  await fixture.caughtUp(source);
  await fixture.sql(`insert into t values (1, ${large})`);
  await fixture.caughtUp(source);
  await source.stop();
  // Nobody captures the delete.
  await fixture.sql("select pg_drop_replication_slot($1)", [source.status().slot]);
  await fixture.sql("delete from t");
  source = fixture.source(["t"]);
  source.resnapshot();
  await fixture.caughtUp(source);
  assert.deepEqual(await source.retry(), { tried: 1, written: 0, superseded: 1, refused: 0, reasons: [], more: false });
  assert.deepEqual(await told(fixture), []);
});

test("what cannot be tried says why: another shape, a table without a key, a row of a snapshot, bytes that were not kept", async () => {
  await using fixture = await PostgresFixture.open(
    `create table t (id int primary key, v text); create table bag (v text); alter table bag replica identity full;
     insert into t values (1, ${large} || ${large})`,
  );
  const source = fixture.source(["t", "bag"], { ...strict, settings: { ...strict.settings, auditMs: 3_600_000 } });
  await fixture.caughtUp(source);
  await fixture.sql(`insert into bag values (${large}); update bag set v = v || 'y'`);
  await fixture.sql(`insert into t values (2, repeat('x', 2000000))`);
  await fixture.caughtUp(source);
  const before = await source.retry();
  assert.deepEqual([before.tried, before.refused], [4, 4], String(before.reasons));
  assert.ok(
    before.reasons.some((reason) => /a row of a snapshot of table "public.t"/.test(reason)),
    String(before.reasons),
  );
  assert.ok(
    before.reasons.some((reason) => /"public.bag" has no key/.test(reason)),
    String(before.reasons),
  );
  assert.ok(
    before.reasons.some((reason) => /too large to be kept/.test(reason)),
    String(before.reasons),
  );
});

test("a source that does not stream says so", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const source = fixture.source(["t"]);
  await source.stop();
  await assert.rejects(source.retry(), { code: "SOURCE_UNREACHABLE" });
});
