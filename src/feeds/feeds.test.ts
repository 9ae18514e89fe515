import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { column, GroupFixture } from "../views/reader-fixture.ts";
import type { Filter, ViewsReader } from "../views/view-info.ts";
import { encodeSse, type Feed, type Feeds, type Frame } from "./feed.ts";
import { type FeedLimits, openFeeds } from "./feeds.ts";
import { engineWithoutTopics, pull } from "./feeds-fixture.ts";

const big: Filter = { kind: "compare", column: "n", operator: "gt", values: ["10"], negated: false };

describe("feeds of views", () => {
  let fixture: GroupFixture;
  /** `evaluated` counts each filter of each read of changes. */
  let reads: { changes: number; snapshots: number; evaluated: number };
  let views: ViewsReader;
  let version = 0;

  before(async () => {
    fixture = await GroupFixture.open();
  });
  after(() => fixture[Symbol.asyncDispose]());
  beforeEach(async () => {
    await fixture.createView(
      "cards",
      { columns: [column("id", "integer"), column("n", "integer")], key: ["id"] },
      ++version,
    );
    await fixture.beginGeneration();
    await fixture.commit("cards", {
      upsert: [
        { id: 1, n: 1 },
        { id: 2, n: 20 },
      ],
    });
    reads = { changes: 0, snapshots: 0, evaluated: 0 };
    views = counted(fixture.reader());
  });

  function counted(reader: ViewsReader): ViewsReader {
    return Object.assign(Object.create(reader) as ViewsReader, {
      list: reader.list,
      info: reader.info,
      position: reader.position,
      onChange: reader.onChange,
      changesOf: (...given: Parameters<ViewsReader["changesOf"]>) => reader.changesOf(...given),
      changesSince(...given: Parameters<ViewsReader["changesSince"]>) {
        reads.changes++;
        reads.evaluated++;
        return reader.changesSince(...given);
      },
      changesSinceEach(...given: Parameters<ViewsReader["changesSinceEach"]>) {
        reads.changes++;
        reads.evaluated += given[2].length;
        return reader.changesSinceEach(...given);
      },
      snapshot(...given: Parameters<ViewsReader["snapshot"]>) {
        reads.snapshots++;
        return reader.snapshot(...given);
      },
    });
  }

  function open(limits: Partial<FeedLimits> = {}): Feeds & AsyncDisposable {
    const feeds = openFeeds({
      views,
      engine: engineWithoutTopics,
      clock: fixture.clock,
      limits: { progressMs: 1, retryMs: 5, ...limits },
    });
    return Object.assign(feeds, { [Symbol.asyncDispose]: () => feeds.close() });
  }

  const follow = (feeds: Feeds, filter: Filter | null = null, lastEventId: string | null = null): Promise<Feed> =>
    feeds.openViewFeed({ view: "cards", filter, lastEventId });

  /** Frames are taken until one of this kind comes. */
  async function until(feed: Feed, event: Frame["event"]): Promise<Frame> {
    for (;;) {
      const frame = await pull(feed);
      if (frame.event === event) return frame;
    }
  }

  test("begin with a snapshot and go on with each batch, with the key and the token of each", async () => {
    await using feeds = open();
    const feed = await follow(feeds);
    const { generation, batch } = fixture.group.position();
    const snapshot = await pull(feed);
    assert.deepEqual([snapshot.event, snapshot.id], ["snapshot", `${generation}.${batch}`]);
    const { token, ...rest } = JSON.parse(snapshot.data);
    assert.equal(typeof token, "string");
    assert.deepEqual(rest, {
      key: ["id"],
      rows: [
        { id: 1, n: 1 },
        { id: 2, n: 20 },
      ],
    });
    await fixture.commit("cards", { upsert: [{ id: 1, n: 5 }], remove: [{ id: 2 }] });
    const changes = await pull(feed);
    assert.deepEqual([changes.event, changes.id], ["changes", `${generation}.${batch + 1}`]);
    assert.deepEqual(JSON.parse(changes.data).changes, [
      { op: "upsert", key: { id: 1 }, row: { id: 1, n: 5 } },
      { op: "delete", key: { id: 2 } },
    ]);
    assert.equal(encodeSse(changes).toString(), `event: changes\nid: ${changes.id}\ndata: ${changes.data}\n\n`);
  });

  test("of one view and filter cost one read and one encoding per batch, however many they are", async () => {
    await using feeds = open();
    const all = await Promise.all(Array.from({ length: 200 }, () => follow(feeds)));
    assert.equal(reads.snapshots, 1);
    const snapshots = await Promise.all(all.map(pull));
    assert.equal(new Set(snapshots).size, 1);
    for (let n = 0; n < 5; n++) {
      await fixture.commit("cards", { upsert: [{ id: 1, n: 100 + n }] });
      const frames = await Promise.all(all.map(pull));
      assert.equal(new Set(frames).size, 1);
      assert.equal(new Set(frames.map(encodeSse)).size, 1);
    }
    assert.equal(reads.changes, 5);
    const other = await follow(feeds, big);
    await pull(other);
    assert.equal(reads.snapshots, 2);
    assert.deepEqual(feeds.open(), { views: 201, topics: 0 });
    await feeds.close();
    assert.equal(fixture.listeners, 0);
  });

  test("of ten shapes of filter cost one read, ten evaluations and ten encodings per batch, however many they are", async () => {
    await using feeds = open();
    const at = (operator: "gte" | "lt", value: number): Filter => {
      return { kind: "compare", column: "n", operator, values: [String(value)], negated: false };
    };
    // Each tenth of a hundred and more: spelt in three ways.
    const spelt = (tenth: number, way: number): Filter => {
      const [low, high] = [at("gte", tenth * 10), at("lt", tenth * 10 + 10)];
      if (way === 0) return { kind: "and", negated: false, of: [low, high] };
      if (way === 1) return { kind: "and", negated: false, of: [high, low, high] };
      const outside: Filter = { kind: "and", negated: true, of: [{ kind: "and", negated: false, of: [low, high] }] };
      return { kind: "or", negated: true, of: [outside] };
    };
    const all = await Promise.all(Array.from({ length: 1_000 }, (_, i) => follow(feeds, spelt(i % 10, i % 3))));
    for (const feed of all) await pull(feed);
    // Until each filter has been read with once, it is read with alone.
    await fixture.commit("cards", { upsert: Array.from({ length: 10 }, (_, i) => ({ id: 100 + i, n: i * 10 })) });
    await Promise.all(all.map(pull));
    for (let n = 1; n <= 3; n++) {
      reads = { changes: 0, snapshots: 0, evaluated: 0 };
      await fixture.commit("cards", { upsert: Array.from({ length: 10 }, (_, i) => ({ id: 100 + i, n: i * 10 + n })) });
      const frames = await Promise.all(all.map(pull));
      assert.deepEqual(reads, { changes: 1, snapshots: 0, evaluated: 10 });
      assert.equal(new Set(frames).size, 10);
      assert.equal(new Set(frames.map(encodeSse)).size, 10);
      for (const [i, frame] of frames.entries()) {
        const id = 100 + (i % 10);
        const row = { id, n: (i % 10) * 10 + n };
        assert.deepEqual(JSON.parse(frame.data).changes, [{ op: "upsert", key: { id }, row }]);
      }
    }
    // A row that goes from one shape to another is a delete to those and an upsert to these.
    reads = { changes: 0, snapshots: 0, evaluated: 0 };
    await fixture.commit("cards", { upsert: [{ id: 100, n: 15 }] });
    const [left, entered] = [await pull(all[0] as Feed), await pull(all[1] as Feed)];
    assert.deepEqual(JSON.parse(left.data).changes, [{ op: "delete", key: { id: 100 } }]);
    assert.deepEqual(JSON.parse(entered.data).changes, [{ op: "upsert", key: { id: 100 }, row: { id: 100, n: 15 } }]);
    assert.equal(reads.changes, 1);
  });

  test("are read alone where they cannot be read together, and one filter that fails ends nobody else", async () => {
    const failing: Filter = { ...(big as Extract<Filter, { kind: "compare" }>), values: ["5"] };
    const together: number[] = [];
    const own = views.changesSince;
    Object.assign(views, {
      changesSinceEach: async (_view: string, _from: unknown, filters: readonly Filter[]) => {
        together.push(filters.length);
        throw new MillraceError("STORE_UNAVAILABLE", "it is too much");
      },
      changesSince: async (...given: Parameters<ViewsReader["changesSince"]>) => {
        if (isFailing && JSON.stringify(given[2]).includes('"5"')) throw new MillraceError("QUERY_TIMEOUT", "too slow");
        return await own.apply(views, given);
      },
    });
    let isFailing = false;
    await using feeds = open();
    const [all, many, bad] = [await follow(feeds), await follow(feeds, big), await follow(feeds, failing)];
    for (const feed of [all, many, bad]) await pull(feed);
    await fixture.commit("cards", { upsert: [{ id: 2, n: 30 }] });
    for (const feed of [all, many, bad]) assert.match((await pull(feed)).data, /"n":30/);
    isFailing = true;
    await fixture.commit("cards", { upsert: [{ id: 2, n: 40 }] });
    for (const feed of [all, many]) assert.match((await pull(feed)).data, /"n":40/);
    isFailing = false;
    assert.match((await until(bad, "changes")).data, /"n":40/);
    assert.ok(together.includes(3), String(together));
  });

  test("tell a row that leaves the filter as a delete, and a batch without changes as progress", async () => {
    await using feeds = open();
    const feed = await follow(feeds, big);
    assert.deepEqual(JSON.parse((await pull(feed)).data).rows, [{ id: 2, n: 20 }]);
    const { batch } = await fixture.commit("cards", { upsert: [{ id: 1, n: 2 }] });
    const progress = await pull(feed);
    assert.equal(progress.event, "progress");
    assert.equal(progress.id, `${fixture.group.position().generation}.${batch}`);
    await fixture.commit("cards", { upsert: [{ id: 2, n: 3 }] });
    assert.deepEqual(JSON.parse((await until(feed, "changes")).data).changes, [{ op: "delete", key: { id: 2 } }]);
  });

  test("answer a resume at once, also when nothing was missed", async () => {
    await using feeds = open();
    const feed = await follow(feeds);
    const { id } = await pull(feed);
    await feed.return?.();
    const resumed = await follow(feeds, null, id);
    assert.equal((await pull(resumed)).event, "progress");
    await fixture.commit("cards", { upsert: [{ id: 3, n: 3 }] });
    assert.match((await until(resumed, "changes")).data, /"id":3/);
  });

  test("whose place is no longer kept, or is of another generation, get a gap and a fresh snapshot", async () => {
    await using feeds = open();
    const feed = await follow(feeds);
    const { id } = await pull(feed);
    await feed.return?.();
    for (let n = 0; n < 3; n++) await fixture.commit("cards", { upsert: [{ id: 1, n: 50 + n }] });
    await fixture.forget(fixture.group.position().batch);
    const late = await follow(feeds, null, id);
    const gap = await pull(late);
    assert.deepEqual([gap.event, gap.id], ["gap", null]);
    const told = JSON.parse(gap.data);
    assert.match(told.reason, /no longer kept/);
    const snapshot = await pull(late);
    assert.equal(snapshot.event, "snapshot");
    assert.equal(JSON.parse(snapshot.data).token, told.to);
    await fixture.beginGeneration();
    const again = await pull(late);
    assert.equal(again.event, "gap");
    assert.match(JSON.parse(again.data).reason, /anew/);
    assert.equal((await pull(late)).event, "snapshot");
  });

  test("that are slow hold nothing of the ring: they read from the store, and miss nothing", async () => {
    await using feeds = open({ ringBytesMax: 0 });
    const slow = await follow(feeds);
    await pull(slow);
    for (let n = 0; n < 20; n++) await fixture.commit("cards", { upsert: [{ id: 1, n: 100 + n }] });
    const seen: number[] = [];
    while (seen.at(-1) !== 119) {
      const { event, data } = await pull(slow);
      if (event === "changes") seen.push(JSON.parse(data).changes[0].row.n);
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 20 }, (_, n) => 100 + n),
    );
    // Where the store has nothing more to tell, the position is told.
    await fixture.commit("cards", { upsert: [{ id: 1, n: 500 }] });
    const { generation, batch } = await fixture.commit("cards", {});
    assert.match((await until(slow, "changes")).data, /500/);
    assert.equal((await until(slow, "progress")).id, `${generation}.${batch}`);
  });

  test("refuse what cannot be followed before the first frame, and leave nothing open", async () => {
    await using feeds = open();
    const refused = async (work: Promise<unknown>, code: string) => {
      await assert.rejects(work, (error) => MillraceError.is(error) && error.code === code);
    };
    await refused(feeds.openViewFeed({ view: "nope", filter: null, lastEventId: null }), "VIEW_UNKNOWN");
    await refused(follow(feeds, { ...big, column: "m" } as Filter), "COLUMN_UNKNOWN");
    await refused(follow(feeds, { ...big, values: ["x"] } as Filter), "FILTER_INVALID");
    await refused(follow(feeds, { ...big, values: ["x"] } as Filter, "1.1"), "FILTER_INVALID");
    await refused(follow(feeds, null, "garbage"), "TOKEN_INVALID");
    const { generation, batch } = await fixture.commit("cards", { upsert: [{ id: 1, n: 2 }] });
    await refused(follow(feeds, null, `${generation}.${batch}.7`), "TOKEN_INVALID");
    fixture.setState("cards", { kind: "building", reason: "new", rowsDone: 0, rowsEstimated: null });
    await refused(follow(feeds), "VIEW_BUILDING");
    assert.deepEqual(feeds.open(), { views: 0, topics: 0 });
    assert.equal(fixture.listeners, 0);
  });

  test("wait while the view is built, go on when it is done, and end when it fails", async () => {
    await using feeds = open();
    const feed = await follow(feeds);
    await pull(feed);
    fixture.setState("cards", { kind: "building", reason: "new", rowsDone: 0, rowsEstimated: null });
    const coming = until(feed, "changes");
    await fixture.commit("cards", { upsert: [{ id: 9, n: 9 }] });
    fixture.setState("cards", { kind: "live" });
    assert.match((await coming).data, /"id":9/);
    const ending = until(feed, "changes");
    fixture.setState("cards", { kind: "failed", error: new MillraceError("VIEW_FAILED", "the cast failed") });
    await assert.rejects(ending, (error) => MillraceError.is(error, "VIEW_FAILED"));
    assert.equal((await feed.next()).done, true);
    assert.equal(fixture.listeners, 0);
  });

  test("end without an error when their signal is aborted", async () => {
    await using feeds = open();
    const closing = new AbortController();
    const feed = await feeds.openViewFeed({ view: "cards", filter: null, lastEventId: null, signal: closing.signal });
    await pull(feed);
    const waiting = feed.next();
    closing.abort(new Error("gone"));
    assert.equal((await waiting).done, true);
    assert.deepEqual(feeds.open(), { views: 0, topics: 0 });
    assert.equal(fixture.listeners, 0);
  });

  test("send a large batch in frames of which only the last has no more, and resume between them", async () => {
    const rows = Array.from({ length: 2_500 }, (_, i) => ({ id: 100 + i, n: 1 }));
    for (const changesMax of [5_000, 100]) {
      views = counted(fixture.reader({ changesMax, pageRowsMax: 300 }));
      await using feeds = open();
      const feed = await follow(feeds);
      while ((await pull(feed)).id === null);
      const { generation, batch } = await fixture.commit("cards", {
        upsert: rows.map((row) => ({ ...row, n: changesMax })),
      });
      const first = await pull(feed);
      assert.equal(first.id, `${generation}.${batch}.1`);
      await feed.return?.();
      const resumed = await follow(feeds, null, first.id);
      const rest = [await pull(resumed), await pull(resumed)];
      assert.deepEqual(
        rest.map(({ id }) => id),
        [`${generation}.${batch}.2`, `${generation}.${batch}`],
      );
      const changes = [first, ...rest].map(({ data }) => JSON.parse(data));
      assert.deepEqual(
        changes.map(({ more }) => more),
        [true, true, undefined],
      );
      assert.deepEqual(
        changes.flatMap((one) => one.changes).map(({ key }) => key.id),
        rows.map(({ id }) => id),
      );
      await feeds.close();
    }
  });
});
