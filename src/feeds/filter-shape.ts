/**
 * The shape of what a subscriber follows: its filter, and the members that it is shown. Filters that keep the same rows because they are the same but for the order of their terms, for
 * repetitions, nesting and double negation have one shape, and subscribers of one shape share everything. Pure.
 *
 * Nothing is told from values or types: `a=gt.1` and `a=gte.2` are two shapes. `and`, `or` and `not` keep their meaning
 * with NULL under all that is done here.
 */
import type { Filter, Selected } from "../views/view-info.ts";

export interface FilterShape {
  /** Of the same shape, written in the one way. */
  readonly filter: Filter | null;
  /** As it was asked for: another order is another form of the rows. */
  readonly select: readonly Selected[] | null;
  /** The same for the same shape. */
  readonly text: string;
}

export function shapeOf(filter: Filter | null, select: readonly Selected[] | null = null): FilterShape {
  const normal = filter === null ? null : normalized(filter);
  const shown = select === null ? "" : ` ${JSON.stringify(select)}`;
  return { filter: normal, select, text: `${JSON.stringify(normal)}${shown}` };
}

function normalized(filter: Filter): Filter {
  if (filter.kind === "and" || filter.kind === "or") return junction(filter.kind, filter.of, filter.negated);
  if (filter.kind !== "compare") return sorted(filter);
  const isList = filter.operator === "in" || filter.quantifier !== undefined;
  return sorted(isList ? { ...filter, values: [...new Set(filter.values)].sort() } : filter);
}

function junction(kind: "and" | "or", of: readonly Filter[], negated: boolean): Filter {
  const terms = new Map<string, Filter>();
  for (const part of of.map(normalized)) {
    const isSame = part.kind === kind && !part.negated;
    for (const term of isSame ? part.of : [part]) terms.set(JSON.stringify(term), term);
  }
  const all = [...terms].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, term]) => term);
  const [only] = all;
  if (only !== undefined && all.length === 1) return negated ? sorted({ ...only, negated: !only.negated }) : only;
  return sorted({ kind, negated, of: all });
}

/** Members in the order of their names, so that the same filter has the same text. */
function sorted<T extends Filter>(filter: T): T {
  const members = Object.entries(filter).filter(([, value]) => value !== undefined);
  return Object.fromEntries(members.sort(([a], [b]) => (a < b ? -1 : 1))) as T;
}
