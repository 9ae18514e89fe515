/**
 * Which span of the vendor's list is asked for next. Pure: the state goes into the log as it is, the clock is handed in.
 *
 * Always true: `completeMs` moves on over a window only when its last page was kept, so that every moment before it was
 * asked for, whatever was killed meanwhile, or stands in `gap`; no window reaches back to where an id may be forgotten, so that
 * nothing that was kept is kept again.
 * Not here: asking (vendor-list.ts), keeping (take-page.ts), when a pass begins (reconciler.ts).
 */
export interface ListWindow {
  readonly sinceMs: number;
  /** Not included. */
  readonly untilMs: number;
  /** Of the next page; null for the first. */
  readonly cursor: string | null;
  /** Pages that were kept. */
  readonly pages: number;
  /** Whether it reaches to the end of its pass. */
  readonly last: boolean;
}

export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What a start goes on from. */
export interface ReconcileState {
  /** Everything before this was asked for, down to where the first pass began; null before that one. */
  readonly completeMs: number | null;
  /** Under way. */
  readonly window: ListWindow | null;
  /** What could not be asked for any more: ids from then are forgotten. Null when there is nothing. */
  readonly gap: Span | null;
}

export interface WindowRules {
  readonly overlapMs: number;
  readonly graceMs: number;
  readonly lookBackMs: number;
  readonly windowMs: number;
}

export interface WindowClock {
  /** The wall clock's, which the vendor's times are compared with. */
  readonly nowMs: number;
  /** Ids of events that arrived since then are all known. */
  readonly idsSinceMs: number;
}

export const freshState: ReconcileState = { completeMs: null, window: null, gap: null };

/** For the clocks of the vendor and this machine, which differ. */
const idsMarginMs = 10 * 60_000;
/** So that a window is not given up as soon as it begins. */
const planMarginMs = 60 * 60_000;
/**
 * The state with the window to ask for: the one under way, else the next one. Its window is null when everything up to
 * the grace was asked for.
 */
export function planWindow(state: ReconcileState, clock: WindowClock, rules: WindowRules): ReconcileState {
  const { window } = state;
  if (window && window.sinceMs >= clock.idsSinceMs + idsMarginMs) return state;
  const { overlapMs, windowMs } = rules;
  const endMs = clock.nowMs - rules.graceMs;
  const earliestMs = clock.idsSinceMs + planMarginMs;
  const { completeMs } = state;
  const isMistrusted = isAhead(state, clock.nowMs, rules);
  const wantedMs =
    completeMs === null
      ? endMs - rules.lookBackMs
      : isMistrusted
        ? earliestMs
        : // A clock that was put back a little: what it was ahead is within the overlap.
          Math.min(completeMs, endMs) - overlapMs;
  const sinceMs = Math.max(wantedMs, earliestMs);
  if (sinceMs >= endMs) return { ...state, window: null };
  const untilMs = Math.min(endMs, sinceMs + overlapMs + windowMs);
  const isLost = completeMs !== null && !isMistrusted && completeMs < sinceMs;
  return {
    completeMs: completeMs ?? sinceMs,
    window: { sinceMs, untilMs, cursor: null, pages: 0, last: untilMs === endMs },
    // What the clock was ahead then was never asked for: it lies within the overlap.
    gap: isLost ? { fromMs: state.gap?.fromMs ?? completeMs - overlapMs, toMs: sinceMs } : state.gap,
  };
}

/** What is known of a page that was kept. */
export interface PageEnd {
  /** The cursor of the page behind it; null when there is none. */
  readonly next: string | null;
  /** The vendor's own time, where its answer has it. */
  readonly vendorMs: number | undefined;
}

export function afterPage(state: ReconcileState, page: PageEnd, rules: WindowRules): ReconcileState {
  const { window } = state;
  if (!window) return state;
  if (page.next !== null) return { ...state, window: { ...window, cursor: page.next, pages: window.pages + 1 } };
  // A clock that is ahead asks for what has not happened yet.
  const happenedMs = page.vendorMs === undefined ? Number.POSITIVE_INFINITY : page.vendorMs - rules.graceMs;
  return { ...state, completeMs: Math.min(window.untilMs, happenedMs), window: null };
}

/** Whether there is nothing behind this page that could be asked for now. */
export function endsPass({ untilMs, last }: ListWindow, { next, vendorMs }: PageEnd, rules: WindowRules): boolean {
  return next === null && (last || (vendorMs !== undefined && untilMs >= vendorMs - rules.graceMs));
}

/** Cursors expire: a window whose pages keep failing is asked for from its beginning. */
export function afterFailures(state: ReconcileState, failures: number): ReconcileState {
  const { window } = state;
  if (!window || window.cursor === null || failures % 3 !== 0) return state;
  return { ...state, window: { ...window, cursor: null, pages: 0 } };
}

/**
 * Somebody wants everything since then to be asked for again, as far back as ids are known; who asks for it has read of the
 * gap.
 */
export function backTo(state: ReconcileState, sinceMs: number, clock: WindowClock, rules: WindowRules): ReconcileState {
  const reachedMs = Math.max(sinceMs, clock.idsSinceMs + planMarginMs);
  const completeMs = Math.min(state.completeMs ?? Number.POSITIVE_INFINITY, reachedMs + rules.overlapMs);
  return { completeMs, window: null, gap: null };
}

/**
 * Whether the clock was ahead when the last window ended, or is behind now: what was asked for is then not known. Where
 * the vendor tells its time only the second can be.
 */
export function isAhead({ completeMs }: ReconcileState, nowMs: number, { overlapMs }: WindowRules): boolean {
  return completeMs !== null && completeMs > nowMs + overlapMs;
}

/** As a progress record has it; undefined for what is none. */
export function readState(value: unknown): ReconcileState | undefined {
  const { version, completeMs, window, gap } = (value ?? {}) as Record<string, unknown>;
  if (version !== 1) return undefined;
  if (!isTimeOrNull(completeMs) || !isWindowOrNull(window) || !isSpanOrNull(gap)) return undefined;
  return { completeMs, window, gap };
}

export function stateRecord(state: ReconcileState): Record<string, unknown> {
  return { version: 1, ...state };
}

function isTimeOrNull(value: unknown): value is number | null {
  return value === null || Number.isFinite(value);
}

function isSpanOrNull(value: unknown): value is Span | null {
  if (value === null) return true;
  const { fromMs, toMs } = (value ?? {}) as Record<string, unknown>;
  return Number.isFinite(fromMs) && Number.isFinite(toMs);
}

function isWindowOrNull(value: unknown): value is ListWindow | null {
  if (value === null) return true;
  const { sinceMs, untilMs, cursor, pages, last } = (value ?? {}) as Record<string, unknown>;
  const isPlace = cursor === null || typeof cursor === "string";
  return (
    Number.isFinite(sinceMs) &&
    Number.isFinite(untilMs) &&
    isPlace &&
    Number.isSafeInteger(pages) &&
    typeof last === "boolean"
  );
}
