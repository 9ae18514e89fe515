/**
 * The end of a window, traced to the topic by whose events it ends: an expression over the columns of one record, and over
 * those of functions in FROM that are called with them, where a record is in several windows.
 */
import type { ViewDefinition } from "../../catalog/definitions.ts";
import type { MirrorBinding } from "../compiled-view.ts";
import {
  type Bound,
  columnsBeneath,
  functionsOf,
  type Hole,
  type Occurrence,
  print,
  type RowsFunction,
} from "./bound.ts";
import { nearestName } from "./nearest.ts";
import { shortList } from "./scope.ts";
import type { SourceText } from "./source-text.ts";
import { isMoment } from "./sql-type.ts";
import { tableLabel } from "./tables.ts";

/** How a query is made of its tables, as far as it can be kept with each change. */
export interface QueryTrace {
  readonly names: readonly string[];
  /** For each part of it: its tables, and what each column is; null where it is computed from several rows. */
  readonly parts: readonly {
    readonly occurrences: readonly Occurrence[];
    readonly outputs: readonly (Bound | null)[];
  }[];
  /** Columns read, in the order of the table. */
  readonly columnsOf: (mirror: MirrorBinding) => readonly string[];
}

export interface WindowEnd {
  readonly mirror: MirrorBinding;
  readonly bound: Bound;
  /** What makes windows of a record, in the order in which they are read; none where a record is in one window. */
  readonly functions: readonly RowsFunction[];
}

/** Throws `VIEW_WINDOW_INVALID`. */
export function endOf(query: QueryTrace, view: ViewDefinition, source: SourceText): WindowEnd {
  const { ends, final } = view.window ?? { ends: "", final: false };
  const position = query.names.indexOf(ends);
  if (position < 0) {
    const nearest = nearestName(ends, query.names);
    const hint = nearest === null ? `The columns are ${shortList(query.names)}.` : `Did you mean "${nearest}"?`;
    throw invalid(source, `its window ends by "${ends}", which is no column of it`, hint);
  }
  const found = query.parts.map(({ outputs, occurrences }) => {
    const bound = outputs[position] ?? null;
    const [first] = bound === null ? [] : columnsBeneath(bound);
    if (bound === null || first === undefined) throw notOfOneRecord(ends, source);
    const functions = [...new Set(functionsOf(bound).map(({ of }) => of))];
    const parts = [bound, ...functions.map(({ call }) => call)].flatMap((one, i) =>
      one.parts.filter((part) => typeof part !== "string" && (i > 0 || part.kind !== "function")),
    );
    const plain = parts.every(
      (part) => typeof part !== "string" && part.kind === "column" && part.occurrence === first.occurrence,
    );
    if (!plain) throw notOfOneRecord(ends, source);
    return { bound, functions, mirror: first.occurrence.mirror, alone: occurrences.length === 1 };
  });
  const [first] = found;
  if (
    first === undefined ||
    found.some(({ mirror, bound }) => mirror !== first.mirror || words(bound) !== words(first.bound))
  )
    throw notOfOneRecord(ends, source);
  const { mirror, bound, functions } = first;
  if (mirror.shape.watermark === undefined) throw withoutWatermark(mirror, source);
  if (!isMoment(bound.type)) {
    const what = `its window ends by "${ends}", which is not known to be a date or a timestamp`;
    throw invalid(source, what, "Let it be one: date_bin(…) + interval '1 minute' as \"ends\".");
  }
  if (final && found.some(({ alone }) => !alone)) {
    throw invalid(
      source,
      `what it shows when a window is over may change after it: it reads more than topic "${mirror.shape.topic}", once`,
      "Let it read the topic alone, and join it with the rest in a view over it. Or show rows from their first event on: leave emit out.",
    );
  }
  return { mirror, bound, functions };
}

/** Equal where two ends are computed alike. */
function words(bound: Bound): string {
  return print(bound, (hole: Hole) => {
    if (hole.kind === "function") return `${words(hole.of.call)}@${hole.of.at}.${hole.column}`;
    return hole.kind === "column" ? JSON.stringify(hole.column) : "";
  });
}

function notOfOneRecord(ends: string, source: SourceText) {
  return invalid(
    source,
    `its window ends by "${ends}", which is not computed from one record of one topic`,
    "Group by the end of the window, computed from the time of an event: date_bin('1 minute', at, '2000-01-01') + interval '1 minute' as ends. " +
      "Of windows that overlap it is what generate_series(…) makes of that time in FROM, by cross join; sessions have the column _ends. " +
      "An end that an aggregate or a window function computes is written by hand: see the guide of windows.",
  );
}

function withoutWatermark(mirror: MirrorBinding, source: SourceText) {
  const { topic, records } = mirror.shape;
  return invalid(
    source,
    `its window ends by the time of ${tableLabel(mirror)}, which has no watermark`,
    records === undefined
      ? "A captured table has none: its rows change after any time. Compare with now() in WHERE: see the guide of windows."
      : `Say which member is the time of an event: topic("${topic}", { watermark: { time: "at", lateness: "30s" } }).`,
  );
}

export function invalid(source: SourceText, message: string, hint: string, at?: number) {
  return source.refusal("VIEW_WINDOW_INVALID", message, { at, hint });
}
