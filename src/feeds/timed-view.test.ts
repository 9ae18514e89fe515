/** Subscribers of a view that filters by time: a row that time takes is a delete, also for who resumes after a restart. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../test/support/program.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import type { Group } from "../views/group.ts";
import { live, ViewsFixture, viewOf } from "../views/group-fixture.ts";
import { openReader } from "../views/reader.ts";
import { tableShape } from "../views/source-fixture.ts";
import type { Feed, Frame } from "./feed.ts";
import { openFeeds } from "./feeds.ts";
import { engineWithoutTopics, pull } from "./feeds-fixture.ts";

const events = tableShape("shop", "events", ["id integer", "at timestamp with time zone"]);
const recent = viewOf("recent", "select id from shop.events where at > now() - interval '1 hour'");
const minuteMs = 60_000;

test("a row that leaves by time alone is a delete, and so it is after a restart", async () => {
  await using fixture = await ViewsFixture.open();
  const clock = new VirtualClock();
  const shop = await fixture.source("shop", [events]);
  const minutes = [-50, -40, 0];
  await shop.snapshot(
    minutes.map((after, i) => ({
      table: events,
      insert: [`${i + 1}`, new Date(clock.now() + after * minuteMs).toISOString()],
    })),
  );
  const feedOf = (group: Group, lastEventId: string | null): Promise<Feed> => {
    const views = openReader({ group, store: { readers: fixture.pool }, clock });
    return openFeeds({ views, engine: engineWithoutTopics, clock }).openViewFeed({
      view: "recent",
      filter: null,
      lastEventId,
    });
  };
  /** The next changes, while time goes on. */
  const changes = async (feed: Feed): Promise<Frame> => {
    for (;;) {
      let frame: Frame | undefined;
      const coming = pull(feed).then((one) => {
        frame = one;
      });
      await eventually(async () => {
        await clock.advance(200);
        return frame;
      });
      await coming;
      if (frame?.event === "changes") return frame;
    }
  };
  const changed = (frame: Frame) => JSON.parse(frame.data).changes;
  const before = await fixture.group([recent], { clock });
  await live(before);
  const feed = await feedOf(before, null);
  assert.deepEqual(JSON.parse((await pull(feed)).data).rows, [{ id: 1 }, { id: 2 }, { id: 3 }]);
  await clock.advance(10 * minuteMs);
  const first = await changes(feed);
  assert.deepEqual(changed(first), [{ op: "delete", key: { id: 1 } }]);
  await feed.return?.();
  await fixture.kill(before);
  await clock.advance(15 * minuteMs);
  const group = await fixture.group([recent], { clock });
  await live(group);
  const resumed = await feedOf(group, first.id ?? "");
  assert.deepEqual(changed(await changes(resumed)), [{ op: "delete", key: { id: 2 } }]);
  await resumed.return?.();
});
