/** A view with a window that ends, and its late events, through the door. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type Update } from "../../client/src/index.ts";
import { systemClock } from "../base/clock.ts";
import { openFeeds } from "../feeds/feeds.ts";
import { engineWithoutTopics } from "../feeds/feeds-fixture.ts";
import { live, ViewsFixture } from "../views/group-fixture.ts";
import { openReader } from "../views/reader.ts";
import { settled } from "../views/topics-fixture.ts";
import { click, clicks, windowed } from "../views/windows-fixture.ts";
import { ask, openTestDoor } from "./door-fixture.ts";

interface Minute {
  readonly ends: string;
  readonly c: string;
}

test("a final row comes to readers and feeds once, and late events are read as rows of a view", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("clicks", { partitions: 1 });
  const group = await fixture.group(windowed(), { topics: [clicks(1)] });
  await live(group);
  const views = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  const feeds = openFeeds({ views, engine: engineWithoutTopics, clock: systemClock });
  const door = await openTestDoor({ views, feeds });
  try {
    const rows = connect<{ views: { per_minute: Minute } }>(door.url).view("per_minute").live();
    const updates = rows[Symbol.asyncIterator]();
    const take = async () => ((await updates.next()) as IteratorYieldResult<Update<Minute>>).value;
    assert.equal((await take()).rows.size, 0);
    for (const at of ["00:10", "00:20", "00:30", "01:15", "00:40", "00:50", "02:15"]) {
      await click(fixture, 0, at);
      await settled(fixture, group, "clicks");
    }
    const first = { ends: "2025-03-01T10:01:00.000000Z", c: "3" };
    assert.deepEqual((await take()).changes, [{ op: "upsert", key: { ends: first.ends }, row: first }]);
    const second = { ends: "2025-03-01T10:02:00.000000Z", c: "1" };
    assert.deepEqual((await take()).changes, [{ op: "upsert", key: { ends: second.ends }, row: second }]);
    rows.close();

    const get = async (path: string) => JSON.parse((await ask(door, `/v1/views${path}`)).text);
    assert.deepEqual(await get("/per_minute?order=ends"), [first, second]);
    assert.deepEqual(await get("/per_minute/2025-03-01T10:01:00Z"), first);
    assert.deepEqual(await get("/per_minute.late?select=_offset,at,_ends&order=_offset"), [
      { _offset: "4", at: "2025-03-01T10:00:40.000000Z", _ends: "2025-03-01T10:01:00.000000Z" },
      { _offset: "5", at: "2025-03-01T10:00:50.000000Z", _ends: "2025-03-01T10:01:00.000000Z" },
    ]);
    assert.equal((await get("/per_minute.late/0,4"))._offset, "4");
    const { items } = (await get("")) as { items: { name: string; window: unknown; watermarks: unknown }[] };
    assert.deepEqual(
      items.map(({ name, window, watermarks }) => [name, window, watermarks]),
      ["per_minute", "per_minute.late"].map((name) => [
        name,
        { ends: "ends", grace: "0ms", emit: "final" },
        [{ topic: "clicks", at: "2025-03-01T10:02:05.000Z" }],
      ]),
    );
  } finally {
    await door.close();
    views.close();
  }
});
