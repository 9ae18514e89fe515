/** What the parts of a group share during one session: the writer, what is known in memory, and the options. */
import type { Clock } from "../base/clock.ts";
import type { Diagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import type { ViewDefinition } from "../catalog/definitions.ts";
import type { Engine } from "../engine/engine.ts";
import type { Applier } from "./applier.ts";
import { classifyFailure, type Failure } from "./applier-failure.ts";
import type { PipelineStatement, StatementResult } from "./applier-pipeline.ts";
import { type GroupRow, type StoredError, type VersionRow, writeVersion } from "./bookkeeping.ts";
import type { CompiledView, CompileRequest } from "./compiled-view.ts";
import type { GroupOwner } from "./group-owner.ts";
import type { GroupState } from "./group-state.ts";
import type { RowsBound } from "./inputs-rows.ts";
import { viewFailed } from "./versions.ts";

export interface GroupSettings {
  readonly name: string;
  readonly engine: Engine;
  readonly clock: Clock;
  readonly diagnostics: Diagnostics;
  readonly removed: "drop" | "keep";
  readonly sources: readonly string[];
  readonly readerRole: string;
  readonly bound: RowsBound;
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
}

/** Somebody else owns the group's row, or it is not as this session knows it. */
export class GroupFenced extends Error {
  constructor() {
    super("the group's row is not as this owner left it");
    this.name = "GroupFenced";
  }
}

const againPauseMs = 200;

/**
 * One transaction of the group, tried again while locks are in its way. A failure that has an owner is returned;
 * everything else is thrown.
 */
export async function attempt(
  { applier, settings, signal, state }: GroupContext,
  run: (applier: Applier, attempts: number) => Promise<StatementResult[]>,
): Promise<{ readonly done: StatementResult[] } | { readonly failure: Extract<Failure, { kind: "view" | "mirror" }> }> {
  for (let attempts = 0; ; attempts++) {
    signal.throwIfAborted();
    try {
      const done = await run(applier, attempts);
      state.row = applier.row;
      return { done };
    } catch (error) {
      const failure = classifyFailure(error);
      if (failure.kind === "view" || failure.kind === "mirror") return { failure };
      if (failure.kind === "fenced") throw new GroupFenced();
      if (failure.kind === "store") throw error;
      if (attempts % 20 === 0) {
        const reason = error instanceof Error ? error.message : String(error);
        settings.diagnostics.info("a batch waits for a lock in the store and is tried again", { reason });
      }
      await settings.clock.sleep(Math.min(againPauseMs * (attempts + 1), 2_000), signal);
    }
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

/** From now on the view is failed, in the store and in memory; its layout is not yet changed. */
export function failedVersion(context: GroupContext, view: CompiledView, error: StoredError): PipelineStatement[] {
  const { state, settings } = context;
  const row = state.versions.find((version) => version.name === view.name && version.version === view.version);
  if (!row) return [];
  const failed: VersionRow = { ...row, state: "failed", error };
  state.versions = state.versions.map((version) => (version === row ? failed : version));
  const entry = state.views.get(view.name);
  if (entry) {
    const planned = { ...entry.planned, state: { kind: "failed" as const, error: viewFailed(view.name, error) } };
    state.views.set(view.name, { ...entry, planned, live: null });
  }
  settings.diagnostics.error("a view failed; the others go on", { view: view.name, ...error });
  return [writeVersion(settings.name, failed)];
}
