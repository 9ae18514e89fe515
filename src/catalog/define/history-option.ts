/** The option `history` of `view(…)`: the versions of its rows are kept, or the store may be the only copy of its input. */
import { MillraceError } from "../../base/errors.ts";
import { parseDurationMs } from "../../base/units.ts";
import { refuseUnknown } from "./names.ts";

/** Kept versions of a view's rows; in SQL, `${rates.history}` is the table of them. */
export interface ViewHistory {
  readonly kind: "history";
  /** Whose rows they are of. */
  readonly view: string;
  /** Versions that ended so long ago go; null keeps them for ever. */
  readonly keepMs: number | null;
  /** As `"store"` says of the view itself. */
  readonly store: boolean;
}

export interface HistoryInput {
  /** How long versions are kept that are not valid any more: `"400d"`; for ever when left out. */
  readonly keep?: string;
  /** The view may also read topics whose records the log lets go, as `history: "store"` says. */
  readonly store?: boolean;
}

export type HistoryOption = true | "store" | HistoryInput;

const keepMsMin = 1_000;

/** Throws `DEFINITION_INVALID`. */
export function historyOption(view: string, history: unknown): "store" | ViewHistory {
  if (history === "store") return history;
  if (history === true) return Object.freeze({ kind: "history", view, keepMs: null, store: false });
  if (typeof history !== "object" || history === null || Array.isArray(history)) throw invalid(view, history);
  refuseUnknown(`view "${view}": history`, history, ["keep", "store"]);
  const { keep, store } = history as { readonly keep?: unknown; readonly store?: unknown };
  if (store !== undefined && typeof store !== "boolean") throw invalid(view, history);
  return Object.freeze({ kind: "history", view, keepMs: keepOption(view, keep), store: store === true });
}

function keepOption(view: string, keep: unknown): number | null {
  if (keep === undefined) return null;
  try {
    const keepMs = parseDurationMs(keep, "keep");
    if (keepMs >= keepMsMin) return keepMs;
  } catch {
    // The hint says what a duration is.
  }
  throw new MillraceError("DEFINITION_INVALID", `view "${view}": history.keep is ${JSON.stringify(keep)}`, {
    hint: 'It is a duration from 1s on, such as "400d"; without it versions are kept for ever.',
    details: { view, option: "history" },
  });
}

function invalid(view: string, history: unknown): MillraceError {
  return new MillraceError("DEFINITION_INVALID", `view "${view}": history is ${JSON.stringify(history)}`, {
    hint: 'It is true or { keep: "400d" }, which keep each row\'s versions, "store", or left out.',
    details: { view, option: "history" },
  });
}

interface WithHistory {
  readonly history?: "store" | ViewHistory;
}

/** Null where the view's rows have no versions. */
export function versionsOf({ history }: WithHistory): ViewHistory | null {
  return typeof history === "object" ? history : null;
}

/** Whether the store may be the only copy of what the log has let go. */
export function isOnlyCopy({ history }: WithHistory): boolean {
  return history === "store" || (typeof history === "object" && history.store);
}
