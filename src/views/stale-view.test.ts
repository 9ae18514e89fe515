import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { sql, type ViewDefinition, view } from "../catalog/definitions.ts";
import type { Group } from "./group.ts";
import { live, until, ViewsFixture, viewOf } from "./group-fixture.ts";
import { openReader } from "./reader.ts";
import { refusalOf } from "./reader-fixture.ts";
import { type FixtureChange, tableShape } from "./source-fixture.ts";
import type { RowQuery, ViewsReader } from "./view-info.ts";

const items = tableShape("shop", "items", ["id integer", "n integer"]);
const owners = tableShape("shop", "owners", ["id integer", "name text"]);

const item = (id: number, n: number): FixtureChange => ({ table: items, insert: [`${id}`, `${n}`] });
const changed = (id: number, n: number): FixtureChange => ({ table: items, update: [`${id}`, `${n}`] });
const owner = (id: number, name: string): FixtureChange => ({ table: owners, insert: [`${id}`, name] });

const shares = viewOf("shares", "select id, 100 / n as share from shop.items", "id");
const all = viewOf("all_items", "select id, n from shop.items", "id");
const allRows: RowQuery = { filter: null, order: [], select: null, limit: 100, offset: 0, cursor: null };
const stale: RowQuery = { ...allRows, stale: true };

const readerOf = (fixture: ViewsFixture, group: Group): ViewsReader =>
  openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
const failed = (group: Group, name = "shares") => until(group, () => group.info(name).state.kind === "failed");
const kept = async (fixture: ViewsFixture) => {
  const { rows } = await fixture.pool.query<{ name: string }>(
    "select relname as name from pg_class where relnamespace = 'millrace'::regnamespace and relname ~ '^shares__[0-9]+$' order by 1",
  );
  return rows.map(({ name }) => name);
};

test("the last good state of a view that failed is read where that is asked for, with its position, through a restart, until it is right again", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [items, owners]);
  const named = view(
    "named",
    { ...sql``, text: "select id, name from shop.owners" },
    {
      key: "id",
      references: { share: { view: "shares", on: { id: "id" } } },
    },
  );
  const definitions = [shares, all, named];
  const first = await fixture.group(definitions);
  await shop.snapshot([item(1, 2), item(2, 4), owner(1, "Ada")]);
  await live(first);
  await shop.commit(item(3, 5));
  await fixture.settled(first);
  const reader = readerOf(fixture, first);
  assert.equal((await reader.rows("shares", stale)).staleSinceMs, undefined);
  const good = await reader.rows("shares", allRows);
  await reader.row("shares", ["1"], null);
  await shop.commit(changed(2, 0), changed(1, 50));
  await failed(first);
  await shop.commit(item(4, 8));
  await fixture.settled(first);

  const check = async (group: Group, reader: ViewsReader) => {
    assert.match((await refusalOf(reader.rows("shares", allRows), "VIEW_FAILED")).hint ?? "", /stale=ok/);
    await refusalOf((async () => reader.row("shares", ["1"], null))(), "VIEW_FAILED");
    await refusalOf(reader.readAll([{ view: "shares", query: allRows }]), "VIEW_FAILED");
    await refusalOf(reader.snapshot("shares", null), "VIEW_FAILED");
    const state = group.info("shares").state;
    assert.ok(state.kind === "failed" && state.staleSinceMs !== undefined);
    const since = state.staleSinceMs;
    const rows = await reader.rows("shares", { ...stale, count: "exact" });
    assert.deepEqual(rows, { ...good, total: 3, staleSinceMs: since });
    const one = await reader.row("shares", ["1"], null, { stale: true });
    assert.deepEqual([one.row?.body, one.position, one.staleSinceMs], ['{"id":1,"share":50}\n', good.position, since]);
    const selected = await reader.row("shares", ["1"], ["share"], { stale: true });
    assert.deepEqual([selected.row?.body, selected.position], ['{"share":50}\n', good.position]);
    const filtered = await reader.rows("shares", {
      ...stale,
      filter: { kind: "compare", column: "share", operator: "lt", values: ["30"], negated: false },
    });
    assert.deepEqual(filtered.rows, ['{"id":2,"share":25}', '{"id":3,"share":20}']);
    const both = await reader.readAll([
      { view: "shares", query: stale },
      { view: "shares", key: ["3"], select: null, stale: true },
      { view: "all_items", query: stale },
    ]);
    assert.deepEqual(both.position, good.position, "the earliest of what is shown");
    const [rowsThen, rowThen, rowsNow] = both.results;
    assert.deepEqual(rowsThen, { rows: good.rows, next: null, staleSinceMs: since });
    assert.deepEqual(rowThen, { row: '{"id":3,"share":20}', staleSinceMs: since });
    assert.deepEqual(rowsNow, {
      rows: ['{"id":1,"n":50}', '{"id":2,"n":0}', '{"id":3,"n":5}', '{"id":4,"n":8}'],
      next: null,
    });
    const embed = {
      relation: "share",
      inner: false,
      select: ["share"],
      filter: null,
      order: [],
      limit: null,
      offset: 0,
    } as const;
    const embedding = { ...allRows, select: ["id", embed] };
    await refusalOf(reader.rows("named", embedding), "VIEW_FAILED");
    const embedded = await reader.rows("named", { ...embedding, stale: true });
    assert.deepEqual(embedded.rows, ['{"id":1,"share":{"share":50}}']);
    assert.deepEqual([embedded.position, embedded.staleSinceMs], [good.position, since]);
    const now = await reader.rows("all_items", stale);
    assert.equal(now.staleSinceMs, undefined);
    assert.ok(now.position.batch > good.position.batch);
    return since;
  };
  const since = await check(first, reader);
  await fixture.kill(first);
  const second = await fixture.group(definitions);
  await fixture.settled(second);
  assert.equal(await check(second, readerOf(fixture, second)), since);

  // A rebuild that fails too changes nothing of it.
  await second.rebuild("shares");
  await failed(second);
  assert.equal(await check(second, readerOf(fixture, second)), since);
  assert.deepEqual(await kept(fixture), ["shares__1"]);

  await shop.commit(changed(2, 10));
  await fixture.settled(second);
  const old = second.readable("shares", { stale: true });
  await second.rebuild("shares");
  await live(second);
  // A read that began before the swap is one of the old rows, or of none: never of the new version's.
  const late = await fixture.pool.query(`select v.share from ${old.publicView} as v where v.id = 2`).then(
    ({ rows }) => rows[0].share,
    (error: unknown) => (error as { code: string }).code,
  );
  assert.ok(late === 25 || late === "42P01", String(late));
  const right = await readerOf(fixture, second).rows("shares", stale);
  assert.equal(right.staleSinceMs, undefined);
  assert.deepEqual(right.rows[1], '{"id":2,"share":10}');
  const { rows } = await fixture.pool.query("select from millrace.view_versions where error is not null");
  assert.equal(rows.length, 0);
});

test("a new definition that cannot be built leaves the rows of the one before", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [items, owners]);
  const before = viewOf("shares", "select id, n as share from shop.items", "id");
  const group = await fixture.group([before]);
  await shop.snapshot([item(1, 2), item(2, 0)]);
  await live(group);
  const { batch } = group.position();
  await group.reload([shares]);
  await failed(group);
  await shop.commit(item(3, 1));
  await fixture.settled(group);
  const check = async (of: Group) => {
    const read = await readerOf(fixture, of).rows("shares", stale);
    assert.deepEqual(read.rows, ['{"id":1,"share":2}', '{"id":2,"share":0}']);
    assert.ok(read.staleSinceMs !== undefined);
    assert.ok(read.position.batch >= batch && read.position.batch < of.position().batch);
    assert.deepEqual(await kept(fixture), ["shares__1"]);
  };
  await check(group);
  await fixture.kill(group);
  const again = await fixture.group([shares]);
  await check(again);
  // Going back needs no longer than any other build.
  await again.reload([before]);
  await live(again);
  assert.equal((await readerOf(fixture, again).rows("shares", stale)).rows.length, 3);
});

test("while a view that failed is built again, its last good state can be read; one that never was live has none", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [items, owners]);
  const never = viewOf("never", "select id, 1 / (n - n) as nothing from shop.items", "id");
  const group = await fixture.group([shares, never]);
  await shop.snapshot([item(1, 2)]);
  await failed(group, "never");
  await until(group, () => group.info("shares").state.kind === "live");
  const reader = readerOf(fixture, group);
  assert.doesNotMatch((await refusalOf(reader.rows("never", stale), "VIEW_FAILED")).hint ?? "", /stale/);
  assert.deepEqual(Object.keys(group.info("never").state), ["kind", "error"]);
  await shop.commit(item(2, 0));
  await failed(group);
  // A build waits for the snapshot that has begun.
  await shop.beginSnapshot();
  await until(group, () => group.info("shares").state.kind === "building");
  await refusalOf(reader.rows("shares", allRows), "VIEW_BUILDING");
  assert.deepEqual((await reader.rows("shares", stale)).rows, ['{"id":1,"share":50}']);
});

test("of a view that was recomputed whole and fell behind, it is the position of its rows", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [items, owners]);
  const text = "select id, n from shop.items order by n desc, id limit 2";
  const top: ViewDefinition = view("top", { ...sql``, text }, { refresh: "1h" });
  const rows: ViewDefinition = viewOf("plain", "select n from shop.items");
  const group = await fixture.group([top, rows], { clock: new VirtualClock() });
  await shop.snapshot([item(1, 1)]);
  await live(group);
  await shop.commit(item(2, 2));
  await group.waitFor({ kind: "source", source: "shop", lsn: shop.lsn }, 20_000, undefined, ["top"]);
  // It was run again just now: the next time is in an hour.
  await shop.commit(item(3, 3));
  await fixture.settled(group);
  const reader = readerOf(fixture, group);
  const [good, plain] = [await reader.rows("top", allRows), await reader.rows("plain", allRows)];
  const wrong = tableShape("shop", "items", ["id text", "n text"]);
  await shop.commit({ table: wrong, insert: ["x", "y"] });
  await failed(group, "top");
  const read = await reader.rows("top", stale);
  assert.deepEqual([read.rows, read.position], [good.rows, good.position]);
  const keyless = await reader.rows("plain", { ...stale, limit: 1 });
  assert.deepEqual([keyless.rows.length, keyless.position], [1, plain.position]);
  assert.ok(keyless.next !== null);
  assert.equal((await reader.rows("plain", { ...stale, cursor: keyless.next })).rows.length, 2);
});
