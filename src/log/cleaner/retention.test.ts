import assert from "node:assert/strict";
import { test } from "node:test";
import { planRetention, type RetainedSegment, type RetentionState } from "./retention.ts";

/** Segments of 100 offsets; the last one is active. */
function segments(...timestamps: readonly number[]): RetainedSegment[] {
  return timestamps.map((maxTimestamp, i) => ({
    baseOffset: i * 100,
    endOffset: (i + 1) * 100,
    sizeBytes: 1000,
    maxTimestamp,
  }));
}

type Settings = RetentionState["settings"];

function plan(of: readonly RetainedSegment[], settings: Partial<Settings>, more: Partial<RetentionState> = {}) {
  const all = { cleanup: "delete", retentionMs: null, retentionBytes: null, ...settings } as const;
  const lastStable = (of.at(-1) as RetainedSegment).endOffset;
  return planRetention({
    segments: of,
    settings: all,
    nowMs: 10_000,
    logStart: 0,
    lastStable,
    heldFrom: null,
    ...more,
  });
}

test("without limits nothing is retired", () => {
  assert.equal(plan(segments(1, 2, 3), {}).count, 0);
});

test("a segment is retired when its largest timestamp is older than the retention time", () => {
  assert.equal(plan(segments(8999, 9000, 9001, 0), { retentionMs: 1000 }).count, 1);
  assert.equal(plan(segments(8998, 8999, 9000, 0), { retentionMs: 1000 }).count, 2);
});

test("a younger segment keeps all that come after it", () => {
  assert.equal(plan(segments(1, 9500, 2, 3), { retentionMs: 1000 }).count, 1);
});

test("a timestamp in the future keeps its segment until it is old", () => {
  const future = segments(50_000, 1, 2);
  assert.equal(plan(future, { retentionMs: 1000 }).count, 0);
  assert.equal(plan(future, { retentionMs: 1000 }, { nowMs: 51_000 }).count, 0);
  assert.equal(plan(future, { retentionMs: 1000 }, { nowMs: 51_001 }).count, 2);
});

test("a segment without timestamps has the age of its last write, or none", () => {
  const [first, ...rest] = segments(-1, 1, 2);
  assert.equal(plan([first as RetainedSegment, ...rest], { retentionMs: 1000 }).count, 0);
  assert.equal(plan([{ ...(first as RetainedSegment), writtenMs: 8000 }, ...rest], { retentionMs: 1000 }).count, 2);
  assert.equal(plan([{ ...(first as RetainedSegment), writtenMs: 9500 }, ...rest], { retentionMs: 1000 }).count, 0);
});

test("the oldest segments are retired while what is left is still as large as allowed", () => {
  const five = segments(1, 2, 3, 4, 5);
  assert.equal(plan(five, { retentionBytes: 5000 }).count, 0);
  assert.equal(plan(five, { retentionBytes: 4001 }).count, 0);
  assert.equal(plan(five, { retentionBytes: 4000 }).count, 1);
  assert.equal(plan(five, { retentionBytes: 2500 }).count, 2);
  assert.equal(plan(five, { retentionBytes: 1 }).count, 4);
});

test("the active segment is never retired", () => {
  assert.equal(plan(segments(1), { retentionMs: 1, retentionBytes: 1 }).count, 0);
  assert.equal(plan(segments(1, 1), { retentionMs: 1, retentionBytes: 1 }, { logStart: 200 }).count, 1);
  assert.equal(
    planRetention({
      segments: [],
      settings: { cleanup: "delete", retentionMs: 1, retentionBytes: 1 },
      nowMs: 1,
      logStart: 0,
      lastStable: 0,
      heldFrom: null,
    }).count,
    0,
  );
});

test("nothing is retired that reaches past the last stable offset", () => {
  const three = segments(1, 2, 3);
  const limits = { retentionMs: 1, retentionBytes: 1 };
  assert.equal(plan(three, limits, { lastStable: 199 }).count, 1);
  assert.equal(plan(three, limits, { lastStable: 200 }).count, 2);
  assert.equal(plan(three, limits, { lastStable: 99, logStart: 300 }).count, 0);
});

test("segments wholly below the log's start are retired, also where only compaction is on", () => {
  const four = segments(1, 2, 3, 4);
  for (const cleanup of ["delete", "compact", "compact,delete"] as const) {
    assert.equal(plan(four, { cleanup }, { logStart: 199 }).count, 1);
    assert.equal(plan(four, { cleanup }, { logStart: 200 }).count, 2);
  }
});

test("where only compaction is on, age and size retire nothing", () => {
  const limits = { retentionMs: 1, retentionBytes: 1 };
  assert.equal(plan(segments(1, 2, 3), { cleanup: "compact", ...limits }).count, 0);
  assert.equal(plan(segments(1, 2, 3), { cleanup: "compact,delete", ...limits }).count, 2);
});

test("each rule goes on where the one before it ended", () => {
  const six = segments(1, 2, 3, 4, 9900, 9999);
  assert.deepEqual(plan(six, { retentionBytes: 4000, retentionMs: 1000 }, { logStart: 100 }), {
    count: 4,
    belowLogStart: 1,
    bySize: 1,
    byTime: 2,
    held: 0,
    losesHeld: false,
  });
});

test("what is held stays for as long again", () => {
  const four = segments(7999, 8000, 8500, 0);
  const held = (heldFrom: number) => plan(four, { retentionMs: 1000 }, { heldFrom });
  assert.deepEqual(held(300), { count: 3, belowLogStart: 0, bySize: 0, byTime: 3, held: 0, losesHeld: false });
  assert.deepEqual(held(200), { count: 2, belowLogStart: 0, bySize: 0, byTime: 2, held: 1, losesHeld: false });
  assert.deepEqual(held(199), { count: 1, belowLogStart: 0, bySize: 0, byTime: 1, held: 2, losesHeld: false });
  assert.deepEqual(held(99), { count: 1, belowLogStart: 0, bySize: 0, byTime: 1, held: 2, losesHeld: true });
});

test("what is held stays while no more than twice the size is there", () => {
  const five = segments(1, 2, 3, 4, 5);
  const held = (heldFrom: number) => plan(five, { retentionBytes: 2000 }, { heldFrom });
  assert.equal(held(300).count, 3);
  assert.deepEqual(held(150), { count: 1, belowLogStart: 0, bySize: 1, byTime: 0, held: 2, losesHeld: false });
  assert.deepEqual(held(0), { count: 1, belowLogStart: 0, bySize: 1, byTime: 0, held: 2, losesHeld: true });
});

test("what is below the log's start is held by nobody", () => {
  const three = segments(1, 1, 1);
  const { count, losesHeld } = plan(three, { retentionMs: 1_000_000 }, { heldFrom: 0, logStart: 200 });
  assert.deepEqual({ count, losesHeld }, { count: 2, losesHeld: false });
});
