/** Differences of `allOf`, `anyOf` and `oneOf`, with each other and with schemas that are not combined. */
import { isCompatible, type JsonDifference } from "./json-difference-kinds.ts";
import type { JsonComparison } from "./json-differences.ts";
import type { CombinedView, JsonView } from "./json-view.ts";

/** A combination against a plain schema, where one of its parts alone answers; null when it takes the usual way. */
export function compareWithCombined(
  compare: JsonComparison,
  writer: JsonView,
  reader: JsonView,
): readonly JsonDifference[] | null {
  if (writer.kind !== "combined" && reader.kind === "combined") {
    const note = reader.parts.length === 1 ? [] : reader.criterion === "allOf" ? null : ["SUM_TYPE_EXTENDED"];
    return note && firstThatFits(reader.parts, (part) => compare.views(writer, part, ""), note);
  }
  if (writer.kind === "combined" && reader.kind !== "combined") {
    const note = writer.parts.length === 1 ? [] : writer.criterion === "allOf" ? ["PRODUCT_TYPE_NARROWED"] : null;
    return note && firstThatFits(writer.parts, (part) => compare.views(part, reader, ""), note);
  }
  return null;
}

function firstThatFits(
  parts: readonly JsonView[],
  compare: (part: JsonView) => readonly JsonDifference[],
  note: readonly string[],
): readonly JsonDifference[] | null {
  for (const part of parts) {
    const found = compare(part);
    if (isCompatible(found)) return [...found, ...note.map((kind) => ({ kind, path: "" }))];
  }
  return null;
}

export function compareCombined(
  compare: JsonComparison,
  writer: CombinedView,
  reader: CombinedView,
): readonly JsonDifference[] {
  const found: JsonDifference[] = [];
  if (writer.criterion !== reader.criterion) {
    if (!criterionExtended(writer, reader)) return [{ kind: "COMBINED_TYPE_CHANGED", path: "" }];
    found.push({ kind: "COMBINED_TYPE_EXTENDED", path: "" });
  }
  const before = compare.distinctParts(writer);
  const after = compare.distinctParts(reader);
  if (before.length < after.length) {
    found.push({ kind: reader.criterion === "allOf" ? "PRODUCT_TYPE_EXTENDED" : "SUM_TYPE_EXTENDED", path: "" });
  } else if (before.length > after.length) {
    found.push({ kind: writer.criterion === "allOf" ? "PRODUCT_TYPE_NARROWED" : "SUM_TYPE_NARROWED", path: "" });
  }
  const edges = before.map((old, i) =>
    after.map((now) => {
      const differences = compare.views(old, now, `${writer.criterion}/${i}`);
      return isCompatible(differences) ? differences : null;
    }),
  );
  const pairs = largestMatching(edges, (steps) => compare.budget.spend(steps));
  for (const [i, j] of pairs) found.push(...(edges[i]?.[j] ?? []));
  if (pairs.length < Math.min(before.length, after.length)) {
    found.push({ kind: "COMBINED_TYPE_SUBSCHEMAS_CHANGED", path: "" });
  }
  return found;
}

function criterionExtended(writer: CombinedView, reader: CombinedView): boolean {
  if (reader.criterion === "anyOf") return true;
  const [before, after] = [writer.parts.length === 1, reader.parts.length === 1];
  return (before && (after || reader.criterion === "oneOf")) || (after && writer.criterion === "allOf");
}

/**
 * As many pairs (row, column) as can be made of the edges that are not null, each row and column once (augmenting paths
 * of a bipartite graph: Kuhn 1955).
 */
function largestMatching(
  edges: readonly (readonly (unknown | null)[])[],
  spend: (steps: number) => void,
): (readonly [row: number, column: number])[] {
  const rowOf = new Map<number, number>();
  const place = (row: number, seen: Set<number>): boolean => {
    const columns = edges[row] ?? [];
    spend(1 + columns.length);
    for (let column = 0; column < columns.length; column++) {
      if (columns[column] === null || seen.has(column)) continue;
      seen.add(column);
      const holder = rowOf.get(column);
      if (holder !== undefined && !place(holder, seen)) continue;
      rowOf.set(column, row);
      return true;
    }
    return false;
  };
  for (let row = 0; row < edges.length; row++) place(row, new Set());
  return [...rowOf].map(([column, row]) => [row, column] as const);
}
