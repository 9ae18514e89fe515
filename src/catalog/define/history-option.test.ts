import assert from "node:assert/strict";
import { test } from "node:test";
import { isOnlyCopy, sql, versionsOf, view } from "../definitions.ts";
import type { HistoryOption } from "./history-option.ts";

const query = sql`select 1`;

test("history keeps versions, for ever or for a time, and store says what the store is", () => {
  const kept = { kind: "history", view: "v", keepMs: null, store: false };
  const day = 86_400_000;
  for (const [history, versions, store] of [
    [true, kept, false],
    ["store", null, true],
    [{}, kept, false],
    [{ keep: "400d" }, { ...kept, keepMs: 400 * day }, false],
    [{ store: true }, { ...kept, store: true }, true],
  ] as const) {
    const definition = view("v", query, { history: history as HistoryOption });
    assert.deepEqual([versionsOf(definition), isOnlyCopy(definition)], [versions, store], JSON.stringify(history));
  }
  assert.equal(versionsOf(view("v", query)), null);
});

test("anything else is refused, in words that say what it may be", () => {
  for (const history of [
    false,
    null,
    "versions",
    1,
    [],
    { keep: "soon" },
    { keep: 5 },
    { keep: "1ms" },
    { keeps: "1d" },
    { store: "yes" },
  ]) {
    assert.throws(
      () => view("v", query, { history: history as never }),
      { code: "DEFINITION_INVALID" },
      JSON.stringify(history),
    );
  }
});
