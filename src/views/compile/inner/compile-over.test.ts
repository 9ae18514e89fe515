import assert from "node:assert/strict";
import { test } from "node:test";
import { sql, view } from "../../../catalog/definitions.ts";
import { compiled, refused, table } from "../compile-fixture.ts";

const orders = table(
  1,
  "orders",
  ["id bigint", "customer bigint", "status text", "amount numeric", "at timestamptz"],
  ["id"],
);
const customers = table(2, "customers", ["id bigint", "region text"], ["id"]);
const mirrors = [orders, customers];
const tops = "select customer, max(amount) as top from orders group by customer";

test("groups of groups by an aggregate are kept over the rows of their subquery, which nobody sees", () => {
  const made = compiled(`select top, count(*) as n from (${tops}) m group by top`, mirrors);
  assert.deepEqual([made.class, made.key, made.publicColumns], ["keyed", ["top"], ["top", "n"]]);
  assert.deepEqual(made.innerTables, ['millrace."v__1_inner1"']);
  assert.match(
    made.explanation,
    /kept: per group 1 count\nkept beneath it: the rows of its subquery "m", .* for each customer that/,
  );
  assert.deepEqual(made.uses, [{ mirrorId: 1, columns: ["customer", "amount"] }]);
  assert.deepEqual(made.mirrorIndexes, [{ mirrorId: 1, columns: ["customer"] }]);
  for (const seen of [made.publicView, made.query]) assert.ok(!seen.includes("inner1"), seen);
  assert.ok(made.drop.some((one) => one.includes('"v__1_inner1"')));
  // Its terms are recorded while it is built: they write the one table that is.
  for (const term of made.terms) assert.ok(term.sql.startsWith(`insert into ${made.deltaTable} `), term.sql);
});

test("it is found through WITH, other views, and subqueries of subqueries", () => {
  const kept = (text: string, views = [] as ReturnType<typeof view>[]) =>
    compiled(text, mirrors, null, views).innerTables?.length;
  assert.equal(kept(`with m as (${tops}) select top, count(*) as n from m group by top`), 1);
  assert.equal(
    kept(`with m (c, t) as (${tops}), k as (select t from m) select t, count(*) as n from k x group by t`),
    1,
  );
  const top = view("tops", { ...sql``, text: tops });
  assert.equal(kept("select top, count(*) as n from views.tops group by top", [top]), 1);
  const again = `select n, count(*) as times from (select top, count(*) as n from (${tops}) m group by top) g group by n`;
  assert.equal(kept(again), 2);
  assert.equal(kept(`select * from (select top, count(*) as n from (${tops}) m group by top) g where n > 1`), 2);
});

test("what is kept over kept rows is what can be: counts and sums of groups, ranks, each value once", () => {
  const classes = [
    `select count(*) as n, sum(top) as s from (${tops}) m`,
    `select top, array_agg(customer) as customers from (${tops}) m group by top`,
    `select customer, rank() over (partition by top order by customer) as place from (${tops}) m`,
    `select distinct on (top) top, customer from (${tops}) m order by top, customer`,
    `select distinct top from (${tops}) m`,
    `select top, grouping(top) as level, count(*) as n, max(customer) as c from (${tops}) m group by rollup (top)`,
  ];
  for (const text of classes) assert.equal(compiled(text, mirrors).innerTables?.length, 1, text);
});

test("what is joined stands in the subquery, whose rows are then traced by a column that it does not show", () => {
  const joined = `select m.top, c.region from (${tops}) m join customers c on c.id = m.customer`;
  const made = compiled(`select top, max(region) as region, count(*) as n from (${joined}) x group by top`, mirrors);
  assert.equal(made.innerTables?.length, 1);
  assert.match(made.explanation, /its subquery "x", .* for each (m\.customer|c\.id) that/);
  assert.deepEqual(made.scans, []);
});

test("a key that is computed from kept rows reads those near it, by an index", () => {
  const last = "select customer, max(at) as last from orders group by customer";
  const made = compiled(
    `select date_trunc('day', last) as day, max(customer) as c from (${last}) m group by 1`,
    mirrors,
  );
  assert.equal(made.innerTables?.length, 1);
  assert.ok(made.create.some((one) => /create index on millrace\."v__1_inner1" \("c1"\)/.test(one)));
  assert.ok(made.recompute.some((one) => /"v__1_inner1" where "c1" >= .*min\("day"\)/.test(one)));
});

test("over a join the joined rows are kept, with the columns that are read of them", () => {
  const joined = `(${tops}) m join customers c on c.id = m.customer`;
  const kept = (text: string) => {
    const made = compiled(text, mirrors);
    assert.equal(made.innerTables?.length, 1, text);
    assert.deepEqual(made.scans, [], text);
    return made;
  };
  const made = kept(`select m.top, count(*) as n from ${joined} where c.region <> 'north' group by m.top`);
  assert.deepEqual([made.class, made.key, made.publicColumns], ["keyed", ["top"], ["top", "n"]]);
  assert.match(made.explanation, /kept beneath it: the rows of what it joins, .* for each (m\.customer|c\.id) that/);
  assert.deepEqual(made.uses[1], { mirrorId: 2, columns: ["id", "region"] });
  kept(`select m.top, upper(c.region) as region, count(*) as n from ${joined} group by m.top, region`);
  kept(
    `select top, upper(region) as region, count(*) as n from ${joined} group by top, region, 2 having max(region) > ''`,
  );
  kept(`with m as (${tops}) select top, array_agg(c.region) from m, customers c where c.id = m.customer group by 1`);
  kept(`select distinct m.top, c.region from ${joined}`);
  // Without it, each change would compute the subquery whole.
  kept(`select c.region, m.top, count(*) as n from ${joined} group by c.region, m.top`);
});

test("what is read of a join has to be told apart by name", () => {
  const twice = `(${tops}) m join (select customer, min(amount) as top from orders group by customer) l on l.customer = m.customer`;
  const no = (text: string) => refused("VIEW_UNSUPPORTED", text, /no column|of all groups/, mirrors);
  no(`select m.top, l.top as low, count(*) as n from ${twice} group by 1, 2`);
  assert.equal(compiled(`select m.top, count(*) as n from ${twice} group by m.top`, mirrors).innerTables?.length, 1);
});

test("what its rows cannot be traced through either stays refused, with what is in the way", () => {
  const no = (text: string, says: RegExp) => refused("VIEW_UNSUPPORTED", text, says, mirrors);
  no(`select max(top) as hi from (${tops}) m`, /of all groups/);
  for (const window of ["rank() over (order by top)", "rank() over w"])
    no(`select customer, ${window} as place from (${tops}) m window w as (order by top)`, /rank\(\) goes over all/);
  const beside = `select top, (select max(id) from orders) as last, count(*) as n from (${tops}) m group by top`;
  no(beside, /no column[\s\S]*inside of the subquery/);
  no(`select count(*) as n from (${tops}) m join customers c on c.id = m.customer`, /of all groups/);
  no("select max(id) as hi from orders", /max/);
  const last = "select customer, max(at) as last from orders group by customer";
  no(`select last, count(*) as n from (${last}) m where last > now() - interval '1 day' group by last`, /now\(\)/);
});

test("a key that does not tell its rows apart is refused as such", () => {
  const text = `select top, count(*) as n from (${tops}) m group by top`;
  refused("VIEW_KEY_INVALID", text, /"n" is computed from aggregates/, mirrors, ["n"]);
});
