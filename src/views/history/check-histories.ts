/** Histories as views read them, made from definitions and what the schema file knows of the views: for checks without a store. */
import type { MillraceError } from "../../base/errors.ts";
import { type ViewDefinition, versionsOf } from "../../catalog/definitions.ts";
import type { ViewShape } from "../../schema/table-shape.ts";
import { compileViewSync } from "../compile.ts";
import type { CompiledView, MirrorBinding } from "../compiled-view.ts";
import { historyShape } from "./history-table.ts";

/** The tables, and the histories of those views that compile and of which the types are known. `loadParser` must have resolved. */
export function withHistories(
  views: readonly ViewDefinition[],
  tables: readonly MirrorBinding[],
  known: readonly ViewShape[],
): readonly MirrorBinding[] {
  const mirrors = [...tables];
  let open = views.filter((view) => versionsOf(view) !== null);
  // A history may be that of a view which reads another's.
  for (let before = -1; before !== open.length; ) {
    before = open.length;
    open = open.filter((view) => {
      const compiled = compiledWith(view, views, mirrors);
      const columns = compiled && columnsOf(compiled, known);
      if (compiled === null || columns === null) return true;
      mirrors.push({ id: mirrors.length + 1, shape: historyShape(view.name, compiled.key ?? [], columns) });
      return false;
    });
  }
  return mirrors;
}

function compiledWith(
  view: ViewDefinition,
  views: readonly ViewDefinition[],
  mirrors: readonly MirrorBinding[],
): CompiledView | null {
  try {
    return compileViewSync({ view, mirrors, views, version: 1 });
  } catch {
    return null;
  }
}

/** Types are the store's to say: null while the view was not live yet with these columns. */
function columnsOf({ name, publicColumns }: CompiledView, known: readonly ViewShape[]): ViewShape["columns"] | null {
  const columns = new Map(known.find((one) => one.name === name)?.columns.map((column) => [column.name, column]));
  const found = publicColumns.flatMap((column) => columns.get(column) ?? []);
  return found.length === publicColumns.length ? found : null;
}

/** What is to be said of a view that cannot be checked before a history is known; null of any other error. */
export function notCheckedYet({ code, details }: MillraceError): string | null {
  if (code !== "VIEW_UNKNOWN_TABLE" || typeof details.history !== "string") return null;
  return `it is not checked: the columns of "${details.history}.history" are not known before view "${details.history}" is live, in millrace dev`;
}
