import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compareMarks, type Label, labelsMark, type MarksNow, readKeptMarks } from "./table-marks.ts";

const labels: Label[] = [
  [100, "good"],
  [102, "bad"],
];

const known: MarksNow = {
  files: "f1",
  columns: "c1",
  numbers: [1, 3],
  lastNumber: 3,
  lastDropped: 2,
  composites: "t1",
  labels: labelsMark(labels),
  published: "p1",
  partitions: { "11": [1, "a"], "12": [2, "b"] },
  labelsNow: labels,
  partitionsFilled: [],
};

function withLabels(now: readonly Label[]): Partial<MarksNow> {
  return { labels: labelsMark(now), labelsNow: now };
}

describe("what a table's marks say of its rows", () => {
  const again: readonly [what: string, now: Partial<MarksNow>, reason: RegExp][] = [
    ["its files and its columns' entries are others", { files: "f2", columns: "c2" }, /written anew/],
    ["a column has another number", { numbers: [1, 4], lastNumber: 4, columns: "c2" }, /another one stood/],
    ["a column that was added has a number that was given before", { numbers: [1, 3, 2] }, /another one stood/],
    ["a column came and went", { lastNumber: 4, lastDropped: 4, columns: "c2" }, /added and dropped/],
    ["a composite has other attributes", { composites: "t2" }, /composite/],
    [
      "a label was renamed",
      withLabels([
        [100, "fine"],
        [102, "bad"],
      ]),
      /label/,
    ],
    ["it was published otherwise", { published: "p2" }, /publication/],
    ["it is published no more", { published: null }, /publication/],
    ["a partition is gone", { partitions: { "11": [1, "a"] } }, /detached or dropped/],
    ["a partition has another file", { partitions: { "11": [7, "a"], "12": [2, "b"] } }, /emptied/],
    ["a partition has another place", { partitions: { "11": [1, "c"], "12": [2, "b"] } }, /attached again/],
    [
      "a partition came with rows",
      { partitions: { ...known.partitions, "13": [3, "d"] }, partitionsFilled: ["13"] },
      /was attached/,
    ],
  ];
  for (const [what, now, reason] of again) {
    test(`${what}: they are read again`, () => {
      const change = compareMarks(known, { ...known, ...now });
      assert.equal(change.kind, "again");
      assert.match(change.kind === "again" ? change.reason : "", reason);
    });
  }

  const moved: readonly [what: string, now: Partial<MarksNow>][] = [
    ["the table was packed or emptied", { files: "f2" }],
    ["a column got another default", { columns: "c2" }],
    ["a column was added", { columns: "c2", numbers: [1, 3, 4], lastNumber: 4 }],
    ["an older column was dropped, which is not captured", { columns: "c2", lastDropped: 3 }],
    ["a label was added", withLabels([...labels, [104, "new"]])],
    ["an empty partition was made", { partitions: { ...known.partitions, "13": [3, "d"] } }],
  ];
  for (const [what, now] of moved) {
    test(`${what}: nothing is read, and it counts from there on`, () => {
      assert.deepEqual(compareMarks(known, { ...known, ...now }), { kind: "moved" });
    });
  }

  test("nothing was changed: nothing is read", () => {
    assert.deepEqual(compareMarks(known, known), { kind: "none" });
  });

  test("what an older version kept knows no partitions, and learns of them", () => {
    const { partitions: _, ...before } = known;
    assert.deepEqual(compareMarks(before, { ...known, partitionsFilled: ["12"] }), { kind: "moved" });
  });

  test("what was kept by nobody knows nothing", () => {
    for (const value of [undefined, null, 1, "x", {}, { version: 2, marks: {} }, { version: 1, marks: null }]) {
      assert.deepEqual(readKeptMarks(value), {});
    }
    assert.deepEqual(readKeptMarks({ version: 1, marks: { "shop.public.t": known } }), { "shop.public.t": known });
  });
});
