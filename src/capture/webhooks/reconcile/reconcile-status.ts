/** What the reconciling of one source tells of itself, and what it has counted since the start. */
import type { MillraceError } from "../../../base/errors.ts";
import type { Finding, PageOutcome, Unusable } from "./take-page.ts";
import { isAhead, type ReconcileState, type WindowRules } from "./windows.ts";

export interface ReconcileStatus {
  /** `failing` tries again by itself at `nextAt`. */
  readonly state: "waiting" | "asking" | "failing" | "stopped";
  /** Everything before this was asked for; null before the first window. */
  readonly completeTo: string | null;
  /** Under way. */
  readonly window: { readonly since: string; readonly until: string; readonly pages: number } | null;
  /** What could not be asked for any more, because the ids from then are forgotten. */
  readonly gap: { readonly from: string; readonly to: string } | null;
  readonly nextAt: string | null;
  readonly error: { readonly code: string; readonly message: string; readonly hint: string | null } | null;
  /** Since this process began, as all counts here. */
  readonly passes: number;
  readonly pages: number;
  readonly failures: number;
  readonly listed: number;
  /** Events that no call had brought; they are kept now. */
  readonly missed: number;
  /** Events that the list has otherwise than they were kept. */
  readonly altered: number;
  /** Of those, events that were kept as the list has them, beside. */
  readonly corrected: number;
  readonly unusable: Unusable;
  /** Events that `compare` of the definition failed for. */
  readonly uncompared: number;
  /** The last of what was found, newest first. */
  readonly recent: readonly RecentFinding[];
}

export interface RecentFinding {
  readonly kind: "missed" | "altered";
  readonly id: string;
  readonly partition: number;
  readonly offset: number;
  readonly at: string;
}

const recentMax = 20;
const toldMax = 10_000;

/** Counts of one source. */
export class ReconcileCounts {
  passes = 0;
  pages = 0;
  failures = 0;
  listed = 0;
  missed = 0;
  altered = 0;
  corrected = 0;
  uncompared = 0;
  readonly unusable = { form: 0, size: 0, id: 0 };
  recent: RecentFinding[] = [];
  /** Alterations that were counted: windows overlap, and one is found more than once. */
  readonly #told = new Set<string>();

  /** Answers the findings that are new. */
  add({ listed, findings, corrected, unusable, uncompared }: PageOutcome, nowMs: number): readonly Finding[] {
    this.pages++;
    this.listed += listed;
    this.corrected += corrected;
    this.uncompared += uncompared;
    for (const reason of ["form", "size", "id"] as const) this.unusable[reason] += unusable[reason];
    const fresh = findings.filter((finding) => this.#isFresh(finding));
    const at = new Date(nowMs).toISOString();
    for (const { kind, id, partition, offset } of fresh) {
      this[kind]++;
      this.recent.unshift({ kind, id, partition, offset, at });
    }
    this.recent = this.recent.slice(0, recentMax);
    return fresh;
  }

  #isFresh({ kind, id, digest }: Finding): boolean {
    if (kind === "missed") return true;
    const name = `${id} ${digest}`;
    if (this.#told.has(name)) return false;
    this.#told.add(name);
    if (this.#told.size > toldMax) {
      for (const oldest of this.#told) {
        this.#told.delete(oldest);
        break;
      }
    }
    return true;
  }
}

export interface ReconcileFacts {
  readonly state: ReconcileStatus["state"];
  readonly place: ReconcileState;
  readonly error: MillraceError | undefined;
  readonly nextAtMs: number | undefined;
  readonly counts: ReconcileCounts;
}

export function reconcileStatus({ state, place, error, nextAtMs, counts }: ReconcileFacts): ReconcileStatus {
  const { passes, pages, failures, listed, missed, altered, corrected, uncompared, unusable, recent } = counts;
  const { completeMs, window, gap } = place;
  return {
    state,
    completeTo: completeMs === null ? null : iso(completeMs),
    window: window && { since: iso(window.sinceMs), until: iso(window.untilMs), pages: window.pages },
    gap: gap && { from: iso(gap.fromMs), to: iso(gap.toMs) },
    nextAt: nextAtMs === undefined ? null : iso(nextAtMs),
    error: error ? { code: error.code, message: error.message, hint: error.hint ?? null } : null,
    passes,
    pages,
    failures,
    listed,
    missed,
    altered,
    corrected,
    unusable: { ...unusable },
    uncompared,
    recent: [...recent],
  };
}

export function reconcileWarnings(
  { place, error, counts }: ReconcileFacts,
  nowMs: number,
  rules: WindowRules,
): string[] {
  const warnings: string[] = [];
  const { form, size, id } = counts.unusable;
  if (error) warnings.push(`the vendor's list is not to be had: ${error.message}`);
  if (place.gap) {
    const { fromMs, toMs } = place.gap;
    warnings.push(
      `events of ${iso(fromMs)} to ${iso(toMs)} could not be asked for: ids from then are forgotten; import what is missing, then run millrace sources reconcile --since`,
    );
  }
  if (isAhead(place, nowMs, rules)) {
    warnings.push("the clock is behind what was reconciled: as far as ids are known all is asked for again");
  }
  if (counts.altered > counts.corrected) {
    warnings.push(
      `${counts.altered - counts.corrected} events are otherwise in the vendor's list than they were kept: compare says what has to be the same`,
    );
  }
  if (id > 0) warnings.push(`${id} events of the list have no id that calls have, too, and were left out: say id`);
  if (form > 0)
    warnings.push(`${form} events of the list have no body, or headers that are no texts, and were left out`);
  if (size > 0) warnings.push(`${size} events of the list are larger than bodyMax and were left out`);
  if (counts.uncompared > 0) warnings.push(`compare of the definition failed for ${counts.uncompared} events`);
  return warnings;
}

function iso(ms: number): string {
  // A time out of what a date can be is that of a clock that is wrong.
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? String(ms) : date.toISOString();
}
