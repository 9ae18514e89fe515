/**
 * The telescoping terms of a batch. Mirrors take their changes one after the other, by id; for each occurrence of a
 * mirror in a branch there is one term, which reads what comes earlier in that order (by mirror id, then by
 * occurrence) in its new state and the others in their old one. The terms of a batch then add up to the difference of
 * the query, exactly.
 */
import type { DeltaTerm } from "../compiled-view.ts";
import type { Occurrence } from "./bound.ts";
import { type ClockOf, printContribution, type Rows } from "./contribution.ts";
import type { Plan } from "./plan.ts";
import { timeFilters } from "./temporal.ts";

export interface Term extends DeltaTerm {
  readonly branch: number;
  readonly occurrence: Occurrence;
}

/** `target` is the table with its columns in order, for INSERT. */
export function makeTerms(plan: Plan, target: string): Term[] {
  const terms = plan.branches.flatMap((branch, b) =>
    branch.occurrences.map((occurrence, i): Term => {
      const twins = branch.occurrences.filter((one, j) => j !== i && one.mirror.id === occurrence.mirror.id);
      const earlier = twins.filter((one) => branch.occurrences.indexOf(one) < i);
      const later = twins.filter((one) => branch.occurrences.indexOf(one) > i);
      // Before the write the mirror is old, after it new; with twins on both sides the old ones are rebuilt.
      const place = later.length > 0 && earlier.length === 0 ? "before" : "after";
      const rows = (one: Occurrence): Rows => {
        if (one === occurrence) return "delta";
        return place === "after" && later.includes(one) ? "mirror less delta" : "mirror";
      };
      const contributed = printContribution(plan, b, occurrence, rows);
      const sql = `insert into ${target}\n${contributed}`;
      const selfJoin = place === "after" && later.length > 0 ? { selfJoin: true as const } : {};
      return { mirrorId: occurrence.mirror.id, place, sql, rows: contributed, ...selfJoin, branch: b, occurrence };
    }),
  );
  const ordered = [...terms].sort((a, b) => a.mirrorId - b.mirrorId || rank(a) - rank(b));
  return ordered;
}

/**
 * What time does to a branch while its mirrors stay as they are: for each table that is filtered by time, the rows that
 * come or go, joined with the tables before it as the new clock shows them and those behind it as the old one did.
 */
export function makeClockTerms(plan: Plan, target: string): string[] {
  return plan.branches.flatMap(({ occurrences, conjuncts }, b) =>
    [...timeFilters(conjuncts).keys()].map((occurrence) => {
      const place = occurrences.indexOf(occurrence);
      const rows = (one: Occurrence): Rows => (one === occurrence ? "flipped" : "mirror");
      const clockOf: ClockOf = ({ time }) => {
        if (time === undefined) return "now";
        if (time.occurrence === occurrence) return null;
        return occurrences.indexOf(time.occurrence) < place ? "now" : "before";
      };
      return `insert into ${target}\n${printContribution(plan, b, occurrence, rows, clockOf)}`;
    }),
  );
}

function rank(term: Term): number {
  return term.place === "before" ? 0 : 1;
}
