/** For tests of builds: holds them at a place by a lock, and looks at every state of the store whether views are right in it. */
import assert from "node:assert/strict";
import pg from "pg";
import { quote } from "../catalog/definitions.ts";
import type { ViewsFixture } from "./group-fixture.ts";

/** Where builds can be held: before they have their tables, or in the midst of the fill, its snapshot taken. */
export type HoldPlace = "preparing" | "filling";

const keys: Readonly<Record<HoldPlace, number>> = { preparing: 1, filling: 2 };

/** Builds stop at their next index (which is where each place has one) while the lock of the place is held. */
const trigger = `
  create function hold_builds() returns event_trigger language plpgsql as $$
  begin
    perform pg_advisory_xact_lock_shared(case current_setting('transaction_isolation') when 'repeatable read' then 2 else 1 end);
  end $$;
  create event trigger hold_builds on ddl_command_start when tag in ('CREATE INDEX') execute function hold_builds();`;

export class Holds implements AsyncDisposable {
  readonly #client: pg.Client;

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  static async open({ database }: ViewsFixture): Promise<Holds> {
    const client = new pg.Client({ connectionString: database.url });
    client.on("error", () => {});
    await client.connect();
    await client.query(trigger);
    return new Holds(client);
  }

  async hold(place: HoldPlace): Promise<void> {
    await this.#client.query("select pg_advisory_lock($1)", [keys[place]]);
  }

  async release(place: HoldPlace): Promise<void> {
    await this.#client.query("select pg_advisory_unlock($1)", [keys[place]]);
  }

  /** All connections to the store drop, but not this one; or those alone whose names fit. */
  async cutOthers(names = "%"): Promise<void> {
    await this.#client.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and application_name like $1",
      [names],
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#client.end();
  }
}

/** A query that asks what time it is, of the group's clock. */
export function byClock(text: string): string {
  return text.replaceAll("now()", "(select millrace.now())");
}

/** A table that went away, or was the one to give way while several were emptied: nothing was seen. */
const unseenStates = new Set(["42P01", "42703", "XX000", "40P01"]);

/**
 * Looks until it is stopped: in each snapshot of the store every live version is its query over the mirrors as that
 * snapshot has them, the first one in which it is live included.
 */
export class LawWatch implements AsyncDisposable {
  readonly #client: pg.Client;
  readonly #watching: Promise<void>;
  #stopped = false;
  /** Versions that were seen, as `name/version`. */
  readonly seen = new Set<string>();
  looks = 0;

  private constructor(client: pg.Client) {
    this.#client = client;
    this.#watching = this.#watch();
    this.#watching.catch(() => {});
  }

  static async open({ database }: ViewsFixture): Promise<LawWatch> {
    const client = new pg.Client({ connectionString: database.url, application_name: "law watch" });
    client.on("error", () => {});
    await client.connect();
    return new LawWatch(client);
  }

  /** After one more look. Throws what was wrong. */
  async end(): Promise<void> {
    this.#stopped = true;
    await this.#watching;
    await this.#look();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#watching.catch(() => {});
    await this.#client.end();
  }

  async #watch(): Promise<void> {
    while (!this.#stopped) await this.#look();
  }

  async #look(): Promise<void> {
    for (const { name, version, text } of await this.#live()) {
      const wrong = await this.#differences(name, version, text);
      if (wrong === null) continue;
      this.seen.add(`${name}/${version}`);
      this.looks++;
      if (wrong.length === 0) continue;
      // A mirror is emptied, and its versions are retired, in one transaction; rows of that time are not to be had.
      const still = (await this.#live()).some((one) => one.name === name && one.version === version);
      if (still) assert.deepEqual(wrong, [], `${name}, version ${version}, is not its query`);
    }
  }

  async #live(): Promise<{ name: string; version: number; text: string }[]> {
    const { rows } = await this.#client.query(
      "select name, version, definition->'sql'->>'text' as text from millrace.view_versions where state = 'live'",
    );
    return rows.map((row) => ({ ...row, text: byClock(row.text) }));
  }

  /** A table that was written anew since the snapshot began shows it nothing, as PostgreSQL's manual warns. */
  async #sawRewritten(): Promise<boolean> {
    const { rows } = await this.#client.query(
      "select from pg_class where relkind = 'r' and relfilenode <> 0 and relfilenode is distinct from pg_relation_filenode(oid) limit 1",
    );
    return rows.length > 0;
  }

  /** A view that is recomputed whole is its query of this snapshot only while it does not say otherwise. */
  async #isBehind(name: string, version: number): Promise<boolean> {
    const table = `millrace.${quote(`${name}__${version}_reach`)}`;
    const { rows } = await this.#client.query("select to_regclass($1) is not null as there", [table]);
    if (!rows[0].there) return false;
    const reach = await this.#client.query(
      `select r.batch < g.batch as behind from ${table} r, millrace.groups g where g.name = 'main'`,
    );
    return reach.rows[0].behind === true;
  }

  /** Rows that only one of both has; null when they could not be read together. */
  async #differences(name: string, version: number, text: string): Promise<unknown[] | null> {
    const client = this.#client;
    await client.query("begin isolation level repeatable read");
    try {
      const { rows } = await client.query(
        "select from millrace.view_versions where state = 'live' and name = $1 and version = $2",
        [name, version],
      );
      if (rows.length === 0 || (await this.#isBehind(name, version))) return null;
      const { fields } = await client.query(`select * from (${text}\n) q limit 0`);
      const columns = fields.map((field) => quote(field.name)).join(", ");
      const state = `select ${columns} from millrace.${quote(`${name}__${version}`)}`;
      const query = `select ${columns} from (${text}\n) q`;
      const found = await client.query(
        `(select 'too much' as what, d.* from (${state} except all ${query}) d) union all (select 'missing', d.* from (${query} except all ${state}) d)`,
      );
      return found.rows.length > 0 && (await this.#sawRewritten()) ? null : found.rows;
    } catch (error) {
      if (error instanceof pg.DatabaseError && unseenStates.has(error.code ?? "")) return null;
      throw error;
    } finally {
      await client.query("rollback");
    }
  }
}
