import assert from "node:assert/strict";
import { test } from "node:test";
import { until, ViewsFixture, viewOf } from "./group-fixture.ts";
import { tableShape } from "./source-fixture.ts";

const orders = tableShape("shop", "orders", [
  "id integer",
  "customer_id integer",
  "status text",
  "amount numeric(12,2)",
]);
const customers = tableShape("shop", "customers", ["id integer", "name text", "region text"]);

const byRegion = `select c.region, count(*) as n, sum(o.amount) as total
  from shop.orders o join shop.customers c on c.id = o.customer_id group by c.region`;
const cards = `select o.id, o.status, c.name, o.amount from shop.orders o join shop.customers c on c.id = o.customer_id`;

test("views follow a snapshot and what is committed after it", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group([viewOf("by_region", byRegion, "region"), viewOf("cards", cards, "id")]);
  await shop.snapshot([
    { table: customers, insert: ["1", "Ada", "north"] },
    { table: customers, insert: ["2", "Bob", "south"] },
    { table: orders, insert: ["10", "1", "new", "5.50"] },
    { table: orders, insert: ["11", "2", "paid", "7.00"] },
  ]);
  await until(group, () => group.list().every((view) => view.state.kind === "live"));
  assert.deepEqual(await fixture.rows("select * from views.by_region"), [
    '{"region":"north","n":1,"total":5.50}',
    '{"region":"south","n":1,"total":7.00}',
  ]);
  await shop.commit(
    { table: customers, update: ["1", "Ada", "south"] },
    { table: orders, insert: ["12", "1", "new", "1.25"] },
    { table: orders, delete: ["11", null, null, null] },
  );
  await fixture.settled(group);
  assert.deepEqual(await fixture.rows("select * from views.by_region"), ['{"region":"south","n":2,"total":6.75}']);
  assert.deepEqual(await fixture.rows("select * from views.cards"), await fixture.rows(cards));
});
