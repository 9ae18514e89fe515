/** A view that is recomputed by key, in words. */
import type { MirrorBinding } from "../../compiled-view.ts";
import { keyLine, termWords, timeLines } from "../explain.ts";
import { tableLabel } from "../tables.ts";
import type { Way } from "./ways.ts";

export interface KeyedExplanation {
  readonly rowKey: readonly string[] | null;
  readonly traceKey: readonly string[];
  readonly uses: readonly { readonly mirror: MirrorBinding; readonly columns: readonly string[] }[];
  readonly ways: readonly Way[];
}

export function explainKeyed({ rowKey, traceKey, uses, ways }: KeyedExplanation): string {
  const lines = [
    "class: keyed",
    keyLine(rowKey),
    `kept: its rows; the query is run again for each ${traceKey.join(" and ")} that a change reaches`,
    "reads:",
    ...uses
      .map(
        ({ mirror, columns }) =>
          `  ${tableLabel(mirror)} (${columns.length === 0 ? "its rows' number" : columns.join(", ")})`,
      )
      .sort(),
    "on a change of:",
    ...ways.map((way) => `  ${termWords(way.driver, way.steps)}; after the mirror is written`),
    ...timeLines(ways.flatMap(({ conjuncts }) => conjuncts)),
  ];
  return `${lines.join("\n")}\n`;
}
