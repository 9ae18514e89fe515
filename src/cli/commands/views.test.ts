import assert from "node:assert/strict";
import { test } from "node:test";
import { sql, view } from "../../catalog/definitions.ts";
import { searchedBy } from "./views.ts";

test("what a view is searched by is said in one line, and nothing of a view that is not searched", () => {
  const query = sql`select 1`;
  const { find } = view("shops", query, {
    search: ["name", { column: "note", weight: "D" }],
    fuzzy: ["name", "owner"],
    geo: { lat: "north", lon: "east" },
  });
  assert.equal(
    searchedBy(find),
    "words of name (A), note (D), simple; what resembles name, owner; the place (north, east)",
  );
  assert.equal(searchedBy(view("plain", query).find), null);
});
