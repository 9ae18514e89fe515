/** Orders of customers for products, and what happens to them: the load of the benchmarks of a view that joins and sums. */
import type { Random } from "../../../src/base/random.ts";
import { type FixtureChange, tableShape } from "../../../src/views/source-fixture.ts";

export const orders = tableShape("shop", "orders", [
  "id integer",
  "customer_id integer",
  "product_id integer",
  "status text",
  "amount numeric(12,2)",
  "quantity integer",
  "created_at timestamp with time zone",
  "note text",
]);
export const customers = tableShape("shop", "customers", ["id integer", "region text", "tier text"]);
export const products = tableShape("shop", "products", ["id integer", "category text", "title text"]);
export const salesTables = [orders, customers, products];

/** 200 groups. */
export const salesQuery = `
  select c.region, p.category, count(*) as n, sum(o.amount) as amount
  from shop.orders o
  join shop.customers c on c.id = o.customer_id
  join shop.products p on p.id = o.product_id
  where o.status <> 'new'
  group by c.region, p.category`;

export interface SalesSize {
  readonly orders: number;
  readonly customers: number;
  readonly products: number;
}

/**
 * 45 % inserts, 48 % updates (5 % of them to another customer), 6 % deletes, 1 % customers, 0.1 % products; keys are uniformly random.
 * With other `inserts`, of a thousand changes, so many more of them are updates: with 60 there are as many orders after as before.
 */
export class SalesLoad {
  readonly #random: Random;
  readonly #size: SalesSize;
  readonly #inserts: number;
  readonly #orders: string[] = [];
  #next = 1;

  constructor(random: Random, size: SalesSize, inserts = 449) {
    this.#random = random;
    this.#size = size;
    this.#inserts = inserts;
    for (let i = 0; i < size.orders; i++) this.#orders.push(String(this.#next++));
  }

  /** All rows as they stand before the first change. */
  rows(): FixtureChange[] {
    const { customers: people, products: goods } = this.#size;
    return [
      ...Array.from({ length: people }, (_, i) => ({ table: customers, insert: this.#customer(i + 1) })),
      ...Array.from({ length: goods }, (_, i) => ({ table: products, insert: this.#product(i + 1) })),
      ...this.#orders.map((id) => ({ table: orders, insert: this.#order(id, this.#customerOf(id)) })),
    ];
  }

  /** A transaction of one change is no delete, which would be two records. */
  transaction(changes: number): FixtureChange[] {
    return Array.from({ length: changes }, () => this.#change(changes > 1));
  }

  #change(deletes: boolean): FixtureChange {
    const dice = this.#random.below(1_000);
    if (dice === 0) return { table: products, update: this.#product(1 + this.#random.below(this.#size.products)) };
    if (dice <= 10) return { table: customers, update: this.#customer(1 + this.#random.below(this.#size.customers)) };
    if (dice <= 10 + this.#inserts) {
      const id = String(this.#next++);
      this.#orders.push(id);
      return { table: orders, insert: this.#order(id, this.#customerOf(id)) };
    }
    const at = this.#random.below(this.#orders.length);
    const id = this.#orders[at] ?? "";
    if (dice < 940 || !deletes) {
      const moved = this.#random.below(20) === 0;
      const customer = moved ? String(1 + this.#random.below(this.#size.customers)) : this.#customerOf(id);
      return { table: orders, update: this.#order(id, customer) };
    }
    const last = this.#orders.pop() ?? "";
    if (at < this.#orders.length) this.#orders[at] = last;
    return { table: orders, delete: [id, ...orders.columns.slice(1).map(() => undefined)] };
  }

  #customerOf(id: string): string {
    return String(1 + ((Number(id) * 7919) % this.#size.customers));
  }

  #customer(id: number): string[] {
    return [String(id), `region ${this.#random.below(20)}`, `tier ${this.#random.below(10)}`];
  }

  #product(id: number): string[] {
    return [String(id), `category ${this.#random.below(10)}`, `product ${id}`];
  }

  #order(id: string, customer: string): string[] {
    const product = String(1 + ((Number(id) * 104_729) % this.#size.products));
    const status = ["new", "paid", "sent", "done"][this.#random.below(4)] ?? "new";
    const amount = (this.#random.below(100_000) / 100).toFixed(2);
    const created = "2026-01-02 03:04:05.678901+00";
    const note = "a note of about forty-five characters, as usual";
    return [id, customer, product, status, amount, String(this.#random.below(9)), created, note];
  }
}
