/**
 * What happens in the life of a source, one event at a time and between batches: a snapshot begins (its mirrors are
 * emptied, its views are building), a snapshot ends (they can be filled), a table gets columns. One table that is read
 * alone is treated in `group-table.ts`. Views are to be planned anew behind each event.
 */
import { ownerOf } from "./applier-batch.ts";
import type { PipelineStatement } from "./applier-pipeline.ts";
import {
  forgetTable,
  type MirrorRow,
  type SourceRow,
  type VersionRow,
  writeMirrorState,
  writePositions,
  writeSource,
  writeTable,
  writeVersion,
} from "./bookkeeping.ts";
import { attempt, type GroupContext, transact } from "./group-context.ts";
import { breakMirror, dropStatements } from "./group-mirrors.ts";
import type { GroupProgress } from "./group-progress.ts";
import { beginTable, endTable } from "./group-table.ts";
import type { Advance, Work } from "./inputs.ts";
import { addColumns, mirrorTable, sameTable } from "./mirror.ts";
import { partitionOf, placeOf, type StoredPosition } from "./positions.ts";

type Life = Extract<Work, { kind: "life" }>;

export async function applyLife(context: GroupContext, progress: GroupProgress, work: Life): Promise<void> {
  const { event, source, advance } = work;
  const { diagnostics } = context.settings;
  if (event.status === "SNAPSHOT_BEGIN") {
    diagnostics.info("a snapshot begins; the views of the source are building", { source, snapshot: event.id });
    await beginSnapshot(context, progress, work);
  } else if (event.status === "SNAPSHOT_END") {
    await endSnapshot(context, progress, source, advance, event);
    diagnostics.info("a snapshot is complete", { source, snapshot: event.id });
  } else if (event.status === "TABLE_BEGIN") {
    const { reason } = event;
    diagnostics.info("a table is read anew; views that read it are building", {
      table: mirrorTable(event.table),
      reason,
    });
    await beginTable(context, progress, advance, event);
  } else if (event.status === "TABLE_END") {
    await endTable(context, progress, advance, event);
  } else {
    diagnostics.info("a table has more columns", { table: mirrorTable(event.table) });
    await changeShape(context, progress, advance, event.table);
  }
}

/** Mirrors that the event empties, or makes anew in another shape: no build may be reading them meanwhile. */
export function mirrorsLeft({ state }: GroupContext, { event, source }: Life): ReadonlySet<number> {
  const isLeft = ({ shape }: MirrorRow): boolean => {
    if (shape.source !== source) return false;
    if (event.status === "SNAPSHOT_BEGIN") return true;
    if (event.status !== "TABLE_BEGIN" && event.status !== "SCHEMA") return false;
    return event.table.schema === shape.schema && event.table.table === shape.table;
  };
  return new Set(state.mirrors.filter(isLeft).map((mirror) => mirror.id));
}

async function beginSnapshot(
  context: GroupContext,
  progress: GroupProgress,
  { event, source, advance }: Life,
): Promise<void> {
  const { state, settings } = context;
  if (event.status !== "SNAPSHOT_BEGIN") return;
  const row: SourceRow = { source, snapshotId: event.id, snapshotComplete: false, lsn: null };
  const ours = state.mirrors.filter((mirror) => mirror.shape.source === source);
  const shapeOf = (mirror: MirrorRow) =>
    event.tables.find((shape) => shape.schema === mirror.shape.schema && shape.table === mirror.shape.table);
  const kept = ours.filter((mirror) => {
    const shape = shapeOf(mirror);
    return mirror.state === "filled" && shape !== undefined && sameTable(shape, mirror.shape);
  });
  const dropped = ours.filter((mirror) => mirror.state !== "absent" && !kept.includes(mirror));
  const gone = ours.filter((mirror) => shapeOf(mirror) === undefined);
  const retired = retiredVersions(context, new Set(ours.map((mirror) => mirror.id)));
  const positions = [...positionsAt(context, advance)];
  const outcome = await attempt(context, (applier, attempts) => {
    const statements: PipelineStatement[] = [
      ...dropped.flatMap((mirror) => [...dropStatements(mirror), writeMirrorState(mirror.id, "absent", null)]),
      ...kept.map((mirror) => emptied(mirror, attempts)),
      ...gone.map((mirror) => forgetTable(mirror.id)),
      ...retired.map((version) => writeVersion(settings.name, version)),
      ...progress.write(advance),
      ...writePositions(settings.name, positions),
      writeSource(settings.name, row),
      ...event.tables.map((shape) => writeTable(settings.name, shape)),
    ];
    return applier.transact(statements, {}, ["set local lock_timeout = '2s'"]);
  });
  if (!("done" in outcome)) throw new Error(outcome.failure.error.message);
  const ids = outcome.done.slice(-event.tables.length).map((result) => Number(result.rows[0]?.[0]));
  progress.written(advance);
  for (const position of positions) state.positions.set(placeOf(position.topic), position);
  state.sources.set(source, row);
  state.progress.delete(source);
  state.mirrors = [
    ...state.mirrors.filter((mirror) => mirror.shape.source !== source),
    ...event.tables.map((shape, i): MirrorRow => {
      const id = ids[i] ?? 0;
      const filled = kept.some((mirror) => mirror.id === id);
      return { id, shape, state: filled ? "filled" : "absent", error: null, reading: null };
    }),
  ].sort((a, b) => a.id - b.id);
  state.replaceVersions(retired);
}

/** A reader who holds on to the mirror must not hold up what comes: after the first try its rows are deleted instead. */
export function emptied({ shape }: MirrorRow, attempts: number): PipelineStatement {
  const table = mirrorTable(shape);
  return { sql: attempts === 0 ? `truncate ${table}` : `delete from ${table}`, fresh: true };
}

/** Of a snapshot's beginning: rows of each topic count from here on. */
function* positionsAt({ settings }: GroupContext, advance: Advance): Generator<StoredPosition> {
  for (const [place, nextOffset] of advance.to) {
    const { topic } = partitionOf(place);
    const info = settings.engine.topic(topic);
    if (!info) continue;
    const leaderEpoch = settings.engine.leaderEpoch(topic, 0);
    yield {
      topic,
      topicId: info.id,
      partition: 0,
      nextOffset,
      leaderEpoch,
      baseOffset: nextOffset,
      latestEventMs: null,
    };
  }
}

/** Versions that read one of these mirrors, retired. */
export function retiredVersions({ state }: GroupContext, mirrorIds: ReadonlySet<number>): VersionRow[] {
  const reading = state.compiledViews().filter((view) => view.uses.some((use) => mirrorIds.has(use.mirrorId)));
  return state.versions
    .filter((row) => row.state !== "retired")
    .filter((row) => reading.some((view) => view.name === row.name && view.version === row.version))
    .map((row): VersionRow => ({ ...row, state: "retired" }));
}

async function endSnapshot(
  context: GroupContext,
  progress: GroupProgress,
  source: string,
  advance: Advance,
  event: { readonly id: string; readonly lsn: string },
): Promise<void> {
  const { state, settings, applier } = context;
  const known = state.sources.get(source);
  const complete = known?.snapshotId === event.id;
  const row = complete ? { ...known, snapshotComplete: true, lsn: event.lsn } : null;
  if (!complete) settings.diagnostics.warn("a snapshot ends that did not begin here; it is passed over", { source });
  await transact(context, [...progress.write(advance), ...(row ? [writeSource(settings.name, row)] : [])]);
  progress.written(advance);
  if (!row) return;
  state.sources.set(source, row);
  for (const { shape, state: filled } of state.mirrors) {
    if (filled === "filled" && shape.source === source) await applier.query(`analyze ${mirrorTable(shape)}`);
  }
}

async function changeShape(
  context: GroupContext,
  progress: GroupProgress,
  advance: Advance,
  shape: MirrorRow["shape"],
): Promise<void> {
  const { state, settings } = context;
  const known = state.mirrors.find(
    ({ shape: s }) => s.source === shape.source && s.schema === shape.schema && s.table === shape.table,
  );
  const added = known?.state === "filled" ? addColumns(known.shape, shape) : [];
  // A shape that is not the old one with more columns is filled again from the log.
  const change: PipelineStatement[] =
    known && added === null
      ? [...dropStatements(known), writeMirrorState(known.id, "absent", null)]
      : (added ?? []).map((sql) => ({ sql, fresh: true, owner: known ? ownerOf.mirror(known.id) : "" }));
  const reading = known?.reading ?? null;
  const retired = known && added === null ? retiredVersions(context, new Set([known.id])) : [];
  change.push(...retired.map((version) => writeVersion(settings.name, version)));
  const write = [...progress.write(advance), writeTable(settings.name, shape, reading)];
  const outcome = await attempt(context, (applier) => applier.transact([...change, ...write]));
  const done = "done" in outcome ? outcome.done : await transact(context, write);
  progress.written(advance);
  state.replaceVersions(retired);
  const id = Number(done.at(-1)?.rows[0]?.[0]);
  const now: MirrorRow = {
    id,
    shape,
    state: added === null ? "absent" : (known?.state ?? "absent"),
    error: null,
    reading,
  };
  state.mirrors = [...state.mirrors.filter((mirror) => mirror.id !== id), now].sort((a, b) => a.id - b.id);
  if ("failure" in outcome) await breakMirror(context, now, outcome.failure.error);
}
