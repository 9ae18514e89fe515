import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { VirtualClock } from "../../src/base/virtual-clock.ts";
import { parseQueryString } from "../../src/http/query-string.ts";
import { parseRowQuery } from "../../src/http/row-query.ts";
import { live, ViewsFixture } from "../../src/views/group-fixture.ts";
import { openReader } from "../../src/views/reader.ts";
import { tableShape } from "../../src/views/source-fixture.ts";
import { eventually } from "../support/program.ts";
import { days, hours, minutes, readings } from "./time-series-app.ts";

const table = tableShape("house", "readings", [
  "id integer",
  "sensor text",
  "at timestamp with time zone",
  "degrees numeric(4,1)",
]);

test("the guide's requests answer what it says that they answer", async () => {
  await using fixture = await ViewsFixture.open();
  const house = await fixture.source("house", [table]);
  const clock = new VirtualClock(Date.UTC(2026, 2, 1, 12));
  const group = await fixture.group([readings, minutes, hours, days], { clock });
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

test("tiers are right with each commit, and let whole buckets go as time passes", async () => {
  await using fixture = await ViewsFixture.open();
  const house = await fixture.source("house", [table]);
  const clock = new VirtualClock(Date.UTC(2026, 2, 1, 12, 59));
  const group = await fixture.group([minutes, hours, days], { clock });
  const reading = (id: string, at: string, degrees: string) => {
    return { table, insert: [id, "attic", `2026-03-01 ${at}+00`, degrees] };
  };
  await house.snapshot([reading("1", "10:00", "1.0"), reading("2", "10:00:30", "2.0"), reading("3", "11:00", "4.0")]);
  await live(group);
  const rows = (view: string, time: string) =>
    fixture.rows(`select to_char(${time}, 'MM-DD HH24:MI') as at, n, total from views.${view}`);
  assert.deepEqual(await rows("minutes", "minute"), [
    '{"at":"03-01 10:00","n":2,"total":3.0}',
    '{"at":"03-01 11:00","n":1,"total":4.0}',
  ]);
  // Over the hour: what was there of 10:00 goes together.
  await eventually(async () => {
    await clock.advance(60_000);
    return (await rows("minutes", "minute")).length === 1 || undefined;
  });
  await house.commit({ table, update: ["3", "attic", "2026-03-01 11:00+00", "5.0"] }, reading("4", "12:30", "6.0"));
  await fixture.settled(group);
  assert.deepEqual(await rows("minutes", "minute"), [
    '{"at":"03-01 11:00","n":1,"total":5.0}',
    '{"at":"03-01 12:30","n":1,"total":6.0}',
  ]);
  assert.deepEqual(await rows("hours", "hour"), [
    '{"at":"03-01 10:00","n":2,"total":3.0}',
    '{"at":"03-01 11:00","n":1,"total":5.0}',
    '{"at":"03-01 12:00","n":1,"total":6.0}',
  ]);
  assert.deepEqual(await rows("days", "day"), ['{"at":"03-01 00:00","n":4,"total":14.0}']);
});
