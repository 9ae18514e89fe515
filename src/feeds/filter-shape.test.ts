import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { Filter } from "../views/view-info.ts";
import { shapeOf } from "./filter-shape.ts";

function compare(column: string, operator: "eq" | "gt" | "in", values: readonly string[], negated = false): Filter {
  return { kind: "compare", column, operator, values, negated };
}

const a = compare("a", "eq", ["1"]);
const b = compare("b", "gt", ["2"]);
const c = compare("c", "in", ["x", "y"]);

/** In PostgreSQL's logic of three values; a comparison is what its first value says. */
function evaluate(filter: Filter, of: (column: string) => boolean | null): boolean | null {
  if (filter.kind !== "compare" && filter.kind !== "and" && filter.kind !== "or") assert.fail();
  const value = filter.kind === "compare" ? of(filter.column) : junction(filter.kind, filter.of, of);
  return value === null ? null : value !== filter.negated;
}

function junction(kind: "and" | "or", of: readonly Filter[], column: (name: string) => boolean | null) {
  const values = of.map((one) => evaluate(one, column));
  const decisive = kind === "or";
  if (values.includes(decisive)) return decisive;
  return values.includes(null) ? null : !decisive;
}

const { filter } = fc.letrec<{ filter: Filter }>((tie) => ({
  filter: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.record({
      kind: fc.constant("compare" as const),
      column: fc.constantFrom("a", "b", "c"),
      operator: fc.constant("eq" as const),
      values: fc.constant(["1"]),
      negated: fc.boolean(),
    }),
    fc.record({
      kind: fc.constantFrom("and", "or"),
      negated: fc.boolean(),
      of: fc.array(tie("filter"), { maxLength: 3 }),
    }),
  ) as fc.Arbitrary<Filter>,
}));

describe("the shape of a filter", () => {
  test("is the same for other orders, repetitions, nesting and double negation", () => {
    const and = (...of: Filter[]): Filter => ({ kind: "and", negated: false, of });
    const shape = shapeOf(and(a, b, c)).text;
    for (const same of [
      and(c, b, a),
      and(a, and(b, and(c))),
      and(a, b, c, b),
      and(a, b, compare("c", "in", ["y", "x", "y"])),
      and({ kind: "or", negated: true, of: [{ kind: "and", negated: true, of: [b, a] }] }, c),
      and(a, b, { values: ["x", "y"], negated: false, operator: "in", column: "c", kind: "compare" }),
    ]) {
      assert.equal(shapeOf(same).text, shape);
    }
    assert.equal(shapeOf(and(a)).text, shapeOf(a).text);
    assert.equal(shapeOf(null).filter, null);
  });

  test("is another one where anything else differs", () => {
    const others: Filter[] = [
      a,
      compare("a", "eq", ["1"], true),
      compare("a", "eq", ["01"]),
      compare("a", "gt", ["1"]),
      { ...a, path: { steps: ["1"], text: true } } as Filter,
      { kind: "and", negated: false, of: [a, b] },
      { kind: "or", negated: false, of: [a, b] },
      { kind: "and", negated: true, of: [a, b] },
      { kind: "and", negated: false, of: [a, { kind: "or", negated: false, of: [b, c] }] },
      { kind: "or", negated: false, of: [a, { kind: "and", negated: false, of: [b, c] }] },
      { kind: "or", negated: false, of: [] },
      { kind: "and", negated: false, of: [] },
    ];
    assert.equal(new Set([null, ...others].map((one) => shapeOf(one).text)).size, others.length + 1);
  });

  test("keeps what the filter keeps, with NULL too, and is its own shape", () => {
    const value = fc.constantFrom(true, false, null);
    fc.assert(
      fc.property(filter, fc.record({ a: value, b: value, c: value }), (one, row) => {
        const of = (column: string) => row[column as "a"];
        const shape = shapeOf(one);
        assert.ok(shape.filter);
        assert.equal(evaluate(shape.filter, of), evaluate(one, of));
        assert.deepEqual(shapeOf(shape.filter), shape);
      }),
      { numRuns: 500 },
    );
  });
});
