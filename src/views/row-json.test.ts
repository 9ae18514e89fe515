import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { column, GroupFixture } from "./reader-fixture.ts";

describe("the forms of rows", () => {
  let fixture: GroupFixture;
  before(async () => {
    fixture = await GroupFixture.open();
  });
  after(() => fixture[Symbol.asyncDispose]());

  let views = 0;

  /** The JSON text of each value in a column of this type, as a row of a view reads. */
  async function forms(type: string, literals: readonly string[]): Promise<string[]> {
    const name = `forms_${++views}`;
    await fixture.createView(name, { columns: [column("id", "integer"), column("c", type, true)], key: ["id"] });
    // A session of other defaults must not show through.
    await fixture.admin.query("set timezone = 'Asia/Kolkata'; set datestyle = 'SQL, DMY'; set bytea_output = 'escape'");
    for (const [id, literal] of literals.entries()) {
      await fixture.admin.query(`insert into millrace.${name}__1 values (${id}, ${literal})`);
    }
    await fixture.admin.query("reset all");
    const query = { filter: null, order: [], select: ["c"], limit: 1000, offset: 0, cursor: null };
    const { rows } = await fixture.reader().rows(name, query);
    return rows.map((row) => {
      assert.doesNotMatch(row, /[\r\n]/);
      JSON.parse(row);
      return row.slice('{"c":'.length, -1);
    });
  }

  const cases: readonly { readonly type: string; readonly forms: readonly (readonly [string, string])[] }[] = [
    {
      type: "smallint",
      forms: [
        ["-32768", "-32768"],
        ["null", "null"],
      ],
    },
    { type: "integer", forms: [["2147483647", "2147483647"]] },
    {
      type: "bigint",
      forms: [
        ["9223372036854775807", '"9223372036854775807"'],
        ["-1", '"-1"'],
        ["null", "null"],
      ],
    },
    {
      type: "numeric",
      forms: [
        ["1.500", '"1.500"'],
        ["100", '"100"'],
        ["0.000", '"0.000"'],
        ["1e30", '"1000000000000000000000000000000"'],
        ["'NaN'", '"NaN"'],
        ["'-Infinity'", '"-Infinity"'],
        ["null", "null"],
      ],
    },
    {
      type: "numeric(12,2)",
      forms: [
        ["10", '"10.00"'],
        ["9999999999.99", '"9999999999.99"'],
      ],
    },
    {
      type: "real",
      forms: [
        ["0.1", "0.1"],
        ["'NaN'", '"NaN"'],
        ["'Infinity'", '"Infinity"'],
      ],
    },
    {
      type: "double precision",
      forms: [
        ["0.1", "0.1"],
        ["1e300", "1e+300"],
        ["5e-324", "5e-324"],
        ["'-Infinity'", '"-Infinity"'],
        ["'-0'::double precision", "-0"],
      ],
    },
    {
      type: "boolean",
      forms: [
        ["true", "true"],
        ["false", "false"],
        ["null", "null"],
      ],
    },
    {
      type: "text",
      forms: [
        ["''", '""'],
        [`E'a"b\\\\c\\n\\t\\u0001'`, '"a\\"b\\\\c\\n\\t\\u0001"'],
        ["'😀 é'", '"😀 é"'],
        [`E'line\\u2028separator'`, '"line\u2028separator"'],
      ],
    },
    { type: "character varying(5)", forms: [["'abc'", '"abc"']] },
    { type: "character(5)", forms: [["'abc'", '"abc  "']] },
    { type: "uuid", forms: [["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"']] },
    {
      type: "timestamp with time zone",
      forms: [
        ["'2026-11-21 10:00:00.123456+02'", '"2026-11-21T08:00:00.123456Z"'],
        ["'2026-11-21 10:00:00Z'", '"2026-11-21T10:00:00.000000Z"'],
        ["'0001-01-01 00:00:00Z'", '"0001-01-01T00:00:00.000000Z"'],
        ["'infinity'", '"infinity"'],
        ["'-infinity'", '"-infinity"'],
        ["'0044-03-15 12:00:00Z BC'", '"0044-03-15 12:00:00+00 BC"'],
        ["null", "null"],
      ],
    },
    {
      type: "timestamp(3) with time zone",
      forms: [["'2026-11-21 10:00:00.123Z'", '"2026-11-21T10:00:00.123000Z"']],
    },
    {
      type: "timestamp without time zone",
      forms: [
        ["'2026-11-21 10:00:00.120'", '"2026-11-21T10:00:00.12"'],
        ["'infinity'", '"infinity"'],
        ["'0044-03-15 12:00:00 BC'", '"0044-03-15T12:00:00 BC"'],
      ],
    },
    {
      type: "date",
      forms: [
        ["'2026-02-28'", '"2026-02-28"'],
        ["'infinity'", '"infinity"'],
        ["'0044-03-15 BC'", '"0044-03-15 BC"'],
      ],
    },
    {
      type: "time without time zone",
      forms: [
        ["'24:00:00'", '"24:00:00"'],
        ["'01:02:03.5'", '"01:02:03.5"'],
      ],
    },
    { type: "time with time zone", forms: [["'01:02:03+05:30'", '"01:02:03+05:30"']] },
    { type: "interval", forms: [["'1 year 2 mons -3 days 04:05:06.7'", '"1 year 2 mons -3 days +04:05:06.7"']] },
    {
      type: "bytea",
      forms: [
        ["'\\x'", '""'],
        ["'\\x00ff10'", '"AP8Q"'],
        ["decode(repeat('ab', 100), 'hex')", JSON.stringify(Buffer.alloc(100, 0xab).toString("base64"))],
      ],
    },
    {
      type: "json",
      forms: [
        [`'{"b": 1.10,  "a":[null]}'`, '{"b": 1.10,  "a":[null]}'],
        [`E'{"b":\\n 1}'`, '{"b":  1}'],
        ["'12345678901234567890'", "12345678901234567890"],
        ["'null'", "null"],
      ],
    },
    { type: "jsonb", forms: [[`'{"b": 1.10, "a": "x"}'`, '{"a": "x", "b": 1.10}']] },
    {
      type: "integer[]",
      forms: [
        ["'{1,null,3}'", "[1,null,3]"],
        ["'{{1,2},{3,4}}'", "[[1,2],[3,4]]"],
        ["'{}'", "[]"],
      ],
    },
    {
      type: "bigint[]",
      forms: [
        ["'{9007199254740993,null}'", '["9007199254740993",null]'],
        ["'{{1},{2}}'", '[["1"],["2"]]'],
      ],
    },
    { type: "numeric[]", forms: [["'{1.50,NaN}'", '["1.50","NaN"]']] },
    { type: "text[]", forms: [[`array['a,b', 'c"d', null, 'null']`, '["a,b","c\\"d",null,"null"]']] },
    {
      type: "bytea[]",
      forms: [
        ["array['\\x00ff'::bytea, null]", '["AP8=",null]'],
        ["'{}'", "[]"],
        ["null", "null"],
      ],
    },
    {
      type: "timestamp with time zone[]",
      forms: [["'{2026-11-21 10:00:00Z,infinity}'", '["2026-11-21T10:00:00.000000Z","infinity"]']],
    },
    { type: "inet", forms: [["'10.0.0.1/8'", '"10.0.0.1/8"']] },
    { type: "int4range", forms: [["'[1,5)'", '"[1,5)"']] },
    { type: "money", forms: [["null", "null"]] },
    { type: "bit(4)", forms: [["B'1010'", '"1010"']] },
    { type: "tsvector", forms: [["'a b'", `"'a' 'b'"`]] },
  ];

  for (const { type, forms: expected } of cases) {
    test(`a value of type ${type} reads in its form`, async () => {
      assert.deepEqual(
        await forms(
          type,
          expected.map(([literal]) => literal),
        ),
        expected.map(([, json]) => json),
      );
    });
  }

  test("columns of any name read under it, more of them than a function has arguments", async () => {
    const names = ["r", "v", "row", "place", "e", "i", "p", "a b", 'a"b', "__proto__", "Ä"];
    const columns = [...names, ...Array.from({ length: 200 }, (_, i) => `c${i}`)].map((name) => column(name, "bigint"));
    await fixture.createView("wide", { columns, key: ["r"] });
    await fixture.admin.query(`insert into millrace.wide__1 values (${columns.map((_, i) => i).join(", ")})`);
    const query = { filter: null, order: [], select: null, limit: 10, offset: 0, cursor: null };
    const { rows } = await fixture.reader().rows("wide", query);
    assert.equal(rows[0], `{${columns.map((one, i) => `${JSON.stringify(one.name)}:"${i}"`).join(",")}}`);
  });
});
