/** A thousand views over five hundred tables in one process: all come to be live, follow each change, and are there again after a restart. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import type { Group } from "../../src/views/group.ts";
import { live, ViewsFixture, viewOf } from "../../src/views/group-fixture.ts";
import { type SourceFixture, tableShape } from "../../src/views/source-fixture.ts";

const tableCount = 500;
const viewCount = 1_000;
const waitMs = 1_800_000;

const tables = Array.from({ length: tableCount }, (_, i) =>
  tableShape("shop", `t${i}`, ["id integer", "a integer", "b text"]),
);

function queryOf(n: number): string {
  const [one, other] = [`shop.t${n % tableCount}`, `shop.t${(n * 7 + 1) % tableCount}`];
  switch (n % 4) {
    case 0:
      return `select id, a, b from ${one} where a > ${n % 3}`;
    case 1:
      return `select a, count(*) as n, sum(id) as s from ${one} group by a`;
    case 2:
      return `select x.id, x.a, y.b from ${one} x join ${other} y on y.id = x.a`;
    default:
      return `select a, max(id) as most from ${one} group by a`;
  }
}

const definitions = Array.from({ length: viewCount }, (_, n) => viewOf(`v${n}`, queryOf(n)));

test(`${viewCount} views over ${tableCount} tables are their queries, through changes and a restart`, async (t) => {
  await using fixture = await ViewsFixture.open();
  const began = systemClock.monotonicMs();
  const lap = (what: string) => {
    const seconds = ((systemClock.monotonicMs() - began) / 1_000).toFixed(0);
    t.diagnostic(`${what} after ${seconds} s, ${(process.memoryUsage().rss / 1024 ** 2).toFixed(0)} MB`);
  };
  const shop = await fixture.source("shop", tables);
  await shop.snapshot(
    tables.flatMap((table) =>
      Array.from({ length: 20 }, (_, i) => ({ table, insert: [String(i), String(i % 5), `b${i}`] })),
    ),
  );
  const group = await fixture.group(definitions);
  await reached(group, shop);
  await live(group);
  lap("live");
  for (const [i, table] of tables.entries()) {
    if (i % 20 === 0) await shop.commit({ table, update: ["1", "3", `c${i}`] }, { table, insert: ["77", "2", "new"] });
  }
  await reached(group, shop);
  lap("changes of single tables");
  await shop.commit(...tables.map((table) => ({ table, update: ["2", "4", "z"] })));
  await reached(group, shop);
  lap("one transaction over all tables");
  await holds(fixture);
  await group.close();

  const again = await fixture.group(definitions);
  await live(again);
  lap("opened again");
  await shop.commit(...tables.map((table) => ({ table, delete: ["3", null, null] })));
  await reached(again, shop);
  await holds(fixture);
  lap("done");
});

function reached(group: Group, shop: SourceFixture): Promise<void> {
  return group.waitFor({ kind: "source", source: "shop", lsn: shop.lsn }, waitMs);
}

async function holds(fixture: ViewsFixture): Promise<void> {
  for (let n = 0; n < viewCount; n++) {
    const [view, query] = [`select * from views.v${n}`, queryOf(n)];
    const { rows } = await fixture.pool.query(
      `(${view} except all (${query})) union all ((${query}) except all ${view}) limit 5`,
    );
    assert.deepEqual(rows, [], `v${n}: ${query}`);
  }
}
