/**
 * Applies rows to the group: a batch that is in memory, or a huge step in parts. What a single view or mirror cannot
 * take makes that one fail, and the rest goes on.
 */
import type { Applied } from "./applier.ts";
import { classifyFailure, type Failure } from "./applier-failure.ts";
import type { ClockMoves } from "./clock-store.ts";
import { type GroupClock, timePasses } from "./group-clock.ts";
import { failedVersion, type GroupContext, GroupFenced, madeRoom, transact } from "./group-context.ts";
import { breakMirror, setLayout } from "./group-mirrors.ts";
import type { GroupProgress } from "./group-progress.ts";
import type { GroupWatermarks } from "./group-watermarks.ts";
import type { Advance, Inputs, Work } from "./inputs.ts";
import type { Retention } from "./retention.ts";
import { tooLongOf } from "./wide-indexes.ts";

/** What lets rows in and out by time. */
export interface GroupClocks {
  readonly clock: GroupClock;
  readonly watermarks: GroupWatermarks;
}

type Rows = Extract<Work, { kind: "rows" }>;

/** How the rows are brought in; each way is slower than the one before, and takes what that one could not. */
type Way =
  /** Snapshot rows straight into their mirrors. */
  | "straight"
  | "staged"
  /** One change at a time: for rows that the store finds to be the same, although their keys are written differently. */
  | "singly";

/** Positions that moved without rows are written when there are this many events of them. */
const skippedEventsMax = 1_000;
const againPauseMs = 100;

/** Unique violation; a row that a statement would touch twice. */
const sameRowStates = new Set(["23505", "21000"]);

/** True when a mirror broke, so that other topics are to be read from now on. */
export async function applyRows(
  context: GroupContext,
  progress: GroupProgress,
  retention: Retention,
  work: Rows,
  inputs: Inputs,
  { clock, watermarks }: GroupClocks,
): Promise<boolean> {
  const { state } = context;
  if (work.staged !== null && work.staged.size === 0 && work !== timePasses) {
    progress.skip(work.advance);
    state.changedMs = changeTime(context, work.advance) ?? state.changedMs;
    if (progress.unwrittenEvents >= skippedEventsMax) await writeProgress(context, progress);
    state.changed();
    return false;
  }
  let way: Way = "straight";
  let broke = false;
  for (let attempts = 1; ; attempts++) {
    context.signal.throwIfAborted();
    try {
      const moves = { now: clock.move(), watermarks: watermarks.moves(work.advance) };
      const applied = await run(context, progress, work, inputs, { way, moves });
      clock.applied(applied.moved.now);
      for (const view of state.liveViews()) if (applied.behind.has(view.name)) state.reaches.fell(view);
      state.row = context.applier.row;
      progress.written(work.advance);
      watermarks.applied(work.advance, applied.moved.watermarks);
      state.changedMs = changeTime(context, work.advance) ?? state.changedMs;
      count(context, retention, applied);
      break;
    } catch (error) {
      const failure = classifyFailure(error);
      if (failure.kind === "fenced") throw new GroupFenced();
      if (failure.kind === "store") throw error;
      if (failure.kind === "again")
        await context.settings.clock.sleep(Math.min(againPauseMs * attempts, 2_000), context.signal);
      else if (await madeRoom(context, failure, tooLongOf(error))) continue;
      else if (failure.kind === "view" || failure.kind === "build") await failView(context, failure);
      else if (sameRowStates.has(failure.error.sqlState ?? "") && way !== "singly") {
        way = way === "straight" ? "staged" : "singly";
      } else if (way === "straight") way = "staged";
      else {
        const mirror = state.mirrors.find((one) => one.id === failure.mirrorId);
        if (!mirror || mirror.state === "broken") throw error;
        await breakMirror(context, mirror, failure.error);
        await setLayout(context);
        broke = true;
      }
    }
  }
  await expire(context, retention);
  state.changed();
  return broke;
}

function run(
  context: GroupContext,
  progress: GroupProgress,
  work: Rows,
  inputs: Inputs,
  { way, moves }: { readonly way: Way; readonly moves: ClockMoves },
): Promise<Applied> {
  const { applier } = context;
  const rest = progress.write(work.advance);
  const changedMs = changeTime(context, work.advance);
  if (way === "singly") return applier.applyParts(inputs.parts(work.advance, 1), rest, false, changedMs);
  const straight = way === "straight";
  if (work.staged === null) return applier.applyParts(inputs.parts(work.advance), rest, straight, changedMs);
  return applier.applyBatch(work.staged, rest, straight, moves, changedMs);
}

/** Nothing has happened later than now, whatever a record says. */
function changeTime({ settings }: GroupContext, { changedMs }: Advance): number | null {
  return changedMs === null ? null : Math.min(changedMs, settings.clock.now());
}

async function failView(
  context: GroupContext,
  { kind, view: name, error }: Extract<Failure, { kind: "view" | "build" }>,
): Promise<void> {
  const entry = context.state.views.get(name);
  const view = kind === "view" ? entry?.live?.compiled : entry?.planned.compiled;
  if (!view) throw new GroupFenced(); // the layout has a view that we do not: begin again from the store
  await transact(context, failedVersion(context, view, error));
  await setLayout(context);
  context.state.changed();
}

/** Brings the store to what readers know. */
export async function writeProgress(context: GroupContext, progress: GroupProgress): Promise<void> {
  await transact(context, progress.write());
  progress.written();
}

function count({ state, settings }: GroupContext, retention: Retention, applied: Applied): void {
  for (const [name, changes] of applied.changes) {
    const entry = state.views.get(name);
    if (entry) entry.changes += changes;
  }
  if (applied.bytes > 0) retention.add(state.row.batch, applied.bytes, settings.clock.now());
}

/** Change rows past the retention go; readers who stand before them are told of a gap. */
async function expire(context: GroupContext, retention: Retention): Promise<void> {
  const { state, settings } = context;
  const last = retention.expire(settings.clock.now());
  if (last === null) return;
  const logs = state.liveViews().map((view) => ({
    sql: view.whole?.forget("$1::bigint") ?? `delete from ${view.logTable} where batch <= $1::bigint`,
    values: [last],
  }));
  const batches = {
    sql: 'delete from millrace.batches where "group" = $1 and batch <= $2::bigint',
    values: [settings.name, last],
  };
  await transact(context, [...logs, batches], { oldestBatch: last + 1 });
}
