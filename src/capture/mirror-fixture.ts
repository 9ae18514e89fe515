/** For tests: a store in a database of its own that follows a source of `PostgresFixture`, with views over its mirrors. */
import pg from "pg";
import { type TestDatabase, testDatabase } from "../../test/support/postgres.ts";
import { systemClock } from "../base/clock.ts";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { seededRandom } from "../base/random.ts";
import type { ViewDefinition } from "../catalog/definitions.ts";
import { type Group, openGroup } from "../views/group.ts";
import { FixtureStore, until } from "../views/group-fixture.ts";
import { printingSettings } from "./connection.ts";
import type { PostgresFixture } from "./postgres-fixture.ts";
import type { Source } from "./source.ts";

export class MirrorFixture {
  readonly group: Group;
  /** Looks at the store, and prints as capture does. */
  readonly client: pg.Client;
  readonly #database: TestDatabase;

  private constructor(group: Group, client: pg.Client, database: TestDatabase) {
    this.group = group;
    this.client = client;
    this.#database = database;
  }

  static async open(fixture: PostgresFixture, definitions: readonly ViewDefinition[]): Promise<MirrorFixture> {
    const database = await testDatabase();
    const group = await openGroup({
      name: "main",
      engine: fixture.engine,
      wire: fixture.house.wire,
      store: new FixtureStore(database.url),
      definitions,
      sources: [{ name: "shop", tables: [] }],
      mode: "start",
      clock: systemClock,
      random: seededRandom(2),
      diagnostics: silentDiagnostics,
    });
    const client = new pg.Client({ connectionString: database.url });
    client.on("error", () => {});
    await client.connect();
    await client.query(printingSettings);
    return new MirrorFixture(group, client, database);
  }

  /** Every view is live and has what the source has told. Throws a view's failure. */
  async follow(source: Source): Promise<void> {
    await until(this.group, () => this.group.list().every(({ state }) => state.kind !== "building"));
    for (const { state } of this.group.list()) if (state.kind === "failed") throw state.error;
    await this.group.waitFor({ kind: "source", source: "shop", lsn: source.status().position ?? "" }, 20_000);
  }

  async rows(sql: string): Promise<Record<string, unknown>[]> {
    return (await this.client.query(sql)).rows;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.group.close();
    await this.client.end();
    await this.#database[Symbol.asyncDispose]();
  }
}
