/** For benchmarks of searching: one view over one captured table, filled from its snapshot, a reader of it, and a bare client. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client } from "pg";
import { systemClock } from "../../../src/base/clock.ts";
import { silentDiagnostics } from "../../../src/base/diagnostics.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { realDisk } from "../../../src/base/real-disk.ts";
import { sql, type ViewOptions, view } from "../../../src/catalog/definitions.ts";
import { openEmbeddedEngine } from "../../../src/engine/embedded/embedded-engine.ts";
import { openStore } from "../../../src/store/store.ts";
import { openGroup } from "../../../src/views/group.ts";
import { until } from "../../../src/views/group-fixture.ts";
import { openReader } from "../../../src/views/reader.ts";
import { SourceFixture, tableShape } from "../../../src/views/source-fixture.ts";
import type { ViewsReader } from "../../../src/views/view-info.ts";
import { type Measurement, type Progress, percentile } from "../../harness.ts";

export interface SearchedView {
  readonly reader: ViewsReader;
  /** Of the store's owner. */
  readonly bare: Client;
  /** From the end of the snapshot until the view could be read, in seconds. */
  readonly buildS: number;
}

export interface SearchedTable {
  /** Select list over `u.text`. */
  readonly columns: string;
  readonly options: ViewOptions;
  /** One text for each row of the view, without `|`. */
  readonly texts: readonly string[];
}

/** A row of the captured table holds as many rows of the view, which spares the log. */
const textsEach = 1_000;

/** The view is called `found`, its key `id` and `n`; all of it goes afterwards. */
export async function withSearchedView<T>(
  table: SearchedTable,
  progress: Progress,
  work: (searched: SearchedView) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(process.env.MILLRACE_BENCH_DIRECTORY ?? tmpdir(), "millrace-bench-"));
  const common = { clock: systemClock, random: systemRandom, diagnostics: silentDiagnostics };
  const place = { url: null, dataDirectory: directory, port: 0, portRequired: false, binDirectory: null };
  const store = await openStore({ ...place, ...common });
  const engine = await openEmbeddedEngine({ disk: realDisk, directory: join(directory, "log"), ...common });
  try {
    const blocks = tableShape("bench", "blocks", ["id integer", "texts text"]);
    const query =
      `select b.id, u.n, ${table.columns} from bench.blocks b, ` +
      "unnest(string_to_array(b.texts, '|')) with ordinality as u (text, n)";
    const source = await SourceFixture.open(engine, "bench", [blocks]);
    const group = await openGroup({
      name: "main",
      engine,
      store,
      definitions: [view("found", sql(Object.assign([query], { raw: [query] })), table.options)],
      sources: [{ name: "bench", tables: [] }],
      mode: "dev",
      ...common,
    });
    const reader = openReader({ group, store, clock: systemClock });
    const bare = await store.connect("bench");
    try {
      await source.snapshot(
        Array.from({ length: Math.ceil(table.texts.length / textsEach) }, (_, i) => ({
          table: blocks,
          insert: [String(i), table.texts.slice(i * textsEach, (i + 1) * textsEach).join("|")],
        })),
        20,
      );
      const startedMs = systemClock.monotonicMs();
      progress("the view is built");
      await until(group, () => group.info("found").state.kind !== "building");
      const { state } = group.info("found");
      if (state.kind === "failed") throw state.error;
      const buildS = (systemClock.monotonicMs() - startedMs) / 1_000;
      return await work({ reader, bare, buildS });
    } finally {
      reader.close();
      await bare.end();
      await group.close();
    }
  } finally {
    await engine.close();
    await store.close();
    await rm(directory, { recursive: true, force: true });
  }
}

/** Asks each question of all in turn, one after the other, so that all meet the same machine. */
export async function askInTurn<Question>(
  questions: readonly Question[],
  askers: Readonly<Record<string, (question: Question) => Promise<number>>>,
): Promise<Measurement[]> {
  const tookMs = new Map(Object.keys(askers).map((name) => [name, [] as number[]]));
  const rows = new Map<string, number>();
  for (const question of questions) {
    for (const [name, ask] of Object.entries(askers)) {
      const startedMs = systemClock.monotonicMs();
      rows.set(name, (rows.get(name) ?? 0) + (await ask(question)));
      tookMs.get(name)?.push(systemClock.monotonicMs() - startedMs);
    }
  }
  return [...tookMs].map(([name, each]) => ({
    name,
    value: each.length / (each.reduce((sum, one) => sum + one, 0) / 1_000),
    unit: "reads/s",
    details: {
      p50Ms: percentile(each, 0.5),
      p99Ms: percentile(each, 0.99),
      rowsEach: (rows.get(name) ?? 0) / each.length,
    },
  }));
}
