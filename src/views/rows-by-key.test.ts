/** Reads by key on a whole group: its own change rows, swaps and truncates keep memory right. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../base/clock.ts";
import { seededRandom } from "../base/random.ts";
import type { Group } from "./group.ts";
import { live, ViewsFixture, viewOf } from "./group-fixture.ts";
import { openReader } from "./reader.ts";
import { type FixtureChange, tableShape } from "./source-fixture.ts";

const orders = tableShape("shop", "orders", ["id integer", "region text", "amount numeric(12,2)"]);
const byRegion = viewOf("by_region", "select region, sum(amount) as total from shop.orders group by region", "region");
const cards = viewOf("cards", "select id, region, amount from shop.orders", "id");
const regions = ["north", "south", "é"];
const ids = ["1", "2", "3", "4"];

test("rows that are read by their keys are those of the view after each commit, a rebuild, another definition and a truncate", async () => {
  await using fixture = await ViewsFixture.open();
  const shop = await fixture.source("shop", [orders]);
  const group = await fixture.group([byRegion, cards]);
  await shop.snapshot([{ table: orders, insert: ["1", "north", "1.00"] }]);
  await live(group);
  const reader = openReader({ group, store: { readers: fixture.pool }, clock: systemClock });
  const same = async (view: string, keys: readonly string[], column: string, of: Group) => {
    await fixture.settled(of);
    const rows = await fixture.rows(`select * from views.${view} order by ${column}`);
    const known = new Map(rows.map((row) => JSON.parse(row)).map((row) => [String(row[column]), row]));
    for (const key of keys) {
      const { row, position } = await reader.row(view, [key], null);
      const found = row && JSON.parse(row.body);
      assert.deepEqual(found && text(found), known.has(key) ? text(known.get(key)) : null, `${view}/${key}`);
      assert.ok(position.batch >= of.position().batch);
    }
  };
  const check = async () => {
    // Twice, so that the second time is from memory.
    for (let i = 0; i < 2; i++) {
      await same("by_region", regions, "region", group);
      await same("cards", ids, "id", group);
    }
  };
  const random = seededRandom(5);
  const there = new Set(["1"]);
  const change = (): FixtureChange => {
    const id = ids[random.below(ids.length)] as string;
    if (there.has(id) && random.below(3) === 0) {
      there.delete(id);
      return { table: orders, delete: [id, undefined, undefined] };
    }
    const cells = [id, regions[random.below(3)] as string, `${random.below(100)}.50`];
    if (there.has(id)) return { table: orders, update: cells };
    there.add(id);
    return { table: orders, insert: cells };
  };
  for (let i = 0; i < 12; i++) {
    await shop.commit(change());
    await check();
  }
  await group.rebuild("by_region");
  await live(group);
  await check();
  const other = viewOf("cards", "select id, region, amount + 1 as amount from shop.orders", "id");
  await group.reload([byRegion, other]);
  await live(group);
  await check();
  await shop.commit({ table: orders, truncate: true });
  await check();
  const figures = reader.rowCache();
  assert.deepEqual(figures.map(({ view }) => view).sort(), ["by_region", "cards"]);
  assert.ok(figures.every(({ hits, misses }) => hits > 40 && misses > 10));
  reader.close();
});

/** Numbers as texts, which is how rows are answered. */
function text(row: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, String(Number(value) || value)]));
}
