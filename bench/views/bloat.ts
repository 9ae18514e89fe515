/** How much more than their rows do the tables of views take, while those are updated without end? */
import type { Client } from "pg";
import { seededRandom } from "../../src/base/random.ts";
import { live, viewOf } from "../../src/views/group-fixture.ts";
import type { Benchmark, BenchmarkSize, Measurement, Progress } from "../harness.ts";
import { GroupHouse } from "./support/group-house.ts";
import { SalesLoad, salesQuery, salesTables } from "./support/sales.ts";

const sizes = {
  full: { orders: 100_000, customers: 20_000, products: 1_000, steps: 20, changes: 100_000 },
  tiny: { orders: 100, customers: 20, products: 10, steps: 2, changes: 100 },
} as const;

const changesPerBatch = 100;
/** As many as deletes. */
const insertsOfThousand = 60;

/** One of each class that keeps rows. */
const views = [
  viewOf("sales", salesQuery),
  viewOf("paid", "select id, customer_id, amount, quantity from shop.orders where status <> 'new'"),
  viewOf(
    "largest",
    "select customer_id, max(amount) as amount, count(distinct status) as n from shop.orders group by customer_id",
  ),
  viewOf(
    "ranks",
    "select customer_id, id, amount, rank() over (partition by customer_id order by amount desc, id) from shop.orders",
  ),
];

const kinds = {
  state: "n.nspname = 'millrace' and c.relname ~ '__[0-9]+$'",
  mirrors: "n.nspname = 'shop'",
  changes: "n.nspname = 'millrace' and c.relname ~ '__[0-9]+_log$'",
  bookkeeping: "n.nspname = 'millrace' and c.relname !~ '__[0-9]+'",
  catalogue: "n.nspname = 'pg_catalog'",
} as const;
type Kind = keyof typeof kinds;
type Sizes = Readonly<Record<Kind, number>>;

const rowsKept: readonly Kind[] = ["state", "mirrors"];

async function megabytes(client: Client): Promise<Sizes> {
  const columns = Object.entries(kinds).map(
    ([kind, isOne]) =>
      `coalesce(sum(pg_total_relation_size(c.oid)) filter (where ${isOne}), 0)::float8 / 1e6 as ${kind}`,
  );
  const { rows } = await client.query<Sizes>(
    `select ${columns.join(", ")} from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r'`,
  );
  return rows[0] as Sizes;
}

async function run(size: BenchmarkSize, progress: Progress) {
  const { steps, changes } = sizes[size];
  const load = new SalesLoad(seededRandom(1), sizes[size], insertsOfThousand);
  await using house = await GroupHouse.open(salesTables, load.rows());
  const group = await house.group(views, changesPerBatch);
  await house.settled(group);
  await live(group);
  const client = await house.store.connect("sizes");
  const seen: Sizes[] = [await megabytes(client)];
  for (let step = 1; step <= steps; step++) {
    await house.write(changes, (most) => load.transaction(most));
    await house.settled(group);
    const now = await megabytes(client);
    seen.push(now);
    const said = Object.entries(now).map(([kind, value]) => `${kind} ${value.toFixed(1)}`);
    progress(`${(step * changes).toLocaleString("en")} changes: ${said.join(", ")} MB`);
  }
  await group.close();
  const packed = await pack(client);
  await client.end();
  const results = Object.keys(kinds).flatMap((name): Measurement[] => {
    const kind = name as Kind;
    const of = seen.map((one) => one[kind]);
    const [first = 0] = of;
    const details = { atFirstMB: first, afterHalfMB: of[steps >> 1] ?? 0, mostMB: Math.max(...of) };
    const measured = { name: kind, value: of.at(-1) ?? 0, unit: "MB", details };
    if (!rowsKept.includes(kind)) return [measured];
    const bound = `${kind}, packed`;
    return [
      { ...measured, bounds: [bound] },
      { name: bound, value: packed[kind], unit: "MB" },
    ];
  });
  return { results: results as [Measurement, ...Measurement[]], bound: "state, packed" } as const;
}

/** What the same rows take in tables that were just written, with the space that these leave for updates. */
async function pack(client: Client): Promise<Sizes> {
  const { rows } = await client.query<{ name: string }>(
    `select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'r' and (${rowsKept.map((kind) => kinds[kind]).join(" or ")})`,
  );
  for (const { name } of rows) await client.query(`vacuum full ${name}`);
  return megabytes(client);
}

export const benchmark: Benchmark = {
  question: "How much more than their rows do the tables of views take under updates without end?",
  method:
    "100,000 orders of 20,000 customers; a join that is summed, rows, sums by customer that are computed again, ranks; two million changes (87 % updates, 6 % inserts, 6 % deletes, random keys) in batches of 100 as fast as they go; " +
    "sizes of the tables with their indexes at the end, in the store that Millrace starts, with its own settings and no vacuum but autovacuum; against the same after `vacuum full`",
  notMeasured: "readers with long transactions, which hold back every vacuum; a server of one's own",
  run,
};
