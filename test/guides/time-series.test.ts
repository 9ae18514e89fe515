import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { parseQueryString } from "../../src/http/query-string.ts";
import { parseRowQuery } from "../../src/http/row-query.ts";
import { live, ViewsFixture } from "../../src/views/group-fixture.ts";
import { openReader } from "../../src/views/reader.ts";
import { tableShape } from "../../src/views/source-fixture.ts";
import { readings } from "./time-series-app.ts";

const table = tableShape("house", "readings", [
  "id integer",
  "sensor text",
  "at timestamp with time zone",
  "degrees numeric(4,1)",
]);

test("the guide's requests answer what it says that they answer", async () => {
  await using fixture = await ViewsFixture.open();
  const house = await fixture.source("house", [table]);
  const group = await fixture.group([readings]);
  const reading = (id: string, sensor: string, time: string, degrees: string | null) => {
    return { table, insert: [id, sensor, `2026-03-01 ${time}+00`, degrees] };
  };
  await house.snapshot([
    reading("1", "attic", "08:05", "6.0"),
    reading("2", "attic", "08:50", "9.5"),
    reading("3", "attic", "11:30", "8.5"),
    reading("4", "cellar", "08:30", "3.0"),
    reading("5", "cellar", "09:00", "4.0"),
  ]);
  await live(group);
  const reader = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  const guide = readFileSync(new URL("../../docs/guide/time-series.md", import.meta.url), "utf8");
  const requests = [...guide.matchAll(/^GET \/v1\/views\/(\w+)\?(\S+)\n(\[.*\])$/gm)];
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
