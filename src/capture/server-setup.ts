/** What Millrace finds and makes in a source's database: facts about the server, publications, the slot. */
import type { Client } from "pg";
import type { Clock } from "../base/clock.ts";
import { MillraceError } from "../base/errors.ts";
import { quote } from "../catalog/definitions.ts";
import type { SourceAddress } from "./connection.ts";
import { parseLsn } from "./lsn.ts";
import { appendOnlyPublication } from "./names.ts";
import type { CaptureProgress, ServerPlace, SlotFacts } from "./progress.ts";
import { sourceError } from "./source-error.ts";
import { parseTimelineHistory, type TimelineSwitch } from "./timeline.ts";

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
export function checkServer(source: string, facts: ServerFacts, origin: "any" | "none" = "any"): void {
  if (facts.version < 140_000) {
    throw new MillraceError(
      "SOURCE_VERSION_UNSUPPORTED",
      `source "${source}" is PostgreSQL ${Math.floor(facts.version / 10_000)}; 14 or later can be captured`,
      { hint: "Upgrade the server.", details: { source, version: facts.version } },
    );
  }
  if (origin === "none" && facts.version < 160_000) {
    throw new MillraceError(
      "SOURCE_VERSION_UNSUPPORTED",
      `source "${source}" is PostgreSQL ${Math.floor(facts.version / 10_000)}; what came by replication can be left out from 16 on`,
      { hint: 'Take origin: "none" away, or upgrade the server.', details: { source, version: facts.version } },
    );
  }
  if (facts.standby && facts.version < 160_000) {
    throw new MillraceError(
      "SOURCE_NOT_PERMITTED",
      `source "${source}" is a standby server of PostgreSQL ${Math.floor(facts.version / 10_000)}; standbys can be captured from 16 on`,
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

/**
 * `replication` is a replication connection: only there the server tells who it is, and which way its timeline came
 * since the one that was captured.
 */
export async function readServerPlace(
  replication: Client,
  client: Client,
  slot: string,
  progress: CaptureProgress | null,
): Promise<ServerPlace> {
  const { rows } = await replication.query<{ systemid: string; timeline: number; xlogpos: string; dbname: string }>(
    "IDENTIFY_SYSTEM",
  );
  const system = rows[0] as (typeof rows)[number];
  const timeline = Number(system.timeline);
  const changed = progress !== null && progress.systemId === system.systemid && progress.timeline < timeline;
  const standby = await client.query<{ standby: boolean }>("select pg_is_in_recovery() as standby");
  return {
    systemId: system.systemid,
    timeline,
    standby: standby.rows[0]?.standby === true,
    history: changed ? await readTimelineHistory(replication, timeline) : [],
    walEnd: parseLsn(system.xlogpos),
    database: system.dbname,
    slot: await readSlot(client, slot),
  };
}

/** Empty when the server has it no more: then nothing is known of where the timeline came from. */
async function readTimelineHistory(replication: Client, timeline: number): Promise<TimelineSwitch[]> {
  try {
    const { rows } = await replication.query<{ content: string | Buffer }>(`TIMELINE_HISTORY ${timeline}`);
    return parseTimelineHistory(String(rows[0]?.content ?? ""));
  } catch (error) {
    if ((error as { code?: unknown }).code === "58P01") return [];
    throw error;
  }
}

/** Null when there is none. Columns that the version does not have are left out by it. */
export async function readSlot(client: Client, slot: string): Promise<SlotFacts | null> {
  const { rows } = await client.query<{ slot: SlotRow }>(
    "select to_jsonb(s) as slot from pg_replication_slots s where slot_name = $1",
    [slot],
  );
  const row = rows[0]?.slot;
  if (row === undefined) return null;
  return {
    confirmed: row.confirmed_flush_lsn === null ? 0 : parseLsn(row.confirmed_flush_lsn),
    restart: row.restart_lsn === null ? null : parseLsn(row.restart_lsn),
    plugin: row.plugin,
    database: row.database,
    lost: row.wal_status === "lost" || row.conflicting === true || typeof row.invalidation_reason === "string",
    lostReason: row.invalidation_reason ?? null,
    activePid: row.active_pid,
  };
}

interface SlotRow {
  readonly confirmed_flush_lsn: string | null;
  readonly restart_lsn: string | null;
  readonly plugin: string | null;
  readonly database: string | null;
  readonly wal_status: string | null;
  readonly active_pid: number | null;
  /** From 16 on. */
  readonly conflicting?: boolean | null;
  /** From 17 on. */
  readonly invalidation_reason?: string | null;
}

export interface PublishedTable {
  readonly oid: number;
  readonly schema: string;
  readonly table: string;
  readonly kind: string;
  readonly appendOnly: boolean;
  /** Null for all. PostgreSQL 15 and later. */
  readonly listed?: readonly string[] | null;
  readonly where?: string | null;
  /**
   * The condition is another one than it was published with. Null: nobody knows, for the table was not captured yet; then
   * an administrator's publication is taken for right, since conditions cannot be compared as text.
   */
  readonly whereChanged?: boolean | null;
}

export interface Publications {
  readonly names: readonly string[];
  /** One was missing: the server cannot decode what it had in its log before. */
  readonly created: boolean;
  /** They were not what they must be, and are now. */
  readonly altered: boolean;
  /** Numbers of tables of which a stream may have missed something, because it was not published. */
  readonly missed: readonly number[];
}

/**
 * Makes the publications what they must be: one for all changes, and one of its own for tables that are append-only,
 * because a publication that publishes updates makes the source's own updates of a table without a key fail.
 * What is right already is left alone, so that an administrator may have made it. `meant` are those (append-only or not) that
 * are there even while no table is in them. Throws `SOURCE_NOT_PERMITTED`.
 */
export async function ensurePublications(
  client: Client,
  source: SourceAddress,
  slot: string,
  tables: readonly PublishedTable[],
  meant: readonly boolean[] = [],
): Promise<Publications> {
  const names: string[] = [];
  const missed: number[] = [];
  let created = false;
  let altered = false;
  for (const appendOnly of [false, true]) {
    const name = appendOnly ? appendOnlyPublication(slot) : slot;
    const wanted = tables.filter((table) => table.appendOnly === appendOnly);
    const stays = wanted.length > 0 || meant.includes(appendOnly);
    const statements = await plan(client, name, appendOnly, wanted, stays);
    if (stays) names.push(name);
    created ||= statements.created;
    altered ||= statements.sql.length > 0;
    missed.push(...statements.missed);
    for (const statement of statements.sql) {
      try {
        await client.query(statement);
      } catch (cause) {
        throw publicationError(cause, source, statements.sql);
      }
    }
  }
  return { names, created, altered, missed };
}

/** What an administrator has made stays: it is not ours to drop. */
export async function dropPublications(client: Client, slot: string): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `select pubname as name from pg_publication
      where pubname = any ($1) and pg_has_role(pubowner, 'usage') and not pg_is_in_recovery()`,
    [[slot, appendOnlyPublication(slot)]],
  );
  for (const { name } of rows) await client.query(`drop publication if exists ${quote(name)}`);
}

/** The statement that makes a publication as `ensurePublications` wants it. */
export function publicationSql(
  name: string,
  appendOnly: boolean,
  tables: readonly Pick<PublishedTable, "schema" | "table" | "kind" | "listed" | "where">[],
): string {
  const list = tables.length === 0 ? "" : ` for table ${publishedList(tables)}`;
  return `create publication ${quote(name)}${list} with (${publishOptions(appendOnly)})`;
}

/** As it stands behind `for table` and `set table`. */
export function publishedList(
  tables: readonly Pick<PublishedTable, "schema" | "table" | "kind" | "listed" | "where">[],
): string {
  return tables
    .map(({ schema, table, kind, listed, where }) => {
      const columns = listed == null ? "" : ` (${listed.map(quote).join(", ")})`;
      const condition = where == null ? "" : ` where (${where}\n)`;
      return `${kind === "p" ? "" : "only "}${quote(schema)}.${quote(table)}${columns}${condition}`;
    })
    .join(", ");
}

function publishOptions(appendOnly: boolean): string {
  const changes = appendOnly ? "insert, truncate" : "insert, update, delete, truncate";
  return `publish = '${changes}', publish_via_partition_root = true`;
}

async function plan(
  client: Client,
  name: string,
  appendOnly: boolean,
  tables: readonly PublishedTable[],
  stays: boolean,
): Promise<{ readonly sql: string[]; readonly created: boolean; readonly missed: readonly number[] }> {
  const filters = await publishedFilters(client, name);
  const found = await client.query<{ flags: string; all: boolean; ours: boolean; oids: number[]; tables: string[] }>(
    `select concat_ws(',', pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot) as flags, puballtables as all,
            pg_has_role(pubowner, 'usage') as ours,
            array(select prrelid::int8::float8 from pg_publication_rel where prpubid = p.oid) as oids,
            array(select format('%I.%I', n.nspname, c.relname) from pg_publication_rel r join pg_class c on c.oid = r.prrelid
                    join pg_namespace n on n.oid = c.relnamespace where r.prpubid = p.oid) as tables
       from pg_publication p where pubname = $1`,
    [name],
  );
  const existing = found.rows[0];
  const list = publishedList(tables);
  const options = publishOptions(appendOnly);
  if (existing === undefined) {
    if (!stays) return { sql: [], created: false, missed: [] };
    return { sql: [publicationSql(name, appendOnly, tables)], created: true, missed: [] };
  }
  if (!stays) return { sql: [`drop publication ${quote(name)}`], created: false, missed: [] };
  const sql: string[] = [];
  const rightFlags = existing.flags === (appendOnly ? "t,f,f,t,t" : "t,t,t,t,t");
  if (!rightFlags) sql.push(`alter publication ${quote(name)} set (${options})`);
  const added = tables.filter((table) => {
    if (existing.all) return false;
    return !existing.oids.includes(table.oid) || !sameFilter(table, filters.get(table.oid), existing.ours);
  });
  if (added.length > 0 || (existing.oids.length !== tables.length && !existing.all)) {
    // A list cannot be set to nothing.
    const emptied = tables.length === 0 ? `drop table ${existing.tables.join(", ")}` : `set table ${list}`;
    sql.push(`alter publication ${quote(name)} ${emptied}`);
  }
  return { sql, created: false, missed: (rightFlags ? added : tables).map(({ oid }) => oid) };
}

interface PublishedFilter {
  readonly columns: readonly string[] | null;
  readonly filtered: boolean;
}

/** By table; empty before PostgreSQL 15, which has none. */
async function publishedFilters(client: Client, name: string): Promise<Map<number, PublishedFilter>> {
  const { rows } = await client.query<{
    oid: number;
    published: { prqual?: unknown; prattrs?: unknown };
    columns: string[];
  }>(
    `select r.prrelid::int8::float8 as oid, to_jsonb(r) as published,
            array(select a.attname::text from pg_attribute a where a.attrelid = r.prrelid
                     and to_jsonb(r) -> 'prattrs' @> to_jsonb(a.attnum) order by a.attnum) as columns
       from pg_publication_rel r join pg_publication p on p.oid = r.prpubid where p.pubname = $1`,
    [name],
  );
  return new Map(
    rows.map(({ oid, published, columns }) => [
      oid,
      { columns: published.prattrs == null ? null : columns, filtered: published.prqual != null },
    ]),
  );
}

function sameFilter(
  { listed = null, where = null, whereChanged }: PublishedTable,
  is: PublishedFilter | undefined,
  ours: boolean,
): boolean {
  if (is === undefined) return false;
  const changed = whereChanged ?? (where !== null && ours);
  return !changed && is.filtered === (where !== null) && JSON.stringify(is.columns) === JSON.stringify(listed);
}

function publicationError(cause: unknown, source: SourceAddress, sql: readonly string[]): MillraceError {
  if ((cause as { code?: unknown }).code === "25006") {
    const what = `source "${source.name}" is a standby server, where no publication can be made`;
    return new MillraceError("SOURCE_NOT_PERMITTED", what, {
      cause,
      hint: `Run this on its primary, as the owner of the tables, and Millrace goes on by itself: ${sql.join("; ")};`,
      details: { source: source.name },
    });
  }
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

/**
 * With `export`, the snapshot at the slot's beginning can be read by other connections. Where the server can hand slots on
 * to its standbys (17 and later) this one is handed on; a standby itself cannot.
 */
export async function createSlot(
  replication: Client,
  slot: string,
  { version, standby }: Pick<ServerFacts, "version" | "standby">,
  snapshot: "export" | "nothing" = "export",
): Promise<CreatedSlot> {
  const failover = version >= 170_000 && !standby ? ", FAILOVER true" : "";
  const older = snapshot === "export" ? "EXPORT_SNAPSHOT" : "NOEXPORT_SNAPSHOT";
  const options = version >= 150_000 ? `(SNAPSHOT '${snapshot}'${failover})` : older;
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
