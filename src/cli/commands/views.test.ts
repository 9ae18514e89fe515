import assert from "node:assert/strict";
import { test } from "node:test";
import { sql, view } from "../../catalog/definitions.ts";
import { readAs, searchedBy } from "./views.ts";

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

test("of a view whose rows are edges or values of a time it is said which columns say so", () => {
  const query = sql`select 1`;
  const { reads } = view("roads", query, { graph: { from: "a", to: "b", weight: "km" } });
  assert.equal(readAs(reads), "edges from a to b, weights in km");
  const series = view("readings", query, { graph: { from: "a", to: "b" }, series: { time: "at", by: ["c", "d"] } });
  assert.equal(readAs(series.reads), "edges from a to b; values at at, by c, d");
  assert.equal(readAs(view("plain", query).reads), null);
});
