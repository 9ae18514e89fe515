/** The options `window` and `emit` of `view(…)`: rows that belong to windows which end, and what becomes of late events. */
import { MillraceError } from "../../base/errors.ts";
import { parseDurationMs } from "../../base/units.ts";
import { isOnlyCopy } from "./history-option.ts";
import { refuseUnknown } from "./names.ts";
import type { ViewDefinition } from "./view.ts";

export interface WindowInput {
  /** The column of the view that is the end of a row's window: by it, and the topic's watermark, a window is over. */
  readonly ends: string;
  /** How much longer events are taken: `5m`; `0s` when left out. The lateness of the topic counts beside it. */
  readonly grace?: string;
  /**
   * Windows that are as long as events follow each other: in the query the topic has the columns `_begins` and `_ends`,
   * those of an event's session.
   */
  readonly session?: SessionInput;
}

export interface SessionInput {
  /** Events with less time between them are of one session: `30m`. */
  readonly gap: string;
  /** Columns of the topic whose values have sessions of their own. */
  readonly by: string | readonly string[];
}

export interface ViewWindow {
  readonly ends: string;
  readonly graceMs: number;
  readonly session?: ViewSession;
  /** Rows are there from when their window is over. */
  readonly final: boolean;
}

export interface ViewSession {
  readonly gapMs: number;
  readonly by: readonly string[];
}

/** Names are to leave room for that of the view of late events. */
const nameCharactersMax = 42;

/** Null where neither is given. Throws `DEFINITION_INVALID`. */
export function windowOption(view: string, window: unknown, emit: unknown): ViewWindow | null {
  if (emit !== undefined && emit !== "updates" && emit !== "final")
    throw invalid(view, `emit is ${JSON.stringify(emit)}`, 'It is "updates", which it is when left out, or "final".');
  if (window === undefined) {
    if (emit !== "final") return null;
    throw invalid(view, 'emit is "final", and it has no window', `Say which column is its end: ${example}.`);
  }
  if (typeof window !== "object" || window === null || !("ends" in window) || typeof window.ends !== "string")
    throw invalid(view, "its window names no column that is its end", `Write ${example}.`);
  refuseUnknown(`the window of view "${view}"`, window, ["ends", "grace", "session"]);
  if (view.length > nameCharactersMax)
    throw invalid(view, "its name is too long for a view with a window", `At most ${nameCharactersMax} characters.`);
  const grace = "grace" in window && window.grace !== undefined ? window.grace : "0s";
  const session = "session" in window && window.session !== undefined ? sessionOf(view, window.session) : null;
  return Object.freeze({
    ends: window.ends,
    graceMs: durationOf(view, "grace", grace),
    ...(session === null ? {} : { session }),
    final: emit === "final",
  });
}

const example = '{ window: { ends: "ends", grace: "5m" } }';
const sessionExample = '{ window: { ends: "ends", session: { gap: "30m", by: "customer" } } }';

function sessionOf(view: string, session: unknown): ViewSession {
  if (typeof session !== "object" || session === null || !("gap" in session) || !("by" in session))
    throw invalid(view, "the sessions of its window have no gap, or nothing that has them", `Write ${sessionExample}.`);
  refuseUnknown(`the session of view "${view}"`, session, ["gap", "by"]);
  const by: unknown[] = Array.isArray(session.by) ? session.by : [session.by];
  const names = by.filter((name) => typeof name === "string");
  if (names.length === 0 || names.length !== by.length || new Set(names).size !== names.length)
    throw invalid(view, "what has sessions of its own is no list of columns", `Write ${sessionExample}.`);
  const gapMs = durationOf(view, "gap", session.gap);
  if (gapMs === 0) throw invalid(view, "the gap between its sessions is no time", `Write ${sessionExample}.`);
  return Object.freeze({ gapMs, by: Object.freeze(names) });
}

function durationOf(view: string, name: string, text: unknown): number {
  try {
    return parseDurationMs(text, name);
  } catch (cause) {
    const { message, hint = "" } = MillraceError.from(cause);
    throw invalid(view, message, hint, cause);
  }
}

function invalid(view: string, what: string, hint: string, cause?: unknown): MillraceError {
  return new MillraceError("DEFINITION_INVALID", `view "${view}": ${what}`, {
    hint,
    details: { view, option: "window" },
    cause,
  });
}

/** The view of events that came when their window was over; nothing where it has no window. */
export function lateView(view: ViewDefinition): ViewDefinition[] {
  const { window, name, sql, group, policy } = view;
  if (window === undefined) return [];
  const late: ViewDefinition = {
    kind: "view",
    name: `${name}.late`,
    sql,
    key: null,
    window,
    late: true,
    ...(isOnlyCopy(view) ? { history: "store" as const } : {}),
    ...(group === undefined ? {} : { group }),
    // Whom the view would have shown a row says nothing of a record.
    ...(policy === undefined ? {} : { policy: policy === null ? null : "false" }),
  };
  return [Object.freeze(late)];
}
