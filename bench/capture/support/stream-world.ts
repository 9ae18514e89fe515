/** What the benchmarks of capture share: a PostgreSQL, a log on the disk, a source between the two, and a bare drain beside it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { systemClock } from "../../../src/base/clock.ts";
import { countBuffersWithHeap } from "../../../src/base/collector.ts";
import { silentDiagnostics } from "../../../src/base/diagnostics.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { realDisk } from "../../../src/base/real-disk.ts";
import { closeConnection, connect } from "../../../src/capture/connection.ts";
import { CopyBothStream } from "../../../src/capture/copy-both.ts";
import { parseLsn } from "../../../src/capture/lsn.ts";
import { streamOptions } from "../../../src/capture/pgoutput.ts";
import { openPostgresSource } from "../../../src/capture/postgres.ts";
import type { Source } from "../../../src/capture/source.ts";
import { postgres } from "../../../src/catalog/definitions.ts";
import { openEmbeddedEngine } from "../../../src/engine/embedded/embedded-engine.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import { testDatabase } from "../../../test/support/postgres.ts";

/** Sums over rounds. */
export interface Phase {
  changes: number;
  elapsedMs: number;
  cpuMs: number;
}

export const newPhase = (): Phase => ({ changes: 0, elapsedMs: 0, cpuMs: 0 });

export interface StreamWorld {
  readonly url: string;
  readonly client: pg.Client;
  readonly engine: Engine;
  /** Not started; on the slot that was made when the world was. */
  source(): Source;
  readonly slot: string;
  [Symbol.asyncDispose](): Promise<void>;
}

/** `sql` makes the table `orders`, which is captured and empty. */
export async function openStreamWorld(sql: string): Promise<StreamWorld> {
  // As the program does.
  countBuffersWithHeap();
  const house = new AsyncDisposableStack();
  try {
    const database = house.use(await testDatabase());
    const directory = await mkdtemp(join(process.env.MILLRACE_BENCH_DIRECTORY ?? tmpdir(), "millrace-bench-"));
    house.defer(() => rm(directory, { recursive: true }));
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    house.defer(() => client.end());
    await client.query(`${sql}; set synchronous_commit = off`);
    const common = { clock: systemClock, random: systemRandom, diagnostics: silentDiagnostics, disk: realDisk };
    const engine = await openEmbeddedEngine({ ...common, directory: join(directory, "log") });
    house.defer(() => engine.close());
    const source = () =>
      openPostgresSource({
        ...common,
        definition: postgres("shop", { url: database.url, tables: ["orders"] }),
        engine,
        spillDirectory: join(directory, "spill"),
        mode: "start",
      });
    const first = source();
    first.start();
    await reached(first, await serverEnd(client));
    const slot = first.status().slot ?? "";
    await first.stop();
    const kept = house.move();
    return { url: database.url, client, engine, source, slot, [Symbol.asyncDispose]: () => kept.disposeAsync() };
  } finally {
    await house.disposeAsync();
  }
}

export async function serverEnd(client: pg.Client): Promise<string> {
  return (await client.query("select pg_current_wal_flush_lsn()::text as lsn")).rows[0]?.lsn;
}

/** After asynchronous commits: the last ones must be in the server's log, or every reader waits for its writer. */
export async function flushed(client: pg.Client): Promise<void> {
  await client.query(
    "set synchronous_commit = on; create table flushed (); drop table flushed; set synchronous_commit = off",
  );
}

export async function reached(source: Source, position: string): Promise<void> {
  for (;;) {
    const { state, position: at } = source.status();
    if (state.kind === "failed") throw state.error;
    if (at !== null && state.kind === "streaming" && parseLsn(at) >= parseLsn(position)) return;
    await source.catchUp(position);
    await systemClock.sleep(1);
  }
}

/** A new source until it has all that the server has; the changes are counted twice, by it and in the topic. */
export async function capture(world: StreamWorld, changes: number, phase: Phase): Promise<void> {
  const { client, engine } = world;
  const position = await serverEnd(client);
  const before = (await engine.offsets("shop.public.orders", 0)).lastStable;
  const source = world.source();
  const stop = startClock(phase);
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

export interface SlotCopy {
  readonly name: string;
  readonly position: string;
  readonly end: string;
}

export async function copySlot({ client, slot }: StreamWorld): Promise<SlotCopy> {
  const name = `${slot}_copy`;
  await client.query("select pg_copy_logical_replication_slot($1, $2)", [slot, name]);
  const confirmed = "select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = $1";
  return { name, position: (await client.query(confirmed, [name])).rows[0]?.lsn, end: await serverEnd(client) };
}

/** The same bytes over the same connection, counted and let go. */
export async function drain(world: StreamWorld, copy: SlotCopy, changes: number, phase: Phase): Promise<void> {
  const { client, url, slot } = world;
  const position = parseLsn(copy.end);
  const stop = startClock(phase);
  const replication = await connect({ name: "drain", url }, "replication");
  const done = Promise.withResolvers<void>();
  let seen = 0;
  const stream = new CopyBothStream(
    replication,
    `START_REPLICATION SLOT "${copy.name}" LOGICAL ${copy.position} (${streamOptions(180_000, `"${slot}"`)})`,
    parseLsn(copy.position),
    systemClock,
    {
      message(_lsn, bytes) {
        const kind = bytes[0];
        if (kind === 0x49 || kind === 0x55 || kind === 0x44) seen++;
        // Commit, of a streamed transaction or another.
        if (seen === changes && (kind === 0x43 || kind === 0x63)) done.resolve();
      },
      keepalive(end) {
        if (end >= position) done.resolve();
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

export function startClock(phase: Phase): () => void {
  const beganMs = systemClock.monotonicMs();
  const began = process.cpuUsage();
  return () => {
    phase.elapsedMs += systemClock.monotonicMs() - beganMs;
    const { user, system } = process.cpuUsage(began);
    phase.cpuMs += (user + system) / 1000;
  };
}

export const cpuSecondsPerMillion = ({ changes, cpuMs }: Phase): number => cpuMs / 1000 / (changes / 1e6);

export const perSecond = ({ changes, elapsedMs }: Phase): number => changes / (elapsedMs / 1000);
