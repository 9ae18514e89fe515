import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../base/errors.ts";
import type { Filter, FilterOperator } from "../views/view-info.ts";
import { parseColumnFilter, parseGroupFilter } from "./filter-grammar.ts";

function compare(column: string, operator: FilterOperator, values: string[], negated = false): Filter {
  return { kind: "compare", column, operator, values, negated };
}

test("a filter at the top takes its value to the end, as it is", () => {
  assert.deepEqual(parseColumnFilter("status", "eq.paid"), compare("status", "eq", ["paid"]));
  assert.deepEqual(parseColumnFilter("note", 'eq.a,b) "c".d'), compare("note", "eq", ['a,b) "c".d']));
  assert.deepEqual(parseColumnFilter("total", "not.gte.10.5"), compare("total", "gte", ["10.5"], true));
  assert.deepEqual(parseColumnFilter("note", "eq."), compare("note", "eq", [""]));
  assert.deepEqual(parseColumnFilter("name", "ilike.*smith*"), compare("name", "ilike", ["%smith%"]));
});

test("in takes a list whose values may stand in double quotes", () => {
  assert.deepEqual(
    parseColumnFilter("name", 'in.(a,"b,c","d\\"e\\\\)",)'),
    compare("name", "in", ["a", "b,c", 'd"e\\)', ""]),
  );
  assert.deepEqual(parseColumnFilter("name", "in.()"), compare("name", "in", []));
  assert.deepEqual(parseColumnFilter("name", "not.in.(1,2)"), compare("name", "in", ["1", "2"], true));
});

test("is takes null, not_null, true, false and unknown", () => {
  assert.deepEqual(parseColumnFilter("a", "is.null"), compare("a", "is", ["null"]));
  assert.deepEqual(parseColumnFilter("a", "is.not_null"), compare("a", "is", ["null"], true));
  assert.deepEqual(parseColumnFilter("a", "not.is.TRUE"), compare("a", "is", ["true"], true));
  assert.throws(() => parseColumnFilter("a", "is.5"), isFilterInvalid);
});

test("and and or nest, with not before each part", () => {
  assert.deepEqual(parseGroupFilter("not.or", '(a.eq.1,not.and(b.not.is.null,"c.d".in.("x,y",z)),e.like.a*)'), {
    kind: "or",
    negated: true,
    of: [
      compare("a", "eq", ["1"]),
      {
        kind: "and",
        negated: true,
        of: [compare("b", "is", ["null"], true), compare("c.d", "in", ["x,y", "z"])],
      },
      compare("e", "like", ["a%"]),
    ],
  });
});

test("a column may be called like a word of the grammar", () => {
  assert.deepEqual(parseGroupFilter("and", "(limit.eq.1,and.eq.2,eq.eq.eq)"), {
    kind: "and",
    negated: false,
    of: [compare("limit", "eq", ["1"]), compare("and", "eq", ["2"]), compare("eq", "eq", ["eq"])],
  });
});

test("a path leads into a column; keys with other characters stand in double quotes", () => {
  const path = (steps: string[], text = false) => ({ path: { steps, text } });
  assert.deepEqual(parseColumnFilter("data->>city", "eq.Graz"), {
    ...compare("data", "eq", ["Graz"]),
    ...path(["city"], true),
  });
  assert.deepEqual(parseGroupFilter("or", '(data->items->0->>"a.b".not.eq."x,y","d,e"->-1.is.null)'), {
    kind: "or",
    negated: false,
    of: [
      { ...compare("data", "eq", ["x,y"], true), ...path(["items", "0", "a.b"], true) },
      { ...compare("d,e", "is", ["null"]), ...path(["-1"]) },
    ],
  });
  for (const field of ["data->", "->a", "data->>a->b", "data->>", 'data->"a', `data${"->a".repeat(40)}`, '"a"b', ""]) {
    assert.throws(() => parseColumnFilter(field, "eq.1"), isFilterInvalid, field);
  }
});

test("any and all take a list in braces, a full text search its configuration in parentheses", () => {
  assert.deepEqual(parseColumnFilter("a", 'like(all).{x*,"y,}",}'), {
    ...compare("a", "like", ["x%", "y,}", ""]),
    quantifier: "all",
  });
  assert.deepEqual(parseColumnFilter("a", "not.eq(any).{}"), { ...compare("a", "eq", [], true), quantifier: "any" });
  assert.deepEqual(parseColumnFilter("a", "fts(english).cat&dog"), {
    ...compare("a", "fts", ["cat&dog"]),
    config: "english",
  });
  assert.deepEqual(parseGroupFilter("and", "(a.gt(any).{1,2},b.wfts(german).katze,c.plfts.x y)"), {
    kind: "and",
    negated: false,
    of: [
      { ...compare("a", "gt", ["1", "2"]), quantifier: "any" },
      { ...compare("b", "wfts", ["katze"]), config: "german" },
      compare("c", "plfts", ["x y"]),
    ],
  });
  for (const text of [
    ...["eq(some).{1}", "in(any).{1}", "is(any).{null}", "cs(any).{1}", "eq(any).1", "eq(any){1}", "eq(any.{1}"],
    ...["eq(any).{1", "eq(any).{1}x", 'eq(any).{"a"b}', "fts().a", "eq(english).a", "eq().a", "fts(english)"],
  ]) {
    assert.throws(() => parseColumnFilter("a", text), isFilterInvalid, text);
  }
  assert.throws(() => parseColumnFilter("a", `eq(any).{${"1,".repeat(1_500)}1}`), isFilterInvalid);
});

test("inside parentheses an array or an object in braces is one value", () => {
  assert.deepEqual(parseGroupFilter("and", '(tags.cs.{a,"b)",c},doc.cs.{"a":{"b":"}"}},x.eq.{a,y.eq.{b}c)'), {
    kind: "and",
    negated: false,
    of: [
      compare("tags", "cs", ['{a,"b)",c}']),
      compare("doc", "cs", ['{"a":{"b":"}"}}']),
      compare("x", "eq", ["{a"]),
      compare("y", "eq", ["{b}c"]),
    ],
  });
  assert.deepEqual(parseColumnFilter("span", "ov.[1,5)"), compare("span", "ov", ["[1,5)"]));
  const open = Array.from({ length: 499 }, () => `a.eq.{${"x".repeat(24)}`).join(",");
  assert.throws(() => parseGroupFilter("or", `(${open})`), isFilterInvalid);
});

test("patterns of a tree are taken as they are, in parentheses also in double quotes", () => {
  const pattern = (is: string, text: string, negated = false) => {
    return { kind: "tree", column: "path", question: { is, text }, negated };
  };
  assert.deepEqual(parseColumnFilter("path", "lquery.*.a{1,2}.!b|c"), pattern("lquery", "*.a{1,2}.!b|c"));
  assert.deepEqual(parseColumnFilter("path", "not.ltxtquery.a & !(b, c)"), pattern("ltxtquery", "a & !(b, c)", true));
  assert.deepEqual(parseGroupFilter("or", '(path.lquery.Top.*,path.not.lquery."*{1,}.a",path.cd.Top.a)'), {
    kind: "or",
    negated: false,
    of: [pattern("lquery", "Top.*"), pattern("lquery", "*{1,}.a", true), compare("path", "cd", ["Top.a"])],
  });
  for (const [field, text] of [
    ["path->a", "lquery.a"],
    ["path", "lquery"],
    ["path", `lquery.${"a".repeat(1_001)}`],
    ["path", `ltxtquery.${"a".repeat(1_001)}`],
  ] as const) {
    assert.throws(() => parseColumnFilter(field, text), isFilterInvalid, text);
  }
});

test("an operator that is not known is refused with the one that was meant", () => {
  assert.throws(
    () => parseColumnFilter("status", "equ.paid"),
    (error: unknown) => MillraceError.is(error, "FILTER_INVALID") && error.hint === "Did you mean eq?",
  );
});

test("what does not fit the grammar is FILTER_INVALID, with the place", () => {
  for (const text of ["", "paid", "eq", "not.", "not.not.eq.1", "in.a", "in.(a", 'in.("a', 'in.("a"b)', "in.(a)b"]) {
    assert.throws(() => parseColumnFilter("a", text), isFilterInvalid, text);
  }
  for (const text of [
    "",
    "()",
    "(",
    "(a)",
    "(a.eq)",
    "(a.eq.1",
    "(a.eq.1))",
    "(a.eq.1,)",
    "(and(a.eq.1)",
    '("a.eq.1)',
  ]) {
    assert.throws(() => parseGroupFilter("and", text), isFilterInvalid, text);
  }
});

test("depth and length of a filter have bounds", () => {
  const deep = `${"(and".repeat(2_000)}(a.eq.1)${")".repeat(2_000)}`;
  assert.throws(() => parseGroupFilter("and", deep), isFilterInvalid);
  assert.throws(() => parseGroupFilter("or", `(${"a.eq.1,".repeat(600)}a.eq.1)`), isFilterInvalid);
  assert.throws(() => parseColumnFilter("a", `in.(${"1,".repeat(1_500)}1)`), isFilterInvalid);
});

test("any text is a filter or FILTER_INVALID", () => {
  const pieces = fc.constantFrom(
    ...'()",.\\*{}',
    "->",
    "(any).",
    "fts(",
    "and",
    "or",
    "not.",
    "eq.",
    "in.(",
    "is.null",
    "a",
    "é",
    "\u{1f600}",
  );
  const text = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary" }),
    fc.array(pieces, { maxLength: 30 }).map((all) => all.join("")),
  );
  fc.assert(
    fc.property(text, fc.boolean(), (one, group) => {
      try {
        if (group) parseGroupFilter("and", `(${one})`);
        else parseColumnFilter("a", one);
      } catch (error) {
        if (!isFilterInvalid(error)) throw error;
      }
    }),
    { numRuns: 1_000 },
  );
});

test("every filter that is printed with its texts in quotes reads back as itself", () => {
  const leaf = fc.record(
    {
      kind: fc.constant("compare" as const),
      column: fc.string({ minLength: 1, unit: "grapheme" }),
      operator: fc.constantFrom<FilterOperator>("eq", "neq", "gt", "gte", "lt", "lte", "in"),
      values: fc.array(fc.string({ unit: "grapheme" }), { minLength: 1, maxLength: 4 }),
      negated: fc.boolean(),
    },
    { noNullPrototype: true },
  );
  const { tree } = fc.letrec<{ tree: Filter }>((tie) => ({
    tree: fc.oneof(
      { depthSize: "small" },
      leaf.map((one) => (one.operator === "in" ? one : { ...one, values: one.values.slice(0, 1) })),
      fc.record(
        {
          kind: fc.constantFrom("and" as const, "or" as const),
          negated: fc.boolean(),
          of: fc.array(tie("tree"), { minLength: 1, maxLength: 3 }),
        },
        { noNullPrototype: true },
      ),
    ),
  }));
  fc.assert(
    fc.property(tree, (filter) => {
      assert.deepEqual(parseGroupFilter("and", `(${print(filter)})`), { kind: "and", negated: false, of: [filter] });
    }),
  );
});

function print(filter: Filter): string {
  const not = filter.negated ? "not." : "";
  if (filter.kind !== "compare" && !("of" in filter)) throw new Error("terms that search have their own tests");
  if (filter.kind !== "compare") return `${not}${filter.kind}(${filter.of.map(print).join(",")})`;
  const values = filter.values.map(quoted);
  return `${quoted(filter.column)}.${not}${filter.operator}.${filter.operator === "in" ? `(${values.join(",")})` : values[0]}`;
}

function quoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
}

function isFilterInvalid(error: unknown): boolean {
  return MillraceError.is(error, "FILTER_INVALID");
}
