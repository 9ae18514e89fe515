/** Views compiled against the shapes of captured tables and of topics, each for itself. */
import type { MillraceError } from "../base/errors.ts";
import { arrange } from "../catalog/collect.ts";
import type { Definition, TableDefinition } from "../catalog/definitions.ts";
import { topicRetentions } from "../catalog/topic-retentions.ts";
import { topicTables } from "../catalog/topic-table.ts";
import type { TableShape, ViewShape } from "../schema/table-shape.ts";
import { checkDefinitions } from "../views/check.ts";
import { ownerOf } from "../views/group-borders.ts";

export interface CheckedView {
  readonly view: string;
  /** Null for a view that is refused, or not checked yet. */
  readonly class: string | null;
  /** Empty for a view of one row and for one that is refused; null where rows may be there several times. */
  readonly key: readonly string[] | null;
  /** Null for a view that is refused, or not checked yet. */
  readonly hash: string | null;
  readonly error: MillraceError | null;
  /** Sentences about what works and may not be what was meant. */
  readonly warnings: readonly string[];
}

/** `tables` are those that are captured, `views` what is known of the columns of views. Errors carry the place in the SQL, with a caret; the view of late events is left out where its view is refused. Throws what `arrange` throws. */
export async function checkViews(
  definitions: readonly Definition[],
  tables: readonly TableShape[],
  views: readonly ViewShape[] = [],
): Promise<readonly CheckedView[]> {
  const arranged = arrange(definitions);
  const shapes = [...tables, ...topicTables(arranged)];
  const checked = await checkDefinitions(arranged.views, shapes, topicRetentions(arranged), views);
  const refused = new Set(checked.flatMap(({ view, error }) => (error === null ? [] : [view.name])));
  // A view of late events has the query of its view, and is refused for the same.
  const own = checked.filter(({ view }) => view.late !== true || !refused.has(ownerOf(view.name)));
  return own.map(({ view, compiled, error, warnings }) => ({
    view: view.name,
    class: compiled?.class ?? null,
    key: compiled === null ? [] : compiled.key,
    hash: compiled?.hash ?? null,
    error,
    warnings,
  }));
}

/**
 * Whether the shape of every named table is known: a source that was not reached yet has none. Patterns may stand for
 * nothing, so that of a source that has only those any table will do.
 */
export function knowsTables(tables: readonly TableShape[], definitions: readonly Definition[]): boolean {
  return definitions.every((definition) => {
    if (definition.kind !== "source") return true;
    const known = tables.filter(({ source }) => source === definition.name);
    const named = ({ schema, table }: TableDefinition) =>
      known.some((one) => one.schema === schema && one.table === table);
    return definition.tables.every(named) && (definition.tables.length > 0 || known.length > 0);
  });
}
