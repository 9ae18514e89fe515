import assert from "node:assert/strict";
import { test } from "node:test";
import { compiled, refused, table } from "../compile-fixture.ts";

const orders = table(1, "orders", ["id bigint", "customer_id bigint", "status text", "note text?"], ["id"]);
const lines = table(2, "lines", ["order_id bigint", "line integer", "quantity integer"], ["order_id", "line"]);
const mirrors = [orders, lines];

test("a query is traced by a column that it does not show, which readers never see", () => {
  const text =
    "select id, status is distinct from 'new' as old, row_number() over (partition by customer_id order by id) as rn from orders";
  const view = compiled(text, mirrors);
  assert.deepEqual([view.class, view.key, view.publicColumns], ["keyed", ["id"], ["id", "old", "rn"]]);
  assert.match(view.explanation, /run again for each orders\.customer_id that a change reaches/);
  const hidden = "_millrace_k0";
  assert.ok(view.fill.includes(`as rn , "orders"."customer_id" as "${hidden}" from "shop"."orders"`), view.fill);
  assert.ok(view.recompute.every((one) => one.includes(hidden)));
  for (const seen of [view.query, view.publicView, view.create.find((one) => one.includes("_log")) ?? ""])
    assert.ok(!seen.includes(hidden), seen);
  assert.ok(!view.merge("1").slice(view.merge("1").indexOf("returning")).includes(hidden));
  assert.deepEqual(view.scans, []);
  assert.deepEqual(view.uses, [{ mirrorId: 1, columns: ["id", "customer_id", "status"] }]);
});

test("only what it is traced by is added", () => {
  const view = compiled(
    "select distinct on (o.customer_id) l.order_id, l.line from orders o join lines l on l.order_id = o.id order by o.customer_id, l.quantity desc, l.order_id, l.line",
    mirrors,
  );
  assert.match(view.explanation, /run again for each o\.customer_id that/);
  assert.ok(view.fill.includes("_millrace_k0") && !view.fill.includes("_millrace_k1"), view.fill);
});

test("a column of a subquery serves where it shows it", () => {
  const ranked = (list: string) =>
    `select id, rn from (select ${list}, row_number() over (partition by status order by id) as rn from orders) q where rn <= 3`;
  assert.match(compiled(ranked("id, status"), mirrors).explanation, /run again for each q\.status that/);
  // Where it does not, its rows are kept, with the column.
  assert.match(compiled(ranked("id"), mirrors).explanation, /kept beneath it: .*"q".* for each orders\.status that/);
});

test("rows without a key are traced by what few of them share, and by the side of a join that is always there", () => {
  const ofEach = (text: string) => /for each (.*) that a change reaches/.exec(compiled(text, mirrors).explanation)?.[1];
  assert.equal(ofEach("select o.status, l.quantity from orders o left join lines l on l.order_id = o.id"), "o.id");
  assert.equal(ofEach("select p.status from orders o left join orders p on p.id = o.customer_id"), "o.id");
  assert.equal(ofEach("select max(id) as last from orders group by customer_id"), "orders.customer_id");
  assert.equal(ofEach("select status from orders except all select note from orders"), "status");
});

test("what no column traces stays refused, and a key is of what is shown", () => {
  refused(
    "VIEW_UNSUPPORTED",
    "select id, row_number() over (order by id) as rn from orders",
    /row_number\(\) goes over all/,
    mirrors,
  );
  refused("VIEW_UNSUPPORTED", "select max(id) as hi from orders", /max/, mirrors);
  const ranked = "select row_number() over (partition by customer_id order by id) as rn from orders";
  refused("VIEW_KEY_NOT_UNIQUE", ranked, /primary key of each table/, mirrors, ["rn"]);
  assert.equal(compiled(ranked, mirrors).key, null);
  refused("VIEW_KEY_INVALID", `select id, ${ranked.slice(7)}`, /not in the select list/, mirrors, ["customer_id"]);
  // Another column would make other rows of DISTINCT.
  const distinct = "select distinct status, count(*) over (partition by customer_id) as n from orders";
  refused("VIEW_UNSUPPORTED", distinct, /window functions/, mirrors);
});
