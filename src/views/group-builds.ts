/**
 * Builds versions of views beside the batches, one after the other: tells a build when it may take its snapshot, has the
 * batches record from then on, brings what is recorded into the state in bounded passes between them, and swaps.
 *
 * Always true: what is done here between two batches is bounded by what those batches did themselves; no batch waits for
 * a build. A version becomes readable in the transaction that merges the last of what was recorded.
 */
import type { Timer } from "../base/clock.ts";
import type { BuildFailure, Failure } from "./applier-failure.ts";
import type { StoredError, VersionRow } from "./bookkeeping.ts";
import { writeVersion } from "./bookkeeping.ts";
import type { CompiledView } from "./compiled-view.ts";
import { failedVersion, type GroupContext, GroupFenced, transact, tryOnce } from "./group-context.ts";
import { dropUnusedIndexes, setLayout } from "./group-mirrors.ts";
import { dropRetired, estimateRows, liveView, readReach } from "./group-views.ts";
import { planSwap } from "./history/group-histories.ts";
import { type Chunk, chunkRowsMax, type Recording } from "./recording.ts";
import { dropVersion, mergeChunk, swapIn, wantedIndexes } from "./versions-build.ts";
import { describe, type RunElsewhere, ViewBuild } from "./view-build.ts";

/** How long the group and those who hold a lock on a version may wait for each other, before it is tried another time. */
const brieflyLocked = ["set local lock_timeout = '300ms'"];
const lockPauseMs = 500;
const retryPauseMs = 500;
const retryPauseMsMax = 60_000;
const lookEveryMs = 2_000;
/** Until tables that readers still held are tried to be dropped again. */
const tidyPauseMs = 30_000;

interface Current {
  readonly build: ViewBuild;
  readonly startedMs: number;
  /** The generation that the swap brings is in the log. */
  noted: number | null;
  /** The public view cannot be replaced in place. */
  replace: boolean;
  /** Contributions recorded when the last step ended. */
  rowsSeen: number;
}

export class GroupBuilds {
  readonly #context: GroupContext;
  readonly #onDue: () => void;
  readonly #onArrange: () => void;
  readonly #elsewhere: RunElsewhere;
  #current: Current | null = null;
  #due = false;
  /** How far the build is was asked long enough ago. */
  #lookDue = false;
  #looking = false;
  readonly #timers = new Set<Timer>();
  /** Builds that the store's trouble ended, by view: not begun again before their pause is over. */
  readonly #failures = new Map<string, { readonly version: number; readonly times: number; waiting: boolean }>();
  /** Versions, by view, that have rows that are too long for their indexes. */
  readonly #wide = new Map<string, number>();
  #closed = false;

  /** `onDue` is called when `step` has something to do, `onArrange` when there are other tables for views to read. */
  constructor(context: GroupContext, onDue: () => void, onArrange: () => void) {
    this.#context = context;
    this.#onDue = onDue;
    this.#onArrange = onArrange;
    this.#elsewhere = (sql, values) => context.applier.query(sql, values);
  }

  get due(): boolean {
    return this.#due || this.#lookDue || this.#unwanted;
  }

  /** Between two batches: what is due, and no more. */
  async step(): Promise<void> {
    if (!this.due) return;
    if (this.#unwanted) await this.#discard();
    if (this.#lookDue) await this.#look();
    if (!this.#due) return;
    this.#due = false;
    if (this.#current === null) await this.#startNext();
    else await this.#act(this.#current);
  }

  /** The views were planned anew. Ends what is not to be built any more; what can be is begun by the next steps. */
  async replan(): Promise<void> {
    if (this.#unwanted) await this.#discard();
    for (const [name, { version }] of this.#failures) {
      if (this.#context.state.views.get(name)?.planned.compiled?.version !== version) this.#failures.delete(name);
    }
    for (const name of this.#wide.keys()) if (!this.#context.state.views.has(name)) this.#wide.delete(name);
    this.#becomeDue();
  }

  /** These mirrors are about to be emptied or changed: a build that reads one of them ends, and is begun anew later. */
  async release(mirrorIds: ReadonlySet<number>): Promise<void> {
    const uses = this.#current?.build.view.uses ?? [];
    if (uses.some((use) => mirrorIds.has(use.mirrorId))) await this.#discard();
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
    const { state } = this.#context;
    const current = this.#current;
    this.#current = null;
    state.recordings = [];
    state.builds.clear();
    await current?.build.stop(this.#elsewhere);
  }

  get #unwanted(): boolean {
    return this.#current !== null && !this.#context.state.isBuilding(this.#current.build.view);
  }

  #becomeDue(): void {
    if (this.#closed) return;
    this.#due = true;
    this.#onDue();
  }

  #after(delayMs: number, work: () => void): void {
    const timer = this.#context.settings.clock.after(delayMs, () => {
      this.#timers.delete(timer);
      work();
    });
    this.#timers.add(timer);
  }

  async #startNext(): Promise<void> {
    const { state, settings } = this.#context;
    const views = [...state.views.values()].flatMap(({ planned }) => planned.compiled ?? []);
    const view = views.find(
      (one) => state.isBuilding(one) && state.canBuild(one) && !this.#failures.get(one.name)?.waiting,
    );
    if (view === undefined) return await this.#tidy();
    const build: ViewBuild = new ViewBuild({
      group: settings.name,
      view,
      indexes: wantedIndexes([view], new Map(state.mirrors.map((mirror) => [mirror.id, mirror]))),
      takesMsMax: settings.refreshLimits.takesMsMax(view.whole?.everyMs ?? 0),
      wide: this.#wide.get(view.name) === view.version,
      connect: () => settings.connectBuilder(),
      onStage: () => {
        if (this.#current?.build !== build) return;
        state.builds.set(view.name, describe(build.stage));
        state.changed();
        this.#becomeDue();
      },
    });
    const startedMs = settings.clock.monotonicMs();
    this.#current = { build, startedMs, noted: null, replace: false, rowsSeen: 0 };
    state.builds.set(view.name, describe(build.stage));
    this.#lookLater();
  }

  /** Only while nothing is built: an index goes under a lock that a build would hold everybody up with. */
  async #tidy(): Promise<void> {
    const gone = await dropRetired(this.#context);
    await dropUnusedIndexes(this.#context);
    if (!gone) this.#after(tidyPauseMs, () => this.#becomeDue());
  }

  async #act(current: Current): Promise<void> {
    const { build } = current;
    const { stage } = build;
    const { state, applier } = this.#context;
    switch (stage.kind) {
      case "preparing":
      case "filling":
        return;
      case "prepared":
        state.recordings = [stage.recording];
        await applier.beginRecording(stage.recording);
        if (!(await build.begin(state.row))) throw new GroupFenced();
        return;
      case "filled":
        return await this.#catchUp(current, stage.recording);
      case "failed":
        return await this.#failed(build.view, stage.failure);
    }
  }

  async #failed(view: CompiledView, failure: BuildFailure): Promise<void> {
    if (failure.kind === "again") return await this.#again(view, failure.message);
    if (failure.kind === "failed" || this.#wide.get(view.name) === view.version) {
      return await this.#fail(view, failure.error);
    }
    this.#wide.set(view.name, view.version);
    await this.#again(view, failure.error.message);
  }

  /** Twice what was recorded since the last time, so that it comes to an end however much is recorded. */
  async #catchUp(current: Current, recording: Recording): Promise<void> {
    let left = Math.max(chunkRowsMax, 2 * (recording.rowsRecorded - current.rowsSeen));
    current.rowsSeen = recording.rowsRecorded;
    for (let chunk = recording.next; chunk !== null && left > 0 && !recording.fitsOne; chunk = recording.next) {
      left -= chunk.rows;
      if (!(await this.#merge(current, recording, chunk))) return;
    }
    this.#context.state.builds.set(current.build.view.name, describe(current.build.stage));
    if (recording.fitsOne) await this.#swap(current, recording);
    else this.#becomeDue();
  }

  /** True when the chunk is in the state. */
  async #merge({ build }: Current, recording: Recording, chunk: Chunk): Promise<boolean> {
    const outcome = await tryOnce(this.#context, (applier) =>
      applier.transact(mergeChunk(recording, chunk, applier.row.batch + 1), {}, brieflyLocked),
    );
    if ("done" in outcome) {
      recording.merged(chunk);
      return true;
    }
    if (outcome.failure.kind === "again") this.#waitForLock(build, "waits for those who hold a lock on its tables");
    else await this.#fail(build.view, outcome.failure.error);
    return false;
  }

  #waitForLock(build: ViewBuild, reason: string): void {
    const { state } = this.#context;
    state.builds.set(build.view.name, { ...describe(build.stage), reason });
    state.changed();
    this.#after(lockPauseMs, () => this.#becomeDue());
  }

  async #swap(current: Current, recording: Recording): Promise<void> {
    const { state, settings, owner, applier } = this.#context;
    const { view } = recording;
    const row = state.versions.find((one) => one.name === view.name && one.version === view.version);
    if (row === undefined) throw new GroupFenced();
    const rows = state.versions
      .filter((one) => one.name === view.name && (one.state !== "retired" || one.error?.stale !== undefined))
      .map((one): VersionRow => ({ ...one, state: one === row ? "live" : "retired", error: null }));
    const generation = state.row.generation + 1;
    if (current.noted !== generation) await owner.note({ generation, batch: state.row.batch });
    current.noted = generation;
    const chunk = recording.next;
    const history = await planSwap(this.#context, view);
    const outcome = await tryOnce(this.#context, () =>
      applier.transact(
        [
          ...(chunk ? mergeChunk(recording, chunk, applier.row.batch + 1) : []),
          ...swapIn(view, { readerRole: settings.readerRole, replace: current.replace }),
          ...rows.map((one) => writeVersion(settings.name, one)),
          ...history.statements,
        ],
        { generation },
        brieflyLocked,
      ),
    );
    if ("failure" in outcome) {
      const { failure } = outcome;
      if (failure.kind === "again") return this.#waitForLock(current.build, "waits for readers of the version before");
      if (failure.kind === "view" && failure.view !== view.name) return await this.#failReader(failure);
      // A public view with other columns, or other types of them, is not replaced but made anew.
      if (failure.error.sqlState !== "42P16" || current.replace) return await this.#fail(view, failure.error);
      current.replace = true;
      return this.#becomeDue();
    }
    await this.#swapped(current, recording, rows);
    if (history.statements.length === 0) return;
    history.settle(outcome.done.slice(-history.statements.length));
    this.#onArrange();
  }

  async #swapped(current: Current, recording: Recording, rows: readonly VersionRow[]): Promise<void> {
    const { state, settings, applier } = this.#context;
    const { view } = recording;
    applier.endRecording(recording);
    state.replaceVersions(rows);
    const entry = state.views.get(view.name);
    if (entry === undefined) throw new GroupFenced();
    const planned = { ...entry.planned, state: { kind: "live" as const }, before: null, stale: null };
    const live = await liveView(this.#context, planned.definition, view);
    await readReach(this.#context, view);
    state.views.set(view.name, { ...entry, planned, live, stale: null });
    this.#forget();
    await current.build.stop(null);
    await estimateRows(this.#context, view.name);
    const tookMs = Math.round(settings.clock.monotonicMs() - current.startedMs);
    settings.diagnostics.info("a view is live", { view: view.name, version: view.version, tookMs });
    state.changed();
    this.#becomeDue();
  }

  /** The store was in trouble: the build begins anew after a pause. */
  async #again(view: CompiledView, reason: string): Promise<void> {
    const { state, settings } = this.#context;
    const known = this.#failures.get(view.name);
    const times = known?.version === view.version ? known.times + 1 : 1;
    const failure = { version: view.version, times, waiting: true };
    const pauseMs = Math.min(retryPauseMs * 2 ** (times - 1), retryPauseMsMax);
    settings.diagnostics.warn("a view could not be built for now and is tried again", {
      view: view.name,
      reason,
      pauseMs,
    });
    const progress = state.builds.get(view.name);
    await this.#discard();
    this.#failures.set(view.name, failure);
    if (progress) state.builds.set(view.name, progress);
    state.changed();
    this.#after(pauseMs, () => {
      failure.waiting = false;
      this.#becomeDue();
    });
    this.#becomeDue();
  }

  /** What reads the history of the view that is swapped cannot take the differences. */
  async #failReader({ view, error }: Extract<Failure, { kind: "view" }>): Promise<void> {
    const live = this.#context.state.views.get(view)?.live;
    if (!live) throw new GroupFenced();
    await transact(this.#context, failedVersion(this.#context, live.compiled, error));
    await setLayout(this.#context);
    this.#context.state.changed();
    this.#becomeDue();
  }

  async #fail(view: CompiledView, error: StoredError): Promise<void> {
    await transact(this.#context, failedVersion(this.#context, view, error));
    await this.#discard();
    this.#context.state.changed();
  }

  /** Ends the current build; nothing of it is kept but the indexes that are done. */
  async #discard(): Promise<void> {
    const current = this.#current;
    if (current === null) return;
    const { state } = this.#context;
    const { view } = current.build;
    const recorded = state.recordings.length > 0;
    this.#forget();
    await current.build.stop(this.#elsewhere);
    if (recorded) await setLayout(this.#context);
    const row = state.versions.find((one) => one.name === view.name && one.version === view.version);
    if (row?.state === "failed") {
      const drop = dropVersion(view.name, view.version).map((sql) => ({ sql, fresh: true }));
      await tryOnce(this.#context, (applier) => applier.transact(drop, {}, ["set local lock_timeout = '1s'"]));
    }
    this.#becomeDue();
  }

  #forget(): void {
    const { state } = this.#context;
    if (this.#current) state.builds.delete(this.#current.build.view.name);
    this.#current = null;
    state.recordings = [];
  }

  #lookLater(): void {
    if (this.#looking) return;
    this.#looking = true;
    this.#after(lookEveryMs, () => {
      this.#looking = false;
      this.#lookDue = true;
      this.#onDue();
    });
  }

  async #look(): Promise<void> {
    this.#lookDue = false;
    if (this.#current === null) return;
    const { build } = this.#current;
    this.#context.state.builds.set(build.view.name, await build.progress(this.#elsewhere));
    this.#context.state.changed();
    this.#lookLater();
  }
}
