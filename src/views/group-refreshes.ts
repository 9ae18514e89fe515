/**
 * Computes views of the class `whole` anew, one after the other, beside the batches: when they are as old as their
 * definition lets them be, or somebody waits for what the group has already, and never while nothing has changed.
 *
 * Always true: between two batches no more is done than to make seen what was written beside them; no batch waits for a
 * computation. After one a view rests for as long as it took, whoever waits.
 */
import type { Timer } from "../base/clock.ts";
import type { BuildFailure } from "./applier-failure.ts";
import type { StoredError } from "./bookkeeping.ts";
import type { CompiledView, WholeRefresh } from "./compiled-view.ts";
import { failedVersion, type GroupContext, GroupFenced, madeRoom, transact } from "./group-context.ts";
import { setLayout } from "./group-mirrors.ts";
import { readReach } from "./group-views.ts";
import type { RunElsewhere } from "./view-build.ts";
import { type RefreshOutcome, ViewRefresh } from "./view-refresh.ts";

const retryPauseMs = 500;
const retryPauseMsMax = 60_000;

/** The last computation of a version. */
interface Last {
  readonly version: number;
  readonly beganMs: number;
  /** Not before. */
  readonly restsUntilMs: number;
  /** Of the store's trouble, one after the other. */
  readonly failures: number;
}

interface Current {
  readonly refresh: ViewRefresh;
  readonly beganMs: number;
}

export interface GroupRefreshesOptions {
  readonly context: GroupContext;
  /** `step` has something to do. */
  onDue(): void;
  /** Change rows were written. */
  onChanges(bytes: number): void;
}

export class GroupRefreshes {
  readonly #options: GroupRefreshesOptions;
  readonly #context: GroupContext;
  readonly #elsewhere: RunElsewhere;
  readonly #last = new Map<string, Last>();
  #current: Current | null = null;
  #due = false;
  #timer: Timer | null = null;
  #closed = false;

  constructor(options: GroupRefreshesOptions) {
    this.#options = options;
    this.#context = options.context;
    this.#elsewhere = (sql, values) => options.context.applier.query(sql, values);
  }

  get due(): boolean {
    return this.#due;
  }

  /** Views were planned anew, or somebody waits for one of them. */
  look(): void {
    if (this.#closed || this.#due) return;
    this.#due = true;
    this.#options.onDue();
  }

  /** Between two batches: what is due, and no more. */
  async step(): Promise<void> {
    this.#due = false;
    if (this.#current !== null) await this.#act(this.#current);
    if (this.#current === null && this.#context.state.reaches.anyBehind) this.#startNext();
  }

  /** These mirrors are about to be emptied or changed: what reads one of them ends, and is begun anew later. */
  async release(mirrorIds: ReadonlySet<number>): Promise<void> {
    const uses = this.#current?.refresh.view.uses ?? [];
    if (uses.some((use) => mirrorIds.has(use.mirrorId))) await this.#discard();
  }

  /** The views were planned anew: ends what nobody can read any more. */
  async replan(): Promise<void> {
    if (this.#current !== null && !this.#isLive(this.#current.refresh.view)) await this.#discard();
    this.look();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    const current = this.#current;
    this.#current = null;
    await current?.refresh.stop(this.#elsewhere);
  }

  #startNext(): void {
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#closed) return;
    const { state, settings } = this.#context;
    const nowMs = settings.clock.monotonicMs();
    let first: { view: CompiledView; whole: WholeRefresh; atMs: number } | null = null;
    for (const view of state.liveViews()) {
      if (view.whole === undefined || !state.reaches.isBehind(view.name) || !state.canBuild(view)) continue;
      const atMs = this.#dueMs(view, view.whole, nowMs);
      if (first === null || atMs < first.atMs) first = { view, whole: view.whole, atMs };
    }
    if (first === null) return;
    if (first.atMs <= nowMs) this.#start(first.view, first.whole);
    else this.#timer = settings.clock.after(first.atMs - nowMs, () => this.look());
  }

  #dueMs({ name, version }: CompiledView, { everyMs }: WholeRefresh, nowMs: number): number {
    const { state } = this.#context;
    const last = this.#last.get(name);
    if (last?.version !== version) return nowMs;
    return state.waits.areFor(name, state) ? last.restsUntilMs : Math.max(last.restsUntilMs, last.beganMs + everyMs);
  }

  #start(view: CompiledView, whole: WholeRefresh): void {
    const { settings } = this.#context;
    const refresh: ViewRefresh = new ViewRefresh({
      group: settings.name,
      view,
      whole,
      takesMsMax: settings.refreshLimits.takesMsMax(whole.everyMs),
      connect: () => settings.connectBuilder(),
      onStage: () => {
        if (this.#current?.refresh === refresh) this.look();
      },
    });
    this.#current = { refresh, beganMs: settings.clock.monotonicMs() };
  }

  async #act(current: Current): Promise<void> {
    const { refresh } = current;
    const { view, stage } = refresh;
    const { state, applier } = this.#context;
    if (!this.#isLive(view)) return await this.#discard();
    switch (stage.kind) {
      case "working":
        return;
      case "needless":
        await this.#ended(current, 0);
        await readReach(this.#context, view);
        state.changed();
        return;
      case "written":
        return await this.#finish(current, applier.row.epoch);
      case "failed":
        return await this.#failed(current, stage.failure);
    }
  }

  async #failed(current: Current, failure: BuildFailure): Promise<void> {
    const { view } = current.refresh;
    if (failure.kind === "failed") return await this.#fail(view, failure.error);
    if (failure.kind === "again") return await this.#again(current, failure.message);
    const { error, tooLong } = failure;
    await this.#again(current, error.message);
    const blamed = { kind: "view", view: view.name, error } as const;
    if (!(await madeRoom(this.#context, blamed, tooLong))) await this.#fail(view, error);
  }

  async #finish(current: Current, epoch: number): Promise<void> {
    const { state } = this.#context;
    const { view } = current.refresh;
    let found: RefreshOutcome;
    try {
      found = await current.refresh.finish(epoch);
    } catch (error) {
      if (error instanceof GroupFenced) throw error;
      return await this.#again(current, error instanceof Error ? error.message : String(error));
    }
    if (found.outcome === "in vain") return await this.#again(current, "it was computed by somebody else meanwhile");
    state.reaches.computed(view, found.at);
    const entry = state.views.get(view.name);
    if (entry) entry.changes += found.changes;
    await this.#ended(current, 0);
    if (found.bytes > 0) this.#options.onChanges(found.bytes);
    state.changed();
  }

  /** The store was in trouble, or the outcome is not known: what the view shows is what the store says. */
  async #again(current: Current, reason: string): Promise<void> {
    const { view } = current.refresh;
    const { diagnostics } = this.#context.settings;
    diagnostics.warn("a view could not be computed anew for now and is tried again", { view: view.name, reason });
    await this.#ended(current, 1);
    await readReach(this.#context, view);
    this.#context.state.changed();
  }

  /** `failures` is 1 where the store was in trouble. */
  async #ended({ refresh, beganMs }: Current, failures: 0 | 1): Promise<void> {
    const { clock, refreshLimits } = this.#context.settings;
    const { name, version } = refresh.view;
    const endedMs = clock.monotonicMs();
    const before = this.#last.get(name);
    const times = failures === 0 ? 0 : failures + (before?.version === version ? before.failures : 0);
    const restMs =
      times === 0
        ? Math.max(refreshLimits.pauseMsMin, endedMs - beganMs)
        : Math.min(retryPauseMs * 2 ** (times - 1), retryPauseMsMax);
    // What did not come to its end does not count as one that did.
    const began = times === 0 ? beganMs : (before?.beganMs ?? Number.NEGATIVE_INFINITY);
    this.#last.set(name, { version, beganMs: began, restsUntilMs: endedMs + restMs, failures: times });
    this.#current = null;
    await refresh.stop(failures === 0 ? null : this.#elsewhere);
  }

  async #fail(view: CompiledView, error: StoredError): Promise<void> {
    await this.#discard();
    await transact(this.#context, failedVersion(this.#context, view, error));
    await setLayout(this.#context);
    this.#context.state.changed();
  }

  async #discard(): Promise<void> {
    const current = this.#current;
    this.#current = null;
    await current?.refresh.stop(this.#elsewhere);
    this.look();
  }

  #isLive({ name, version }: CompiledView): boolean {
    return this.#context.state.views.get(name)?.live?.version === version;
  }
}
