import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../base/errors.ts";
import { parseQueryString } from "./query-string.ts";
import { parseLiveQuery, parseRowOptions, parseRowQuery } from "./row-query.ts";

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

test("parameters behind a relation's name are its own, at any depth", () => {
  const query = parse(
    "select=id,rows:lines!inner(sku,item(id))&rows.sku=eq.a&rows.order=n.desc&rows.limit=5&rows.offset=1&rows.item.id=gt.3" +
      "&rows.or=(n.gt.1,n.lt.0)&id=eq.7&limit=3&lines.x=eq.1",
  );
  assert.equal(query.limit, 3);
  assert.equal(query.filter?.kind === "and" && query.filter.of.length, 2);
  const [, rows] = query.select ?? [];
  assert.ok(typeof rows === "object" && "relation" in rows);
  assert.deepEqual([rows.limit, rows.offset, rows.order], [5, 1, [{ column: "n", descending: true, nulls: null }]]);
  assert.ok(rows.filter?.kind === "and" && rows.filter.of[1]?.kind === "or");
  const [, item] = rows.select ?? [];
  assert.deepEqual(typeof item === "object" && "relation" in item && item.filter, {
    kind: "compare",
    column: "id",
    operator: "gt",
    values: ["3"],
    negated: false,
  });
  const presence = (text: string) => {
    const [one] = parse(`select=customer()&${text}`).select ?? [];
    return typeof one === "object" && "relation" in one && [one.inner, one.absent];
  };
  assert.deepEqual(presence("customer=is.null"), [false, true]);
  assert.deepEqual(presence("customer=not.is.null"), [true, undefined]);
  assert.equal(parse("select=customer()&customer=eq.1").filter?.kind, "compare");
  const bad = ["lines.limit=0", "lines.limit=x", "lines.select=a", "lines.cursor=x", "lines.order=a&lines.order=b"];
  for (const text of bad) assert.throws(() => parse(`select=lines(sku)&${text}`), hasCode("REQUEST_INVALID"), text);
});

test("Range narrows limit and offset, and takes no cursor", () => {
  const window = (text: string, range: string) => {
    const { offset, limit } = parseRowQuery(parseQueryString(text), { rowsMax: 1_000 }, range);
    return [offset, limit];
  };
  assert.deepEqual(window("", "0-24"), [0, 25]);
  assert.deepEqual(window("", "items=30-30"), [30, 1]);
  assert.deepEqual(window("", "10-"), [10, 100]);
  assert.deepEqual(window("", "0-99999"), [0, 1_000]);
  assert.deepEqual(window("limit=10&offset=5", "0-9"), [5, 5]);
  assert.deepEqual(window("limit=10", "8-99"), [8, 2]);
  for (const unknown of ["bytes=0-9", "0-9,20-29", "-5", "a-b", ""]) assert.deepEqual(window("", unknown), [0, 100]);
  for (const [text, range] of [
    ["", "9-8"],
    ["limit=5", "5-9"],
  ] as const) {
    assert.throws(
      () => window(text, range),
      (error: unknown) => MillraceError.is(error, "RANGE_NOT_SATISFIABLE"),
    );
  }
  assert.throws(() => window("cursor=x", "5-9"), hasCode("REQUEST_INVALID"));
});

test("columns whose names have other characters stand in double quotes", () => {
  assert.deepEqual(parse('select="a,b","c.\\"d",e').select, ["a,b", 'c."d', "e"]);
  assert.deepEqual(parse('order="a.b".asc.nullsfirst').order, [{ column: "a.b", descending: false, nulls: "first" }]);
});

test("a column that is called like a parameter is filtered through and=(…)", () => {
  const { filter, limit } = parse("and=(limit.gt.5,q.eq.x)&limit=3");
  assert.equal(limit, 3);
  assert.equal(filter?.kind === "and" && filter.of.length, 2);
  assert.deepEqual(parse("q=eq.x").find, { search: "eq.x" }, "a parameter of its own");
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
    "select=a->b.c",
    "cursor=x&offset=1",
  ];
  for (const text of bad) assert.throws(() => parse(text), hasCode("REQUEST_INVALID"), text);
});

test("what a live view or one row does not take is refused, not ignored", () => {
  assert.throws(() => parseLiveQuery(parseQueryString("limit=5")), hasCode("REQUEST_INVALID"));
  assert.deepEqual(parseLiveQuery(parseQueryString("after=abc")), { filter: null, select: null });
  assert.deepEqual(parseLiveQuery(parseQueryString("select=a,b:c")).select, ["a", { column: "c", alias: "b" }]);
  assert.throws(() => parseRowOptions(parseQueryString("status=eq.paid")), hasCode("REQUEST_INVALID"));
  assert.deepEqual(parseRowOptions(parseQueryString("select=a&after=b")), { select: ["a"] });
  assert.deepEqual(parseRowOptions(parseQueryString("stale=ok")), { select: null, stale: true });
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
