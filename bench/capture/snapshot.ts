/** How fast does a first load of a table become durable events in the log, compared with the server's own COPY to nowhere? */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { systemClock } from "../../src/base/clock.ts";
import { countBuffersWithHeap } from "../../src/base/collector.ts";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { systemRandom } from "../../src/base/random.ts";
import { realDisk } from "../../src/base/real-disk.ts";
import { closeConnection, connect } from "../../src/capture/connection.ts";
import { CopyOut } from "../../src/capture/copy-out.ts";
import { openPostgresSource } from "../../src/capture/postgres.ts";
import type { Source } from "../../src/capture/source.ts";
import { postgres } from "../../src/catalog/definitions.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/embedded-engine.ts";
import { testDatabase } from "../../test/support/postgres.ts";
import type { Benchmark, BenchmarkSize } from "../harness.ts";

const sizes = {
  full: { rounds: 1, rows: 10_000_000 },
  tiny: { rounds: 1, rows: 300 },
} as const;

/** Ten columns of the kinds that tables are made of. */
const table = `create table orders (id bigint primary key, customer_id int not null, status text not null,
  total numeric(12,2) not null, discount numeric(5,2), paid boolean not null, note text, country char(2) not null,
  placed_at timestamptz not null, changed_at timestamptz)`;

const fill = `insert into orders select i, i % 100000, case i % 3 when 0 then 'new' when 1 then 'paid' else 'shipped' end,
  i * 1.37 % 100000, null, i % 2 = 0, 'order number ' || i, 'de', timestamptz '2026-01-01' + i * interval '1 second', null
  from generate_series($1::bigint, $2::bigint) i`;

interface Phase {
  rows: number;
  elapsedMs: number;
  cpuMs: number;
}

/** `MILLRACE_BENCH_ROWS` in place of ten million, `MILLRACE_BENCH_CONNECTIONS` in place of two. */
async function run(size: BenchmarkSize) {
  const { rounds, rows: rowsOf } = sizes[size];
  const rows = size === "tiny" ? rowsOf : Number(process.env.MILLRACE_BENCH_ROWS ?? rowsOf);
  // As the program does.
  countBuffersWithHeap();
  const loadConnections = Number(process.env.MILLRACE_BENCH_CONNECTIONS ?? 2);
  await using database = await testDatabase();
  const directory = await mkdtemp(join(process.env.MILLRACE_BENCH_DIRECTORY ?? tmpdir(), "millrace-bench-"));
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const phase = (): Phase => ({ rows: 0, elapsedMs: 0, cpuMs: 0 });
  const [captured, copied, drained] = [phase(), phase(), phase()];
  const common = { clock: systemClock, random: systemRandom, diagnostics: silentDiagnostics, disk: realDisk };
  const engine = await openEmbeddedEngine({ ...common, directory: join(directory, "log") });
  try {
    await client.query(table);
    for (let first = 1; first <= rows; first += 500_000) {
      await client.query(fill, [first, Math.min(rows, first + 499_999)]);
    }
    await client.query("vacuum (analyze) orders");
    for (let round = 0; round < rounds; round++) {
      await measured(copied, rows, () => client.query("copy orders to program 'cat > /dev/null'"));
      await measured(drained, rows, () => drain(database.url));
      const definition = postgres("shop", { url: database.url, tables: ["orders"] });
      const source = openPostgresSource({
        ...common,
        definition,
        engine,
        spillDirectory: join(directory, "spill"),
        mode: "dev",
        settings: { loadConnections },
      });
      await measured(captured, rows, async () => {
        source.start();
        await streaming(source);
      });
      if (source.status().changes !== rows) throw new Error(`${source.status().changes} rows were captured of ${rows}`);
      await source.stop({ release: true });
    }
  } finally {
    await engine.close();
    await client.end();
    await rm(directory, { recursive: true });
  }
  const result = (name: string, { rows: done, elapsedMs, cpuMs }: Phase) => ({
    name,
    value: done / (elapsedMs / 1000),
    unit: "rows/s",
    details: { cpuSecondsPerMillion: cpuMs / 1000 / (done / 1e6) },
  });
  return {
    results: [
      result("first load, into the log", captured),
      result("COPY TO /dev/null, in the server", copied),
      result("COPY TO STDOUT, read and let go", drained),
    ],
    bound: "COPY TO STDOUT, read and let go",
  } as const;
}

async function measured(phase: Phase, rows: number, work: () => Promise<unknown>): Promise<void> {
  const beganMs = systemClock.monotonicMs();
  const began = process.cpuUsage();
  await work();
  phase.elapsedMs += systemClock.monotonicMs() - beganMs;
  const { user, system } = process.cpuUsage(began);
  phase.cpuMs += (user + system) / 1000;
  phase.rows += rows;
}

/** The same bytes over the same kind of connection. */
async function drain(url: string): Promise<void> {
  const client = await connect({ name: "drain", url }, "query");
  await new CopyOut(client, "copy orders to stdout", () => {}).done;
  await closeConnection(client);
}

async function streaming(source: Source): Promise<void> {
  for (;;) {
    const { state } = source.status();
    if (state.kind === "streaming") return;
    if (state.kind === "failed") throw state.error;
    await systemClock.sleep(2);
  }
}

export const benchmark: Benchmark = {
  question:
    "How fast does a first load of a table become durable events in the log, compared with the server's own COPY?",
  method:
    "Ten million rows of ten columns: copied by the server to a program that discards them; over a connection and let go; and by a source, from its start to SNAPSHOT_END, synced, with connecting, the slot and the catalogue.",
  notMeasured: "The server's own CPU, views, network beyond loopback, tables in parallel.",
  run,
};
