import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Cells, cellState } from "./cells.ts";
import { newKeyHeader, oldKeyHeader, readChange, unchangedHeader } from "./envelope.ts";
import { EnvelopeWriter } from "./envelope-writer.ts";
import { JsonBytes } from "./json-bytes.ts";
import type { TableShape } from "./table-shape.ts";

const shape: TableShape = {
  source: "shop",
  schema: "public",
  table: 'odd "name"',
  topic: "shop.public.odd__name_",
  columns: ["id:bigint", "name:text", 'we"ird:jsonb', "tags:text[]"].map((text) => {
    const [name = "", type = ""] = text.split(":");
    return { name, sourceType: type, storeType: type, nullable: true, carriedAsText: false };
  }),
  key: ["id"],
  appendOnly: false,
};
const transaction = { id: "7:100", txId: 7, commitUs: 1_700_000_000_123_456, previousCommitLsn: 90, nowMs: 5 };

type Value = string | null | undefined;

function cells(values: readonly Value[]): Cells {
  const row = new Cells(1);
  const bytes = Buffer.from(values.map((value) => value ?? "").join(""));
  row.reset(bytes, values.length);
  let at = 0;
  values.forEach((value, i) => {
    row.state[i] = value === undefined ? cellState.unchanged : value === null ? cellState.null : cellState.text;
    row.start[i] = at;
    at += Buffer.byteLength(value ?? "");
    row.end[i] = at;
  });
  return row;
}

function writer(of: TableShape = shape): EnvelopeWriter {
  return new EnvelopeWriter(of, { version: "1.2.3", database: "shop_db" }, new JsonBytes(16));
}

test("a create has Debezium's envelope, field for field", () => {
  const w = writer();
  w.writeUpsert("c", cells(["9007199254740993", "Ann", '{"a": 1}', "{x,NULL}"]), null, transaction, 95, 2, 1);
  assert.equal(String(w.key), '{"id":9007199254740993}');
  assert.ok(w.value.includes('"id":9007199254740993,'), "int8 is a number, and exact");
  const event = JSON.parse(String(w.value));
  assert.deepEqual(
    { ...event, after: { ...event.after, id: 0 } },
    {
      before: null,
      after: { id: 0, name: "Ann", 'we"ird': '{"a": 1}', tags: ["x", null] },
      op: "c",
      source: {
        version: "1.2.3",
        connector: "postgresql",
        name: "shop",
        ts_ms: 1_700_000_000_123,
        ts_us: 1_700_000_000_123_456,
        ts_ns: 1_700_000_000_123_456_000,
        snapshot: "false",
        db: "shop_db",
        sequence: '["90","95"]',
        schema: "public",
        table: 'odd "name"',
        txId: 7,
        lsn: 95,
        xmin: null,
        origin: null,
        origin_lsn: null,
      },
      ts_ms: 5,
      ts_us: 5_000,
      ts_ns: 5_000_000,
      transaction: { id: "7:100", total_order: 2, data_collection_order: 1 },
    },
  );
});

test("fields stand in Debezium's order, and where a change was replicated from is told", () => {
  const w = writer();
  const from = { ...transaction, origin: { name: "other", lsn: 77 } };
  w.writeUpsert("c", cells(["1", "Ann", null, null]), null, from, 95, 2, 1);
  const event = JSON.parse(String(w.value));
  assert.equal(Object.keys(event).join(" "), "before after source transaction op ts_ms ts_us ts_ns");
  assert.equal(
    Object.keys(event.source).join(" "),
    "version connector name ts_ms snapshot db sequence ts_us ts_ns schema table txId lsn xmin origin origin_lsn",
  );
  assert.deepEqual([event.source.origin, event.source.origin_lsn], ["other", 77]);
});

test("each event has its own position, however many digits the one before had", () => {
  const w = new EnvelopeWriter({ ...shape, table: "Täble" }, { version: "1", database: "ö" }, new JsonBytes(16));
  const other = { ...transaction, id: "8:200", previousCommitLsn: null };
  for (const [lsn, of] of [
    [9, transaction],
    [10, transaction],
    [11, transaction],
    [1_000_000_000_000, transaction],
    [12, other],
    [13, other],
  ] as const) {
    w.writeDelete(cells(["1", null, null, null]), true, of, lsn, 1, 1);
    const { source, transaction: told } = JSON.parse(String(w.value));
    assert.deepEqual([source.lsn, source.table, source.db, told.id], [lsn, "Täble", "ö", of.id]);
    assert.deepEqual(JSON.parse(source.sequence), [of.previousCommitLsn?.toString() ?? null, String(lsn)]);
  }
});

test("what is written is read again exactly, whatever the values are", () => {
  const text = fc.string({ unit: "binary" }).filter((value) => value.isWellFormed() && !value.includes("\u0000"));
  const value = fc.option(text, { nil: null });
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), value, value, (id, name, json) => {
      const w = writer();
      const row = [String(id), name, json, "{}"];
      w.writeUpsert("u", cells(row), cells(row), transaction, 95, 3, 1);
      const change = readChange(Buffer.from(w.value), w.key, w.headers, shape);
      assert.deepEqual(change, {
        op: "upsert",
        debeziumOp: "u",
        row,
        before: row,
        oldKey: null,
        transactionId: "7:100",
        totalOrder: 3,
      });
    }),
  );
});

test("a column that was not sent is absent from after, named in a header, and undefined for the reader", () => {
  const w = writer();
  w.writeUpsert("u", cells(["1", undefined, null, undefined]), null, transaction, 1, 1, 1);
  assert.deepEqual(JSON.parse(String(w.value)).after, { id: 1, 'we"ird': null });
  assert.deepEqual(w.headers, [{ key: unchangedHeader, value: Buffer.from('["name","tags"]') }]);
  assert.deepEqual(readChange(w.value, w.key, w.headers, shape).row, ["1", undefined, null, undefined]);
});

test("a column that the event does not know yet is NULL, one that the shape does not know is passed over", () => {
  const w = writer();
  w.writeUpsert("c", cells(["1", "Ann", "{}", "{}"]), null, transaction, 1, 1, 1);
  const columns = [...shape.columns.slice(0, 2), { ...shape.columns[1], name: "later" }] as TableShape["columns"];
  assert.deepEqual(readChange(w.value, w.key, w.headers, { ...shape, columns }).row, ["1", "Ann", null]);
});

test("a delete tells the key and nothing that is not known; with the whole old row it tells all", () => {
  const w = writer();
  w.writeDelete(cells(["1", null, null, null]), true, transaction, 1, 1, 1);
  assert.deepEqual(JSON.parse(String(w.value)).before, { id: 1 });
  assert.deepEqual(readChange(w.value, w.key, w.headers, shape).row, ["1", undefined, undefined, undefined]);
  const keyless = { ...shape, key: null };
  const full = writer(keyless);
  full.writeDelete(cells(["1", null, null, "{a}"]), false, transaction, 1, 1, 1);
  assert.equal(full.key, null);
  const change = readChange(full.value, full.key, full.headers, keyless);
  assert.equal(change.op, "delete");
  assert.deepEqual(change.row, ["1", null, null, "{a}"]);
});

test("a changed key is told on both of its events, and the reader learns the old one", () => {
  const w = writer();
  w.writeUpsert("c", cells(["2", "Ann", "{}", undefined]), null, transaction, 1, 1, 1);
  w.addKeyHeader("old", Buffer.from('{"id":1}'));
  assert.deepEqual(
    w.headers.map(({ key }) => key),
    [unchangedHeader, oldKeyHeader],
  );
  const change = readChange(w.value, w.key, w.headers, shape);
  assert.deepEqual(change.oldKey, ["1", undefined, undefined, undefined]);
  assert.equal(change.row[3], undefined);
  w.writeDelete(cells(["1", null, null, null]), true, transaction, 1, 1, 1);
  w.addKeyHeader("new", Buffer.from('{"id":2}'));
  assert.deepEqual(w.headers, [{ key: newKeyHeader, value: Buffer.from('{"id":2}') }]);
});

test("a truncate has neither key nor rows", () => {
  const w = writer();
  w.writeTruncate(transaction, 1, 4, 1);
  assert.equal(w.key, null);
  const change = readChange(w.value, null, [], shape);
  assert.deepEqual([change.op, change.row, change.totalOrder], ["truncate", [], 4]);
});

test("a row of a snapshot belongs to no transaction", () => {
  const w = writer();
  const snapshot = { id: null, txId: null, commitUs: 1_000, previousCommitLsn: null, nowMs: 5 };
  w.writeUpsert("r", cells(["1", "a", null, null]), null, snapshot, 95, 0, 0);
  const event = JSON.parse(String(w.value));
  assert.equal(event.source.snapshot, "true");
  assert.equal(event.transaction, null);
  const change = readChange(w.value, w.key, [], shape);
  assert.deepEqual([change.debeziumOp, change.transactionId, change.totalOrder], ["r", null, 0]);
});

test("a key without a value and a row of other columns are refused", () => {
  assert.throws(() => writer().writeUpsert("c", cells([null, "a", "b", "{}"]), null, transaction, 1, 1, 1), RangeError);
  assert.throws(() => writer().writeUpsert("c", cells(["1", "a"]), null, transaction, 1, 1, 1), RangeError);
});

test("bytes that are no change event are refused", () => {
  for (const text of [
    "",
    "{}",
    "null",
    '{"op":"c"}',
    '{"op":"x","after":{}}',
    '{"op":"d"}',
    '{"after":{"id":{}},"op":"c"}',
  ]) {
    assert.throws(
      () => readChange(Buffer.from(text), null, [], shape),
      (error) => error instanceof SyntaxError || error instanceof RangeError,
      text,
    );
  }
});
