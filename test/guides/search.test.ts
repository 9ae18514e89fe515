import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { parseQueryString } from "../../src/http/query-string.ts";
import { parseLiveQuery, parseRowQuery } from "../../src/http/row-query.ts";
import { live, ViewsFixture } from "../../src/views/group-fixture.ts";
import { openReader } from "../../src/views/reader.ts";
import { tableShape } from "../../src/views/source-fixture.ts";
import { articles, shops } from "./search-app.ts";

const tables = {
  articles: tableShape("town", "articles", [
    "id integer",
    "title text",
    "body text",
    "published_at timestamp with time zone",
  ]),
  shops: tableShape("town", "shops", [
    "id integer",
    "name text",
    "owner text",
    "lat double precision",
    "lon double precision",
  ]),
};

test("the guide's requests answer what it says that they answer", async () => {
  await using fixture = await ViewsFixture.open();
  const town = await fixture.source("town", [tables.articles, tables.shops]);
  const group = await fixture.group([articles, shops]);
  const article = (...insert: string[]) => ({ table: tables.articles, insert });
  const shop = (...insert: string[]) => ({ table: tables.shops, insert });
  const day = "2026-01-01 00:00:00+00";
  await town.snapshot([
    article("1", "Water mills", "Mills stand on rivers. A mill runs day and night.", day),
    article("2", "Rivers of the south", "Where rivers run <fast>, nobody swims.", day),
    article("3", "Bread", "Flour comes from the mill.", day),
    shop("1", "Mill bakery", "Anna Schmidt", "47.0707", "15.4395"),
    shop("2", "Corner books", "Ana Schmitt", "47.0745", "15.4380"),
    shop("3", "Far boats", "Jonas Meyer", "48.3069", "14.2858"),
    shop("4", "No address", "Anna Smid", "0", "200"),
  ]);
  await live(group);
  const reader = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  const guide = readFileSync(new URL("../../docs/guide/search.md", import.meta.url), "utf8");
  const requests = [...guide.matchAll(/^GET \/v1\/views\/(\w+)(\/live)?\?(\S+)$(?:\n(\[.*\])$)?/gm)];
  assert.ok(requests.length >= 12);
  for (const [line, view = "", isLive, query = "", answer] of requests) {
    const parameters = parseQueryString(query);
    if (isLive) {
      const { pages } = await reader.snapshot(view, parseLiveQuery(parameters).filter);
      let count = 0;
      for await (const page of pages) count += page.length;
      assert.ok(count > 0, line);
      continue;
    }
    const { rows } = await reader.rows(view, parseRowQuery(parameters, { rowsMax: 10_000 }));
    assert.ok(rows.length > 0, line);
    if (answer !== undefined)
      assert.deepEqual(
        rows.map((row) => JSON.parse(row)),
        JSON.parse(answer),
        line,
      );
  }
});
