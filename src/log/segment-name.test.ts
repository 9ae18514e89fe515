import assert from "node:assert/strict";
import { test } from "node:test";
import { companionNames, makeSegmentName, nextSegmentName, parseSegmentName } from "./segment-name.ts";

test("a segment's name says its first offset, and its generation once it was cleaned", () => {
  assert.equal(makeSegmentName({ baseOffset: 42, generation: 0 }), "00000000000000000042.log");
  assert.equal(makeSegmentName({ baseOffset: 42, generation: 7 }), "00000000000000000042.7.log");
  for (const name of [
    { baseOffset: 0, generation: 0 },
    { baseOffset: Number.MAX_SAFE_INTEGER, generation: 123 },
  ]) {
    assert.deepEqual(parseSegmentName(makeSegmentName(name)), name);
  }
});

test("any other name is not that of a segment", () => {
  const others = [
    "00000000000000000042.0.log",
    "00000000000000000042.01.log",
    "00000000000000000042.-1.log",
    "00000000000000000042.1.log.draft",
    "00000000000000000042.log.draft",
    "00000000000000000042.index",
    "0000000000000000042.log",
    "99999999999999999999.log",
    "../00000000000000000042.log",
    "00000000000000000042.1.2.log",
    "00000000000000000042.9999999999999999.log",
    "swap",
    "",
  ];
  for (const name of others) assert.equal(parseSegmentName(name), undefined, name);
});

test("what takes the place of segments has the first one's offset and a generation after all of theirs", () => {
  const replaced = [
    { baseOffset: 5, generation: 0 },
    { baseOffset: 9, generation: 3 },
    { baseOffset: 12, generation: 1 },
  ];
  assert.deepEqual(nextSegmentName(replaced), { baseOffset: 5, generation: 4 });
});

test("the files beside a segment share its stem", () => {
  assert.deepEqual(companionNames("00000000000000000042.7.log"), [
    "00000000000000000042.7.index",
    "00000000000000000042.7.aborted",
  ]);
});
