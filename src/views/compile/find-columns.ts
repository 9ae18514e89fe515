/** Whether the columns that a view is to be searched and read by are columns of it. */
import type { ViewDefinition } from "../../catalog/definitions.ts";
import type { CompiledView } from "../compiled-view.ts";
import { foundMembers, treeMembers } from "../find/find-query.ts";
import { nearestName } from "./nearest.ts";
import { shortList } from "./scope.ts";
import type { SourceText } from "./source-text.ts";

/** The view with its options for reading it beside as rows. Throws `VIEW_OPTION_INVALID`; types are known to the store only. */
export function withReads(compiled: CompiledView, { reads }: ViewDefinition, source: SourceText): CompiledView {
  if (reads === undefined) return compiled;
  const { from, to, label, weight } = reads.graph ?? {};
  const wanted = [
    ...[from, to, label, weight].flatMap((one) => (one === undefined ? [] : [["graph", one] as const])),
    ...(reads.series ? [reads.series.time, ...reads.series.by] : []).map((one) => ["series", one] as const),
    ...(reads.indexes ?? [])
      .flatMap((one) => ("gin" in one ? [one.gin] : one.fields.map(({ column }) => column)))
      .map((one) => ["index", one] as const),
  ];
  checkColumns(compiled.publicColumns, wanted, source);
  return { ...compiled, reads };
}

/** The view with its options for searching. Throws `VIEW_OPTION_INVALID`; types are known to the store only. */
export function withFind(compiled: CompiledView, { find }: ViewDefinition, source: SourceText): CompiledView {
  if (find === undefined) return compiled;
  const names = compiled.publicColumns;
  const wanted = [
    ...(find.search?.columns ?? []).map(({ column }) => ["search", column] as const),
    ...find.fuzzy.map((column) => ["fuzzy", column] as const),
    ...(find.geo === null ? [] : [find.geo.lat, find.geo.lon]).map((column) => ["geo", column] as const),
    ...(find.tree ?? []).map((column) => ["tree", column] as const),
  ];
  checkColumns(names, wanted, source);
  const members: readonly string[] = [...foundMembers, ...(find.tree === undefined ? [] : treeMembers)];
  const taken = names.find((name) => members.includes(name));
  if (taken === undefined) return { ...compiled, find };
  throw source.refusal("VIEW_OPTION_INVALID", `its column "${taken}" has the name of what searching adds to rows`, {
    hint: `Rename it in the select list; ${members.join(", ")} are taken.`,
    details: { column: taken },
  });
}

function checkColumns(
  names: readonly string[],
  wanted: readonly (readonly [option: string, column: string])[],
  source: SourceText,
): void {
  for (const [option, column] of wanted) {
    if (names.includes(column)) continue;
    const nearest = nearestName(column, names);
    throw source.refusal("VIEW_OPTION_INVALID", `its ${option} names "${column}", which is not in the select list`, {
      hint: nearest === null ? `The columns are ${shortList(names)}.` : `Did you mean "${nearest}"?`,
      details: { option, column },
    });
  }
}
