import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { column, GroupFixture, refusalOf } from "./reader-fixture.ts";
import { binaryOperators, jsonPathOperators, operatorsOf, patternOperators, searchFunctions } from "./row-operators.ts";
import { comparisonType } from "./row-type.ts";
import type { Filter, FilterOperator, ViewsReader } from "./view-info.ts";

const types = [
  ...["smallint", "integer", "bigint", "numeric(12,2)", "real", "double precision", "money", "oid", "boolean"],
  ...["text", "character varying(5)", "character(5)", "name", "uuid", "bytea", "bit(4)", "bit varying", "xml"],
  ...["date", "time without time zone", "time with time zone", "timestamp(3) without time zone", "interval"],
  ...["timestamp with time zone", "json", "jsonb", "tsvector", "tsquery", "inet", "cidr", "macaddr", "macaddr8"],
  ...["integer[]", "text[]", "character varying[]", "json[]", "jsonb[]", "point[]", "timestamp with time zone[]"],
  ...["int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange", "int4multirange", "datemultirange"],
  ...["point", "box", "circle", "polygon", "lseg", "line", "path", "pg_lsn", "xid"],
];
const names = [
  ...Object.keys({ ...binaryOperators, ...patternOperators, ...searchFunctions, ...jsonPathOperators }),
  "in",
] as FilterOperator[];

describe("operators of filters", () => {
  let fixture: GroupFixture;
  let reader: ViewsReader;
  before(async () => {
    fixture = await GroupFixture.open();
    reader = fixture.reader();
  });
  after(() => fixture[Symbol.asyncDispose]());

  /** Whether PostgreSQL has the operator on a column of this type, asked without Millrace. */
  async function postgresHas(type: string, operator: FilterOperator): Promise<boolean> {
    const value = comparisonType(type);
    const pattern = Object.hasOwn(patternOperators, operator);
    const search = Object.hasOwn(searchFunctions, operator);
    const sql = pattern
      ? `c ${patternOperators[operator as keyof typeof patternOperators]} null::text`
      : search
        ? `${type === "tsvector" ? "c" : "to_tsvector(c)"} @@ ${searchFunctions[operator as keyof typeof searchFunctions]}('a')`
        : operator === "jsonpath" || operator === "jsonmatch"
          ? `c${type === "json" ? "::jsonb" : ""} ${jsonPathOperators[operator]} '$.a'::jsonpath`
          : operator === "in"
            ? `c = any(null::${value}[])`
            : `c ${binaryOperators[operator as keyof typeof binaryOperators]} null::${value}`;
    // The planner looks for what sorts and hashes values: an array of json has `=`, and cannot use it.
    const rows = `(values (null::${type}), (null::${type})) as t(c)`;
    const elements = type.endsWith("[]")
      ? `array[null::${type.slice(0, -2)}] = array[null::${type.slice(0, -2)}]`
      : "true";
    try {
      const { fields } = await fixture.admin.query(
        `select (${sql}) as holds from ${rows} where (${elements}) is not null`,
      );
      return fields[0]?.dataTypeID === 16;
    } catch {
      return false;
    }
  }

  test("are those that PostgreSQL has on the type", async () => {
    const wrong: string[] = [];
    for (const type of types) {
      for (const operator of names) {
        // PostgreSQL turns a name or a number of bytes into what has the operator; a filter does not.
        if (type === "bytea" && Object.hasOwn(patternOperators, operator)) continue;
        const ours = operatorsOf(type).includes(operator);
        // An array is looked up in a list one by one.
        if (operator === "in" && type.endsWith("[]")) continue;
        if (ours !== (await postgresHas(type, operator))) wrong.push(`${operator} on ${type}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  const shelf = {
    columns: [
      column("id", "integer"),
      column("title", "text", true),
      column("n", "numeric(8,2)", true),
      column("tags", "text[]", true),
      column("span", "int4range", true),
      column("days", "datemultirange", true),
      column("doc", "jsonb", true),
      column("raw", "json", true),
      column("words", "tsvector", true),
      column("net", "inet", true),
      column("paid", "boolean", true),
    ],
    key: ["id"],
  };

  const all = { filter: null, order: [], select: null, limit: 1_000, offset: 0, cursor: null };

  function compare(name: string, operator: FilterOperator, values: readonly string[], more: object = {}): Filter {
    const [column = "", ...steps] = name.split(/->>?/);
    const path = steps.length === 0 ? {} : { path: { steps, text: name.includes("->>") } };
    return { kind: "compare", column, ...path, operator, values, negated: false, ...more };
  }

  test("keep the rows that plain SQL keeps", async () => {
    await fixture.createView("shelf", shelf);
    await fixture.admin.query(`insert into millrace.shelf__1 values
      (1, 'The cats sat', 1.5, '{a,b}', '[1,5)', '{[2026-01-01,2026-02-01)}', '{"a":1,"b":[10,20],"c":{"d":"x"}}', '{"k": "v", "n": [1, 2]}', 'cat:1 sat:2', '10.0.0.1/24', true),
      (2, 'A dog (big)', -2, '{b,"c d"}', '[5,9)', '{}', '{"a":2,"b":[],"c":null}', '{"k": "w"}', 'dog:1', '10.0.0.0/8', false),
      (3, 'cat dog', 10, '{}', 'empty', '{[2026-01-15,2026-03-01)}', '[1,2,{"a":3}]', '[5, {"k": "v"}]', 'cat:1 dog:2', '192.168.0.7', null),
      (4, null, null, null, null, null, null, null, null, null, null),
      (5, '', 0, '{a}', '(,)', '{(,)}', '"text"', 'null', '', '::1', true)`);
    const cases: readonly [Filter, string][] = [
      [compare("title", "match", ["^(The|A) "]), "title ~ '^(The|A) '"],
      [compare("title", "imatch", ["CAT|\\(BIG"]), "title ~* 'CAT|\\(BIG'"],
      [compare("title", "match", ["^c", "g$"], { quantifier: "all" }), "title ~ '^c' and title ~ 'g$'"],
      [compare("title", "like", ["The*", "cat%"], { quantifier: "any" }), "title like 'The%' or title like 'cat%'"],
      [
        compare("title", "ilike", ["*CAT*", "*dog"], { quantifier: "all" }),
        "title ilike '%cat%' and title ilike '%dog'",
      ],
      [compare("title", "isdistinct", ["cat dog"]), "title is distinct from 'cat dog'"],
      [
        compare("title", "fts", ["cat & dog"], { config: "simple" }),
        "to_tsvector('simple', title) @@ to_tsquery('simple', 'cat & dog')",
      ],
      [
        compare("title", "plfts", ["cats sitting"], { config: "english" }),
        "to_tsvector('english', title) @@ plainto_tsquery('english', 'cats sitting')",
      ],
      [
        compare("title", "phfts", ["cat dog"], { config: "english" }),
        "to_tsvector('english', title) @@ phraseto_tsquery('english', 'cat dog')",
      ],
      [
        compare("title", "wfts", ["cat -dog or big"], { config: "english" }),
        "to_tsvector('english', title) @@ websearch_to_tsquery('english', 'cat -dog or big')",
      ],
      [compare("words", "fts", ["cat&!dog"], { config: "simple" }), "words @@ 'cat & !dog'::tsquery"],
      [compare("words", "wfts", ["dog"]), "words @@ websearch_to_tsquery('dog')"],
      [
        compare("doc", "plfts", ["x"], { config: "simple" }),
        "to_tsvector('simple', doc) @@ plainto_tsquery('simple', 'x')",
      ],
      [compare("raw", "fts", ["v"], { config: "simple" }), "to_tsvector('simple', raw) @@ to_tsquery('simple', 'v')"],
      [compare("tags", "cs", ["{b}"]), "tags @> '{b}'"],
      [compare("tags", "cd", ['{a,b,"c d"}']), "tags <@ '{a,b,c d}'"],
      [compare("tags", "ov", ['{x,"c d"}']), "tags && '{c d}'"],
      [compare("tags", "in", ["{a}", "{}"]), "tags in ('{a}', '{}')"],
      [compare("tags", "gt", ["{a}", "{b}"], { quantifier: "any" }), "tags > '{a}' or tags > '{b}'"],
      [compare("tags->0", "eq", ['"b"']), "tags[1] = 'b'"],
      [compare("tags->>-1", "eq", ["b"]), "tags[array_length(tags, 1)] = 'b'"],
      [compare("span", "cs", ["[2,3)"]), "span @> '[2,3)'"],
      [compare("span", "cd", ["[0,10)"]), "span <@ '[0,10)'"],
      [compare("span", "ov", ["[4,6)"]), "span && '[4,6)'"],
      [compare("span", "sl", ["[5,6)"]), "span << '[5,6)'"],
      [compare("span", "sr", ["[1,3)"]), "span >> '[1,3)'"],
      [compare("span", "nxr", ["[0,5)"]), "span &< '[0,5)'"],
      [compare("span", "nxl", ["[5,6)"]), "span &> '[5,6)'"],
      [compare("span", "adj", ["[9,12)"]), "span -|- '[9,12)'"],
      [compare("days", "ov", ["{[2026-01-20,2026-01-21)}"]), "days && '{[2026-01-20,2026-01-21)}'"],
      [compare("net", "sl", ["10.0.0.0/8"]), "net << '10.0.0.0/8'"],
      [compare("net", "ov", ["10.0.0.0/16"]), "net && '10.0.0.0/16'"],
      [compare("n", "gt", ["1", "2"], { quantifier: "all" }), "n > 1 and n > 2"],
      [compare("n", "lte", ["1.5", "-3"], { quantifier: "any" }), "n <= 1.5 or n <= -3"],
      [compare("n", "eq", [], { quantifier: "all" }), "true"],
      [compare("n", "eq", [], { quantifier: "any" }), "false"],
      [compare("paid", "isdistinct", ["true"], { negated: true }), "paid is not distinct from true"],
      [compare("doc", "cs", ['{"a":1}']), `doc @> '{"a":1}'`],
      [compare("doc", "cd", ['[1,2,3,{"a":3}]']), `doc <@ '[1,2,3,{"a":3}]'`],
      [compare("doc->a", "gte", ["2"]), "doc->'a' >= '2'"],
      [compare("doc->>a", "in", ["1", "2"]), "doc->>'a' in ('1', '2')"],
      [compare("doc->b->0", "eq", ["10"]), "doc->'b'->0 = '10'"],
      [compare("doc->c->>d", "like", ["x*"]), "doc->'c'->>'d' like 'x%'"],
      [compare("doc->c", "is", ["null"]), "doc->'c' is null"],
      [compare("doc->>c", "is", ["null"]), "doc->>'c' is null"],
      [compare("doc->2->>a", "eq", ["3"]), "doc->2->>'a' = '3'"],
      [compare("raw->>k", "eq", ["v"]), "raw->>'k' = 'v'"],
      [compare("raw->n", "cs", ["[1]"]), "(raw->'n')::jsonb @> '[1]'"],
      [compare("doc", "jsonpath", ["$.** ? (@ > 1)"]), "doc @? '$.** ? (@ > 1)'"],
      [compare("raw", "jsonmatch", ["exists($.n)"]), "raw::jsonb @@ 'exists($.n)'"],
      [compare("raw->1->>k", "match", ["^v"]), "raw->1->>'k' ~ '^v'"],
    ];
    for (const [filter, sql] of cases) {
      for (const negated of [false, true]) {
        const where: Filter = { kind: "and", negated, of: [filter] };
        const { rows } = await reader.rows("shelf", { ...all, filter: where, select: ["id"] });
        const plain = await fixture.admin.query(
          `select id from views.shelf where ${negated ? "not" : ""} (${sql}) order by id`,
        );
        assert.deepEqual(
          rows.map((row) => JSON.parse(row)),
          plain.rows,
          `${negated ? "not " : ""}${sql}`,
        );
      }
    }
  });

  const refusal = (filter: Filter) => refusalOf(reader.rows("shelf", { ...all, filter }));

  test("that a type has not are refused before PostgreSQL is asked, by column, type and operator", async () => {
    const error = await refusal(compare("n", "cs", ["1"]));
    assert.equal(error.code, "FILTER_INVALID");
    assert.match(error.message, /"cs" cannot be used on column "n": numeric\(8,2\)/);
    assert.match(error.hint ?? "", /eq, neq, in/);
    assert.deepEqual(error.details, { column: "n", type: "numeric(8,2)", operator: "cs" });
    assert.equal((await refusal(compare("title->a", "eq", ["1"]))).code, "PATH_INVALID");
    assert.equal((await refusal(compare("doc->>a", "cs", ["1"]))).code, "FILTER_INVALID");
  });

  test("with values that PostgreSQL cannot read are refused by column, and the next read is served", async () => {
    for (const [filter, message] of [
      [compare("title", "match", ["(["]), /column "title".*regular expression/],
      [compare("title", "imatch", ["a", "*"], { quantifier: "any" }), /column "title".*regular expression/],
      [compare("title", "fts", ["cat dog"]), /column "title".*tsquery/],
      [compare("title", "fts", ["cat"], { config: "klingon" }), /column "title".*"klingon" does not exist/],
      [compare("title", "fts", ["cat"], { config: "english'); drop view views.shelf; --" }), /column "title"/],
      [compare("tags", "cs", ["{a"]), /column "tags".*array literal/],
      [compare("tags", "cs", ["a"]), /column "tags".*array literal/],
      [compare("span", "ov", ["[1,"]), /column "span".*range literal/],
      [compare("doc", "cs", ["{a:1}"]), /column "doc".*json/],
      [compare("doc->a", "eq", ["x"]), /column "doc->a".*json/],
      [compare("doc", "jsonpath", ["$.a ? ("]), /column "doc" cannot be used.*jsonpath/],
      [compare("doc->>a", "jsonmatch", ["$"]), /text has no such operator/],
      [compare("net", "ov", ["10.0.0"]), /column "net"/],
      [compare("n", "eq", ["1", "x"], { quantifier: "any" }), /column "n".*"x"/],
    ] as const) {
      const error = await refusal(filter);
      assert.equal(error.code, "FILTER_INVALID", error.message);
      assert.match(error.message, message);
    }
    assert.equal((await reader.rows("shelf", all)).rows.length, 5);
  });

  test("take what looks like SQL in values, paths and configurations as what it is", async () => {
    const evil = `x' or true; drop view views.shelf; -- "){}\\`;
    for (const filter of [
      compare("title", "eq", [evil], { quantifier: "any" }),
      compare("title", "plfts", [evil], { config: "simple" }),
      { ...compare("doc", "eq", ['"a"']), path: { steps: [evil, "0"], text: false } } as Filter,
      { ...compare("raw", "eq", ["a"]), path: { steps: [evil], text: true } } as Filter,
      { ...compare("tags", "eq", ["a"]), path: { steps: ["99999999999999999999"], text: true } } as Filter,
    ]) {
      assert.deepEqual((await reader.rows("shelf", { ...all, filter })).rows, []);
    }
    const path = { steps: ["a\0"], text: true };
    assert.equal((await refusal({ ...compare("doc", "eq", [""]), path } as Filter)).code, "PATH_INVALID");
    assert.equal((await reader.rows("shelf", all)).rows.length, 5);
  });

  test("take 10,000 values, and no more", async () => {
    const many = Array.from({ length: 10_000 }, (_, i) => String(i + 2));
    const { rows } = await reader.rows("shelf", { ...all, filter: compare("id", "in", many), select: ["id"] });
    assert.equal(rows.length, 4);
    assert.equal((await refusal(compare("id", "in", [...many, "0"]))).code, "FILTER_INVALID");
    assert.equal((await refusal(compare("tags", "in", many.fill("{}")))).code, "FILTER_INVALID");
  });
});
