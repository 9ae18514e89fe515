/** For tests of several groups: a log, and for each group a database of its own, whose store can go away and come back. */
import pg from "pg";
import { type TestDatabase, testDatabase } from "../../test/support/postgres.ts";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { arrange } from "../catalog/collect.ts";
import { type Definition, type GroupDefinition, mainGroup } from "../catalog/definitions.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { Engine } from "../engine/engine.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { Store } from "../store/store.ts";
import { FixtureStore } from "./group-fixture.ts";
import { type Groups, type GroupsOptions, type GroupsWork, openGroups } from "./groups.ts";
import { SourceFixture } from "./source-fixture.ts";
import type { WaitTarget } from "./view-info.ts";

export class GroupsFixture implements AsyncDisposable {
  readonly engine: Engine;
  /** By group; one is made when it is asked for. */
  readonly databases = new Map<string, TestDatabase>();
  /** Groups whose store is not to be had. */
  readonly down = new Set<string>();
  readonly #stores = new Map<string, PooledStore[]>();
  readonly #open: Groups[] = [];
  #sources: SourceFixture[] = [];

  private constructor(engine: Engine) {
    this.engine = engine;
  }

  static async open(): Promise<GroupsFixture> {
    const random = seededRandom(1);
    const tools = { clock: systemClock, random, diagnostics: silentDiagnostics };
    const engine = await openEmbeddedEngine({ ...tools, disk: new SimulatedDisk(random), directory: "/log" });
    return new GroupsFixture(engine);
  }

  async source(name: string, tables: readonly TableShape[]): Promise<SourceFixture> {
    const source = await SourceFixture.open(this.engine, name, tables);
    this.#sources = [...this.#sources, source];
    return source;
  }

  async groups(definitions: readonly Definition[], options: Partial<GroupsOptions> = {}): Promise<Groups> {
    const groups = await openGroups({
      engine: this.engine,
      store: await this.#store(mainGroup),
      openStore: ({ name }: GroupDefinition) => this.#store(name),
      mode: "start",
      clock: systemClock,
      random: seededRandom(2),
      diagnostics: silentDiagnostics,
      rowCacheBytesMax: 1_000_000,
      work: this.work(definitions),
      ...options,
    });
    this.#open.push(groups);
    return groups;
  }

  /** The sources are those of this fixture. */
  work(definitions: readonly Definition[], topics: readonly TableShape[] = []): GroupsWork {
    const { views, groups } = arrange(definitions);
    const sources = this.#sources.map(({ name }) => ({ name, tables: [] }));
    return { views, groups, sources: sources as unknown as GroupsWork["sources"], topics };
  }

  /** Its connections drop and no other is to be had, until it is `back`. */
  goDown(group: string): void {
    this.down.add(group);
    for (const store of this.#stores.get(group) ?? []) store.goDown();
  }

  back(group: string): void {
    this.down.delete(group);
    for (const store of this.#stores.get(group) ?? []) store.isDown = false;
  }

  /** All that the sources wrote so far. */
  written(): WaitTarget[] {
    return this.#sources.map(({ name, lsn }) => ({ kind: "source", source: name, lsn }));
  }

  /** Until these views have it. */
  async settled(groups: Groups, ...views: readonly string[]): Promise<void> {
    const reads = views.map((view) => ({ view }));
    for (const target of this.written()) await groups.reader.waitFor(target, 20_000, undefined, reads);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const groups of this.#open) await groups.stop();
    for (const store of [...this.#stores.values()].flat()) await store.end();
    await this.engine.close();
    for (const database of this.databases.values()) await database[Symbol.asyncDispose]();
  }

  async #store(group: string): Promise<Store> {
    if (this.down.has(group)) throw new MillraceError("STORE_UNAVAILABLE", "the server is away");
    let database = this.databases.get(group);
    if (!database) {
      database = await testDatabase();
      this.databases.set(group, database);
    }
    const store = new PooledStore(database.url);
    this.#stores.set(group, [...(this.#stores.get(group) ?? []), store]);
    return store;
  }
}

class PooledStore extends FixtureStore {
  isDown = false;
  readonly #pool: pg.Pool;
  readonly #listeners: ((state: "up" | "down") => void)[] = [];

  constructor(url: string) {
    super(url);
    this.#pool = new pg.Pool({ connectionString: url, max: 4 });
    this.#pool.on("error", () => {});
    this.#pool.on("connect", (client) => client.on("error", () => {}));
    const connect = this.#pool.connect.bind(this.#pool);
    this.#pool.connect = (async () => {
      if (this.isDown) throw new MillraceError("STORE_UNAVAILABLE", "the server is away");
      return await connect();
    }) as unknown as pg.Pool["connect"];
  }

  override get readers(): pg.Pool {
    return this.#pool;
  }

  override get shared(): pg.Pool {
    return this.#pool;
  }

  override async connect(name: string): Promise<pg.Client> {
    if (this.isDown) throw new MillraceError("STORE_UNAVAILABLE", "the server is away");
    return await super.connect(name);
  }

  override onChange(listener?: (state: "up" | "down") => void): void {
    if (listener) this.#listeners.push(listener);
  }

  goDown(): void {
    this.isDown = true;
    this.cut();
    for (const listener of this.#listeners) listener("down");
  }

  async end(): Promise<void> {
    await this.#pool.end();
  }
}

/** All rows of a view, as JSON texts in the order of their keys. */
export async function rowsOf(groups: Groups, view: string): Promise<unknown[]> {
  const { pages } = await groups.reader.snapshot(view, null);
  const rows: unknown[] = [];
  for await (const page of pages) rows.push(...page.map((row) => JSON.parse(row)));
  return rows;
}

/** Resolves when `holds` answers true; asked again whenever a group changed. */
export function untilGroups(groups: Groups, holds: () => boolean): Promise<void> {
  if (holds()) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = groups.reader.onChange(() => {
      if (!holds()) return;
      stop();
      resolve();
    });
  });
}

export function isLive(groups: Groups, ...views: readonly string[]): boolean {
  const live = groups.reader.list().filter(({ state }) => state.kind === "live" && state.replacement === undefined);
  return views.every((view) => live.some(({ name }) => name === view));
}
