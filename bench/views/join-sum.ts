/** How fast does a group apply changes to a view that joins and sums, compared with the same changes applied to its mirrors only? */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { type Random, seededRandom, systemRandom } from "../../src/base/random.ts";
import { realDisk } from "../../src/base/real-disk.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/embedded-engine.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { openStore, type Store } from "../../src/store/store.ts";
import { type Group, openGroup } from "../../src/views/group.ts";
import { until, viewOf } from "../../src/views/group-fixture.ts";
import { type FixtureChange, SourceFixture, tableShape } from "../../src/views/source-fixture.ts";
import { type Benchmark, type BenchmarkSize, percentile } from "../harness.ts";

const sizes = {
  full: { orders: 100_000, customers: 20_000, changesPerRound: 40_000, rounds: 2, changesPerBatch: 1_000 },
  tiny: { orders: 200, customers: 20, changesPerRound: 100, rounds: 1, changesPerBatch: 50 },
} as const;
const changesPerTransaction = 50;

const orders = tableShape("shop", "orders", [
  "id integer",
  "customer_id integer",
  "status text",
  "amount numeric(12,2)",
  "quantity integer",
  "created_at timestamp with time zone",
  "note text",
]);
const customers = tableShape("shop", "customers", ["id integer", "region text", "tier text"]);
const never = tableShape("other", "never", ["id integer"]);

const sales = viewOf(
  "sales",
  `select c.region, c.tier, count(*) as n, sum(o.amount) as amount from shop.orders o
   join shop.customers c on c.id = o.customer_id where o.status <> 'new' group by c.region, c.tier`,
);
/** Needs the same mirrors, and waits for a snapshot that does not end. */
const waiting = viewOf(
  "waiting",
  "select o.id, c.region from shop.orders o join shop.customers c on c.id = o.customer_id join other.never x on x.id = o.id",
);

interface Phase {
  changes: number;
  elapsedMs: number;
  readonly batchesMs: number[];
}

async function run(size: BenchmarkSize) {
  const { rounds } = sizes[size];
  const directory = await mkdtemp(join(process.env.MILLRACE_BENCH_DIRECTORY ?? tmpdir(), "millrace-bench-"));
  const view: Phase = { changes: 0, elapsedMs: 0, batchesMs: [] };
  const mirrors: Phase = { changes: 0, elapsedMs: 0, batchesMs: [] };
  const common = { clock: systemClock, random: systemRandom, diagnostics: silentDiagnostics };
  const store = await openStore({
    url: null,
    dataDirectory: directory,
    port: 0,
    portRequired: false,
    binDirectory: null,
    ...common,
  });
  const engine = await openEmbeddedEngine({ disk: realDisk, directory: join(directory, "log"), ...common });
  try {
    const shop = await SourceFixture.open(engine, "shop", [orders, customers]);
    await (await SourceFixture.open(engine, "other", [never])).beginSnapshot();
    const load = new Load(seededRandom(1), size);
    await shop.snapshot(load.rows());
    for (let round = 0; round < rounds; round++) {
      // One after the other in each round, so that both meet the same disk and tables of about the same size.
      await phase(engine, store, size, shop, load, sales, view);
      await phase(engine, store, size, shop, load, waiting, mirrors);
    }
  } finally {
    await engine.close();
    await store.close();
    await rm(directory, { recursive: true, force: true });
  }
  const rate = ({ changes, elapsedMs }: Phase) => changes / (elapsedMs / 1000);
  const details = ({ batchesMs }: Phase) => ({ p50Ms: percentile(batchesMs, 0.5), p99Ms: percentile(batchesMs, 0.99) });
  return {
    results: [
      { name: "join and sum", value: rate(view), unit: "changes/s", details: details(view) },
      { name: "mirrors only", value: rate(mirrors), unit: "changes/s", details: details(mirrors) },
    ],
    bound: "mirrors only",
  } as const;
}

/** The changes are in the log before the group is opened: what is measured is how it works them off. */
async function phase(
  engine: Engine,
  store: Store,
  size: BenchmarkSize,
  shop: SourceFixture,
  load: Load,
  definition: typeof sales,
  result: Phase,
): Promise<void> {
  const { changesPerRound, changesPerBatch } = sizes[size];
  const open = () =>
    openGroup({
      name: "main",
      engine,
      store,
      definitions: [definition],
      sources: [
        { name: "shop", tables: [] },
        { name: "other", tables: [] },
      ],
      mode: "dev",
      clock: systemClock,
      random: systemRandom,
      diagnostics: silentDiagnostics,
      // Offsets are counted, and a delete has a tombstone beside it.
      bound: { changesMax: Math.round(changesPerBatch * 1.1), bytesMax: 32 * 1024 * 1024 },
    });
  const first = await open();
  await applied(first, shop);
  if (definition === sales) await until(first, () => first.info("sales").state.kind === "live");
  await first.close();
  for (let i = 0; i < changesPerRound; i += 1_000) {
    const transactions = Array.from({ length: 1_000 / changesPerTransaction }, () => load.transaction());
    await shop.commitTogether(transactions.slice(0, Math.ceil((changesPerRound - i) / changesPerTransaction)));
  }
  const group = await open();
  const startedMs = systemClock.monotonicMs();
  let lastMs = startedMs;
  let batch = group.position().batch;
  const stop = group.onChange(() => {
    if (group.position().batch === batch) return;
    batch = group.position().batch;
    const nowMs = systemClock.monotonicMs();
    result.batchesMs.push(nowMs - lastMs);
    lastMs = nowMs;
  });
  await applied(group, shop);
  result.elapsedMs += systemClock.monotonicMs() - startedMs;
  result.changes += changesPerRound;
  stop();
  await group.close();
}

function applied(group: Group, shop: SourceFixture): Promise<void> {
  return group.waitFor({ kind: "source", source: "shop", lsn: shop.lsn }, 600_000);
}

/** 45 % inserts, 48 % updates (5 % of them to another customer), 6 % deletes, 1 % customers; keys are uniformly random. */
class Load {
  readonly #random: Random;
  readonly #orders: string[] = [];
  readonly #customers: number;
  #next = 1;

  constructor(random: Random, size: BenchmarkSize) {
    this.#random = random;
    this.#customers = sizes[size].customers;
    for (let i = 0; i < sizes[size].orders; i++) this.#orders.push(String(this.#next++));
  }

  rows(): FixtureChange[] {
    return [
      ...Array.from({ length: this.#customers }, (_, i) => ({ table: customers, insert: this.#customer(i + 1) })),
      ...this.#orders.map((id) => ({ table: orders, insert: this.#order(id, this.#customerOf(id)) })),
    ];
  }

  transaction(): FixtureChange[] {
    return Array.from({ length: changesPerTransaction }, () => this.#change());
  }

  #change(): FixtureChange {
    const dice = this.#random.below(100);
    if (dice === 0) return { table: customers, update: this.#customer(1 + this.#random.below(this.#customers)) };
    if (dice < 46) {
      const id = String(this.#next++);
      this.#orders.push(id);
      return { table: orders, insert: this.#order(id, this.#customerOf(id)) };
    }
    const at = this.#random.below(this.#orders.length);
    const id = this.#orders[at] ?? "";
    if (dice < 94) {
      const moved = this.#random.below(20) === 0;
      const customer = moved ? String(1 + this.#random.below(this.#customers)) : this.#customerOf(id);
      return { table: orders, update: this.#order(id, customer) };
    }
    const last = this.#orders.pop() ?? "";
    if (at < this.#orders.length) this.#orders[at] = last;
    return { table: orders, delete: [id, ...orders.columns.slice(1).map(() => undefined)] };
  }

  #customerOf(id: string): string {
    return String(1 + ((Number(id) * 7919) % this.#customers));
  }

  #customer(id: number): string[] {
    return [String(id), `region ${this.#random.below(20)}`, `tier ${this.#random.below(10)}`];
  }

  #order(id: string, customer: string): string[] {
    const status = ["new", "paid", "sent", "done"][this.#random.below(4)] ?? "new";
    const amount = (this.#random.below(100_000) / 100).toFixed(2);
    const created = "2026-01-02 03:04:05.678901+00";
    return [
      id,
      customer,
      status,
      amount,
      String(this.#random.below(9)),
      created,
      "a note of about forty-five characters, as usual",
    ];
  }
}

export const benchmark: Benchmark = {
  question: "How fast does a group apply changes to a view that joins and sums?",
  method:
    "100,000 orders, 20,000 customers, 200 groups; batches of 1,000 changes (45 % inserts, 48 % updates, 6 % deletes, 1 % customers, random keys) that are in the log already, against the same for a group that keeps the two mirrors only; embedded PostgreSQL, synchronous commits, reading the log and decoding included",
  notMeasured: "capture; readers at the same time; more rows than fit into memory",
  run,
};
