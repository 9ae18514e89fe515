/** Runs scripts of the suite; each of their queries is tried as a view over the tables as they are at that moment. */
import { parseSync } from "libpg-query";
import type pg from "pg";
import type { Random } from "../../../src/base/random.ts";
import { quote } from "../../../src/catalog/definitions.ts";
import { hold, type Outcome } from "./hold.ts";
import { readScript, type ScriptStep } from "./script.ts";
import { readTables, type SuiteTable } from "./tables.ts";

export interface SuiteRequest {
  readonly suite: string;
  readonly files: readonly string[];
  /** Where the scripts run. */
  readonly source: pg.Client;
  /** Where the views are kept. */
  readonly store: pg.Client;
  readonly random: Random;
  readonly onQuery: (file: string, text: string, outcome: Outcome) => void;
}

const changesTables =
  /^\s*(create|drop|alter|insert|update|delete|merge|truncate|with|begin|rollback|commit|select .* into )/i;

export async function runSuite({ suite, files, source, store, random, onQuery }: SuiteRequest): Promise<void> {
  for (const step of readScript(suite, "test_setup")) await perform(source, step);
  for (const file of files) {
    await source.query("reset session authorization; reset role; reset all");
    await source.query("set statement_timeout = '5s'");
    const known = new Map<string, SuiteTable>();
    for (const step of readScript(suite, file)) {
      const query = step.kind === "statement" ? queryOf(step.text) : null;
      if (query === null) {
        await perform(source, step);
        if (step.kind === "copy" || changesTables.test(step.text)) known.clear();
        continue;
      }
      const columns = await columnsOf(source, query);
      if (columns === null) continue;
      // As another role, to whom they are closed, there are none.
      const tables = await readTables(source, query, known).catch(() => []);
      onQuery(file, query, await hold(store, query, columns, tables, random));
    }
    await source.query("rollback");
  }
}

/** What fails in the suite fails here as well, mostly on purpose. */
async function perform(client: pg.Client, step: ScriptStep): Promise<void> {
  if (step.kind === "statement") {
    await client.query(step.text).catch(() => {});
    return;
  }
  for (const line of step.lines) {
    const values = line.split("\t").map((value) => (value === "\\N" ? null : value.replaceAll(/\\(.)/g, "$1")));
    const holes = values.map((_, i) => `$${i + 1}`).join(", ");
    await client.query(`insert into ${step.table} values (${holes})`, values).catch(() => {});
  }
}

/** The text of a SELECT that writes and locks nothing. */
function queryOf(text: string): string | null {
  try {
    const [only, more] = parseSync(text).stmts ?? [];
    if (more !== undefined || only?.stmt === undefined || !("SelectStmt" in only.stmt)) return null;
    const { intoClause, lockingClause } = only.stmt.SelectStmt;
    return intoClause === undefined && lockingClause === undefined ? text : null;
  } catch {
    return null;
  }
}

/** Names for its columns, of which several may be called the same; null when it does not run. */
async function columnsOf(client: pg.Client, query: string): Promise<string[] | null> {
  try {
    const { fields } = await client.query(`select * from (${query}\n) q limit 0`);
    const names = fields.map(({ name }) => name);
    if (names.length === 0) return null;
    return names.map((name, i) => quote(name === "?column?" || names.indexOf(name) !== i ? `${name}_${i}` : name));
  } catch {
    return null;
  }
}
