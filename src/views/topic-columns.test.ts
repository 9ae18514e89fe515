/** Columns that the store computes from values, against a naive reading of the same values. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import pg from "pg";
import { type TestDatabase, testDatabase } from "../../test/support/postgres.ts";
import { type AvroInput, type JsonSchemaInput, type ProtobufInput, topic } from "../catalog/definitions.ts";
import { memberSql, memberTypes } from "../catalog/member-sql.ts";
import { baseColumns, topicTable } from "../catalog/topic-table.ts";
import { readJson } from "../schema/json-token.ts";
import { encodeAvro } from "../schema/registry/avro/encode-avro.ts";
import type { ParsedSchema } from "../schema/registry/parsed-schema.ts";
import type { MemberForm } from "../schema/registry/schema-members.ts";
import { encodeWire } from "../schema/registry/wire.ts";
import { readWireJson, type WireReader } from "../schema/registry/wire-reader.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { createMirror } from "./mirror.ts";
import { topicFunctions } from "./topic-functions.ts";
import { recordCells } from "./topic-rows.ts";

let database: TestDatabase;
let client: pg.Client;
const forms = Object.keys(memberTypes) as MemberForm[];

before(async () => {
  database = await testDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query("create schema millrace");
  for (const statement of topicFunctions) await client.query(statement);
  const columns = forms.map(
    (form) => `"${form}" ${memberTypes[form]} generated always as (${memberSql(form, form)}) stored`,
  );
  await client.query(`create table members (n integer, _value jsonb, ${columns.join(", ")})`);
});

after(async () => {
  await client.end();
  await database[Symbol.asyncDispose]();
});

/** What the store has for members of each form that are this JSON text, as texts; moments in microseconds. */
async function computed(texts: readonly string[]): Promise<Record<MemberForm, string | null>[]> {
  const values = texts.map((text) => `{${forms.map((form) => `"${form}": ${text}`).join(",")}}`);
  await client.query("delete from members");
  await client.query(
    "insert into members (n, _value) select n, v::jsonb from unnest($1::text[]) with ordinality as u (v, n)",
    [values],
  );
  const told = forms.map((form) => {
    if (memberTypes[form] !== "timestamp with time zone") return `"${form}"::text`;
    return `(extract(epoch from "${form}") * 1000000)::bigint::text as "${form}"`;
  });
  return (await client.query(`select ${told.join(", ")} from members order by n`)).rows;
}

const microsecondsPerDay = 86_400_000_000n;
const naive: Readonly<Record<MemberForm, (text: string) => string | null>> = {
  text: (text) => stringOf(text),
  "date-time": (text) => momentOf(stringOf(text) ?? "")?.toString() ?? null,
  date: (text) => dateOf(stringOf(text) ?? ""),
  uuid: (text) => uuidOf(stringOf(text) ?? ""),
  integer: (text) => bigintOf(text)?.toString() ?? null,
  "integer-text": (text) => bigintOf(digitsOf(text))?.toString() ?? null,
  "unsigned-text": (text) => plainOf(digitsOf(text)),
  number: (text) => plainOf(text),
  boolean: (text) => (text === "true" || text === "false" ? text : null),
  "epoch-days": (text) => dayOf(text),
  "epoch-ms": (text) => momentOfCount(digitsOf(text), 1_000n),
  "epoch-us": (text) => momentOfCount(digitsOf(text), 1n),
  json: (text) => (text === "null" ? null : text),
};

function stringOf(text: string): string | null {
  return text.startsWith('"') ? (JSON.parse(text) as string) : null;
}

/** A number, or the text of one that is written in digits. */
function digitsOf(text: string): string {
  const string = stringOf(text);
  return string !== null && /^-?\d+$/.test(string) && string.length <= 20 ? string : text;
}

/** In plain digits, with those behind the point that are written. */
function plainOf(text: string): string | null {
  const parts = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text);
  if (parts === null) return null;
  const [, sign, whole = "", fraction = "", power = "0"] = parts;
  const places = Math.max(0, fraction.length - Number(power));
  const digits = (whole + fraction).padEnd(whole.length + Number(power), "0").padStart(places + 1, "0");
  const point = digits.length - places;
  const plain = `${digits.slice(0, point).replace(/^0+(?=.)/, "")}${places === 0 ? "" : `.${digits.slice(point)}`}`;
  return /[1-9]/.test(plain) ? `${sign}${plain}` : plain;
}

function wholeOf(text: string): bigint | null {
  const [, whole, fraction = ""] = /^(-?\d+)(?:\.(\d+))?$/.exec(plainOf(text) ?? "") ?? [];
  return whole === undefined || /[1-9]/.test(fraction) ? null : BigInt(whole);
}

function bigintOf(text: string): bigint | null {
  const whole = wholeOf(text);
  return whole !== null && BigInt.asIntN(64, whole) === whole ? whole : null;
}

const firstMoment = BigInt(Date.UTC(2000, 0, 1)) * 1_000n - 730_119n * microsecondsPerDay;
const lastMoment = BigInt(Date.UTC(10_000, 0, 1)) * 1_000n - 1n;

function momentOfCount(text: string, microseconds: bigint): string | null {
  const count = wholeOf(text);
  const moment = count === null ? null : count * microseconds;
  return moment !== null && moment >= firstMoment && moment <= lastMoment ? moment.toString() : null;
}

function dayOf(text: string): string | null {
  const moment = text.startsWith('"') ? null : momentOfCount(text, microsecondsPerDay);
  return moment === null ? null : new Date(Number(BigInt(moment) / 1_000n)).toISOString().slice(0, 10);
}

function dateOf(text: string): string | null {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text) || text.startsWith("0000")) return null;
  const ms = Date.parse(`${text}T00:00:00Z`);
  return Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== text ? null : text;
}

function momentOf(text: string): bigint | null {
  const parts = /^(.{10})[Tt]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):([0-5]\d))$/.exec(
    text,
  );
  const [, date = "", hours, minutes, seconds, fraction = "0", sign, offsetHours = "0", offsetMinutes = "0"] =
    parts ?? [];
  if (parts === null || dateOf(date) === null || text.length > 64) return null;
  // A leap second is the one behind it. PostgreSQL has no offsets of 16 hours, and no part of a 61st second.
  if (Number(offsetHours) > 15 || (seconds === "60" && /[1-9]/.test(fraction))) return null;
  const offset = (Number(offsetHours) * 60 + Number(offsetMinutes)) * (sign === "-" ? -60 : 60);
  const second = Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds) - offset;
  return BigInt(Date.parse(`${date}T00:00:00Z`) * 1_000) + BigInt(second) * 1_000_000n + rounded(fraction);
}

/** To a microsecond, halves to the even one. */
function rounded(fraction: string): bigint {
  const digits = fraction.padEnd(7, "0");
  const [kept, rest] = [BigInt(digits.slice(0, 6)), digits.slice(6)];
  const isHalf = /^50*$/.test(rest);
  return isHalf ? kept + (kept % 2n) : kept + (rest >= "5" ? 1n : 0n);
}

function uuidOf(text: string): string | null {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text) ? text.toLowerCase() : null;
}

function normal(json: string): string {
  return JSON.stringify(JSON.parse(json));
}

async function assertComputed(texts: readonly string[]): Promise<void> {
  const rows = await computed(texts);
  for (const [i, text] of texts.entries()) {
    for (const form of forms) {
      const [store, model] = [rows[i]?.[form] ?? null, naive[form](text)];
      const isJson = form === "json" && store !== null && model !== null;
      const [a, b] = isJson ? [normal(store), normal(model)] : [store, model];
      assert.equal(a, b, `${text.slice(0, 100)} as ${form}`);
    }
  }
}

const two = (max: number) => fc.integer({ min: 0, max }).map((n) => String(n).padStart(2, "0"));
const year = fc.oneof(fc.integer({ min: 0, max: 9_999 }), fc.integer({ min: 1_990, max: 2_040 }));
const dates = fc.tuple(year, two(13), two(32)).map(([y, m, d]) => `${String(y).padStart(4, "0")}-${m}-${d}`);
const fractions = fc.oneof(
  fc.constant(""),
  fc.constantFrom(
    ".",
    ".5",
    ".0000005",
    ".0000015",
    ".9999999",
    ".9999994",
    `.${"1".repeat(30)}`,
    `.${"0".repeat(60)}`,
  ),
  fc.nat().map((n) => `.${n}`),
);
const zones = fc.oneof(
  fc.constantFrom(
    "Z",
    "z",
    "",
    "+00:00",
    "-00:00",
    "+0000",
    "+00",
    " Z",
    "GMT",
    "ZZ",
    "+24:00",
    "+05:61",
    "-15:59",
    "+16:00",
  ),
  fc.tuple(fc.constantFrom("+", "-"), two(24), two(60)).map(([sign, h, m]) => `${sign}${h}:${m}`),
);
const times = fc
  .tuple(dates, fc.constantFrom("T", "T", "T", "t", " ", ""), two(24), two(60), two(59), fractions, zones)
  .map(([date, t, h, m, s, f, z]) => `${date}${t}${h}:${m}:${s}${f}${z}`);
const uuids = fc.oneof(
  fc.uuid(),
  fc.uuid().map((one) => one.toUpperCase()),
  fc.uuid().map((one) => `{${one.slice(2)}`),
);
const pieces = fc.constantFrom("", " ", "-", "0", "9", "T", "Z", "+", ":", ".", "\n", "é", "infinity", "{", "BC");

/** One piece put in, or one character taken out, of what has a form. */
const almost = fc.tuple(fc.oneof(times, dates, uuids), fc.nat(), pieces).map(([text, at, piece]) => {
  const place = at % (text.length + 1);
  return text.slice(0, place) + piece + text.slice(piece === "" ? place + 1 : place);
});
const words = fc.constantFrom(
  ...["infinity", "-infinity", "now", "today", "epoch", "allballs", "NaN", "", "-", "12", "-9223372036854775808"],
  ...[
    "9223372036854775808",
    "18446744073709551615",
    "99999999999999999999",
    "+5",
    "1e3",
    "0012",
    "-0",
    " 1",
    "2020-W01-1",
  ],
  ...[
    "2016-12-31T23:59:60Z",
    "2016-12-31T23:59:60.5Z",
    "2016-12-31T12:00:60+01:00",
    "2020-01-01T24:00:00Z",
    "2020-02-30T00:00:00Z",
    "20200101T000000Z",
  ],
);
const numbers = fc.oneof(
  fc.bigInt({ min: -(2n ** 66n), max: 2n ** 66n }).map(String),
  fc.constantFrom(
    ...[
      "-9223372036854775808",
      "9223372036854775807",
      "9223372036854775808",
      "-9223372036854775808.0",
      "9223372036854775807.5",
    ],
  ),
  fc.constantFrom(
    ...["0", "-0", "0.0", "-0.00", "1.0", "1.50", "1e3", "12E-1", "1e-400", "1e400", "5e18", "92233720368547758.07e2"],
  ),
  fc.constantFrom(
    ...[
      "-719162",
      "-719163",
      "2932896",
      "2932897",
      "253402300799999",
      "253402300800000",
      "-62135596800000",
      "-62135596800001",
    ],
  ),
  fc.constantFrom(...["253402300799999999", "253402300800000000", "-62135596800000001", "1700000000123456"]),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
);
const others = fc.constantFrom("null", "true", "false", "[]", "{}", "[1]", '{"text": "x"}', '["2020-01-01"]');
const members = fc.oneof(
  fc
    .oneof(
      times,
      dates,
      uuids,
      words,
      almost,
      fc.string({ unit: "grapheme" }).filter((s) => !s.includes("\0")),
    )
    .map((s) => JSON.stringify(s)),
  fc.bigInt({ min: -(2n ** 66n), max: 2n ** 66n }).map((n) => `"${n}"`),
  numbers,
  others,
);

test("each column is what a naive reading of its member is, whatever the member is", async () => {
  const texts = fc.array(members, { minLength: 200, maxLength: 300 });
  await fc.assert(fc.asyncProperty(texts, assertComputed), { numRuns: 8, endOnFailure: true });
});

test("times, days and UUIDs that are nearly right are NULL", async () => {
  const texts = fc.array(
    fc.oneof(times, almost).map((s) => JSON.stringify(s)),
    { minLength: 200, maxLength: 300 },
  );
  await fc.assert(fc.asyncProperty(texts, assertComputed), { numRuns: 8, endOnFailure: true });
});

/** The row of a topic with this schema for one record, whose payload is given without the header of the wire format. */
async function rowOf(schema: AvroInput | JsonSchemaInput | ProtobufInput, payload: (parsed: ParsedSchema) => Buffer) {
  const definition = topic("encoded", { schema });
  const shape = topicTable(definition) as TableShape;
  const parsed = definition.schema?.registered?.parsed as ParsedSchema;
  const wire: WireReader = { read: (bytes) => readWireJson(bytes, () => parsed), unread: () => null };
  const value = encodeWire(1, payload(parsed), parsed.type === "PROTOBUF" ? [0] : undefined);
  const cells = recordCells({ offset: 0, timestamp: 0, key: null, value, headers: [] }, 0, wire);
  const names = baseColumns.map(({ name }) => name);
  const values = baseColumns.map(({ storeType }, i) => `$${i + 1}::text::${storeType}`);
  for (const statement of createMirror(shape)) await client.query(statement);
  await client.query(`insert into topics.encoded (${names}) values (${values})`, cells);
  const { rows } = await client.query<{ row: Record<string, unknown> }>(
    "select row_to_json(e) as row from topics.encoded e",
  );
  await client.query("drop schema topics cascade");
  return Object.fromEntries(Object.entries(rows[0]?.row ?? {}).filter(([name]) => !name.startsWith("_")));
}

test("a record of Avro fills the columns of its schema", async () => {
  const long = (logicalType: string) => ({ type: "long", logicalType });
  const fields = [
    ["id", { type: "string", logicalType: "uuid" }],
    ["cents", "long"],
    ["rate", "double"],
    ["note", ["null", "string"]],
    ["day", { type: "int", logicalType: "date" }],
    ["ms", long("timestamp-millis")],
    ["us", ["null", long("timestamp-micros")]],
    ["raw", "bytes"],
    ["lines", { type: "array", items: "int" }],
  ].map(([name, type]) => ({ name, type }));
  const json =
    '{"id": "00000000-0000-0000-0000-00000000000A", "cents": 9007199254740991, "rate": 0.5, "note": null, "day": -1, ' +
    '"ms": 1700000000123, "us": {"long": -1}, "raw": "a", "lines": [1, 2]}';
  const row = await rowOf({ avro: { type: "record", name: "R", fields } }, (parsed) => {
    return parsed.type === "AVRO" ? encodeAvro(parsed.root, readJson(json), { unions: "tagged" }) : Buffer.alloc(0);
  });
  assert.deepEqual(row, {
    id: "00000000-0000-0000-0000-00000000000a",
    cents: 9007199254740991,
    rate: 0.5,
    note: null,
    day: "1969-12-31",
    ms: "2023-11-14T22:13:20.123+00:00",
    us: "1969-12-31T23:59:59.999999+00:00",
    raw: "YQ==",
    lines: [1, 2],
  });
});

test("a record of Protobuf fills the columns of its schema", async () => {
  const protobuf = `syntax = "proto3"; import "google/protobuf/timestamp.proto";
    message Paid { string order_id = 1; int64 cents = 2; uint64 big = 3; bool ok = 4; Kind kind = 5; google.protobuf.Timestamp at = 6; }
    enum Kind { NONE = 0; CARD = 1; }`;
  // By hand: fields 1 to 6, with a timestamp of one second and a half.
  const payload = Buffer.from("0a026f3110021803200128013208080110" + "80cab5ee01", "hex");
  const row = await rowOf({ protobuf }, () => payload);
  assert.deepEqual(row, {
    order_id: "o1",
    cents: 2,
    big: 3,
    ok: true,
    kind: "CARD",
    at: "1970-01-01T00:00:01.5+00:00",
  });
});

test("a value that is no object has NULL in each column", async () => {
  const values = ["null", "1", '"x"', "[]", '["text"]', "[{}]", "{}", "true"];
  await client.query("delete from members");
  await client.query("insert into members (_value) select v::jsonb from unnest($1::text[]) v", [[...values]]);
  await client.query("insert into members (_value) values (null)");
  const { rows } = await client.query(
    `select count(*)::int as n from members where ${forms.map((form) => `"${form}" is null`).join(" and ")}`,
  );
  assert.equal(rows[0]?.n, values.length + 1);
});

test("a long text is read as itself and as nothing else", async () => {
  const long = `"2020-01-01T00:00:00.${"1".repeat(200_000)}Z"`;
  const [row] = await computed([long]);
  const filled = forms.filter((form) => row?.[form] !== null);
  assert.deepEqual(filled, ["text", "json"]);
});

test("a name is a name, whatever characters it has", async () => {
  const names = [
    "it's",
    "back\\slash",
    'quo"te',
    "sp ace",
    "ünï",
    "line\nfeed",
    "'); drop table members; --",
    "\\'",
    "select",
    "$1",
  ];
  const properties = Object.fromEntries(names.map((name) => [name, { type: "string" }]));
  const value = Object.fromEntries(names.map((name) => [name, `is ${name}`]));
  assert.deepEqual(await rowOf({ properties }, () => Buffer.from(JSON.stringify(value))), value);
});
