import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "@pgsql/types";
import { compiled, refused, table } from "./compile-fixture.ts";
import { groupingSets } from "./grouping-sets.ts";
import { SourceText } from "./source-text.ts";

const sales = table(
  1,
  "sales",
  ["id bigint", "region text", "city text", "kind text?", "amount numeric", "at date?"],
  ["id"],
);
const mirrors = [sales];

function setsOf(groupBy: string): string[] {
  const source = new SourceText("v", `select from t group by ${groupBy}`);
  const name = (node: Node) => {
    const field = "ColumnRef" in node ? node.ColumnRef.fields?.[0] : undefined;
    return field !== undefined && "String" in field ? (field.String.sval ?? "") : "?";
  };
  return groupingSets(source.statement, { source }).map((set) => set.map(name).join(""));
}

test("grouping sets, rollup and cube stand for what PostgreSQL takes them for", () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ["a, b", ["ab"]],
    ["()", [""]],
    ["(a, b), c", ["abc"]],
    ["row(a, b)", ["?"]],
    ["rollup (a, b, c)", ["abc", "ab", "a", ""]],
    ["rollup ((a, b), c)", ["abc", "ab", ""]],
    ["cube (a, b)", ["ab", "a", "b", ""]],
    ["cube ((a, b), c)", ["abc", "ab", "c", ""]],
    ["grouping sets ((a, b), c, ())", ["ab", "c", ""]],
    ["grouping sets (a, rollup (b, c), cube (d))", ["a", "bc", "b", "", "d", ""]],
    ["grouping sets (grouping sets (a, b), c)", ["a", "b", "c"]],
    ["a, rollup (b), cube (c)", ["abc", "ab", "ac", "a"]],
  ];
  for (const [groupBy, sets] of cases) assert.deepEqual(setsOf(groupBy), sets, groupBy);
});

test("grouping sets are additive, each a group of its own", () => {
  const text =
    "select region, kind, grouping(region, kind) as level, count(*) as n, sum(amount) as s from sales group by rollup (region, kind)";
  const view = compiled(text, mirrors);
  assert.deepEqual([view.class, view.key], ["additive", ["region", "kind", "level"]]);
  assert.match(view.explanation, /^class: additive, 3 grouping sets, each as follows\n/);
  assert.equal(view.explanation.split("\n").filter((line) => line.includes("the mirror is written")).length, 1);
  assert.deepEqual(compiled(text, mirrors, ["level", "region", "kind"]).key, ["level", "region", "kind"]);
});

test("a NULL that stands for all rows is told from a value where values are never NULL", () => {
  const text = "select region, city, count(*) as n from sales group by cube (region, city)";
  assert.deepEqual(compiled(text, mirrors).key, ["region", "city"]);
  const nullable = "select region, kind, count(*) as n from sales group by rollup (region, kind)";
  refused("VIEW_KEY_NOT_UNIQUE", nullable, /grouping\(a, b\) as level/, mirrors, ["region", "kind"]);
  const half = nullable.replace("count(*)", "grouping(region) as level, count(*)");
  refused("VIEW_KEY_NOT_UNIQUE", half, /grouping\(a, b\) as level/, mirrors, ["region", "kind", "level"]);
  const hidden =
    "select region, grouping(region, city) as level, count(*) as n from sales group by rollup (region, city)";
  refused("VIEW_KEY_NOT_UNIQUE", hidden, /Select all columns of GROUP BY/, mirrors, ["region", "level"]);
  for (const keyless of [nullable, half, hidden]) assert.equal(compiled(keyless, mirrors).key, null);
});

test("one grouping set is a plain grouping", () => {
  assert.deepEqual(compiled("select region, count(*) as n from sales group by grouping sets ((region))", mirrors).key, [
    "region",
  ]);
  assert.deepEqual(compiled("select count(*) as n from sales group by ()", mirrors).key, []);
  assert.deepEqual(
    compiled("select grouping(region) as g, region, count(*) as n from sales group by region", mirrors).key,
    ["region"],
  );
  const once = "select region, count(*) as n from sales group by distinct rollup (region), rollup (region)";
  assert.deepEqual(compiled(once, mirrors).key, ["region"]);
});

test("grouping sets that cannot be kept are refused, saying what would help", () => {
  const by = (groupBy: string, list = "region") => `select ${list}, count(*) as n from sales group by ${groupBy}`;
  const twice = by("rollup (region), rollup (region)");
  refused("VIEW_KEY_NOT_UNIQUE", twice, /group by distinct/, mirrors, ["region"]);
  assert.equal(compiled(twice, mirrors).key, null);
  refused("VIEW_UNSUPPORTED", by("cube (region, city, kind, amount, at, id, city || kind)"), /more than 64/, mirrors);
  refused("VIEW_UNSUPPORTED", by(`rollup (${Array(70).fill("region").join(", ")})`), /more than 64/, mirrors);
  refused(
    "VIEW_UNSUPPORTED",
    by("rollup (daterange(at, at) * daterange(at, at))", "1 as one"),
    /type of an expression[\s\S]*Cast it/,
    mirrors,
  );
  refused("VIEW_SQL_INVALID", by("rollup (region)", "region, grouping(city) as g"), /expressions of GROUP BY/, mirrors);
  refused("VIEW_SQL_INVALID", by("rollup (region)", "region, city"), /"city" must stand in GROUP BY/, mirrors);
  refused("VIEW_SQL_INVALID", by("region, rollup (id)", "id, region, city"), /"city" must stand in GROUP BY/, mirrors);
  const parts = Array(20).fill("select region, city, kind from sales").join(" union all ");
  const wide = (by: string) => `select region, city, count(*) as n from (${parts}) u group by cube (${by})`;
  const sets = "region, city, kind, region || city";
  refused("VIEW_UNSUPPORTED", wide(sets), /over 20 parts of union all are more than 64/, mirrors);
  assert.equal(compiled(wide("region, city"), mirrors).class, "keyed");
});

test("beside rows of other tables a grouping set is told by its columns that are never NULL, or by grouping()", () => {
  const joined = (list: string, groupBy: string) =>
    `select t.id, s.* from sales t left join (select ${list}, max(amount) as hi from sales group by ${groupBy}) s on s.hi > t.amount`;
  const keyed = compiled(joined("region, city", "rollup (region, city)"), mirrors);
  assert.deepEqual([keyed.class, keyed.key], ["keyed", ["id", "region", "city"]]);
  assert.deepEqual(compiled(joined("kind, grouping(kind) as level", "cube (kind)"), mirrors).key, [
    "id",
    "kind",
    "level",
  ]);
  refused("VIEW_KEY_NOT_UNIQUE", joined("kind", "cube (kind)"), /grouping\(…\)/, mirrors, ["id", "kind"]);
  assert.equal(compiled(joined("kind", "cube (kind)"), mirrors).key, null);
  const doubled = joined("region, grouping(region) as level", "grouping sets (region, region)");
  refused("VIEW_KEY_NOT_UNIQUE", doubled, /not known/, mirrors, ["id", "region", "level"]);
  assert.equal(compiled(doubled, mirrors).key, null);
  assert.deepEqual(compiled(joined("region", "distinct region, grouping sets (region, ())"), mirrors).key, [
    "id",
    "region",
  ]);
  // What a set leaves out is NULL in the state, whatever its table says.
  assert.doesNotMatch(keyed.create.join("\n"), /"city" set not null/);
  assert.deepEqual(
    compiled("select t.id, s.hi from sales t, (select max(amount) as hi from sales group by ()) s", mirrors).key,
    ["id"],
  );
});
