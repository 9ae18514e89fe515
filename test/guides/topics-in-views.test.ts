import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { arrange, collectDefinitions } from "../../src/catalog/collect.ts";
import { topicRetentions } from "../../src/catalog/topic-retentions.ts";
import { topicTables } from "../../src/catalog/topic-table.ts";
import { appendRecords } from "../../src/engine/records.ts";
import { parseQueryString } from "../../src/http/query-string.ts";
import { parseRowQuery } from "../../src/http/row-query.ts";
import { ViewsFixture } from "../../src/views/group-fixture.ts";
import { openReader } from "../../src/views/reader.ts";
import { tableShape } from "../../src/views/source-fixture.ts";
import { refuseExpiring } from "../../src/views/topic-retention.ts";
import { settled } from "../../src/views/topics-fixture.ts";
import * as app from "./topics-in-views-app.ts";

const customers = tableShape("shop", "customers", ["id integer", "name text"]);

test("the guide's requests answer what it says that they answer", async () => {
  await using fixture = await ViewsFixture.open();
  const definitions = arrange(collectDefinitions(app));
  await refuseExpiring(definitions.views, topicRetentions(definitions));
  const guide = readFileSync(new URL("../../docs/guide/topics-in-views.md", import.meta.url), "utf8");
  for (const { name } of [...definitions.topics, ...definitions.webhooks]) await fixture.engine.createTopic(name);
  const append = (topic: string, events: readonly { key?: string; value: unknown }[]) => {
    const records = events.map(({ key, value }) => ({
      partition: 0,
      key: key === undefined ? null : Buffer.from(key),
      value: Buffer.from(typeof value === "string" ? value : JSON.stringify(value)),
    }));
    return appendRecords(fixture.engine, topic, records);
  };
  for (const [, topic = "", events = ""] of guide.matchAll(/\/v1\/topics\/(\w+) .*-d '(\[[^']*\])'/g)) {
    await append(topic, JSON.parse(events));
  }
  const shop = await fixture.source("shop", [customers]);
  const group = await fixture.group(definitions.views, { topics: topicTables(definitions) });
  await shop.snapshot([
    { table: customers, insert: ["1", "Ada"] },
    { table: customers, insert: ["2", "Bob"] },
  ]);
  await settled(fixture, group, "payments", "rates", "stripe");
  const headers = [{ key: "millrace.type", value: Buffer.from("charge.refunded") }];
  const charge = { data: { object: { id: "ch_1", amount: 250 } } };
  const odd = { data: { object: { id: "ch_2", amount: "much" } } };
  const events = [charge, odd].map((value) => ({
    partition: 0,
    key: null,
    value: Buffer.from(JSON.stringify(value)),
    headers,
  }));
  await appendRecords(fixture.engine, "stripe", events);
  await settled(fixture, group, "stripe");
  assert.deepEqual(await fixture.rows("select charge, cents from views.refunds"), [
    '{"charge":"ch_1","cents":250}',
    '{"charge":"ch_2","cents":null}',
  ]);
  assert.deepEqual([group.info("refunds").history, group.info("revenue").history], ["store", undefined]);

  const reader = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  const requests = [...guide.matchAll(/^GET \/v1\/views\/(\w+)\?(\S+)\n(\[.*\])$/gm)];
  assert.equal(requests.length, 4);
  for (const [line, view = "", query = "", answer = ""] of requests) {
    if (view === "unreadable") {
      await append("payments", [{ value: "customer=1" }]);
      await settled(fixture, group, "payments");
    }
    const { rows } = await reader.rows(view, parseRowQuery(parseQueryString(query), { rowsMax: 10_000 }));
    assert.deepEqual(
      rows.map((row) => JSON.parse(row)),
      JSON.parse(answer),
      line,
    );
  }
});
