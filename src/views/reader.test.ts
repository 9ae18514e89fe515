import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../base/errors.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { column, GroupFixture, refusalOf } from "./reader-fixture.ts";
import type { Filter, FilterOperator, RowQuery, ViewsReader } from "./view-info.ts";

describe("reading views", () => {
  let fixture: GroupFixture;
  let reader: ViewsReader;

  const orders = {
    columns: [
      column("id", "integer"),
      column("status", "text"),
      column("total", "numeric(12,2)", true),
      column("paid", "boolean", true),
      column("at", "timestamp with time zone", true),
      column("code", "character varying(3)", true),
      column("doc", "json", true),
    ],
    key: ["id"],
  };

  before(async () => {
    fixture = await GroupFixture.open();
    reader = fixture.reader();
    await fixture.createView("orders", orders);
    await fixture.admin.query(`insert into millrace.orders__1 values
    (1, 'paid', 10.00, true, '2026-01-01T00:00:00Z', 'abc', null),
    (2, 'open', null, false, null, 'a*c', null),
    (3, 'Paid out', 99.90, null, 'infinity', null, '{}')`);
  });
  after(() => fixture[Symbol.asyncDispose]());

  const all: RowQuery = { filter: null, order: [], select: null, limit: 100, offset: 0, cursor: null };

  function compare(name: string, operator: FilterOperator, ...values: string[]): Filter {
    return { kind: "compare", column: name, operator, values, negated: false };
  }

  function not(filter: Filter): Filter {
    return { ...filter, negated: !filter.negated };
  }

  async function ids(filter: Filter | null): Promise<number[]> {
    const { rows } = await reader.rows("orders", { ...all, filter, select: ["id"] });
    return rows.map((row) => JSON.parse(row).id);
  }

  async function rowOf(view: string, key: string[], select: string[] | null = null): Promise<string | undefined> {
    return (await reader.row(view, key, select)).row?.body;
  }

  test("each operator keeps the rows that PostgreSQL would", async () => {
    assert.deepEqual(await ids(compare("status", "eq", "paid")), [1]);
    assert.deepEqual(await ids(compare("total", "neq", "10")), [3]);
    assert.deepEqual(await ids(compare("total", "gte", "10.0")), [1, 3]);
    assert.deepEqual(await ids(compare("total", "lt", "10.001")), [1]);
    assert.deepEqual(await ids(compare("id", "in", "1", "3", "77")), [1, 3]);
    assert.deepEqual(await ids(compare("id", "in")), []);
    assert.deepEqual(await ids(compare("status", "like", "paid*")), [1]);
    assert.deepEqual(await ids(compare("status", "ilike", "paid%")), [1, 3]);
    assert.deepEqual(await ids(compare("paid", "is", "null")), [3]);
    assert.deepEqual(await ids(compare("paid", "is", "not_null")), [1, 2]);
    assert.deepEqual(await ids(compare("paid", "is", "TRUE")), [1]);
    assert.deepEqual(await ids(compare("paid", "is", "false")), [2]);
    assert.deepEqual(await ids(compare("paid", "is", "unknown")), [3]);
    assert.deepEqual(await ids(compare("at", "gt", "2025-12-31T23:59:59.999999Z")), [1, 3]);
    assert.deepEqual(await ids(compare("at", "eq", "infinity")), [3]);
    assert.deepEqual(await ids(not(compare("total", "gt", "50"))), [1]);
    assert.deepEqual(
      await ids({ kind: "or", negated: false, of: [compare("id", "eq", "2"), compare("total", "gt", "50")] }),
      [2, 3],
    );
  });

  test("a value is compared whole: it is neither cut nor rounded to the column's modifier", async () => {
    assert.deepEqual(await ids(compare("code", "eq", "abcd")), []);
    assert.deepEqual(await ids(compare("total", "eq", "10.004")), []);
    assert.deepEqual(await ids(compare("id", "lt", "3000000000")), [1, 2, 3]);
  });

  test("an unknown column is refused with the nearest name", async () => {
    const error = await refusalOf(ids(compare("statsu", "eq", "x")), "COLUMN_UNKNOWN", /no column "statsu"/);
    assert.match(error.hint ?? "", /Did you mean "status"/);
    await refusalOf(reader.rows("orders", { ...all, select: ["id", "nope"] }), "COLUMN_UNKNOWN", /"nope"/);
    const order = [{ column: "totl", descending: false, nulls: null }];
    await refusalOf(reader.rows("orders", { ...all, order }), "COLUMN_UNKNOWN", /"totl"/);
  });

  test("a value or operator that does not fit its column is refused by name, and the next read is served", async () => {
    await refusalOf(ids(compare("id", "eq", "abc")), "FILTER_INVALID", /column "id".*"abc"/);
    await refusalOf(ids(compare("total", "in", "1", "x")), "FILTER_INVALID", /column "total".*"x"/);
    await refusalOf(ids(compare("at", "lt", "2026-02-30")), "FILTER_INVALID", /column "at"/);
    await refusalOf(ids(compare("id", "eq", "99999999999999999999")), "FILTER_INVALID", /column "id"/);
    await refusalOf(ids(compare("doc", "eq", "{}")), "FILTER_INVALID", /column "doc": json has no such operator/);
    await refusalOf(ids(compare("id", "like", "1%")), "FILTER_INVALID", /"like" cannot be used on column "id"/);
    await refusalOf(ids(compare("status", "like", "paid\\")), "FILTER_INVALID", /escape/);
    await refusalOf(ids(compare("id", "is", "true")), "FILTER_INVALID", /boolean/);
    await refusalOf(ids(compare("paid", "is", "maybe")), "FILTER_INVALID", /takes null/);
    await refusalOf(ids(compare("status", "eq", "a\0b")), "FILTER_INVALID", /NUL/);
    await refusalOf(ids(compare("status", "eq")), "FILTER_INVALID", /one value/);
    const order = [{ column: "doc", descending: false, nulls: null }];
    await refusalOf(
      reader.rows("orders", { ...all, order }),
      "FILTER_INVALID",
      /ordering operator|identify an ordering/,
    );
    assert.deepEqual(await ids(null), [1, 2, 3]);
  });

  test("what looks like SQL in a value is only a value", async () => {
    assert.deepEqual(await ids(compare("status", "eq", "' or true; drop view views.orders; --")), []);
    assert.deepEqual(await ids(compare("status", "in", `a","b{}`, "paid", "\\")), [1]);
  });

  test("a filter that is nested too deep or has too many terms is refused", async () => {
    let deep: Filter = compare("id", "eq", "1");
    for (let i = 0; i < 1_000; i++) deep = { kind: "and", negated: false, of: [deep] };
    await refusalOf(ids(deep), "FILTER_INVALID", /nested/);
    const many: Filter = {
      kind: "or",
      negated: false,
      of: Array.from({ length: 600 }, () => compare("id", "eq", "1")),
    };
    await refusalOf(ids(many), "FILTER_INVALID", /terms/);
  });

  test("limit and offset are bounded, and a cursor of another order or of nobody is refused", async () => {
    await refusalOf(reader.rows("orders", { ...all, limit: 10_001 }), "REQUEST_INVALID", /limit/);
    await refusalOf(reader.rows("orders", { ...all, limit: -1 }), "REQUEST_INVALID", /limit/);
    await refusalOf(reader.rows("orders", { ...all, offset: 0.5 }), "REQUEST_INVALID", /offset/);
    assert.deepEqual((await reader.rows("orders", { ...all, limit: 0 })).rows, []);
    const { next } = await reader.rows("orders", { ...all, limit: 1 });
    assert.ok(next);
    const order = [{ column: "total", descending: true, nulls: null }];
    await refusalOf(reader.rows("orders", { ...all, order, cursor: next }), "TOKEN_INVALID", /another order/);
    for (const cursor of ["", "x", "bnVsbA", Buffer.from('[1,"\\"id\\"+l",["zz"]]').toString("base64url")]) {
      await refusalOf(reader.rows("orders", { ...all, cursor }), "TOKEN_INVALID", /cursor/);
    }
  });

  test("select keeps the columns that are named, in their order, once", async () => {
    const { rows } = await reader.rows("orders", { ...all, select: ["total", "id", "total"], limit: 1 });
    assert.deepEqual(rows, ['{"total":"10.00","id":1}']);
  });

  test("a row is found by its key, and a key that cannot be cast is refused", async () => {
    assert.match((await rowOf("orders", ["2"])) ?? "", /"id":2/);
    assert.equal(await rowOf("orders", ["2"], ["status"]), '{"status":"open"}\n');
    assert.equal(await rowOf("orders", ["4"]), undefined);
    assert.equal(await rowOf("orders", ["3000000000"]), undefined);
    await refusalOf(rowOf("orders", ["two"]), "KEY_INVALID", /part "id".*"two"/);
    await refusalOf(rowOf("orders", ["1", "2"]), "KEY_INVALID", /1 parts, not 2/);
    await refusalOf(rowOf("orders", ["\0"]), "KEY_INVALID", /NUL/);
  });

  test("a composite key is taken part by part, and a view of one row has none", async () => {
    await fixture.createView("pairs", {
      columns: [column("a", "text"), column("b", "bigint"), column("n", "integer")],
      key: ["a", "b"],
    });
    await fixture.createView("totals", { columns: [column("n", "bigint")], key: [] });
    await fixture.commit("pairs", {
      upsert: [
        { a: "x,y", b: 1, n: 1 },
        { a: "x", b: 2, n: 2 },
      ],
    });
    await fixture.commit("totals", { upsert: [{ n: 5 }] });
    assert.match((await rowOf("pairs", ["x,y", "1"])) ?? "", /"n":1/);
    assert.equal(await rowOf("pairs", ["x", "1"]), undefined);
    assert.equal(await rowOf("totals", []), '{"n":"5"}\n');
    assert.deepEqual((await reader.rows("totals", all)).rows, ['{"n":"5"}']);
  });

  test("states that cannot be read are told, and a store that is gone is STORE_UNAVAILABLE", async () => {
    await refusalOf(reader.rows("nope", all), "VIEW_UNKNOWN", /nope/);
    fixture.setState("pairs", { kind: "building", reason: "first snapshot", rowsDone: 0, rowsEstimated: null });
    await refusalOf(reader.rows("pairs", all), "VIEW_BUILDING", /pairs/);
    fixture.setState("pairs", { kind: "failed", error: new MillraceError("VIEW_FAILED", "the cast failed") });
    await refusalOf(rowOf("pairs", ["a", "1"]), "VIEW_FAILED", /cast/);
    fixture.setState("pairs", { kind: "live" });
    await using other = await GroupFixture.open();
    await other.createView("orders", orders);
    const dead = other.reader();
    await dead.rows("orders", all);
    await other.pool.end();
    await refusalOf(dead.rows("orders", all), "STORE_UNAVAILABLE", /does not answer/);
    await refusalOf(dead.snapshot("orders", null), "STORE_UNAVAILABLE", /does not answer/);
    await refusalOf(dead.query("select 1", { rowsMax: 1, timeoutMs: 1000 }), "STORE_UNAVAILABLE", /does not answer/);
  });

  test("rows and position are of one moment while batches go on", async () => {
    await fixture.createView("counter", {
      columns: [column("id", "integer"), column("batch", "bigint")].map((one) =>
        one.name === "batch" ? column("n", "bigint") : one,
      ),
      key: ["id"],
    });
    let writing = true;
    const writer = (async () => {
      for (let i = 0; i < 60; i++)
        await fixture.commit("counter", { upsert: [{ id: 1, n: fixture.group.position().batch + 1 }] });
      writing = false;
    })();
    let reads = 0;
    while (writing) {
      const { rows, position } = await reader.rows("counter", all);
      if (rows.length > 0) assert.equal(JSON.parse(rows[0] ?? "").n, String(position.batch));
      const single = await reader.row("counter", ["1"], null);
      if (single.row) assert.equal(JSON.parse(single.row.body).n, String(single.position.batch));
      reads++;
    }
    await writer;
    assert.ok(reads > 0);
  });

  test("pages visit every row once, in PostgreSQL's order, whatever the order and the NULLs", async () => {
    const columns = [
      column("k1", "integer", true),
      column("k2", "text"),
      column("a", "double precision", true),
      column("b", "numeric", true),
      column("c", "real", true),
    ];
    await fixture.createView("paged", { columns, key: ["k1", "k2"] });
    const values = {
      k1: fc.option(fc.integer({ min: 0, max: 4 })),
      k2: fc.constantFrom("", "a", "B", "é", "zz"),
      a: fc.constantFrom(null, "NaN", "-Infinity", "0", "-0", "1.5", "0.1"),
      b: fc.constantFrom(null, "1", "1.0", "-2", "NaN"),
      c: fc.constantFrom(null, "0.1", "16777216", "Infinity"),
    };
    const part = fc.record({
      column: fc.constantFrom("k1", "k2", "a", "b", "c"),
      descending: fc.boolean(),
      nulls: fc.constantFrom("first" as const, "last" as const, null),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.record(values), { maxLength: 25, selector: (one) => JSON.stringify([one.k1, one.k2]) }),
        fc.array(part, { maxLength: 3 }),
        fc.integer({ min: 1, max: 7 }),
        async (rows, order, limit) => {
          await fixture.admin.query("delete from millrace.paged__1");
          await fixture.admin.query(
            "insert into millrace.paged__1 select * from jsonb_populate_recordset(null::millrace.paged__1, $1)",
            [JSON.stringify(rows)],
          );
          const whole = await reader.rows("paged", { ...all, order });
          assert.equal(whole.rows.length, rows.length);
          assert.equal(whole.next, null);
          const paged: string[] = [];
          for (let cursor: string | null = null; ; ) {
            const page = await reader.rows("paged", { ...all, order, limit, cursor });
            paged.push(...page.rows);
            cursor = page.next;
            if (cursor === null) break;
            assert.equal(page.rows.length, limit);
          }
          assert.deepEqual(paged, whole.rows);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("a page that is too large in bytes ends early, and the next one goes on", async () => {
    const narrow = fixture.reader({ rowsBytesMax: 1 });
    const first = await narrow.rows("orders", all);
    assert.equal(first.rows.length, 1);
    const second = await narrow.rows("orders", { ...all, cursor: first.next });
    assert.match(second.rows[0] ?? "", /"id":2/);
    const last = await narrow.rows("orders", { ...all, cursor: second.next });
    assert.equal(last.rows.length, 1);
    assert.equal(last.next, null);
  });

  test("a snapshot is whole and of one moment, however long it is read", async () => {
    await fixture.createView("many", { columns: [column("id", "integer"), column("n", "integer")], key: ["id"] });
    const upsert = Array.from({ length: 1_000 }, (_, id) => ({ id, n: 0 }));
    const position = await fixture.commit("many", { upsert });
    const paged = fixture.reader({ pageRowsMax: 50, aheadBytesMax: 1_000 });
    const snapshot = await paged.snapshot("many", null);
    assert.deepEqual(snapshot.position, position);
    const rows: { id: number; n: number }[] = [];
    for await (const page of snapshot.pages) {
      assert.ok(page.length <= 100);
      if (rows.length === 0) await fixture.commit("many", { upsert: [{ id: 999, n: 1 }], remove: [{ id: 500 }] });
      rows.push(...page.map((row) => JSON.parse(row)));
    }
    assert.deepEqual(rows, upsert);
    assert.equal(fixture.pool.idleCount, fixture.pool.totalCount);
  });

  test("snapshots that are left early or not taken free their connection, and never hold more than their slots", async () => {
    const clock = new VirtualClock();
    await using other = await GroupFixture.open({ poolSize: 4, clock });
    await other.createView("many", { columns: [column("id", "integer"), column("t", "text")], key: ["id"] });
    await other.commit("many", { upsert: Array.from({ length: 600 }, (_, id) => ({ id, t: "x".repeat(100) })) });
    const paged = other.reader({ pageRowsMax: 50, aheadBytesMax: 1_000, stallMs: 5_000 });
    const held = [await paged.snapshot("many", null), await paged.snapshot("many", null)];
    const third = paged.snapshot("many", null);
    // Both slots are held by readers who do not pull; other reads are served.
    assert.equal((await paged.rows("many", all)).rows.length, 100);
    for await (const _ of held[0]?.pages ?? []) break;
    const { pages } = await third;
    let count = 0;
    for await (const page of pages) count += page.length;
    assert.equal(count, 600);
    await clock.advance(5_000);
    await refusalOf(Array.fromAsync(held[1]?.pages ?? []), "QUERY_TIMEOUT", /not taken in time/);
    let again = 0;
    for await (const page of (await paged.snapshot("many", null)).pages) again += page.length;
    assert.equal(again, 600);
  });

  test("a snapshot's filter is checked before its first page", async () => {
    await refusalOf(reader.snapshot("orders", compare("id", "eq", "x")), "FILTER_INVALID", /column "id"/);
    const { pages } = await reader.snapshot("orders", compare("id", "in", "3", "1"));
    const rows = (await Array.fromAsync(pages)).flat();
    assert.deepEqual(
      rows.map((row) => JSON.parse(row).id),
      [1, 3],
    );
  });
});
