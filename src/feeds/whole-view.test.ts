/** Readers and subscribers of a view that is recomputed whole, on a whole group: each is told what it has been shown. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { VirtualClock } from "../base/virtual-clock.ts";
import { sql, view } from "../catalog/definitions.ts";
import type { Group } from "../views/group.ts";
import { live, until, ViewsFixture } from "../views/group-fixture.ts";
import { openReader } from "../views/reader.ts";
import { type FixtureChange, tableShape } from "../views/source-fixture.ts";
import type { RowQuery, ViewsReader } from "../views/view-info.ts";
import { openFeeds } from "./feeds.ts";
import { engineWithoutTopics, pull } from "./feeds-fixture.ts";
import { decodeToken } from "./token.ts";

const orders = tableShape("shop", "orders", ["id integer", "amount integer"]);
const order = (id: number): FixtureChange => ({ table: orders, insert: [`${id}`, `${id}`] });

const top = view(
  "top",
  { ...sql``, text: "select id, amount from shop.orders order by amount desc limit 2" },
  { refresh: "30s" },
);
const cards = view(
  "cards",
  { ...sql``, text: "select id, amount from shop.orders" },
  { references: { best: { view: "top", on: { id: "id" } } } },
);

const query: RowQuery = { filter: null, order: [], select: null, limit: 10, offset: 0, cursor: null };
const embedding: RowQuery = {
  ...query,
  select: ["id", { relation: "best", inner: false, select: null, filter: null, order: [], limit: null, offset: 0 }],
};

interface World {
  readonly group: Group;
  readonly reader: ViewsReader;
  readonly clock: VirtualClock;
  /** Commits an order, and waits until the group has it. */
  readonly ordered: (id: number) => Promise<void>;
}

async function opened(t: TestContext): Promise<World> {
  const fixture = await ViewsFixture.open();
  t.after(() => fixture[Symbol.asyncDispose]());
  const clock = new VirtualClock();
  const shop = await fixture.source("shop", [orders]);
  const group = await fixture.group([top, cards], { clock });
  await shop.snapshot([order(1), order(2)]);
  await live(group);
  const reader = openReader({ group, store: { readers: fixture.pool }, clock });
  const ordered = async (id: number) => {
    await shop.commit(order(id));
    await fixture.settled(group);
  };
  // The first change is taken in at once, the next ones when the view is old enough.
  await ordered(3);
  await until(group, () => group.position("top").batch === group.position().batch);
  return { group, reader, clock, ordered };
}

test("each read of a view that is behind states what it shows, also where it is shown in another view's rows", async (t) => {
  const { group, reader, ordered } = await opened(t);
  const before = group.position();
  await ordered(4);
  assert.notDeepEqual(group.position(), before);
  assert.deepEqual(reader.position("top"), before);
  const rows = await reader.rows("top", query);
  assert.deepEqual([rows.position, rows.rows.length], [before, 2]);
  assert.deepEqual((await reader.row("top", ["4"], null)).position, before);
  assert.equal((await reader.row("top", ["4"], null)).row, null);
  assert.deepEqual((await reader.snapshot("top", null)).position, before);
  assert.deepEqual((await reader.rows("cards", query)).position, group.position());
  assert.deepEqual((await reader.rows("cards", embedding)).position, before);
  assert.deepEqual((await reader.row("cards", ["4"], embedding.select)).position, before);
  const all = [
    { view: "cards", query },
    { view: "top", query },
  ];
  assert.deepEqual((await reader.readAll(all)).position, before);
  assert.deepEqual(await reader.changesSince("top", before, null), { outcome: "changes", batches: [], upTo: before });
});

test("who waits for a position gets it of each view whose rows are shown", async (t) => {
  const { group, reader, clock, ordered } = await opened(t);
  for (const read of [{ view: "top" }, { view: "cards", select: embedding.select }]) {
    await ordered(10 + group.position().batch);
    const target = { kind: "group", position: group.position() } as const;
    await reader.waitFor(target, 0, undefined, [{ view: "cards" }]);
    const waiting = reader.waitFor(target, 60_000, undefined, [read]);
    await clock.advance(2_000);
    await waiting;
    assert.deepEqual(reader.position("top"), group.position());
  }
});

test("a subscriber gets the changes of each computation under the position that they lead to, and resumes there", async (t) => {
  const { group, reader, clock, ordered } = await opened(t);
  const asked = t.mock.method(reader, "changesSince");
  const feeds = openFeeds({ views: reader, engine: engineWithoutTopics, clock });
  const request = { view: "top", filter: null, lastEventId: null };
  const feed = await feeds.openViewFeed(request);
  const snapshot = await pull(feed);
  const positionOf = (data: string) => {
    const token = decodeToken(JSON.parse(data).token);
    return token.kind === "group" ? { generation: token.generation, batch: token.batch } : null;
  };
  assert.deepEqual(positionOf(snapshot.data), group.position());
  await ordered(4);
  const shown = group.position();
  const coming = pull(feed);
  await clock.advance(30_000);
  const changes = await coming;
  assert.equal(changes.event, "changes");
  assert.deepEqual(positionOf(changes.data), shown);
  assert.deepEqual(
    JSON.parse(changes.data)
      .changes.map(({ op, key }: { op: string; key: { id: number } }) => [op, key.id])
      .sort(),
    [
      ["delete", 2],
      ["upsert", 4],
    ],
  );
  await feed.return?.();
  await ordered(5);
  await clock.advance(30_000);
  await until(group, () => group.position("top").batch === group.position().batch);
  const resumed = await feeds.openViewFeed({ ...request, lastEventId: changes.id ?? "" });
  const missed = await pull(resumed);
  assert.deepEqual([missed.event, positionOf(missed.data)], ["changes", group.position()]);
  await resumed.return?.();
  // Who comes while the view is behind waits for it, and asks no more than once.
  await ordered(6);
  const late = await feeds.openViewFeed(request);
  assert.deepEqual(positionOf((await pull(late)).data), reader.position("top"));
  asked.mock.resetCalls();
  const next = pull(late);
  for (const id of [7, 8, 9]) await ordered(id);
  assert.ok(asked.mock.callCount() <= 1, `${asked.mock.callCount()} reads`);
  await clock.advance(30_000);
  assert.equal((await next).event, "changes");
  await late.return?.();
});
