import assert from "node:assert/strict";
import { test } from "node:test";
import { type Mark, markedMs, marksMax, printMarks, readMarks, withMark } from "./idle-marks.ts";

const marks: readonly Mark[] = [
  { offset: 0, ms: 10 },
  { offset: 4, ms: 20 },
  { offset: 9, ms: 30 },
];

test("the last mark at or below an offset counts", () => {
  const found = [-1, 0, 3, 4, 8, 9, 99].map((offset) => markedMs(marks, offset));
  assert.deepEqual(found, [null, 10, 10, 20, 20, 30, 30]);
  assert.equal(markedMs([], 5), null);
});

test("a mark takes the place of one at its offset, and what the log has let go needs the last one below it alone", () => {
  assert.deepEqual(withMark(marks, { offset: 9, ms: 40 }, 0), [...marks.slice(0, 2), { offset: 9, ms: 40 }]);
  assert.deepEqual(withMark(marks, { offset: 12, ms: 40 }, 5), [...marks.slice(1), { offset: 12, ms: 40 }]);
  const full = Array.from({ length: marksMax }, (_, i) => ({ offset: i, ms: i }));
  assert.equal(withMark(full, { offset: marksMax, ms: marksMax }, 0), null);
  assert.equal(withMark(full, { offset: marksMax, ms: marksMax }, 10)?.length, marksMax - 9);
});

test("marks are read as they were printed, and what is none is passed over", () => {
  assert.deepEqual(readMarks(JSON.parse(JSON.stringify(printMarks(marks)))), marks);
  assert.deepEqual(readMarks([[1], ["a", 2], null, [3, 4]]), [{ offset: 3, ms: 4 }]);
  assert.deepEqual(readMarks({ marks: [] }), []);
});
