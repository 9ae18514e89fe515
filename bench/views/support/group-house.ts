/** A log on the disk, an embedded PostgreSQL and a source that is written by hand, for benchmarks of view groups. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../src/base/clock.ts";
import { silentDiagnostics } from "../../../src/base/diagnostics.ts";
import { systemRandom } from "../../../src/base/random.ts";
import { realDisk } from "../../../src/base/real-disk.ts";
import type { ViewDefinition } from "../../../src/catalog/definitions.ts";
import { openEmbeddedEngine } from "../../../src/engine/embedded/embedded-engine.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import type { TableShape } from "../../../src/schema/table-shape.ts";
import { openStore, type Store } from "../../../src/store/store.ts";
import { type Group, openGroup } from "../../../src/views/group.ts";
import { type FixtureChange, SourceFixture } from "../../../src/views/source-fixture.ts";
import type { WaitTarget } from "../../../src/views/view-info.ts";
import { percentile } from "../../harness.ts";

const changesPerTransaction = 50;

/** Of changes that a group worked off. */
export interface WorkedOff {
  changes: number;
  elapsedMs: number;
  readonly batchesMs: number[];
}

export class GroupHouse implements AsyncDisposable {
  readonly store: Store;
  readonly shop: SourceFixture;
  readonly engine: Engine;
  readonly #directory: string;
  readonly #sources: string[];

  private constructor(engine: Engine, store: Store, shop: SourceFixture, directory: string, sources: string[]) {
    this.engine = engine;
    this.store = store;
    this.shop = shop;
    this.#directory = directory;
    this.#sources = sources;
  }

  /** The source `shop` has its rows; that of `never` begins a snapshot that does not end. */
  static async open(
    tables: readonly TableShape[],
    rows: readonly FixtureChange[],
    never?: TableShape,
  ): Promise<GroupHouse> {
    const directory = await mkdtemp(join(process.env.MILLRACE_BENCH_DIRECTORY ?? tmpdir(), "millrace-bench-"));
    const common = { clock: systemClock, random: systemRandom, diagnostics: silentDiagnostics };
    const store = await openStore({
      url: null,
      dataDirectory: directory,
      port: 0,
      portRequired: false,
      binDirectory: null,
      ...common,
    });
    const engine = await openEmbeddedEngine({ disk: realDisk, directory: join(directory, "log"), ...common });
    const shop = await SourceFixture.open(engine, "shop", tables);
    if (never) await (await SourceFixture.open(engine, never.source, [never])).beginSnapshot();
    await shop.snapshot(rows);
    return new GroupHouse(engine, store, shop, directory, never ? ["shop", never.source] : ["shop"]);
  }

  /** Offsets are counted against `changesPerBatch`, of which a delete has two. */
  group(
    definitions: readonly ViewDefinition[],
    changesPerBatch = 10_000,
    topics: readonly TableShape[] = [],
  ): Promise<Group> {
    return openGroup({
      name: "main",
      engine: this.engine,
      store: this.store,
      definitions,
      sources: this.#sources.map((name) => ({ name, tables: [] })),
      topics,
      mode: "dev",
      clock: systemClock,
      random: systemRandom,
      diagnostics: silentDiagnostics,
      bound: { changesMax: changesPerBatch, bytesMax: 32 * 1024 * 1024 },
    });
  }

  /** So many changes, in transactions of 50 at most. */
  async write(changes: number, transaction: (changes: number) => FixtureChange[]): Promise<void> {
    for (let written = 0; written < changes; ) {
      const together: FixtureChange[][] = [];
      for (let i = 0; i < 1_000 && written < changes; ) {
        const one = transaction(Math.min(changesPerTransaction, changes - written));
        together.push(one);
        i += one.length;
        written += one.length;
      }
      await this.shop.commitTogether(together);
    }
  }

  /** Until the group has everything that was written. */
  settled(group: Group): Promise<void> {
    return group.waitFor({ kind: "source", source: "shop", lsn: this.shop.lsn }, 1_800_000);
  }

  /** How the group works off what is in the log already, or what is up to `target`. */
  async workOff(group: Group, changes: number, into: WorkedOff, target?: WaitTarget): Promise<void> {
    const startedMs = systemClock.monotonicMs();
    let lastMs = startedMs;
    let batch = group.position().batch;
    const stop = group.onChange(() => {
      if (group.position().batch === batch) return;
      batch = group.position().batch;
      const nowMs = systemClock.monotonicMs();
      into.batchesMs.push(nowMs - lastMs);
      lastMs = nowMs;
    });
    await (target === undefined ? this.settled(group) : group.waitFor(target, 1_800_000));
    stop();
    into.elapsedMs += systemClock.monotonicMs() - startedMs;
    into.changes += changes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.engine.close();
    await this.store.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

export function workedOff(): WorkedOff {
  return { changes: 0, elapsedMs: 0, batchesMs: [] };
}

export function changesPerSecond(name: string, { changes, elapsedMs, batchesMs }: WorkedOff) {
  const details = { p50Ms: percentile(batchesMs, 0.5), p99Ms: percentile(batchesMs, 0.99) };
  return { name, value: changes / (elapsedMs / 1000), unit: "changes/s", details };
}
