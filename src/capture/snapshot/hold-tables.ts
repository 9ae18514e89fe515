/**
 * Keeps tables as an exported snapshot sees them. Rows that a change of a table has written anew are invisible to every
 * snapshot from before it: such a table would read as empty, and so would one that was truncated.
 */
import type { Client } from "pg";
import { type ReadTable, tableName } from "./key-chunks.ts";

interface HeldTable {
  readonly oid: number;
  readonly read: Pick<ReadTable, "shape" | "kind">;
}

/**
 * In a transaction of the snapshot, until its end: what would write a table anew waits for it, as it waits for a dump.
 * Answers which table has left the snapshot before; null when none has.
 */
export async function holdTables(client: Client, tables: readonly HeldTable[]): Promise<string | null> {
  for (const { read } of tables) {
    const { schema, table } = read.shape;
    try {
      await client.query(lockSql(read));
    } catch (error) {
      if ((error as { code?: unknown }).code !== undefinedTable) throw error;
      return `table "${schema}.${table}" was dropped or renamed while its snapshot was taken`;
    }
  }
  const { rows } = await client.query<{ oid: number }>(movedSql, [tables.map(({ oid }) => oid)]);
  const moved = tables.find(({ oid }) => oid === rows[0]?.oid);
  if (moved === undefined) return null;
  const { schema, table } = moved.read.shape;
  return `table "${schema}.${table}" was written anew while its snapshot was taken`;
}

/** The weakest lock: only what makes a table another one waits for it. Of a partitioned table its partitions are locked. */
export function lockSql(table: HeldTable["read"]): string {
  return `lock table ${tableName(table)} in access share mode`;
}

const undefinedTable = "42P01";

/** The file of now is told by the function; the one of the snapshot stands in the row that it sees. */
const movedSql = `
  select w.oid::int8::float8 as oid
    from unnest($1::oid[]) as w (oid)
   cross join lateral (select w.oid as relid union select relid from pg_partition_tree(w.oid)) f
    join pg_class c on c.oid = f.relid
   where c.relfilenode <> 0 and c.relfilenode is distinct from pg_relation_filenode(c.oid)
   limit 1`;
