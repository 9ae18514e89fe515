import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { parseNeighbours, parsePath, parseReach } from "../../src/http/graph-query.ts";
import { graphBody } from "../../src/http/graph-routes.ts";
import { parseQueryString } from "../../src/http/query-string.ts";
import { live, ViewsFixture } from "../../src/views/group-fixture.ts";
import { openReader } from "../../src/views/reader.ts";
import { tableShape } from "../../src/views/source-fixture.ts";
import { lines } from "./graphs-app.ts";

const table = tableShape("rail", "lines", ["id integer", "a text", "b text", "kind text", "minutes integer"]);
const parsers = { neighbours: parseNeighbours, reach: parseReach, path: parsePath };

test("the guide's requests answer what it says that they answer", async () => {
  await using fixture = await ViewsFixture.open();
  const rail = await fixture.source("rail", [table]);
  const group = await fixture.group([lines]);
  const line = (...insert: string[]) => ({ table, insert });
  await rail.snapshot([
    line("1", "graz", "bruck", "rail", "35"),
    line("2", "bruck", "wien", "rail", "120"),
    line("3", "graz", "linz", "bus", "170"),
    line("4", "linz", "wien", "rail", "75"),
    line("5", "graz", "bruck", "bus", "32"),
  ]);
  await live(group);
  const reader = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  const guide = readFileSync(new URL("../../docs/guide/graphs.md", import.meta.url), "utf8");
  const requests = [...guide.matchAll(/^GET \/v1\/views\/(\w+)\/graph\/(\w+)\?(\S+)\n(\{.*\})$/gm)];
  assert.equal(requests.length, guide.split("\nGET ").length - 1);
  for (const [whole, view = "", kind, query = "", answer = ""] of requests) {
    const parsed = parsers[kind as keyof typeof parsers](parseQueryString(query));
    assert.deepEqual(JSON.parse(graphBody(await reader.graph(view, parsed))), JSON.parse(answer), whole);
  }
});
