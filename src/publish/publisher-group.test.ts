/** Publishing from a real group: what is published stays the view through everything that happens to a view. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { nextTurn } from "../base/turn.ts";
import { sql, type ViewDefinition, view } from "../catalog/definitions.ts";
import { decodeCommitted } from "../engine/records.ts";
import { ProgressTable } from "../ownership/progress-table.ts";
import type { Group } from "../views/group.ts";
import { FixtureStore, live, until, ViewsFixture, viewOf } from "../views/group-fixture.ts";
import { openReader } from "../views/reader.ts";
import { type FixtureChange, tableShape } from "../views/source-fixture.ts";
import type { ViewsReader } from "../views/view-info.ts";
import { publication } from "./publish.fixture.ts";
import { Publishers } from "./publishers.ts";

const orders = tableShape("shop", "orders", ["id integer", "customer text", "amount numeric(12,2)"]);
const totals = "select customer, count(*) as n, sum(amount) as total from shop.orders group by customer";
const order = (id: number, customer: string, amount: string): FixtureChange => ({
  table: orders,
  insert: [`${id}`, customer, amount],
});

/** A group, its reader, and the view's publisher. */
async function open(fixture: ViewsFixture, definition: ViewDefinition) {
  const group = await fixture.group([definition]);
  const reader = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  const { engine } = fixture;
  const publishers = new Publishers({
    engine,
    clock: systemClock,
    diagnostics: silentDiagnostics,
    progress: await ProgressTable.open({ engine, clock: systemClock }),
    reader,
    store: new FixtureStore(fixture.database.url),
    misfitOf: () => null,
  });
  await publishers.apply([publication("totals", "totals")]);
  return { group, reader, publishers };
}

async function assertPublished(
  fixture: ViewsFixture,
  { group, reader, publishers }: { group: Group; reader: ViewsReader; publishers: Publishers },
): Promise<void> {
  await fixture.settled(group);
  await live(group);
  const now = group.position();
  const isThere = () => {
    const at = publishers.of("totals")?.position;
    return at?.generation === now.generation && at.batch >= now.batch;
  };
  while (!isThere()) await nextTurn();
  const { pages } = await reader.snapshot("totals", null);
  const rows: string[] = [];
  for await (const page of pages) rows.push(...page);
  assert.deepEqual([...(await folded(fixture)).values()].sort(), rows.sort());
}

async function folded({ engine }: ViewsFixture): Promise<ReadonlyMap<string, string>> {
  const place = { topic: "totals", partition: 0, offset: 0, isolation: "read_committed", bytesMax: 1 << 24 } as const;
  const rows = new Map<string, string>();
  for (const { key, value } of decodeCommitted(await engine.read(place), 0)) {
    if (value === null) rows.delete(String(key));
    else rows.set(String(key), String(value));
  }
  return rows;
}

test("a topic stays its view through changes, rebuilds, other definitions, restarts and the loss of the store", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders]);
  await shop.snapshot([order(1, "Ada", "5.00"), order(2, "Bob", "7.50")]);
  let house = await open(fixture, viewOf("totals", totals, "customer"));
  await assertPublished(fixture, house);
  assert.deepEqual(
    await folded(fixture),
    new Map([
      ["Ada", '{"customer":"Ada","n":"1","total":"5.00"}'],
      ["Bob", '{"customer":"Bob","n":"1","total":"7.50"}'],
    ]),
  );
  await shop.commit(order(3, "Ada", "1.00"), { table: orders, delete: ["2", null, null] });
  await assertPublished(fixture, house);
  assert.deepEqual([...(await folded(fixture)).keys()], ["Ada"]);

  const written = () => house.publishers.of("totals")?.records;
  const before = written();
  await house.group.rebuild("totals");
  await assertPublished(fixture, house);
  assert.equal(written(), before, "a rebuild that changes nothing writes nothing");

  await house.group.reload([viewOf("totals", totals.replace("count(*) as n, ", ""), "customer")]);
  await assertPublished(fixture, house);
  assert.deepEqual([...(await folded(fixture)).values()], ['{"customer":"Ada","total":"6.00"}']);

  // The store comes back as it was a batch ago, while the program runs.
  const { generation } = house.group.position();
  await fixture.pool.query(
    "update millrace.groups set batch = batch - 1; select pg_terminate_backend(pid) from pg_stat_activity " +
      "where datname = current_database() and pid <> pg_backend_pid()",
  );
  await until(house.group, () => house.group.position().generation > generation);
  await assertPublished(fixture, house);

  await fixture.kill(house.group);
  await house.publishers.close();
  await shop.commit(order(4, "Cy", "2.00"));
  house = await open(fixture, viewOf("totals", totals, "customer"));
  await assertPublished(fixture, house);

  await fixture.kill(house.group);
  await house.publishers.close();
  await fixture.pool.query("drop schema millrace cascade; drop schema views cascade; drop schema shop cascade");
  await shop.commit({ table: orders, delete: ["1", null, null] });
  house = await open(fixture, viewOf("totals", totals, "customer"));
  await assertPublished(fixture, house);
  assert.deepEqual([...(await folded(fixture)).keys()].sort(), ["Ada", "Cy"]);
  assert.equal(written(), 1, "what the topic has already is not written again");
  await house.publishers.close();
});

test("a view that is recomputed whole is published by what each computation changed", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders]);
  await shop.snapshot([order(1, "Ada", "5.00"), order(2, "Bob", "7.50")]);
  const largest = "select customer, amount from shop.orders order by amount desc, customer limit 1";
  const house = await open(fixture, view("totals", { ...sql``, text: largest }, { key: "customer", refresh: "1s" }));
  await assertPublished(fixture, house);
  assert.deepEqual([...(await folded(fixture)).keys()], ["Bob"]);
  await shop.commit(order(3, "Cy", "9.00"));
  await fixture.settled(house.group);
  await house.group.waitFor({ kind: "group", position: house.group.position() }, 20_000, undefined, ["totals"]);
  await assertPublished(fixture, house);
  assert.deepEqual([...(await folded(fixture)).keys()], ["Cy"]);
  assert.equal(house.publishers.of("totals")?.batches, 1);
  await house.publishers.close();
});
