/** `views explain` says what a view takes: its size, and how its statements run on the tables as they are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { live, ViewsFixture, viewOf } from "./group-fixture.ts";
import { explainView } from "./reader-explain.ts";
import { tableShape } from "./source-fixture.ts";

const orders = tableShape("shop", "orders", ["id integer", "customer_id integer", "amount integer"]);
const customers = tableShape("shop", "customers", ["id integer", "name text"]);
const count = 3_000;

const probing = viewOf(
  "probing",
  "select o.id, c.name from shop.orders o join shop.customers c on c.id = o.customer_id",
);
const keyed = viewOf("keyed", "select customer_id, max(amount) as most from shop.orders group by customer_id");
const reading = viewOf(
  "reading",
  "select o.id, c.id as customer, c.name from shop.orders o join shop.customers c on c.id > o.customer_id + 2990",
);

test("a statement that probes indexes is told apart from one that reads a table from one end to the other", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  const ids = Array.from({ length: count }, (_, i) => String(i + 1));
  await shop.snapshot([
    ...ids.map((id) => ({ table: customers, insert: [id, `customer ${id}`] })),
    ...ids.map((id) => ({ table: orders, insert: [id, id, "5"] })),
  ]);
  const group = await fixture.group([probing, keyed, reading]);
  await fixture.settled(group);
  await live(group);
  await fixture.pool.query("analyze shop.orders, shop.customers");
  const before = await fixture.rows("select * from views.keyed");

  const explained = async (view: string) => {
    const upkeep = await group.upkeep(view);
    return { upkeep, text: explainView(group.info(view), group.compiled(view), upkeep) };
  };
  for (const view of ["probing", "keyed"]) {
    const { upkeep, text } = await explained(view);
    assert.deepEqual(
      upkeep?.plans.flatMap((plan) => plan.readWhole),
      [],
      text,
    );
    assert.ok((upkeep?.stateBytes ?? 0) > 0);
    assert.match(text, /Index Scan using/);
    assert.match(text, /plan of merge/);
    assert.doesNotMatch(text, /slow:/);
  }
  const { text } = await explained("reading");
  assert.match(text, /slow: each such batch reads "shop"\."orders" from one end to the other/);

  assert.deepEqual(await fixture.rows("select * from views.keyed"), before);
  await shop.commit({ table: orders, update: ["7", "7", "9"] });
  await fixture.settled(group);
  assert.deepEqual(await fixture.rows("select most from views.keyed where customer_id = 7"), ['{"most":9}']);
});

test("a view that cannot be read yet has no upkeep, and why one is not known is said", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders, customers]);
  await shop.beginSnapshot();
  const group = await fixture.group([keyed]);
  assert.equal(await group.upkeep("keyed"), null);
  assert.doesNotMatch(explainView(group.info("keyed"), group.compiled("keyed"), null), /what it takes/);
  await assert.rejects(group.upkeep("keyd"), { code: "VIEW_UNKNOWN" });
});
