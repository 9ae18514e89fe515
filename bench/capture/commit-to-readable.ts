/** How long after its commit can an event be read from the log, at 5,000 changes a second? */
import pg from "pg";
import { systemClock } from "../../src/base/clock.ts";
import { decodeCommitted, nextOffsetOf } from "../../src/engine/records.ts";
import { type Benchmark, type BenchmarkSize, percentile } from "../harness.ts";
import { openStreamWorld, reached, type StreamWorld, serverEnd } from "./support/stream-world.ts";

const loads = [
  { changesPerSecond: 5_000, rowsEach: 10 },
  { changesPerSecond: 2_000, rowsEach: 1 },
  { changesPerSecond: 100, rowsEach: 1 },
] as const;
const connections = 4;
const rows = 10_000;

async function run(size: BenchmarkSize) {
  await using world = await openStreamWorld("create table orders (id int primary key, sequence int not null)");
  const seconds = size === "tiny" ? 0.2 : 10;
  const results = [];
  await world.client.query("insert into orders select i, 0 from generate_series(1, $1::int) i", [rows]);
  const source = world.source();
  source.start();
  await reached(source, await serverEnd(world.client));
  for (const load of loads) results.push(await measure(world, load, seconds));
  await source.stop();
  return { results: results as [(typeof results)[number], ...typeof results], bound: null };
}

async function measure(world: StreamWorld, { changesPerSecond, rowsEach }: (typeof loads)[number], seconds: number) {
  const clients = await Promise.all(
    Array.from({ length: connections }, async () => {
      const client = new pg.Client({ connectionString: world.url });
      await client.connect();
      return client;
    }),
  );
  const sentMs: number[] = [];
  const committedMs: number[] = [];
  const readableMs: number[] = [];
  const stop = new AbortController();
  const following = follow(world, readableMs, stop.signal);
  const perClientMs = (1_000 * rowsEach * connections) / changesPerSecond;
  const began = systemClock.monotonicMs();
  await Promise.all(
    clients.map(async (client, c) => {
      for (let n = 0; ; n++) {
        const dueMs = began + n * perClientMs + (c * perClientMs) / connections;
        if (dueMs - began > seconds * 1_000) return;
        const waitMs = dueMs - systemClock.monotonicMs();
        if (waitMs > 0) await systemClock.sleep(waitMs);
        const sequence = sentMs.push(systemClock.monotonicMs()) - 1;
        const first = 1 + ((sequence * rowsEach) % (rows - rowsEach));
        await client.query("update orders set sequence = $1 where id >= $2 and id < $3", [
          sequence,
          first,
          first + rowsEach,
        ]);
        committedMs[sequence] = systemClock.monotonicMs();
      }
    }),
  );
  while (readableMs.filter((at) => at !== undefined).length < sentMs.length) await systemClock.sleep(5);
  stop.abort();
  await following;
  await Promise.all(clients.map((client) => client.end()));
  const samples = readableMs.map((at, i) => Math.max(0, at - (committedMs[i] as number))).sort((a, b) => a - b);
  const whole = readableMs.map((at, i) => at - (sentMs[i] as number)).sort((a, b) => a - b);
  return {
    name: `${changesPerSecond} changes/s, ${rowsEach === 1 ? "one row" : `${rowsEach} rows`} a transaction`,
    value: percentile(samples, 0.5),
    unit: "ms",
    details: {
      p99Ms: percentile(samples, 0.99),
      maxMs: samples.at(-1) ?? 0,
      fromSentP50Ms: percentile(whole, 0.5),
      fromSentP99Ms: percentile(whole, 0.99),
      transactionsPerSecond: (sentMs.length / (systemClock.monotonicMs() - began)) * 1_000,
    },
  };
}

/** When a reader of the topic has seen the last row of each transaction. */
async function follow({ engine }: StreamWorld, readableMs: number[], signal: AbortSignal): Promise<void> {
  const topic = "shop.public.orders";
  let offset = (await engine.offsets(topic, 0)).highWatermark;
  while (!signal.aborted) {
    const read = { topic, partition: 0, offset, isolation: "read_committed", bytesMax: 1024 * 1024 } as const;
    const result = await engine.read({ ...read, waitMs: 100, signal }).catch(() => null);
    if (result === null) return;
    const now = systemClock.monotonicMs();
    for (const { value } of decodeCommitted(result, offset)) {
      if (value !== null) readableMs[JSON.parse(String(value)).after.sequence] = now;
    }
    offset = nextOffsetOf(result, offset);
  }
}

export const benchmark: Benchmark = {
  question: "How long after its commit can an event be read from the log?",
  method:
    "PostgreSQL 18 on loopback, updates over 4 connections at a fixed rate, the source and a long-polling reader of the topic in this process. A sample is the time from the client's knowing of its commit to the reader's having the transaction's last row; `fromSent` counts from before the update was sent.",
  notMeasured: "Networks, the source's fsync (off here), views.",
  run,
};
