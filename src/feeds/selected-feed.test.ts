/** Feeds that show some members of their rows. That replayed they are the view is `view-feed.model.test.ts`'s. */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { seededRandom } from "../base/random.ts";
import { live, ViewsFixture, viewOf } from "../views/group-fixture.ts";
import { openReader } from "../views/reader.ts";
import { column, GroupFixture, refusalOf } from "../views/reader-fixture.ts";
import { tableShape } from "../views/source-fixture.ts";
import type { Filter, Selected, ViewsReader } from "../views/view-info.ts";
import type { Feed, Feeds } from "./feed.ts";
import { openFeeds } from "./feeds.ts";
import { engineWithoutTopics, pull } from "./feeds-fixture.ts";

describe("a feed that selects", () => {
  let fixture: GroupFixture;
  let version = 0;

  before(async () => {
    fixture = await GroupFixture.open();
  });
  after(() => fixture[Symbol.asyncDispose]());
  beforeEach(async () => {
    const columns = [column("id", "integer"), column("n", "integer"), column("t", "text"), column("doc", "jsonb")];
    await fixture.createView("cards", { columns, key: ["id"] }, ++version);
    await fixture.beginGeneration();
    await fixture.commit("cards", { upsert: [row(1, 1, "a"), row(2, 20, "b")] });
  });

  const row = (id: number, n: number, t: string, city = "Graz") => ({ id, n, t, doc: { city } });
  const big: Filter = { kind: "compare", column: "n", operator: "gt", values: ["10"], negated: false };

  function open(views: ViewsReader = fixture.reader()): Feeds & AsyncDisposable {
    const feeds = openFeeds({
      views,
      engine: engineWithoutTopics,
      clock: fixture.clock,
      limits: { progressMs: 1, retryMs: 5 },
    });
    return Object.assign(feeds, { [Symbol.asyncDispose]: () => feeds.close() });
  }

  const follow = (
    feeds: Feeds,
    select: readonly Selected[] | null,
    filter: Filter | null = null,
    lastEventId: string | null = null,
  ) => feeds.openViewFeed({ view: "cards", filter, select, lastEventId });

  const next = async (feed: Feed) => {
    const { event, id, data } = await pull(feed);
    const { key, rows, changes } = JSON.parse(data);
    return { event, id, key, rows, changes };
  };

  test("shows these members alone, with the key before them, in the snapshot and in changes", async () => {
    await using feeds = open();
    const city: Selected = { column: "doc", path: { steps: ["city"], text: true }, alias: "town" };
    const feed = await follow(feeds, ["t", city, { column: "id", alias: "nr" }]);
    const snapshot = await next(feed);
    assert.deepEqual(snapshot.key, ["id"]);
    assert.deepEqual(
      snapshot.rows.map((one: object) => JSON.stringify(one)),
      ['{"id":1,"t":"a","town":"Graz","nr":1}', '{"id":2,"t":"b","town":"Graz","nr":2}'],
    );
    await fixture.commit("cards", { upsert: [row(1, 2, "c", "Linz")], remove: [{ id: 2 }] });
    assert.deepEqual((await next(feed)).changes, [
      { op: "upsert", key: { id: 1 }, row: { id: 1, t: "c", town: "Linz", nr: 1 } },
      { op: "delete", key: { id: 2 } },
    ]);
  });

  test("says nothing of rows in which nothing of it differs, in batches and in resumes", async () => {
    await using feeds = open();
    const feed = await follow(feeds, ["t"]);
    const { id } = await next(feed);
    await fixture.commit("cards", { upsert: [row(1, 5, "a"), row(2, 20, "x")] });
    assert.deepEqual((await next(feed)).changes, [{ op: "upsert", key: { id: 2 }, row: { id: 2, t: "x" } }]);
    const { batch, generation } = await fixture.commit("cards", { upsert: [row(1, 6, "a"), row(2, 21, "x", "Linz")] });
    const told = await next(feed);
    assert.deepEqual([told.event, told.id], ["progress", `${generation}.${batch}`]);
    // Below the ring: read from the store alone.
    const resumed = await follow(feeds, ["t"], big, id);
    const missed = await next(resumed);
    assert.deepEqual(missed.changes, [{ op: "upsert", key: { id: 2 }, row: { id: 2, t: "x" } }]);
  });

  test("tells a row that enters the filter or leaves it, although nothing of it differs", async () => {
    await using feeds = open();
    const feed = await follow(feeds, ["t"], big);
    assert.deepEqual((await next(feed)).rows, [{ id: 2, t: "b" }]);
    await fixture.commit("cards", { upsert: [row(1, 30, "a"), row(2, 2, "b")] });
    assert.deepEqual((await next(feed)).changes, [
      { op: "upsert", key: { id: 1 }, row: { id: 1, t: "a" } },
      { op: "delete", key: { id: 2 } },
    ]);
  });

  test("is read together with feeds of the same members and other filters, and shares all with one of its shape", async () => {
    const reader = fixture.reader();
    const asked: unknown[] = [];
    const views = Object.assign(Object.create(reader) as ViewsReader, {
      info: reader.info,
      position: reader.position,
      onChange: reader.onChange,
      snapshot: (...given: Parameters<ViewsReader["snapshot"]>) => reader.snapshot(...given),
      changesSince: (...given: Parameters<ViewsReader["changesSince"]>) => {
        asked.push([given[3]]);
        return reader.changesSince(...given);
      },
      changesSinceEach: (...given: Parameters<ViewsReader["changesSinceEach"]>) => {
        asked.push([given[2].length, given[3]]);
        return reader.changesSinceEach(...given);
      },
    });
    await using feeds = open(views);
    const all = [
      await follow(feeds, ["t"]),
      await follow(feeds, ["t"]),
      await follow(feeds, ["t"], big),
      await follow(feeds, ["n"], big),
      await follow(feeds, null),
    ];
    for (const feed of all) await pull(feed);
    await fixture.commit("cards", { upsert: [row(2, 30, "c")] });
    const frames = await Promise.all(all.map(pull));
    assert.equal(frames[0], frames[1]);
    assert.deepEqual(
      frames.map(({ data }) => JSON.parse(data).changes[0].row),
      [{ id: 2, t: "c" }, { id: 2, t: "c" }, { id: 2, t: "c" }, { id: 2, n: 30 }, row(2, 30, "c")],
    );
    assert.deepEqual(asked.map((one) => JSON.stringify(one)).sort(), ['[2,["t"]]', '[["n"]]', "[null]"]);
  });

  test("resumes between the frames of a large batch, which are cut by what it shows", async () => {
    const rows = Array.from({ length: 2_500 }, (_, i) => row(100 + i, i, "new"));
    for (const changesMax of [6_000, 100]) {
      await fixture.commit("cards", { upsert: rows });
      await using feeds = open(fixture.reader({ changesMax, pageRowsMax: 300 }));
      const feed = await follow(feeds, ["t"]);
      while ((await pull(feed)).id === null);
      // Of each second row nothing differs that is shown.
      const changed = rows.map((one, i) => ({ ...one, n: changesMax + i, t: i % 2 === 0 ? `${changesMax}` : "new" }));
      const { generation, batch } = await fixture.commit("cards", { upsert: changed });
      const first = await next(feed);
      assert.equal(first.id, `${generation}.${batch}.1`);
      await feed.return?.();
      const resumed = await follow(feeds, ["t"], null, first.id);
      const last = await next(resumed);
      assert.equal(last.id, `${generation}.${batch}`);
      const keys = [...first.changes, ...last.changes].map(({ key }) => key.id);
      assert.deepEqual(
        keys,
        rows.filter((_, i) => i % 2 === 0).map(({ id }) => id),
      );
    }
  });

  test("ends with the reason when the view's next version has a column no more, by which it selects or filters", async () => {
    await using feeds = open();
    const all = [await follow(feeds, ["t"]), await follow(feeds, null, big), await follow(feeds, ["doc"])];
    for (const feed of all) await pull(feed);
    await fixture.createView(
      "cards",
      { columns: [column("id", "integer"), column("doc", "jsonb")], key: ["id"] },
      ++version,
    );
    await fixture.beginGeneration();
    const [selects, filters, other] = all as [Feed, Feed, Feed];
    await refusalOf(pull(selects), "COLUMN_UNKNOWN");
    await refusalOf(pull(filters), "COLUMN_UNKNOWN");
    assert.equal((await pull(other)).event, "gap");
  });

  test("takes no casts, aggregates and related rows, and no columns that there are not", async () => {
    await using feeds = open();
    const related = { relation: "owner", inner: false, select: null, filter: null, order: [], limit: null, offset: 0 };
    await refusalOf(follow(feeds, [{ column: "t", cast: "integer" }]), "REQUEST_INVALID", /a cast of t,/);
    await refusalOf(follow(feeds, [{ aggregate: "count", of: null }]), "REQUEST_INVALID", /count\(\)/);
    await refusalOf(follow(feeds, [related]), "REQUEST_INVALID", /rows of "owner"/);
    await refusalOf(follow(feeds, ["x"]), "COLUMN_UNKNOWN");
    await refusalOf(follow(feeds, ["x"], null, `${fixture.group.position().generation}.1`), "COLUMN_UNKNOWN");
    await refusalOf(follow(feeds, [{ column: "n", alias: "id" }]), "REQUEST_INVALID", /two members/);
    assert.equal(fixture.listeners, 0);
  });
});

test("rows of a view without a key come and go by what is shown of them", async () => {
  await using fixture = await ViewsFixture.open();
  const events = tableShape("shop", "events", ["id integer", "kind text", "n integer"]);
  const shop = await fixture.source("shop", [events]);
  const group = await fixture.group([viewOf("kinds", "select kind, n from shop.events")]);
  const event = (id: number, kind: string, n: number) => ({ table: events, insert: [`${id}`, kind, `${n}`] });
  await shop.snapshot([event(1, "a", 1), event(2, "a", 2), event(3, "b", 3)]);
  await live(group);
  const reader = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  const feeds = openFeeds({ views: reader, engine: engineWithoutTopics, clock: systemClock });
  const feed = await feeds.openViewFeed({ view: "kinds", filter: null, select: ["kind"], lastEventId: null });
  const kinds = (JSON.parse((await pull(feed)).data).rows as { kind: string }[]).map(({ kind }) => kind);
  assert.deepEqual(kinds.sort(), ["a", "a", "b"]);
  // The rows are others, and what is shown of the first two is not.
  await shop.commit(
    { table: events, update: ["1", "a", "10"] },
    { table: events, update: ["2", "a", "20"] },
    { table: events, update: ["3", "a", "3"] },
  );
  await fixture.settled(group);
  assert.deepEqual(JSON.parse((await pull(feed)).data).changes, [
    { op: "insert", row: { kind: "a" }, count: 1 },
    { op: "delete", row: { kind: "b" }, count: 1 },
  ]);
  const random = seededRandom(3);
  const counts = new Map([["a", 3]]);
  for (let i = 0; i < 10; i++) {
    const changes = [1, 2, 3].map((id) => {
      return { table: events, update: [`${id}`, ["a", "b", "c"][random.below(3)] as string, `${100 + i}`] };
    });
    await shop.commit(...changes);
    await fixture.settled(group);
    const position = `${group.position().generation}.${group.position().batch}`;
    for (let id: string | null = null; id !== position; ) {
      const frame = await pull(feed);
      id = frame.id;
      for (const { op, row, count } of JSON.parse(frame.data).changes ?? []) {
        counts.set(row.kind, (counts.get(row.kind) ?? 0) + (op === "insert" ? count : -count));
      }
    }
    const rows = await fixture.rows("select kind, count(*)::integer as n from views.kinds group by kind");
    assert.deepEqual(
      [...counts].filter(([, n]) => n !== 0).sort(),
      rows.map((one) => JSON.parse(one)).map(({ kind, n }) => [kind, n]),
    );
  }
  await feeds.close();
  reader.close();
});
