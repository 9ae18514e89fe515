/**
 * The statements of one batch (or of one part of a huge transaction), in their order. Pure: what is staged and which
 * views are live or being built go in, statements come out.
 *
 * Always true: the clock moves first, then mirrors take the batch in the order of their ids; the terms of a mirror run
 * right before and right after it; only views that read a changed mirror, or the clock where it moves, are touched. What
 * the terms make is merged where a view is live, and recorded where it is being filled. The history of a view is a mirror
 * that changes when the view is merged; what reads it is merged after that.
 */

import type { PipelineStatement } from "./applier-pipeline.ts";
import type { CompiledView, DeltaTerm } from "./compiled-view.ts";
import { applyChanges, type Followed, findChanges, type HistoryChange } from "./history/history-changes.ts";
import { historyLevels, levelOf } from "./history/history-levels.ts";
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
  /** Which clocks are to go on, and what moves them. */
  readonly clocks?: { readonly moved: MovedClocks; readonly statements: readonly PipelineStatement[] };
  /** Histories follow their views, which changed then; absent in what is a part of a transaction only. */
  readonly changed?: Changed;
}

/** Clocks that a batch moves: the group's own, and the watermarks of topics. */
export interface MovedClocks {
  readonly now: boolean;
  readonly topics: readonly string[];
}

const noneMoved: MovedClocks = { now: false, topics: [] };

/** When what a batch brings has happened, as far as it says so: its rows, and where the clock went. */
export interface Changed {
  readonly rowsMs: number | null;
  readonly clockMs: number | null;
}

/** Owners of statements: who is to blame when one fails. */
export const ownerOf = {
  view: (name: string) => `view ${name}`,
  /** Of the view's history, without which the view is not right. */
  history: (name: string) => `history ${name}`,
  /** Of the version that is being built. */
  build: (name: string) => `build ${name}`,
  mirror: (id: number) => `mirror ${id}`,
};

/** Those that are reached by the histories of others are among them. */
export function viewsTouched(layout: Layout, staged: Staged, moved = noneMoved): CompiledView[] {
  const touched = reachedMirrors(layout, staged, moved);
  return layout.views.filter((view) => reads(view, touched, moved));
}

/** A view that is recomputed whole gets its change rows when that is done. */
export function writesChanges(view: CompiledView): boolean {
  return view.whole === undefined;
}

export function recordingsTouched(layout: Layout, staged: Staged, moved = noneMoved): Recording[] {
  const touched = reachedMirrors(layout, staged, moved);
  return layout.recording.filter(({ view }) => reads(view, touched, moved));
}

/** Mirrors that are staged, and histories of views that those may change. */
function reachedMirrors(layout: Layout, staged: Staged, moved: MovedClocks): ReadonlySet<number> {
  const touched = new Set(staged.keys());
  for (const level of historyLevels(layout)) {
    for (const { view, mirror } of level) if (reads(view, touched, moved)) touched.add(mirror.id);
  }
  return touched;
}

function reads(view: CompiledView, mirrors: ReadonlySet<number>, moved: MovedClocks): boolean {
  return asks(view, moved) || view.uses.some((use) => mirrors.has(use.mirrorId));
}

function asks({ clock }: CompiledView, { now, topics }: MovedClocks): boolean {
  if (clock === undefined) return false;
  return (now && clock.flips.length > 0) || clock.topics.some((topic) => topics.includes(topic));
}

/** A version whose terms are to run, and to whom their failure belongs. */
interface Reading {
  readonly view: CompiledView;
  readonly owner: string;
  /** Where one term alone finds something: that one, and what merges it as it is found. */
  readonly only: { readonly term: DeltaTerm; readonly merge: PipelineStatement } | null;
}

/** True when all that a batch does is to load snapshots that no view reads yet. */
export function loadsOnly(layout: Layout, staged: Staged): boolean {
  return [...staged.values()].every((table) => table.snapshotRowsOnly) && viewsTouched(layout, staged).length === 0;
}

export function planBatch(layout: Layout, staged: Staged, batch: number, options: BatchOptions): PipelineStatement[] {
  const { moved, statements: clocks } = options.clocks ?? { moved: noneMoved, statements: [] };
  const views = viewsTouched(layout, staged, moved);
  const recordings = recordingsTouched(layout, staged, moved);
  const readings = readingsOf(views, recordings, (view) => onlyTerm(layout, view, batch, { staged, moved }));
  const gathering = readings.filter(({ only }) => only === null);
  const merged = views.filter((view) => gathering.some((one) => one.view === view));
  // A few rows drive joins by indexes; for many rows the planner may read a table whole, which it is told the size of.
  const statements: PipelineStatement[] = options.fresh ? wholeTableJoins(true) : [];
  for (const { view, owner } of gathering) {
    for (const sql of view.clear) statements.push({ sql: options.sweep ? asTruncate(sql) : sql, owner });
  }
  if (clocks.length > 0) statements.push(...clocks, ...clockTerms(readings, moved));
  for (const id of [...staged.keys()].sort((a, b) => a - b)) {
    const mirror = layout.mirrors.get(id);
    const table = staged.get(id);
    if (mirror && table) statements.push(...planMirror(mirror, table, readings, options));
  }
  const { changed, fresh } = options;
  if (changed === undefined) statements.push(...mergeStatements(merged, batch, { wholeTableJoins: fresh }));
  else {
    const change = (view: CompiledView) => ofBatch(view, batch, changed);
    const { sweep } = options;
    statements.push(...followHistories({ layout, readings, merged, netted: [], batch, fresh, sweep, change }));
  }
  statements.push(...recordings.map((recording) => recording.record(options.step)));
  if (!options.fresh) return statements;
  return [...statements, ...wholeTableJoins(false)].map((statement) => ({ ...statement, fresh: true }));
}

interface Following {
  readonly layout: Layout;
  readonly readings: readonly Reading[];
  /** Views to which what their terms found is still to be brought. */
  readonly merged: readonly CompiledView[];
  /** Views of which the parts of the batch have written changes, each for itself. */
  readonly netted: readonly CompiledView[];
  readonly batch: number;
  readonly fresh: boolean;
  readonly sweep: boolean;
  /** Why the history of a view changes; null where it does not. */
  readonly change: (view: CompiledView) => HistoryChange | null;
}

/** Merges views, and after each their histories, whose readers are merged when those stand. */
function followHistories(following: Following): PipelineStatement[] {
  const { layout, readings, merged, netted, batch, fresh, change } = following;
  const statements: PipelineStatement[] = [];
  const levels = historyLevels(layout);
  for (let level = 0; level <= levels.length; level++) {
    const isHere = (view: CompiledView) => levelOf(layout, view) === level;
    statements.push(...mergeStatements(merged.filter(isHere), batch, { wholeTableJoins: fresh }));
    statements.push(...netted.filter(isHere).map((view) => netChangeRows(view, batch)));
    for (const followed of levels[level] ?? []) {
      const why = [...merged, ...netted].includes(followed.view) ? change(followed.view) : null;
      if (why !== null) statements.push(...planHistory(followed, why, readings, following));
    }
  }
  return statements;
}

function ofBatch({ clock }: CompiledView, batch: number, { rowsMs, clockMs }: Changed): HistoryChange {
  const times = [rowsMs, clock !== undefined || rowsMs === null ? clockMs : null].filter((ms) => ms !== null);
  return { kind: "batch", batch, atMs: Math.max(0, ...times) };
}

/** The versions of a view's rows, with the terms of what reads them around it. */
function planHistory(
  followed: Followed,
  change: HistoryChange,
  readings: readonly Reading[],
  { fresh, sweep }: Pick<Following, "fresh" | "sweep">,
): PipelineStatement[] {
  const { view, mirror } = followed;
  const owner = ownerOf.history(view.name);
  const readers = readings.filter((one) => one.view.uses.some((use) => use.mirrorId === mirror.id));
  const place = { id: mirror.id, rows: selfJoinRows, fresh: false, wholeTableJoins: fresh };
  return [
    empty(deltaTable(mirror.id), owner, sweep),
    ...findChanges(followed, change).map((statement) => ({ ...statement, owner })),
    ...terms(readers, "before", place),
    ...applyChanges(followed).map((statement) => ({ ...statement, owner })),
    ...terms(readers, "after", place),
  ];
}

export interface HistoryPlan {
  readonly statements: PipelineStatement[];
  /** Views that get change rows by them. */
  readonly views: readonly CompiledView[];
}

/** Behind the parts of a batch, which have merged `touched`: nets their change rows, and brings on what reads their histories. */
export function planEnd(
  layout: Layout,
  touched: readonly CompiledView[],
  batch: number,
  { step, changed }: { readonly step: number; readonly changed: Changed },
): HistoryPlan & { readonly recordings: readonly Recording[] } {
  const { later, recordings, readings } = readersBeyond(layout, touched);
  const views = [...new Set([...touched, ...later])];
  const statements = [
    ...clearing(readings),
    ...followHistories({
      layout,
      readings,
      merged: later,
      netted: views.filter(writesChanges),
      batch,
      fresh: false,
      sweep: false,
      change: (view) => ofBatch(view, batch, changed),
    }),
    ...recordings.map((recording) => recording.record(step)),
  ];
  return { statements, views, recordings };
}

/** One history changes, and what reads it. */
export function planHistoryChange(
  layout: Layout,
  followed: Followed,
  change: HistoryChange,
  batch: number,
  changed: Changed,
): HistoryPlan {
  const { later, readings } = readersBeyond(layout, [], followed.mirror);
  const statements = [
    ...clearing(readings),
    ...planHistory(followed, change, readings, { fresh: false, sweep: false }),
    ...followHistories({
      layout,
      readings,
      merged: later,
      netted: [],
      batch,
      fresh: false,
      sweep: false,
      change: (view) => ofBatch(view, batch, changed),
    }),
  ];
  return { statements, views: later };
}

/** What reads the histories of these views, or this one, directly or by those of others. */
function readersBeyond(layout: Layout, views: readonly CompiledView[], ...own: readonly Mirror[]) {
  const mirrors = new Set(own.map(({ id }) => id));
  for (const level of historyLevels(layout)) {
    for (const { view, mirror } of level) {
      if (views.includes(view) || view.uses.some((use) => mirrors.has(use.mirrorId))) mirrors.add(mirror.id);
    }
  }
  const later = layout.views.filter((view) => reads(view, mirrors, noneMoved));
  const recordings = layout.recording.filter(({ view }) => reads(view, mirrors, noneMoved));
  return { later, recordings, readings: readingsOf(later, recordings) };
}

function readingsOf(
  views: readonly CompiledView[],
  recordings: readonly Recording[],
  onlyOf: (view: CompiledView) => Reading["only"] = () => null,
): Reading[] {
  return [
    ...views.map((view) => ({ view, owner: ownerOf.view(view.name), only: onlyOf(view) })),
    ...recordings.map(({ view }) => ({ view, owner: ownerOf.build(view.name), only: null })),
  ];
}

function clearing(readings: readonly Reading[]): PipelineStatement[] {
  return readings.flatMap(({ view, owner }) => view.clear.map((sql) => ({ sql, owner })));
}

/** Null where there are several, or where what they find is to be gathered first. */
function onlyTerm(
  layout: Layout,
  view: CompiledView,
  batch: number,
  { staged, moved }: { readonly staged: Staged; readonly moved: MovedClocks },
): Reading["only"] {
  const reached = reachedMirrors(layout, staged, moved);
  const [term, ...others] = view.terms.filter(({ mirrorId }) => reached.has(mirrorId) && layout.mirrors.has(mirrorId));
  if (view.mergeRows === undefined || term?.rows === undefined || others.length > 0) return null;
  // A history follows the merge of its view, and is read by a merge behind it.
  if (view.history === true || !staged.has(term.mirrorId) || asks(view, moved)) return null;
  const sql = view.mergeRows("$1::bigint", term.rows);
  return { term, merge: { sql, values: [batch], owner: ownerOf.view(view.name) } };
}

/** While all mirrors are as they were: what follows is under the new clocks. */
function clockTerms(readings: readonly Reading[], moved: MovedClocks): PipelineStatement[] {
  const asking = readings.filter(({ view }) => asks(view, moved));
  return asking.flatMap(({ view, owner }) => (view.clock?.terms ?? []).map((sql) => ({ sql, owner })));
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
  const statements: PipelineStatement[] = [
    empty(stageTable(id), owner, options.sweep),
    empty(deltaTable(id), owner, options.sweep),
    { sql: copyToStage(mirror), copy: table.lines(), owner },
  ];
  if (table.keepsCells) statements.push({ sql: keepCells(mirror), owner });
  for (const row of table.carried()) statements.push({ ...carryCells(mirror, row), owner, fresh: true });
  if (table.removesWholeRows) statements.push(...resolveWholeRows(mirror).map((sql) => ({ sql, owner })));
  return statements;
}

function empty(table: string, owner: string, sweep: boolean): PipelineStatement {
  return { sql: sweep ? `truncate ${table}` : `delete from ${table}`, owner };
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
  return readings.flatMap(({ view, owner, only }) =>
    view.terms
      .filter((term) => term.mirrorId === id && term.place === place)
      .flatMap((term): PipelineStatement[] => {
        const { sql, selfJoin } = term;
        if (only !== null) return term === only.term ? [{ ...only.merge, fresh }] : [];
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
