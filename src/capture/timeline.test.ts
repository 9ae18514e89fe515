import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseLsn } from "./lsn.ts";
import { followTimeline, parseTimelineHistory } from "./timeline.ts";

const history = `1\t0/3000148\tno recovery target specified

# a remark of somebody
2\t1/5A000028\tbefore 2026-11-02 12:00:00+00
`;

test("a history is read line by line, and what is no line of it is passed over", () => {
  assert.deepEqual(parseTimelineHistory(history), [
    { timeline: 1, leftAt: parseLsn("0/3000148") },
    { timeline: 2, leftAt: parseLsn("1/5A000028") },
  ]);
  fc.assert(fc.property(fc.string(), (text) => Array.isArray(parseTimelineHistory(text))));
});

test("a timeline is followed up to the place where the server's history left it", () => {
  const switches = parseTimelineHistory(history);
  assert.deepEqual(followTimeline(3, 5, 3, []), { kind: "same" });
  assert.deepEqual(followTimeline(2, parseLsn("1/5A000028"), 3, switches), { kind: "followed" });
  assert.deepEqual(followTimeline(2, parseLsn("1/5A000029"), 3, switches), {
    kind: "other",
    leftAt: parseLsn("1/5A000028"),
  });
  assert.deepEqual(followTimeline(1, parseLsn("0/3000148"), 3, switches), { kind: "followed" });
  assert.deepEqual(followTimeline(4, 5, 6, switches), { kind: "other", leftAt: null });
  assert.deepEqual(followTimeline(4, 5, 3, switches), { kind: "older" });
});
