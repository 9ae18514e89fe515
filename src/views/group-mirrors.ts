/**
 * Mirrors as the views need them: made and filled from the log up to where the group stands, which is an exact prefix;
 * taken away when nobody reads them. A mirror that cannot be made or filled is broken, and stops nothing else.
 */
import { quote } from "../catalog/definitions.ts";
import { ownerOf, planBatch } from "./applier-batch.ts";
import type { PipelineStatement } from "./applier-pipeline.ts";
import { forgetPositions, type MirrorRow, type StoredError, writeMirrorState } from "./bookkeeping.ts";
import { attempt, failedVersion, type GroupContext, transact, tryOnce } from "./group-context.ts";
import { isHistory } from "./history/history-table.ts";
import { MirrorUnreadable, readParts, type Staged } from "./inputs-rows.ts";
import { createMirror, mirrorTable } from "./mirror.ts";
import { placeOf } from "./positions.ts";
import { isOfTopic, topicBeginning } from "./topic-places.ts";
import { listIndexes, mirrorGrants, wantedIndexes } from "./versions-build.ts";
import { forgetWatermark } from "./watermark-store.ts";

const relaxed = ["set local synchronous_commit = off"];

/** Makes what is missing and drops what nobody reads. The temporary tables are set up for exactly the mirrors that are filled. */
export async function arrangeMirrors(context: GroupContext): Promise<void> {
  const { state } = context;
  const needed = new Set(state.compiledViews().flatMap((view) => view.uses.map((use) => use.mirrorId)));
  for (const mirror of state.mirrors) {
    if (mirror.state !== "filled" || needed.has(mirror.id) || isNamed(context, mirror) || isHistory(mirror)) continue;
    await dropMirror(context, mirror);
  }
  await setLayout(context);
  for (const mirror of state.mirrors) {
    if (mirror.state === "absent" && needed.has(mirror.id) && !isHistory(mirror)) await fillMirror(context, mirror);
  }
  await setLayout(context);
}

/**
 * A topic's rows may be all that is left of its records: they stay while some definition's text has its name, also where
 * that does not compile, or does not parse.
 */
function isNamed(context: GroupContext, mirror: MirrorRow): boolean {
  return isOfTopic(mirror) && context.definitions().some(({ sql }) => sql.text.includes(mirror.shape.topic));
}

/** The connection's temporary tables, for the filled mirrors, the live views and the recordings of now. */
export async function setLayout({ applier, state }: GroupContext): Promise<void> {
  await applier.setLayout(state.filledMirrors(), state.liveViews(), state.recordingsWanted());
}

async function dropMirror(context: GroupContext, mirror: MirrorRow): Promise<void> {
  context.settings.diagnostics.info("a mirror is dropped, since no view reads it", {
    mirror: mirrorTable(mirror.shape),
  });
  await transact(context, dropMirrorStatements(context.settings.name, mirror));
  if (isOfTopic(mirror)) context.state.forgetTopic(mirror);
  setMirror(context, { ...mirror, state: "absent", error: null });
}

/** A topic is read from its beginning when it is needed again. */
export function dropMirrorStatements(group: string, mirror: MirrorRow): PipelineStatement[] {
  const { topic } = mirror.shape;
  const forget = isOfTopic(mirror) ? [forgetPositions(group, topic), forgetWatermark(topic)] : [];
  return [...dropStatements(mirror), writeMirrorState(mirror.id, "absent", null), ...forget];
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
  if (isOfTopic(mirror)) return beginTopic(context, mirror);
  await applier.setLayout([...state.filledMirrors(), { id, shape }], state.liveViews(), state.recordingsWanted());
  const error = await copyFromLog(context, mirror);
  if (error) return breakMirror(context, mirror, error);
  await transact(context, [writeMirrorState(id, "filled", null)]);
  setMirror(context, { ...mirror, state: "filled", error: null });
  await applier.query(`analyze ${mirrorTable(shape)}`);
}

/** The rest is read like everything else. */
async function beginTopic(context: GroupContext, mirror: MirrorRow): Promise<void> {
  const begin = await topicBeginning(context, mirror);
  await transact(context, [writeMirrorState(mirror.id, "filled", null), ...begin]);
  setMirror(context, { ...mirror, state: "filled", error: null });
}

async function copyFromLog(context: GroupContext, { id, shape }: MirrorRow): Promise<StoredError | null> {
  const { settings, state, signal } = context;
  const position = state.positions.get(placeOf(shape.topic));
  if (!position || position.nextOffset <= position.baseOffset) return null;
  const times = { latestMs: null };
  const range = {
    mirror: { id, shape },
    partition: 0,
    from: position.baseOffset,
    to: position.nextOffset,
    times,
    marks: [],
  };
  try {
    for await (const staged of readParts(settings, [range], settings.bound, signal)) {
      const error = await applyPart(context, staged);
      if (error) return error;
    }
    return null;
  } catch (error) {
    if (error instanceof MirrorUnreadable) return { code: error.code, message: error.message };
    throw error;
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
