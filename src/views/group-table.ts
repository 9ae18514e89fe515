/**
 * One table that is read anew while its source streams on: its mirror is emptied and filled again by what follows, and
 * views that read it are built when it is whole. All others go on.
 *
 * Always true: between TABLE_BEGIN and TABLE_END the mirror is read by nobody, for it equals no state of its table;
 * at TABLE_END it is the table at that place of the stream, like every other mirror of the source.
 */
import type { TableBeginEvent, TableEndEvent } from "../schema/transaction-events.ts";
import type { PipelineStatement } from "./applier-pipeline.ts";
import {
  type MirrorRow,
  writeMirrorState,
  writePositions,
  writeReading,
  writeTable,
  writeVersion,
} from "./bookkeeping.ts";
import { attempt, type GroupContext, transact } from "./group-context.ts";
import { emptied, retiredVersions } from "./group-life.ts";
import { dropStatements, setMirror } from "./group-mirrors.ts";
import type { GroupProgress } from "./group-progress.ts";
import type { Advance } from "./inputs.ts";
import { mirrorTable, sameTable } from "./mirror.ts";
import { placeOf, type StoredPosition } from "./positions.ts";

export async function beginTable(
  context: GroupContext,
  progress: GroupProgress,
  advance: Advance,
  { id: reading, table: shape }: TableBeginEvent,
): Promise<void> {
  const { state, settings } = context;
  const known = state.mirrors.find(
    (mirror) =>
      mirror.shape.source === shape.source &&
      mirror.shape.schema === shape.schema &&
      mirror.shape.table === shape.table,
  );
  const keeps = known?.state === "filled" && sameTable(known.shape, shape);
  const retired = known === undefined ? [] : retiredVersions(context, new Set([known.id]));
  const position = beginningOf(context, shape.topic, advance);
  const outcome = await attempt(context, (applier, attempts) => {
    const statements: PipelineStatement[] = [
      ...(known === undefined || known.state === "absent" ? [] : keeps ? [emptied(known, attempts)] : dropped(known)),
      ...retired.map((version) => writeVersion(settings.name, version)),
      ...progress.write(advance),
      ...writePositions(settings.name, position),
      writeTable(settings.name, shape, reading),
    ];
    return applier.transact(statements, {}, ["set local lock_timeout = '2s'"]);
  });
  if (!("done" in outcome)) throw new Error(outcome.failure.error.message);
  progress.written(advance);
  for (const one of position) state.positions.set(placeOf(one.topic), one);
  const id = Number(outcome.done.at(-1)?.rows[0]?.[0]);
  const mirror: MirrorRow = { id, shape, state: keeps ? "filled" : "absent", error: null, reading };
  state.mirrors = [...state.mirrors.filter((one) => one.id !== id), mirror].sort((a, b) => a.id - b.id);
  state.replaceVersions(retired);
}

/** An end whose beginning is not the last one is passed over: the table was begun once more behind it. */
export async function endTable(
  context: GroupContext,
  progress: GroupProgress,
  advance: Advance,
  { id }: TableEndEvent,
): Promise<void> {
  const { state, settings, applier } = context;
  const mirror = state.mirrors.find(({ reading }) => reading === id);
  await transact(context, [...progress.write(advance), ...(mirror ? [writeReading(mirror.id, null)] : [])]);
  progress.written(advance);
  if (mirror === undefined) return;
  setMirror(context, { ...mirror, reading: null });
  if (mirror.state === "filled") await applier.query(`analyze ${mirrorTable(mirror.shape)}`);
  settings.diagnostics.info("a table is whole again", { table: mirrorTable(mirror.shape) });
}

function dropped(mirror: MirrorRow): PipelineStatement[] {
  return [...dropStatements(mirror), writeMirrorState(mirror.id, "absent", null)];
}

/** Rows of the topic count from the frontier on. */
function beginningOf({ settings }: GroupContext, topic: string, advance: Advance): StoredPosition[] {
  const info = settings.engine.topic(topic);
  const nextOffset = advance.to.get(placeOf(topic));
  if (info === undefined || nextOffset === undefined) return [];
  const leaderEpoch = settings.engine.leaderEpoch(topic, 0);
  return [
    { topic, topicId: info.id, partition: 0, nextOffset, leaderEpoch, baseOffset: nextOffset, latestEventMs: null },
  ];
}
