/** What references of a view need of it: its columns, and an index by which its rows are found from the other side. */
import { quote, type ViewDefinition } from "../../catalog/definitions.ts";
import type { CompiledView } from "../compiled-view.ts";
import { nearestName } from "./nearest.ts";
import { shortList } from "./scope.ts";
import type { SourceText } from "./source-text.ts";

/** Columns that other views' rows are found by, each list once. */
export function referringColumns({ references = [] }: ViewDefinition): readonly (readonly string[])[] {
  const lists = references.map(({ on }) => on.map(([own]) => own));
  return [...new Map(lists.map((list) => [JSON.stringify(list), list])).values()];
}

/** The view with these indexes; those that its key begins with are left out. Throws `VIEW_OPTION_INVALID`. */
export function withReferences(compiled: CompiledView, view: ViewDefinition, source: SourceText): CompiledView {
  const names = compiled.publicColumns;
  for (const { name, on } of view.references ?? []) {
    const missing = on.find(([own]) => !names.includes(own))?.[0];
    if (missing === undefined) continue;
    const nearest = nearestName(missing, names);
    throw source.refusal(
      "VIEW_OPTION_INVALID",
      `its reference "${name}" names "${missing}", which is not in the select list`,
      {
        hint: nearest === null ? `The columns are ${shortList(names)}.` : `Did you mean "${nearest}"?`,
        details: { option: "references", column: missing },
      },
    );
  }
  const wanted = referringColumns(view).filter((list) => list.some((column, i) => compiled.key?.[i] !== column));
  const indexes = wanted.map((list) => `create index on ${compiled.stateTable} (${list.map(quote).join(", ")})`);
  return indexes.length === 0 ? compiled : { ...compiled, create: [...compiled.create, ...indexes] };
}
