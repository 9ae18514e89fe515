import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Cells, cellState } from "../schema/cells.ts";
import { readCopyRow } from "./copy-row.ts";

/** In the midst of other bytes, which it does not touch, nor its own. */
function read(line: string, columns: number): (string | null)[] {
  const cells = new Cells(1);
  const bytes = Buffer.from(`\t\\N${line}\tx\n`);
  const [start, end] = [3, 3 + Buffer.byteLength(line)];
  const before = Buffer.from(bytes);
  readCopyRow(bytes, start, end, columns, cells);
  assert.deepEqual(bytes, before);
  return Array.from({ length: columns }, (_, i) =>
    cells.state[i] === cellState.null ? null : cells.bytes.toString("utf8", cells.start[i], cells.end[i]),
  );
}

/** As PostgreSQL's `CopyAttributeOutText` writes it. */
function escaped(value: string | null): string {
  if (value === null) return "\\N";
  const letters: Record<string, string> = {
    "\b": "b",
    "\f": "f",
    "\n": "n",
    "\r": "r",
    "\t": "t",
    "\v": "v",
    "\\": "\\",
  };
  return value.replace(/[\b\f\n\r\t\v\\]/g, (letter) => `\\${letters[letter]}`);
}

test("a copied row comes out as it went in", () => {
  const value = fc.option(fc.string({ unit: fc.constantFrom("a", "\t", "\n", "\\", "N", "\r", "é", "\v") }), {
    nil: null,
  });
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 5 }), (row) => {
      assert.deepEqual(read(`${row.map(escaped).join("\t")}\n`, row.length), row);
    }),
  );
});

test("a row with other columns than the table is refused", () => {
  assert.throws(() => read("a\tb\n", 3), RangeError);
  assert.throws(() => read("a\tb\n", 1), RangeError);
  assert.throws(() => read("\\Nb\n", 1), RangeError);
  assert.throws(() => read("\\t\tb\n", 3), RangeError);
  assert.throws(() => read("\\t\tb\n", 1), RangeError);
  assert.throws(() => read("\\Nb\\t\n", 1), RangeError);
});
