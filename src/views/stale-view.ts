/**
 * The last good state of a view that failed: the version whose rows were right until then, with the position that they are
 * of. It is read only where that is asked for, and by its own table: the public view may become another version's at any time.
 */
import type { StoredStale } from "./bookkeeping.ts";
import { shownRows } from "./compiled-view.ts";
import type { GroupViews, LiveView, ReadableOptions } from "./live-view.ts";

export function staleView(live: LiveView, { generation, batch, sinceMs }: StoredStale): LiveView {
  const { key, compiled, stateTable, publicView } = live;
  return {
    ...live,
    // Without a key what is read is the version's own already.
    publicView: key === null ? publicView : `(${shownRows(compiled)})`,
    lock: stateTable,
    stale: { position: { generation, batch }, sinceMs },
  };
}

/** What is to be written with a failure; undefined where nothing right can be read. */
export function storedStale({ version, stale }: LiveView): StoredStale | undefined {
  return stale && { version, ...stale.position, sinceMs: stale.sinceMs };
}

type ReadGroup = Pick<GroupViews, "positionSql" | "readable" | "relations">;

/** The group for a read that takes the last good states of views that failed, or the rows of a moment. */
export function readAs(group: ReadGroup, options: ReadableOptions): ReadGroup {
  return {
    positionSql: group.positionSql,
    readable: (view) => group.readable(view, options),
    relations: (view) => group.relations(view),
  };
}

/** Since when rows of these views may be no longer right, as a member of an answer; none where all are right. */
export function staleSince(views: readonly LiveView[]): { readonly staleSinceMs?: number } {
  const times = views.flatMap(({ stale }) => stale?.sinceMs ?? []);
  return times.length === 0 ? {} : { staleSinceMs: Math.min(...times) };
}
