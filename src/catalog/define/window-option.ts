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
}

export interface ViewWindow {
  readonly ends: string;
  readonly graceMs: number;
  /** Rows are there from when their window is over. */
  readonly final: boolean;
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
  refuseUnknown(`the window of view "${view}"`, window, ["ends", "grace"]);
  if (view.length > nameCharactersMax)
    throw invalid(view, "its name is too long for a view with a window", `At most ${nameCharactersMax} characters.`);
  const grace = "grace" in window && window.grace !== undefined ? window.grace : "0s";
  return Object.freeze({ ends: window.ends, graceMs: graceOf(view, grace), final: emit === "final" });
}

const example = '{ window: { ends: "ends", grace: "5m" } }';

function graceOf(view: string, grace: unknown): number {
  try {
    return parseDurationMs(grace, "grace");
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
