/**
 * The temporary tables of one connection. A layout that differs little from the one before costs what differs: with many
 * tables and views, making them all anew whenever one comes or goes would take longer than everything else.
 */
import type { Client } from "pg";
import { invariant } from "../base/errors.ts";

export interface TemporaryTable {
  /** `create temporary table …`; ours, so that its name is where it is looked for. */
  readonly create: string;
  /** Tables with another one are not the same, whatever their statements. */
  readonly of: string;
}

/** Statements of one round trip, which hold their locks together. */
const together = 50;

export class TemporaryTables {
  readonly #client: Client;
  /** What stands there, by name. */
  readonly #there = new Map<string, TemporaryTable>();

  constructor(client: Client) {
    this.#client = client;
  }

  /** Makes these, and drops all others. Throws what the store says; what was done until then is known. */
  async set(wanted: readonly TemporaryTable[]): Promise<void> {
    const byName = new Map(wanted.map((table) => [nameOf(table), table]));
    const gone = [...this.#there].flatMap(([name, table]) => (isSame(table, byName.get(name)) ? [] : [name]));
    for (const names of chunks(gone)) {
      await this.#client.query(`drop table ${names.map((name) => `pg_temp.${name}`).join(", ")}`);
      for (const name of names) this.#there.delete(name);
    }
    await this.add(wanted);
  }

  /** Makes those of them that are not there. */
  async add(tables: readonly TemporaryTable[]): Promise<void> {
    const missing = tables.filter((table) => !this.#there.has(nameOf(table)));
    for (const some of chunks(missing)) {
      await this.#client.query(some.map(({ create }) => create).join(";\n"));
      for (const table of some) this.#there.set(nameOf(table), table);
    }
  }
}

function isSame(a: TemporaryTable, b: TemporaryTable | undefined): boolean {
  return b !== undefined && a.create === b.create && a.of === b.of;
}

function nameOf({ create }: TemporaryTable): string {
  const name = /^create temp(?:orary)? table (?:if not exists )?("(?:[^"]|"")+"|\w+)/.exec(create)?.[1];
  invariant(name !== undefined, `no temporary table is made by: ${create.slice(0, 100)}`);
  return name;
}

function* chunks<T>(all: readonly T[]): Generator<readonly T[]> {
  for (let i = 0; i < all.length; i += together) yield all.slice(i, i + together);
}
