import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type ReadOptionsInput, readOptions } from "../catalog/define/read-options.ts";
import { unindexedRead } from "./read-access.ts";
import { column, type FixtureView, GroupFixture } from "./reader-fixture.ts";
import { rowsSql } from "./row-sql.ts";
import { UnindexedReads } from "./unindexed-reads.ts";
import type { Field, Filter, FilterOperator, RowQuery } from "./view-info.ts";

const columns = [
  column("id", "bigint"),
  column("status", "text", true),
  column("note", "text", true),
  column("paid", "boolean", true),
  column("total", "numeric", true),
  column("at", "timestamp with time zone", true),
  column("tags", "text[]", true),
  column("doc", "jsonb", true),
  column("words", "tsvector", true),
  column("span", "int4range", true),
];

const index = [
  "status",
  ["paid", "at"],
  "total",
  "doc->>kind",
  "doc->size",
  { gin: "tags" },
  { gin: "doc" },
  { gin: "words" },
];

function viewWith(options: ReadOptionsInput): FixtureView {
  const reads = readOptions("events", options);
  return { columns, key: ["id"], ...(reads === null ? {} : { reads }) };
}

const query = (filter: Filter | null, order: RowQuery["order"] = []): RowQuery => {
  return { filter, order, select: null, limit: 20, offset: 0, cursor: null };
};
const is = (field: string | Field, operator: FilterOperator, ...values: string[]): Filter => {
  const of = typeof field === "string" ? { column: field } : field;
  return { kind: "compare", ...of, operator, values, negated: false };
};
const not = (filter: Filter): Filter => ({ ...filter, negated: true });
const every = (...of: Filter[]): Filter => ({ kind: "and", negated: false, of });
const any = (...of: Filter[]): Filter => ({ kind: "or", negated: false, of });
const path = (column: string, text: boolean, ...steps: string[]): Field => ({ column, path: { steps, text } });
const by = (column: string, descending = false, nulls: "first" | "last" | null = null): RowQuery["order"] => [
  { column, descending, nulls },
];

/** By which an index over the columns or over `doc` finds rows: the option that is told where there is none. */
const conditions: readonly (readonly [Filter, option: string | null])[] = [
  [is("status", "eq", "paid"), 'index: ["status"]'],
  [is("status", "in", "paid", "new"), 'index: ["status"]'],
  [is("status", "is", "null"), 'index: ["status"]'],
  [is("status", "like", "pa*"), 'index: ["status"]'],
  [{ ...is("status", "eq", "paid", "new"), quantifier: "any" } as Filter, 'index: ["status"]'],
  [is("paid", "is", "true"), 'index: ["paid"]'],
  [is("paid", "eq", "false"), 'index: ["paid"]'],
  [is("total", "gt", "10"), 'index: ["total"]'],
  [is("total", "lte", "10.5"), 'index: ["total"]'],
  [is(path("doc", true, "kind"), "eq", "a"), 'index: ["doc->>kind"]'],
  [is(path("doc", true, "kind"), "like", "a*"), 'index: ["doc->>kind"]'],
  [is(path("doc", false, "size"), "gt", "7"), 'index: ["doc->size"]'],
  [is("tags", "cs", "{a}"), 'index: [{ gin: "tags" }]'],
  [is("tags", "ov", "{a,b}"), 'index: [{ gin: "tags" }]'],
  [is("doc", "cs", '{"kind":"a"}'), 'index: [{ gin: "doc" }]'],
  [is("doc", "jsonpath", "$.kind"), 'index: [{ gin: "doc" }]'],
  [is("words", "fts", "cat"), 'index: [{ gin: "words" }]'],
  [every(is("status", "eq", "paid"), is("note", "eq", "x")), 'index: [["status", "note"]]'],
  [any(is("status", "eq", "paid"), is("total", "gt", "1000")), 'index: ["status", "total"]'],
  [
    any(every(is("status", "eq", "paid"), not(is("note", "eq", "x"))), is("total", "lt", "1")),
    'index: ["status", "total"]',
  ],
];

/** By which no index finds rows, whatever there is. */
const helpless: readonly (readonly [Filter, option: string | null])[] = [
  [is("status", "ilike", "pa*"), 'fuzzy: ["status"]'],
  [is("status", "like", "*id"), 'fuzzy: ["status"]'],
  [is("status", "imatch", "p"), 'fuzzy: ["status"]'],
  [is("note", "plfts", "cat"), 'search: ["note"]'],
  [is("span", "cs", "[5,6)"), null],
  [{ ...is("total", "gt", "1", "2"), quantifier: "all" } as Filter, null],
  [is(path("doc", true, "kind"), "match", "a"), null],
  [any(is("status", "eq", "paid"), is("note", "ilike", "x*")), null],
];

describe("what is said of reads", () => {
  let fixture: GroupFixture;
  before(async () => {
    fixture = await GroupFixture.open();
    await fixture.createView("events", viewWith({ index }));
    await fixture.createView("plain", viewWith({}));
    for (const name of ["events", "plain"]) {
      await fixture.admin.query(
        `insert into millrace."${name}__1" (id, status, note, paid, total, at, tags, doc, words, span) select i, ` +
          `case i % 3 when 0 then 'paid' when 1 then 'new' end, 'note', i % 2 = 0, i, now(), array['a'], ` +
          `jsonb_build_object('kind', 'a', 'size', i), 'cat', int4range(i, i + 5) from generate_series(1, 500) i; analyze millrace."${name}__1"`,
      );
    }
    await fixture.admin.query("set enable_seqscan = off");
  });
  after(() => fixture[Symbol.asyncDispose]());

  const planOf = async (view: string, asked: RowQuery): Promise<string> => {
    // Then a condition that an index finds is looked up in it, and an order that one has is read from it.
    await fixture.admin.query(`set enable_indexscan = ${asked.filter === null ? "on" : "off"}`);
    const { text, parameters } = rowsSql(fixture.group.readable(view), asked, fixture.group.positionSql, 1_000_000);
    const { rows } = await fixture.admin.query(`explain ${text}`, [...parameters.values]);
    return rows.map((row) => row["QUERY PLAN"]).join("\n");
  };

  test("an index that finds the rows is one that PostgreSQL can use", async () => {
    for (const [filter] of conditions) {
      const plan = await planOf("events", query(filter));
      assert.match(plan, /Index Cond/, JSON.stringify(filter));
      assert.equal(unindexedRead(fixture.group.readable("events"), query(filter)), null, JSON.stringify(filter));
    }
  });

  test("where it can use none, the read is named, with the option that would help", async () => {
    for (const [filter, option] of [...conditions, ...helpless]) {
      const read = query(filter);
      assert.doesNotMatch(await planOf("plain", read), /Index Cond/, JSON.stringify(filter));
      assert.equal(unindexedRead(fixture.group.readable("plain"), read)?.option, option, JSON.stringify(filter));
    }
    for (const [filter, option] of helpless) {
      const read = query(filter);
      assert.doesNotMatch(await planOf("events", read), /Index Cond/, JSON.stringify(filter));
      assert.equal(unindexedRead(fixture.group.readable("events"), read)?.option, option, JSON.stringify(filter));
    }
  });

  test("an order is served by an index that begins with it, in either direction and with nulls where it has them", async () => {
    const events = fixture.group.readable("events");
    const sorts = /(?<!Incremental )Sort {2}.*\n *Sort Key: events__1/;
    for (const order of [[], by("id"), by("id", true), by("total"), by("total", true), by("status", true, "first")]) {
      assert.doesNotMatch(await planOf("events", query(null, order)), sorts, JSON.stringify(order));
      assert.equal(unindexedRead(events, query(null, order)), null);
    }
    for (const order of [by("note"), by("total", true, "last"), by("at")]) {
      assert.match(await planOf("events", query(null, order)), sorts, JSON.stringify(order));
    }
    assert.deepEqual(unindexedRead(events, query(null, by("at", true))), {
      filtered: [],
      ordered: ["at"],
      option: 'index: ["at"]',
    });
    assert.equal(unindexedRead(events, query(null, by("total", true, "last")))?.option, null);
    const related = [{ relation: "customer", column: "name", descending: false, nulls: null }];
    assert.deepEqual(unindexedRead(events, query(null, related)), {
      filtered: [],
      ordered: ["customer(name)"],
      option: null,
    });
  });

  test("the option names what is compared first, and then what rows are ordered by", () => {
    const plain = fixture.group.readable("plain");
    const filter = every(is("total", "gt", "1"), is("status", "eq", "paid"), is("note", "neq", "x"));
    assert.deepEqual(unindexedRead(plain, query(filter, by("at"))), {
      filtered: ["total", "status"],
      ordered: ["at"],
      option: 'index: [["status", "total"]]',
    });
    assert.equal(unindexedRead(plain, query(is("status", "eq", "a"), by("at")))?.option, 'index: [["status", "at"]]');
    assert.equal(unindexedRead(plain, query(is("total", "gt", "1"), by("at")))?.option, 'index: ["total"]');
  });

  test("nothing is said of conditions that most rows meet, of a key, of groups, and of what is near", () => {
    const plain = fixture.group.readable("plain");
    for (const filter of [
      is("status", "neq", "paid"),
      not(is("status", "eq", "paid")),
      is("status", "is", "not_null"),
      not(any(is("status", "eq", "paid"))),
      any(is("status", "eq", "paid"), is("note", "neq", "x")),
    ]) {
      assert.equal(unindexedRead(plain, query(filter)), null, JSON.stringify(filter));
    }
    assert.equal(unindexedRead(plain, query(every(is("id", "eq", "7"), is("status", "eq", "paid")), by("at"))), null);
    const groups = { ...query(null, by("count")), select: ["status", { aggregate: "count", of: null }] as const };
    assert.equal(unindexedRead(plain, groups), null);
    const near = { ...query(null, by("_distance")), find: { near: { lat: 1, lon: 1 } } };
    assert.equal(unindexedRead(plain, near), null);
  });

  test("an answer about a view that is not small says so, and what explains the view counts them", async () => {
    const reader = fixture.reader();
    const read = query(is("status", "eq", "paid"));
    const unindexed = { filtered: ["status"], ordered: [], option: 'index: ["status"]' };
    fixture.rowsEstimated = 10_000;
    assert.equal((await reader.rows("plain", read)).unindexed, undefined);
    assert.doesNotMatch(await reader.explain("plain"), /no index/);
    fixture.rowsEstimated = 10_001;
    assert.deepEqual((await reader.rows("plain", read)).unindexed, unindexed);
    assert.equal((await reader.rows("events", read)).unindexed, undefined);
    const { results } = await reader.readAll([
      { view: "plain", query: read },
      { view: "plain", key: ["1"], select: null },
      { view: "events", query: read },
    ]);
    assert.deepEqual(
      results.map((one) => ("rows" in one ? one.unindexed : null)),
      [unindexed, null, undefined],
    );
    await reader.rows("plain", query(null, by("at")));
    assert.match(
      await reader.explain("plain"),
      /reads that no index served, the latest first\n {2}1 ordered by at; it would take index: \["at"\]\n {2}2 filtered by status; it would take index: \["status"\]\n/,
    );
    // One that is refused counts for nothing.
    await assert.rejects(reader.rows("plain", query(is("total", "gt", "many"))));
    assert.doesNotMatch(await reader.explain("plain"), /total;/);
  });

  test("names that a client made up are short and printable", () => {
    const plain = fixture.group.readable("plain");
    const read = unindexedRead(plain, query(is(path("doc", true, `a\n${"x".repeat(5_000)}`), "eq", "1")));
    assert.ok((read?.filtered[0]?.length ?? 0) < 120);
    assert.doesNotMatch(read?.filtered[0] ?? "", /\n/);
    assert.equal(read?.option, null);
    const many = every(...Array.from({ length: 400 }, (_, i) => is(path("doc", true, `k${i}`), "eq", "1")));
    assert.equal(unindexedRead(plain, query(many))?.filtered.length, 10);
  });
});

test("an index for texts of any length finds rows, and has no order", () => {
  const unserved = (method: "btree" | "spgist" | "hash") => {
    const view = { name: "v", columns, indexes: [{ columns: ["status"], method }] };
    const reads = [query(is("status", "eq", "paid")), query(is("status", "gt", "paid")), query(null, by("status"))];
    return reads.filter((read) => unindexedRead(view, read) !== null).length;
  };
  assert.deepEqual([unserved("btree"), unserved("spgist"), unserved("hash")], [0, 1, 2]);
});

test("reads are counted by what they were by; the oldest kinds go, and those of another version", () => {
  const rows = new Map([["big", 10_001]]);
  const reads = new UnindexedReads((view) => rows.get(view) ?? 10_000);
  const version = (name: string, of = 1) => ({
    name,
    version: of,
    hash: "h",
    columns,
    indexes: [{ columns: ["id"], method: "btree" as const }],
  });
  const read = query(is("status", "eq", "paid"));
  assert.deepEqual(reads.look(version("small"), read), {});
  assert.deepEqual(reads.look(version("big"), query(null)), {});
  const unindexed = { filtered: ["status"], ordered: [], option: 'index: ["status"]' };
  assert.deepEqual(reads.look(version("big"), read), { unindexed });
  reads.look(version("big"), query(null, by("at")));
  reads.look(version("big"), query(is("status", "eq", "new")));
  assert.deepEqual(
    reads.of(version("big")).map(({ count, filtered, ordered }) => [count, filtered, ordered]),
    [
      [2, ["status"], []],
      [1, [], ["at"]],
    ],
  );
  assert.deepEqual(reads.of(version("small")), []);
  for (let i = 0; i < 40; i++) reads.look(version("big"), query(is(path("doc", true, `k${i}`), "eq", "1")));
  assert.equal(reads.of(version("big")).length, 20);
  assert.deepEqual(reads.of(version("big"))[0]?.filtered, ["doc->>k39"]);
  assert.deepEqual(reads.of(version("big", 2)), []);
  reads.look(version("big", 2), read);
  assert.deepEqual(reads.of(version("big")), []);
});
