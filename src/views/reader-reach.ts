/** Which views a read shows rows of, and how far they are together: one that is recomputed whole may be behind the others. */
import { MillraceError } from "../base/errors.ts";
import type { GroupViews, LiveView } from "./live-view.ts";
import { withRelations } from "./row-relations.ts";
import type { Selected, SnapshotRead, ViewRead } from "./view-info.ts";

type Group = Pick<GroupViews, "positionSql" | "readable" | "relations">;

/** The view itself first. What it cannot be related to is refused where its rows are read. */
export function viewsShown(
  group: Omit<Group, "positionSql">,
  { view, select = null, order = [] }: ViewRead,
): LiveView[] {
  const shown = new Map<string, LiveView>();
  const add = (live: LiveView, members: readonly Selected[] | null, others: readonly (string | undefined)[]) => {
    shown.set(live.name, live);
    const embedded = (members ?? []).flatMap((one) => (typeof one === "object" && "relation" in one ? [one] : []));
    for (const { relation, select, order } of embedded) {
      const other = related(group, live, relation);
      if (other !== null)
        add(
          other,
          select,
          order.map((one) => one.relation),
        );
    }
    for (const relation of others) {
      const other = relation === undefined ? null : related(group, live, relation);
      if (other !== null) shown.set(other.name, other);
    }
  };
  add(
    group.readable(view),
    select,
    order.map((one) => one.relation),
  );
  return [...shown.values()];
}

/** Of one of several reads. */
export function shownBy(read: SnapshotRead): ViewRead {
  const { select, order } = "key" in read ? { select: read.select, order: [] } : read.query;
  return { view: read.view, select, order };
}

function related(group: Omit<Group, "positionSql">, live: LiveView, name: string): LiveView | null {
  try {
    return group.readable(withRelations(group, live).related(name).relation.view);
  } catch (error) {
    if (MillraceError.is(error)) return null;
    throw error;
  }
}

/** A select like the group's own, of the prefix that rows of all these views have. */
export function positionSqlOf(group: Pick<Group, "positionSql">, views: readonly LiveView[]): string {
  const [stale] = views.flatMap((view) => view.stale?.position ?? []).sort((a, b) => a.batch - b.batch);
  const { generation, batch } = stale ?? {};
  const positionSql =
    stale === undefined
      ? group.positionSql
      : `select ${generation}::bigint as generation, ${batch}::bigint as batch, ${batch}::bigint as oldest_batch`;
  const reaches = views.flatMap(({ compiled, stale }) => (stale ? [] : (compiled.whole?.reachTable ?? [])));
  if (reaches.length === 0) return positionSql;
  const batches = reaches.map((_, i) => `r${i}.batch`).join(", ");
  return (
    // A reach without a batch is the group's.
    `select g.generation, least(g.batch, ${batches}) as batch, ${reaches.length === 1 ? "r0.oldest" : "g.oldest_batch"} as oldest_batch ` +
    `from (${positionSql}) as g(generation, batch, oldest_batch), ${reaches.map((table, i) => `${table} r${i}`).join(", ")}`
  );
}

/** Names of the views that these reads show rows of; of one that cannot be read now, its own. */
export function viewsToWaitFor(group: Omit<Group, "positionSql">, reads: readonly ViewRead[]): string[] {
  const names = reads.flatMap((read) => {
    try {
      return viewsShown(group, read).map(({ name }) => name);
    } catch (error) {
      if (MillraceError.is(error)) return [];
      throw error;
    }
  });
  return [...new Set(names)];
}
