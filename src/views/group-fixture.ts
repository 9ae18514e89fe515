/** For tests and benchmarks of view groups: a log, a store in a database of its own, and groups on both. */
import pg from "pg";
import { type TestDatabase, testDatabase } from "../../test/support/postgres.ts";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import type { Disk } from "../base/disk.ts";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { sql, type ViewDefinition, view } from "../catalog/definitions.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { Engine } from "../engine/engine.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { Store } from "../store/store.ts";
import { type Group, type GroupOptions, openGroup } from "./group.ts";
import { SourceFixture } from "./source-fixture.ts";

export type FixtureGroupOptions = Partial<
  Pick<GroupOptions, "mode" | "bound" | "retention" | "catchUp" | "diagnostics" | "clock" | "clockPace" | "topics">
> & {
  readonly sources?: readonly string[];
};

export class ViewsFixture implements AsyncDisposable {
  readonly engine: Engine;
  readonly database: TestDatabase;
  /** Looks at the store from outside. */
  readonly pool: pg.Pool;
  readonly #sources = new Map<string, SourceFixture>();
  readonly #groups: Group[] = [];
  readonly #stores: FixtureStore[] = [];

  private constructor(engine: Engine, database: TestDatabase) {
    this.engine = engine;
    this.database = database;
    this.pool = new pg.Pool({ connectionString: database.url, max: 4 });
    this.pool.on("error", () => {});
  }

  static async open(log?: { disk: Disk; directory: string }): Promise<ViewsFixture> {
    const random = seededRandom(1);
    const { disk, directory } = log ?? { disk: new SimulatedDisk(random), directory: "/log" };
    const engine = await openEmbeddedEngine({
      disk,
      directory,
      clock: systemClock,
      random,
      diagnostics: silentDiagnostics,
    });
    return new ViewsFixture(engine, await testDatabase());
  }

  async source(name: string, tables: readonly TableShape[]): Promise<SourceFixture> {
    const source = await SourceFixture.open(this.engine, name, tables);
    this.#sources.set(name, source);
    return source;
  }

  async group(definitions: readonly ViewDefinition[], options: FixtureGroupOptions = {}): Promise<Group> {
    const { sources = [...this.#sources.keys()], ...rest } = options;
    const store = new FixtureStore(this.database.url);
    this.#stores.push(store);
    const group = await openGroup({
      name: "main",
      engine: this.engine,
      store,
      definitions,
      sources: sources.map((name) => ({ name, tables: [] })),
      mode: "start",
      clock: systemClock,
      random: seededRandom(2),
      diagnostics: silentDiagnostics,
      ...rest,
    });
    this.#groups.push(group);
    return group;
  }

  /** As a killed process would leave it: its connections drop, and it never gets another. */
  async kill(group: Group): Promise<void> {
    const i = this.#groups.indexOf(group);
    const store = this.#stores[i];
    this.#groups.splice(i, 1);
    this.#stores.splice(i, 1);
    store?.kill();
    await group.close();
  }

  /** All connections to the store drop, but not those that look on. */
  async cutConnections(): Promise<void> {
    await this.pool.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and application_name <> 'law watch'",
    );
  }

  /** Rows of a query as JSON texts in order. */
  async rows(query: string): Promise<string[]> {
    const { rows } = await this.pool.query<{ row: string }>(
      `select row_to_json(q)::text as row from (${query}) q order by 1`,
    );
    return rows.map(({ row }) => row);
  }

  /** Until the group has everything that the sources wrote so far. */
  async settled(group: Group): Promise<void> {
    for (const source of this.#sources.values()) {
      await group.waitFor({ kind: "source", source: source.name, lsn: source.lsn }, 20_000);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const group of this.#groups) await group.close();
    await this.pool.end();
    await this.engine.close();
    await this.database[Symbol.asyncDispose]();
  }
}

/** The store's port on a database of the test server. */
export class FixtureStore implements Store {
  readonly kind = "own";
  readonly serverVersion = 180000;
  readonly reader;
  readonly #url: string;
  readonly #clients = new Set<pg.Client>();
  #killed = false;

  constructor(url: string) {
    this.#url = url;
    const { hostname, port, pathname, username } = new URL(url);
    this.reader = { host: hostname, port: Number(port), database: pathname.slice(1), user: username, password: "" };
  }

  get readers(): pg.Pool {
    throw new Error("no pool here");
  }

  get shared(): pg.Pool {
    throw new Error("no pool here");
  }

  get admin(): pg.Pool {
    throw new Error("no pool here");
  }

  async connect(name: string): Promise<pg.Client> {
    if (this.#killed) throw new MillraceError("STORE_UNAVAILABLE", "killed");
    const client = new pg.Client({ connectionString: this.#url, application_name: name });
    client.on("error", () => {});
    await client.connect();
    this.#clients.add(client);
    client.on("end", () => this.#clients.delete(client));
    return client;
  }

  kill(): void {
    this.#killed = true;
    this.cut();
  }

  /** The connections drop. */
  cut(): void {
    for (const client of this.#clients) {
      (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    }
  }

  onChange(_listener?: (state: "up" | "down") => void): void {}

  state(): "up" {
    return "up";
  }

  async close(): Promise<void> {}
}

/** A view whose SQL names its tables. */
export function viewOf(name: string, text: string, key?: string | readonly string[]): ViewDefinition {
  const strings = Object.assign([text], { raw: [text] });
  return view(name, sql(strings), key === undefined ? {} : { key });
}

/** Resolves when `holds` answers true; asked again whenever the group changed. */
export function until(group: Group, holds: () => boolean): Promise<void> {
  if (holds()) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = group.onChange(() => {
      if (!holds()) return;
      stop();
      resolve();
    });
  });
}

/** Until all views are live, in the versions that their definitions ask for. */
export function live(group: Group): Promise<void> {
  return until(group, () =>
    group.list().every(({ state }) => state.kind === "live" && state.replacement === undefined),
  );
}
