/** How much slower does a group follow a table that a hundred views read than one that a single view reads? */
import { seededRandom } from "../../src/base/random.ts";
import { live, viewOf } from "../../src/views/group-fixture.ts";
import type { Benchmark, BenchmarkSize, Progress } from "../harness.ts";
import { changesPerSecond, GroupHouse, workedOff } from "./support/group-house.ts";
import { SalesLoad, salesTables } from "./support/sales.ts";

const sizes = {
  full: { orders: 100_000, customers: 20_000, products: 1_000, rounds: 2, views: 100, changes: 50_000 },
  tiny: { orders: 100, customers: 20, products: 10, rounds: 1, views: 5, changes: 100 },
} as const;

/** Rows of some orders, and sums by one column, in turn; each with a condition of its own, so that no two are the same. */
export function viewOfOrders(n: number) {
  const over = `amount > ${(n * 7) % 500}`;
  if (n % 2 === 0)
    return viewOf(
      `orders_${n}`,
      `select id, customer_id, amount from shop.orders where quantity = ${n % 9} and ${over}`,
    );
  const by = ["customer_id", "product_id", "status", "quantity"][(n >> 1) % 4];
  return viewOf(
    `sums_${n}`,
    `select ${by}, count(*) as n, sum(amount) as amount from shop.orders where ${over} group by ${by}`,
  );
}

async function run(size: BenchmarkSize, progress: Progress) {
  const { rounds, views, changes } = sizes[size];
  const definitions = Array.from({ length: views }, (_, n) => viewOfOrders(n + 1));
  const load = new SalesLoad(seededRandom(1), sizes[size]);
  await using house = await GroupHouse.open(salesTables, load.rows());
  const [many, one] = [workedOff(), workedOff()];
  for (let round = 1; round <= rounds; round++) {
    for (const [defined, result] of [
      [definitions, many],
      [definitions.slice(0, 1), one],
    ] as const) {
      progress(`round ${round} of ${rounds}: ${defined.length} views`);
      const first = await house.group(defined);
      await house.settled(first);
      await live(first);
      await first.close();
      await house.write(changes, (most) => load.transaction(most));
      const group = await house.group(defined);
      await house.workOff(group, changes, result);
      await group.close();
    }
  }
  const names = [`${views} views over one table`, "1 view over it"] as const;
  return {
    results: [changesPerSecond(names[0], many), changesPerSecond(names[1], one)],
    bound: names[1],
  } as const;
}

export const benchmark: Benchmark = {
  question: "How fast does a group follow a table that a hundred views read?",
  method:
    "100,000 orders; 50 views of some of their rows and 50 of sums by one column, each with a condition of its own; batches of 10,000 changes (45 % inserts, 49 % updates, 6 % deletes, random keys) " +
    "that are in the log already, against the same for the first of the views; embedded PostgreSQL, synchronous commits, reading the log and decoding included",
  notMeasured: "capture; readers; views over several tables",
  run,
};
