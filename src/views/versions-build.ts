/** Statements that make a version of a view and put it in place of the one before; and those that take old ones away. Pure. */
import { createHash } from "node:crypto";
import { mirrorName, quote } from "../catalog/definitions.ts";
import { ownerOf } from "./applier-batch.ts";
import type { PipelineStatement } from "./applier-pipeline.ts";
import type { CompiledView } from "./compiled-view.ts";
import { type Mirror, mirrorTable } from "./mirror.ts";

export interface BuildOptions {
  readonly readerRole: string;
  readonly mirrors: ReadonlyMap<number, Mirror>;
  /** The public view has other columns than the one before: that one, and what others made on top of it, goes. */
  readonly replace: boolean;
}

export function buildStatements(view: CompiledView, options: BuildOptions): PipelineStatement[] {
  const role = quote(options.readerRole);
  const isIndex = (sql: string) => /^create (unique )?index /i.test(sql);
  const texts = [
    // What an interrupted build left; nothing reads a version that never was live.
    ...dropVersion(view.name, view.version),
    ...view.create.filter((sql) => !isIndex(sql)),
    ...indexStatements([view], options.mirrors),
    view.fill,
    // An index over rows that are there is made by sorting them: much faster than row by row.
    ...view.create.filter(isIndex),
    `analyze ${view.stateTable}`,
    ...(options.replace ? [`drop view if exists ${publicName(view.name)} cascade`] : []),
    view.publicView,
    `grant select on ${publicName(view.name)}, ${view.logTable} to ${role}`,
  ];
  return texts.map((sql) => ({ sql, owner: ownerOf.view(view.name), fresh: true }));
}

export function publicName(view: string): string {
  return `views.${quote(view)}`;
}

/** All that a version has in the store. */
export function dropVersion(name: string, version: number): string[] {
  return ["_log", "", "_key"].map(
    (part) => `drop table if exists millrace.${quote(`${name}__${version}${part}`)} cascade`,
  );
}

function indexStatements(views: readonly CompiledView[], mirrors: ReadonlyMap<number, Mirror>): string[] {
  return [...wantedIndexes(views, mirrors)].map(
    ([name, { mirror, columns }]) =>
      `create index if not exists ${quote(name)} on ${mirrorTable(mirror.shape)} (${columns.map(quote).join(", ")})`,
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
  "select schemaname, indexname from pg_indexes where indexname ~ '^millrace_[0-9]+_[0-9a-f]{16}$'";

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
