import assert from "node:assert/strict";
import { test } from "node:test";
import type { Change, RowText } from "../schema/envelope.ts";
import { tableShape } from "./source-fixture.ts";
import { rowHash, StagedTable } from "./staging.ts";

const orders = tableShape("shop", "orders", ["id integer", "status text", "note text"]);
const amounts = tableShape("shop", "amounts", ["id numeric", "n integer"]);
const events = tableShape("shop", "events", ["a text", "b text"], { key: null, appendOnly: true });
const tags = tableShape("shop", "tags", ["a text", "b text"], { key: null });

type Given = Pick<Change, "op" | "debeziumOp" | "row" | "before" | "oldKey">;
const upsert = (row: RowText, more: Partial<Given> = {}): Given => {
  return { op: "upsert", debeziumOp: "u", row, before: null, oldKey: null, ...more };
};
const gone = (row: RowText): Given => ({ op: "delete", debeziumOp: "d", row, before: row, oldKey: null });
const truncate: Given = { op: "truncate", debeziumOp: "t", row: [], before: null, oldKey: null };

function staged(table: StagedTable, ...changes: readonly Given[]): string[] {
  changes.forEach((change, i) => {
    table.apply(i, change);
  });
  return [...table.lines()];
}

test("the last change of a row wins inside a batch", () => {
  const table = new StagedTable(orders);
  assert.deepEqual(
    staged(
      table,
      upsert(["1", "new", "a"]),
      upsert(["2", "new", null]),
      upsert(["1", "paid", "b"]),
      gone(["2", undefined, undefined]),
    ),
    ["1\tpaid\tb\tf\t\\N\n", "2\t\\N\t\\N\tt\t\\N\n"],
  );
  assert.equal(table.changes, 4);
  assert.equal(table.size, 2);
});

test("a column that did not change is carried from the row's last change, else kept from the mirror", () => {
  const table = new StagedTable(orders);
  const lines = staged(
    table,
    upsert(["1", "new", "long"]),
    upsert(["1", "paid", undefined]),
    upsert(["2", "paid", undefined]),
  );
  assert.deepEqual(lines, ["1\tpaid\tlong\tf\t\\N\n", "2\tpaid\t\\N\tf\t001\n"]);
  assert.equal(table.keepsCells, true);
  assert.deepEqual(table.carried(), []);
});

test("a row whose key changed twice carries its unchanged columns from the key that the mirror knows", () => {
  const table = new StagedTable(orders);
  const lines = staged(
    table,
    gone(["1", undefined, undefined]),
    upsert(["2", "a", undefined], { oldKey: ["1", undefined, undefined] }),
    gone(["2", undefined, undefined]),
    upsert(["3", "b", undefined], { oldKey: ["2", undefined, undefined] }),
  );
  assert.deepEqual(lines, ["1\t\\N\t\\N\tt\t\\N\n", "2\t\\N\t\\N\tt\t\\N\n", "3\tb\t\\N\tf\t\\N\n"]);
  assert.deepEqual(table.carried(), [{ toKey: ["3"], fromKey: ["1"], columns: [2] }]);
});

test("a truncate takes the changes before it, and not those after it", () => {
  const table = new StagedTable(orders);
  assert.deepEqual(staged(table, upsert(["1", "a", null]), truncate, upsert(["2", "b", null])), [
    "2\tb\t\\N\tf\t\\N\n",
  ]);
  assert.equal(table.truncated, true);
});

test("keys that are written differently and are the same number are one row", () => {
  const table = new StagedTable(amounts);
  const lines = staged(
    table,
    upsert(["1.0", "1"]),
    gone(["1.00", undefined]),
    upsert(["1.000", "2"]),
    upsert(["10", "3"]),
    upsert(["-0", "4"]),
    upsert(["0.0", "5"]),
  );
  assert.deepEqual(lines, ["1.000\t2\tf\t\\N\n", "10\t3\tf\t\\N\n", "0.0\t5\tf\t\\N\n"]);
});

test("characters that the copy format takes for its own are escaped", () => {
  const table = new StagedTable(orders);
  assert.deepEqual(staged(table, upsert(["1", "a\tb\nc\r\\.", "\\N"])), ["1\ta\\tb\\nc\\r\\\\.\t\\\\N\tf\t\\N\n"]);
});

test("rows of an append-only table are told apart by the offset of their record", () => {
  const table = new StagedTable(events);
  assert.deepEqual(staged(table, upsert(["x", null]), upsert(["x", null])), [
    "x\t\\N\t0\tf\t\\N\n",
    "x\t\\N\t1\tf\t\\N\n",
  ]);
  assert.throws(() => table.apply(3, gone(["x", null])), SyntaxError);
});

test("without a key, a row that comes and goes in one batch leaves nothing, and others go by their whole content", () => {
  const table = new StagedTable(tags);
  const lines = staged(
    table,
    upsert(["x", "1"]),
    gone(["x", "1"]),
    gone(["x", "1"]),
    gone(["x", "1"]),
    upsert(["x", "2"], { before: ["y", null] }),
  );
  const hash = (cells: RowText) => rowHash(tags, cells);
  assert.deepEqual(lines, [
    `x\t2\t4\t${hash(["x", "2"])}\t\\N\tf\t\\N\n`,
    `\\N\t\\N\t\\N\t${hash(["x", "1"])}\t2\tt\t\\N\n`,
    `\\N\t\\N\t\\N\t${hash(["y", null])}\t1\tt\t\\N\n`,
  ]);
});

test("a column that is added later leaves the content of older rows as it was", () => {
  const wider = tableShape("shop", "tags", ["a text", "b text", "c text"], { key: null });
  assert.equal(rowHash(tags, ["x", null]), rowHash(wider, ["x", null, null]));
  assert.notEqual(rowHash(tags, ["x", null]), rowHash(tags, [null, "x"]));
});
