/** How fast do committed changes of a PostgreSQL become durable events in the log, compared with a drain of the same slot that only reads? */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { systemClock } from "../../src/base/clock.ts";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { systemRandom } from "../../src/base/random.ts";
import { realDisk } from "../../src/base/real-disk.ts";
import { closeConnection, connect } from "../../src/capture/connection.ts";
import { CopyBothStream } from "../../src/capture/copy-both.ts";
import { parseLsn } from "../../src/capture/lsn.ts";
import { openPostgresSource } from "../../src/capture/postgres.ts";
import type { Source } from "../../src/capture/source.ts";
import { postgres } from "../../src/catalog/definitions.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/embedded-engine.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { testDatabase } from "../../test/support/postgres.ts";
import type { Benchmark, BenchmarkSize } from "../harness.ts";

const sizes = {
  full: { rounds: 2, bulkTransactions: 150, rowsPerTransaction: 1_000, singleTransactions: 40_000 },
  tiny: { rounds: 1, bulkTransactions: 3, rowsPerTransaction: 20, singleTransactions: 20 },
} as const;

interface Phase {
  changes: number;
  elapsedMs: number;
  cpuMs: number;
}

const table = `create table orders (id bigint primary key, customer_id int not null, status text not null,
  total numeric(12,2) not null, note text, placed_at timestamptz not null default now())`;

async function run(size: BenchmarkSize) {
  await using database = await testDatabase();
  const directory = await mkdtemp(join(process.env.MILLRACE_BENCH_DIRECTORY ?? tmpdir(), "millrace-bench-"));
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query(`${table}; set synchronous_commit = off`);
  const common = { clock: systemClock, random: systemRandom, diagnostics: silentDiagnostics, disk: realDisk };
  const engine = await openEmbeddedEngine({ ...common, directory: join(directory, "log") });
  const phase = (): Phase => ({ changes: 0, elapsedMs: 0, cpuMs: 0 });
  const [bulk, bulkDrain, single, singleDrain] = [phase(), phase(), phase(), phase()];
  try {
    const open = () =>
      openPostgresSource({
        ...common,
        definition: postgres("shop", { url: database.url, tables: ["orders"] }),
        engine,
        spillDirectory: join(directory, "spill"),
        mode: "start",
      });
    // Makes the slot; there are no rows yet.
    const first = open();
    first.start();
    await reached(first, await end(client));
    const slot = first.status().slot ?? "";
    await first.stop();
    const { rounds, bulkTransactions, rowsPerTransaction, singleTransactions } = sizes[size];
    for (let round = 0; round < rounds; round++) {
      const both = async (changes: number, call: string, captured: Phase, drained: Phase) => {
        await load(client, call);
        const copy = await copySlot(client, slot);
        // In turn the one and the other first: who comes second finds the server's log warm.
        if (round % 2 === 0) await drain(client, database.url, slot, copy, changes, drained);
        await capture(client, open(), engine, changes, captured);
        if (round % 2 === 1) await drain(client, database.url, slot, copy, changes, drained);
      };
      const bulkCall = `call load_bulk(${bulkTransactions}, ${rowsPerTransaction})`;
      await both(bulkTransactions * rowsPerTransaction, bulkCall, bulk, bulkDrain);
      await both(singleTransactions, `call load_single(${singleTransactions})`, single, singleDrain);
    }
  } finally {
    await engine.close();
    await client.end();
    await rm(directory, { recursive: true });
  }
  const measured = (name: string, { changes, elapsedMs, cpuMs }: Phase, more: Record<string, number> = {}) => ({
    name,
    value: changes / (elapsedMs / 1000),
    unit: "changes/s",
    details: { cpuSecondsPerMillion: cpuMs / 1000 / (changes / 1e6), ...more },
  });
  const ratio = single.changes / single.elapsedMs / (singleDrain.changes / singleDrain.elapsedMs);
  return {
    results: [
      measured("capture, large transactions", bulk),
      measured("drain, large transactions", bulkDrain),
      measured("capture, one row each", single, { ratio }),
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

async function load(client: pg.Client, call: string): Promise<void> {
  await client.query(procedures);
  await client.query(call);
  // Asynchronous commits: the last ones must be in the server's log, or both readers wait for its writer.
  await client.query(
    "set synchronous_commit = on; create table flushed (); drop table flushed; set synchronous_commit = off",
  );
}

async function end(client: pg.Client): Promise<string> {
  return (await client.query("select pg_current_wal_flush_lsn()::text as lsn")).rows[0]?.lsn;
}

async function reached(source: Source, position: string): Promise<void> {
  for (;;) {
    const { state, position: at } = source.status();
    if (state.kind === "failed") throw state.error;
    if (at !== null && state.kind === "streaming" && parseLsn(at) >= parseLsn(position)) return;
    await source.catchUp(position);
    await systemClock.sleep(1);
  }
}

async function capture(
  client: pg.Client,
  source: Source,
  engine: Engine,
  changes: number,
  phase: Phase,
): Promise<void> {
  const position = await end(client);
  const before = (await engine.offsets("shop.public.orders", 0)).lastStable;
  const stop = start(phase);
  source.start();
  await reached(source, position);
  stop();
  const events = source.status().changes;
  if (events !== changes) throw new Error(`${events} changes were captured of ${changes}`);
  if ((await engine.offsets("shop.public.orders", 0)).lastStable - before < changes)
    throw new Error("events are missing");
  phase.changes += changes;
  await source.stop();
}

interface SlotCopy {
  readonly name: string;
  readonly position: string;
  readonly end: string;
}

async function copySlot(client: pg.Client, slot: string): Promise<SlotCopy> {
  const name = `${slot}_copy`;
  await client.query("select pg_copy_logical_replication_slot($1, $2)", [slot, name]);
  const confirmed = "select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = $1";
  return { name, position: (await client.query(confirmed, [name])).rows[0]?.lsn, end: await end(client) };
}

/** The same bytes over the same connection, counted and let go. */
async function drain(
  client: pg.Client,
  url: string,
  publication: string,
  copy: SlotCopy,
  changes: number,
  phase: Phase,
): Promise<void> {
  const position = parseLsn(copy.end);
  const stop = start(phase);
  const replication = await connect({ name: "drain", url }, "replication");
  const done = Promise.withResolvers<void>();
  let seen = 0;
  const stream = new CopyBothStream(
    replication,
    `START_REPLICATION SLOT "${copy.name}" LOGICAL ${copy.position} (proto_version '2', streaming 'on', publication_names '"${publication}"')`,
    parseLsn(copy.position),
    systemClock,
    {
      message(_lsn, bytes) {
        const kind = bytes[0];
        if (kind === 0x49 || kind === 0x55 || kind === 0x44) seen++;
        if (seen === changes && kind === 0x43) done.resolve();
      },
      keepalive(serverEnd) {
        if (serverEnd >= position) done.resolve();
      },
      ended: (error) => done.reject(error ?? new Error("the stream ended")),
    },
  );
  stream.start();
  await done.promise;
  stop();
  if (seen !== changes) throw new Error(`${seen} changes were drained of ${changes}`);
  phase.changes += changes;
  await stream.stop();
  await closeConnection(replication);
  await client.query("select pg_drop_replication_slot($1)", [copy.name]);
}

function start(phase: Phase): () => void {
  const beganMs = systemClock.monotonicMs();
  const began = process.cpuUsage();
  return () => {
    phase.elapsedMs += systemClock.monotonicMs() - beganMs;
    const { user, system } = process.cpuUsage(began);
    phase.cpuMs += (user + system) / 1000;
  };
}

export const benchmark: Benchmark = {
  question:
    "How fast do committed changes of a PostgreSQL become durable events in the log, compared with a drain that only reads?",
  method:
    "The same stretch of the server's log, through a copy of the slot and counted, and through the slot into the log, synced; transactions of 1,000 changes (half inserts, then updates and deletes) and of one insert; sums over the rounds, with connecting and catalogue reads.",
  notMeasured: "The server's own CPU, views, more than one table, network beyond loopback.",
  run,
};
