/**
 * What a group knows about itself, kept in the store beside what it is about: schema `millrace`
 * (docs/internals/formats/store-layout.md). All of it is written in the transaction of the batch or the step that it describes.
 */
import type { Client } from "pg";
import { MillraceError } from "../base/errors.ts";
import { quote, type ViewDefinition } from "../catalog/definitions.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { lockBeside } from "../store/roles.ts";
import type { PipelineStatement } from "./applier-pipeline.ts";
import { clockSchema } from "./clock-store.ts";
import { historySchema } from "./history/history-store.ts";
import type { StoredPosition } from "./positions.ts";
import { topicFunctions } from "./topic-functions.ts";
import { watermarkSchema } from "./watermark-store.ts";

export const storeFormat = 1;

const tables = [
  "create schema if not exists millrace",
  "create schema if not exists views",
  "create table if not exists millrace.meta (one boolean primary key default true check (one), log_id uuid not null, format integer not null)",
  'alter table millrace.meta add column if not exists "group" text',
  "create table if not exists millrace.groups (name text primary key, epoch bigint not null, generation bigint not null, batch bigint not null, oldest_batch bigint not null, committed_at timestamptz not null) with (fillfactor = 30)",
  'create table if not exists millrace.positions ("group" text, topic text, topic_id text not null, partition integer, next_offset bigint not null, leader_epoch integer not null, base_offset bigint not null default 0, primary key ("group", topic, partition)) with (fillfactor = 30)',
  "alter table millrace.positions add column if not exists latest_event_ms bigint",
  'create table if not exists millrace.sources ("group" text, source text, snapshot_id text not null, snapshot_complete boolean not null, lsn text, primary key ("group", source)) with (fillfactor = 30)',
  'create table if not exists millrace.mirrors (id integer generated always as identity primary key, "group" text not null, source text not null, "schema" text not null, "table" text not null, shape jsonb not null, state text not null, error jsonb, unique ("group", source, "schema", "table"))',
  "alter table millrace.mirrors add column if not exists reading text",
  'create table if not exists millrace.view_versions ("group" text, name text, version integer, hash text not null, definition jsonb not null, state text not null, error jsonb, primary key ("group", name, version))',
  'create table if not exists millrace.batches ("group" text, generation bigint not null, batch bigint, committed_at timestamptz not null, bytes bigint not null, primary key ("group", batch))',
  ...clockSchema,
  ...historySchema,
  ...watermarkSchema,
];

export interface GroupRow {
  readonly epoch: number;
  readonly generation: number;
  readonly batch: number;
  readonly oldestBatch: number;
}

export interface SourceRow {
  readonly source: string;
  readonly snapshotId: string;
  readonly snapshotComplete: boolean;
  readonly lsn: string | null;
}

/** `absent`: captured, but no view reads it. `broken`: something of its topic could not be applied. */
export type MirrorState = "absent" | "filled" | "broken";

export interface StoredError {
  readonly code: string;
  readonly message: string;
  readonly sqlState?: string;
  readonly hint?: string;
  /** Of a version that failed, or went for such a failure: what was right until then. Gone once a version is live again. */
  readonly stale?: StoredStale;
}

/** Rows of this version are those of its query after this batch. */
export interface StoredStale {
  readonly version: number;
  readonly generation: number;
  readonly batch: number;
  readonly sinceMs: number;
}

export interface MirrorRow {
  readonly id: number;
  readonly shape: TableShape;
  readonly state: MirrorState;
  readonly error: StoredError | null;
  /** The id of the TABLE_BEGIN whose end has not come: the mirror is no table that its source ever had. Null else. */
  readonly reading: string | null;
}

export type VersionState = "building" | "live" | "failed" | "retired";

export interface VersionRow {
  readonly name: string;
  readonly version: number;
  readonly hash: string;
  readonly definition: ViewDefinition;
  /** The views that it reads, and those below them, as they were when the version began. */
  readonly reads: readonly ViewDefinition[];
  readonly state: VersionState;
  readonly error: StoredError | null;
}

export interface Bookkeeping {
  readonly group: GroupRow;
  readonly positions: readonly StoredPosition[];
  readonly sources: readonly SourceRow[];
  readonly mirrors: readonly MirrorRow[];
  readonly versions: readonly VersionRow[];
}

/**
 * Makes the schema where it is missing. A database is one group's alone. Throws `STORE_OF_ANOTHER_LOG`,
 * `STORE_OF_ANOTHER_GROUP`, `STORE_TOO_OLD` never: the store checks that.
 */
export async function prepareStore(client: Client, logId: string, readerRole: string, group: string): Promise<void> {
  await client.query("begin");
  try {
    // Two processes may begin at once on one store: `if not exists` alone can fail with a duplicate.
    await lockBeside(client, "millrace.prepare", readerRole);
    for (const statement of [...tables, ...topicFunctions]) await client.query(statement);
    const found = await client.query<{ log_id: string; format: number }>("select log_id, format from millrace.meta");
    const meta = found.rows[0];
    if (!meta) {
      await client.query("insert into millrace.meta (log_id, format) values ($1, $2)", [logId, storeFormat]);
      await client.query(`grant usage on schema views to ${quote(readerRole)}`);
    } else checkMeta(meta, logId);
    await checkGroup(client, group);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback").catch(() => {});
    throw error;
  }
}

async function checkGroup(client: Client, group: string): Promise<void> {
  await client.query('update millrace.meta set "group" = $1 where "group" is null', [group]);
  const { rows } = await client.query<{ name: string }>(
    'select name from millrace.groups where name <> $1 union all select "group" from millrace.meta where "group" <> $1',
    [group],
  );
  const other = rows[0]?.name;
  if (other === undefined) return;
  throw new MillraceError(
    "STORE_OF_ANOTHER_GROUP",
    `the database of group "${group}" has the views of group "${other}"`,
    {
      hint: `Give group "${group}" an empty database: its views are rebuilt from the log.`,
      details: { group, other },
    },
  );
}

function checkMeta(meta: { log_id: string; format: number }, logId: string): void {
  if (meta.log_id !== logId) {
    throw new MillraceError(
      "STORE_OF_ANOTHER_LOG",
      `the store was built from log ${meta.log_id}, and this is log ${logId}`,
      {
        hint: "Point MILLRACE_STORE at the store that belongs to this data directory, or at an empty database: views are rebuilt from the log.",
        details: { storeLogId: meta.log_id, logId },
      },
    );
  }
  if (meta.format > storeFormat) {
    throw new MillraceError(
      "STORE_OF_ANOTHER_LOG",
      `the store has format ${meta.format}, written by a newer Millrace`,
      {
        hint: "Run the version that wrote it, or point MILLRACE_STORE at an empty database: views are rebuilt from the log.",
      },
    );
  }
}

/** The group's row, made when it is missing with `generation` as its first; the epoch becomes ours. */
export async function takeGroup(client: Client, group: string, epoch: number, generation: number): Promise<GroupRow> {
  const taken = await client.query<Record<string, string>>(
    "insert into millrace.groups (name, epoch, generation, batch, oldest_batch, committed_at) values ($1, $2, $3, 0, 1, now()) " +
      "on conflict (name) do update set epoch = excluded.epoch where millrace.groups.epoch <= excluded.epoch " +
      "returning epoch, generation, batch, oldest_batch",
    [group, epoch, generation],
  );
  const row = taken.rows[0];
  if (!row) throw new MillraceError("PRODUCER_FENCED", `group ${group} belongs to a later owner than epoch ${epoch}`);
  return {
    epoch: Number(row.epoch),
    generation: Number(row.generation),
    batch: Number(row.batch),
    oldestBatch: Number(row.oldest_batch),
  };
}

export async function readBookkeeping(client: Client, group: string, row: GroupRow): Promise<Bookkeeping> {
  const positions = await client.query(
    'select topic, topic_id, partition, next_offset, leader_epoch, base_offset, latest_event_ms from millrace.positions where "group" = $1 order by topic',
    [group],
  );
  const sources = await client.query(
    'select source, snapshot_id, snapshot_complete, lsn from millrace.sources where "group" = $1 order by source',
    [group],
  );
  const mirrors = await client.query(
    'select id, shape, state, error, reading from millrace.mirrors where "group" = $1 order by id',
    [group],
  );
  const versions = await client.query(
    'select name, version, hash, definition, state, error from millrace.view_versions where "group" = $1 order by name, version',
    [group],
  );
  return {
    group: row,
    positions: positions.rows.map((p) => ({
      topic: p.topic,
      topicId: p.topic_id,
      partition: p.partition,
      nextOffset: Number(p.next_offset),
      leaderEpoch: p.leader_epoch,
      baseOffset: Number(p.base_offset),
      latestEventMs: p.latest_event_ms === null ? null : Number(p.latest_event_ms),
    })),
    sources: sources.rows.map((s) => ({
      source: s.source,
      snapshotId: s.snapshot_id,
      snapshotComplete: s.snapshot_complete,
      lsn: s.lsn,
    })),
    mirrors: mirrors.rows,
    versions: versions.rows.map(({ definition: { reads = [], ...definition }, ...row }) => ({
      ...row,
      definition,
      reads,
    })),
  };
}

/** First statement of every batch: fails with a division by zero when the row is not as this owner left it. */
export function lockGroup(group: string, row: GroupRow): PipelineStatement {
  return {
    sql: "select 1 / count(*) from (select from millrace.groups where name = $1 and epoch = $2 and batch = $3 for update) mine",
    values: [group, row.epoch, row.batch],
    owner: "fence",
  };
}

/** Last statement of every batch. */
export function advanceGroup(group: string, from: GroupRow, to: GroupRow): PipelineStatement {
  return {
    sql:
      "update millrace.groups set generation = $4, batch = $5, oldest_batch = $6, committed_at = now() " +
      "where name = $1 and epoch = $2 and batch = $3",
    values: [group, from.epoch, from.batch, to.generation, to.batch, to.oldestBatch],
  };
}

export function writePositions(group: string, positions: readonly StoredPosition[]): PipelineStatement[] {
  if (positions.length === 0) return [];
  const rows = positions.map((p) => ({
    topic: p.topic,
    topic_id: p.topicId,
    partition: p.partition,
    next_offset: p.nextOffset,
    leader_epoch: p.leaderEpoch,
    base_offset: p.baseOffset,
    latest_event_ms: p.latestEventMs,
  }));
  return [
    {
      sql:
        'insert into millrace.positions as p ("group", topic, topic_id, partition, next_offset, leader_epoch, base_offset, latest_event_ms) ' +
        "select $1, r.* from jsonb_to_recordset($2::jsonb) as r (topic text, topic_id text, partition integer, next_offset bigint, leader_epoch integer, base_offset bigint, latest_event_ms bigint) " +
        'on conflict ("group", topic, partition) do update set topic_id = excluded.topic_id, next_offset = excluded.next_offset, ' +
        "leader_epoch = excluded.leader_epoch, base_offset = excluded.base_offset, latest_event_ms = excluded.latest_event_ms",
      values: [group, JSON.stringify(rows)],
    },
  ];
}

export function forgetPositions(group: string, topic: string): PipelineStatement {
  return { sql: 'delete from millrace.positions where "group" = $1 and topic = $2', values: [group, topic] };
}

export function writeSource(group: string, row: SourceRow): PipelineStatement {
  return {
    sql:
      'insert into millrace.sources ("group", source, snapshot_id, snapshot_complete, lsn) values ($1, $2, $3, $4::boolean, $5) ' +
      'on conflict ("group", source) do update set snapshot_id = excluded.snapshot_id, snapshot_complete = excluded.snapshot_complete, lsn = excluded.lsn',
    values: [group, row.source, row.snapshotId, String(row.snapshotComplete), row.lsn],
  };
}

/** The id of a mirror never changes while its table is captured. Answers it. */
export function writeTable(group: string, shape: TableShape, reading: string | null = null): PipelineStatement {
  return {
    sql:
      'insert into millrace.mirrors as m ("group", source, "schema", "table", shape, state, reading) values ($1, $2, $3, $4, $5::jsonb, \'absent\', $6) ' +
      'on conflict ("group", source, "schema", "table") do update set shape = excluded.shape, reading = excluded.reading returning id',
    values: [group, shape.source, shape.schema, shape.table, JSON.stringify(shape), reading],
  };
}

export function writeMirrorState(id: number, state: MirrorState, error: StoredError | null): PipelineStatement {
  return {
    sql: "update millrace.mirrors set state = $2, error = $3::jsonb where id = $1",
    values: [id, state, error === null ? null : JSON.stringify(error)],
  };
}

/** Of a table that was written down. Answers its id. */
export function writeFilled(group: string, { source, schema, table }: TableShape): PipelineStatement {
  return {
    sql:
      "update millrace.mirrors set state = 'filled', error = null " +
      'where "group" = $1 and source = $2 and "schema" = $3 and "table" = $4 returning id',
    values: [group, source, schema, table],
  };
}

export function writeReading(id: number, reading: string | null): PipelineStatement {
  return { sql: "update millrace.mirrors set reading = $2 where id = $1", values: [id, reading] };
}

export function forgetTable(id: number): PipelineStatement {
  return { sql: "delete from millrace.mirrors where id = $1", values: [id] };
}

export function writeVersion(group: string, row: VersionRow): PipelineStatement {
  return {
    sql:
      'insert into millrace.view_versions ("group", name, version, hash, definition, state, error) values ($1, $2, $3, $4, $5::jsonb, $6, $7::jsonb) ' +
      'on conflict ("group", name, version) do update set hash = excluded.hash, definition = excluded.definition, state = excluded.state, error = excluded.error',
    values: [
      group,
      row.name,
      row.version,
      row.hash,
      JSON.stringify({ ...withoutReferences(row.definition), reads: row.reads.map(withoutReferences) }),
      row.state,
      row.error === null ? null : JSON.stringify(row.error),
    ],
  };
}

/** What references name stands in the text as well; as objects they would hold all that is below them. So with a topic. */
function withoutReferences({ publish, ...definition }: ViewDefinition): ViewDefinition {
  const published = publish && { publish: { topic: publish.topic, definition: null } };
  return { ...definition, ...published, sql: { ...definition.sql, references: [] } };
}

export function forgetVersion(group: string, name: string, version: number): PipelineStatement {
  return {
    sql: 'delete from millrace.view_versions where "group" = $1 and name = $2 and version = $3',
    values: [group, name, version],
  };
}
