/** How long does a new view over tables that are captured already take to be readable, compared with its plain query? */
import { systemClock } from "../../src/base/clock.ts";
import { live, viewOf } from "../../src/views/group-fixture.ts";
import { tableShape } from "../../src/views/source-fixture.ts";
import type { Benchmark, BenchmarkSize, Progress } from "../harness.ts";
import { GroupHouse } from "./support/group-house.ts";

const sizes = {
  full: { orders: 10_000_000, customers: 100_000, rounds: 2 },
  tiny: { orders: 1_000, customers: 100, rounds: 1 },
} as const;

const orders = tableShape("shop", "orders", ["id integer", "customer_id integer", "amount numeric(12,2)"]);
const customers = tableShape("shop", "customers", ["id integer", "name text", "region text"]);

const query =
  "select o.id, o.amount, c.name, c.region from shop.orders o join shop.customers c on c.id = o.customer_id";
/** Keeps the mirrors there. */
const count = viewOf(
  "counted",
  "select count(*) as n from shop.orders o join shop.customers c on c.id = o.customer_id",
);

async function run(size: BenchmarkSize, progress: Progress) {
  const { orders: rows, customers: people, rounds } = sizes[size];
  await using house = await GroupHouse.open([orders, customers], []);
  const group = await house.group([count]);
  await house.settled(group);
  await live(group);
  progress(`${rows} rows into the mirrors`);
  const client = await house.store.connect("bench");
  // Behind the group's back: what is measured reads the mirrors, and a log of so many rows is another benchmark.
  await client.query(
    `insert into shop.customers select i, 'customer ' || i, 'region ' || i % 50 from generate_series(1, ${people}) i`,
  );
  await client.query(
    `insert into shop.orders select i, 1 + (i * 7919::bigint) % ${people}, (i % 100000) / 100.0 from generate_series(1, ${rows}) i`,
  );
  await client.query("vacuum analyze shop.orders");
  await client.query("vacuum analyze shop.customers");
  const took = { view: [] as number[], plain: [] as number[], keyed: [] as number[] };
  const timed = async (into: number[], what: () => Promise<unknown>) => {
    const beganMs = systemClock.monotonicMs();
    await what();
    into.push((systemClock.monotonicMs() - beganMs) / 1_000);
  };
  for (let round = 1; round <= rounds; round++) {
    progress(`round ${round} of ${rounds}: create table as`);
    await timed(took.plain, () => client.query(`create table views.plain as ${query}`));
    progress(`round ${round} of ${rounds}: its primary key`);
    await timed(took.keyed, () => client.query("alter table views.plain add primary key (id)"));
    await client.query("drop table views.plain");
    progress(`round ${round} of ${rounds}: the view`);
    await timed(took.view, async () => {
      await group.reload([count, viewOf("cards", query)]);
      await live(group);
    });
    await group.reload([count]);
  }
  await client.end();
  await group.close();
  const median = (all: number[]) => all.sort((a, b) => a - b)[all.length >> 1] ?? 0;
  const [view, plain, keyed] = [median(took.view), median(took.plain), median(took.keyed)];
  const measured = (name: string, seconds: number) => ({
    name,
    value: rows / seconds,
    unit: "rows/s",
    details: { seconds },
  });
  const names = ["a view, until it is readable", "create table as", "create table as, with its primary key"] as const;
  return {
    results: [
      { ...measured(names[0], view), bounds: [names[1], names[2]] },
      measured(names[1], plain),
      measured(names[2], plain + keyed),
    ],
    bound: names[1],
  } as const;
}

export const benchmark: Benchmark = {
  question: "How long does a new view over 10 million rows that are captured already take to be readable?",
  method:
    "10 million orders joined with 100,000 customers, a row of the view for each order; from the definition to the first batch in which the view can be read: filled, indexed by its key, analyzed; " +
    "against create table as of the same query in the same server, without and with a primary key; the middle one of the rounds",
  notMeasured: "capture and mirrors, which are there before; changes that arrive meanwhile",
  run,
};
