import assert from "node:assert/strict";
import { test } from "node:test";
import { readOptions } from "./read-options.ts";

test("options are kept as they were meant, and absent where none is given", () => {
  assert.equal(readOptions("v", {}), null);
  assert.deepEqual(readOptions("v", { series: { time: "at" } }), { series: { time: "at", by: [] } });
  assert.deepEqual(readOptions("v", { series: { time: "at", by: ["s"] }, graph: { from: "a", to: "b" } }), {
    graph: { from: "a", to: "b" },
    series: { time: "at", by: ["s"] },
  });
});

test("a series that cannot be one is refused where it is written", () => {
  for (const [series, message] of [
    [null, /it takes \{ time/],
    [{}, /it takes/],
    [{ time: "" }, /it takes/],
    [{ time: "at", by: "sensor" }, /it takes/],
    [{ time: "at", by: [5] }, /it takes/],
    [{ time: "at", by: ["s", "s"] }, /names a column twice/],
    [{ time: "at", by: ["at"] }, /names a column twice/],
    [{ time: "at", by: Array.from({ length: 17 }, (_, i) => `c${i}`) }, /more than 16/],
    [{ time: "at", buy: [] }, /"buy", which is none/],
  ] as const) {
    assert.throws(() => readOptions("v", { series: series as never }), { code: "DEFINITION_INVALID", message });
  }
});

test("an index is over columns and places in json, in their order, or of what a column contains", () => {
  const place = (column: string, steps: string[] = [], text = false) => ({ column, steps, text });
  const index = ["status", ["status", "at"], "doc->>kind", "doc->a b->>c'", { gin: "doc" }];
  assert.deepEqual(readOptions("v", { index })?.indexes, [
    { fields: [place("status")] },
    { fields: [place("status"), place("at")] },
    { fields: [place("doc", ["kind"], true)] },
    { fields: [place("doc", ["a b", "c'"], true)] },
    { gin: "doc" },
  ]);
  for (const [wrong, message] of [
    ["status", /takes a list/],
    [[""], /no column and no path/],
    [["->a"], /no column and no path/],
    [["doc->"], /no column and no path/],
    [["doc->>a->b"], /no column and no path/],
    [[[]], /takes a list/],
    [[5], /takes a list/],
    [[{ gin: ["doc"] }], /takes a list/],
    [[{ gist: "doc" }], /"gist", which is none/],
    [Array.from({ length: 33 }, () => "a"), /more than 32/],
    [[Array.from({ length: 17 }, (_, i) => `c${i}`)], /up to 16/],
  ] as const) {
    assert.throws(() => readOptions("v", { index: wrong as never }), { code: "DEFINITION_INVALID", message });
  }
});
