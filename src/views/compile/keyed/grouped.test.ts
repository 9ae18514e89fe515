import assert from "node:assert/strict";
import { test } from "node:test";
import { compiled, refused, table } from "../compile-fixture.ts";

const sales = table(
  1,
  "sales",
  ["id bigint", "region text", "city text?", "amount numeric", "weight float8", "at timestamptz"],
  ["id"],
);
const cities = table(2, "cities", ["name text", "mayor text?"], ["name"]);
const mirrors = [sales, cities];

test("grouping sets of any aggregate are run again for the keys of each set, which a hidden grouping() tells apart", () => {
  const view = compiled(
    "select region, city, max(amount) as hi from sales group by grouping sets ((region, city), (region))",
    mirrors,
  );
  assert.deepEqual([view.class, view.key, view.publicColumns], ["keyed", null, ["region", "city", "hi"]]);
  assert.match(
    view.explanation,
    /for each region and city that a change reaches, by itself for each of 2 grouping sets\n/,
  );
  assert.deepEqual(view.mirrorIndexes, [{ mirrorId: 1, columns: ["region", "city"] }]);
  assert.deepEqual(view.scans, []);
  for (const seen of [view.query, view.publicView, view.create.find((one) => one.includes("_log")) ?? ""])
    assert.ok(!seen.includes("_millrace_k"), seen);
});

test("what is grouped by may be written as a name or a number, an expression, or not be shown", () => {
  const queryOf = (text: string) => compiled(text, mirrors).recompute.join("\n");
  const among = (sql: string) => new RegExp(`where \\(${sql}\\) = any`);
  const by = (groups: string, list: string) =>
    `select ${list}, max(amount) as hi from sales group by grouping sets ((id, ${groups}), (${groups}))`;
  assert.match(queryOf(by("tag", "id, lower(region) as tag")), among("lower\\(region\\)"));
  assert.match(queryOf(by("2", "id, lower(region) || ',' as tag")), among("lower\\(region\\) \\|\\| ','"));
  assert.match(queryOf(by("lower(region)", "id")), among("lower\\(region\\)"));
  const shown = "select all region as r, max(s.amount) as hi from shop.sales s group by rollup (1, s.id)";
  assert.match(queryOf(shown), /_millrace_k1/);
  // A hidden column would make other rows of DISTINCT.
  refused("VIEW_UNSUPPORTED", shown.replace("all", "distinct"), /distinct|max/, mirrors);
});

test("a set without a column that the key of a table determines is told from one with it", () => {
  const text =
    "select s.id, s.region, s.at, max(c.mayor) as m from sales s join cities c on c.name = s.city group by s.id, rollup (s.region, s.at)";
  assert.deepEqual(compiled(text, mirrors).key, ["id", "region", "at"]);
  const level = text.replace("s.at,", "s.at, grouping(s.region, s.at) as level,");
  assert.deepEqual(compiled(level, mirrors, ["id", "region", "at"]).key, ["id", "region", "at"]);
  refused("VIEW_KEY_NOT_UNIQUE", level, /not known to identify a row/, mirrors, ["id"]);
  assert.deepEqual(compiled(level, mirrors, ["id", "level", "region", "at"]).key, ["id", "level", "region", "at"]);
});

test("the row of all rows is put together from other groups, where it follows from them", () => {
  const rollup = (list: string) => `select region, ${list} from sales group by rollup (region)`;
  const view = compiled(rollup("count(*) as n, max(amount) as hi, sum(amount) filter (where id > 1) as s"), mirrors);
  assert.match(view.explanation, /the row of all rows is put together from the groups of another set/);
  const totals = view.recompute.at(-1) ?? "";
  assert.match(totals, /where false group by/);
  assert.match(totals, /coalesce\(sum\(r\."n"\), 0\) as "n", max\(r\."hi"\) as "hi", sum\(r\."s"\) as "s"/);
  const cases: readonly (readonly [string, RegExp])[] = [
    ["avg(weight) as x", /"x" over all rows does not follow from its groups[\s\S]*grouping sets \(\(a, b\), \(a\)\)/],
    ["array_agg(id) as x", /"x" over all rows/],
    ["count(distinct id) as x", /"x" over all rows/],
    ["max(amount) - min(amount) as x", /"x" over all rows/],
    ["sum(weight) as x", /"x" would not be the same sum/],
    ["max(rank) as x", /there is no column "rank"/],
  ];
  for (const [list, says] of cases.slice(0, -1)) refused("VIEW_UNSUPPORTED", rollup(list), says, mirrors);
  refused("VIEW_UNSUPPORTED", `${rollup("max(amount) as hi")} having max(amount) > 1`, /HAVING would read/, mirrors);
  // Without that row it is kept.
  assert.equal(compiled(rollup("avg(weight) as x").replace("rollup", "grouping sets"), mirrors).class, "keyed");
});

test("a set by a window of time reads the rows near it", () => {
  const view = compiled(
    "select date_trunc('day', at) as day, region, max(amount) as hi from sales group by grouping sets ((1, 2), (1), (2))",
    mirrors,
  );
  assert.ok(view.mirrorIndexes.some(({ columns }) => columns.join() === "at"));
  const near = view.recompute.map((sql) => /from "shop"\."sales" where "at" >=/.test(sql));
  // Those with NULLs in their key are a statement of their own.
  assert.deepEqual(near, [true, false, true, false, false]);
});
