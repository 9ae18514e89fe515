/** Finds a view's column by its name, or says which one may have been meant. */
import { MillraceError } from "../base/errors.ts";
import type { ViewColumn } from "./view-info.ts";

export interface ColumnsOfView {
  readonly name: string;
  readonly columns: readonly ViewColumn[];
}

/** Throws `COLUMN_UNKNOWN`. */
export function columnOf(view: ColumnsOfView, name: string): ViewColumn {
  const column = view.columns.find((one) => one.name === name);
  if (column) return column;
  const nearest = nearestName(
    name,
    view.columns.map((one) => one.name),
  );
  throw new MillraceError("COLUMN_UNKNOWN", `view "${view.name}" has no column ${JSON.stringify(name.slice(0, 80))}`, {
    hint: nearest === undefined ? `Its columns are ${names(view)}.` : `Did you mean "${nearest}"?`,
    details: { view: view.name, column: name.slice(0, 80), ...(nearest === undefined ? {} : { nearest }) },
  });
}

/** The name with the fewest edits, when they are few for its length. */
export function nearestName(name: string, candidates: readonly string[]): string | undefined {
  const short = name.slice(0, 80).toLowerCase();
  let best: { readonly candidate: string; readonly edits: number } | undefined;
  for (const candidate of candidates) {
    const edits = editDistance(short, candidate.toLowerCase());
    if (edits <= Math.max(1, Math.floor(candidate.length / 3)) && edits < (best?.edits ?? Number.POSITIVE_INFINITY)) {
      best = { candidate, edits };
    }
  }
  return best?.candidate;
}

function names(view: ColumnsOfView): string {
  const shown = view.columns.slice(0, 20).map((one) => `"${one.name}"`);
  return shown.join(", ") + (view.columns.length > shown.length ? ", …" : "");
}

/** Levenshtein, row by row. */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substituted, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}
