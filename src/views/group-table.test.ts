import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import type { Group } from "./group.ts";
import { live, until, ViewsFixture, viewOf } from "./group-fixture.ts";
import { type FixtureChange, tableShape } from "./source-fixture.ts";

const orders = tableShape("shop", "orders", ["id integer", "customer_id integer", "amount integer"]);
const customers = tableShape("shop", "customers", ["id integer", "name text"]);
const cards = "select o.id, c.name, o.amount from shop.orders o join shop.customers c on c.id = o.customer_id";
const total = "select count(*) as n, sum(amount) as amount from shop.orders";
const names = "select name, count(*) as n from shop.customers group by name";
const views = [viewOf("cards", cards, "id"), viewOf("total", total, []), viewOf("names", names, "name")];

const order = (id: number, amount: string | number, customer = 1): FixtureChange => ({
  table: orders,
  insert: [`${id}`, `${customer}`, `${amount}`],
});
const customer = (id: number, name: string): FixtureChange => ({ table: customers, insert: [`${id}`, name] });

const stateOf = (group: Group, view: string) => group.info(view).state;

function refusal(group: Group, view: string): string {
  try {
    group.readable(view);
    return "none";
  } catch (error) {
    return MillraceError.from(error).code;
  }
}

async function assertRight(fixture: ViewsFixture): Promise<void> {
  for (const [name, query] of Object.entries({ cards, total, names })) {
    assert.deepEqual(await fixture.rows(`select * from views.${name}`), await fixture.rows(query), name);
  }
}

test("while one table is read anew its views are building, all others go on, and at its end they are the plain query", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group(views);
  await shop.snapshot([customer(1, "Ada"), customer(2, "Bob"), order(10, 5), order(11, 6)]);
  await live(group);
  const id = await shop.beginTable(orders);
  await until(group, () => stateOf(group, "total").kind === "building");
  assert.equal(refusal(group, "cards"), "VIEW_BUILDING");
  const state = stateOf(group, "cards");
  assert.match(state.kind === "building" ? state.reason : "", /shop\.orders/);
  // The stream goes on among the chunks; row 11 is gone, and nothing told it.
  await shop.tableChunk(id, [order(10, 7)]);
  await shop.commit(order(12, 1), customer(3, "Cy"));
  await shop.commit({ table: orders, update: ["10", "2", "8"] }, { table: customers, delete: ["2", "Bob"] });
  await fixture.settled(group);
  assert.equal(stateOf(group, "names").kind, "live");
  assert.deepEqual(await fixture.rows("select * from views.names"), await fixture.rows(names));
  assert.deepEqual(await fixture.rows("select name from views.names"), ['{"name":"Ada"}', '{"name":"Cy"}']);
  await shop.tableChunk(id, [order(12, 1), order(13, 2, 3)]);
  assert.equal(refusal(group, "total"), "VIEW_BUILDING");
  await shop.endTable(id);
  await fixture.settled(group);
  await live(group);
  await assertRight(fixture);
  assert.deepEqual(await fixture.rows("select * from views.total"), ['{"n":3,"amount":11}']);
  await shop.commit(order(14, 4), { table: orders, delete: ["10", "2", "8"] });
  await fixture.settled(group);
  await assertRight(fixture);
});

test("a table that is read in another shape has its mirror made anew, and a view that needs what is gone fails alone", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group(views);
  await shop.snapshot([customer(1, "Ada"), order(10, 5)]);
  await live(group);
  const retyped = tableShape("shop", "orders", ["id integer", "customer_id integer", "amount numeric(10,2)"]);
  const id = await shop.beginTable(retyped);
  await shop.tableChunk(id, [{ table: retyped, insert: ["10", "1", "5.50"] }]);
  await shop.endTable(id);
  await fixture.settled(group);
  await live(group);
  await assertRight(fixture);
  assert.deepEqual(await fixture.rows("select * from views.total"), ['{"n":1,"amount":5.50}']);
  const narrow = tableShape("shop", "orders", ["id integer", "customer_id integer"]);
  const second = await shop.beginTable(narrow);
  await shop.tableChunk(second, [{ table: narrow, insert: ["10", "1"] }]);
  await shop.endTable(second);
  await fixture.settled(group);
  await until(group, () => stateOf(group, "total").kind === "failed" && stateOf(group, "names").kind === "live");
  await shop.commit(customer(4, "Di"));
  await fixture.settled(group);
  assert.deepEqual(await fixture.rows("select * from views.names"), await fixture.rows(names));
});

test("a reading that was begun once more counts from its last beginning, through a restart of the group as well", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const group = await fixture.group(views);
  await shop.snapshot([customer(1, "Ada"), order(10, 5)]);
  await live(group);
  const first = await shop.beginTable(orders);
  await shop.tableChunk(first, [order(90, 1), order(91, 1)]);
  const second = await shop.beginTable(orders);
  await shop.endTable(first);
  await shop.tableChunk(second, [order(10, 5)]);
  await fixture.settled(group);
  assert.equal(refusal(group, "total"), "VIEW_BUILDING");
  await fixture.kill(group);
  const next = await fixture.group(views);
  await until(next, () => stateOf(next, "names").kind === "live");
  assert.equal(refusal(next, "total"), "VIEW_BUILDING");
  await shop.tableChunk(second, [order(11, 6)]);
  await shop.endTable(second);
  await fixture.settled(next);
  await live(next);
  await assertRight(fixture);
  assert.deepEqual(await fixture.rows("select * from views.total"), ['{"n":2,"amount":11}']);
});

test("a table that is added to a source that streams gets its views when it is whole", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [customers]);
  const group = await fixture.group(views);
  await shop.snapshot([customer(1, "Ada")]);
  await until(group, () => stateOf(group, "names").kind === "live");
  const id = await shop.beginTable(orders);
  await shop.commit(order(10, 5));
  await shop.tableChunk(id, [order(11, 6)]);
  await shop.endTable(id);
  await fixture.settled(group);
  await live(group);
  await assertRight(fixture);
});
