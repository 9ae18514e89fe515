/**
 * How fast does a group apply changes to a view that joins and sums, compared with the same changes applied to its mirrors
 * only, and with what people write by hand in PostgreSQL?
 */
import { systemClock } from "../../src/base/clock.ts";
import { seededRandom } from "../../src/base/random.ts";
import { until, viewOf } from "../../src/views/group-fixture.ts";
import { tableShape } from "../../src/views/source-fixture.ts";
import { findPgIvm, installPgIvm } from "../../tools/pg-ivm.ts";
import type { Benchmark, BenchmarkSize, Measurement, Progress } from "../harness.ts";
import { changesPerSecond, GroupHouse, type WorkedOff, workedOff } from "./support/group-house.ts";
import { SalesLoad, salesQuery, salesTables } from "./support/sales.ts";
import { openPeer, type PeerKind } from "./support/sales-peers.ts";

interface Batches {
  readonly changesEach: number;
  readonly changes: number;
  /** A refresh reads everything: it is asked for fewer of them. */
  readonly refreshes: number;
}

const sizes = {
  full: {
    orders: 100_000,
    customers: 20_000,
    products: 1_000,
    rounds: 2,
    batches: [
      { changesEach: 10_000, changes: 80_000, refreshes: 3 },
      { changesEach: 100, changes: 20_000, refreshes: 20 },
      { changesEach: 1, changes: 2_000, refreshes: 20 },
    ],
  },
  tiny: {
    orders: 200,
    customers: 20,
    products: 10,
    rounds: 1,
    batches: [
      { changesEach: 50, changes: 100, refreshes: 1 },
      { changesEach: 1, changes: 5, refreshes: 1 },
    ],
  },
} as const;
const allPeers: readonly PeerKind[] = ["statement triggers", "row triggers", "pg_ivm", "refresh"];

const never = tableShape("other", "never", ["id integer"]);
const sales = viewOf("sales", salesQuery);
/** Needs the same mirrors, and waits for a snapshot that does not end. */
const waiting = viewOf(
  "waiting",
  `select o.id, o.status, o.amount, c.region, p.category from shop.orders o join shop.customers c on c.id = o.customer_id
   join shop.products p on p.id = o.product_id join other.never x on x.id = o.id`,
);

/** By its name. */
type Phases = Map<string, WorkedOff>;

async function run(size: BenchmarkSize, progress: Progress) {
  const { rounds, batches } = sizes[size];
  const phases: Phases = new Map();
  const ivmMissing = size === "tiny" && !findPgIvm() ? "" : whyNoPgIvm();
  const peers = ivmMissing === undefined ? allPeers : allPeers.filter((kind) => kind !== "pg_ivm");
  const load = new SalesLoad(seededRandom(1), sizes[size]);
  await using house = await GroupHouse.open(salesTables, load.rows(), never);
  for (let round = 1; round <= rounds; round++) {
    for (const each of batches) {
      progress(`round ${round} of ${rounds}: batches of ${each.changesEach}`);
      // One after the other in each round, so that all meet the same disk and tables of about the same size.
      await group(house, load, each, sales, phaseOf(phases, "join and sum", each));
      await group(house, load, each, waiting, phaseOf(phases, "mirrors only", each));
      for (const kind of peers) await peer(house, size, each, kind, phaseOf(phases, kind, each));
    }
  }
  const results = batches.flatMap((each) => {
    const of = (name: string) => measured(nameOf(name, each), phases);
    const others = ["mirrors only", ...peers].map(of);
    return [{ ...of("join and sum"), bounds: others.map(({ name }) => name) }, ...others];
  });
  return {
    results: results as [Measurement, ...Measurement[]],
    bound: nameOf("mirrors only", batches[0]),
    notes: ivmMissing ? [ivmMissing] : [],
  };
}

/** Undefined when it is here. */
function whyNoPgIvm(): string | undefined {
  try {
    installPgIvm();
    return undefined;
  } catch (error) {
    return `pg_ivm was not measured: ${error instanceof Error ? error.message : error}`;
  }
}

function nameOf(name: string, { changesEach }: Batches): string {
  return `${name}, batches of ${changesEach.toLocaleString("en")}`;
}

function phaseOf(phases: Phases, name: string, each: Batches): WorkedOff {
  const key = nameOf(name, each);
  const phase = phases.get(key) ?? workedOff();
  phases.set(key, phase);
  return phase;
}

function measured(name: string, phases: Phases): Measurement {
  return changesPerSecond(name, phases.get(name) ?? workedOff());
}

/** The changes are in the log before the group is opened: what is measured is how it works them off. */
async function group(
  house: GroupHouse,
  load: SalesLoad,
  { changesEach, changes }: Batches,
  definition: typeof sales,
  result: WorkedOff,
): Promise<void> {
  const open = () => house.group([definition], Math.round(changesEach * 1.1));
  const first = await open();
  await house.settled(first);
  if (definition === sales) await until(first, () => first.info("sales").state.kind === "live");
  await first.close();
  await house.write(changes, (most) => load.transaction(Math.min(most, changesEach)));
  const opened = await open();
  await house.workOff(opened, changes, result);
  await opened.close();
}

async function peer(
  { store }: GroupHouse,
  size: BenchmarkSize,
  { changesEach, changes, refreshes }: Batches,
  kind: PeerKind,
  result: WorkedOff,
): Promise<void> {
  const load = new SalesLoad(seededRandom(2), sizes[size]);
  const peer = await openPeer(await store.connect("bench peer"), kind, load.rows());
  const count = kind === "refresh" ? refreshes : changes / changesEach;
  const startedMs = systemClock.monotonicMs();
  for (let i = 0; i < count; i++) {
    const beganMs = systemClock.monotonicMs();
    await peer.apply(load.transaction(changesEach));
    result.batchesMs.push(systemClock.monotonicMs() - beganMs);
  }
  result.elapsedMs += systemClock.monotonicMs() - startedMs;
  result.changes += count * changesEach;
  await peer.check();
  await peer.close();
}

export const benchmark: Benchmark = {
  question: "How fast does a group apply changes to a view that joins and sums?",
  method:
    "100,000 orders, 20,000 customers, 1,000 products, 200 groups; 45 % inserts, 48 % updates, 6 % deletes, 1 % customers, 0.1 % products, random keys; in batches of 10,000, of 100 and of 1 (without " +
    "deletes), which are in the log already; against the same for a group that keeps the three mirrors only; embedded PostgreSQL, synchronous commits, reading the log and decoding included. The peers are plain tables in the " +
    "same server, to which a client applies netted batches with a prepared statement a kind and one commit a batch: triggers written by hand for each statement and each row, pg_ivm as Debian builds it, and refresh materialized view concurrently " +
    "after each batch. Their results are compared with the query at the end",
  notMeasured:
    "capture; readers at the same time; more rows than fit into memory; the log, the change rows and the positions, which the peers have not",
  run,
};
