import assert from "node:assert/strict";
import { test } from "node:test";
import { publishVia } from "../catalog/define/outbox.ts";
import { PostgresFixture } from "./postgres-fixture.ts";
import type { Source } from "./source.ts";

/** Rows with more than 2,000 bytes are set aside, as those are that a newer version can read. */
const strict = { settings: { eventBytesMax: 3_000 } };
const large = "repeat('x', 2800)";

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

test("a row of a snapshot that was set aside is written by a retry, as what it is", async () => {
  await using fixture = await PostgresFixture.open(
    `create table t (id int primary key, v text);
     insert into t values (1, 'a'), (2, ${large} || E'\\t\\n\\\\'), (3, null)`,
  );
  await fixture.caughtUp(fixture.source(["t"], strict));
  assert.deepEqual(await told(fixture), ["r 1", "r 3"]);
  const source = await restarted(fixture);
  assert.deepEqual(await source.retry(), { tried: 1, written: 1, superseded: 0, refused: 0, reasons: [], more: false });
  assert.deepEqual(await told(fixture), ["r 1", "r 3", "r 2"]);
  const [row] = await fixture.sql("select v from t where id = 2");
  const event = (await fixture.values("shop.public.t")).at(-1);
  assert.deepEqual([event?.after?.v, event?.transaction?.id], [row?.v, "retry:0"]);
  const end = (await fixture.events()).findLast(({ status }) => status === "END");
  assert.equal(end?.status === "END" && end.event_count, 1, "a frontier tells that it is there");
  assert.equal((await source.retry()).tried, 0);
});

test("a row of a snapshot is superseded by whatever the stream has told of its key since", async () => {
  await using fixture = await PostgresFixture.open(
    `create table t (id int primary key, v text); insert into t select id, ${large} from generate_series(1, 4) as id`,
  );
  let source = fixture.source(["t"], strict);
  await fixture.caughtUp(source);
  await fixture.sql("update t set v = 'b' where id = 1");
  await fixture.sql("delete from t where id = 2");
  await fixture.sql("update t set id = 5, v = 'c' where id = 3");
  await fixture.caughtUp(source);
  source = await restarted(fixture);
  const { tried, written, superseded } = await source.retry();
  assert.deepEqual([tried, written, superseded], [4, 1, 3]);
  assert.deepEqual((await told(fixture)).at(-1), "r 4");
});

test("what was set aside before a truncate is superseded, also where no event names its key", async () => {
  await using fixture = await PostgresFixture.open(
    `create table t (id int primary key, v text); insert into t values (1, ${large})`,
  );
  let source = fixture.source(["t"], strict);
  await fixture.caughtUp(source);
  await fixture.sql(`insert into t values (2, ${large})`);
  await fixture.sql("truncate t");
  await fixture.sql(`insert into t values (3, ${large})`);
  await fixture.caughtUp(source);
  source = await restarted(fixture);
  const { tried, written, superseded } = await source.retry();
  assert.deepEqual([tried, written, superseded], [3, 1, 2]);
  assert.deepEqual((await told(fixture)).at(-1), "c 3");
});

test("a row of a snapshot whose newer event leaves out its large value is not lost: the table is to be read anew", async () => {
  await using fixture = await PostgresFixture.open(
    "create table t (id int primary key, n int, v text); alter table t alter v set storage external",
  );
  await fixture.sql(`insert into t values (1, 1, ${large})`);
  let source = fixture.source(["t"], strict);
  await fixture.caughtUp(source);
  await fixture.sql("update t set n = 2");
  await fixture.caughtUp(source);
  source = await restarted(fixture);
  const { refused, reasons } = await source.retry();
  assert.equal(refused, 1);
  assert.match(String(reasons), /leaves out what is set aside here; the table can be read anew/);
});

test("a row of a table that was read alone is written by a retry, and superseded when the table was read once more", async () => {
  await using fixture = await PostgresFixture.open(
    `create table t (id int primary key, v text); create table u (id int primary key, v text); insert into u values (1, ${large})`,
  );
  await fixture.caughtUp(fixture.source(["t"], strict));
  await fixture.restart();
  await fixture.caughtUp(fixture.source(["t", "u"], strict));
  await fixture.restart();
  let source = fixture.source(["t", "u"]);
  await fixture.caughtUp(source);
  assert.equal((await source.retry()).written, 1);
  const ids = async () => (await fixture.values("shop.public.u")).map((event) => `${event.op} ${event.after?.id}`);
  assert.deepEqual(await ids(), ["r 1"]);
  await fixture.sql(`insert into u values (2, ${large})`);
  await fixture.restart();
  source = fixture.source(["t", "u"], strict);
  source.resnapshot();
  await fixture.caughtUp(source);
  await source.stop();
  source = await (async () => {
    await fixture.restart();
    const again = fixture.source(["t", "u"]);
    again.resnapshot();
    await fixture.caughtUp(again);
    return again;
  })();
  const { written, superseded, refused } = await source.retry();
  assert.deepEqual([written, refused], [0, 0]);
  assert.ok(superseded > 0);
});

test("what cannot be tried says why: a table without a key, and bytes that were not kept", async () => {
  await using fixture = await PostgresFixture.open(
    `create table t (id int primary key, v text); create table bag (v text); alter table bag replica identity full;
     insert into bag values (${large})`,
  );
  const source = fixture.source(["t", "bag"], { ...strict, settings: { ...strict.settings, auditMs: 3_600_000 } });
  await fixture.caughtUp(source);
  await fixture.sql(`insert into bag values (${large}); update bag set v = v || 'y'`);
  await fixture.sql("insert into t values (2, repeat('x', 2000000))");
  await fixture.caughtUp(source);
  const before = await source.retry();
  assert.deepEqual([before.tried, before.refused], [5, 5], String(before.reasons));
  assert.deepEqual(before.reasons.length, 2, String(before.reasons));
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

test("a source warns of what was set aside until a retry has left nothing of it", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key)");
  const source = fixture.source(["t"]);
  await fixture.caughtUp(source);
  const warned = () => source.status().warnings.some((warning) => warning.startsWith("rows set aside"));
  await publishVia("late", { id: 1 }, { via: fixture.client });
  await fixture.caughtUp(source);
  await source.retry();
  assert.ok(warned());
  await fixture.engine.createTopic("late");
  await source.retry();
  assert.ok(!warned());
  await publishVia("later", { id: 1 }, { via: fixture.client });
  await fixture.caughtUp(source);
  assert.ok(warned());
});
