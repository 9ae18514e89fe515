/** What the parts of a group share during one session: the writer, what is known in memory, and the options. */
import type { Client } from "pg";
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { ViewDefinition } from "../catalog/definitions.ts";
import type { Engine } from "../engine/engine.ts";
import type { WireReader } from "../schema/registry/wire-reader.ts";
import type { TableShape } from "../schema/table-shape.ts";
import type { Applier } from "./applier.ts";
import { ownerOf } from "./applier-batch.ts";
import { classifyFailure, type Failure } from "./applier-failure.ts";
import type { PipelineStatement, StatementResult } from "./applier-pipeline.ts";
import {
  type GroupRow,
  type StoredError,
  type StoredStale,
  type VersionRow,
  writeMirrorState,
  writeVersion,
} from "./bookkeeping.ts";
import type { CompiledView, CompileRequest } from "./compiled-view.ts";
import type { ClockPace } from "./group-clock.ts";
import type { GroupOwner } from "./group-owner.ts";
import type { GroupState } from "./group-state.ts";
import type { RowsBound } from "./inputs-rows.ts";
import type { LiveView } from "./live-view.ts";
import type { RefreshLimits } from "./refresh-limits.ts";
import { staleView, storedStale } from "./stale-view.ts";
import { viewFailed } from "./versions.ts";
import { type TooLong, tooLongOf, widenIndexes } from "./wide-indexes.ts";

export interface GroupSettings {
  readonly name: string;
  readonly engine: Engine;
  readonly wire: WireReader;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly removed: "drop" | "keep";
  /** Whether a view is another group's by now, and goes from here whatever `removed` says. */
  elsewhere(view: string): boolean;
  readonly sources: readonly string[];
  readonly readerRole: string;
  readonly bound: RowsBound;
  readonly refreshLimits: RefreshLimits;
  readonly clockPace: ClockPace;
  /** A connection for building and recomputing views. Throws `STORE_UNAVAILABLE`. */
  connectBuilder(): Promise<Client>;
  compile(request: CompileRequest): Promise<CompiledView>;
}

export interface GroupContext {
  readonly settings: GroupSettings;
  readonly state: GroupState;
  readonly applier: Applier;
  readonly owner: GroupOwner;
  /** Aborted when the session ends. */
  readonly signal: AbortSignal;
  definitions(): readonly ViewDefinition[];
  /** Of topics that views may read as rows. */
  topics(): readonly TableShape[];
}

/** Somebody else owns the group's row, or it is not as this session knows it. */
export class GroupFenced extends Error {
  constructor() {
    super("the group's row is not as this owner left it");
    this.name = "GroupFenced";
  }
}

const againPauseMs = 200;

/** Whose statement failed. */
export type Blamed = Extract<Failure, { kind: "view" | "build" | "mirror" }>;

/**
 * One transaction of the group, once. A failure that has an owner, and a lock that was not to be had, are returned;
 * everything else is thrown.
 */
export async function tryOnce(
  context: GroupContext,
  run: (applier: Applier) => Promise<StatementResult[]>,
): Promise<
  | { readonly done: StatementResult[] }
  | { readonly failure: Blamed | Extract<Failure, { kind: "again" }>; readonly reason: string }
> {
  const { applier, state } = context;
  try {
    const done = await run(applier);
    state.row = applier.row;
    return { done };
  } catch (error) {
    let failure = classifyFailure(error);
    if (failure.kind === "fenced") throw new GroupFenced();
    if (failure.kind === "store") throw error;
    if (failure.kind !== "again" && (await madeRoom(context, failure, tooLongOf(error)))) failure = { kind: "again" };
    return { failure, reason: error instanceof Error ? error.message : String(error) };
  }
}

/** Whether what failed can be tried again: a value was too long for an index, which is one for any length now. */
export async function madeRoom(context: GroupContext, failure: Blamed, tooLong: TooLong | null): Promise<boolean> {
  const { applier, state, settings } = context;
  if (tooLong === null) return false;
  const own = failure.kind === "mirror" ? state.mirrorTableOf(failure.mirrorId) : state.stateTableOf(failure);
  const table = tooLong.table ?? own;
  if (table === undefined) return false;
  const owner = failure.kind === "mirror" ? ownerOf.mirror(failure.mirrorId) : ownerOf[failure.kind](failure.view);
  try {
    return await widenIndexes(applier, table, tooLong.index, owner, settings.diagnostics);
  } catch (error) {
    const widening = classifyFailure(error);
    if (widening.kind === "fenced") throw new GroupFenced();
    if (widening.kind === "store") throw error;
    return widening.kind === "again";
  } finally {
    state.row = applier.row;
  }
}

/** The same, tried again while locks are in its way. */
export async function attempt(
  context: GroupContext,
  run: (applier: Applier, attempts: number) => Promise<StatementResult[]>,
): Promise<{ readonly done: StatementResult[] } | { readonly failure: Blamed }> {
  const { settings, signal } = context;
  for (let attempts = 0; ; attempts++) {
    signal.throwIfAborted();
    const outcome = await tryOnce(context, (applier) => run(applier, attempts));
    if ("done" in outcome) return outcome;
    const { failure, reason } = outcome;
    if (failure.kind !== "again") return { failure };
    if (attempts % 20 === 0) {
      settings.diagnostics.info("a batch waits for a lock in the store and is tried again", { reason });
    }
    await settings.clock.sleep(Math.min(againPauseMs * (attempts + 1), 2_000), signal);
  }
}

/** The same for statements whose failure would be a bug or the store's. */
export async function transact(
  context: GroupContext,
  statements: readonly PipelineStatement[],
  to: Partial<Pick<GroupRow, "generation" | "oldestBatch">> = {},
  settings: readonly string[] = [],
): Promise<StatementResult[]> {
  const outcome = await attempt(context, (applier) => applier.transact(statements, to, settings));
  if ("done" in outcome) return outcome.done;
  throw new MillraceError("INTERNAL_ERROR", `the store refuses a statement of ours: ${outcome.failure.error.message}`);
}

/**
 * From now on this version is failed, in the store and in memory; its layout is not yet changed. The version that it was
 * to replace goes with it. One that is being replaced itself only goes: what is to come may well run.
 */
export function failedVersion(context: GroupContext, view: CompiledView, error: StoredError): PipelineStatement[] {
  const { state, settings } = context;
  const standing = state.versions.filter((version) => version.name === view.name && version.state !== "retired");
  const row = standing.find((version) => version.version === view.version);
  if (!row) return [];
  settings.diagnostics.error("a view failed; the others go on", { view: view.name, ...error });
  const entry = state.views.get(view.name);
  const replaced = entry?.planned.state.kind === "building" && entry.planned.compiled?.version !== view.version;
  const last = entry?.live ? staleView(entry.live, stalePosition(context, entry.live)) : (entry?.stale ?? null);
  const stale = last === null ? undefined : storedStale(last);
  const noted: StoredError = stale === undefined ? error : { ...error, stale };
  const rows = (replaced ? [row] : standing).map((version): VersionRow => {
    if (version !== row) return { ...version, state: "retired" };
    return { ...row, state: replaced ? "retired" : "failed", error: noted };
  });
  state.replaceVersions(rows);
  if (entry) {
    const failed = { kind: "failed" as const, error: viewFailed(view.name, noted) };
    const planned = replaced ? entry.planned : { ...entry.planned, state: failed };
    state.views.set(view.name, { ...entry, planned, live: null, stale: last });
    state.reaches.keep(state.liveViews());
  }
  const written = rows.map((version) => writeVersion(settings.name, version));
  return replaced || view.history !== true ? written : [...written, ...standStill(context, view, error)];
}

/** The history of a view that fails stands still, and is wrong from then on: what reads it fails with it. */
function standStill(context: GroupContext, { name }: CompiledView, { message }: StoredError): PipelineStatement[] {
  const { state } = context;
  const mirror = state.mirrors.find(({ shape }) => shape.history?.view === name);
  if (mirror === undefined || mirror.state === "broken") return [];
  const error: StoredError = {
    code: "VIEW_FAILED",
    message: `it reads the history of view "${name}", which failed: ${message}`,
  };
  state.mirrors = state.mirrors.map((one) => (one === mirror ? { ...mirror, state: "broken", error } : one));
  const readers = state.compiledViews().filter((view) => view.uses.some((use) => use.mirrorId === mirror.id));
  return [
    writeMirrorState(mirror.id, "broken", error),
    ...readers.flatMap((reader) => failedVersion(context, reader, error)),
  ];
}

/** What a version shows that is right until now: all that is committed, or less where it is recomputed whole. */
function stalePosition({ state, settings }: GroupContext, { name, version }: LiveView): StoredStale {
  return { version, ...state.reaches.positionOf(name), sinceMs: settings.clock.now() };
}
