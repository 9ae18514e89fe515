import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../base/random.ts";
import { topic } from "../catalog/definitions.ts";
import { ViewsFixture, viewOf } from "./group-fixture.ts";
import { tableShape } from "./source-fixture.ts";
import { publish, settled, tableOf } from "./topics-fixture.ts";

const text = { type: "string" };
const properties = {
  customer: text,
  amount: { type: "number" },
  count: { type: "integer" },
  day: { ...text, format: "date" },
};
const orders = tableOf(topic("orders", { schema: { properties } }));

test("a member of megabytes stops no view that joins by it", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("orders", { batchBytesMax: 8 * 1024 * 1024 });
  const customers = tableShape("shop", "customers", ["id text", "name text", "credit numeric"]);
  const shop = await fixture.source("shop", [customers]);
  const byName =
    "select o._partition, o._offset, c.name from topics.orders o join shop.customers c on c.id = o.customer";
  const byCredit =
    "select o._partition, o._offset, c.id from topics.orders o join shop.customers c on c.credit = o.amount";
  const views = [viewOf("by_name", byName), viewOf("by_credit", byCredit)];
  const group = await fixture.group(views, { topics: [orders] });
  await shop.snapshot([{ table: customers, insert: ["a", "Ada", "7"] }]);
  await settled(fixture, group, "orders");
  const long = seededRandom(1)
    .bytes(1024 * 1024)
    .toString("hex");
  const digits = [...long.slice(0, 60_000)].map((digit) => Number.parseInt(digit, 16) % 10).join("");
  const values = [{ customer: long }, `{"amount": 1${digits}}`, { customer: "a", amount: 7 }];
  await publish(fixture, "orders", ...values.map((value) => ({ value })));
  await settled(fixture, group, "orders");
  await shop.commit({ table: customers, update: ["a", "Ada L.", "7"] });
  await fixture.settled(group);
  assert.deepEqual(await fixture.rows("select * from views.by_name"), ['{"_partition":0,"_offset":2,"name":"Ada L."}']);
  assert.deepEqual(await fixture.rows("select * from views.by_credit"), ['{"_partition":0,"_offset":2,"id":"a"}']);
  assert.deepEqual(await fixture.rows("select count(*) as n from topics.orders"), ['{"n":3}']);
});
