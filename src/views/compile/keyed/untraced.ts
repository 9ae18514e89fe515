/**
 * Queries of which no change is traced, since they are run as a whole: what takes a query apart into alternatives is left
 * out, so that nothing of it is too much. Names, types, what is read and which columns identify a row are found as ever.
 */
import type { Bound } from "../bound.ts";
import { unknownType } from "../sql-type.ts";
import { type Alternative, nothing, opaque } from "./alternative.ts";
import type { TracedAlternative, TracedQuery } from "./traced.ts";

/**
 * All alternatives of a FROM item as the first: both sides of each join are there in it, with the columns that another row
 * of the join may lack as such. What joins them holds for some of the rows only.
 */
export function untracedRows(alternatives: readonly Alternative[]): readonly Alternative[] {
  const [first, ...others] = alternatives;
  if (first === undefined || others.length === 0) return alternatives;
  return [{ ...first, conjuncts: [], drivers: [], present: true }];
}

export function untracedQuery(query: TracedQuery): TracedQuery {
  const outputs = query.names.map((_, i): Bound => {
    const all = query.alternatives.map((one) => one.outputs[i]);
    const [first] = all;
    if (first === undefined) return opaque(unknownType, `#?.${i}`);
    return opaque(
      first.type,
      first.key,
      all.every((one) => one?.notNull === true),
    );
  });
  return { ...query, alternatives: [lone(outputs)] };
}

/** Rows of which nothing but their columns is known. */
export function lone(outputs: readonly Bound[]): TracedAlternative {
  const { scope: _, ...rest } = nothing;
  return { ...rest, outputs };
}
