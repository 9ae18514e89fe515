import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { readFailed } from "./reader-errors.ts";
import { column, GroupFixture, refusalOf } from "./reader-fixture.ts";
import type { RowQuery, Selected, ViewsReader } from "./view-info.ts";

describe("what is selected, ordered and counted", () => {
  let fixture: GroupFixture;
  let reader: ViewsReader;
  const all: RowQuery = { filter: null, order: [], select: null, limit: 100, offset: 0, cursor: null };

  before(async () => {
    fixture = await GroupFixture.open();
    reader = fixture.reader();
    await fixture.createView("cards", {
      columns: [
        column("id", "bigint"),
        column("total", "numeric(12,2)", true),
        column("at", "timestamp with time zone", true),
        column("note", "text", true),
        column("tags", "text[]", true),
        column("doc", "jsonb", true),
        column("raw", "json", true),
      ],
      key: ["id"],
    });
    await fixture.admin.query(`insert into millrace.cards__1 values
      (1, 10.50, '2026-01-02T03:04:05Z', 'a "b", c', '{x,y}', '{"city":"Graz","lines":[{"sku":"k1","n":3}],"z":1.10}', '{"b":1.50,  "a":"ä"}'),
      (2, null, null, '', '{}', '{"city":"Wien","lines":[],"z":null}', null),
      (3, 7, 'infinity', E'two\\nlines', null, '{"lines":[{"n":1}]}', '[1]')`);
  });
  after(() => fixture[Symbol.asyncDispose]());

  const path = (...steps: string[]) => ({ steps, text: false });
  const textPath = (...steps: string[]) => ({ steps, text: true });

  async function first(select: readonly Selected[]): Promise<string> {
    return (await reader.rows("cards", { ...all, select, limit: 1 })).rows[0] ?? "";
  }

  test("members are renamed, cast, and taken out of json, with PostgREST's names and the forms of their types", async () => {
    assert.equal(
      await first([
        { column: "total", alias: "sum" },
        { column: "at", cast: "date", alias: "day" },
        { column: "id", cast: "int" },
      ]),
      '{"sum":"10.50","day":"2026-01-02","id":1}',
    );
    assert.equal(
      await first([
        { column: "doc", path: textPath("city") },
        { column: "doc", path: path("lines", "0", "n") },
        { column: "doc", path: path("lines", "0"), alias: "line" },
        { column: "doc", path: path("z") },
        { column: "tags", path: path("1") },
        { column: "raw", path: path("b") },
        { column: "doc", path: textPath("lines", "0", "n"), cast: "int8", alias: "count" },
        { column: "doc", path: path("none"), alias: "none" },
      ]),
      '{"city":"Graz","n":3,"line":{"n": 3, "sku": "k1"},"z":1.10,"tags":"y","b":1.50,"count":"3","none":null}',
    );
    assert.equal(await first([{ column: "doc", path: path("lines", "0") }]), '{"lines":{"n": 3, "sku": "k1"}}');
    assert.equal(await first([{ column: "raw", cast: "jsonb" }]), '{"raw":{"a": "ä", "b": 1.50}}');
    assert.match(await first([{ all: true }, { column: "id", alias: "again" }]), /^\{"id":"1","total".*"again":"1"\}$/);
    assert.equal(await first(["id", { column: "id" }, "id"]), '{"id":"1"}');
    assert.equal(
      await first([{ column: "id", alias: 'x" from views.cards; --' }]),
      '{"x\\" from views.cards; --":"1"}',
    );
    assert.equal(
      (await reader.row("cards", ["2"], [{ column: "doc", path: textPath("city") }])).row?.body.trim(),
      '{"city":"Wien"}',
    );
  });

  test("a path leads into composites and arrays of json too, and a hostile pattern ends by itself", async () => {
    await fixture.admin.query(
      "create type millrace.place as (city text, at point[]); create type millrace.mood as enum ('ok', 'bad')",
    );
    await fixture.createView("places", {
      columns: [
        column("id", "integer"),
        column("c", "millrace.place", true),
        column("d", "jsonb[]", true),
        column("m", "millrace.mood", true),
        column("t", "text", true),
      ],
      key: ["id"],
    });
    await fixture.admin.query(
      `insert into millrace.places__1 values (1, row('Graz', null), array['{"a":[1,2]}'::jsonb], 'ok'), (2, null, null, 'bad')`,
    );
    const compare = (name: string, steps: string[], operator: "eq" | "match" | "in", ...values: string[]) =>
      ({
        kind: "compare",
        column: name,
        ...(steps.length > 0 ? { path: { steps, text: true } } : {}),
        operator,
        values,
        negated: false,
      }) as const;
    const query = {
      ...all,
      select: [{ column: "c", path: path("city") }, { column: "d", path: path("0", "a", "-1"), alias: "last" }, "m"],
    };
    for (const filter of [
      compare("c", ["city"], "eq", "Graz"),
      compare("d", ["0", "a", "1"], "eq", "2"),
      compare("m", [], "eq", "ok"),
      compare("m", [], "in", "ok"),
    ]) {
      assert.deepEqual((await reader.rows("places", { ...query, filter })).rows, ['{"city":"Graz","last":2,"m":"ok"}']);
    }
    await refusalOf(
      reader.rows("places", { ...all, filter: compare("m", [], "eq", "sad") }),
      "FILTER_INVALID",
      /column "m".*"sad"/,
    );
    await fixture.admin.query("update millrace.places__1 set t = repeat('a', 5000) where id = 1");
    assert.equal(
      (await reader.rows("places", { ...all, filter: compare("t", [], "match", "^(a+)+$") })).rows.length,
      1,
    );
    await refusalOf(
      reader.rows("places", { ...all, filter: compare("t", [], "match", "((((a{255}){255}){255}){255})") }),
      "FILTER_INVALID",
      /column "t"/,
    );
  });

  test("what cannot be selected is refused with the way out", async () => {
    await refusalOf(first(["totl"]), "COLUMN_UNKNOWN", /"totl"/);
    await refusalOf(first(["id", { column: "total", alias: "id" }]), "REQUEST_INVALID", /two members named "id"/);
    await refusalOf(first([{ column: "id", alias: "n".repeat(64) }]), "REQUEST_INVALID", /cannot be named/);
    const cast = await refusalOf(first([{ column: "id", cast: "txt" }]), "REQUEST_INVALID", /cannot cast to "txt"/);
    assert.equal(cast.hint, 'Did you mean "text"?');
    await refusalOf(first([{ column: "id", cast: "text; drop view views.cards" }]), "REQUEST_INVALID", /cannot cast/);
    await refusalOf(first([{ column: "id", cast: "regclass" }]), "REQUEST_INVALID", /cannot cast/);
    await refusalOf(first([{ column: "id", cast: "__proto__" }]), "REQUEST_INVALID", /cannot cast/);
    await refusalOf(first([{ column: "id", path: path("a") }]), "PATH_INVALID", /"id" is bigint/);
    await refusalOf(first([{ column: "note", cast: "integer" }]), "CAST_FAILED", /invalid input syntax/);
    await refusalOf(first([{ column: "total", cast: "date" }]), "CAST_FAILED", /cannot cast type numeric to date/);
    assert.equal(await first(["id"]), '{"id":"1"}');
  });

  test("an answer that PostgreSQL cannot put together is the request's fault", () => {
    const tooLarge = Object.assign(new Error("string buffer exceeds maximum allowed length"), {
      code: "54000",
      severity: "ERROR",
    });
    assert.equal(readFailed(tooLarge).code, "REQUEST_INVALID");
  });

  test("rows are ordered by what is inside json, and pages go on there", async () => {
    const order = [{ column: "doc", path: textPath("city"), descending: true, nulls: "last" as const }];
    const whole = await reader.rows("cards", { ...all, order, select: ["id"] });
    assert.deepEqual(whole.rows, ['{"id":"2"}', '{"id":"1"}', '{"id":"3"}']);
    for (const part of [
      ...order,
      { column: "doc", path: path("lines", "0", "n"), descending: false, nulls: null },
      { column: "tags", path: path("0"), descending: true, nulls: null },
    ]) {
      const expected = (await reader.rows("cards", { ...all, order: [part] })).rows;
      const paged: string[] = [];
      for (let cursor: string | null = null, more = true; more; more = cursor !== null) {
        const page = await reader.rows("cards", { ...all, order: [part], limit: 1, cursor });
        paged.push(...page.rows);
        cursor = page.next;
      }
      assert.deepEqual(paged, expected);
    }
  });

  test("cells are the texts of the same forms", async () => {
    const { rows, columns } = await reader.rows("cards", { ...all, form: "cells" });
    assert.deepEqual(columns, ["id", "total", "at", "note", "tags", "doc", "raw"]);
    assert.deepEqual(
      rows.map((row) => JSON.parse(row)),
      [
        [
          "1",
          "10.50",
          "2026-01-02T03:04:05.000000Z",
          'a "b", c',
          '["x","y"]',
          '{"z": 1.10, "city": "Graz", "lines": [{"n": 3, "sku": "k1"}]}',
          '{"b":1.50,  "a":"ä"}',
        ],
        ["2", null, null, "", "[]", '{"z": null, "city": "Wien", "lines": []}', null],
        ["3", "7.00", "infinity", "two\nlines", null, '{"lines": [{"n": 1}]}', "[1]"],
      ],
    );
  });

  test("an exact count is of the rows' own moment, an estimate is exact while it is small", async () => {
    const filter = { kind: "compare", column: "total", operator: "is", values: ["not_null"], negated: false } as const;
    assert.equal((await reader.rows("cards", { ...all, filter, limit: 1, count: "exact" })).total, 2);
    assert.equal((await reader.rows("cards", { ...all, filter, offset: 50, count: "exact" })).total, 2);
    assert.equal((await reader.rows("cards", { ...all, count: "estimated" })).total, 3);
    assert.equal((await reader.rows("cards", all)).total, undefined);
    await fixture.createView("many", { columns: [column("id", "integer")], key: ["id"] });
    await fixture.admin.query(
      "insert into millrace.many__1 select generate_series(1, 20000); analyze millrace.many__1",
    );
    const many = { ...all, limit: 1 };
    const estimates = [
      (await reader.rows("many", { ...many, count: "planned" })).total ?? 0,
      (await reader.rows("many", { ...many, count: "estimated" })).total ?? 0,
    ];
    for (const one of estimates) assert.ok(one > 15_000 && one < 25_000, String(one));
    const below = { kind: "compare", column: "id", operator: "lte", values: ["10000"], negated: false } as const;
    assert.equal((await reader.rows("many", { ...many, filter: below, count: "estimated" })).total, 10_000);
  });
});
