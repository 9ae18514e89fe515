/**
 * What is done to a database while Debezium and Millrace capture it. Columns of `every` are named after their types, so that
 * a difference says which type it is about.
 */
import { quote } from "../../../src/catalog/definitions.ts";

/** Values that Debezium's connector reads without stopping, with the edges that it has a form for. */
const samples: Readonly<Record<string, readonly string[]>> = {
  boolean: ["true", "false"],
  smallint: ["-32768"],
  integer: ["2147483647"],
  bigint: ["9223372036854775807", "-9007199254740993"],
  oid: ["4294967295"],
  numeric: ["12345678901234567890.0987654321", "0.10", "'NaN'", "-1e30"],
  "numeric(12,2)": ["10.00", "-9999999999.99", "'NaN'"],
  "numeric(5,0)": ["42"],
  real: ["0.1", "3.4028235e38", "'NaN'", "'-Infinity'", "-0.0::real"],
  "double precision": ["0.1", "1.7976931348623157e308", "'Infinity'", "1e16"],
  money: ["1234.5", "-0.01"],
  text: ["'häßlich 😀'", "''", "E'a\\tb\\nc\\\\d\"\\x01\\x7f/'"],
  "character varying(5)": ["'abc'"],
  "character(5)": ["'abc'"],
  name: ["'a name'"],
  '"char"': ["'x'"],
  uuid: ["'00000000-0000-0000-0000-00000000000a'"],
  bytea: ["'\\x00ff5c0a'", "''"],
  date: ["'2024-02-29'", "'0044-03-15 BC'", "'10000-01-01'"],
  "time without time zone": ["'12:00:00.5'", "'00:00'", "'23:59:59.999999'"],
  "time(3) without time zone": ["'12:00:00.25'"],
  "time with time zone": ["'12:00:00.5+05:30'", "'23:00:00-12'"],
  "timestamp without time zone": ["'2024-02-29 12:00'", "'2024-02-29 12:00:00.123456'", "'infinity'"],
  "timestamp(3) without time zone": ["'2024-02-29 12:00:00.5'"],
  "timestamp with time zone": ["'2024-02-29 12:00:00.5+02'", "'1969-12-31 23:59:59.000001+00'", "'infinity'"],
  interval: ["'1 year -2 mons 3 days 04:05:06.7'", "'0'", "'-1 us'"],
  json: [`'{"a": 1,  "a": 2}'`, "'null'"],
  jsonb: [`'{"b": [1, null, 12345678901234567890.10], "a": "\\u00e9"}'`],
  xml: ["'<a>b</a>'"],
  inet: ["'10.0.0.1/8'"],
  cidr: ["'10.0.0.0/8'"],
  macaddr: ["'08:00:2b:01:02:03'"],
  macaddr8: ["'08:00:2b:01:02:03:04:05'"],
  bit: ["B'1'"],
  "bit(10)": ["B'1010000001'"],
  "bit varying(5)": ["B'101'"],
  int4range: ["'[1,5)'", "'empty'"],
  int8range: ["'[1,)'"],
  numrange: ["'(1.10,2.0]'"],
  tsrange: ["'[2024-01-01 12:00,2024-01-02 12:00)'"],
  tstzrange: ["'[2024-01-01 12:00+00,)'"],
  daterange: ["'[2024-01-01,2024-02-29]'"],
  int4multirange: ["'{[1,2),[3,4)}'"],
  tsvector: ["'a:1A,3B b:2'"],
  tsquery: ["'a & !b'"],
  pg_lsn: ["'16/B374D848'"],
  point: ["'(1,2.5)'"],
  mood: ["'well'", `'not "so" well'`],
  positive: ["99999.99"],
  address: ["row('a street', 5)"],
  hstore: [`'a=>1, "b c"=>NULL'`],
  citext: ["'MiXed'"],
  ltree: ["'Top.Science'"],
  "integer[]": ["'{1,NULL,3}'", "'{}'"],
  "bigint[]": ["'{9223372036854775807}'"],
  "text[]": [`'{"a b",NULL,"NULL",""}'`],
  "numeric(12,2)[]": ["'{1.50,NULL}'"],
  "boolean[]": ["'{t,f}'"],
  "real[]": ["'{0.1}'"],
  "double precision[]": ["'{0.1,-1e300}'"],
  "date[]": ["'{2024-02-29}'"],
  "timestamp without time zone[]": ["'{2024-02-29 12:00:00.5}'"],
  "timestamp with time zone[]": ["'{2024-02-29 12:00:00+00}'"],
  "time without time zone[]": ["'{12:00:00.5}'"],
  "uuid[]": ["'{00000000-0000-0000-0000-00000000000a}'"],
  "jsonb[]": [`array['{"a": "b,c"}'::jsonb]`],
  "bytea[]": ["array['\\x00ff'::bytea]"],
  "mood[]": ["'{well,NULL}'"],
  "citext[]": ["'{MiXed}'"],
  "interval[]": ["'{1 day}'"],
  "inet[]": ["'{10.0.0.1}'"],
  "point[]": [`array['(1,2)'::point]`],
  "int4range[]": [`array['[1,5)'::int4range]`],
};

const types = Object.keys(samples);
const rows = Math.max(...Object.values(samples).map((values) => values.length)) + 1;

/** Debezium's stream takes quotes out of names. */
function columnOf(type: string): string {
  return type.replaceAll('"', "");
}

function every(from: number): string {
  return Array.from({ length: rows }, (_, row) => {
    const cells = types.map((type) => {
      const value = samples[type]?.[row];
      return value === undefined ? "null" : `(${value})::${type}`;
    });
    return `insert into every values (${from + row}, ${cells.join(", ")});`;
  }).join("\n");
}

export const capturedTables = ["bag", "docs", "ending", "every", "pairs", "whole"] as const;

const large = "(select string_agg(md5(i::text), '') from generate_series(1, 80) i)";

export const schema = `
  create extension if not exists hstore; create extension if not exists citext; create extension if not exists ltree;
  create type mood as enum ('well', 'not "so" well');
  create domain positive as numeric(12,2) check (value > 0);
  create type address as (street text, number integer);
  create table every (id integer primary key, ${types.map((type) => `${quote(columnOf(type))} ${type}`).join(", ")});
  create table pairs (a integer, b text, v text, primary key (b, a));
  create table docs (id integer primary key, body text, tags jsonb, words text[], n integer);
  alter table docs alter body set storage external, alter tags set storage external, alter words set storage external;
  create table whole (id integer primary key, body text, n integer);
  alter table whole alter body set storage external; alter table whole replica identity full;
  create table bag (v text, n integer); alter table bag replica identity full;
  create table ending (id integer primary key);
  ${every(0)}
  insert into pairs values (1, 'x', 'of the snapshot');`;

/** Each is a transaction of its own where it does not begin one. */
export const changes: readonly string[] = [
  every(100),
  "update every set id = id where id = 100",
  "delete from every where id = 101",
  "begin; insert into pairs values (2, 'y', 'v'); update pairs set v = 'w' where a = 2; delete from pairs where a = 1; commit",
  "update pairs set a = 3 where a = 2",
  "begin; savepoint s; insert into pairs values (8, 'z'); rollback to s; insert into pairs values (9, 'z'); commit",
  `insert into docs select 1, body, jsonb_build_object('t', body), array[body, 'x'], 0 from (select ${large} as body) b`,
  "update docs set n = 1",
  "update docs set id = 2",
  "update docs set body = 'short'",
  `insert into whole values (1, ${large}, 0)`,
  "update whole set n = 1",
  "update whole set id = 2",
  "delete from whole",
  "begin; insert into bag values ('a', 1), (null, 2); update bag set n = 3 where v is null; delete from bag where n = 1; commit",
  "begin; insert into pairs values (10, 'z'); truncate pairs, docs; insert into pairs values (11, 'z'); commit",
  "begin; select pg_logical_emit_message(true, 'billing', 'paid'); insert into pairs values (12, 'z'); commit",
  "select pg_logical_emit_message(false, 'billing', '\\x00ff'::bytea)",
  "insert into ending values (1)",
];
