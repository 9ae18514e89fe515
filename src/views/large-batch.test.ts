/** A batch of many rows does not take time by their square, whatever its views are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { live, ViewsFixture, viewOf } from "./group-fixture.ts";
import { tableShape } from "./source-fixture.ts";

const parts = tableShape("shop", "parts", ["id integer", "parent integer", "weight integer"]);
const count = 10_000;

const queries = {
  lighter:
    "select a.id, count(b.id) as n, max(b.weight) as most from shop.parts a left join shop.parts b on b.parent = a.parent and b.weight < a.weight group by a.id",
  ranks: "select id, parent, row_number() over (partition by parent order by weight desc, id) as rank from shop.parts",
  pairs: "select a.id, b.id as other from shop.parts a join shop.parts b on b.parent = a.id",
};

test("self joins and ranks follow one transaction that changes every row", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [parts]);
  const row = (id: number, weight: number) => [String(id), String(id >> 3), String(weight)];
  const ids = Array.from({ length: count }, (_, i) => i + 1);
  await shop.snapshot(ids.map((id) => ({ table: parts, insert: row(id, id % 100) })));
  const group = await fixture.group(Object.entries(queries).map(([name, query]) => viewOf(name, query)));
  await fixture.settled(group);
  await live(group);
  await shop.commit(...ids.map((id) => ({ table: parts, update: row(id === 7 ? 9 : id, (id * 7919) % 101) })));
  await fixture.settled(group);
  for (const [name, query] of Object.entries(queries)) {
    const view = `select * from views.${name}`;
    assert.deepEqual(
      await fixture.rows(`(${view} except all ${query}) union all (${query} except all ${view})`),
      [],
      name,
    );
  }
});
