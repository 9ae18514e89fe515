/** How fast do committed changes of a PostgreSQL become durable events in the log, compared with a drain of the same slot that only reads? */
import type { Benchmark, BenchmarkSize } from "../harness.ts";
import {
  capture,
  copySlot,
  cpuSecondsPerMillion,
  drain,
  flushed,
  newPhase,
  openStreamWorld,
  type Phase,
  perSecond,
} from "./support/stream-world.ts";

const sizes = {
  full: { rounds: 2, bulkTransactions: 150, rowsPerTransaction: 1_000, singleTransactions: 40_000 },
  tiny: { rounds: 1, bulkTransactions: 3, rowsPerTransaction: 20, singleTransactions: 20 },
} as const;

const table = `create table orders (id bigint primary key, customer_id int not null, status text not null,
  total numeric(12,2) not null, note text, placed_at timestamptz not null default now())`;

async function run(size: BenchmarkSize) {
  await using world = await openStreamWorld(`${table}; ${procedures}`);
  const { client } = world;
  const [bulk, bulkDrain, single, singleDrain] = [newPhase(), newPhase(), newPhase(), newPhase()];
  const { rounds, bulkTransactions, rowsPerTransaction, singleTransactions } = sizes[size];
  for (let round = 0; round < rounds; round++) {
    const both = async (changes: number, call: string, captured: Phase, drained: Phase) => {
      await client.query(call);
      await flushed(client);
      const copy = await copySlot(world);
      // In turn the one and the other first: who comes second finds the server's log warm.
      if (round % 2 === 0) await drain(world, copy, changes, drained);
      await capture(world, changes, captured);
      if (round % 2 === 1) await drain(world, copy, changes, drained);
    };
    const bulkCall = `call load_bulk(${bulkTransactions}, ${rowsPerTransaction})`;
    await both(bulkTransactions * rowsPerTransaction, bulkCall, bulk, bulkDrain);
    await both(singleTransactions, `call load_single(${singleTransactions})`, single, singleDrain);
  }
  const measured = (name: string, phase: Phase, more: Record<string, number> = {}) => ({
    name,
    value: perSecond(phase),
    unit: "changes/s",
    details: { cpuSecondsPerMillion: cpuSecondsPerMillion(phase), ...more },
  });
  return {
    results: [
      measured("capture, large transactions", bulk),
      measured("drain, large transactions", bulkDrain),
      { ...measured("capture, one row each", single), bounds: ["drain, one row each"] },
      measured("drain, one row each", singleDrain),
    ],
    bound: "drain, large transactions",
  } as const;
}

/** Half inserts, three tenths updates, two tenths deletes; and inserts of one row each. */
const procedures = `
  create or replace procedure load_bulk(transactions int, row_count int) language plpgsql as $$
  declare base bigint := (select coalesce(max(id), 0) from orders);
  begin
    for t in 1 .. transactions loop
      insert into orders select base + t * row_count + i, i % 1000, 'new', i * 1.37, repeat('note ', 12)
        from generate_series(1, row_count / 2) i;
      update orders set status = 'paid', total = total + 1
        where id > base + t * row_count and id <= base + t * row_count + row_count * 3 / 10;
      delete from orders where id > base + t * row_count and id <= base + t * row_count + row_count / 5;
      commit;
    end loop;
  end $$;
  create or replace procedure load_single(transactions int) language plpgsql as $$
  declare base bigint := (select coalesce(max(id), 0) from orders);
  begin
    for t in 1 .. transactions loop
      insert into orders values (base + t, t % 1000, 'new', t * 1.37, repeat('note ', 12));
      commit;
    end loop;
  end $$`;

export const benchmark: Benchmark = {
  question:
    "How fast do committed changes of a PostgreSQL become durable events in the log, compared with a drain that only reads?",
  method:
    "The same stretch of the server's log, through a copy of the slot and counted, and through the slot into the log, synced; transactions of 1,000 changes (half inserts, then updates and deletes) and of one insert; sums over the rounds, with connecting and catalogue reads.",
  notMeasured: "The server's own CPU, views, more than one table, network beyond loopback.",
  run,
};
