import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { VirtualClock } from "../../src/base/virtual-clock.ts";
import { arrange, collectDefinitions } from "../../src/catalog/collect.ts";
import { topicTables } from "../../src/catalog/topic-table.ts";
import { parseQueryString } from "../../src/http/query-string.ts";
import { parseRowQuery } from "../../src/http/row-query.ts";
import { ViewsFixture } from "../../src/views/group-fixture.ts";
import { openReader } from "../../src/views/reader.ts";
import { publish, settled } from "../../src/views/topics-fixture.ts";
import * as app from "./windows-app.ts";

test("the guide's requests answer what it says that they answer, for events in whichever order", async () => {
  await using fixture = await ViewsFixture.open();
  const definitions = arrange(collectDefinitions(app));
  const guide = readFileSync(new URL("../../docs/guide/windows.md", import.meta.url), "utf8");
  for (const { name } of definitions.topics) await fixture.engine.createTopic(name);
  const clock = new VirtualClock(Date.UTC(2026, 2, 1, 12));
  const group = await fixture.group(definitions.views, { topics: topicTables(definitions), clock });
  // One at a time, and where it must not matter the last first: all views are there already.
  for (const [, to = "", events = ""] of guide.matchAll(/\/v1\/topics\/(\w+) .*-d '(\[[^']*\])'/g)) {
    const given: readonly { value: unknown }[] = JSON.parse(events);
    for (const { value } of to === "clicks" ? given : given.toReversed()) {
      await publish(fixture, to, { value });
      await settled(fixture, group, to);
    }
  }
  const reader = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  const requests = [...guide.matchAll(/^GET \/v1\/views\/([\w.]+)\?(\S+)\n(\[.*\])$/gm)];
  assert.equal(requests.length, guide.split("\nGET ").length - 1);
  for (const [whole, view = "", query = "", answer = ""] of requests) {
    const { rows } = await reader.rows(view, parseRowQuery(parseQueryString(query), { rowsMax: 10_000 }));
    assert.deepEqual(
      rows.map((row) => JSON.parse(row)),
      JSON.parse(answer),
      whole,
    );
  }
});
