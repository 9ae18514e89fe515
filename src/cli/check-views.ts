/** Views compiled against the shapes of captured tables, each for itself. */
import { MillraceError } from "../base/errors.ts";
import type { Definition, ViewDefinition } from "../catalog/definitions.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { compileView } from "../views/compile.ts";

export interface CheckedView {
  readonly view: string;
  /** Null for a view that is refused. */
  readonly class: string | null;
  readonly key: readonly string[];
  /** Null for a view that is refused. */
  readonly hash: string | null;
  readonly error: MillraceError | null;
}

/** Errors carry the place in the SQL, with a caret. */
export async function checkViews(
  views: readonly ViewDefinition[],
  tables: readonly TableShape[],
): Promise<readonly CheckedView[]> {
  const mirrors = tables.map((shape, id) => ({ id, shape }));
  const checked: CheckedView[] = [];
  for (const view of views) {
    try {
      const compiled = await compileView({ view, mirrors, version: 1 });
      checked.push({ view: view.name, class: compiled.class, key: compiled.key, hash: compiled.hash, error: null });
    } catch (error) {
      checked.push({ view: view.name, class: null, key: [], hash: null, error: MillraceError.from(error) });
    }
  }
  return checked;
}

export function viewsOf(definitions: readonly Definition[]): ViewDefinition[] {
  return definitions.filter((one) => one.kind === "view");
}

/** Whether the shape of every defined table is known: a source that was not reached yet has none. */
export function knowsTables(tables: readonly TableShape[], definitions: readonly Definition[]): boolean {
  return definitions.every((definition) => {
    if (definition.kind === "view") return true;
    return definition.tables.every(({ schema, table }) => {
      return tables.some((one) => one.source === definition.name && one.schema === schema && one.table === table);
    });
  });
}
