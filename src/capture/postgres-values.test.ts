import assert from "node:assert/strict";
import { test } from "node:test";
import { readChange } from "../schema/envelope.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { printingSettings } from "./connection.ts";
import { PostgresFixture } from "./postgres-fixture.ts";

/** Each type with the values at its edges. */
const values: Readonly<Record<string, readonly string[]>> = {
  boolean: ["true", "false"],
  smallint: ["-32768", "32767"],
  integer: ["-2147483648", "2147483647"],
  bigint: ["-9223372036854775808", "9223372036854775807", "9007199254740993"],
  oid: ["4294967295"],
  numeric: [
    "'NaN'",
    "'Infinity'",
    "'-Infinity'",
    "0.00000000000000000001",
    "-1e100",
    "12345678901234567890.0987654321",
  ],
  "numeric(12,2)": ["0.10", "-9999999999.99"],
  real: ["0.1", "'NaN'", "'-Infinity'", "3.4028235e38", "1e-45", "-0.0::real"],
  "double precision": ["0.1", "5e-324", "1.7976931348623157e308", "'NaN'", "'Infinity'", "'-0'"],
  text: ["''", "E'a\\tb\\nc\\\\d\\re\\x01\"'", "'NULL'", "'\\N'", "'häßlich 😀'", "repeat('x', 20000)"],
  "character varying(5)": ["'a'", "''"],
  "character(5)": ["'a'", "''"],
  name: ["'a name'"],
  '"char"': ["'x'"],
  uuid: ["'00000000-0000-0000-0000-00000000000a'"],
  bytea: ["''", "'\\x00ff5c0a09'", "decode(repeat('ab', 5000), 'hex')"],
  date: ["'2024-02-29'", "'infinity'", "'-infinity'", "'0044-03-15 BC'", "'9999-12-31'", "'10000-01-01'"],
  time: ["'00:00'", "'24:00'", "'23:59:59.999999'"],
  "time(3)": ["'12:00:00.5'"],
  timetz: ["'12:00:00.5+05:30'", "'24:00-12'"],
  timestamp: ["'2024-02-29 12:00'", "'infinity'", "'-infinity'", "'0001-01-01 BC'", "'294276-12-31 23:59:59.999999'"],
  timestamptz: ["'2024-03-31 02:30+02'", "'infinity'", "'4713-01-01 00:00+00 BC'", "'1969-12-31 23:59:59.000001+00'"],
  "timestamptz(3)": ["'2024-02-29 12:00:00.1239+00'"],
  interval: ["'1 year -2 mons 3 days -04:05:06.7'", "'0'", "'-1 us'", "'178000000 years'"],
  json: [`'{"a": 1,  "a": 2}'`, "'null'", "'[1e400]'"],
  jsonb: [`'{"b": [1, null, 12345678901234567890.10], "a": "\\u00e9"}'`, "'null'"],
  inet: ["'10.0.0.1/8'", "'::1'"],
  cidr: ["'10.0.0.0/8'"],
  macaddr: ["'08:00:2b:01:02:03'"],
  "bit(3)": ["B'101'"],
  "bit varying": ["B''", "B'1'"],
  int4range: ["'[1,5)'", "'empty'", "'(,)'"],
  tstzrange: ["'[2024-01-01 00:00+00,)'"],
  nummultirange: ["'{[1,2),[3,4)}'"],
  tsvector: ["'a:1 b:2'"],
  money: ["1234.5", "-0.01"],
  point: ["'(1,2)'"],
  xml: ["'<a>b</a>'"],
  mood: ["'fine'", "'not \"so\" fine, {really}'"],
  positive: ["1", "99999.99"],
  address: ["row('a street', 5)", "row(null, null)"],
  "integer[]": ["'{}'", "'{1,NULL,3}'", "'{{1,2},{3,4}}'", "'[0:1]={7,8}'", "'[2:2][3:3]={{9}}'"],
  "text[]": [`'{"a b",NULL,"NULL","",plain,"q\\"\\\\ \\t{}"}'`, "array[E'\\t', 'ä']"],
  "mood[]": [`'{fine,NULL,"not \\"so\\" fine, {really}"}'`],
  "positive[]": ["'{1,2.5}'"],
  "boolean[]": ["'{t,f,NULL}'"],
  "bytea[]": ["array['\\x00ff'::bytea, null]"],
  "double precision[]": ["'{NaN,-Infinity,0.1}'"],
  "numeric[]": ["'{NaN,1.50}'"],
  "date[]": ["'{2024-02-29,infinity}'"],
  "timestamptz[]": ["'{2024-02-29 12:00+00,infinity,NULL}'"],
  "interval[]": ["'{1 day,NULL}'"],
  "jsonb[]": [`array['{"a": "b,c"}'::jsonb, null]`],
  "uuid[]": ["'{00000000-0000-0000-0000-00000000000a}'"],
  int2vector: ["'1 2 3'"],
  "address[]": ["array[row('a', 1)::address]"],
};

const types = `
  create type mood as enum ('fine', 'not "so" fine, {really}');
  create domain positive as numeric(12,2) check (value > 0);
  create type address as (street text, number integer)`;

test("for every type the value of a snapshot, of the stream and of the server are one, byte for byte", async () => {
  const names = Object.keys(values);
  const columns = names.map((type, i) => `c${i} ${type}`).join(", ");
  const rows = Math.max(...Object.values(values).map((list) => list.length)) + 1;
  const insert = (from: number) =>
    Array.from({ length: rows }, (_, row) => {
      const cells = names.map((type) => values[type]?.[row] ?? "null");
      return `insert into every values (${from + row}, ${cells.map((cell, i) => (cell === "null" ? cell : `(${cell})::${names[i]}`)).join(", ")});`;
    }).join("\n");
  await using fixture = await PostgresFixture.open(
    `${types}; create table every (id integer primary key, ${columns});`,
  );
  await fixture.sql(insert(0));
  const source = fixture.source(["every"]);
  await fixture.caughtUp(source);
  // The server's own zone and styles are not what is carried.
  await fixture.sql(
    "set timezone = 'Asia/Kolkata'; set datestyle = 'German'; set intervalstyle = 'sql_standard'; set bytea_output = 'escape'",
  );
  await fixture.sql(insert(100));
  await fixture.sql("update every set id = id + 100 where id >= 100; update every set id = id where id < 100");
  await fixture.caughtUp(source);

  await fixture.sql(printingSettings);
  // What the type's output function prints; a cast to text may differ.
  const texts = names.map((_, i) => `case when num_nulls(c${i}) = 1 then null else format('%s', c${i}) end`);
  const server = await fixture.sql(
    `select id::text as id, array[${texts.join(", ")}] as cells from every where id < 100 order by every.id`,
  );
  const shape = source.status().tables[0] as TableShape;
  assert.deepEqual(
    shape.columns.filter(({ carriedAsText }) => carriedAsText).map(({ sourceType }) => sourceType),
    ["money", "point", "xml", "address", "int2vector", "address[]"],
  );
  const images = new Map<string, string>();
  for (const { key, value, headers } of await fixture.read("shop.public.every")) {
    if (value === null) continue;
    const change = readChange(value, key, headers, shape);
    if (change.op !== "upsert") continue;
    const id = Number(change.row[0]);
    const expected = server[id % 100]?.cells as (string | null)[];
    change.row.slice(1).forEach((cell, i) => {
      assert.equal(cell, expected[i], `${names[i]} of row ${id} (${change.debeziumOp})`);
    });
    const json = JSON.stringify({ ...JSON.parse(String(value)).after, id: 0 });
    const first = images.get(String(id % 100));
    if (first === undefined) images.set(String(id % 100), json);
    else assert.equal(json, first);
  }
  assert.equal(images.size, rows);
  assert.deepEqual(await fixture.read("shop.rejected"), []);
});
