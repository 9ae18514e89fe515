/** How fast is one transaction of ten million rows captured, and in how much memory? */
import type { Benchmark, BenchmarkSize, Progress } from "../harness.ts";
import {
  capture,
  copySlot,
  cpuSecondsPerMillion,
  drain,
  flushed,
  newPhase,
  openStreamWorld,
  perSecond,
} from "./support/stream-world.ts";

const rows = { full: Number(process.env.MILLRACE_BENCH_ROWS ?? 10_000_000), tiny: 2_000 } as const;
const sampleMs = 20;

const table = `create table orders (id bigint primary key, customer_id int not null, status text not null,
  total numeric(12,2) not null, note text, active boolean not null, weight double precision not null, tag text,
  placed_on date not null, placed_at timestamptz not null)`;

async function run(size: BenchmarkSize, progress: Progress) {
  await using world = await openStreamWorld(table);
  const { client } = world;
  const count = rows[size];
  progress(`one transaction of ${count} rows is written`);
  await client.query(
    `insert into orders select i, i % 1000, 'new', i * 1.37, repeat('note ', 12), i % 2 = 0, i / 7.0, 'tag ' || i % 10,
       date '2026-01-01' + i % 300, timestamptz '2026-01-01' + i * interval '1 second' from generate_series(1, ${count}::int) i`,
  );
  await flushed(client);
  const copy = await copySlot(world);
  const [drained, captured] = [newPhase(), newPhase()];
  progress("it is drained");
  await drain(world, copy, count, drained);
  progress("it is captured");
  const before = process.memoryUsage.rss();
  let peak = process.memoryUsage();
  const sample = setInterval(() => {
    const now = process.memoryUsage();
    if (now.rss > peak.rss) peak = now;
  }, sampleMs);
  await capture(world, count, captured);
  clearInterval(sample);
  const megabytes = (bytes: number) => bytes / 1e6;
  return {
    results: [
      {
        name: "capture, one transaction",
        value: perSecond(captured),
        unit: "rows/s",
        details: {
          cpuSecondsPerMillion: cpuSecondsPerMillion(captured),
          peakMb: megabytes(peak.rss),
          peakBuffersMb: megabytes(peak.arrayBuffers),
          peakHeapMb: megabytes(peak.heapTotal),
          beforeMb: megabytes(before),
        },
      },
      {
        name: "drain",
        value: perSecond(drained),
        unit: "rows/s",
        details: { cpuSecondsPerMillion: cpuSecondsPerMillion(drained) },
      },
    ],
    bound: "drain",
  } as const;
}

export const benchmark: Benchmark = {
  question: "How fast is one transaction of ten million rows captured, and in how much memory?",
  method:
    "One insert of 10,000,000 rows of 10 columns, streamed by the server while it ran, through a copy of the slot and counted, then through the slot into the log, synced; the memory is the whole process's resident set, sampled every 20 ms while it is captured, with the log's engine and the benchmark in it.",
  notMeasured: "The server's CPU and memory, views.",
  run,
};
