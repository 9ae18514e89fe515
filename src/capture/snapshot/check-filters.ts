/** Conditions of tables against what the server can filter itself, before a publication has them. */
import type { Client } from "pg";
import { MillraceError } from "../../base/errors.ts";
import type { ServerFacts } from "../server-setup.ts";
import type { CheckedTable } from "../table-checks.ts";
import { tableName } from "./key-chunks.ts";

/**
 * A condition over a column that is not in the replica identity would make the application's own updates fail, and that of
 * a table which is only inserted into may be any. Throws `SOURCE_FILTER_REFUSED`.
 */
export async function checkFilters(
  client: Client,
  source: string,
  { version, standby }: Pick<ServerFacts, "version" | "standby">,
  tables: readonly CheckedTable[],
): Promise<void> {
  for (const table of tables) {
    const { where } = table.read;
    if (where === null) continue;
    const { schema, table: name, key, appendOnly } = table.shape;
    const refuse = (what: string, hint: string, cause?: unknown) =>
      new MillraceError("SOURCE_FILTER_REFUSED", `source "${source}": table "${schema}.${name}" ${what}`, {
        cause,
        hint,
        details: { source, table: `${schema}.${name}` },
      });
    if (version < 150_000) {
      throw refuse(
        `is declared with a condition, for which PostgreSQL 15 or later is needed; this is ${Math.floor(version / 10_000)}`,
        "Capture all of its rows, and leave out in a view what is not wanted; or upgrade the server.",
      );
    }
    // A publication on a standby is its primary's, and was made by somebody who was told this.
    if (standby) continue;
    const used = await columnsOf(client, table, where).catch((cause) => {
      throw refuse(
        `has a condition that the server refuses: ${cause instanceof Error ? cause.message : cause}`,
        where,
        cause,
      );
    });
    const outside = used.find((column) => !(key ?? []).includes(column));
    if (outside === undefined || appendOnly || table.identityFull) continue;
    throw refuse(
      `has a condition over "${outside}", which is not in its replica identity: the server would refuse every update`,
      `Run in the source: alter table ${tableName({ ...table.read, kind: "p" })} replica identity full; or use columns of the key only.`,
    );
  }
}

/** Columns that a condition reads, by the server's own account. */
async function columnsOf(client: Client, table: CheckedTable, where: string): Promise<string[]> {
  await client.query("begin");
  try {
    await client.query(
      `create temporary view millrace_condition as select 1 as one from ${tableName(table.read)} where (${where}\n)`,
    );
    const { rows } = await client.query<{ name: string }>(
      `select distinct a.attname as name from pg_rewrite r
         join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
         join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid and a.attnum > 0
        where r.ev_class = 'pg_temp.millrace_condition'::regclass and d.refobjid <> r.ev_class`,
    );
    return rows.map(({ name }) => name);
  } finally {
    await client.query("rollback");
  }
}
