import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { ErrorCode } from "../base/error-codes.ts";
import { sql, view } from "../catalog/definitions.ts";
import { column, GroupFixture, refusalOf } from "./reader-fixture.ts";
import type { Embedded, Filter, RowQuery, Selected, ViewsReader } from "./view-info.ts";

describe("rows of related views", () => {
  let fixture: GroupFixture;
  let reader: ViewsReader;
  const all: RowQuery = { filter: null, order: [], select: null, limit: 100, offset: 0, cursor: null };

  before(async () => {
    fixture = await GroupFixture.open();
    reader = fixture.reader();
    await fixture.createView("customers", {
      columns: [column("id", "bigint"), column("name", "text"), column("city", "text", true)],
      key: ["id"],
    });
    await fixture.createView("orders", {
      columns: [column("id", "integer"), column("customer_id", "bigint", true), column("total", "numeric", true)],
      key: ["id"],
    });
    await fixture.createView("lines", {
      columns: [column("order_id", "integer"), column("n", "integer"), column("doc", "json", true)],
      key: ["order_id", "n"],
    });
    await fixture.admin.query(`
      insert into millrace.customers__1 values (1, 'Ada', 'Graz'), (2, 'Bo"b', null), (3, 'Cy', 'Wien');
      insert into millrace.orders__1 values (10, 1, 5.50), (11, 1, null), (12, 2, 7), (13, null, 1), (14, 99, 2);
      insert into millrace.lines__1 values (10, 1, E'{"a":\\n1.10}'), (10, 2, null), (12, 1, '[]')`);
    const none = sql`select 1`;
    fixture.definitions = [
      view("customers", none),
      view("orders", none, { references: { customer: { view: "customers", on: { customer_id: "id" } } } }),
      view("lines", none, { references: { order: { view: "orders", on: { order_id: "id" } } } }),
      view("twins", none, {
        references: {
          left: { view: "customers", on: { a: "id" } },
          right: { view: "customers", on: { b: "id" } },
        },
      }),
    ];
  });
  after(() => fixture[Symbol.asyncDispose]());

  function embed(relation: string, select: readonly Selected[] | null, more: Partial<Embedded> = {}): Embedded {
    return { relation, select, inner: false, filter: null, order: [], limit: null, offset: 0, ...more };
  }

  function compare(name: string, operator: "eq" | "gt", value: string): Filter {
    return { kind: "compare", column: name, operator, values: [value], negated: false };
  }

  async function read(of: string, query: Partial<RowQuery>): Promise<unknown[]> {
    const { rows } = await reader.rows(of, { ...all, ...query });
    return rows.map((row) => JSON.parse(row));
  }

  test("a reference embeds an object, or null, in the forms of its own view's rows", async () => {
    const { rows } = await reader.rows("orders", { ...all, select: ["id", embed("customer", ["id", "name"])] });
    assert.deepEqual(rows, [
      '{"id":10,"customer":{"id":"1","name":"Ada"}}',
      '{"id":11,"customer":{"id":"1","name":"Ada"}}',
      '{"id":12,"customer":{"id":"2","name":"Bo\\"b"}}',
      '{"id":13,"customer":null}',
      '{"id":14,"customer":null}',
    ]);
    const [row] = await read("orders", { select: [embed("customer", null, { alias: "who" })], limit: 1 });
    assert.deepEqual(row, { who: { id: "1", name: "Ada", city: "Graz" } });
  });

  test("from the other side it is an array, filtered, ordered and cut for itself", async () => {
    const orders = embed("orders", ["id", { column: "total", alias: "sum" }]);
    assert.deepEqual(await read("customers", { select: ["name", orders] }), [
      {
        name: "Ada",
        orders: [
          { id: 10, sum: "5.50" },
          { id: 11, sum: null },
        ],
      },
      { name: 'Bo"b', orders: [{ id: 12, sum: "7" }] },
      { name: "Cy", orders: [] },
    ]);
    const newest = [{ column: "id", descending: true, nulls: null }];
    assert.deepEqual(
      await read("customers", { select: [{ ...orders, select: ["id"], order: newest, limit: 1 }], limit: 1 }),
      [{ orders: [{ id: 11 }] }],
    );
    assert.deepEqual(
      await read("customers", {
        select: [{ ...orders, select: ["id"], order: newest, limit: 5, offset: 1 }],
        limit: 1,
      }),
      [{ orders: [{ id: 10 }] }],
    );
    assert.deepEqual(
      await read("customers", { select: [{ ...orders, select: ["id"], filter: compare("total", "gt", "6") }] }),
      [{ orders: [] }, { orders: [{ id: 12 }] }, { orders: [] }],
    );
  });

  test("inner leaves out rows that have none, in counts and pages too", async () => {
    const orders = embed("orders", ["id"], { inner: true, filter: compare("total", "gt", "1") });
    const { rows, total } = await reader.rows("customers", { ...all, select: ["id", orders], count: "exact" });
    assert.deepEqual(
      rows.map((row) => JSON.parse(row)),
      [
        { id: "1", orders: [{ id: 10 }] },
        { id: "2", orders: [{ id: 12 }] },
      ],
    );
    assert.equal(total, 2);
    const only = embed("orders", [], { inner: true });
    assert.deepEqual(await read("customers", { select: ["id", only] }), [{ id: "1" }, { id: "2" }]);
    assert.equal((await reader.row("customers", ["3"], ["id", only])).row, null);
    assert.ok(((await reader.rows("customers", { ...all, select: [only], count: "planned" })).total ?? 0) >= 0);
  });

  test("what a reference leads to is spread, ordered by, and looked for", async () => {
    const customer = embed("customer", ["city", { column: "name", alias: "who" }], { spread: true });
    const order = [
      { relation: "customer", column: "name", descending: true, nulls: "last" as const },
      { column: "id", descending: false, nulls: null },
    ];
    const whole = await read("orders", { select: ["id", customer], order });
    assert.deepEqual(whole, [
      { id: 12, city: null, who: 'Bo"b' },
      { id: 10, city: "Graz", who: "Ada" },
      { id: 11, city: "Graz", who: "Ada" },
      { id: 13, city: null, who: null },
      { id: 14, city: null, who: null },
    ]);
    const paged: unknown[] = [];
    for (let cursor: string | null = null, more = true; more; more = cursor !== null) {
      const page = await reader.rows("orders", { ...all, select: ["id", customer], order, limit: 2, cursor });
      paged.push(...page.rows.map((row) => JSON.parse(row)));
      cursor = page.next;
    }
    assert.deepEqual(paged, whole);
    const none = embed("customer", [], { absent: true });
    assert.deepEqual(await read("orders", { select: ["id", none] }), [{ id: 13 }, { id: 14 }]);
    assert.deepEqual(await read("orders", { select: ["id", { ...none, inner: true }] }), []);
    assert.deepEqual(await read("customers", { select: ["id", embed("orders", [], { absent: true })] }), [{ id: "3" }]);
    await refusal("customers", [embed("orders", ["id"], { spread: true })], "REQUEST_INVALID", /many rows of "orders"/);
    const many = reader.rows("customers", {
      ...all,
      order: [{ relation: "orders", column: "id", descending: false, nulls: null }],
    });
    await assert.rejects(many, { code: "REQUEST_INVALID" });
  });

  test("relations nest, inner through inner, and stand in cells", async () => {
    const lines = embed("lines", ["n", { column: "doc", path: { steps: ["a"], text: false } }]);
    const { rows } = await reader.rows("customers", {
      ...all,
      select: ["name", embed("orders", ["id", lines, embed("customer", ["city"])], { limit: 1 })],
      limit: 1,
    });
    assert.doesNotMatch(rows.join(""), /[\r\n]/);
    assert.match(rows[0] ?? "", /1\.10/);
    assert.deepEqual(JSON.parse(rows[0] ?? ""), {
      name: "Ada",
      orders: [
        {
          id: 10,
          lines: [
            { n: 1, a: 1.1 },
            { n: 2, a: null },
          ],
          customer: { city: "Graz" },
        },
      ],
    });
    const deep = embed("orders", ["id"], { inner: true, select: ["id", embed("lines", ["n"], { inner: true })] });
    assert.deepEqual(await read("customers", { select: ["id", deep], filter: compare("id", "eq", "1") }), [
      { id: "1", orders: [{ id: 10, lines: [{ n: 1 }, { n: 2 }] }] },
    ]);
    const cells = await reader.rows("orders", {
      ...all,
      select: ["id", embed("customer", ["name"])],
      form: "cells",
      limit: 1,
    });
    assert.deepEqual(
      cells.rows.map((row) => JSON.parse(row)),
      [["10", '{"name":"Ada"}']],
    );
    assert.deepEqual(
      (await reader.row("lines", ["10", "1"], [embed("order", [embed("customer", ["name"])])])).row?.body.trim(),
      '{"order":{"customer":{"name":"Ada"}}}',
    );
  });

  const refusal = (of: string, select: readonly Selected[], code: ErrorCode, message: RegExp) =>
    refusalOf(reader.rows(of, { ...all, select }), code, message);

  test("what is not related, not unique or not there is refused with the way out", async () => {
    assert.match(
      (await refusal("orders", [embed("custmer", ["id"])], "RELATION_UNKNOWN", /"custmer"/)).hint ?? "",
      /"customer"/,
    );
    assert.match(
      (await refusal("customers", [embed("x", ["id"])], "RELATION_UNKNOWN", /"x"/)).hint ?? "",
      /orders, twins/,
    );
    await refusal("customers", [embed("twins", ["id"])], "RELATION_AMBIGUOUS", /in 2 ways/);
    assert.match(
      (await refusal("orders", [embed("customer", ["nme"])], "COLUMN_UNKNOWN", /"customers".*"nme"/)).hint ?? "",
      /"name"/,
    );
    await refusal(
      "customers",
      [embed("orders", ["id"], { filter: compare("total", "eq", "x") })],
      "FILTER_INVALID",
      /"total".*"x"/,
    );
    await refusal("customers", [embed("orders", ["id"], { limit: 10_001 })], "REQUEST_INVALID", /orders\.limit/);
    await refusal("customers", ["name", embed("orders", ["id"], { alias: "name" })], "REQUEST_INVALID", /two members/);
    await refusal("customers", [embed("orders", [{ column: "id", cast: "date" }])], "CAST_FAILED", /cannot cast/);
    fixture.setState("customers", { kind: "building", reason: "first", rowsDone: 0, rowsEstimated: null });
    await refusal("orders", [embed("customer", ["id"])], "VIEW_BUILDING", /customers/);
    fixture.setState("customers", { kind: "live" });
  });

  test("what looks like SQL in names and values is only a name or a value", async () => {
    const evil = `x' "; drop view views.orders; --`;
    await refusal("orders", [embed(evil, ["id"])], "RELATION_UNKNOWN", /relation/);
    assert.deepEqual(
      await read("orders", {
        select: [embed("customer", ["id"], { alias: evil, filter: compare("name", "eq", evil) })],
        limit: 1,
      }),
      [{ [evil]: null }],
    );
    assert.equal((await read("orders", {})).length, 5);
  });

  test("all are of one moment while batches go on", async () => {
    await fixture.createView("heads", { columns: [column("id", "integer"), column("n", "bigint")], key: ["id"] });
    await fixture.createView("tails", {
      columns: [column("id", "integer"), column("head", "integer"), column("n", "bigint")],
      key: ["id"],
    });
    const before = fixture.definitions;
    const none = sql`select 1`;
    fixture.definitions = [
      ...before,
      view("tails", none, { references: { of: { view: "heads", on: { head: "id" } } } }),
    ];
    let writing = true;
    const writer = (async () => {
      for (let i = 0; i < 40; i++) {
        await fixture.admin.query("begin");
        for (const [table, columns] of [
          ["heads", "id, n"],
          ["tails", "id, head, n"],
        ] as const) {
          await fixture.admin.query(`delete from millrace.${table}__1`);
          await fixture.admin.query(
            `insert into millrace.${table}__1 (${columns}) values (1, ${table === "tails" ? "1, " : ""}${i})`,
          );
        }
        await fixture.admin.query("commit");
      }
      writing = false;
    })();
    let seen = 0;
    while (writing) {
      for (const row of (await read("tails", { select: ["n", embed("of", ["n"])] })) as {
        n: string;
        of: { n: string };
      }[]) {
        assert.equal(row.of.n, row.n);
        seen++;
      }
    }
    await writer;
    assert.ok(seen > 0);
  });
});
