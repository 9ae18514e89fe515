import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type DiffLine, diffLines, folded, printed } from "./schema-diff.ts";

const told = (lines: readonly DiffLine[]) =>
  lines.map(({ kind, text }) => `${{ same: " ", added: "+", removed: "-" }[kind]}${text}`).join("|");
const side = (lines: readonly DiffLine[], not: DiffLine["kind"]) =>
  lines.flatMap(({ kind, text }) => (kind === not ? [] : [text])).join("\n");

test("what was added and taken away between two texts is told line by line", () => {
  assert.equal(told(diffLines("a\nb\nc", "a\nx\nc\nd")), " a|-b|+x| c|+d");
  assert.equal(told(diffLines("a", "a")), " a");
  assert.equal(told(diffLines("", "a")), "-|+a");
});

test("either text can be read off the difference, which is the shortest", () => {
  const text = fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(text, text, (a, b) => {
      const lines = diffLines(a.join("\n"), b.join("\n"));
      assert.equal(side(lines, "added"), a.join("\n"));
      assert.equal(side(lines, "removed"), b.join("\n"));
      assert.equal(lines.filter(({ kind }) => kind === "same").length, commonLines(a, b));
    }),
  );
});

/** The length of the longest common subsequence, by the table. */
function commonLines(a: readonly string[], b: readonly string[]): number {
  const table = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  const at = (i: number, j: number) => table[i]?.[j] ?? 0;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      (table[i] as number[])[j] = a[i - 1] === b[j - 1] ? at(i - 1, j - 1) + 1 : Math.max(at(i - 1, j), at(i, j - 1));
    }
  }
  return at(a.length, b.length);
}

test("texts that have little in common are shown whole, one behind the other", () => {
  const lines = (name: string) => Array.from({ length: 3_000 }, (_, i) => `${name}${i}`).join("\n");
  const diff = diffLines(lines("a"), lines("b"));
  assert.equal(diff.length, 6_000);
  assert.equal(side(diff, "added"), lines("a"));
});

test("lines far from a difference are folded, and a fold hides more than one", () => {
  const before = Array.from({ length: 20 }, (_, i) => String(i));
  const after = before.with(10, "x");
  const shown = folded(diffLines(before.join("\n"), after.join("\n")), 2);
  assert.deepEqual(
    shown.map((one) => (one.kind === "fold" ? `… ${one.lines}` : one.text)),
    ["… 8", "8", "9", "10", "x", "11", "12", "… 7"],
  );
  const near = folded(diffLines("0\n1\n2\n3", "0\n1\n2\n3\n4"), 3);
  assert.ok(near.every(({ kind }) => kind !== "fold"));
  assert.deepEqual(folded(diffLines("a\nb\nc", "a\nb\nc")), [{ kind: "fold", lines: 3 }]);
});

test("JSON is printed by members, other text as it is", () => {
  assert.equal(printed('{"a":1}'), '{\n  "a": 1\n}');
  assert.equal(printed("message A {}"), "message A {}");
});
