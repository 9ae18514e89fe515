/**
 * The statements of one batch (or of one part of a huge transaction), in their order. Pure: what is staged and which
 * views are live or being built go in, statements come out.
 *
 * Always true: the clock moves first, then mirrors take the batch in the order of their ids; the terms of a mirror run
 * right before and right after it; only views that read a changed mirror, or the clock where it moves, are touched. What
 * the terms make is merged where a view is live, and recorded where it is being filled.
 */

import type { PipelineStatement } from "./applier-pipeline.ts";
import type { CompiledView } from "./compiled-view.ts";
import type { Staged } from "./inputs-rows.ts";
import {
  apply,
  applyWithImages,
  carryCells,
  copyToMirror,
  copyToStage,
  deltaTable,
  images,
  keepCells,
  type Mirror,
  resolveWholeRows,
  stageTable,
} from "./mirror.ts";
import type { Recording } from "./recording.ts";
import type { StagedTable } from "./staging.ts";

/** What a connection is set up for. */
export interface Layout {
  readonly mirrors: ReadonlyMap<number, Mirror>;
  /** Live views only. */
  readonly views: readonly CompiledView[];
  /** Versions that are being built; their views may be live in another version. */
  readonly recording: readonly Recording[];
}

export interface BatchOptions {
  /** Names this run through the mirrors in what is recorded; larger than all before. */
  readonly step: number;
  /** Empties the temporary tables by `truncate`: `delete` leaves dead rows behind, which later scans must pass. */
  readonly sweep: boolean;
  /** Rows of a snapshot go straight into the mirror. */
  readonly straight: boolean;
  /** Every statement is planned for the rows of this batch. */
  readonly fresh: boolean;
  /** Moves the group's clock, where it is to go on. */
  readonly clock?: PipelineStatement | null;
}

/** Owners of statements: who is to blame when one fails. */
export const ownerOf = {
  view: (name: string) => `view ${name}`,
  /** Of the version that is being built. */
  build: (name: string) => `build ${name}`,
  mirror: (id: number) => `mirror ${id}`,
};

/** `moves`: whether the clock does. */
export function viewsTouched(layout: Layout, staged: Staged, moves = false): CompiledView[] {
  return layout.views.filter((view) => reads(view, staged, moves));
}

/** A view that is recomputed whole gets its change rows when that is done. */
export function writesChanges(view: CompiledView): boolean {
  return view.whole === undefined;
}

export function recordingsTouched(layout: Layout, staged: Staged, moves = false): Recording[] {
  return layout.recording.filter(({ view }) => reads(view, staged, moves));
}

function reads(view: CompiledView, staged: Staged, moves: boolean): boolean {
  return (moves && view.clock !== undefined) || view.uses.some((use) => staged.has(use.mirrorId));
}

/** A version whose terms are to run, and to whom their failure belongs. */
interface Reading {
  readonly view: CompiledView;
  readonly owner: string;
}

/** True when all that a batch does is to load snapshots that no view reads yet. */
export function loadsOnly(layout: Layout, staged: Staged): boolean {
  return [...staged.values()].every((table) => table.snapshotRowsOnly) && viewsTouched(layout, staged).length === 0;
}

export function planBatch(layout: Layout, staged: Staged, batch: number, options: BatchOptions): PipelineStatement[] {
  const clock = options.clock ?? null;
  const views = viewsTouched(layout, staged, clock !== null);
  const recordings = recordingsTouched(layout, staged, clock !== null);
  const readings: Reading[] = [
    ...views.map((view) => ({ view, owner: ownerOf.view(view.name) })),
    ...recordings.map(({ view }) => ({ view, owner: ownerOf.build(view.name) })),
  ];
  // A few rows drive joins by indexes; for many rows the planner may read a table whole, which it is told the size of.
  const statements: PipelineStatement[] = options.fresh ? wholeTableJoins(true) : [];
  for (const { view, owner } of readings) {
    for (const sql of view.clear) statements.push({ sql: options.sweep ? asTruncate(sql) : sql, owner });
  }
  if (clock !== null) statements.push(clock, ...clockTerms(readings));
  for (const id of [...staged.keys()].sort((a, b) => a - b)) {
    const mirror = layout.mirrors.get(id);
    const table = staged.get(id);
    if (mirror && table) statements.push(...planMirror(mirror, table, readings, options));
  }
  statements.push(...mergeStatements(views, batch, { wholeTableJoins: options.fresh }));
  statements.push(...recordings.map((recording) => recording.record(options.step)));
  if (!options.fresh) return statements;
  return [...statements, ...wholeTableJoins(false)].map((statement) => ({ ...statement, fresh: true }));
}

/** While all mirrors are as they were: what follows is under the new clock. */
function clockTerms(readings: readonly Reading[]): PipelineStatement[] {
  return readings.flatMap(({ view, owner }) => (view.clock?.terms ?? []).map((sql) => ({ sql, owner })));
}

function planMirror(
  mirror: Mirror,
  table: StagedTable,
  readings: readonly Reading[],
  options: BatchOptions,
): PipelineStatement[] {
  const { id, shape } = mirror;
  const owner = ownerOf.mirror(id);
  const readers = readings.filter(({ view }) => view.uses.some((use) => use.mirrorId === id));
  if (readers.length === 0 && options.straight && table.snapshotRowsOnly) {
    return [{ sql: copyToMirror(shape), copy: table.insertLines(), owner }];
  }
  const statements = stage(mirror, table, options);
  const { truncated } = table;
  // A truncate can move any number of rows: planned with what is known of it, and joins of whole tables allowed.
  const fresh = truncated;
  if (truncated) statements.push(...wholeTableJoins(true), { sql: `analyze ${stageTable(id)}`, owner, fresh });
  if (readers.length === 0) {
    statements.push({ sql: apply(mirror, truncated), owner, fresh });
  } else {
    const used = [
      ...new Set(
        readers.flatMap(({ view }) => view.uses.filter((use) => use.mirrorId === id)).flatMap((use) => use.columns),
      ),
    ];
    const place = { id, rows: table.size, fresh, wholeTableJoins: truncated || options.fresh };
    const before = terms(readers, "before", place);
    if (before.length === 0) statements.push({ sql: applyWithImages(mirror, used, truncated), owner, fresh });
    else {
      statements.push({ sql: images(mirror, used, truncated), owner, fresh }, ...before);
      statements.push({ sql: apply(mirror, truncated), owner, fresh });
    }
    if (truncated) statements.push({ sql: `analyze ${deltaTable(id)}`, owner, fresh });
    statements.push(...terms(readers, "after", place));
  }
  if (truncated && !options.fresh) statements.push(...wholeTableJoins(false));
  return statements;
}

function stage(mirror: Mirror, table: StagedTable, options: BatchOptions): PipelineStatement[] {
  const { id } = mirror;
  const owner = ownerOf.mirror(id);
  const empty = (name: string) => ({ sql: options.sweep ? `truncate ${name}` : `delete from ${name}`, owner });
  const statements: PipelineStatement[] = [
    empty(stageTable(id)),
    empty(deltaTable(id)),
    { sql: copyToStage(mirror), copy: table.lines(), owner },
  ];
  if (table.keepsCells) statements.push({ sql: keepCells(mirror), owner });
  for (const row of table.carried()) statements.push({ ...carryCells(mirror, row), owner, fresh: true });
  if (table.removesWholeRows) statements.push(...resolveWholeRows(mirror).map((sql) => ({ sql, owner })));
  return statements;
}

interface ChangedMirror {
  readonly id: number;
  /** Staged. */
  readonly rows: number;
  readonly fresh: boolean;
  /** Joins of whole tables are allowed already. */
  readonly wholeTableJoins: boolean;
}

/** From so many rows on, those of a changed table are joined with themselves by hashing: by loops it would take their square. */
const selfJoinRows = 10;

function terms(
  readings: readonly Reading[],
  place: "before" | "after",
  { id, rows, fresh, wholeTableJoins: allowed }: ChangedMirror,
): PipelineStatement[] {
  return readings.flatMap(({ view, owner }) =>
    view.terms
      .filter((term) => term.mirrorId === id && term.place === place)
      .flatMap(({ sql, selfJoin }): PipelineStatement[] => {
        if (!selfJoin || allowed || rows < selfJoinRows) return [{ sql, owner, fresh }];
        return [...wholeTableJoins(true), { sql, owner, fresh: true }, ...wholeTableJoins(false)];
      }),
  );
}

export interface MergeOptions {
  readonly owner?: (name: string) => string;
  /** Joins of whole tables are allowed, and stay so. */
  readonly wholeTableJoins?: boolean;
}

/** Brings views to what the terms found in a batch. */
export function mergeStatements(
  views: readonly CompiledView[],
  batch: number,
  { owner = ownerOf.view, wholeTableJoins: allowed = false }: MergeOptions = {},
): PipelineStatement[] {
  const again = views.flatMap((view) => view.recompute.map((sql) => ({ sql, owner: owner(view.name) })));
  const merges = views.map((view) => ({
    sql: view.merge("$1::bigint"),
    values: [batch],
    owner: owner(view.name),
  }));
  if (again.length === 0) return merges;
  return [
    ...ownOrder(true),
    ...wholeTableJoins(true),
    ...again,
    ...ownOrder(false),
    ...wholeTableJoins(allowed),
    ...merges,
  ];
}

/** Whether the planner may order joins otherwise than they are written. */
function ownOrder(on: boolean): PipelineStatement[] {
  return [{ sql: `set local join_collapse_limit = ${on ? 8 : 1}` }];
}

function wholeTableJoins(on: boolean): PipelineStatement[] {
  const value = on ? "on" : "off";
  return [{ sql: `set local enable_hashjoin = ${value}` }, { sql: `set local enable_mergejoin = ${value}` }];
}

/** The same emptying, without dead rows left behind. */
export function asTruncate(sql: string): string {
  return sql.replace(/^\s*delete\s+from\s+/i, "truncate ");
}

/** Change rows that parts of one batch wrote about one row, as one change: images that came and went again are left out. */
export function netChangeRows(view: CompiledView, batch: number): PipelineStatement {
  const columns = view.publicColumns.map((name) => `"${name.replaceAll('"', '""')}"`);
  const list = columns.join(", ");
  return {
    sql:
      `with parts as (delete from ${view.logTable} where batch = $1::bigint returning *) ` +
      `insert into ${view.logTable} (batch, w, ${list}) select $1::bigint, w, ${list} from (` +
      `select distinct on (_millrace_image) sum(w) over (partition by _millrace_image) as w, ${list} from (` +
      `select p.*, row(${list})::text as _millrace_image from parts p) rows) netted where w <> 0`,
    values: [batch],
    owner: ownerOf.view(view.name),
    fresh: true,
  };
}

/** Notes what a batch wrote for the readers of changes; nothing when it wrote nothing. Answers the bytes. */
export function recordBatch(
  group: string,
  generation: number,
  batch: number,
  views: readonly CompiledView[],
): PipelineStatement[] {
  if (views.length === 0) return [];
  const sizes = views.map(
    (view) => `(select coalesce(sum(pg_column_size(l)), 0) from ${view.logTable} l where batch = $3::bigint)`,
  );
  // `offset 0`: the sum would be put in both places where it is named, and computed twice.
  return [
    {
      sql:
        'insert into millrace.batches ("group", generation, batch, committed_at, bytes) ' +
        `select $1, $2::bigint, $3::bigint, now(), b from (select ${sizes.join(" + ")} as b offset 0) s where b > 0 returning bytes`,
      values: [group, generation, batch],
      owner: "bookkeeping",
    },
  ];
}
