/**
 * Statements that make a version of a view, fill it, and put it in place of the one before; and those that take old ones
 * away. Pure; when each of them runs is `view-build.ts`'s and `group-builds.ts`'s.
 */
import { createHash } from "node:crypto";
import { mirrorName, quote } from "../catalog/definitions.ts";
import { asTruncate, mergeStatements, ownerOf } from "./applier-batch.ts";
import type { PipelineStatement } from "./applier-pipeline.ts";
import { levelsMax } from "./compile/inner/inner-state.ts";
import type { CompiledView } from "./compiled-view.ts";
import type { Mirror } from "./mirror.ts";
import { type Chunk, createPending, pendingTable, type Recording } from "./recording.ts";

/** The version's tables, empty and without the indexes of the state, and the one for what is recorded. In one transaction. */
export function makeTables(view: CompiledView): string[] {
  return [...view.create.filter((sql) => !isIndex(sql)), ...view.connect, ...createPending(view)];
}

/** Over rows that are there an index is made by sorting them: much faster than row by row. */
export function stateIndexes(view: CompiledView): string[] {
  return view.create.filter(isIndex);
}

function isIndex(sql: string): boolean {
  return /^create (unique )?index /i.test(sql);
}

/**
 * Merges a chunk of what was recorded. The change rows of it go: nobody could follow them, and who reads the version is
 * told by the generation to begin with its rows.
 */
export function mergeChunk(recording: Recording, chunk: Chunk, batch: number): PipelineStatement[] {
  const { view } = recording;
  const owner = ownerOf.build(view.name);
  return [
    ...view.clear.map((sql) => ({ sql: asTruncate(sql), owner, fresh: true })),
    recording.move(chunk),
    ...mergeStatements([view], batch, { owner: ownerOf.build }).map((statement) => ({ ...statement, fresh: true })),
    { sql: `truncate ${view.logTable}`, owner, fresh: true },
  ];
}

export interface SwapOptions {
  /** The shared one; the program's reads what the writing role makes, by default privileges. */
  readonly readerRole: string;
  /** The public view has other columns than the one before: that one, and what others made on top of it, goes. */
  readonly replace: boolean;
}

/** Lets people have the version. What locks others out comes last. */
export function swapIn(view: CompiledView, { readerRole, replace }: SwapOptions): PipelineStatement[] {
  const publicView = publicName(view.name);
  const { whole } = view;
  return [
    `drop table ${pendingTable(view)}`,
    ...(whole === undefined ? [] : [whole.readable]),
    ...(replace ? [`drop view if exists ${publicView} cascade`] : []),
    view.publicView,
    // A view that is replaced keeps its rights.
    ...(view.policy === undefined
      ? [`grant select on ${publicView} to ${quote(readerRole)}`]
      : [`revoke all on ${publicView} from ${quote(readerRole)}`]),
  ].map((sql) => ({ sql, owner: ownerOf.build(view.name), fresh: true }));
}

export function publicName(view: string): string {
  return `views.${quote(view)}`;
}

/** All that a version has in the store. */
export function dropVersion(name: string, version: number): string[] {
  const inner = Array.from({ length: levelsMax }, (_, i) => `_inner${i + 1}`);
  return ["_pending", "_log", "_next", "_reach", "", "_key", ...inner].map(
    (part) => `drop table if exists millrace.${quote(`${name}__${version}${part}`)} cascade`,
  );
}

/** Names of the indexes that views' terms probe; those that the primary key begins with are left out. */
export function wantedIndexes(
  views: readonly CompiledView[],
  mirrors: ReadonlyMap<number, Mirror>,
): Map<string, { mirror: Mirror; columns: readonly string[] }> {
  const wanted = new Map<string, { mirror: Mirror; columns: readonly string[] }>();
  for (const { mirrorId, columns } of views.flatMap((view) => view.mirrorIndexes)) {
    const mirror = mirrors.get(mirrorId);
    if (!mirror || columns.length === 0) continue;
    if (columns.every((column, i) => mirror.shape.key?.[i] === column)) continue;
    const hash = createHash("sha256").update(JSON.stringify(columns)).digest("hex").slice(0, 16);
    wanted.set(`millrace_${mirrorId}_${hash}`, { mirror, columns });
  }
  return wanted;
}

/** `indexname`s of the mirrors' indexes that were made for views. */
export const listIndexes =
  "select n.nspname as schemaname, c.relname as indexname from pg_class c join pg_namespace n on n.oid = c.relnamespace " +
  "where c.relkind = 'i' and c.relname ~ '^millrace_[0-9]+_[0-9a-f]{16}$'";

export function mirrorGrants(
  { source, schema, table }: { source: string; schema: string; table: string },
  role: string,
): string[] {
  return [
    `grant usage on schema ${quote(source)} to ${quote(role)}`,
    `grant select on ${quote(source)}.${quote(mirrorName(schema, table))} to ${quote(role)}`,
  ];
}

/** Columns of a public view as readers see them; `nullable` comes from the state table, where it has the column. */
export const listColumns =
  "select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, coalesce(not s.attnotnull, true) as nullable " +
  "from pg_attribute a left join pg_attribute s on s.attrelid = to_regclass($2) and s.attname = a.attname and s.attnum > 0 " +
  "where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped order by a.attnum";

/** Indexes of a table that find rows by columns alone and hold every row; those for any length among them (`wide-indexes.ts`). */
export const listIndexedColumns =
  "select array(select a.attname::text from unnest(i.indkey::smallint[]) with ordinality as k(attnum, n) " +
  "join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum where k.n <= i.indnkeyatts order by k.n) as columns, m.amname as method " +
  "from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam " +
  "where i.indrelid = to_regclass($1) and m.amname in ('btree', 'hash', 'spgist') and i.indpred is null and i.indexprs is null and i.indisvalid";
