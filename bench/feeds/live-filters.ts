/** What does a change cost with thousands of live subscribers of many filters, compared with one subscriber? */
import { readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { systemClock } from "../../src/base/clock.ts";
import { silentMetrics } from "../../src/base/metrics.ts";
import { systemRandom } from "../../src/base/random.ts";
import { openFeeds } from "../../src/feeds/feeds.ts";
import { engineWithoutTopics } from "../../src/feeds/feeds-fixture.ts";
import { EventStreams } from "../../src/http/event-streams.ts";
import { column, GroupFixture } from "../../src/views/reader-fixture.ts";
import type { Filter } from "../../src/views/view-info.ts";
import type { Benchmark, BenchmarkSize, Measurement, Progress } from "../harness.ts";

const sizes = {
  full: { filters: 100, subscribers: 10_000, batches: 40, warm: 10 },
  tiny: { filters: 4, subscribers: 40, batches: 2, warm: 1 },
} as const;

interface Load {
  readonly name: string;
  readonly filters: number;
  readonly subscribers: number;
}

interface Cost {
  readonly processUs: number;
  readonly storeUs: number;
  readonly frames: number;
}

async function run(size: BenchmarkSize, progress: Progress) {
  const { filters, subscribers } = sizes[size];
  const loads: readonly Load[] = [
    { name: `${subscribers} subscribers of ${filters} filters`, filters, subscribers },
    { name: `${filters} subscribers of ${filters} filters`, filters, subscribers: filters },
    { name: `${subscribers} subscribers of one filter`, filters: 1, subscribers },
    { name: "1 subscriber", filters: 1, subscribers: 1 },
  ];
  const results: Measurement[] = [];
  // The smallest first, so that what is compared with it meets code that is compiled already.
  for (const load of loads.toReversed()) {
    progress(load.name);
    results.unshift(await measure(load, size));
  }
  const bound = loads.at(-1)?.name ?? null;
  return { results: results as [Measurement, ...Measurement[]], bound };
}

/** Each batch changes one row of each filter; without filters, the same rows. */
async function measure({ name, filters, subscribers }: Load, size: BenchmarkSize): Promise<Measurement> {
  const { filters: rows, batches, warm } = sizes[size];
  await using fixture = await GroupFixture.open();
  const columns = [
    column("id", "integer"),
    column("region", "text"),
    column("amount", "numeric"),
    column("note", "text"),
  ];
  await fixture.createView("sales", { columns, key: ["id"] });
  const reader = fixture.reader();
  const feeds = openFeeds({ views: reader, engine: engineWithoutTopics, clock: systemClock });
  const limits = { subscribersMax: subscribers, heartbeatMs: 60_000, stallMs: 60_000 };
  const streams = new EventStreams({ clock: systemClock, random: systemRandom, metrics: silentMetrics, limits });
  const arrived = new Arrivals();
  const serving = Array.from({ length: subscribers }, async (_, i) => {
    const filter = filters === 1 ? null : ofRegion(i % filters);
    const feed = await feeds.openViewFeed({ view: "sales", filter, lastEventId: null });
    await streams.serve(arrived.peer(), feed, "view");
  });
  await arrived.wait(subscribers);
  const commit = async (batch: number) => {
    const changed = Array.from({ length: rows }, (_, id) => {
      return {
        id,
        region: `region ${id}`,
        amount: `${batch}.25`,
        note: "a note of about forty-five characters, as usual",
      };
    });
    await fixture.commit("sales", { upsert: changed });
    await arrived.wait(subscribers);
  };
  for (let batch = 0; batch < warm; batch++) await commit(batch);
  const pids = await backends(fixture);
  const before = costOf(pids, arrived);
  for (let batch = warm; batch < warm + batches; batch++) await commit(batch);
  const after = costOf(pids, arrived);
  await feeds.close();
  await Promise.all(serving);
  streams.close();
  reader.close();
  const changes = batches * rows;
  const processUs = (after.processUs - before.processUs) / changes;
  const storeUs = (after.storeUs - before.storeUs) / changes;
  const frames = (after.frames - before.frames) / changes;
  return {
    name,
    value: processUs + storeUs,
    unit: "µs of processor a change",
    details: { processUs, storeUs, framesEach: frames, usEachFrame: processUs / frames },
  };
}

function ofRegion(index: number): Filter {
  return { kind: "compare", column: "region", operator: "eq", values: [`region ${index}`], negated: false };
}

/** Peers that take everything at once, and who waits until each has got something. */
class Arrivals {
  frames = 0;
  #wanted = Number.POSITIVE_INFINITY;
  #done = () => {};
  #sinceWait = 0;

  peer(): ServerResponse {
    const write = (bytes: string | Buffer) => {
      // The first write is the hint for reconnects.
      if (typeof bytes !== "string") this.#arrive();
      return true;
    };
    return { destroyed: false, write, end() {}, destroy() {} } as unknown as ServerResponse;
  }

  wait(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wanted = count;
      this.#done = resolve;
      this.#look();
    });
  }

  #arrive(): void {
    this.frames++;
    this.#sinceWait++;
    this.#look();
  }

  #look(): void {
    if (this.#sinceWait < this.#wanted) return;
    this.#sinceWait -= this.#wanted;
    this.#wanted = Number.POSITIVE_INFINITY;
    this.#done();
  }
}

/** The server's processes that the reader's connections have. */
async function backends(fixture: GroupFixture): Promise<number[]> {
  const { rows } = await fixture.admin.query<{ pid: number }>(
    "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
  );
  return rows.map(({ pid }) => pid);
}

function costOf(pids: readonly number[], { frames }: Arrivals): Cost {
  const { user, system } = process.cpuUsage();
  return { processUs: user + system, storeUs: pids.reduce((sum, pid) => sum + processorUs(pid), 0), frames };
}

/** By Linux, in hundredths of a second; nothing elsewhere. */
function processorUs(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10_000;
  } catch {
    return 0;
  }
}

export const benchmark: Benchmark = {
  question: "feeds/live-filters: what does a change cost with 10,000 live subscribers of 100 filters?",
  method:
    "Batches of 100 changed rows, one of each filter, so that each batch is a frame to each subscriber; hubs, feeds and SSE framing as in the program, with peers in the " +
    "process that take every write at once. The process's and its store connections' processor time by change; the process's has the fixture's own batches in it, which are the same in all rows",
  notMeasured: "the socket writes themselves, TLS, the applier, the writing connection's processor time",
  run,
};
