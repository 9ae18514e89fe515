import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../test/support/program.ts";
import { MillraceError } from "../base/errors.ts";
import type { Group } from "./group.ts";
import { live, until, ViewsFixture, viewOf } from "./group-fixture.ts";
import { type FixtureChange, tableShape } from "./source-fixture.ts";

const orders = tableShape("shop", "orders", [
  "id integer",
  "customer_id integer",
  "status text",
  "amount numeric(12,2)",
]);
const customers = tableShape("shop", "customers", ["id integer", "name text", "region text"]);

const byRegion = `select c.region, count(*) as n, sum(o.amount) as total
  from shop.orders o join shop.customers c on c.id = o.customer_id group by c.region`;
const cards =
  "select o.id, o.status, c.name, o.amount from shop.orders o join shop.customers c on c.id = o.customer_id";
const byStatus = "select status, count(*) as n from shop.orders group by status";

const people: readonly FixtureChange[] = [
  { table: customers, insert: ["1", "Ada", "north"] },
  { table: customers, insert: ["2", "Bob", "south"] },
];
const someOrders: readonly FixtureChange[] = [
  { table: orders, insert: ["10", "1", "new", "5.50"] },
  { table: orders, insert: ["11", "2", "paid", "7.00"] },
];
const order = (id: number, status = "new", amount = "1.00"): FixtureChange => {
  return { table: orders, insert: [String(id), "1", status, amount] };
};

const stateOf = (group: Group, view: string) => group.info(view).state;
const codeOf = (read: () => unknown): string => {
  try {
    read();
    return "none";
  } catch (error) {
    return MillraceError.from(error).code;
  }
};

test("views follow a snapshot and what is committed after it", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group([viewOf("by_region", byRegion, "region"), viewOf("cards", cards, "id")]);
  assert.equal(stateOf(group, "cards").kind, "building");
  assert.equal(
    codeOf(() => group.readable("cards")),
    "VIEW_BUILDING",
  );
  await shop.snapshot([...people, ...someOrders], 2);
  await live(group);
  assert.deepEqual(await fixture.rows("select * from views.by_region"), [
    '{"region":"north","n":1,"total":5.50}',
    '{"region":"south","n":1,"total":7.00}',
  ]);
  await shop.commit({ table: customers, update: ["1", "Ada", "south"] }, order(12, "new", "1.25"), {
    table: orders,
    delete: ["11", null, null, null],
  });
  await fixture.settled(group);
  assert.deepEqual(await fixture.rows("select * from views.by_region"), ['{"region":"south","n":2,"total":6.75}']);
  assert.deepEqual(await fixture.rows("select * from views.cards"), await fixture.rows(cards));
  const view = group.readable("by_region");
  assert.deepEqual(
    view.columns.map(({ name, type }) => [name, type]),
    [
      ["region", "text"],
      ["n", "bigint"],
      ["total", "numeric"],
    ],
  );
  assert.deepEqual(
    group.schemaFile().views.map((shape) => [shape.name, shape.key]),
    [
      ["by_region", ["region"]],
      ["cards", ["id"]],
    ],
  );
});

test("while a snapshot is incomplete its views are building, and a broken one starts again from nothing", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group([viewOf("cards", cards, "id")]);
  const first = await shop.beginSnapshot();
  await shop.chunk(first, [...people, ...someOrders], 8);
  await until(group, () => {
    const state = stateOf(group, "cards");
    return state.kind === "building" && state.rowsDone === 4 && state.rowsEstimated === 8;
  });
  await shop.snapshot([...people, order(20)]);
  await live(group);
  assert.deepEqual(await fixture.rows("select id from views.cards"), ['{"id":20}']);
  const before = group.position();
  const again = await shop.beginSnapshot();
  await until(group, () => stateOf(group, "cards").kind === "building");
  assert.deepEqual(await fixture.rows("select id from shop.orders"), []);
  await shop.chunk(again, [...people, order(21)]);
  await shop.endSnapshot(again);
  await live(group);
  assert.deepEqual(await fixture.rows("select id from views.cards"), ['{"id":21}']);
  assert.ok(group.position().generation > before.generation);
});

test("a view whose statement fails is failed with the reason, and no other waits for it", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const numbers = viewOf("numbers", "select id, status::integer as n from shop.orders", "id");
  const group = await fixture.group([numbers, viewOf("by_status", byStatus, "status")]);
  await shop.snapshot([...people, order(1, "7")]);
  await live(group);
  await shop.commit(order(2, "not a number"));
  await shop.commit(order(3, "8"));
  await fixture.settled(group);
  const state = stateOf(group, "numbers");
  assert.equal(state.kind === "failed" && state.error.details.sqlState, "22P02");
  assert.equal(
    codeOf(() => group.readable("numbers")),
    "VIEW_FAILED",
  );
  assert.deepEqual(await fixture.rows("select * from views.by_status"), await fixture.rows(byStatus));

  await group.rebuild("numbers");
  await until(group, () => stateOf(group, "numbers").kind === "failed");
  const tables = "select tablename from pg_tables where schemaname = 'millrace' and tablename ~ '^numbers__2'";
  assert.deepEqual(await fixture.rows(tables), []);
  await shop.commit({ table: orders, update: ["2", "1", "9", "1.00"] });
  await fixture.settled(group);
  await group.rebuild("numbers");
  await live(group);
  assert.deepEqual(await fixture.rows("select * from views.numbers"), [
    '{"id":1,"n":7}',
    '{"id":2,"n":9}',
    '{"id":3,"n":8}',
  ]);
});

test("a view that does not compile is listed as failed, and the others run", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group([
    viewOf("broken", "select nothing from shop.orders", "id"),
    viewOf("cards", cards, "id"),
  ]);
  await shop.snapshot([...people, ...someOrders]);
  await until(group, () => stateOf(group, "cards").kind === "live");
  const state = stateOf(group, "broken");
  assert.equal(state.kind === "failed" && state.error.code, "VIEW_UNKNOWN_COLUMN");
  assert.equal(group.info("broken").class, "unknown");
  assert.equal(group.compiled("broken"), null);
});

test("a changed definition is built anew and swapped with a new generation, an unchanged one goes on", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group([viewOf("cards", cards, "id"), viewOf("by_status", byStatus, "status")]);
  await shop.snapshot([...people, ...someOrders]);
  await live(group);
  const { generation } = group.position();
  const changed = `${cards} where o.status = 'paid'`;
  await group.reload([viewOf("cards", changed, "id"), viewOf("by_status", byStatus, "status")]);
  await live(group);
  assert.equal(group.position().generation, generation + 1);
  assert.equal(group.readable("cards").version, 2);
  assert.equal(group.readable("by_status").version, 1);
  await shop.commit(order(12, "paid"));
  await fixture.settled(group);
  assert.deepEqual(await fixture.rows("select id from views.cards"), ['{"id":11}', '{"id":12}']);
  assert.deepEqual(await fixture.rows("select * from views.by_status"), await fixture.rows(byStatus));
  const wider = "select o.id, o.amount::text as amount, o.status from shop.orders o";
  await group.reload([viewOf("cards", wider, "id"), viewOf("by_status", byStatus, "status")]);
  await live(group);
  assert.deepEqual(await fixture.rows("select * from views.cards"), await fixture.rows(wider));
  // Of the versions before, as soon as nobody reads them.
  const left = "select from pg_tables where schemaname = 'millrace' and tablename ~ '^cards__[12]'";
  await eventually(async () => (await fixture.rows(left)).length === 0 || undefined);
});

test("a table may have columns that are called as ours might be", async () => {
  await using fixture = await ViewsFixture.open();
  const odd = tableShape("shop", "odd", ["w integer", "batch integer", "d integer", "select integer"], { key: ["w"] });
  const shop = await fixture.source("shop", [odd]);
  const query = 'select batch as b, sum("select" * w) as total, count(d) as n from shop.odd group by batch';
  const group = await fixture.group([viewOf("odd_view", query, "b")]);
  await shop.snapshot([{ table: odd, insert: ["1", "5", "7", "2"] }]);
  await live(group);
  await shop.commit({ table: odd, insert: ["2", "5", null, "3"] }, { table: odd, update: ["1", "6", "7", "4"] });
  await fixture.settled(group);
  assert.deepEqual(await fixture.rows("select * from views.odd_view"), await fixture.rows(query));
});

test("a source that is defined later is followed, and one that is taken out is let go", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders]);
  const byState = viewOf("by_status", byStatus, "status");
  const group = await fixture.group([byState]);
  await shop.snapshot(someOrders);
  await live(group);
  const people = tableShape("crm", "people", ["id integer", "name text"]);
  const crm = await fixture.source("crm", [people]);
  const source = (name: string) => ({ name, tables: [] });
  await group.reload(
    [byState, viewOf("names", "select id, name from crm.people", "id")],
    [source("shop"), source("crm")],
  );
  await crm.snapshot([{ table: people, insert: ["1", "Ada"] }]);
  await live(group);
  await fixture.settled(group);
  assert.deepEqual(await fixture.rows("select name from views.names"), ['{"name":"Ada"}']);
  await group.reload([byState], [source("shop")]);
  const crmPosition = group.waitFor({ kind: "source", source: "crm", lsn: "0/1" }, 0);
  await assert.rejects(crmPosition, (error) => MillraceError.is(error, "SOURCE_UNKNOWN"));
  await shop.commit(order(12, "paid"));
  await group.waitFor({ kind: "source", source: "shop", lsn: shop.lsn }, 20_000);
  assert.deepEqual(await fixture.rows("select * from views.by_status"), await fixture.rows(byStatus));
});

test("a view that is not defined any more is dropped by dev, and kept right and listed by start", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const both = [viewOf("cards", cards, "id"), viewOf("by_status", byStatus, "status")];
  const first = await fixture.group(both);
  await shop.snapshot([...people, ...someOrders]);
  await live(first);
  await fixture.kill(first);
  const kept = await fixture.group(both.slice(1), { mode: "start" });
  await shop.commit(order(12));
  await fixture.settled(kept);
  assert.equal(stateOf(kept, "cards").kind, "removed");
  assert.equal(kept.readable("cards").name, "cards");
  assert.deepEqual(await fixture.rows("select * from views.cards"), await fixture.rows(cards));
  await fixture.kill(kept);
  const dev = await fixture.group(both.slice(1), { mode: "dev" });
  // Resolves when what is not needed any more is gone, too.
  await dev.reload(both.slice(1));
  await live(dev);
  assert.deepEqual(
    dev.list().map((view) => view.name),
    ["by_status"],
  );
  assert.deepEqual(await fixture.rows("select viewname from pg_views where schemaname = 'views'"), [
    '{"viewname":"by_status"}',
  ]);
  assert.deepEqual(await fixture.rows("select tablename from pg_tables where schemaname = 'shop'"), [
    '{"tablename":"orders"}',
  ]);
});

test("a table that was captured before is mirrored from the log when a view first reads it", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group([viewOf("by_status", byStatus, "status")]);
  await shop.snapshot([...people, ...someOrders]);
  await shop.commit(
    { table: customers, update: ["1", "Ada", "west"] },
    { table: customers, insert: ["3", "Cy", "east"] },
  );
  await shop.commit({ table: customers, delete: ["2", null, null] }, order(12));
  await fixture.settled(group);
  await group.reload([viewOf("by_status", byStatus, "status"), viewOf("cards", cards, "id")]);
  await live(group);
  await shop.commit({ table: customers, update: ["1", "Ann", "west"] });
  await fixture.settled(group);
  assert.deepEqual(await fixture.rows("select id, name from shop.customers"), [
    '{"id":1,"name":"Ann"}',
    '{"id":3,"name":"Cy"}',
  ]);
  assert.deepEqual(await fixture.rows("select * from views.cards"), await fixture.rows(cards));
});

test("columns that are added appear in the mirror, and views of the others go on", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group([viewOf("by_status", byStatus, "status")]);
  await shop.snapshot([...people, ...someOrders]);
  await shop.commit(order(12));
  const columns = orders.columns.map((column) => `${column.name} ${column.storeType}`);
  const wider = tableShape("shop", "orders", [...columns, "note text"]);
  await shop.changeShape(wider);
  await shop.commit({ table: wider, insert: ["13", "1", "new", "2.00", "quick"] });
  await fixture.settled(group);
  await live(group);
  assert.deepEqual(await fixture.rows("select id, note from shop.orders where id > 11"), [
    '{"id":12,"note":null}',
    '{"id":13,"note":"quick"}',
  ]);
  assert.deepEqual(await fixture.rows("select * from views.by_status"), await fixture.rows(byStatus));
});

test("a huge transaction is applied in parts and appears at once, with one change per row", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const images = "select status as image, count(*) as netted from shop.orders group by status";
  const group = await fixture.group([viewOf("by_status", byStatus, "status"), viewOf("images", images, "image")], {
    bound: { changesMax: 50, bytesMax: 1 << 20 },
  });
  await shop.snapshot([...people, ...someOrders]);
  await live(group);
  const before = group.position().batch;
  const many = Array.from({ length: 700 }, (_, i) => order(100 + i, `s${i % 3}`));
  await shop.commit(
    ...many,
    ...many
      .slice(0, 350)
      .map((_, i): FixtureChange => ({ table: orders, delete: [String(100 + i), null, null, null] })),
  );
  await fixture.settled(group);
  assert.equal(group.position().batch, before + 1);
  assert.deepEqual(await fixture.rows("select * from views.by_status"), await fixture.rows(byStatus));
  assert.deepEqual(await fixture.rows("select * from views.images"), await fixture.rows(images));
  assert.deepEqual(await fixture.rows(`select w, status, n from ${group.readable("by_status").logTable}`), [
    '{"w":1,"status":"s0","n":117}',
    '{"w":1,"status":"s1","n":116}',
    '{"w":1,"status":"s2","n":117}',
  ]);
});

test("a row whose key changes keeps the values that were not sent, also where a huge transaction is cut", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [customers]);
  const names = "select id, name, region from shop.customers";
  const group = await fixture.group([viewOf("names", names, "id")], { bound: { changesMax: 1, bytesMax: 1 << 20 } });
  await shop.snapshot(people);
  await live(group);
  const moved = (from: string, to: string): FixtureChange => {
    return { table: customers, update: [to, "Moved", undefined], was: [from, undefined, undefined] };
  };
  await shop.commit(moved("1", "7"), moved("2", "1"), moved("7", "2"), moved("1", "9"));
  await fixture.settled(group);
  assert.deepEqual(await fixture.rows("select * from views.names"), [
    '{"id":2,"name":"Moved","region":"north"}',
    '{"id":9,"name":"Moved","region":"south"}',
  ]);
});

test("positions and effects are committed together", async () => {
  await using fixture = await ViewsFixture.open();
  const events = tableShape("shop", "events", ["n integer"], { key: null, appendOnly: true });
  const shop = await fixture.source("shop", [events]);
  const group = await fixture.group([viewOf("counted", "select count(*) as n from shop.events")]);
  await shop.snapshot([{ table: events, insert: ["0"] }]);
  await live(group);
  let reading = true;
  const torn: string[] = [];
  const reader = (async () => {
    const query = `select p.next_offset, (select max(_millrace_offset) + 1 from shop.events) as applied, (select n from views.counted) as n
      from millrace.positions p where topic = 'shop.public.events'`;
    while (reading) {
      for (const row of await fixture.rows(query)) {
        const { next_offset, applied, n } = JSON.parse(row);
        // One row and one marker of its transaction after the other.
        if (next_offset !== applied || n !== (applied + 1) / 2) torn.push(row);
      }
    }
  })();
  for (let i = 1; i < 80; i++) {
    await shop.commit({ table: events, insert: [String(i)] });
    if (i % 20 === 0) await fixture.settled(group);
  }
  await fixture.settled(group);
  reading = false;
  await reader;
  assert.deepEqual(torn, []);
  assert.deepEqual(await fixture.rows("select * from views.counted"), ['{"n":80}']);
});

test("a record that is no change event breaks its mirror and the views of it, until they are rebuilt", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const names = "select id, name from shop.customers";
  const group = await fixture.group([viewOf("by_status", byStatus, "status"), viewOf("names", names, "id")]);
  await shop.snapshot([...people, ...someOrders]);
  await live(group);
  // A shape that the text of the row does not fit: the store refuses it.
  const wrong = tableShape("shop", "orders", ["id text", "customer_id text", "status text", "amount text"]);
  await shop.commit({ table: wrong, insert: ["77", "x", "new", "1"] });
  await shop.commit({ table: customers, insert: ["4", "Di", "east"] }, order(12));
  await fixture.settled(group);
  const state = stateOf(group, "by_status");
  assert.match(state.kind === "failed" ? state.error.message : "", /mirror "shop"."orders" cannot follow its table/);
  assert.deepEqual(await fixture.rows("select * from views.names"), await fixture.rows(names));
  await shop.snapshot([...people, order(30)]);
  await live(group);
  assert.deepEqual(await fixture.rows("select * from views.by_status"), ['{"status":"new","n":1}']);
});

test("a later owner fences the one before, which stops and changes nothing any more", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const definitions = [viewOf("by_status", byStatus, "status")];
  const first = await fixture.group(definitions);
  await shop.snapshot([...people, ...someOrders]);
  await live(first);
  const second = await fixture.group(definitions);
  const stopped = until(first, () => first.condition().kind === "stopped");
  for (let i = 0; i < 5; i++) await shop.commit(order(100 + i));
  await fixture.settled(second);
  await stopped;
  const condition = first.condition();
  assert.equal(condition.kind === "stopped" && condition.error.code, "PRODUCER_FENCED");
  assert.deepEqual(await fixture.rows("select * from views.by_status"), await fixture.rows(byStatus));
  assert.deepEqual(await fixture.rows("select count(*) from shop.orders"), ['{"count":7}']);
});

test("an owner whose row is not as it left it reads everything again before it goes on", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group([viewOf("by_status", byStatus, "status")]);
  await shop.snapshot([...people, ...someOrders]);
  await live(group);
  await fixture.pool.query("update millrace.groups set batch = batch + 5");
  await shop.commit(order(12));
  await fixture.settled(group);
  assert.deepEqual(await fixture.rows("select * from views.by_status"), await fixture.rows(byStatus));
  const { rows } = await fixture.pool.query(group.positionSql);
  assert.deepEqual(group.position(), { generation: Number(rows[0].generation), batch: Number(rows[0].batch) });
});

test("a store that is empty is rebuilt from the log, with a generation of its own", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const definitions = [viewOf("cards", cards, "id")];
  const first = await fixture.group(definitions);
  await shop.snapshot([...people, ...someOrders]);
  await shop.commit(order(12), { table: orders, update: ["10", "2", "paid", "5.50"] });
  await fixture.settled(first);
  const { generation } = first.position();
  await fixture.kill(first);
  await fixture.pool.query("drop schema millrace cascade; drop schema views cascade; drop schema shop cascade");
  const second = await fixture.group(definitions);
  await fixture.settled(second);
  await live(second);
  assert.deepEqual(await fixture.rows("select * from views.cards"), await fixture.rows(cards));
  assert.deepEqual(await fixture.rows("select id, status from shop.orders"), [
    '{"id":10,"status":"paid"}',
    '{"id":11,"status":"paid"}',
    '{"id":12,"status":"new"}',
  ]);
  assert.ok(second.position().generation > generation);
});

test("a store that is ahead of the log, or belongs to another one, is refused", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group([viewOf("cards", cards, "id")]);
  await shop.snapshot([...people, ...someOrders]);
  await live(group);
  await fixture.kill(group);
  await fixture.pool.query(
    "update millrace.positions set next_offset = next_offset + 100 where topic = 'shop.public.orders'",
  );
  await assert.rejects(fixture.group([]), { code: "STORE_AHEAD_OF_LOG" });
  await fixture.pool.query("update millrace.meta set log_id = gen_random_uuid()");
  await assert.rejects(fixture.group([]), { code: "STORE_OF_ANOTHER_LOG" });
});

test("who waits for a position gets it when it is applied, or is told that it did not come in time", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const asked: string[] = [];
  const group = await fixture.group([viewOf("cards", cards, "id")], { catchUp: (source) => asked.push(source) });
  await shop.snapshot([...people, ...someOrders]);
  await live(group);
  const lsn = await shop.commit(order(12));
  await group.waitFor({ kind: "source", source: "shop", lsn }, 20_000);
  assert.deepEqual(await fixture.rows("select id from views.cards where id = 12"), ['{"id":12}']);
  const quiet = group.waitFor({ kind: "source", source: "shop", lsn: "0/1000400" }, 20_000);
  await shop.heartbeat();
  await shop.heartbeat();
  await quiet;
  assert.deepEqual(asked, ["shop", "shop"]);
  await group.waitFor({ kind: "group", position: group.position() }, 0);
  const { generation, batch } = group.position();
  const later = { kind: "group", position: { generation, batch: batch + 1 } } as const;
  await assert.rejects(group.waitFor(later, 1), { code: "TOKEN_TIMEOUT" });
  await assert.rejects(group.waitFor(later, 1_000, AbortSignal.abort(new Error("gone"))), { message: "gone" });
  await assert.rejects(group.waitFor({ kind: "source", source: "nope", lsn }, 1), { code: "SOURCE_UNKNOWN" });
  assert.equal(
    codeOf(() => group.info("nope")),
    "VIEW_UNKNOWN",
  );
});

test("change rows past the retention go, and the oldest batch that is kept is known", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group([viewOf("cards", cards, "id")], {
    retention: { keepMs: 3_600_000, keepBytes: 2_000 },
  });
  await shop.snapshot([...people, ...someOrders]);
  await live(group);
  for (let i = 0; i < 60; i++) {
    await shop.commit(order(100 + i));
    await fixture.settled(group);
  }
  const { rows } = await fixture.pool.query(group.positionSql);
  const oldest = Number(rows[0].oldest_batch);
  assert.ok(oldest > 1 && oldest <= group.position().batch);
  const kept = await fixture.pool.query(
    `select min(batch)::int as first, count(*)::int as n from ${group.readable("cards").logTable}`,
  );
  assert.ok(kept.rows[0].first >= oldest);
  assert.ok(kept.rows[0].n > 0 && kept.rows[0].n < 60);
});

test("a store that goes away is waited for, and nothing is applied twice", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group([viewOf("by_status", byStatus, "status")]);
  await shop.snapshot([...people, ...someOrders]);
  await live(group);
  for (let i = 0; i < 5; i++) {
    await shop.commit(order(100 + i));
    await fixture.cutConnections();
    await shop.commit({ table: orders, delete: [String(100 + i), null, null, null] }, order(200 + i));
    await fixture.settled(group);
    assert.deepEqual(await fixture.rows("select * from views.by_status"), await fixture.rows(byStatus));
  }
  assert.equal(group.condition().kind, "running");
});

test("a reader never sees part of a transaction", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const total = viewOf("total", "select sum(amount) as total, count(*) as n from shop.orders");
  const group = await fixture.group([total], { bound: { changesMax: 7, bytesMax: 1 << 20 } });
  await shop.snapshot(Array.from({ length: 10 }, (_, i) => order(i, "new", "10.00")));
  await live(group);
  let reading = true;
  const seen = new Set<string>();
  const reader = (async () => {
    while (reading) for (const row of await fixture.rows("select * from views.total")) seen.add(row);
  })();
  for (let i = 0; i < 60; i++) {
    const [a, b] = [i % 10, (i * 7 + 3) % 10];
    if (a === b) continue;
    const from: FixtureChange = { table: orders, update: [String(a), "1", `r${i}`, `${10 - (i % 5)}.00`] };
    const back: FixtureChange = { table: orders, update: [String(a), "1", `q${i}`, "10.00"] };
    const to: FixtureChange = { table: orders, update: [String(b), "1", `r${i}`, `${10 + (i % 5)}.00`] };
    await shop.commit(from, to);
    await shop.commit(back, { ...to, update: [String(b), "1", "z", "10.00"] });
  }
  await fixture.settled(group);
  reading = false;
  await reader;
  assert.deepEqual([...seen], ['{"total":100.00,"n":10}']);
});
