import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { eventually } from "../../test/support/program.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { sql, type ViewDefinition, type ViewOptions, view } from "../catalog/definitions.ts";
import { Holds, LawWatch } from "./builds-fixture.ts";
import type { Group, GroupOptions } from "./group.ts";
import { live, until, ViewsFixture, viewOf } from "./group-fixture.ts";
import { type FixtureChange, type SourceFixture, tableShape } from "./source-fixture.ts";

const orders = tableShape("shop", "orders", ["id integer", "status text", "amount integer"]);
const nodes = tableShape("shop", "nodes", ["id integer", "parent integer"]);

const order = (id: number, status = "new", amount = id): FixtureChange => ({
  table: orders,
  insert: [`${id}`, status, `${amount}`],
});
const changed = (id: number, status: string, amount = id): FixtureChange => ({
  table: orders,
  update: [`${id}`, status, `${amount}`],
});
const gone = (id: number): FixtureChange => ({ table: orders, delete: [`${id}`, null, null] });
const node = (id: number, parent: number | null): FixtureChange => ({
  table: nodes,
  insert: [`${id}`, parent === null ? null : `${parent}`],
});

function wholeOf(name: string, text: string, options: ViewOptions = {}): ViewDefinition {
  return view(name, { ...sql``, text }, { refresh: "30s", ...options });
}

const byStatus = "select status, count(*) as n from shop.orders group by status";
const statusView = viewOf("by_status", byStatus, "status");
const top = "select id, status, amount from shop.orders order by amount desc, id limit 3";
const topView = wholeOf("top", top);
const texts = "select status, amount from shop.orders order by amount desc, id limit 3";
const tree =
  "with recursive t as (select id, 0 as depth from shop.nodes where parent is null union all select n.id, t.depth + 1 from shop.nodes n join t on n.parent = t.id) select id, depth from t";
const treeView = wholeOf("tree", tree, { key: "id" });

const first = [order(1), order(2, "paid"), order(3), order(4, "sent"), node(1, null), node(2, 1)];

interface World {
  readonly shop: SourceFixture;
  readonly group: Group;
  readonly clock: VirtualClock;
}

async function opened(
  fixture: ViewsFixture,
  views: readonly ViewDefinition[],
  options: Partial<Pick<GroupOptions, "refreshLimits" | "retention">> = {},
): Promise<World> {
  const clock = new VirtualClock();
  const shop = await fixture.source("shop", [orders, nodes]);
  const group = await fixture.group(views, { clock, ...options });
  await shop.snapshot(first);
  await live(group);
  return { shop, group, clock };
}

const isBehind = (group: Group, name = "top") => group.position(name).batch < group.position().batch;

/** Until the view has everything that the group has. */
const current = (group: Group, name = "top") => until(group, () => !isBehind(group, name));

/** The same, however much time that takes: a view rests for as long as its last computation took. */
function currentInTime({ group, clock }: Pick<World, "group" | "clock">, name = "top"): Promise<true> {
  return eventually(async () => {
    await clock.advance(1_000);
    return !isBehind(group, name) || undefined;
  });
}

async function runs(fixture: ViewsFixture, name = "top", version = 1): Promise<number> {
  const { rows } = await fixture.pool.query(`select runs::integer from millrace."${name}__${version}_reach"`);
  return rows[0].runs;
}

async function assertRight(fixture: ViewsFixture, views: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, query] of Object.entries(views)) {
    assert.deepEqual(await fixture.rows(`select * from views.${name}`), await fixture.rows(query), name);
  }
}

test("a view that is recomputed whole is its query again when it is as old as it may be, and says until then how far it is", async () => {
  await using fixture = await ViewsFixture.open();
  const { shop, group, clock } = await opened(fixture, [statusView, topView, treeView, wholeOf("texts", texts)]);
  await using watch = await LawWatch.open(fixture);
  await assertRight(fixture, { top, tree, texts });
  assert.deepEqual(group.position("top"), group.position());
  // The first change finds a view that has not been computed for long.
  await shop.commit(order(9));
  await fixture.settled(group);
  await Promise.all(["top", "texts"].map((name) => current(group, name)));
  await assertRight(fixture, { top, texts });
  assert.equal(await runs(fixture), 1);
  const { batch } = group.position();
  const before = await fixture.rows("select * from views.top");
  for (const id of [10, 11]) {
    await shop.commit(order(id));
    await fixture.settled(group);
  }
  assert.equal(group.position().batch, batch + 2);
  assert.deepEqual(group.position("top"), { ...group.position(), batch });
  assert.deepEqual(group.position("tree"), group.position());
  assert.deepEqual(await fixture.rows("select * from views.top"), before);
  await assertRight(fixture, { by_status: byStatus, tree });
  await clock.advance(29_000);
  assert.ok(isBehind(group));
  await clock.advance(1_000);
  await Promise.all(["top", "texts"].map((name) => current(group, name)));
  await assertRight(fixture, { top, texts });
  await shop.commit(node(3, 2), node(4, 3));
  await fixture.settled(group);
  await current(group, "tree");
  await assertRight(fixture, { tree });
  await watch.end();
  assert.ok(watch.seen.has("top/1") && watch.seen.has("tree/1") && watch.seen.has("texts/1"));
});

test("what changes while the view is built is taken in right behind that, and nothing else is recomputed for it", async () => {
  await using fixture = await ViewsFixture.open();
  const world = await opened(fixture, [statusView]);
  const { shop, group } = world;
  await using holds = await Holds.open(fixture);
  await using watch = await LawWatch.open(fixture);
  await holds.hold("filling");
  await group.reload([statusView, topView, treeView]);
  await until(group, () => {
    const { state } = group.info("top");
    return state.kind === "building" && /is being filled/.test(state.reason);
  });
  await shop.commit(order(50), gone(4));
  await fixture.settled(group);
  await holds.release("filling");
  await live(group);
  await currentInTime(world);
  assert.equal(await runs(fixture), 1);
  assert.equal(await runs(fixture, "tree"), 0);
  await assertRight(fixture, { top, tree, by_status: byStatus });
  await watch.end();
  assert.ok(watch.seen.has("top/1"));
});

test("nothing is recomputed while nothing that the view reads has changed", async () => {
  await using fixture = await ViewsFixture.open();
  const { shop, group, clock } = await opened(fixture, [
    topView,
    viewOf("nodes_of", "select id, parent from shop.nodes"),
  ]);
  await shop.commit(node(3, 1));
  await shop.commit(node(4, 1));
  await fixture.settled(group);
  await clock.advance(90_000);
  assert.deepEqual(group.position("top"), group.position());
  assert.equal(await runs(fixture), 0);
  // Nobody reads the column that this changes: it is no change of what the view reads.
  await shop.commit(changed(1, "new"));
  await fixture.settled(group);
  assert.deepEqual(group.position("top"), group.position());
  assert.equal(await runs(fixture), 0);
});

test("a read after a write waits until the view was recomputed with it, which then begins at once", async () => {
  await using fixture = await ViewsFixture.open();
  const { shop, group, clock } = await opened(fixture, [topView]);
  await shop.commit(order(9));
  await fixture.settled(group);
  await current(group);
  const target = async () => {
    await shop.commit(order(20 + (await runs(fixture))));
    return { kind: "source", source: "shop", lsn: shop.lsn } as const;
  };
  const written = await target();
  const waiting = group.waitFor(written, 20_000, undefined, ["top"]);
  await fixture.settled(group);
  // It rests for a moment after it was computed, whoever waits and whatever happens.
  for (let i = 0; i < 20; i++) {
    await shop.commit(changed(1, `rest ${i}`));
    await fixture.settled(group);
  }
  assert.equal(await runs(fixture), 1);
  await clock.advance(1_000);
  await waiting;
  await assertRight(fixture, { top });
  assert.equal(await runs(fixture), 2);
  // What it shows already is waited for by nobody, although it is behind again.
  const position = group.position("top");
  await shop.commit(order(40));
  await fixture.settled(group);
  assert.ok(isBehind(group));
  await group.waitFor(written, 1_000, undefined, ["top"]);
  await group.waitFor({ kind: "group", position }, 1_000, undefined, ["top"]);
  await clock.advance(2_000);
  assert.equal(await runs(fixture), 2);
  const later = group.waitFor({ kind: "group", position: group.position() }, 20_000, undefined, ["top"]);
  await clock.advance(1_000);
  await later;
  await assertRight(fixture, { top });
  const late = assert.rejects(
    group.waitFor({ kind: "group", position: { ...group.position(), batch: 10_000 } }, 500, undefined, ["top"]),
    { code: "TOKEN_TIMEOUT" },
  );
  await clock.advance(500);
  await late;
});

test("rows and the position that they state are of one batch, whatever is read in between, and change rows lead there", async () => {
  await using fixture = await ViewsFixture.open();
  const { shop, group, clock } = await opened(fixture, [topView]);
  const wanted = new Map<number, readonly string[]>();
  const note = async () => void wanted.set(group.position().batch, await fixture.rows(top));
  const seen = new Set<number>();
  const look = async () => {
    const client = await fixture.pool.connect();
    try {
      await client.query("begin isolation level repeatable read");
      const { rows } = await client.query(
        'select coalesce(r.batch, g.batch)::integer as batch from millrace."top__1_reach" r, millrace.groups g',
      );
      const found = await client.query(
        "select row_to_json(q)::text as row from (select * from views.top) q order by 1",
      );
      const at = rows[0].batch;
      seen.add(at);
      if (wanted.has(at))
        assert.deepEqual(
          found.rows.map(({ row }) => row),
          wanted.get(at),
          `at batch ${at}`,
        );
    } finally {
      await client.query("rollback");
      client.release();
    }
  };
  await note();
  for (let i = 0; i < 12; i++) {
    await shop.commit(
      ...(i % 4 === 3 ? [gone(100 + i - 1), order(100 + i)] : [order(100 + i), changed(100 + i - 1, "sent")]),
    );
    await fixture.settled(group);
    await note();
    await look();
    if (i % 3 === 1) {
      await currentInTime({ group, clock });
      await look();
    }
  }
  await currentInTime({ group, clock });
  await look();
  assert.ok(seen.size > 4, `${seen.size} batches`);
  const start = "select * from (values (4, 'sent', 4), (3, 'new', 3), (2, 'paid', 2)) v";
  const sum = `select id, status, amount from (select id, status, amount, w from millrace.top__1_log union all select v.*, 1 from (${start}) v (id, status, amount)) l group by 1, 2, 3 having sum(w) <> 0`;
  assert.deepEqual(await fixture.rows(sum), await fixture.rows(top));
});

/** Holds what is computed by a lock of a table that it needs; answers what lets it go on. */
async function held(fixture: ViewsFixture, lock: string): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: fixture.database.url });
  client.on("error", () => {});
  await client.connect();
  await client.query("begin");
  await client.query(lock);
  return () => client.end();
}

const places: Readonly<Record<string, string>> = {
  "while it is compared": 'lock table millrace."top__1_next" in access exclusive mode',
  "while its differences are written": 'lock table millrace."top__1" in share mode',
};

/** Until the connection that recomputes waits for the lock. */
const isHeld = (fixture: ViewsFixture) =>
  eventually(async () => {
    const { rows } = await fixture.pool.query(
      "select from pg_stat_activity where datname = current_database() and application_name = 'group main build' and wait_event_type = 'Lock'",
    );
    return rows.length > 0 || undefined;
  });

for (const [place, lock] of Object.entries(places)) {
  test(`no batch waits for a view that is recomputed, ${place}`, async () => {
    await using fixture = await ViewsFixture.open();
    const { shop, group, clock } = await opened(fixture, [statusView, topView]);
    await using watch = await LawWatch.open(fixture);
    const goOn = await held(fixture, lock);
    await shop.commit(order(50));
    await fixture.settled(group);
    await isHeld(fixture);
    const { batch } = group.position("top");
    for (let i = 60; i < 65; i++) {
      await shop.commit(order(i), changed(1, `status ${i}`));
      await fixture.settled(group);
      await assertRight(fixture, { by_status: byStatus });
    }
    assert.equal(group.position("top").batch, batch);
    await goOn();
    // It is the query of when its snapshot was taken.
    await until(group, () => group.position("top").batch > batch);
    assert.deepEqual(group.position("top"), { ...group.position(), batch: batch + 1 });
    assert.deepEqual((await fixture.rows("select id from views.top")).sort(), ['{"id":3}', '{"id":4}', '{"id":50}']);
    await currentInTime({ group, clock });
    await assertRight(fixture, { top, by_status: byStatus });
    await watch.end();
  });

  for (const crash of ["the process is killed", "the store's connections drop", "its own connection drops"]) {
    test(`a computation that ends ${place}, because ${crash}, leaves nothing and is begun anew`, async () => {
      await using fixture = await ViewsFixture.open();
      const { shop, group, clock } = await opened(fixture, [statusView, topView]);
      await using holds = await Holds.open(fixture);
      const goOn = await held(fixture, lock);
      await shop.commit(order(50));
      await fixture.settled(group);
      await isHeld(fixture);
      await shop.commit(order(51), gone(4));
      await fixture.settled(group);
      let next = group;
      if (crash === "the process is killed") {
        await fixture.kill(group);
        await goOn();
        next = await fixture.group([statusView, topView], { clock });
      } else {
        await holds.cutOthers(crash === "its own connection drops" ? "group main build" : "%");
        await goOn();
      }
      await currentInTime({ group: next, clock });
      await shop.commit(order(52));
      await fixture.settled(next);
      await currentInTime({ group: next, clock });
      await assertRight(fixture, { top, by_status: byStatus });
    });
  }
}

const lifeEvents: Readonly<Record<string, (shop: SourceFixture) => Promise<unknown>>> = {
  "another snapshot": (shop) => shop.snapshot([order(1), order(70)]),
  "a table that is read anew": async (shop) => {
    const id = await shop.beginTable(orders);
    await shop.tableChunk(id, [order(1), order(71, "sent")]);
    await shop.endTable(id);
  },
  "a table with more columns": (shop) =>
    shop.changeShape(
      tableShape("shop", "orders", [
        ...orders.columns.map(({ name, storeType }) => `${name} ${storeType}`),
        "note text",
      ]),
    ),
  "a truncate": (shop) => shop.commit({ table: orders, truncate: true }, order(72)),
};

for (const [what, happens] of Object.entries(lifeEvents)) {
  test(`${what} waits for nothing that is recomputed, and the view is right behind it`, async () => {
    await using fixture = await ViewsFixture.open();
    const { shop, group, clock } = await opened(fixture, [statusView, topView]);
    // Its query holds the mirror when it comes to the state.
    const goOn = await held(fixture, 'lock table millrace."top__1" in access exclusive mode');
    await shop.commit(order(50));
    await fixture.settled(group);
    await isHeld(fixture);
    await happens(shop);
    await shop.commit(order(500, "behind"));
    await fixture.settled(group);
    assert.equal((await fixture.rows("select from shop.orders where id = 500")).length, 1);
    await goOn();
    await live(group);
    await currentInTime({ group, clock });
    await assertRight(fixture, { top, by_status: byStatus });
  });
}

test("a query that fails on its data makes its view failed, and no other; a rebuild brings it back", async () => {
  await using fixture = await ViewsFixture.open();
  const numbers = "select id, 100 / amount as share from shop.orders order by 2 desc, id limit 3";
  const { shop, group } = await opened(fixture, [statusView, topView, wholeOf("numbers", numbers, { key: "id" })]);
  await shop.commit(order(9, "new", 0));
  await until(group, () => group.info("numbers").state.kind === "failed");
  const { state } = group.info("numbers");
  assert.equal(state.kind === "failed" && state.error.details.sqlState, "22012");
  assert.throws(() => group.readable("numbers"), { code: "VIEW_FAILED" });
  await fixture.settled(group);
  await current(group);
  await assertRight(fixture, { top, by_status: byStatus });
  await shop.commit(changed(9, "new", 5));
  await fixture.settled(group);
  await group.rebuild("numbers");
  await live(group);
  await assertRight(fixture, { numbers });
});

test("a recursion without end is cut off, when its view is built and when it is recomputed, and says so", async () => {
  await using fixture = await ViewsFixture.open();
  const paths =
    "with recursive t as (select id, 0 as depth from shop.nodes where id = 1 union all select n.id, t.depth + 1 from shop.nodes n join t on n.parent = t.id) select id, count(*) as paths from t group by id";
  const { shop, group } = await opened(fixture, [statusView, wholeOf("paths", paths)], {
    refreshLimits: { takesMsMax: () => 300, pauseMsMin: 1_000 },
  });
  await assertRight(fixture, { paths });
  await shop.commit(node(3, 2), { table: nodes, update: ["1", "3"] }, order(9));
  await until(group, () => group.info("paths").state.kind === "failed");
  const message = /view "paths" failed: its query takes longer than the 300ms that it is given to run as a whole/;
  assert.throws(() => group.readable("paths"), { code: "VIEW_FAILED", message });
  await group.rebuild("paths");
  assert.equal(group.info("paths").state.kind, "building");
  await until(group, () => group.info("paths").state.kind === "failed");
  assert.throws(() => group.readable("paths"), { code: "VIEW_FAILED", message });
  await fixture.settled(group);
  await assertRight(fixture, { by_status: byStatus });
});

test("two rows with the key that the definition names make the view failed, and are named", async () => {
  await using fixture = await ViewsFixture.open();
  const dearest = "select amount, status from shop.orders order by amount desc limit 3";
  const { shop, group } = await opened(fixture, [wholeOf("dearest", dearest, { key: "amount" }), statusView]);
  await shop.commit(order(50, "twice", 4));
  await until(group, () => group.info("dearest").state.kind === "failed");
  const message = /rows of it have the same key: Key \(amount\)=\(4\) already exists/;
  assert.throws(() => group.readable("dearest"), { code: "VIEW_FAILED", message });
  await group.rebuild("dearest");
  assert.equal(group.info("dearest").state.kind, "building");
  await until(group, () => group.info("dearest").state.kind === "failed");
  assert.throws(() => group.readable("dearest"), {
    code: "VIEW_FAILED",
    message: /Key \(amount\)=\(4\) is duplicated/,
  });
  await fixture.settled(group);
  await assertRight(fixture, { by_status: byStatus });
});

test("change rows that are no longer kept are said to be gone, and only when there were some", async () => {
  await using fixture = await ViewsFixture.open();
  const retention = { keepMs: 60_000, keepBytes: 1e9 };
  const { shop, group, clock } = await opened(fixture, [statusView, topView], { retention });
  const oldest = async () =>
    Number((await fixture.pool.query('select oldest from millrace."top__1_reach"')).rows[0].oldest);
  await shop.commit(order(50));
  await fixture.settled(group);
  await current(group);
  const { batch } = group.position();
  const bytes = await fixture.pool.query("select bytes::integer from millrace.batches where batch = $1", [batch]);
  const ofStatus = await fixture.pool.query(
    "select sum(pg_column_size(l))::integer as bytes from millrace.by_status__1_log l where batch = $1",
    [batch],
  );
  assert.ok(bytes.rows[0].bytes > ofStatus.rows[0].bytes);
  assert.equal(await oldest(), 1);
  for (let i = 0; i < 3; i++) {
    await clock.advance(61_000);
    await shop.commit(changed(1, `status ${i}`));
    await fixture.settled(group);
    await currentInTime({ group, clock });
  }
  assert.ok((await oldest()) > batch);
  assert.deepEqual(await fixture.rows(`select from millrace."top__1_log" where batch <= ${batch}`), []);
  const after = await oldest();
  for (let i = 0; i < 3; i++) {
    await clock.advance(61_000);
    await shop.commit({ table: nodes, insert: [`${90 + i}`, null] });
    await shop.commit(changed(1, `later ${i}`));
    await fixture.settled(group);
    await currentInTime({ group, clock });
  }
  assert.equal(await oldest(), after);
});
