import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { column, GroupFixture } from "./reader-fixture.ts";
import { rowKeys } from "./row-key.ts";
import type { RowCacheFigures, ViewColumn, ViewsReader } from "./view-info.ts";

const cards = { columns: [column("id", "integer"), column("name", "text")], key: ["id"] };
let version = 0;

describe("rows by their keys", () => {
  let fixture: GroupFixture;
  let reader: ViewsReader;

  before(async () => {
    fixture = await GroupFixture.open();
  });
  after(() => fixture[Symbol.asyncDispose]());
  beforeEach(async () => {
    await fixture.createView("cards", cards, ++version);
    await fixture.beginGeneration();
    reader = fixture.reader();
    await fixture.commit("cards", { upsert: [1, 2, 3].map((id) => ({ id, name: `card ${id}` })) });
  });

  async function nameOf(key: string, from: ViewsReader = reader): Promise<string | null> {
    const { row, position } = await from.row("cards", [key], null);
    assert.deepEqual(position, fixture.group.position(), "it states the last batch");
    return row && JSON.parse(row.body).name;
  }

  function figures(from: ViewsReader = reader): RowCacheFigures {
    return from.rowCache().find(({ view }) => view === "cards") ?? assert.fail("nothing is kept of the view");
  }

  test("a row that was read before is answered from memory, at once, and so is that there is none", async () => {
    assert.deepEqual([await nameOf("1"), await nameOf("9")], ["card 1", null]);
    const row = reader.row("cards", ["1"], null);
    const none = reader.row("cards", ["9"], null);
    assert.ok(!(row instanceof Promise) && !(none instanceof Promise));
    assert.equal(row.row?.body, '{"id":1,"name":"card 1"}\n');
    assert.equal(row.row?.bytes, 25);
    assert.equal(none.row, null);
    const { hits, misses } = figures();
    assert.deepEqual({ hits, misses }, { hits: 2, misses: 2 });
  });

  test("a change of a row, its end and its return are seen by the next read", async () => {
    await nameOf("1");
    await nameOf("2");
    await fixture.commit("cards", { upsert: [{ id: 1, name: "changed" }] });
    assert.equal(await nameOf("1"), "changed");
    await fixture.commit("cards", { remove: [{ id: 1 }] });
    assert.equal(await nameOf("1"), null);
    await fixture.commit("cards", { upsert: [{ id: 1, name: "again" }] });
    assert.equal(await nameOf("1"), "again");
    assert.equal(await nameOf("2"), "card 2");
    const { hits, misses } = figures();
    assert.deepEqual({ hits, misses }, { hits: 1, misses: 5 });
  });

  test("a read does not go behind what any other read has told, though the group has not told it yet", async () => {
    await nameOf("1");
    fixture.wakes = false;
    const before = fixture.group.position();
    await fixture.admin.query("begin");
    await fixture.admin.query(`update millrace.cards__${version} set name = 'ahead' where id = 1`);
    await fixture.admin.query(
      `insert into millrace.cards__${version}_log values ($1, -1, 1, 'card 1'), ($1, 1, 1, 'ahead')`,
      [before.batch + 1],
    );
    await fixture.admin.query("update millrace.fixture_group set batch = batch + 1");
    await fixture.admin.query("commit");
    const stale = await reader.row("cards", ["1"], null);
    assert.deepEqual([stale.row?.body, stale.position], ['{"id":1,"name":"card 1"}\n', before], "nobody knows of it");
    const all = await reader.rows("cards", {
      filter: null,
      order: [],
      select: null,
      limit: 9,
      offset: 0,
      cursor: null,
    });
    assert.equal(all.position.batch, before.batch + 1);
    const { row, position } = await reader.row("cards", ["1"], null);
    assert.deepEqual([row?.body, position], ['{"id":1,"name":"ahead"}\n', all.position]);
    await fixture.admin.query("update millrace.fixture_group set batch = batch - 1");
    fixture.wakes = true;
  });

  test("another generation, another version and change rows that are gone forget what was kept", async () => {
    await nameOf("1");
    await fixture.beginGeneration();
    assert.equal(await nameOf("1"), "card 1");
    await fixture.commit("cards", { upsert: [{ id: 2, name: "two" }] });
    await fixture.commit("cards", { upsert: [{ id: 2, name: "too" }] });
    await fixture.forget(fixture.group.position().batch + 1);
    assert.equal(await nameOf("1"), "card 1");
    assert.equal(figures().misses, 3);
    await fixture.createView(
      "cards",
      { ...cards, columns: [...cards.columns, column("n", "integer", true)] },
      ++version,
    );
    await fixture.beginGeneration();
    await fixture.commit("cards", { upsert: [{ id: 1, name: "other", n: 1 }] });
    assert.equal(await nameOf("1"), "other");
    assert.equal(figures().hits, 0);
  });

  test("a view that has failed is not answered from memory", async () => {
    await nameOf("1");
    fixture.setState("cards", { kind: "failed", error: new MillraceError("VIEW_FAILED", "the cast failed") });
    await assert.rejects(async () => reader.row("cards", ["1"], null), { code: "VIEW_FAILED" });
  });

  test("those who ask for a row while it is being read get the same answer", async () => {
    const answers = await Promise.all([1, 2, 3, 4].map(() => reader.row("cards", ["1"], null)));
    assert.ok(answers.every((one) => one.row !== null && one.row === answers[0]?.row));
  });

  test("other spellings of a key and single columns come from the store, and nothing is kept of them", async () => {
    assert.equal(await nameOf("01"), "card 1");
    assert.equal((await reader.row("cards", ["1"], ["name"])).row?.body, '{"name":"card 1"}\n');
    assert.deepEqual(reader.rowCache(), []);
    const none = fixture.reader({}, 0);
    assert.equal(await nameOf("1", none), "card 1");
    assert.deepEqual(none.rowCache(), []);
  });

  test("what is kept has a bound of bytes", async () => {
    await fixture.commit("cards", {
      upsert: Array.from({ length: 200 }, (_, i) => ({ id: i, name: "x".repeat(100) })),
    });
    const small = fixture.reader({}, 10_000);
    for (let id = 0; id < 200; id++) await nameOf(String(id), small);
    const { bytes } = figures(small);
    assert.ok(bytes > 5_000 && bytes <= 10_000, String(bytes));
  });

  test("a key has one spelling: that of the row's own text, for every type that is kept", async () => {
    const values: Readonly<Record<string, readonly string[]>> = {
      smallint: ["0", "-1", "007", "+7", " 7"],
      bigint: ["9007199254740993", "-0", "1_000"],
      numeric: ["0", "1", "1.50", "1.5", "-0.25", "0.0", "-0", "100", ".5", "5.", "1e2", "NaN", "Infinity"],
      text: ["", " a ", "é", "e\u0301", "a\tb", '"'],
      "character varying(9)": ["", "a", "a "],
      uuid: ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"],
      boolean: ["true", "t", "false", "FALSE"],
      date: ["2026-01-31", "20260131", "infinity", "0044-03-15 BC", "12026-01-01"],
      "timestamp without time zone": [
        "2026-01-31T00:00:00",
        "2026-01-31T24:00:00",
        "2026-01-31T10:20:30.5",
        "2026-01-31T10:20:30.50",
        "2026-01-31 10:20:30",
        "infinity",
      ],
      "timestamp with time zone": [
        "2026-01-31T00:00:00.000000Z",
        "2026-01-31T00:00:00Z",
        "2026-01-31T10:20:30.123456Z",
        "2026-01-31T10:20:30.123456+01",
        "2026-01-31T23:59:60.000000Z",
        "infinity",
      ],
    };
    for (const [type, texts] of Object.entries(values)) {
      const keys = rowKeys(keyedBy(column("k", type))) ?? assert.fail(type);
      const table = `millrace.spelt_${++version}`;
      await fixture.admin.query(`set time zone 'UTC'; create table ${table} (batch bigint, w smallint, k ${type})`);
      for (const [i, text] of texts.entries()) {
        await fixture.admin.query(`insert into ${table} values ($1, 1, $2)`, [i + 1, text]);
      }
      const positionSql = `select 1, ${texts.length}, 1`;
      const sql = keys.changedSql({ after: 0, rowsMax: 100 }, positionSql);
      const { rows } = await fixture.admin.query(
        sql.text.replaceAll("log_of_it", table),
        sql.parameters.values as string[],
      );
      assert.equal(rows.length, texts.length);
      let spelt = 0;
      for (const { batch, key } of rows) {
        const text = texts[Number(batch) - 1] ?? "";
        const isSpelt = keys.textOf([text]) !== null;
        assert.ok(!isSpelt || key[0] === text, `${type}: ${JSON.stringify(text)} is written ${JSON.stringify(key)}`);
        if (isSpelt) spelt++;
      }
      assert.ok(spelt > 0, `${type} is never kept`);
    }
  });

  test("keys of types with several spellings are left to the store", () => {
    for (const type of ["double precision", "interval", "character(3)", "jsonb", "bytea", "citext", "integer[]"]) {
      assert.equal(rowKeys(keyedBy(column("k", type))), null, type);
    }
    assert.equal(rowKeys({ ...keyedBy(column("k", "text")), key: [] }), null);
    const pair = rowKeys({ ...keyedBy(column("a", "text"), column("b", "integer")), key: ["a", "b"] });
    assert.equal(pair?.textOf(["x"]), null);
    assert.equal(pair?.textOf(["x", "1"]), "x\u00001");
  });
});

function keyedBy(...columns: ViewColumn[]) {
  return {
    name: "spelt",
    publicView: "views.spelt",
    logTable: "log_of_it",
    columns,
    key: columns.map(({ name }) => name),
  };
}
