import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { column, GroupFixture, refusalOf } from "../reader-fixture.ts";
import { rowsSql } from "../row-sql.ts";
import type { ChangesAnswer, Filter, RowQuery, ViewsReader } from "../view-info.ts";
import { findIndexes } from "./find-columns.ts";
import type { TreeQuestion } from "./find-query.ts";

const random = seededRandom(31);
const pick = <Value>(values: readonly Value[]): Value => values[random.below(values.length)] as Value;

/** Characters on all sides of the dot, and labels that begin alike. */
const labels = ["a", "A", "a-", "a_", "a0", "-", "_", "0", "ab", "b"];
const paths = Array.from({ length: 600 }, () => Array.from({ length: random.below(5) }, () => pick(labels)).join("."));
const deep = (levels: number) => Array.from({ length: levels }, () => "a").join(".");
const indexable = [deep(100), "x".repeat(1_000)];
const unusable = [null, "a..b", ".a", "a.", "a b", "a/b", "a'b", "a.b\n", deep(101), `a.${"x".repeat(999)}`, "(\\"];
const rows = [...paths, ...indexable, ...unusable].map((path, id) => ({ id, path, other: "z.y" }));

const isPath = (path: string | null): path is string => path !== null && !unusable.includes(path);
const labelsOf = (path: string) => (path === "" ? [] : path.split("."));

/** As a tree is walked. */
function compare(a: string, b: string): number {
  const [first, second] = [labelsOf(a), labelsOf(b)];
  const at = first.findIndex((label, i) => label !== second[i]);
  if (at < 0) return first.length - second.length;
  const [one, other] = [first[at] as string, second[at]];
  return other === undefined || one > other ? 1 : -1;
}

function holds(path: string, question: TreeQuestion): boolean {
  if ("text" in question) return false;
  const [own, asked] = [labelsOf(path), labelsOf(question.path)];
  const begins = (long: string[], short: string[]) => short.every((label, i) => label === long[i]);
  if (question.is === "above") return begins(asked, own) && (question.self || own.length < asked.length);
  const level = own.length - asked.length;
  const { least = 0, most = 1_000 } = question.levels ?? {};
  return begins(own, asked) && level >= least && level <= most;
}

const none: RowQuery = { filter: null, order: [], select: null, limit: 10_000, offset: 0, cursor: null };
const term = (question: TreeQuestion, column: string | null = "path", negated = false): Filter => {
  return { kind: "tree", column, question, negated };
};
const contains = (operator: "cs" | "cd", path: string): Filter => {
  return { kind: "compare", column: "path", operator, values: [path], negated: false };
};
const walk = (question: TreeQuestion): Partial<RowQuery> => ({
  filter: term(question),
  find: { tree: { column: "path" } },
});

describe("a view with trees", () => {
  let fixture: GroupFixture;
  let reader: ViewsReader;
  before(async () => {
    fixture = await GroupFixture.open();
    reader = fixture.reader();
    await fixture.createView("nodes", {
      columns: [column("id", "integer"), column("path", "text", true), column("other", "text")],
      key: ["id"],
      find: { search: null, fuzzy: [], geo: null, tree: ["path", "other"] },
    });
    await fixture.createView("plain", { columns: [column("id", "integer"), column("path", "text")], key: ["id"] });
    await fixture.commit("nodes", { upsert: rows });
  });
  after(() => fixture[Symbol.asyncDispose]());

  async function read(query: Partial<RowQuery>) {
    const answer = await reader.rows("nodes", { ...none, ...query });
    return { ...answer, rows: answer.rows.map((row) => JSON.parse(row)) };
  }
  async function ids(filter: Filter): Promise<number[]> {
    const found = await read({ filter, select: ["id"] });
    return found.rows.map(({ id }) => id as number);
  }
  const expected = (question: TreeQuestion) => {
    return rows.filter(({ path }) => isPath(path) && holds(path, question)).map(({ id }) => id);
  };

  const asked = ["", "a", "a-", "A", "b.a", "a.a", "a.a-.a_", "a.b.0.-", "nowhere", ...indexable];

  test("what is below and above a path is found, whatever characters its labels have", async () => {
    for (const path of asked) {
      const questions: TreeQuestion[] = [
        { is: "below", path },
        { is: "below", path, levels: { least: 1, most: 1 } },
        { is: "below", path, levels: { least: 0, most: 2 } },
        { is: "below", path, levels: { least: 0, most: 100 } },
        { is: "above", path, self: false },
        { is: "above", path, self: true },
      ];
      for (const question of questions) {
        assert.deepEqual(await ids(term(question)), expected(question), JSON.stringify(question));
      }
      assert.deepEqual(await ids(contains("cd", path)), expected({ is: "below", path }));
      assert.deepEqual(await ids(contains("cs", path)), expected({ is: "above", path, self: true }));
    }
    const below: TreeQuestion = { is: "below", path: "a" };
    const others = rows.filter(({ path }) => isPath(path) && !holds(path, below)).map(({ id }) => id);
    assert.deepEqual(await ids(term(below, "path", true)), others);
    assert.deepEqual(await ids({ ...contains("cd", "a"), negated: true } as Filter), others);
    assert.equal((await ids(term({ is: "below", path: "z" }, "other"))).length, rows.length);
  });

  test("rows of a tree come as it is walked, with their depth, page by page", async () => {
    const question: TreeQuestion = { is: "below", path: "a" };
    const all = rows
      .filter(({ path }) => isPath(path) && holds(path, question))
      .toSorted((a, b) => compare(a.path as string, b.path as string) || a.id - b.id);
    assert.ok(all.length > 30);
    const pages: { id: number; path: string; _depth: number }[] = [];
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<typeof read>> = await read({
        ...walk(question),
        limit: 7,
        cursor,
        count: "exact",
      });
      assert.equal(page.total, all.length);
      pages.push(...page.rows);
      cursor = page.next;
    } while (cursor !== null);
    const shown = all.map(({ id, path, other }) => ({ id, path, other, _depth: labelsOf(path as string).length }));
    assert.deepEqual(pages, shown);
    const byDepth = await read({
      ...walk(question),
      order: ["_depth", "_tree"].map((name) => ({ column: name, descending: false, nulls: null })),
    });
    const broad = shown.toSorted((a, b) => a._depth - b._depth);
    assert.deepEqual(byDepth.rows, broad);
    const above = await read(walk({ is: "above", path: "a.a-.a_", self: false }));
    assert.deepEqual(
      above.rows.map(({ path }) => path),
      ["", "a", "a.a-"].flatMap((path) => paths.filter((one) => one === path)),
    );
  });

  test("the members of a tree are selected, filtered and counted like others", async () => {
    const question: TreeQuestion = { is: "below", path: "a" };
    const two = rows.filter(({ path }) => isPath(path) && holds(path, question) && labelsOf(path).length === 2);
    const filter: Filter = {
      kind: "and",
      negated: false,
      of: [term(question), { kind: "compare", column: "_depth", operator: "eq", values: ["2"], negated: false }],
    };
    const found = await read({ ...walk(question), filter, select: ["id"] });
    assert.deepEqual(
      found.rows.map(({ id }) => id).toSorted((a, b) => a - b),
      two.map(({ id }) => id),
    );
    assert.deepEqual(Object.keys(found.rows[0]), ["id"]);
    const counted = await read({ ...walk(question), select: ["_depth", { aggregate: "count", of: null }] });
    assert.equal(counted.rows.find(({ _depth }) => _depth === 2).count, String(two.length));
    const planned = await reader.rows("nodes", { ...none, ...walk(question), count: "planned" });
    assert.ok((planned.total ?? 0) > 0);
  });

  test("patterns are those of PostgreSQL's ltree", async () => {
    const oracle = async (operator: string, type: string, pattern: string) => {
      const { rows: found } = await fixture.admin.query<{ id: number }>(
        `select id from millrace.nodes__1 where id <= ${paths.length + 1} and ` +
          `path::millrace.ltree operator(millrace.${operator}) $1::millrace.${type} order by id`,
        [pattern],
      );
      return found.map(({ id }) => id);
    };
    for (const text of ["*.a.*", "a.*{1}", "*.!a.*", "a%@", "*{,2}.b|ab", "*", "a.a-"]) {
      assert.deepEqual(await ids(term({ is: "lquery", text })), await oracle("~", "lquery", text), text);
    }
    for (const text of ["a & b", "ab* & !(b | 0)", "A@"]) {
      assert.deepEqual(await ids(term({ is: "ltxtquery", text })), await oracle("@", "ltxtquery", text), text);
    }
  });

  test("a path or pattern that is none is refused, with what one is", async () => {
    const refused = (filter: Filter, query: Partial<RowQuery> = {}) =>
      refusalOf(reader.rows("nodes", { ...none, filter, ...query }), "FILTER_INVALID");
    for (const path of ["a..b", ".", "a b", "ö'\"", "a.b\n", "a/b"]) {
      for (const question of [{ is: "below", path } as const, { is: "above", path, self: true } as const]) {
        const error = await refused(term(question));
        assert.deepEqual(error.details, { column: "path", type: '"millrace".ltree' });
        assert.match(error.message, /^the value for column "path" cannot be used: ltree syntax error/);
        assert.match(error.hint ?? "", /Top\.Science\.Astronomy/);
      }
      await refused(contains("cd", path));
    }
    await refused(term({ is: "below", path: "a\0" }));
    await refused(term({ is: "above", path: "x".repeat(1_001), self: true }));
    for (const text of ["a..b", "*{3,1}", "", "!", "a{"]) await refused(term({ is: "lquery", text }));
    for (const text of ["a &", "(a", "& b", ""]) await refused(term({ is: "ltxtquery", text }));
    await refused(term({ is: "lquery", text: "a\0" }));
  });

  test("a view without the option, without a tree of the column, or with several, says so", async () => {
    const below: TreeQuestion = { is: "below", path: "a" };
    const refused = async (view: string, query: Partial<RowQuery>, code: Parameters<typeof refusalOf>[1]) =>
      (await refusalOf(reader.rows(view, { ...none, ...query }), code)).hint;
    const example = (view: string, name: string) =>
      `Add the option tree to its definition: view("${view}", …, { tree: "${name}" }).`;
    const plain = await refused("plain", { filter: term(below, null) }, "VIEW_OPTION_MISSING");
    assert.equal(plain, example("plain", "path"));
    assert.equal(await refused("nodes", { filter: term(below, "id") }, "VIEW_OPTION_MISSING"), example("nodes", "id"));
    await refused("nodes", { filter: term(below, "paht") }, "COLUMN_UNKNOWN");
    const several = await refused("nodes", { filter: term(below, null) }, "REQUEST_INVALID");
    assert.equal(several, "Say which one by its column: by=path, by=other.");
    await refused("plain", { filter: contains("cd", "a") }, "FILTER_INVALID");
  });

  test("a live view with a condition on the path is told of rows that come below it and leave it", async () => {
    const from = reader.position();
    const [one, two] = [10_001, 10_002];
    await fixture.commit("nodes", {
      upsert: [
        { id: one, path: "live.x", other: "z" },
        { id: two, path: "living.x", other: "z" },
      ],
    });
    await fixture.commit("nodes", {
      upsert: [
        { id: one, path: "gone", other: "z" },
        { id: two, path: "live.y.z", other: "z" },
      ],
    });
    const told = async (filter: Filter) => {
      const answer = (await reader.changesSince("nodes", from, filter)) as Extract<
        ChangesAnswer,
        { outcome: "changes" }
      >;
      return answer.batches.map(({ changes }) => changes.map((change) => [change.op, JSON.parse(change.key ?? "").id]));
    };
    const both = [
      [["upsert", one]],
      [
        ["delete", one],
        ["upsert", two],
      ],
    ];
    assert.deepEqual(await told(contains("cd", "live")), both);
    assert.deepEqual(await told(term({ is: "lquery", text: "live.*" })), both);
    const snapshot = await reader.snapshot("nodes", contains("cd", "live"));
    const pages = (await Array.fromAsync(snapshot.pages)).flat();
    assert.deepEqual(
      pages.map((row) => JSON.parse(row).id),
      [two],
    );
    await fixture.commit("nodes", { remove: [{ id: one }, { id: two }] });
  });

  test("a caller is shown what a policy lets it see of what is below", async () => {
    await fixture.createView("own", {
      columns: [column("id", "integer"), column("path", "text"), column("owner", "text")],
      key: ["id"],
      policy: "owner = claim('sub')",
      find: { search: null, fuzzy: [], geo: null, tree: ["path"] },
    });
    const own = (id: number, path: string, owner: string) => ({ id, path, owner });
    await fixture.commit("own", { upsert: [own(1, "a", "x"), own(2, "a.b", "y"), own(3, "a.c", "x")] });
    const query: RowQuery = { ...none, ...walk({ is: "below", path: "a" }), select: ["id"], count: "exact" };
    const shown = await reader.as({ kind: "bearer", claims: { sub: "x" } }).rows("own", query);
    assert.deepEqual([shown.rows, shown.total], [['{"id":1}', '{"id":3}'], 2]);
  });

  test("a read below a path is served by an index, and so is one by a pattern", async () => {
    fixture.rowsEstimated = 1_000_000;
    for (const filter of [contains("cd", "a"), contains("cs", "a.b"), term({ is: "lquery", text: "*.a" })]) {
      assert.equal((await reader.rows("nodes", { ...none, filter })).unindexed, undefined);
    }
    fixture.rowsEstimated = 0;
  });
});

test("paths of the greatest size fit the indexes, and reads of many rows go through them", async () => {
  await using fixture = await GroupFixture.open();
  await fixture.createView("nodes", {
    columns: [column("id", "integer"), column("path", "text")],
    key: ["id"],
    find: { search: null, fuzzy: [], geo: null, tree: ["path"] },
  });
  const { admin, group } = fixture;
  const long = () => Array.from({ length: 100 }, () => String(random.below(1e9)).padStart(9, "0")).join(".");
  const near = long().split(".").slice(0, 50);
  const largest = Array.from({ length: 500 }, (_, i) =>
    i % 2 === 0 ? long() : [...near, ...long().split(".").slice(50)].join("."),
  );
  await admin.query(
    "insert into millrace.nodes__1 (id, path) select n, path from unnest($1::text[]) with ordinality as u (path, n)",
    [largest],
  );
  const { rows: kept } = await admin.query("select count(_millrace_tree_1) as n from millrace.nodes__1");
  assert.deepEqual(kept, [{ n: "500" }]);
  await admin.query(
    "truncate millrace.nodes__1; drop index millrace.nodes__1__millrace_tree_1_idx;" +
      "insert into millrace.nodes__1 (id, path) select i, concat_ws('.', 'r', i / 5000, i / 100, i) from generate_series(1, 12000) as i",
  );
  const { find } = group.readable("nodes");
  if (find === undefined) throw new Error("the view has no options");
  const tables = { name: "nodes", version: 1, stateTable: "millrace.nodes__1", publicView: "", key: ["id"] };
  const [gist = ""] = findIndexes({ ...tables, find: find.options }, find.schemas);
  await admin.query(gist);
  await admin.query("analyze millrace.nodes__1");
  const plan = async (query: Partial<RowQuery>): Promise<string> => {
    const { text, parameters } = rowsSql(group.readable("nodes"), { ...none, ...query }, group.positionSql, 1_000_000);
    const { rows: lines } = await admin.query<{ "QUERY PLAN": string }>(`explain ${text}`, [...parameters.values]);
    return lines.map((line) => line["QUERY PLAN"]).join("\n");
  };
  const page = (question: TreeQuestion) =>
    plan({ filter: term(question, null), find: { tree: { column: null } }, limit: 20 });
  for (const question of [
    { is: "below", path: "r.1" },
    { is: "below", path: "r", levels: { least: 1, most: 1 } },
    { is: "below", path: "r.1.70", levels: { least: 0, most: 1 } },
    { is: "above", path: "r.1.70.7000", self: true },
  ] as const) {
    const lines = await page(question);
    assert.match(lines, /Index Scan using nodes__1_.*_idx\d? on nodes__1/, JSON.stringify(question));
    assert.doesNotMatch(lines, /Seq Scan on nodes__1/);
  }
  assert.match(
    await plan({ filter: term({ is: "lquery", text: "*.777" }, null) }),
    /Scan (using|on) nodes__1__millrace_tree_1_idx/,
  );
});
