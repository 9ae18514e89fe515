import assert from "node:assert/strict";
import { test } from "node:test";
import { sql, view } from "../../catalog/definitions.ts";
import type { PublishingAnswer } from "../answers.ts";
import { publishingOf, readAs, searchedBy, topicOf, windowOf } from "./views.ts";

test("what a view is searched by is said in one line, and nothing of a view that is not searched", () => {
  const query = sql`select 1`;
  const { find } = view("shops", query, {
    search: ["name", { column: "note", weight: "D" }],
    fuzzy: ["name", "owner"],
    geo: { lat: "north", lon: "east" },
    tree: ["path", "place"],
  });
  assert.equal(
    searchedBy(find),
    "words of name (A), note (D), simple; what resembles name, owner; the place (north, east); paths in path, place",
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

test("of a view with windows it is said how they end, whether they are sessions, and when rows are shown", () => {
  const window = { ends: "ends", grace: "0ms", emit: "updates" } as const;
  assert.equal(windowOf(window), "ends by ends; rows are shown from the first event on");
  const session = { gap: "30m", by: ["customer", "device"] };
  assert.equal(
    windowOf({ ...window, grace: "5m", session, emit: "final" }),
    "sessions by customer, device with gaps of 30m; ends by ends, 5m of grace; rows are shown when it is over",
  );
});

test("of a view that is published it is said where to, how far its topic is, and whether something is the matter", () => {
  const figures = { topic: "cards-topic", batches: 1_200, records: 3 };
  const follows: PublishingAnswer = { ...figures, state: { kind: "publishing" }, position: "2.7", behind: 0 };
  assert.equal(topicOf(follows), "cards-topic");
  assert.equal(
    publishingOf(follows),
    "publishing, at 2.7, 0 batches behind; 3 records of 1,200 batches since the start",
  );
  const error = { code: "DISK_LOW", message: "the disk is full", hint: null };
  const waits: PublishingAnswer = { ...figures, state: { kind: "waiting", error }, position: null, behind: null };
  assert.equal(topicOf(waits), "cards-topic (waiting: DISK_LOW)");
  assert.equal(publishingOf(waits), "waits, and tries again; 3 records of 1,200 batches since the start");
  assert.equal(topicOf(undefined), "–");
});
