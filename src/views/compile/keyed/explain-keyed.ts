/** A view that is recomputed by key, in words. */
import type { MirrorBinding } from "../../compiled-view.ts";
import { keyLine, termWords, timeLines } from "../explain.ts";
import { tableLabel } from "../tables.ts";
import type { TracedRows } from "./trace-rows.ts";

export interface KeyedExplanation {
  readonly rowKey: readonly string[] | null;
  readonly rows: TracedRows;
  readonly uses: readonly { readonly mirror: MirrorBinding; readonly columns: readonly string[] }[];
}

export function explainKeyed({ rowKey, rows, uses }: KeyedExplanation): string {
  const { ways } = rows;
  const lines = [
    "class: keyed",
    keyLine(rowKey),
    `kept: its rows; ${keptWords(rows)}`,
    "reads:",
    ...uses
      .map(
        ({ mirror, columns }) =>
          `  ${tableLabel(mirror)} (${columns.length === 0 ? "its rows' number" : columns.join(", ")})`,
      )
      .sort(),
    "on a change of:",
    ...wayLines(ways),
    ...timeLines(ways.flatMap(({ conjuncts }) => conjuncts)),
  ];
  return `${lines.join("\n")}\n`;
}

/** Each once: those of several grouping sets differ in the keys alone. */
export function wayLines(ways: TracedRows["ways"]): string[] {
  return [...new Set(ways.map((way) => `  ${termWords(way.driver, way.steps)}; after the mirror is written`))];
}

/** How its rows are brought to what they are. */
export function keptWords({ labels, sets, totals }: TracedRows): string {
  if (sets === 1) return `the query is run again for each ${labels.join(" and ")} that a change reaches`;
  const [, ...expressions] = labels;
  const all = totals === null ? "" : "; the row of all rows is put together from the groups of another set";
  return `the query is run again for each ${expressions.join(" and ")} that a change reaches, by itself for each of ${sets} grouping sets${all}`;
}
