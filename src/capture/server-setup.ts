/** What Millrace finds and makes in a source's database: facts about the server, publications, the slot. */
import type { Client } from "pg";
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { quote } from "../catalog/definitions.ts";
import { type SourceAddress, sourceError } from "./connection.ts";
import { parseLsn } from "./lsn.ts";
import { appendOnlyPublication } from "./names.ts";
import type { ServerPlace, SlotFacts } from "./progress.ts";

export interface ServerFacts {
  /** As `server_version_num`: 180004 is 18.4. */
  readonly version: number;
  readonly walLevel: string;
  readonly database: string;
  readonly encoding: string;
  readonly user: string;
  readonly standby: boolean;
  readonly walKeepUnbounded: boolean;
}

export async function readServerFacts(client: Client): Promise<ServerFacts> {
  const { rows } = await client.query<ServerFacts>(
    `select current_setting('server_version_num')::int as version, current_setting('wal_level') as "walLevel",
            current_database() as database, current_setting('server_encoding') as encoding, current_user as "user",
            pg_is_in_recovery() as standby,
            coalesce(current_setting('max_slot_wal_keep_size', true), '-1') = '-1' as "walKeepUnbounded"`,
  );
  return rows[0] as ServerFacts;
}

/** Throws `SOURCE_VERSION_UNSUPPORTED`, `SOURCE_WAL_LEVEL`, `SOURCE_NOT_PERMITTED` for a standby. */
export function checkServer(source: string, facts: ServerFacts): void {
  if (facts.version < 140_000) {
    throw new MillraceError(
      "SOURCE_VERSION_UNSUPPORTED",
      `source "${source}" is PostgreSQL ${Math.floor(facts.version / 10_000)}; 14 or later can be captured`,
      { hint: "Upgrade the server.", details: { source, version: facts.version } },
    );
  }
  if (facts.standby) {
    throw new MillraceError(
      "SOURCE_NOT_PERMITTED",
      `source "${source}" is a standby server, which takes no publication`,
      {
        hint: "Use the address of the primary.",
        details: { source },
      },
    );
  }
  if (facts.walLevel !== "logical") {
    throw new MillraceError(
      "SOURCE_WAL_LEVEL",
      `source "${source}" runs with wal_level = ${facts.walLevel}; logical is needed`,
      {
        hint: "As a superuser: alter system set wal_level = 'logical'; then restart the server. On RDS and Aurora set rds.logical_replication = 1 in the parameter group; on Cloud SQL the flag cloudsql.logical_decoding = on; on Azure wal_level = logical.",
        details: { source, walLevel: facts.walLevel },
      },
    );
  }
}

/** `replication` is a replication connection: only there the server tells who it is. */
export async function readServerPlace(replication: Client, client: Client, slot: string): Promise<ServerPlace> {
  const { rows } = await replication.query<{ systemid: string; timeline: number; xlogpos: string; dbname: string }>(
    "IDENTIFY_SYSTEM",
  );
  const system = rows[0] as (typeof rows)[number];
  return {
    systemId: system.systemid,
    timeline: Number(system.timeline),
    walEnd: parseLsn(system.xlogpos),
    database: system.dbname,
    slot: await readSlot(client, slot),
  };
}

async function readSlot(client: Client, slot: string): Promise<SlotFacts | null> {
  const { rows } = await client.query<{
    confirmed: string | null;
    plugin: string;
    database: string;
    status: string | null;
    pid: number | null;
  }>(
    `select confirmed_flush_lsn::text as confirmed, plugin, database, wal_status as status, active_pid as pid
       from pg_replication_slots where slot_name = $1`,
    [slot],
  );
  const row = rows[0];
  if (row === undefined) return null;
  return {
    confirmed: row.confirmed === null ? 0 : parseLsn(row.confirmed),
    plugin: row.plugin,
    database: row.database,
    lost: row.status === "lost" || row.confirmed === null,
    activePid: row.pid,
  };
}

export interface PublishedTable {
  readonly oid: number;
  readonly schema: string;
  readonly table: string;
  readonly kind: string;
  readonly appendOnly: boolean;
}

export interface Publications {
  readonly names: readonly string[];
  /** Something that a running stream would have missed was not published before. */
  readonly widened: boolean;
}

/**
 * Makes the publications what they must be: one for all changes, and one of its own for tables that are append-only,
 * because a publication that publishes updates makes the source's own updates of a table without a key fail.
 * What is right already is left alone, so that an administrator may have made it. Throws `SOURCE_NOT_PERMITTED`.
 */
export async function ensurePublications(
  client: Client,
  source: SourceAddress,
  slot: string,
  tables: readonly PublishedTable[],
): Promise<Publications> {
  const names: string[] = [];
  let widened = false;
  for (const appendOnly of [false, true]) {
    const name = appendOnly ? appendOnlyPublication(slot) : slot;
    const wanted = tables.filter((table) => table.appendOnly === appendOnly);
    const statements = await plan(client, name, appendOnly, wanted);
    if (wanted.length > 0) names.push(name);
    widened ||= statements.widened;
    for (const statement of statements.sql) {
      try {
        await client.query(statement);
      } catch (cause) {
        throw publicationError(cause, source, statements.sql);
      }
    }
  }
  return { names, widened };
}

/** What an administrator has made stays: it is not ours to drop. */
export async function dropPublications(client: Client, slot: string): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    "select pubname as name from pg_publication where pubname = any ($1) and pg_has_role(pubowner, 'usage')",
    [[slot, appendOnlyPublication(slot)]],
  );
  for (const { name } of rows) await client.query(`drop publication if exists ${quote(name)}`);
}

async function plan(
  client: Client,
  name: string,
  appendOnly: boolean,
  tables: readonly PublishedTable[],
): Promise<{ readonly sql: string[]; readonly widened: boolean }> {
  const found = await client.query<{ flags: string; all: boolean; oids: number[] }>(
    `select concat_ws(',', pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot) as flags, puballtables as all,
            array(select prrelid::int8::float8 from pg_publication_rel where prpubid = p.oid) as oids
       from pg_publication p where pubname = $1`,
    [name],
  );
  const existing = found.rows[0];
  const list = tables
    .map(({ schema, table, kind }) => `${kind === "p" ? "" : "only "}${quote(schema)}.${quote(table)}`)
    .join(", ");
  const options = appendOnly
    ? "publish = 'insert, truncate', publish_via_partition_root = true"
    : "publish = 'insert, update, delete, truncate', publish_via_partition_root = true";
  if (existing === undefined) {
    if (tables.length === 0) return { sql: [], widened: false };
    return { sql: [`create publication ${quote(name)} for table ${list} with (${options})`], widened: true };
  }
  if (tables.length === 0) return { sql: [`drop publication ${quote(name)}`], widened: false };
  const sql: string[] = [];
  const rightFlags = existing.flags === (appendOnly ? "t,f,f,t,t" : "t,t,t,t,t");
  if (!rightFlags) sql.push(`alter publication ${quote(name)} set (${options})`);
  const added = tables.some(({ oid }) => !existing.oids.includes(oid)) && !existing.all;
  if (added || (existing.oids.length !== tables.length && !existing.all)) {
    sql.push(`alter publication ${quote(name)} set table ${list}`);
  }
  return { sql, widened: !rightFlags || added };
}

function publicationError(cause: unknown, source: SourceAddress, sql: readonly string[]): MillraceError {
  const error = sourceError(cause, source);
  if (error.code !== "SOURCE_NOT_PERMITTED") return error;
  return new MillraceError("SOURCE_NOT_PERMITTED", `${error.message} (the role may not publish the tables)`, {
    cause,
    hint: `Run this as the owner of the tables, with the right to create in the database, and Millrace goes on by itself: ${sql.join("; ")};`,
    details: error.details,
  });
}

export interface CreatedSlot {
  /** Where the snapshot stands and the stream begins. */
  readonly consistentPoint: number;
  /** Lives as long as nothing else is sent over the connection that made it. */
  readonly snapshotName: string;
}

export async function createSlot(replication: Client, slot: string, version: number): Promise<CreatedSlot> {
  const options =
    version >= 170_000
      ? "(SNAPSHOT 'export', FAILOVER true)"
      : version >= 150_000
        ? "(SNAPSHOT 'export')"
        : "EXPORT_SNAPSHOT";
  const { rows } = await replication.query<{ consistent_point: string; snapshot_name: string }>(
    `CREATE_REPLICATION_SLOT ${quote(slot)} LOGICAL pgoutput ${options}`,
  );
  const row = rows[0] as (typeof rows)[number];
  return { consistentPoint: parseLsn(row.consistent_point), snapshotName: row.snapshot_name };
}

const slotTriesMax = 100;
const slotTryMs = 100;

/**
 * Ends whoever reads from the slot: by the log's fencing we are its only owner, so that it is a predecessor whose
 * connection the server has not missed yet. Throws `SOURCE_SLOT_IN_USE` when it does not go.
 */
export async function takeSlot(client: Client, source: string, slot: string, clock: Clock): Promise<void> {
  for (let tries = 0; tries < slotTriesMax; tries++) {
    const { rows } = await client.query<{ pid: number }>(
      "select active_pid as pid from pg_replication_slots where slot_name = $1 and active_pid is not null",
      [slot],
    );
    if (rows.length === 0) return;
    await client.query("select pg_terminate_backend($1)", [rows[0]?.pid]);
    await clock.sleep(slotTryMs);
  }
  throw new MillraceError("SOURCE_SLOT_IN_USE", `source "${source}": another connection reads from slot "${slot}"`, {
    hint: "It is tried again by itself.",
    details: { source, slot },
  });
}

/** No error when it is not there. */
export async function dropSlot(client: Client, source: string, slot: string, clock: Clock): Promise<void> {
  await takeSlot(client, source, slot, clock);
  await client.query("select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1", [
    slot,
  ]);
}
