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
import { click, clicks, minuteEnd, windowed } from "../views/windows-fixture.ts";
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

test("an event that is late for some of its windows counts for the others", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("clicks", { partitions: 1 });
  const hops = `select w as ends, count(*) as c from topics.clicks, generate_series(${minuteEnd}, ${minuteEnd} + interval '1 minute', interval '1 minute') w group by 1`;
  const group = await fixture.group(windowed(hops, {}, "hops"), { topics: [clicks(1)] });
  await live(group);
  const views = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  const door = await openTestDoor({ views });
  try {
    for (const at of ["00:30", "01:15", "00:40", "03:30", "00:50"]) await click(fixture, 0, at);
    await settled(fixture, group, "clicks");
    const get = async (path: string) => JSON.parse((await ask(door, `/v1/views${path}`)).text);
    assert.deepEqual(await get("/hops?order=ends"), [
      { ends: "2025-03-01T10:01:00.000000Z", c: "1" },
      { ends: "2025-03-01T10:02:00.000000Z", c: "3" },
      { ends: "2025-03-01T10:03:00.000000Z", c: "1" },
    ]);
    assert.deepEqual(await get("/hops.late?select=_offset,_ends&order=_offset,_ends"), [
      { _offset: "2", _ends: "2025-03-01T10:01:00.000000Z" },
      { _offset: "4", _ends: "2025-03-01T10:01:00.000000Z" },
      { _offset: "4", _ends: "2025-03-01T10:02:00.000000Z" },
    ]);
    assert.equal((await get("/hops.late/0,4,2025-03-01T10:02:00Z")).at, "2025-03-01T10:00:50.000000Z");
  } finally {
    await door.close();
    views.close();
  }
});

test("a session is shown once, when no event can make it longer, and says of itself what it is", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("clicks", { partitions: 1 });
  const sessions = "select n, _begins as began, _ends as ends, count(*) as c from topics.clicks group by 1, 2, 3";
  const window = { ends: "ends", session: { gap: "30s", by: "n" } };
  const defined = [
    ...windowed(sessions, { window }, "visits"),
    ...windowed(sessions, { window: { ...window, grace: "1m" }, emit: "updates" }, "so_far"),
  ];
  const group = await fixture.group(defined, { topics: [clicks(1)] });
  await live(group);
  const views = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  const door = await openTestDoor({ views });
  try {
    const get = async (path: string) => JSON.parse((await ask(door, `/v1/views${path}`)).text);
    const publish = async (...ats: string[]) => {
      for (const at of ats) await click(fixture, 0, at);
      await settled(fixture, group, "clicks");
    };
    // One that is as old as the watermark is in time; a second is missing to the gap and the lateness.
    await publish("00:00", "00:29", "00:19", "01:08");
    assert.deepEqual(await get("/visits"), []);
    // It ends with the gap: who comes then is of the next.
    await publish("01:09", "00:59", "00:58");
    const first = { n: "1", began: "2025-03-01T10:00:00.000000Z", ends: "2025-03-01T10:00:59.000000Z", c: "3" };
    assert.deepEqual(await get("/visits?order=ends"), [first]);
    assert.deepEqual(await get("/visits.late?select=_offset,_ends"), [
      { _offset: "6", _ends: "2025-03-01T10:00:58.000000Z" },
    ]);
    // With a minute of grace the late one joins the two.
    assert.deepEqual(await get("/so_far"), [
      { n: "1", began: "2025-03-01T10:00:00.000000Z", ends: "2025-03-01T10:01:39.000000Z", c: "7" },
    ]);
    await publish("05:00");
    const second = { n: "1", began: "2025-03-01T10:00:59.000000Z", ends: "2025-03-01T10:01:39.000000Z", c: "3" };
    assert.deepEqual(await get("/visits?order=ends"), [first, second]);
    const { items } = (await get("")) as { items: { name: string; window: unknown }[] };
    assert.deepEqual(
      items.map(({ name, window: told }) => [name, told]),
      [
        ["visits", { ends: "ends", grace: "0ms", session: { gap: "30s", by: ["n"] }, emit: "final" }],
        ["visits.late", { ends: "ends", grace: "0ms", session: { gap: "30s", by: ["n"] }, emit: "final" }],
        ["so_far", { ends: "ends", grace: "1m", session: { gap: "30s", by: ["n"] }, emit: "updates" }],
        ["so_far.late", { ends: "ends", grace: "1m", session: { gap: "30s", by: ["n"] }, emit: "updates" }],
      ],
    );
  } finally {
    await door.close();
    views.close();
  }
});
