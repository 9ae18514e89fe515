/** Reads of views without a key, on a whole group: pages over equal rows, filters, searches, changes and what is refused. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { seededRandom } from "../base/random.ts";
import { sql, view } from "../catalog/definitions.ts";
import type { Group } from "./group.ts";
import { live, until, ViewsFixture, viewOf } from "./group-fixture.ts";
import { openReader } from "./reader.ts";
import { refusalOf } from "./reader-fixture.ts";
import { type FixtureChange, type SourceFixture, tableShape } from "./source-fixture.ts";
import type { Filter, RowQuery, ViewsReader } from "./view-info.ts";

const columns = ["id integer", "kind text", "n numeric", "at point"];
const events = tableShape("shop", "events", columns);
const kinds = ["a", "b", "c"];
const everything: RowQuery = { filter: null, order: [], select: null, limit: 100, offset: 0, cursor: null };
const isA: Filter = { kind: "compare", column: "kind", operator: "eq", values: ["a"], negated: false };

const definitions = [
  viewOf("rows", "select kind, n from shop.events"),
  viewOf("counts", "select kind, count(*) as n from shop.events group by id"),
  viewOf("pairs", "select e.kind, f.n from shop.events e left join shop.events f on f.kind = e.kind and f.n > e.n"),
  viewOf("places", "select at, kind from shop.events"),
  view("found", sql(template("select kind from shop.events")), { search: ["kind"], fuzzy: ["kind"] }),
  viewOf("labels", "select distinct kind from shop.events"),
  view("labelled", sql(template("select kind, n from shop.events")), {
    references: { label: { view: "labels", on: { kind: "kind" } } },
  }),
  viewOf("above", "select r.kind, count(*) as n from views.rows r group by r.kind"),
];

function template(text: string): TemplateStringsArray {
  return Object.assign([text], { raw: [text] });
}

describe("views without a key", () => {
  let fixture: ViewsFixture;
  let group: Group;
  let shop: SourceFixture;
  let reader: ViewsReader;
  const random = seededRandom(3);
  const there = new Set<string>();

  before(async () => {
    fixture = await ViewsFixture.open();
    shop = await fixture.source("shop", [events]);
    group = await fixture.group(definitions);
    await shop.snapshot(Array.from({ length: 60 }, (_, i) => put(String(i))));
    await live(group);
    reader = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  });

  after(async () => {
    reader.close();
    await fixture[Symbol.asyncDispose]();
  });

  function put(id: string): FixtureChange {
    const cells = [id, kinds[random.below(3)] as string, ["1", "1.0", null][random.below(3)], "(1,2)"] as string[];
    if (there.has(id)) return { table: events, update: cells };
    there.add(id);
    return { table: events, insert: cells };
  }

  function change(): FixtureChange {
    const id = String(random.below(60));
    if (!there.has(id) || random.below(3) > 0) return put(id);
    there.delete(id);
    return { table: events, delete: [id, undefined, undefined, undefined] };
  }

  const stored = (name: string) => {
    const listed = reader.info(name).columns.map((column) => `${column.name}::text`);
    return fixture.rows(`select ${listed.join(", ")} from views.${name}`);
  };
  const texts = (rows: readonly string[]) => rows.map((row) => canonical(JSON.parse(row))).sort();

  /** Page by page, with as many rows each. */
  async function pages(name: string, query: Partial<RowQuery>): Promise<string[]> {
    const rows: string[] = [];
    for (let cursor: string | null = null, i = 0; i < 1_000; i++) {
      const page = await reader.rows(name, { ...everything, ...query, cursor });
      rows.push(...page.rows);
      cursor = page.next;
      if (cursor === null) return rows;
    }
    assert.fail("the pages do not end");
  }

  test("pages over equal rows have each as often as it is there, in any order, by pages of any size", async () => {
    for (const name of ["rows", "counts", "pairs", "places"]) {
      const wanted = texts(await stored(name));
      assert.ok(new Set(wanted).size < wanted.length, `${name} has equal rows`);
      for (const limit of [1, 7, 1_000]) assert.deepEqual(texts(await pages(name, { limit })), wanted, name);
    }
    for (const [column, descending] of [
      ["kind", true],
      ["n", false],
    ] as const) {
      const rows = await pages("rows", { limit: 4, order: [{ column, descending, nulls: null }] });
      assert.deepEqual(texts(rows), texts(await stored("rows")));
    }
    const page = await reader.rows("rows", { ...everything, filter: isA, count: "exact", limit: 2 });
    const [counted] = await fixture.rows("select count(*)::integer as n from views.rows where kind = 'a'");
    assert.equal(page.total, JSON.parse(counted as string).n);
  });

  test("an order by columns alone does not let the next page begin within equal rows", async () => {
    const first = await reader.rows("rows", { ...everything, limit: 3, filter: isA });
    const again = await reader.rows("rows", { ...everything, limit: 3, filter: isA });
    assert.deepEqual(first, again);
    const foreign = Buffer.from(JSON.stringify([1, '"_millrace_content"+l,"_millrace_copy"+l', ["x", "one"]]));
    const bad = { ...everything, cursor: foreign.toString("base64url") };
    assert.equal((await refusalOf(reader.rows("rows", bad))).code, "TOKEN_INVALID");
  });

  test("a row is read by no key, hidden columns by nobody, and the hint says what to do", async () => {
    const refused = await refusalOf(Promise.resolve(reader.row("rows", ["a"], null)));
    assert.equal(refused.code, "VIEW_KEY_MISSING");
    assert.match(refused.hint ?? "", /filters/);
    for (const column of ["_millrace_content", "_millrace_copy"]) {
      const query = { ...everything, select: [column] };
      assert.equal((await refusalOf(reader.rows("rows", query))).code, "COLUMN_UNKNOWN");
    }
    assert.equal(reader.info("rows").key, null);
    assert.equal(reader.info("above").key?.join(), "kind");
  });

  test("searches find equal rows as often as they are there, and go on from page to page", async () => {
    const wanted = texts((await stored("found")).filter((row) => JSON.parse(row).kind === "b"));
    const filters: Filter[] = [
      { kind: "search", text: "b", negated: false },
      { kind: "similar", column: "kind", text: "b", threshold: 0.5, negated: false } as Filter,
    ];
    for (const filter of filters) {
      const rows = await pages("found", { filter, limit: 3 });
      assert.deepEqual(texts(rows), wanted);
    }
  });

  test("rows without a key refer to others, and are embedded in them as often as they are there", async () => {
    const label = {
      relation: "label",
      inner: false,
      select: ["kind"],
      filter: null,
      order: [],
      limit: null,
      offset: 0,
    };
    const [row] = await pages("labelled", { select: ["n", label] });
    assert.deepEqual(Object.keys(JSON.parse(row ?? "")), ["n", "label"]);
    const many = { ...label, relation: "labelled", select: ["kind", "n"] };
    const rows = (await pages("labels", { select: ["kind", many] })).map((one) => JSON.parse(one).labelled);
    assert.deepEqual(texts(rows.flat().map((one) => JSON.stringify(one))), texts(await stored("labelled")));
  });

  test("changes are how often rows came and went, netted in each batch, with a filter and without", async () => {
    const state = new Map<string, Map<string, number>>();
    const filters = [null, isA] as const;
    const names = ["rows", "pairs", "counts"] as const;
    const pairs = names.flatMap((name) =>
      filters.map((filter) => ({ name, filter })).filter(({ filter }) => name !== "counts" || filter === null),
    );
    const positions = new Map<string, { generation: number; batch: number }>();
    for (const { name, filter } of pairs) {
      const counts = new Map<string, number>();
      const { position, pages } = await reader.snapshot(name, filter);
      for await (const page of pages) for (const row of page) counts.set(row, (counts.get(row) ?? 0) + 1);
      state.set(`${name} ${filter === null}`, counts);
      positions.set(`${name} ${filter === null}`, position);
    }
    for (let i = 0; i < 10; i++) {
      await shop.commit(...Array.from({ length: 1 + random.below(12) }, change));
      await fixture.settled(group);
      for (const { name, filter } of pairs) {
        const id = `${name} ${filter === null}`;
        const counts = state.get(id) ?? new Map<string, number>();
        const answer = await reader.changesSince(name, positions.get(id) ?? assert.fail(), filter);
        assert.ok(answer.outcome === "changes");
        for (const { position, changes } of answer.batches) {
          const paged = await reader.changesOf(name, position, filter);
          const whole = [];
          for await (const page of paged ?? []) whole.push(...page);
          assert.deepEqual(whole, changes);
          assert.equal(new Set(changes.map(({ row }) => row)).size, changes.length, "each row once");
          for (const one of changes) {
            assert.ok(one.key === null && one.count > 0);
            const count = (counts.get(one.row) ?? 0) + (one.op === "insert" ? one.count : -one.count);
            assert.ok(count >= 0, "more went than there were");
            if (count === 0) counts.delete(one.row);
            else counts.set(one.row, count);
          }
        }
        positions.set(id, answer.upTo);
        const rows = await pages(name, { filter, limit: 1_000 });
        const replayed = [...counts].flatMap(([row, n]) => Array.from({ length: n }, () => row));
        assert.deepEqual(replayed.sort(), [...rows].sort(), id);
      }
    }
  });

  test("a rebuild and another definition go on with the same cursors, and a truncate leaves nothing", async () => {
    const query = { ...everything, limit: 5 };
    const first = await reader.rows("rows", query);
    await group.rebuild("rows");
    await until(group, () => group.readable("rows").version > 1);
    const { rows } = await reader.rows("rows", { ...query, limit: 1_000, cursor: first.next });
    assert.deepEqual(texts([...first.rows, ...rows]), texts(await stored("rows")));
    await shop.commit({ table: events, truncate: true });
    await fixture.settled(group);
    for (const { name } of definitions) assert.deepEqual(await pages(name, {}), [], name);
  });
});

function canonical(row: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(Object.values(row).map((value) => (value === null ? null : String(value))));
}
