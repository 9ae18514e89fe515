/** Views over rows that they keep for themselves: built, rebuilt, defined anew and dropped with what is kept beneath. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { live, ViewsFixture, viewOf } from "./group-fixture.ts";
import { explainView } from "./reader-explain.ts";
import { type FixtureChange, tableShape } from "./source-fixture.ts";

const orders = tableShape("shop", "orders", ["id integer", "customer integer", "tag text", "amount integer"]);

const tops = "select customer, max(amount) as top, min(tag) as tag from shop.orders group by customer";
const byTop = `select top, count(*) as n, max(tag) as tag from (${tops}) m group by top`;
const byTag = `select tag, count(*) as n from (select tag, top, count(*) as n from (${tops}) m group by tag, top) g where n < 9 group by tag`;

const order = (id: number, customer: number, amount: number, tag = `t${amount}`): FixtureChange => ({
  table: orders,
  insert: [`${id}`, `${customer}`, tag, `${amount}`],
});
const changed = (id: number, customer: number, amount: number, tag = `t${amount}`): FixtureChange => ({
  table: orders,
  update: [`${id}`, `${customer}`, tag, `${amount}`],
});

async function assertRight(fixture: ViewsFixture, views: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, query] of Object.entries(views))
    assert.deepEqual(await fixture.rows(`select * from views.${name}`), await fixture.rows(query), name);
}

async function innerTables(fixture: ViewsFixture): Promise<string[]> {
  const found = await fixture.pool.query<{ name: string }>(
    "select relname as name from pg_class where relkind = 'r' and relname ~ '_inner[0-9]$' order by 1",
  );
  return found.rows.map(({ name }) => name);
}

test("what is kept beneath a view is there with each version of it, through restarts and rebuilds, and goes with it", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders]);
  await shop.snapshot([order(1, 1, 5), order(2, 1, 7), order(3, 2, 7), order(4, 3, 1)]);
  const views = [viewOf("by_top", byTop), viewOf("by_tag", byTag)];
  const before = await fixture.group(views);
  await live(before);
  assert.deepEqual(await innerTables(fixture), ["by_tag__1_inner1", "by_tag__1_inner2", "by_top__1_inner1"]);
  await assertRight(fixture, { by_top: byTop, by_tag: byTag });
  await shop.commit(changed(2, 1, 9), order(5, 4, 1), { table: orders, delete: ["3", null, null, null] });
  await fixture.settled(before);
  await assertRight(fixture, { by_top: byTop, by_tag: byTag });

  await fixture.kill(before);
  await shop.commit(order(6, 2, 9), changed(1, 4, 30));
  const group = await fixture.group(views, { mode: "dev" });
  await fixture.settled(group);
  await live(group);
  assert.deepEqual(await innerTables(fixture), ["by_tag__1_inner1", "by_tag__1_inner2", "by_top__1_inner1"]);
  await assertRight(fixture, { by_top: byTop, by_tag: byTag });

  await group.rebuild("by_top");
  await live(group);
  await group.reload([viewOf("by_top", byTop), viewOf("by_tag", byTag.replace("n < 9", "n < 8"))]);
  await live(group);
  await shop.commit(order(7, 2, 10), changed(4, 3, 9));
  await fixture.settled(group);
  await assertRight(fixture, { by_top: byTop, by_tag: byTag });
  assert.deepEqual(await innerTables(fixture), ["by_tag__2_inner1", "by_tag__2_inner2", "by_top__2_inner1"]);

  await group.reload([]);
  assert.deepEqual(await innerTables(fixture), []);
});

test("nobody reads it: it has no name among the views, and the shared role no right to it", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders]);
  await shop.snapshot([order(1, 1, 5)]);
  const group = await fixture.group([viewOf("by_top", byTop)]);
  await live(group);
  assert.deepEqual(
    group.list().map(({ name }) => name),
    ["by_top"],
  );
  const granted = await fixture.pool.query(
    "select grantee from information_schema.role_table_grants where table_name = 'by_top__1_inner1' and grantee <> current_user",
  );
  assert.deepEqual(granted.rows, []);
  const named = await fixture.rows("select relname from pg_class where relnamespace = 'views'::regnamespace");
  assert.deepEqual(named, ['{"relname":"by_top"}']);
});

test("it is counted and explained with the view, of which explaining writes nothing", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders]);
  await shop.snapshot(Array.from({ length: 3_000 }, (_, i) => order(i, i % 1_500, i % 1_000)));
  const group = await fixture.group([viewOf("by_top", byTop)]);
  await live(group);
  await fixture.pool.query("analyze shop.orders");
  const upkeep = await group.upkeep("by_top");
  const text = explainView(group.info("by_top"), group.compiled("by_top"), upkeep);
  assert.match(text, /kept beneath it: the rows of its subquery "m", which nobody reads/);
  assert.match(text, /what is kept beneath it, millrace\."by_top__1_inner1"/);
  assert.doesNotMatch(text, /slow:/);
  const { rows } = await fixture.pool.query(
    `select pg_total_relation_size('millrace.by_top__1') + pg_total_relation_size('millrace.by_top__1_inner1') as bytes`,
  );
  assert.equal(upkeep?.stateBytes, Number(rows[0]?.bytes));
  await assertRight(fixture, { by_top: byTop });
});

test("a value of any length stops no view over kept rows", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders]);
  // What does not compress is too long for an entry of a b-tree, and for a page.
  const long = Array.from({ length: 400 }, (_, i) => createHash("sha256").update(`${i}`).digest("hex")).join("");
  await shop.snapshot([order(1, 1, 5, long), order(2, 2, 5)]);
  const query =
    "select n, count(*) as tags, max(tag) as tag from (select tag, count(*) as n from shop.orders group by tag) m group by n";
  const tagged =
    "select tag, count(*) as tops from (select customer, max(tag) as tag from shop.orders group by customer) m group by tag";
  const group = await fixture.group([viewOf("counts", query), viewOf("tags", tagged)]);
  await live(group);
  await assertRight(fixture, { counts: query, tags: tagged });
  await shop.commit(order(3, 3, 5, `${long}!`), order(4, 4, 1, `${long}?`));
  await shop.commit(changed(1, 1, 6, `${long}!`), order(5, 5, 1));
  await fixture.settled(group);
  await live(group);
  await assertRight(fixture, { counts: query, tags: tagged });
});
