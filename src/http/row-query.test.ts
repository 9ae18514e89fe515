import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../base/errors.ts";
import { parseQueryString } from "./query-string.ts";
import { parseFilterOnly, parseRowQuery, parseRowSelect } from "./row-query.ts";

function parse(text: string) {
  return parseRowQuery(parseQueryString(text), { rowsMax: 10_000 });
}

test("filters, order, select, limit and offset are read in one query string", () => {
  assert.deepEqual(
    parse("status=eq.paid&total=gte.10&order=total.desc.nullslast,id&limit=20&select=id,total&offset=5"),
    {
      filter: {
        kind: "and",
        negated: false,
        of: [
          { kind: "compare", column: "status", operator: "eq", values: ["paid"], negated: false },
          { kind: "compare", column: "total", operator: "gte", values: ["10"], negated: false },
        ],
      },
      order: [
        { column: "total", descending: true, nulls: "last" },
        { column: "id", descending: false, nulls: null },
      ],
      select: ["id", "total"],
      limit: 20,
      offset: 5,
      cursor: null,
    },
  );
});

test("without parameters it is the first 100 rows, whole", () => {
  assert.deepEqual(parse(""), { filter: null, order: [], select: null, limit: 100, offset: 0, cursor: null });
  assert.equal(parse("select=*").select, null);
});

test("columns whose names have other characters stand in double quotes", () => {
  assert.deepEqual(parse('select="a,b","c.\\"d",e').select, ["a,b", 'c."d', "e"]);
  assert.deepEqual(parse('order="a.b".asc.nullsfirst').order, [{ column: "a.b", descending: false, nulls: "first" }]);
});

test("a column that is called like a parameter is filtered through and=(…)", () => {
  const { filter, limit } = parse("and=(limit.gt.5,q.eq.x)&limit=3");
  assert.equal(limit, 3);
  assert.equal(filter?.kind === "and" && filter.of.length, 2);
  assert.throws(() => parse("q=eq.x"), hasCode("FILTER_INVALID", /and=\(q\.eq/));
});

test("numbers that are no counts, and parameters given twice, are REQUEST_INVALID", () => {
  const bad = [
    "limit=-1",
    "limit=0",
    "limit=10001",
    "limit=1e3",
    "limit=",
    "offset=-5",
    "offset=99999999999999999999",
    "limit=1&limit=2",
    "order=a&order=b",
    "cursor=x&offset=1",
    "order=a.up",
    "order=a.nullslast.desc",
    "order=,",
    "order=a,",
    'select="a',
    "select=a,,b",
    "select=a::text",
    "select=alias:a",
    "select=a->b.c",
  ];
  for (const text of bad) assert.throws(() => parse(text), hasCode("REQUEST_INVALID"), text);
});

test("what a live view or one row does not take is refused, not ignored", () => {
  assert.throws(() => parseFilterOnly(parseQueryString("limit=5")), hasCode("REQUEST_INVALID"));
  assert.equal(parseFilterOnly(parseQueryString("after=abc")), null);
  assert.throws(() => parseRowSelect(parseQueryString("status=eq.paid")), hasCode("REQUEST_INVALID"));
  assert.deepEqual(parseRowSelect(parseQueryString("select=a&after=b")), ["a"]);
});

test("any query string is read, or refused with REQUEST_INVALID or FILTER_INVALID", () => {
  const pieces = fc.constantFrom(
    ...'%&=+()".,\\',
    "%2",
    "%ff",
    "%00",
    "limit",
    "order",
    "select",
    "and=(",
    "a.eq.1",
    "not.",
    "in.(",
    "a",
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(pieces, { maxLength: 40 }).map((all) => all.join("")),
  );
  fc.assert(
    fc.property(text, (one) => {
      try {
        parse(one);
      } catch (error) {
        if (!MillraceError.is(error, "REQUEST_INVALID") && !MillraceError.is(error, "FILTER_INVALID")) throw error;
      }
    }),
    { numRuns: 1_000 },
  );
});

test("the query string is form-encoded UTF-8 without NUL", () => {
  assert.deepEqual(parseQueryString("a=b+c%2B%C3%A9&&=x&flag"), [
    { name: "a", value: "b c+é" },
    { name: "", value: "x" },
    { name: "flag", value: "" },
  ]);
  for (const text of ["a=%", "a=%zz", "a=%ff", "%c3=1", "a=%00", "a&".repeat(300)]) {
    assert.throws(() => parseQueryString(text), hasCode("REQUEST_INVALID"), text);
  }
});

function hasCode(code: "REQUEST_INVALID" | "FILTER_INVALID", hint = /(?:)/) {
  return (error: unknown) => MillraceError.is(error, code) && hint.test(error.hint ?? "");
}
