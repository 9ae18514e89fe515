/** How many rows a second are read by their keys over HTTP, and how long does a reader wait? */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { systemClock } from "../../src/base/clock.ts";
import { systemRandom } from "../../src/base/random.ts";
import { openTestDoor } from "../../src/http/door-fixture.ts";
import { MetricsRegistry } from "../../src/observe/metrics.ts";
import { column, type FixtureRow, GroupFixture } from "../../src/views/reader-fixture.ts";
import type { Benchmark, BenchmarkSize, Measurement, Progress } from "../harness.ts";
import { runChild } from "../log/support/child.ts";

const connections = 64;
const sizes = {
  full: { keys: 10_000, rounds: 7, seconds: 4, warmSeconds: 2 },
  tiny: { keys: 50, rounds: 1, seconds: 0.3, warmSeconds: 0 },
} as const;
/** Rows that a batch changes while rows are read. */
const changed = 20;
const batchPauseMs = 20;

const names = {
  memory: "by key, from memory",
  changing: "by key, while 20 rows change in each of 50 batches a second",
  store: "by key, from the store",
  bare: "node:http that answers a constant of the same size",
} as const;

type Name = keyof typeof names;
type Size = (typeof sizes)[BenchmarkSize];

interface Read {
  readonly refused: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** With the processor time that the server took for one. */
interface Served extends Read {
  readonly processUs: number;
}

async function run(size: BenchmarkSize, progress: Progress) {
  const { keys, rounds } = sizes[size];
  await using fixture = await GroupFixture.open();
  const columns = [column("id", "integer"), column("customer", "text"), column("status", "text")];
  await fixture.createView("cards", { columns: [...columns, column("total", "numeric")], key: ["id"] });
  await fixture.commit("cards", { upsert: Array.from({ length: keys }, (_, id) => card(id, 0)) });
  const found: Record<Name, Served[]> = { memory: [], changing: [], store: [], bare: [] };
  for (let round = 0; round < rounds; round++) {
    for (const name of ["bare", "memory", "changing", "store"] as const) {
      progress(`round ${round + 1} of ${rounds}: ${names[name]}`);
      found[name].push(name === "bare" ? await readBare(sizes[size]) : await readDoor(fixture, name, sizes[size]));
    }
  }
  const [memory, changing, store, bare] = (["memory", "changing", "store", "bare"] as const).map((name) =>
    measured(names[name], found[name]),
  ) as [Measurement, Measurement, Measurement, Measurement];
  const bounds = [names.bare];
  return {
    results: [memory, { ...changing, bounds }, { ...store, bounds }, bare],
    bound: names.bare,
  } as const;
}

function card(id: number, batch: number): FixtureRow {
  return { id, customer: `customer ${id} of some length`, status: `paid in batch ${batch}`, total: `${id}.50` };
}

async function readDoor(fixture: GroupFixture, name: Exclude<Name, "bare">, size: Size): Promise<Served> {
  const reader = fixture.reader({}, name === "store" ? 0 : 64 * 1024 * 1024);
  const metrics = new MetricsRegistry();
  await using door = await openTestDoor({ views: reader, metrics, clock: systemClock, random: systemRandom });
  if (name !== "store") for (let id = 0; id < size.keys; id++) await reader.row("cards", [String(id)], null);
  const writing = new AbortController();
  const writes = name === "changing" ? write(fixture, size.keys, writing.signal) : Promise.resolve();
  const read = await readFrom(door.port, "/v1/views/cards/", size);
  writing.abort();
  await writes;
  reader.close();
  return read;
}

async function write(fixture: GroupFixture, keys: number, signal: AbortSignal): Promise<void> {
  for (let batch = 1; !signal.aborted; batch++) {
    const first = systemRandom.below(keys);
    const ids = Array.from({ length: Math.min(changed, keys) }, (_, i) => (first + i) % keys);
    await fixture.commit("cards", { upsert: ids.map((id) => card(id, batch)) });
    await systemClock.sleep(batchPauseMs);
  }
}

async function readBare(size: Size): Promise<Served> {
  const body = `${JSON.stringify(card(5_000, 0))}\n`;
  const server = createServer((_, response) => {
    response.writeHead(200, { "content-type": "application/json", "content-length": body.length }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const read = await readFrom((server.address() as AddressInfo).port, "/", size);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  return read;
}

async function readFrom(port: number, path: string, { keys, seconds, warmSeconds }: Size): Promise<Served> {
  const given = [port, path, keys, connections, seconds, warmSeconds].map(String);
  await using readers = runChild(new URL("support/reader.ts", import.meta.url), given);
  // What compiling the code costs is not counted: it is over after the first seconds.
  await readers.message();
  const before = process.cpuUsage();
  const read = (await readers.message()) as Read;
  if (read.refused > 0) throw new Error(`${read.refused} reads were refused`);
  const { user, system } = process.cpuUsage(before);
  return { ...read, processUs: (user + system) / (read.perSecond * seconds) };
}

function measured(name: string, rounds: readonly Served[]): Measurement {
  const middle = (pick: (one: Served) => number) => rounds.map(pick).sort((a, b) => a - b)[rounds.length >> 1] ?? 0;
  const details = {
    p50Ms: middle((one) => one.p50Ms),
    p99Ms: middle((one) => one.p99Ms),
    maxMs: middle((one) => one.maxMs),
    processUs: middle((one) => one.processUs),
  };
  return { name, value: middle((one) => one.perSecond), unit: "reads/s", details };
}

export const benchmark: Benchmark = {
  question: "views/point-read: how many rows a second are read by their keys, with what wait?",
  method:
    `${connections} keep-alive connections of another process, each with one request on its way, random keys of 10,000 rows, all of which were read before, by a process that never sleeps; the middle one of the rounds. ` +
    "The door with its metrics, the reader and PostgreSQL as in the program; the bound answers a constant row with its length and type",
  notMeasured:
    "the network, TLS, the applier beside it, keys that are asked for unevenly, the fixture's own cost of a batch",
  run,
};
