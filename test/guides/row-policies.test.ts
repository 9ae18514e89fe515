import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { openFeeds } from "../../src/feeds/feeds.ts";
import { engineWithoutTopics } from "../../src/feeds/feeds-fixture.ts";
import { bearer, testTokenRules } from "../../src/http/caller-tokens.fixture.ts";
import { ask, openTestDoor } from "../../src/http/door-fixture.ts";
import { checkDefinitions } from "../../src/views/check.ts";
import { live, ViewsFixture } from "../../src/views/group-fixture.ts";
import { openReader } from "../../src/views/reader.ts";
import { tableShape } from "../../src/views/source-fixture.ts";
import { ordersOf, totals } from "./row-policies-app.ts";

const orders = tableShape("shop", "orders", ["id integer", "customer_id integer", "region text", "total numeric"]);

test("the guide's callers are answered what it says that they are answered", async () => {
  const [policed, summed] = await checkDefinitions([ordersOf, totals], [orders]);
  assert.deepEqual([policed?.error, policed?.warnings, summed?.error], [null, [], null]);
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders]);
  const group = await fixture.group([ordersOf, totals]);
  const order = (...insert: string[]) => ({ table: orders, insert });
  await shop.snapshot([order("1", "7", "south", "10"), order("2", "8", "south", "20"), order("3", "8", "north", "30")]);
  await live(group);
  const views = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  const feeds = openFeeds({ views, engine: engineWithoutTopics, clock: systemClock });
  const door = await openTestDoor({ views, feeds, tokens: testTokenRules() });
  try {
    const guide = readFileSync(new URL("../../docs/guide/row-policies.md", import.meta.url), "utf8");
    const callers: Record<string, Record<string, string>> = {
      "no token": {},
      "Millrace-Rows: all": { "millrace-rows": "all" },
    };
    const told = [...guide.matchAll(/^GET (\S+)\n(.+)\n(\d{3}) (.*)$/gm)];
    assert.ok(told.length >= 5);
    for (const [text, path = "", caller = "", status, body = ""] of told) {
      const headers = callers[caller] ?? bearer(JSON.parse(caller));
      const answer = await ask(door, path, { headers });
      assert.equal(String(answer.status), status, text);
      if (body.startsWith("[")) assert.deepEqual(JSON.parse(answer.text), JSON.parse(body), text);
      else assert.equal((answer.json() as { code: string }).code, body, text);
    }
  } finally {
    await feeds.close();
    await door.close();
    views.close();
  }
});
