import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { sql, view } from "../catalog/definitions.ts";
import { live, until, ViewsFixture } from "./group-fixture.ts";
import { openReader } from "./reader.ts";
import { tableShape } from "./source-fixture.ts";

const orders = tableShape("shop", "orders", ["id integer", "customer_id integer", "amount numeric(12,2)"]);
const customers = tableShape("shop", "customers", ["id integer", "name text"]);

test("a reference that is added builds its view again with an index, and rows are embedded both ways", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const people = view("people", sql`select id, name from shop.customers`, { key: "id" });
  const query = sql`select id, customer_id, amount from shop.orders`;
  const references = { customer: { view: people, on: { customer_id: "id" } } };
  const group = await fixture.group([people, view("cards", query, { key: "id" })]);
  await shop.snapshot([
    { table: customers, insert: ["1", "Ada"] },
    { table: orders, insert: ["10", "1", "5.50"] },
  ]);
  await live(group);
  const before = group.readable("cards");
  assert.deepEqual(group.relations("people"), []);
  assert.equal(group.info("cards").references, undefined);
  await group.reload([people, view("cards", query, { key: "id", references })]);
  await until(group, () => group.readable("cards").version > before.version);
  await live(group);
  assert.deepEqual(group.info("cards").references, [{ name: "customer", view: "people", on: [["customer_id", "id"]] }]);
  const indexes = `select indexdef from pg_indexes where schemaname = 'millrace' and tablename = 'cards__${group.readable("cards").version}'`;
  assert.match((await fixture.rows(indexes)).join("\n"), /\(customer_id\)/);
  const indexed = ({ indexes }: typeof before) =>
    indexes.map(({ columns, method }) => `${method} ${columns}`).toSorted();
  assert.deepEqual(indexed(before), ["btree id"]);
  assert.deepEqual(indexed(group.readable("cards")), ["btree customer_id", "btree id"]);
  const reader = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  assert.match(await reader.explain("cards"), /create index on .*"customer_id"/);
  const embedded = { inner: false, filter: null, order: [], limit: null, offset: 0 };
  const all = { filter: null, order: [], limit: 10, offset: 0, cursor: null };
  await shop.commit({ table: orders, insert: ["11", "1", "1.00"] });
  await fixture.settled(group);
  const up = await reader.rows("cards", {
    ...all,
    select: ["id", { relation: "customer", select: ["name"], ...embedded }],
  });
  assert.deepEqual(up.rows, ['{"id":10,"customer":{"name":"Ada"}}', '{"id":11,"customer":{"name":"Ada"}}']);
  const down = await reader.rows("people", {
    ...all,
    select: ["name", { relation: "cards", select: ["amount"], ...embedded }],
  });
  assert.deepEqual(JSON.parse(down.rows[0] ?? ""), { name: "Ada", cards: [{ amount: "5.50" }, { amount: "1.00" }] });
  assert.deepEqual(down.position, group.position());
  reader.close();
});
