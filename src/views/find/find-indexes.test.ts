import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { column, GroupFixture } from "../reader-fixture.ts";
import { rowsSql } from "../row-sql.ts";
import type { Filter, RowQuery } from "../view-info.ts";
import { findIndexes } from "./find-columns.ts";

const none: RowQuery = { filter: null, order: [], select: null, limit: 20, offset: 0, cursor: null };
const graz = { lat: 47.07, lon: 15.44 };

describe("of a hundred thousand rows", () => {
  let fixture: GroupFixture;
  before(async () => {
    fixture = await GroupFixture.open();
    await fixture.createView("shops", {
      columns: [
        column("id", "integer"),
        column("name", "text"),
        column("lat", "double precision"),
        column("lon", "double precision"),
      ],
      key: ["id"],
      find: {
        search: { columns: [{ column: "name", weight: "A" }], language: "simple" },
        fuzzy: ["name"],
        geo: { lat: "lat", lon: "lon" },
      },
    });
    const { admin, group } = fixture;
    const { find } = group.readable("shops");
    if (find === undefined) throw new Error("the view has no options");
    // As a build does it: rows first.
    await admin.query(
      "drop index millrace.shops__1__millrace_search_idx, millrace.shops__1__millrace_fuzzy_1_idx, millrace.shops__1__millrace_geo_idx",
    );
    await admin.query(
      `insert into millrace.shops__1 (id, name, lat, lon)
       select i, 'shop ' || left(md5((i % 50000)::text), 10), 46 + i * 7919 % 100003 / 33334.0, 9 + i * 10473 % 99991 / 12500.0
       from generate_series(1, 100000) i`,
    );
    const tables = {
      name: "shops",
      version: 1,
      stateTable: "millrace.shops__1",
      publicView: "",
      key: ["id"],
      find: find.options,
    };
    for (const sql of findIndexes(tables, find.schemas)) await admin.query(sql);
    await admin.query("analyze millrace.shops__1");
  });
  after(() => fixture[Symbol.asyncDispose]());

  /** The plan of a read, with the settings that its transaction gets. */
  async function plan(query: Partial<RowQuery>): Promise<string> {
    const { admin, group } = fixture;
    const { text, parameters } = rowsSql(group.readable("shops"), { ...none, ...query }, group.positionSql, 1_000_000);
    await admin.query("begin");
    try {
      for (const [name, value] of parameters.settings.values) {
        await admin.query("select set_config($1, $2, true)", [name, value]);
      }
      const { rows } = await admin.query(`explain (analyze, costs off, timing off) ${text}`, [...parameters.values]);
      return rows.map((row) => row["QUERY PLAN"]).join("\n");
    } finally {
      await admin.query("rollback");
    }
  }

  const word = "f899139df5";
  const reads: Record<string, [Partial<RowQuery>, RegExp]> = {
    "words are found by their index": [
      { filter: { kind: "search", text: word, negated: false }, find: { search: word } },
      /Bitmap Index Scan on shops__1__millrace_search_idx/,
    ],
    "the beginning of a word is found by the index": [
      { filter: { kind: "search", text: "f8991*", negated: false }, find: { search: "f8991*" } },
      /Bitmap Index Scan on shops__1__millrace_search_idx/,
    ],
    "similar names are found by their index": [
      {
        filter: { kind: "similar", column: "name", text: `shop ${word}`, part: false, threshold: 0.5, negated: false },
      },
      /Bitmap Index Scan on shops__1__millrace_fuzzy_1_idx/,
    ],
    "parts of names are found by the index": [
      { filter: { kind: "similar", column: "name", text: word, part: true, threshold: 0.8, negated: false } },
      /Bitmap Index Scan on shops__1__millrace_fuzzy_1_idx/,
    ],
    "what is within a distance is found by the index": [
      { filter: { kind: "within", center: graz, metres: 5_000, negated: false }, find: { near: graz } },
      /Scan (on|using) shops__1__millrace_geo_idx/,
    ],
    "the nearest are found in the index's order": [
      { find: { near: graz } },
      /Index (?:Only )?Scan using shops__1__millrace_geo_idx [\s\S]*Order By: \(_millrace_geo/,
    ],
    "a box is found by the index": [
      { filter: { kind: "box", west: 15.4, east: 15.45, south: 47, north: 47.05, negated: false } },
      /Scan (on|using) shops__1__millrace_geo_idx/,
    ],
  };
  for (const [name, [query, index]] of Object.entries(reads)) {
    test(name, async () => {
      const text = await plan(query);
      assert.match(text, index);
      assert.doesNotMatch(text, /Seq Scan on shops/);
    });
  }

  test("a search beside a comparison reads the index too", async () => {
    const filter: Filter = {
      kind: "and",
      negated: false,
      of: [
        { kind: "search", text: word, negated: false },
        { kind: "compare", column: "id", operator: "gt", values: ["5"], negated: false },
      ],
    };
    assert.match(await plan({ filter }), /shops__1__millrace_search_idx/);
  });
});
