import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { readOptions } from "../catalog/define/read-options.ts";
import { checkReadTypes, readIndexes } from "./read-indexes.ts";
import { column, GroupFixture } from "./reader-fixture.ts";
import { rowsSql } from "./row-sql.ts";
import type { Filter, FilterOperator, RowQuery } from "./view-info.ts";

const columns = [
  column("id", "integer"),
  column("status", "text"),
  column("at", "timestamp with time zone", true),
  column("doc", "jsonb", true),
  column("raw", "json", true),
  column("tags", "text[]", true),
];
const reads = readOptions("docs", {
  index: [["status", "at"], "doc->>kind", "doc->a->size", "raw->n", { gin: "doc" }, { gin: "tags" }],
  series: { time: "at", by: ["id"] },
});
const none: RowQuery = { filter: null, order: [], select: null, limit: 20, offset: 0, cursor: null };

describe("indexes that a definition asks for", () => {
  let fixture: GroupFixture;
  before(async () => {
    fixture = await GroupFixture.open();
    await fixture.createView("docs", { columns, key: ["id"], ...(reads ? { reads } : {}) });
    await fixture.admin.query(
      `insert into millrace.docs__1 select i, 's' || i % 3000, timestamptz '2026-01-01' + i * interval '1 minute',
         jsonb_build_object('kind', 'k' || i, 'a', jsonb_build_object('size', i)), json_build_object('n', i), array['t' || i % 500]
       from generate_series(1, 20000) i`,
    );
    await fixture.admin.query("analyze millrace.docs__1");
  });
  after(() => fixture[Symbol.asyncDispose]());

  /** Of a read in a table of twenty thousand rows. */
  async function plan(query: Partial<RowQuery>): Promise<string> {
    const { admin, group } = fixture;
    const { text, parameters } = rowsSql(group.readable("docs"), { ...none, ...query }, group.positionSql, 1_000_000);
    const { rows } = await admin.query(`explain (costs off) ${text}`, [...parameters.values]);
    return rows.map((row) => row["QUERY PLAN"]).join("\n");
  }

  const compare = (name: string, operator: FilterOperator, value: string, steps?: string[], text = false): Filter => ({
    kind: "compare",
    column: name,
    operator,
    values: [value],
    negated: false,
    ...(steps ? { path: { steps, text } } : {}),
  });
  const and = (...of: Filter[]): Filter => ({ kind: "and", of, negated: false });

  for (const [name, query, index] of [
    [
      "columns together",
      { filter: and(compare("status", "eq", "s5"), compare("at", "gt", "2026-01-10")) },
      /status_at_idx/,
    ],
    ["a text in json", { filter: compare("doc", "eq", "x", ["kind"], true) }, /Index Cond: .*#>> '\{kind\}'/],
    ["a value in json", { filter: compare("doc", "lt", "5", ["a", "size"]) }, /Index Cond: .*#> '\{a,size\}'/],
    ["a value in a column of type json", { filter: compare("raw", "eq", "5", ["n"]) }, /Index Cond: .*#> '\{n\}'/],
    [
      "what a document contains",
      { filter: compare("doc", "cs", '{"a":{"size":7}}') },
      /Bitmap Index Scan on docs__1_doc_idx/,
    ],
    [
      "what jsonpath finds",
      { filter: compare("doc", "jsonpath", "$.a.size ? (@ == 7)") },
      /Bitmap Index Scan on docs__1_doc_idx/,
    ],
    [
      "what jsonpath says",
      { filter: compare("doc", "jsonmatch", "$.a.size == 7") },
      /Bitmap Index Scan on docs__1_doc_idx/,
    ],
    ["what an array contains", { filter: compare("tags", "cs", "{t5}") }, /Bitmap Index Scan on docs__1_tags_idx/],
    ["times of a series", { filter: compare("at", "lt", "2026-01-01T01:00Z") }, /docs__1_at_idx/],
  ] as const) {
    test(`${name} are found by them`, async () => assert.match(await plan(query), index));
  }

  test("an order is read from them", async () => {
    const order = [{ column: "doc", path: { steps: ["kind"], text: true }, descending: false, nulls: null }];
    assert.match(await plan({ order }), /Index Scan using docs__1_expr_idx/);
  });

  test("columns of types that cannot be indexed so are refused with the cast", () => {
    for (const [index, message] of [
      [["raw"], /"raw", which is json: it has no order/],
      [[{ gin: "raw" }], /"raw", which is json: gin is of jsonb/],
      [[{ gin: "status" }], /gin is of jsonb/],
      [["tags->a"], /"tags", which is text\[\]: an index leads into json/],
    ] as const) {
      const options = readOptions("docs", { index });
      assert.ok(options);
      assert.throws(() => checkReadTypes("docs", options, columns), { code: "VIEW_OPTION_INVALID", message });
    }
    const series = (time: string, by: string[]) => () => {
      const options = readOptions("docs", { series: { time, by } });
      if (options) checkReadTypes("docs", options, columns);
    };
    assert.throws(series("status", []), { code: "VIEW_OPTION_INVALID", message: /"status", which is text: a time/ });
    assert.throws(series("at", ["raw"]), { code: "VIEW_OPTION_INVALID", message: /"raw", which is json/ });
    assert.doesNotThrow(series("at", ["status", "id"]));
  });

  test("a series by texts, which may be of any length, has an index by time alone", () => {
    const options = readOptions("docs", { series: { time: "at", by: ["status"] } });
    assert.ok(options);
    assert.deepEqual(readIndexes({ stateTable: "t", reads: options }, columns), ['create index on t ("at")']);
  });
});
