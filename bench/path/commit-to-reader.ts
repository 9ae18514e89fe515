/** From a commit in the source to the reader of a live view, at three rates. */
import pg from "pg";
import { systemClock } from "../../src/base/clock.ts";
import { testDatabase } from "../../test/support/postgres.ts";
import { eventually, runProgram } from "../../test/support/program.ts";
import { type Benchmark, type BenchmarkSize, type Measurement, percentile } from "../harness.ts";

const rows = 1_000;
const connections = 4;

interface Load {
  /** Rows changed per second. */
  readonly rate: number;
  /** Rows of one transaction. */
  readonly rowsEach: number;
}

interface App {
  readonly file: string;
  readonly views: number;
  readonly loads: readonly Load[];
}

const apps: readonly App[] = [
  {
    file: "app.ts",
    views: 1,
    loads: [
      { rate: 1_000, rowsEach: 1 },
      { rate: 100, rowsEach: 1 },
      { rate: 5_000, rowsEach: 10 },
    ],
  },
  { file: "twenty-views.ts", views: 20, loads: [{ rate: 2_000, rowsEach: 10 }] },
];

export const benchmark: Benchmark = {
  question: "How long after its commit does a change reach somebody who follows a view?",
  method:
    `PostgreSQL 18 on loopback, updates of ${rows} rows over ${connections} connections at a fixed rate, in transactions of 1 row ` +
    "(of 10 at 2,000 and 5,000 a second); the program in a process of its own, with one view or with 20 of all classes over the table, one reader over SSE. A sample is the time from before the update is sent to " +
    "the arrival of its row, so the source's own commit is in it",
  notMeasured: "networks, many readers, wide rows, the source's fsync (off here)",
  async run(size: BenchmarkSize) {
    const seconds = size === "tiny" ? 0.3 : 10;
    const results: Measurement[] = [];
    for (const app of apps) results.push(...(await measureApp(app, seconds)));
    return { results: results as [Measurement, ...Measurement[]], bound: null };
  },
};

async function measureApp({ file, views, loads }: App, seconds: number): Promise<Measurement[]> {
  await using source = await testDatabase();
  const client = new pg.Client({ connectionString: source.url });
  await client.connect();
  await client.query("create table ticks (id int primary key, sent double precision not null, area int not null)");
  await client.query("insert into ticks select n, 0, n % 50 from generate_series(1, $1) n", [rows]);
  await client.end();
  await using program = await runProgram({
    script: ["src/cli/millrace.ts", "start", new URL(`definitions/${file}`, import.meta.url).pathname],
    env: { CLOCK_URL: source.url, MILLRACE_DIAGNOSTICS: "warn" },
  });
  await eventually(async () => {
    const { items } = (await (await fetch(`${program.address}/v1/views`)).json()) as {
      items: { state: { kind: string } }[];
    };
    return items.length === views && items.every(({ state }) => state.kind === "live") ? true : undefined;
  });
  const results: Measurement[] = [];
  for (const load of loads) {
    const result = await measure(program.address, source.url, load, seconds);
    results.push({ ...result, name: `${result.name}, ${views === 1 ? "1 view" : `${views} views`}` });
  }
  await dropSlots(source.url, () => program.stop());
  return results;
}

async function measure(address: string, url: string, { rate, rowsEach }: Load, seconds: number): Promise<Measurement> {
  const samples: number[] = [];
  const stop = new AbortController();
  const ready = Promise.withResolvers<void>();
  let warm = false;
  const following = follow(address, stop.signal, ready.resolve, (sent, now) => {
    if (warm && sent > 0) samples.push(now - sent);
  });
  await ready.promise;
  const load = write(url, rate, rowsEach, stop.signal);
  await systemClock.sleep(seconds * 200);
  warm = true;
  const began = systemClock.monotonicMs();
  await systemClock.sleep(seconds * 1_000);
  const took = (systemClock.monotonicMs() - began) / 1_000;
  stop.abort();
  await Promise.all([load, following]);
  const seen = samples.length / took;
  return {
    name: `at ${rate} changes/s`,
    value: percentile(samples, 0.5),
    unit: "ms p50",
    details: { p99Ms: percentile(samples, 0.99), maxMs: percentile(samples, 1), seenPerSecond: seen },
  };
}

async function follow(
  address: string,
  signal: AbortSignal,
  onLive: () => void,
  onSent: (sent: number, now: number) => void,
): Promise<void> {
  const response = await fetch(`${address}/v1/views/latest/live`, { signal });
  let text = "";
  try {
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      const now = performance.timeOrigin + systemClock.monotonicMs();
      text += Buffer.from(chunk).toString();
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const frame = text.slice(0, end);
        text = text.slice(end + 2);
        const data = /^data: (.*)$/m.exec(frame)?.[1];
        if (!data) continue;
        if (frame.startsWith("event: snapshot")) onLive();
        else if (frame.startsWith("event: changes")) {
          for (const { row } of (JSON.parse(data) as { changes: { row?: { sent: number } }[] }).changes) {
            if (row) onSent(row.sent, now);
          }
        }
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** Keeps to the rate by the clock: what was late is made up for, so that a stall is seen as latency and not hidden. */
async function write(url: string, rate: number, rowsEach: number, signal: AbortSignal): Promise<void> {
  const pool = new pg.Pool({ connectionString: url, max: connections });
  const began = systemClock.monotonicMs();
  let issued = 0;
  let next = 0;
  const pending = new Set<Promise<unknown>>();
  while (!signal.aborted) {
    const due = ((systemClock.monotonicMs() - began) / 1_000) * (rate / rowsEach);
    while (issued < due && pending.size < connections * 8) {
      issued++;
      const first = (next % rows) + 1;
      next += rowsEach;
      const sent = performance.timeOrigin + systemClock.monotonicMs();
      const query = pool.query("update ticks set sent = $1 where id between $2 and $3", [
        sent,
        first,
        first + rowsEach - 1,
      ]);
      pending.add(query);
      void query.finally(() => pending.delete(query)).catch(() => {});
    }
    await systemClock.sleep(1);
  }
  await Promise.allSettled(pending);
  await pool.end();
}

/** `start` keeps its slot; the database of a benchmark goes. */
async function dropSlots(url: string, stop: () => Promise<unknown>): Promise<void> {
  await stop();
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(
    "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()",
  );
  await client.end();
}
