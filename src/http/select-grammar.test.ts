import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../base/errors.ts";
import { parseOrder, parseSelect } from "./select-grammar.ts";

test("members are columns, renamed, cast, or inside one", () => {
  assert.equal(parseSelect("*"), null);
  assert.deepEqual(parseSelect('id,*,"a,b"'), ["id", { all: true }, "a,b"]);
  assert.deepEqual(parseSelect('day:at::date,"full name":name,total::double precision'), [
    { column: "at", alias: "day", cast: "date" },
    { column: "name", alias: "full name" },
    { column: "total", cast: "double precision" },
  ]);
  assert.deepEqual(parseSelect('data->a->0,n:data->>"x:y"::int,"q"->>b'), [
    { column: "data", path: { steps: ["a", "0"], text: false } },
    { column: "data", path: { steps: ["x:y"], text: true }, alias: "n", cast: "int" },
    { column: "q", path: { steps: ["b"], text: true } },
  ]);
});

test("relations embed their members, renamed, required, and in one another", () => {
  const plain = { inner: false, filter: null, order: [], limit: null, offset: 0 };
  assert.deepEqual(parseSelect('id,customer(name,city::text),rows:"my lines"!inner(*,of:item(id)),tag()'), [
    "id",
    { relation: "customer", ...plain, select: ["name", { column: "city", cast: "text" }] },
    {
      relation: "my lines",
      alias: "rows",
      ...plain,
      inner: true,
      select: [{ all: true }, { relation: "item", alias: "of", ...plain, select: ["id"] }],
    },
    { relation: "tag", ...plain, select: [] },
  ]);
  assert.deepEqual(parseSelect("...customer!inner(city,*)"), [
    { relation: "customer", ...plain, inner: true, select: ["city", { all: true }], spread: true },
  ]);
  assert.throws(() => parseSelect(`${"a(".repeat(6)}b${")".repeat(6)}`), isRequestInvalid);
  assert.throws(() => parseSelect(`a(${"b(c),".repeat(30)}d)`), isRequestInvalid);
  assert.throws(() => parseSelect("a(".repeat(5_000)), isRequestInvalid);
});

test("an order has directions, places of nulls and paths", () => {
  assert.deepEqual(parseOrder('a,b.desc,c.nullsfirst,data->>x.asc.nullslast,"d.e".desc.nullslast'), [
    { column: "a", descending: false, nulls: null },
    { column: "b", descending: true, nulls: null },
    { column: "c", descending: false, nulls: "first" },
    { column: "data", path: { steps: ["x"], text: true }, descending: false, nulls: "last" },
    { column: "d.e", descending: true, nulls: "last" },
  ]);
  assert.deepEqual(parseOrder("customer(data->>x).desc.nullslast,id"), [
    { relation: "customer", column: "data", path: { steps: ["x"], text: true }, descending: true, nulls: "last" },
    { column: "id", descending: false, nulls: null },
  ]);
});

test("what does not fit is REQUEST_INVALID, with the place", () => {
  for (const text of [
    ...[",", "a,", "a,,b", '"a', "a:", ":a", "a::", "a:b:c", "a::int::text", "a->b:c", "a b.c", "a->", "a->>b->c"],
    ...[
      "total.sum",
      "...orders",
      "...(id)",
      "a:...b(c)",
      "....b(c)",
      "a!inner",
      "a!left(b)",
      "a(b",
      "a(b))",
      "a(b)c",
      "a->b(c)",
      "a(b,)",
      "a)",
      "*a",
      "a".concat(",a".repeat(300)),
    ],
  ]) {
    assert.throws(() => parseSelect(text), isRequestInvalid, text);
  }
  for (const text of [
    ",",
    "a,",
    "a.up",
    "a.desc.asc",
    "a.nullslast.desc",
    "a.desc.",
    'a"b',
    "a(b",
    "a()",
    "a(b)c",
    "a->b(c)",
    "a->",
  ]) {
    assert.throws(() => parseOrder(text), isRequestInvalid, text);
  }
});

test("any text is a selection and an order, or REQUEST_INVALID", () => {
  const pieces = fc.constantFrom(...'()",.:*\\!', "->", "->>", "::", "a", "desc", "nullsfirst", "0", "é");
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(pieces, { maxLength: 20 }).map((all) => all.join("")),
  );
  fc.assert(
    fc.property(text, (one) => {
      for (const parse of [parseSelect, parseOrder]) {
        try {
          parse(one);
        } catch (error) {
          if (!isRequestInvalid(error)) throw error;
        }
      }
    }),
    { numRuns: 500 },
  );
});

function isRequestInvalid(error: unknown): boolean {
  return MillraceError.is(error, "REQUEST_INVALID");
}

test("aggregates stand behind a column, with types before and behind them, and count alone", () => {
  assert.deepEqual(
    parseSelect('kind,count(),n:count()::int4,total:"a b"->c::int4.sum()::text,avg.avg(),count,count(id)'),
    [
      "kind",
      { aggregate: "count", of: null },
      { aggregate: "count", of: null, alias: "n", cast: "int4" },
      {
        aggregate: "sum",
        of: { column: "a b", path: { steps: ["c"], text: false }, cast: "int4" },
        alias: "total",
        cast: "text",
      },
      { aggregate: "avg", of: { column: "avg" } },
      "count",
      { relation: "count", inner: false, select: ["id"], filter: null, order: [], limit: null, offset: 0 },
    ],
  );
  assert.deepEqual(parseSelect("name,orders(count())")?.[1], {
    relation: "orders",
    inner: false,
    select: [{ aggregate: "count", of: null }],
    filter: null,
    order: [],
    limit: null,
    offset: 0,
  });
  for (const [text, message] of [
    ["n.", /needs an aggregate at its end/],
    ["n.total()", /needs an aggregate at "total\(\)"/],
    ["n.sum", /needs an aggregate/],
    ["n.sum(id)", /needs an aggregate/],
    ["n.sum()::", /needs a type/],
  ] as const) {
    assert.throws(() => parseSelect(text), { code: "REQUEST_INVALID", message });
  }
  assert.throws(() => parseSelect("n.summ()"), { hint: "Did you mean sum()?" });
});
