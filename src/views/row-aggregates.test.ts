import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { seededRandom } from "../base/random.ts";
import { column, GroupFixture, refusalOf } from "./reader-fixture.ts";
import type { Filter, RowQuery, Selected, ViewsReader } from "./view-info.ts";

const random = seededRandom(5);
const kinds = ["a", "b", "c", null];
const rows = Array.from({ length: 400 }, (_, id) => ({
  id,
  kind: kinds[random.below(4)] as string | null,
  open: random.below(2) === 0,
  n: random.below(10) === 0 ? null : random.below(100),
  price: random.below(10) === 0 ? null : `${random.below(10_000) / 100}`,
  owner: random.below(30),
  doc: { size: random.below(9) },
}));
type Row = (typeof rows)[number];
const none: RowQuery = { filter: null, order: [], select: null, limit: 1_000, offset: 0, cursor: null };

describe("aggregates of a view's rows", () => {
  let fixture: GroupFixture;
  let reader: ViewsReader;
  before(async () => {
    fixture = await GroupFixture.open();
    reader = fixture.reader();
    await fixture.createView("things", {
      columns: [
        column("id", "integer"),
        column("kind", "text", true),
        column("open", "boolean"),
        column("n", "integer", true),
        column("price", "numeric(9,2)", true),
        column("owner", "bigint"),
        column("doc", "jsonb"),
      ],
      key: ["id"],
      find: { search: { columns: [{ column: "kind", weight: "A" }], language: "simple" }, fuzzy: [], geo: null },
    });
    await fixture.commit("things", { upsert: rows });
    await fixture.createView("owners", { columns: [column("id", "bigint"), column("name", "text")], key: ["id"] });
    await fixture.commit("owners", { upsert: Array.from({ length: 32 }, (_, id) => ({ id, name: `owner ${id}` })) });
    fixture.definitions = [
      { name: "things", references: [{ name: "whose", view: "owners", on: [["owner", "id"]] }] },
      { name: "owners" },
    ];
  });
  after(() => fixture[Symbol.asyncDispose]());

  const read = async (query: Partial<RowQuery>, view = "things") =>
    (await reader.rows(view, { ...none, ...query })).rows.map((row) => JSON.parse(row));
  const groupsOf = (of: readonly Row[], key: (row: Row) => unknown) => [
    ...Map.groupBy(of, (row) => JSON.stringify(key(row))).entries(),
  ];
  const numbersOf = (of: readonly Row[]) => of.flatMap(({ n }) => (n === null ? [] : [n]));
  const cents = (of: readonly Row[]) => of.reduce((sum, { price }) => sum + Math.round(Number(price ?? 0) * 100), 0);
  const aggregate = (name: "count" | "sum" | "avg" | "min" | "max", of: string, alias: string): Selected => {
    return { aggregate: name, of: { column: of }, alias };
  };
  const everything: Selected[] = [
    { aggregate: "count", of: null },
    aggregate("count", "n", "known"),
    aggregate("sum", "n", "sum"),
    { aggregate: "avg", of: { column: "n" }, cast: "float8" },
    aggregate("min", "n", "least"),
    aggregate("max", "kind", "last kind"),
    aggregate("sum", "price", "total"),
  ];
  const expected = (of: readonly Row[]) => {
    const numbers = numbersOf(of);
    const names = of.flatMap(({ kind }) => (kind === null ? [] : [kind]));
    return {
      count: String(of.length),
      known: String(numbers.length),
      sum: String(numbers.reduce((a, b) => a + b, 0)),
      avg: numbers.reduce((a, b) => a + b, 0) / numbers.length,
      least: Math.min(...numbers),
      "last kind": names.toSorted().at(-1) ?? null,
      total: (cents(of) / 100).toFixed(2),
    };
  };

  test("rows are grouped by the members that are none, in their order, null among them", async () => {
    const found = await read({ select: ["kind", "open", ...everything] });
    const model = groupsOf(rows, ({ kind, open }) => [kind, open])
      .map(([, of]) => ({ kind: of[0]?.kind ?? null, open: of[0]?.open ?? false, ...expected(of) }))
      .toSorted((a, b) => {
        if (a.kind !== b.kind) return a.kind === null ? 1 : b.kind === null ? -1 : a.kind < b.kind ? -1 : 1;
        return Number(a.open) - Number(b.open);
      });
    assert.deepEqual(
      found.map(({ avg, ...one }) => ({ ...one, avg: avg.toFixed(9) })),
      model.map(({ avg, ...one }) => ({ ...one, avg: avg.toFixed(9) })),
    );
  });

  test("without other members there is one row, also over no rows", async () => {
    const filter: Filter = { kind: "compare", column: "open", operator: "is", values: ["true"], negated: false };
    const [one] = await read({ select: everything, filter });
    assert.deepEqual({ ...one, avg: 0 }, { ...expected(rows.filter(({ open }) => open)), avg: 0 });
    const nothing: Filter = { kind: "compare", column: "id", operator: "lt", values: ["0"], negated: false };
    assert.deepEqual(
      await read({ select: [{ aggregate: "count", of: null }, aggregate("sum", "n", "s")], filter: nothing }),
      [{ count: "0", s: null }],
    );
    assert.deepEqual(await read({ select: ["kind", { aggregate: "count", of: null }], filter: nothing }), []);
  });

  test("groups are ordered, counted and continued like rows", async () => {
    const select: Selected[] = [
      { column: "doc", path: { steps: ["size"], text: true }, cast: "int4", alias: "size" },
      "kind",
      aggregate("sum", "n", "total"),
    ];
    const order = [
      { column: "total", descending: true, nulls: null },
      { column: "kind", descending: true, nulls: null },
    ];
    const whole = await read({ select, order });
    assert.equal(whole.length, groupsOf(rows, ({ kind, doc }) => [kind, doc.size]).length);
    for (let i = 1; i < whole.length; i++) {
      assert.ok(whole[i - 1].total === null || Number(whole[i - 1].total) >= Number(whole[i].total));
    }
    const paged: unknown[] = [];
    for (let cursor: string | null = null, more = true; more; more = cursor !== null) {
      const page = await reader.rows("things", { ...none, select, order, limit: 7, cursor, count: "exact" });
      assert.equal(page.total, whole.length);
      paged.push(...page.rows.map((row) => JSON.parse(row)));
      cursor = page.next;
    }
    assert.deepEqual(paged, whole);
    for (const count of ["planned", "estimated"] as const) {
      assert.ok(((await reader.rows("things", { ...none, select, count })).total ?? 0) > 0);
    }
    const cells = await reader.rows("things", { ...none, select, order, limit: 1, form: "cells" });
    assert.deepEqual(cells.columns, ["size", "kind", "total"]);
  });

  test("related rows are counted for each row, and grouped", async () => {
    const embedded = {
      relation: "things",
      inner: false,
      filter: null,
      order: [],
      limit: null,
      offset: 0,
      select: ["kind", { aggregate: "count", of: null }, aggregate("sum", "n", "sum")] as Selected[],
    };
    for (const { id, things } of await read({ select: ["id", embedded] }, "owners")) {
      const own = rows.filter(({ owner }) => String(owner) === id);
      assert.equal(things.length, groupsOf(own, ({ kind }) => kind).length);
      for (const { kind, count, sum } of things) {
        const of = own.filter((row) => row.kind === kind);
        const numbers = numbersOf(of);
        const total = numbers.length === 0 ? null : String(numbers.reduce((a, b) => a + b, 0));
        assert.deepEqual([count, sum], [String(of.length), total]);
      }
    }
    const bare = { ...embedded, select: [{ aggregate: "count", of: null }] as Selected[] };
    const found = await read({ select: ["id", bare] }, "owners");
    assert.deepEqual(found.at(-1), { id: "31", things: [{ count: "0" }] });
  });

  test("what is found by words is aggregated", async () => {
    const filter: Filter = { kind: "search", text: "b", negated: false };
    const select: Selected[] = [{ aggregate: "count", of: null }, aggregate("max", "_rank", "best")];
    const [one] = await read({ filter, find: { search: "b" }, select });
    assert.equal(one.count, String(rows.filter(({ kind }) => kind === "b").length));
    assert.ok(one.best > 0);
  });

  test("what cannot be computed is refused with the way out", async () => {
    const wrong: [Selected[], string, RegExp][] = [
      [[aggregate("sum", "kind", "x")], "REQUEST_INVALID", /"kind" is text, and has no sum\(\)/],
      [[aggregate("avg", "open", "x")], "REQUEST_INVALID", /has no avg/],
      [[aggregate("max", "doc", "x")], "REQUEST_INVALID", /has no max/],
      [[aggregate("sum", "prize", "x")], "COLUMN_UNKNOWN", /"prize"/],
      [
        [
          { column: "doc", cast: "json" },
          { aggregate: "count", of: null },
        ],
        "REQUEST_INVALID",
        /cannot be grouped by "doc", which is json/,
      ],
      [["id", aggregate("sum", "n", "id")], "REQUEST_INVALID", /two members named "id"/],
      [[{ aggregate: "last", of: { column: "n" } }], "VIEW_OPTION_MISSING", /no time series/],
      [[{ aggregate: "count", of: null, cast: "nonsense" }], "REQUEST_INVALID", /cannot cast/],
      [[{ aggregate: "sum", of: { column: "kind", cast: "int4" } }], "CAST_FAILED", /cast/],
    ];
    for (const [select, code, message] of wrong) {
      await refusalOf(read({ select }), code as "REQUEST_INVALID", message);
    }
    const whose = { relation: "whose", inner: false, filter: null, order: [], limit: null, offset: 0 };
    const count: Selected = { aggregate: "count", of: null };
    await refusalOf(read({ select: [count, { ...whose, select: null }] }), "REQUEST_INVALID", /beside the relation/);
    await refusalOf(read({ select: ["id", { ...whose, select: [count] }] }), "REQUEST_INVALID", /not grouped/);
    await refusalOf(Promise.resolve(reader.row("things", ["1"], [count])), "REQUEST_INVALID", /not grouped/);
    const bucket = { bucket: { count: 1, unit: "hour" }, fill: null, zone: null } as const;
    await refusalOf(read({ select: [count], series: bucket }), "VIEW_OPTION_MISSING", /which bucket needs/);
  });
});
