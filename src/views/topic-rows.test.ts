import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import fc from "fast-check";
import pg from "pg";
import { type TestDatabase, testDatabase } from "../../test/support/postgres.ts";
import { topic } from "../catalog/definitions.ts";
import { baseColumns, topicTable } from "../catalog/topic-table.ts";
import type { StoredRecord } from "../records/record.ts";
import { parseSchema } from "../schema/registry/parse-schema.ts";
import { plainReader, readWireJson, type WireReader } from "../schema/registry/wire-reader.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { createMirror, mirrorTable } from "./mirror.ts";
import { keyText, recordCells } from "./topic-rows.ts";

let database: TestDatabase;
let client: pg.Client;
const shape = topicTable(topic("events")) as TableShape;

before(async () => {
  database = await testDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
  for (const statement of createMirror(shape)) await client.query(statement);
});

after(async () => {
  await client.end();
  await database[Symbol.asyncDispose]();
});

const plain: StoredRecord = { offset: 0, timestamp: 0, key: null, value: null, headers: [] };

/** The row as the store has it. Fails where the store refuses it. */
async function stored(record: Partial<StoredRecord>, wire: WireReader = plainReader): Promise<Record<string, unknown>> {
  const cells = recordCells({ ...plain, ...record }, 3, wire);
  const values = baseColumns.map(({ storeType }, i) => `$${i + 1}::text::${storeType}`);
  const names = baseColumns.map(({ name }) => name);
  await client.query(`delete from ${mirrorTable(shape)}`);
  const { rows } = await client.query(
    `insert into ${mirrorTable(shape)} (${names}) values (${values}) returning *, _time::text as _time, _value::text as _value`,
    cells,
  );
  return rows[0] as Record<string, unknown>;
}

const bytes = (text: string) => Buffer.from(text);

test("a record is a row", async () => {
  const headers = [
    { key: "trace", value: bytes("a\tb") },
    { key: "trace", value: bytes("last") },
    { key: "none", value: null },
    { key: "__proto__", value: bytes("x") },
  ];
  const record = { offset: 7, timestamp: 1_700_000_000_123, key: bytes("k\n1"), value: bytes('{"a": 1.50}'), headers };
  assert.deepEqual(await stored(record), {
    _partition: 3,
    _offset: "7",
    _time: "2023-11-14 22:13:20.123+00",
    _key: "k\n1",
    _headers: JSON.parse('{"none": null, "trace": "last", "__proto__": "x"}'),
    _value: '{"a": 1.50}',
    _problem: null,
  });
});

test("a record without anything has nothing, and no problem", async () => {
  const { _key, _value, _headers, _problem } = await stored({});
  assert.deepEqual({ _key, _value, _headers, _problem }, { _key: null, _value: null, _headers: {}, _problem: null });
});

test("times are the record's, and null where there is none that PostgreSQL has", async () => {
  const times: readonly (readonly [timestamp: number, text: string | null])[] = [
    [0, "1970-01-01 00:00:00+00"],
    [-1, null],
    [-2, "1969-12-31 23:59:59.998+00"],
    [253_402_300_800_000, "10000-01-01 00:00:00+00"],
    [8_640_000_000_000_000, "275760-09-13 00:00:00+00"],
    [8_640_000_000_000_001, null],
    [-62_135_596_800_001, "0001-12-31 23:59:59.999+00 BC"],
    [-210_866_803_200_000, "4714-11-24 00:00:00+00 BC"],
    [-210_866_803_200_001, null],
    [Number.MAX_SAFE_INTEGER, null],
    [Number.MIN_SAFE_INTEGER, null],
  ];
  for (const [timestamp, text] of times) assert.equal((await stored({ timestamp }))._time, text, String(timestamp));
});

test("what the value is not is told", async () => {
  const problems: readonly (readonly [value: Buffer, problem: string])[] = [
    [Buffer.from([0xff]), "the value is not UTF-8"],
    [Buffer.from([0xed, 0xa0, 0x80]), "the value is not UTF-8"],
    [bytes(""), "the value is not JSON"],
    [bytes("a=1"), "the value is not JSON"],
    [bytes('"\\u0000"'), "the value has the character U+0000"],
    [bytes('"\\udead"'), "the value has half of a surrogate pair"],
    [bytes("1e200000"), "the value has a number that is out of range"],
    [bytes(`${"[".repeat(600)}${"]".repeat(600)}`), "the value is nested deeper than 512 levels"],
  ];
  for (const [value, problem] of problems) {
    const row = await stored({ value });
    assert.deepEqual([row._value, row._problem], [null, problem]);
  }
  assert.deepEqual((await stored({ value: bytes("null") }))._value, "null");
});

test("a value in the wire format is read with its schema, and told where it has none", async () => {
  const text = '{"type": "record", "name": "R", "fields": [{"name": "m", "type": {"type": "map", "values": "int"}}]}';
  const schema = parseSchema("AVRO", text);
  const wire: WireReader = {
    read: (value) => readWireJson(value, (id) => (id === 1 ? schema : undefined)),
    unread: () => null,
  };
  const of = (id: number, payload: readonly number[]) => Buffer.from([0, 0, 0, 0, id, ...payload]);
  assert.equal((await stored({ value: of(1, [2, 2, 0x61, 10, 0]) }, wire))._value, '{"m": {"a": 5}}');
  assert.equal((await stored({ value: of(9, []) }, wire))._problem, "no schema has the id 9");
  // A name with U+0000, which the store cannot have, neither as a value nor in what is told of it.
  assert.equal((await stored({ value: of(1, [2, 2, 0, 10, 0]) }, wire))._problem, "the value has the character U+0000");
  assert.match(String((await stored({ value: of(1, [2, 2, 0]) }, wire))._problem), /^\/m\/\ufffd: /);
});

test("a key is its text where it can be, and else bytes that are told apart", () => {
  const texts: readonly (readonly [key: Buffer, text: string])[] = [
    [bytes("order-1"), "order-1"],
    [bytes(""), ""],
    [bytes("\\x00"), "\\x5c783030"],
    [Buffer.from([0]), "\\x00"],
    [Buffer.from([0xff, 0x41]), "\\xff41"],
    [bytes("é".repeat(500)), "é".repeat(500)],
    [bytes("a".repeat(1_001)), `\\sha256:${createHash("sha256").update("a".repeat(1_001)).digest("hex")}`],
  ];
  for (const [key, text] of texts) assert.equal(keyText(key), text);
});

test("two keys have two texts", () => {
  const tricky = fc.oneof(
    fc.uint8Array({ maxLength: 4 }),
    fc.constantFrom(...["\\", "\\x", "\\x00", "\0", "x"].map(bytes)),
  );
  const key = fc.array(tricky, { maxLength: 3 }).map((parts) => Buffer.concat(parts));
  fc.assert(
    fc.property(key, key, (a, b) => (keyText(a) === keyText(b)) === a.equals(b)),
    { numRuns: 2_000 },
  );
});

test("headers that are too many are left out and told", async () => {
  const headers = [{ key: "big", value: Buffer.alloc(1024 * 1024, "a") }];
  const row = await stored({ headers, value: bytes("{") });
  assert.deepEqual(row._headers, {});
  assert.equal(row._problem, "the value is not JSON; the headers have more than 1048576 bytes");
});

test("the store takes the row of any record", async () => {
  const any = fc.oneof(fc.uint8Array({ maxLength: 20 }).map(Buffer.from), fc.string({ unit: "binary" }).map(bytes));
  const orNone = fc.option(any, { freq: 5 });
  const json = fc.json().map(bytes);
  const record = fc.record({
    timestamp: fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -300_000_000_000_000, max: 9_000_000_000_000_000 })),
    key: orNone,
    value: fc.oneof(orNone, json),
    headers: fc.array(fc.record({ key: any.map(String), value: orNone }), { maxLength: 3 }),
  });
  await fc.assert(
    fc.asyncProperty(record, async (one) => {
      const row = await stored(one);
      const problem = row._value === null && one.value !== null;
      assert.equal(row._problem !== null, problem);
    }),
    { numRuns: 60 },
  );
});
