/**
 * Mirrors as the views need them: made and filled from the log up to where the group stands, which is an exact prefix;
 * taken away when nobody reads them. A mirror that cannot be made or filled is broken, and stops nothing else.
 */
import { MillraceError } from "../base/errors.ts";
import { quote } from "../catalog/definitions.ts";
import { ownerOf, planBatch } from "./applier-batch.ts";
import type { PipelineStatement } from "./applier-pipeline.ts";
import { type MirrorRow, type StoredError, writeMirrorState } from "./bookkeeping.ts";
import { attempt, failedVersion, type GroupContext, transact, tryOnce } from "./group-context.ts";
import { RowUnreadable, readParts, type Staged } from "./inputs-rows.ts";
import { createMirror, mirrorTable } from "./mirror.ts";
import { listIndexes, mirrorGrants, wantedIndexes } from "./versions-build.ts";

const relaxed = ["set local synchronous_commit = off"];

/** Makes what is missing and drops what nobody reads. The temporary tables are set up for exactly the mirrors that are filled. */
export async function arrangeMirrors(context: GroupContext): Promise<void> {
  const { state } = context;
  const needed = new Set(state.compiledViews().flatMap((view) => view.uses.map((use) => use.mirrorId)));
  for (const mirror of state.mirrors) {
    if (mirror.state === "filled" && !needed.has(mirror.id)) await dropMirror(context, mirror);
  }
  await setLayout(context);
  for (const mirror of state.mirrors) {
    if (mirror.state === "absent" && needed.has(mirror.id)) await fillMirror(context, mirror);
  }
  await setLayout(context);
}

/** The connection's temporary tables, for the filled mirrors, the live views and the recordings of now. */
export async function setLayout({ applier, state }: GroupContext): Promise<void> {
  await applier.setLayout(state.filledMirrors(), state.liveViews(), state.recordingsWanted());
}

async function dropMirror(context: GroupContext, mirror: MirrorRow): Promise<void> {
  context.settings.diagnostics.info("a mirror is dropped, since no view reads it", {
    mirror: mirrorTable(mirror.shape),
  });
  await transact(context, [...dropStatements(mirror), writeMirrorState(mirror.id, "absent", null)]);
  setMirror(context, { ...mirror, state: "absent", error: null });
}

export function dropStatements({ shape }: MirrorRow): PipelineStatement[] {
  return [
    { sql: "set local lock_timeout = '5s'", fresh: true },
    { sql: `drop table if exists ${mirrorTable(shape)} cascade`, fresh: true },
  ];
}

async function fillMirror(context: GroupContext, mirror: MirrorRow): Promise<void> {
  const { applier, state, settings } = context;
  const { id, shape } = mirror;
  const owner = ownerOf.mirror(id);
  const create = [
    ...dropStatements(mirror).map(({ sql }) => sql),
    ...createMirror(shape),
    ...mirrorGrants(shape, settings.readerRole),
  ];
  const made = await attempt(context, () => applier.transact(create.map((sql) => ({ sql, owner, fresh: true }))));
  if ("failure" in made) return breakMirror(context, mirror, made.failure.error);
  await applier.setLayout([...state.filledMirrors(), { id, shape }], state.liveViews(), state.recordingsWanted());
  const error = await copyFromLog(context, mirror);
  if (error) return breakMirror(context, mirror, error);
  await transact(context, [writeMirrorState(id, "filled", null)]);
  setMirror(context, { ...mirror, state: "filled", error: null });
  await applier.query(`analyze ${mirrorTable(shape)}`);
}

async function copyFromLog(context: GroupContext, { id, shape }: MirrorRow): Promise<StoredError | null> {
  const { settings, state, signal } = context;
  const position = state.positions.get(shape.topic);
  if (!position || position.nextOffset <= position.baseOffset) return null;
  const range = { mirror: { id, shape }, from: position.baseOffset, to: position.nextOffset };
  try {
    for await (const staged of readParts(settings, [range], settings.bound, signal)) {
      const error = await applyPart(context, staged);
      if (error) return error;
    }
    return null;
  } catch (error) {
    if (error instanceof RowUnreadable) return { code: "VIEW_FAILED", message: error.message };
    if (!MillraceError.is(error, "OFFSET_OUT_OF_RANGE")) throw error;
    return { code: error.code, message: `the log does not have the beginning of ${shape.topic} any more` };
  }
}

async function applyPart(context: GroupContext, staged: Staged): Promise<StoredError | null> {
  for (const straight of [true, false]) {
    const outcome = await attempt(context, (applier) => {
      const statements = planBatch(applier.layout, staged, applier.row.batch + 1, {
        step: 0, // nobody records what fills a mirror
        sweep: true,
        straight,
        fresh: true,
      });
      return applier.transact(statements, {}, relaxed);
    });
    if ("done" in outcome) return null;
    if (!straight) return outcome.failure.error;
  }
  return null;
}

/** The mirror is given up until its next snapshot, or until one of its views is rebuilt; its views fail. */
export async function breakMirror(context: GroupContext, mirror: MirrorRow, error: StoredError): Promise<void> {
  const { state, settings } = context;
  const table = mirrorTable(mirror.shape);
  const broken: StoredError = { ...error, message: `mirror ${table} cannot follow its table: ${error.message}` };
  settings.diagnostics.error("a mirror is broken", { mirror: table, reason: error.message });
  const failed = state
    .compiledViews()
    .filter((view) => view.uses.some((use) => use.mirrorId === mirror.id))
    .flatMap((view) => failedVersion(context, view, broken));
  setMirror(context, { ...mirror, state: "broken", error: broken });
  await transact(context, [...failed, writeMirrorState(mirror.id, "broken", broken)]);
}

export function setMirror({ state }: GroupContext, mirror: MirrorRow): void {
  state.mirrors = state.mirrors.map((one) => (one.id === mirror.id ? mirror : one));
}

/** Indexes that no view's terms probe any more cost every batch, and go. One whose table is held goes another time. */
export async function dropUnusedIndexes(context: GroupContext): Promise<void> {
  const { state, applier } = context;
  const mirrors = new Map(state.mirrors.map((mirror) => [mirror.id, mirror]));
  const wanted = wantedIndexes(state.compiledViews(), mirrors);
  for (const { schemaname, indexname } of await applier.query(listIndexes)) {
    if (wanted.has(String(indexname))) continue;
    const drop = `drop index if exists ${quote(String(schemaname))}.${quote(String(indexname))}`;
    await tryOnce(context, () =>
      applier.transact([{ sql: drop, fresh: true }], {}, ["set local lock_timeout = '200ms'"]),
    );
  }
}
