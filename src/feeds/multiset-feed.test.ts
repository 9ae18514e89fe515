/** Feeds of views without a key, on a whole group: what frames tell, replayed, is the view, wherever a feed is resumed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { seededRandom } from "../base/random.ts";
import { live, ViewsFixture, viewOf } from "../views/group-fixture.ts";
import { openReader } from "../views/reader.ts";
import { tableShape } from "../views/source-fixture.ts";
import type { Filter } from "../views/view-info.ts";
import type { Frame } from "./feed.ts";
import { openFeeds } from "./feeds.ts";
import { engineWithoutTopics, pull } from "./feeds-fixture.ts";

const events = tableShape("shop", "events", ["id integer", "kind text"]);
const notC: Filter = { kind: "compare", column: "kind", operator: "neq", values: ["c"], negated: false };

interface Told {
  readonly op: string;
  readonly key?: unknown;
  readonly row: unknown;
  readonly count: number;
}

test("frames of a view without a key have rows and how often they came or went; replayed they are the view", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [events]);
  const group = await fixture.group([viewOf("kinds", "select kind from shop.events")]);
  await shop.snapshot(["a", "a", "b", "c"].map((kind, i) => ({ table: events, insert: [String(i), kind] })));
  await live(group);
  // Some batches are more than one answer, and then are read by pages.
  const reader = openReader({
    group,
    store: { readers: fixture.pool },
    clock: systemClock,
    limits: { changesMax: 12 },
  });
  const feeds = openFeeds({ views: reader, engine: engineWithoutTopics, clock: systemClock });
  const open = (lastEventId: string | null) => feeds.openViewFeed({ view: "kinds", filter: notC, lastEventId });
  const counts = new Map<string, number>();
  const add = (row: unknown, count: number) => {
    const text = JSON.stringify(row);
    const sum = (counts.get(text) ?? 0) + count;
    assert.ok(sum >= 0, "more went than there were");
    counts.set(text, sum);
  };
  let [feed, lastEventId] = [await open(null), null as string | null];
  const take = ({ event, id, data }: Frame) => {
    const frame = JSON.parse(data) as { key?: unknown; rows?: unknown[]; changes?: Told[] };
    if (event === "snapshot") {
      assert.equal(frame.key, null);
      for (const row of frame.rows ?? []) add(row, 1);
    }
    const told = frame.changes ?? [];
    assert.equal(new Set(told.map(({ row }) => JSON.stringify(row))).size, told.length, "each row once");
    for (const one of told) {
      assert.deepEqual(Object.keys(one), ["op", "row", "count"]);
      assert.ok(one.op === "insert" || one.op === "delete");
      add(one.row, one.op === "insert" ? one.count : -one.count);
    }
    lastEventId = id ?? lastEventId;
  };
  take(await pull(feed));
  assert.deepEqual([...counts].sort(), [
    ['{"kind":"a"}', 2],
    ['{"kind":"b"}', 1],
  ]);

  const random = seededRandom(9);
  for (let i = 0; i < 8; i++) {
    const changes = Array.from({ length: 1 + random.below(20) }, (_, n) => `${4 + i * 20 + n}`).map((id) => ({
      table: events,
      insert: [id, ["a", "b", "c"][random.below(3)] as string],
    }));
    const moved = { table: events, update: [String(random.below(4)), ["a", "b", "c"][random.below(3)] as string] };
    await shop.commit(...changes, moved);
    await fixture.settled(group);
    if (random.below(2) === 0) {
      await feed.return?.();
      feed = await open(lastEventId);
    }
    const wanted = async () => {
      const rows = await fixture.rows(
        "select kind, count(*)::integer as n from views.kinds where kind <> 'c' group by kind",
      );
      return rows.map((row) => JSON.parse(row)).map(({ kind, n }) => [JSON.stringify({ kind }), n]);
    };
    while (lastEventId !== `${group.position().generation}.${group.position().batch}`) take(await pull(feed));
    assert.deepEqual([...counts].filter(([, n]) => n > 0).sort(), (await wanted()).sort());
  }
  await feed.return?.();
  reader.close();
});
