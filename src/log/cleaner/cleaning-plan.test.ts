import assert from "node:assert/strict";
import { test } from "node:test";
import { type CleanableSegment, type CleaningState, dirtiest, groupSegments, planCleaning } from "./cleaning-plan.ts";

function segments(...timestamps: readonly number[]): CleanableSegment[] {
  return timestamps.map((maxTimestamp, i) => ({
    baseOffset: i * 100,
    sizeBytes: 1000,
    maxTimestamp,
    firstTimestamp: maxTimestamp - 10,
  }));
}

function plan(
  of: readonly CleanableSegment[],
  more: Omit<Partial<CleaningState>, "settings"> & { settings?: Partial<CleaningState["settings"]> } = {},
) {
  const settings = { dirtyRatioMin: 0.5, compactionLagMinMs: 0, compactionLagMaxMs: null, ...more.settings };
  return planCleaning({ segments: of, cleanedTo: undefined, lastStable: 1_000_000, nowMs: 10_000, ...more, settings });
}

const four = segments(1000, 2000, 3000, 4000);

test("what was never cleaned is all dirty, but for the active segment", () => {
  const { firstDirtyOffset, cleanableEnd, dirtyBytes, cleanBytes, dirtyRatio, isDue } = plan(four);
  assert.deepEqual(
    [firstDirtyOffset, cleanableEnd, dirtyBytes, cleanBytes, dirtyRatio, isDue],
    [0, 300, 3000, 0, 1, true],
  );
});

test("a partition is due when more of it is dirty than its setting says", () => {
  assert.equal(plan(four, { cleanedTo: 100, settings: { dirtyRatioMin: 0.6 } }).isDue, true);
  assert.equal(plan(four, { cleanedTo: 200, settings: { dirtyRatioMin: 1 / 3 } }).isDue, false);
  assert.equal(plan(four, { cleanedTo: 200, settings: { dirtyRatioMin: 0.3 } }).isDue, true);
  assert.equal(plan(four, { cleanedTo: 300, settings: { dirtyRatioMin: 0 } }).isDue, false);
});

test("a segment that was cleaned in part counts as dirty", () => {
  const { firstDirtyOffset, dirtyBytes, cleanBytes } = plan(four, { cleanedTo: 150 });
  assert.deepEqual([firstDirtyOffset, dirtyBytes, cleanBytes], [150, 2000, 1000]);
});

test("nothing at or past the last stable offset is cleaned", () => {
  assert.equal(plan(four, { lastStable: 299 }).cleanableEnd, 200);
  assert.equal(plan(four, { lastStable: 200 }).cleanableEnd, 200);
  const { cleanableEnd, isDue } = plan(four, { lastStable: 99 });
  assert.deepEqual([cleanableEnd, isDue], [0, false]);
});

test("the first dirty segment with a record younger than the least lag ends the cleanable part", () => {
  const settings = { compactionLagMinMs: 7500 };
  assert.equal(plan(four, { settings }).cleanableEnd, 200);
  assert.equal(plan(four, { settings, nowMs: 10_500 }).cleanableEnd, 300);
  assert.equal(plan(segments(9999, 1000, 1000), { settings }).cleanableEnd, 0);
});

test("what was cleaned before may be cleaned again whatever the lag", () => {
  const settings = { compactionLagMinMs: 20_000 };
  const { firstDirtyOffset, cleanableEnd, isDue } = plan(four, { settings, cleanedTo: 200 });
  assert.deepEqual([firstDirtyOffset, cleanableEnd, isDue], [200, 200, false]);
});

test("a partition with a dirty segment older than the longest lag is due whatever its dirty ratio", () => {
  const settings = { compactionLagMaxMs: 7000, dirtyRatioMin: 0.9 };
  const overdue = plan(four, { cleanedTo: 200, settings, nowMs: 9991 });
  assert.deepEqual([overdue.isOverdue, overdue.isDue], [true, true]);
  const waiting = plan(four, { cleanedTo: 200, settings, nowMs: 9990 });
  assert.deepEqual([waiting.isOverdue, waiting.isDue], [false, false]);
  const unknown = four.map((segment) => ({ ...segment, firstTimestamp: -1 }));
  assert.equal(plan(unknown, { cleanedTo: 200, settings }).isDue, false);
});

test("a mark below the log's start or past the active segment means that all is dirty", () => {
  const later = four.map((segment) => ({ ...segment, baseOffset: segment.baseOffset + 500 }));
  assert.equal(plan(later, { cleanedTo: 100 }).firstDirtyOffset, 500);
  assert.equal(plan(four, { cleanedTo: 301 }).firstDirtyOffset, 0);
  assert.equal(plan(four, { cleanedTo: 300 }).firstDirtyOffset, 300);
});

test("a partition with nothing closed has nothing to clean", () => {
  for (const none of [[], segments(1000)]) {
    const { cleanableEnd, dirtyRatio, isDue } = plan(none);
    assert.deepEqual([cleanableEnd, dirtyRatio, isDue], [0, 0, false]);
  }
});

test("of the partitions that are due the dirtiest is cleaned first", () => {
  const plans = new Map([
    ["a", plan(four, { cleanedTo: 100 })],
    ["b", plan(four)],
    ["c", plan(four, { cleanedTo: 300 })],
  ]);
  assert.equal(
    dirtiest(plans.keys(), (name) => plans.get(name) as never),
    "b",
  );
  assert.equal(
    dirtiest(["c"], (name) => plans.get(name) as never),
    undefined,
  );
});

test("neighbours become one segment as long as they fit together", () => {
  const sizes = [400, 500, 200, 100, 1500, 10, 990, 10];
  const list = sizes.map((sizeBytes, i) => ({ baseOffset: i * 10, sizeBytes }));
  assert.deepEqual(
    groupSegments(list, 80, 1000).map((group) => group.map(({ sizeBytes }) => sizeBytes)),
    [[400, 500], [200, 100], [1500], [10, 990], [10]],
  );
  assert.deepEqual(groupSegments([], 0, 1000), []);
});

test("a segment never spans 2^31 offsets or more", () => {
  const list = [0, 1000, 2 ** 31 - 1, 2 ** 31 + 5].map((baseOffset) => ({ baseOffset, sizeBytes: 1 }));
  assert.deepEqual(
    groupSegments(list, 2 ** 31 + 10, 1000).map((group) => group.map(({ baseOffset }) => baseOffset)),
    [
      [0, 1000],
      [2 ** 31 - 1, 2 ** 31 + 5],
    ],
  );
});
