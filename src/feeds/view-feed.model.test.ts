/**
 * The law of a view's feed: whatever is cut, resumed, forgotten or begun anew, a client that follows the frames has, after
 * each frame without `more`, exactly the rows that the view had at the frame's position, and no position comes twice.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { column, GroupFixture } from "../views/reader-fixture.ts";
import type { Filter, GroupPosition, Selected } from "../views/view-info.ts";
import type { Feed, Feeds, Frame } from "./feed.ts";
import { openFeeds } from "./feeds.ts";
import { engineWithoutTopics } from "./feeds-fixture.ts";
import { decodeToken } from "./token.ts";

interface Row {
  readonly k: number;
  readonly n: number;
  readonly t: string;
}

type Rows = ReadonlyMap<number, string>;

const columns = [column("k", "integer"), column("n", "integer"), column("t", "text")];
interface Followed {
  readonly filter: Filter | null;
  readonly keeps: (row: Row) => boolean;
  readonly select: readonly Selected[] | null;
  readonly shows: (row: Row) => object;
}

const atLeastTwo: Pick<Followed, "filter" | "keeps"> = {
  filter: { kind: "compare", column: "n", operator: "gte", values: ["2"], negated: false },
  keeps: ({ n }) => n >= 2,
};
const everything: Followed = { filter: null, keeps: () => true, select: null, shows: (row) => row };
const followed: readonly Followed[] = [
  everything,
  { ...everything, ...atLeastTwo },
  { ...everything, select: ["n"], shows: ({ k, n }) => ({ k, n }) },
  { ...atLeastTwo, select: [{ column: "t", alias: "text" }], shows: ({ k, t }) => ({ k, text: t }) },
];

/** Follows a feed as a browser's EventSource would: the last id that came is what it resumes with. */
class Follower {
  readonly feeds: Feeds;
  readonly which: number;
  readonly history: ReadonlyMap<string, readonly Row[]>;
  feed: Feed | undefined;
  lastEventId: string | null = null;
  rows: Map<number, string> = new Map();
  position: GroupPosition | undefined;
  part: { event: string; items: readonly unknown[] } | undefined;
  gapTold = false;

  constructor(feeds: Feeds, which: number, history: ReadonlyMap<string, readonly Row[]>) {
    this.feeds = feeds;
    this.which = which;
    this.history = history;
  }

  get followed(): Followed {
    return followed[this.which] ?? assert.fail();
  }

  async pull(): Promise<void> {
    const { filter, select } = this.followed;
    this.feed ??= await this.feeds.openViewFeed({ view: "cells", filter, select, lastEventId: this.lastEventId });
    const { value: frame } = await this.feed.next();
    assert.ok(frame);
    this.take(frame);
  }

  async cut(): Promise<void> {
    await this.feed?.return?.();
    this.feed = undefined;
    // A part of a snapshot cannot be continued; a part of a batch can, by its id.
    if (this.part?.event === "snapshot") this.part = undefined;
  }

  take(frame: Frame): void {
    assert.doesNotMatch(frame.data, /[\r\n]/);
    const data = JSON.parse(frame.data);
    if (frame.id !== null) this.lastEventId = frame.id;
    if (frame.event === "gap") {
      this.part = undefined;
      this.gapTold = true;
      return;
    }
    const items = data.rows ?? data.changes ?? [];
    if (this.part) assert.equal(frame.event, this.part.event, "a part is continued by its own kind");
    this.part = { event: frame.event, items: [...(this.part?.items ?? []), ...items] };
    if (data.more) return;
    const token = decodeToken(data.token);
    assert.ok(token.kind === "group");
    const position = { generation: token.generation, batch: token.batch };
    assert.equal(frame.id, `${position.generation}.${position.batch}`);
    this.arrive(frame.event, this.part.items as never, position);
    this.part = undefined;
  }

  arrive(
    event: string,
    items: readonly (Row & { op: string; key: { k: number }; row: Row })[],
    position: GroupPosition,
  ) {
    const before = this.position;
    if (event === "snapshot") {
      assert.ok(before === undefined || this.gapTold, "a second snapshot follows a gap");
      this.rows = new Map(items.map((row) => [row.k, JSON.stringify(row)]));
      assert.equal(this.rows.size, items.length);
    } else {
      assert.ok(before);
      assert.equal(position.generation, before.generation);
      if (event === "changes") assert.ok(position.batch > before.batch, "a batch came twice");
      else assert.ok(position.batch >= before.batch, "progress went back");
      for (const { op, key, row } of items) {
        const text = JSON.stringify(row);
        assert.notEqual(this.rows.get(key.k), text, "a change of what is not shown");
        if (op === "upsert") this.rows.set(key.k, text);
        else assert.ok(this.rows.delete(key.k), "a delete of a row that was not there");
      }
    }
    this.gapTold = false;
    this.position = position;
    const { keeps, shows } = this.followed;
    const expected: Rows = new Map(
      (this.history.get(String(position.batch)) ?? assert.fail("a position that never was"))
        .filter(keeps)
        .map((row) => [row.k, JSON.stringify(shows(row))]),
    );
    assert.deepEqual(new Map([...this.rows].sort()), new Map([...expected].sort()));
  }
}

type Step =
  | { readonly do: "commit"; readonly rows: readonly (Row & { gone: boolean })[] }
  | { readonly do: "pull" | "cut"; readonly who: number; readonly times: number }
  | { readonly do: "forget"; readonly keep: number }
  | { readonly do: "generation" };

const row = fc.record({
  k: fc.integer({ min: 0, max: 8 }),
  n: fc.integer({ min: 0, max: 3 }),
  t: fc.constantFrom("", "é", "x".repeat(120_000)),
  gone: fc.boolean(),
});
const who = fc.integer({ min: 0, max: 5 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("commit" as const),
      rows: fc.uniqueArray(row, { maxLength: 9, selector: ({ k }) => k }),
    }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("pull" as const), who, times: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("cut" as const), who, times: fc.constant(1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("forget" as const), keep: fc.integer({ min: 0, max: 3 }) }) },
  { weight: 1, arbitrary: fc.constant({ do: "generation" as const }) },
);

describe("a view's feed", () => {
  let fixture: GroupFixture;
  before(async () => {
    // A follower that is left alone in the middle of a snapshot holds a connection, and half of the pool is for those.
    fixture = await GroupFixture.open({ poolSize: 16 });
  });
  after(() => fixture[Symbol.asyncDispose]());
  let version = 0;

  test("has no gap and no repetition that it does not tell, whatever is cut and resumed", {
    timeout: 300_000,
  }, async () => {
    const settings = fc.record({
      ringBytesMax: fc.constantFrom(0, 300_000, 4_000_000),
      snapshotBytesMax: fc.constantFrom(0, 1_000_000),
      changesMax: fc.constantFrom(2, 6, 5_000),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), settings, async (steps, limits) => {
        await fixture.createView("cells", { columns, key: ["k"] }, ++version);
        await fixture.beginGeneration();
        const reader = fixture.reader({ changesMax: limits.changesMax, pageRowsMax: 3, stallMs: 60_000 });
        const feeds = openFeeds({
          views: reader,
          engine: engineWithoutTopics,
          clock: fixture.clock,
          limits: { ...limits, progressMs: 1, retryMs: 5 },
        });
        let current: readonly Row[] = [];
        const history = new Map<string, readonly Row[]>([[String(fixture.group.position().batch), current]]);
        const followers = [0, 1, 2, 3, 0, 2].map((which) => new Follower(feeds, which, history));
        const isBehind = ({ position, part, feed }: Follower) => {
          const now = fixture.group.position();
          return !feed || part || !position || position.batch < now.batch || position.generation < now.generation;
        };
        const run = async (one: Step) => {
          switch (one.do) {
            case "commit": {
              const changed = new Set(one.rows.map(({ k }) => k));
              const upsert = one.rows.filter(({ gone }) => !gone).map(({ k, n, t }) => ({ k, n, t }));
              current = [...current.filter(({ k }) => !changed.has(k)), ...upsert];
              history.set(String(fixture.group.position().batch + 1), current);
              await fixture.commit("cells", {
                upsert,
                remove: one.rows.filter(({ gone }) => gone).map(({ k }) => ({ k })),
              });
              break;
            }
            case "pull": {
              const follower = followers[one.who] ?? assert.fail();
              for (let i = 0; i < one.times && isBehind(follower); i++) await follower.pull();
              break;
            }
            case "cut":
              await followers[one.who]?.cut();
              break;
            case "forget":
              await fixture.forget(Math.max(1, fixture.group.position().batch + 1 - one.keep));
              break;
            case "generation":
              await fixture.beginGeneration();
              break;
          }
        };
        try {
          for (const one of steps) await run(one);
          for (const follower of followers) while (isBehind(follower)) await follower.pull();
        } finally {
          await feeds.close();
        }
        assert.deepEqual(feeds.open(), { views: 0, topics: 0 });
        assert.equal(fixture.listeners, 0);
      }),
      {
        numRuns: Number(process.env.MILLRACE_MODEL_RUNS ?? 12),
        seed: Number(process.env.MILLRACE_TEST_SEED ?? 1),
        endOnFailure: true,
      },
    );
  });
});
