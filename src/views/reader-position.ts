/** Where the store stands, as its answers say it, and whether what follows a position can be told. */
import { MillraceError } from "../base/errors.ts";
import type { LiveView } from "./live-view.ts";
import type { GroupPosition } from "./view-info.ts";

export interface PositionRow {
  readonly generation: string;
  readonly batch: string;
}

/** Throws `STORE_UNAVAILABLE`. */
export function positionOf(row: PositionRow | undefined): GroupPosition {
  if (!row) throw new MillraceError("STORE_UNAVAILABLE", "the store has no row for this group");
  return { generation: Number(row.generation), batch: Number(row.batch) };
}

/** Why the changes after `from` cannot be told; null when they can. */
export function gapReason(from: GroupPosition, current: GroupPosition, oldestBatch: number): string | null {
  if (from.generation !== current.generation) return "the view's change rows were begun anew";
  if (from.batch > current.batch) return "the position lies ahead of the store";
  if (from.batch + 1 < oldestBatch) return "the change rows that follow are no longer kept";
  return null;
}

/**
 * Of a statement that has one form per version of a view; at most 63 bytes, for that is what PostgreSQL keeps. None where its
 * relations are those of a policy, which may be another one.
 */
export function preparedName(what: string, live: LiveView): string | undefined {
  return live.policed ? undefined : `${what}${live.version} ${live.hash.slice(0, 8)} ${live.name}`.slice(0, 63);
}
