/**
 * Customers who order, pay and receive. One transaction in six places an order, the others move one on or change a
 * price; while few orders are under way more are placed, so that there is always something to pay, pack and ship. At `ordersMax` orders the oldest delivered one goes for each new one, so that the database stops growing.
 *
 * Alone: `node -C source examples/shop/simulator.ts postgres://… --rate 50 --orders-max 5000`.
 */
import { parseArgs } from "node:util";
import pg from "pg";

export interface SimulatorOptions {
  readonly url: string;
  /** Transactions per second. */
  readonly rate: number;
  readonly ordersMax: number;
  readonly signal: AbortSignal;
}

/** So many orders are under way at least. */
const underWayMin = 24;

const nextStatus = `
  update orders set status = (enum_range(status, null))[2]
  where id = (
    select id from orders where status <> 'delivered'
    and (select count(*) from orders where status <> 'delivered') > $1 order by random() limit 1
  )`;

const newOrder = `
  with o as (
    insert into orders (customer_id)
    select id from customers where (select count(*) from orders) < $1 order by random() limit 1 returning id
  )
  insert into order_lines (order_id, line, product_id, quantity, price)
  select o.id, row_number() over (), p.id, 1 + floor(random() * 4)::int, p.price
  from o, lateral (select id, price from products order by random() limit 1 + floor(random() * 3)::int) p`;

const dropOldest = `
  delete from orders where id = (select min(id) from orders where status = 'delivered')
  and (select count(*) from orders) >= $1`;

const newPrice =
  "update products set price = round((price * (0.95 + random() * 0.1))::numeric, 2) where id = (select id from products order by random() limit 1)";

/** Runs until the signal is aborted; a database that goes away is waited for. */
export async function simulate({ url, rate, ordersMax, signal }: SimulatorOptions): Promise<void> {
  while (!signal.aborted) {
    const client = new pg.Client({ connectionString: url, application_name: "shop simulator" });
    client.on("error", () => {});
    try {
      await client.connect();
      await trade(client, rate, ordersMax, signal);
    } catch (error) {
      if (signal.aborted) return;
      console.error(`shop simulator: ${error instanceof Error ? error.message : error}; again in a second`);
      await pause(1_000, signal);
    } finally {
      await client.end().catch(() => {});
    }
  }
}

async function trade(client: pg.Client, rate: number, ordersMax: number, signal: AbortSignal): Promise<void> {
  for (let i = 0; !signal.aborted; i++) {
    const began = performance.now();
    if (i % 60 === 59) await client.query(newPrice);
    else if (i % 6 === 0) await placeOrder(client, ordersMax);
    else {
      const { rowCount } = await client.query(nextStatus, [Math.min(underWayMin, ordersMax - 1)]);
      if (rowCount === 0) await placeOrder(client, ordersMax);
    }
    await pause(1_000 / rate - (performance.now() - began), signal);
  }
}

async function placeOrder(client: pg.Client, ordersMax: number): Promise<void> {
  await client.query("begin");
  await client.query(dropOldest, [ordersMax]);
  await client.query(newOrder, [ordersMax]);
  await client.query("commit");
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.max(0, ms));
    signal.addEventListener("abort", done, { once: true });
  });
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { rate: { type: "string", default: "5" }, "orders-max": { type: "string", default: "5000" } },
  });
  const url = positionals[0];
  if (url === undefined) {
    console.error("usage: simulator.ts postgres://… [--rate 5] [--orders-max 5000]");
    process.exit(2);
  }
  const controller = new AbortController();
  process.once("SIGINT", () => controller.abort());
  await simulate({
    url,
    rate: Number(values.rate),
    ordersMax: Number(values["orders-max"]),
    signal: controller.signal,
  });
}
