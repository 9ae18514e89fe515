/**
 * When the group's clock moves: with a batch that has rows, or by itself at the moment at which time alone lets a row of
 * a view in or out. What views there are that filter by time, and when their rows come or go, is asked of the store.
 *
 * Always true: it never moves more often than `gapMsMin`, and where a view filters by time not less often than `gapMsMax`;
 * without such a view it stands still and costs nothing.
 */
import type { Timer } from "../base/clock.ts";
import type { Layout } from "./applier-batch.ts";
import type { ClockMove } from "./clock-store.ts";
import type { GroupContext } from "./group-context.ts";
import type { Work } from "./inputs.ts";

export interface ClockPace {
  readonly gapMsMin: number;
  readonly gapMsMax: number;
}

export const clockPace: ClockPace = { gapMsMin: 200, gapMsMax: 60_000 };

/** From so much on, a move may let any number of rows in and out. */
const farMs = 300_000;

/** Work that does nothing but move the clock. */
export const timePasses: Extract<Work, { kind: "rows" }> = {
  kind: "rows",
  changes: 0,
  staged: new Map(),
  advance: {
    from: new Map(),
    to: new Map(),
    lsns: new Map(),
    progress: new Map(),
    timesFrom: new Map(),
    times: new Map(),
    changedMs: null,
    events: 0,
  },
};

export interface ClockState {
  /** Where the group's clock stands. */
  readonly atMs: number;
  /** When it was moved last, by the monotonic clock. */
  readonly movedMs: number;
  /** When time lets a row in or out next: null for never, undefined when that is to be asked. */
  readonly flipMs: number | null | undefined;
}

export type ClockStep =
  | { readonly kind: "move" }
  /** Ask when the next row comes or goes. */
  | { readonly kind: "look" }
  | { readonly kind: "wait"; readonly ms: number };

/** `nowMs` is the machine's clock, which may have gone back behind the group's. */
export function decideClock(
  { atMs, movedMs, flipMs }: ClockState,
  nowMs: number,
  monotonicMs: number,
  { gapMsMin, gapMsMax }: ClockPace,
): ClockStep {
  const restMs = movedMs + gapMsMin - monotonicMs;
  if (restMs > 0) return { kind: "wait", ms: restMs };
  if (nowMs <= atMs) return { kind: "wait", ms: Math.max(gapMsMin, Math.min(atMs - nowMs, gapMsMax)) };
  const longestMs = movedMs + gapMsMax - monotonicMs;
  if (longestMs <= 0) return { kind: "move" };
  if (flipMs === undefined) return { kind: "look" };
  if (flipMs === null || flipMs - nowMs > longestMs) return { kind: "wait", ms: longestMs };
  return flipMs <= nowMs ? { kind: "move" } : { kind: "wait", ms: flipMs - nowMs };
}

export class GroupClock {
  readonly #context: GroupContext;
  readonly #onDue: () => void;
  readonly #pace: ClockPace;
  #state: ClockState;
  #due = false;
  #timer: Timer | null = null;
  /** Whether any view filters by time, be it one that is still to be built: it is filled by the clock as it stands. */
  #asked = false;
  /** The versions whose next rows were asked for. */
  #layout: Layout | null = null;
  #closed = false;

  /** `atMs` is where the clock stands in the store; `onDue` is called when `step` has something to do. */
  constructor(context: GroupContext, atMs: number, onDue: () => void) {
    this.#context = context;
    this.#onDue = onDue;
    this.#pace = context.settings.clockPace;
    this.#state = { atMs, movedMs: Number.NEGATIVE_INFINITY, flipMs: undefined };
  }

  get due(): boolean {
    return this.#asked && !this.#closed && (this.#due || this.#layout !== this.#context.applier.layout);
  }

  /** Between two batches: whether the clock is to move now, without rows. */
  async step(): Promise<boolean> {
    if (!this.due) return false;
    this.#due = false;
    const { layout } = this.#context.applier;
    if (layout !== this.#layout) this.#state = { ...this.#state, flipMs: undefined };
    this.#layout = layout;
    let step = this.#decide();
    if (step.kind === "look") {
      this.#state = { ...this.#state, flipMs: await this.#nextFlip() };
      step = this.#decide();
    }
    if (step.kind === "move") return true;
    this.#wakeAfter(step.kind === "wait" ? step.ms : this.#pace.gapMsMin);
    return false;
  }

  /** Where the clock goes with the next batch; null where it stays. */
  move(): ClockMove | null {
    if (!this.#asked) return null;
    const { clock } = this.#context.settings;
    const { atMs, movedMs } = this.#state;
    const nowMs = clock.now();
    if (nowMs <= atMs || clock.monotonicMs() - movedMs < this.#pace.gapMsMin) return null;
    return { to: new Date(nowMs).toISOString(), far: nowMs - atMs > farMs };
  }

  /** A batch was committed, which may have other rows that come or go. */
  applied(moved: ClockMove | null): void {
    const { atMs, movedMs } = this.#state;
    if (!this.#asked) return;
    this.#state = {
      atMs: moved === null ? atMs : Date.parse(moved.to),
      movedMs: moved === null ? movedMs : this.#context.settings.clock.monotonicMs(),
      flipMs: undefined,
    };
    this.#look();
  }

  /** The views were planned anew. */
  replan(): void {
    this.#asked = this.#context.state.compiledViews().some((view) => view.clock !== undefined);
    this.#state = { ...this.#state, flipMs: undefined };
    if (this.#asked) this.#look();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #decide(): ClockStep {
    const { clock } = this.#context.settings;
    return decideClock(this.#state, clock.now(), clock.monotonicMs(), this.#pace);
  }

  async #nextFlip(): Promise<number | null> {
    const { views, recording } = this.#context.applier.layout;
    const kept = [...views, ...recording.map(({ view }) => view)];
    const flips = [...new Set(kept.flatMap((view) => view.clock?.flips ?? []))];
    if (flips.length === 0) return null;
    try {
      const [row] = await this.#context.applier.query(
        `select (extract(epoch from least(${flips.join(", ")})) * 1000)::float8 as ms`,
      );
      // At the moment itself a row that it is compared with by <= or >= is still there.
      return row?.ms === null || row?.ms === undefined ? null : Math.floor(Number(row.ms)) + 1;
    } catch (cause) {
      if (this.#context.signal.aborted) throw cause;
      const { diagnostics } = this.#context.settings;
      diagnostics.warn("when the next row comes or goes by time is not known; the clock moves once a minute", {
        cause: String(cause),
      });
      return null;
    }
  }

  #look(): void {
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#closed) return;
    this.#due = true;
    this.#onDue();
  }

  #wakeAfter(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#context.settings.clock.after(Math.ceil(ms), () => this.#look());
  }
}
