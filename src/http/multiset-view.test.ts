/** A view without a key from the client, through the door, to the store. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type Update } from "../../client/src/index.ts";
import { systemClock } from "../base/clock.ts";
import { openFeeds } from "../feeds/feeds.ts";
import { engineWithoutTopics } from "../feeds/feeds-fixture.ts";
import { live, ViewsFixture, viewOf } from "../views/group-fixture.ts";
import { openReader } from "../views/reader.ts";
import { tableShape } from "../views/source-fixture.ts";
import { ask, openTestDoor } from "./door-fixture.ts";

interface Kind {
  readonly kind: string;
}

const events = tableShape("shop", "events", ["id integer", "kind text"]);

test("equal rows are read in all forms, page by page and live, and by no key", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [events]);
  const group = await fixture.group([viewOf("kinds", "select kind from shop.events")]);
  await shop.snapshot(["a", "b", "a", "a"].map((kind, i) => ({ table: events, insert: [String(i), kind] })));
  await live(group);
  const views = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  const feeds = openFeeds({ views, engine: engineWithoutTopics, clock: systemClock });
  const door = await openTestDoor({ views, feeds });
  try {
    const get = (path: string, headers: Record<string, string> = {}) => ask(door, `/v1/views${path}`, { headers });
    const listed = JSON.parse((await get("")).text) as { items: { key: unknown }[] };
    assert.equal(listed.items[0]?.key, null);
    const csv = await get("/kinds?order=kind", { accept: "text/csv" });
    assert.deepEqual(csv.text.trim().split(/\r\n/), ["kind", "a", "a", "a", "b"]);
    const again = await get("/kinds?order=kind", { accept: "text/csv", "if-none-match": String(csv.headers.etag) });
    assert.equal(again.status, 304);
    const first = await get("/kinds?kind=eq.a&limit=2", { prefer: "count=exact" });
    assert.equal(first.headers["content-range"], "0-1/3");
    const next = /<\?(.*)>/.exec(String(first.headers.link))?.[1];
    assert.deepEqual(JSON.parse((await get(`/kinds?${next}`)).text), [{ kind: "a" }]);
    const refused = await get("/kinds/a");
    assert.deepEqual([refused.status, JSON.parse(refused.text).code], [400, "VIEW_KEY_MISSING"]);

    const client = connect<{ views: { kinds: Kind } }>(door.url);
    await assert.rejects(client.view("kinds").get("a"), { code: "VIEW_KEY_MISSING" });
    const rows = client.view("kinds").live({ where: { kind: "a" } });
    const updates = rows[Symbol.asyncIterator]();
    const take = async () => ((await updates.next()) as IteratorYieldResult<Update<Kind>>).value;
    assert.equal((await take()).rows.size, 3);
    await shop.commit(
      { table: events, update: ["0", "b"] },
      { table: events, update: ["1", "a"] },
      { table: events, update: ["2", "c"] },
    );
    const row = { kind: "a" };
    const { changes, rows: left } = await take();
    assert.deepEqual(changes, [{ op: "delete", key: row, row, count: 1 }]);
    assert.deepEqual([...left.values()], [row, row]);
    rows.close();
  } finally {
    await door.close();
    views.close();
  }
});
