/**
 * Views whose rows belong to windows that end. The end is traced to one topic with a watermark, as an expression over the
 * columns of a record; then it is an ordinary view, whose topic stands in FROM without the records that came too late and,
 * where only windows that are over are shown, without those of the others.
 *
 * Always true: what a record counts for is decided by its own row and the watermark, so a window that is over gets no more.
 */
import type { ColumnRef } from "@pgsql/types";
import { MillraceError } from "../../base/errors.ts";
import { printDuration } from "../../base/units.ts";
import { quote, type ViewDefinition } from "../../catalog/definitions.ts";
import type { CompiledView, MirrorBinding } from "../compiled-view.ts";
import { type Bound, columnsOf, type Occurrence, print } from "./bound.ts";
import { asksClock } from "./clock.ts";
import { nameOf, quoteLiteral } from "./expression.ts";
import { isTable, walk } from "./inlining.ts";
import { nearestName } from "./nearest.ts";
import { shortList } from "./scope.ts";
import { SourceText } from "./source-text.ts";
import { isMoment } from "./sql-type.ts";
import { mirrorTable, tableLabel } from "./tables.ts";
import { topicsNamed } from "./topic-names.ts";

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

/** The end of a window as the text of an expression over the columns of a record. */
interface WindowEnd {
  readonly mirror: MirrorBinding;
  readonly sql: string;
}

/** The view as one without a window. Throws `VIEW_WINDOW_INVALID`, and what `trace` throws. */
export function withWindow(
  view: ViewDefinition,
  source: SourceText,
  trace: (source: SourceText) => QueryTrace,
): SourceText {
  const { window } = view;
  if (window === undefined) return source;
  if (window.final && asksClock({ SelectStmt: source.statement })) {
    const hint = "Filter by time when it is read.";
    throw invalid(source, "what it shows when a window is over is to stay, and it filters by now()", hint);
  }
  const query = traced(source, trace);
  const end = endOf(query, view, source);
  const grace = window.graceMs === 0 ? "" : ` + interval '${window.graceMs} ms'`;
  const over = (moment: string) => `(${end.sql}${grace} <= ${moment})`;
  const table = mirrorTable(end.mirror);
  const { columns, topic, key } = end.mirror.shape;
  const tooLate = over(quote("_watermark"));
  if (view.late === true) {
    const listed = columns.map(({ name }) => quote(name)).join(", ");
    return new SourceText(view.name, `select ${listed}, ${end.sql} as "_ends" from ${table} where ${tooLate}`);
  }
  const read = new Set([...query.columnsOf(end.mirror), ...(key ?? [])]);
  const reference = referenceTo(end.mirror, source);
  const listed = columns.filter(({ name }) => read.has(name) || reference.renamed).map(({ name }) => quote(name));
  const shown = window.final ? ` and ${over(`millrace.watermark(${quoteLiteral(topic)})`)}` : "";
  const rows = `(select ${listed.join(", ")} from ${table} where (${tooLate} is not true)${shown})`;
  return new SourceText(view.name, source.rewritten(reference.replacements(rows)));
}

export function withWindowWords(compiled: CompiledView, { name, window, late }: ViewDefinition): CompiledView {
  if (window === undefined || late === true) return compiled;
  const grace = window.graceMs === 0 ? "" : ` and ${printDuration(window.graceMs)} of grace`;
  const shown = window.final ? "rows are shown when it is over, and stay" : "rows are shown from the first event on";
  const words = `window: ends by ${window.ends}${grace}; ${shown}; late events are in views.${quote(`${name}.late`)}\n`;
  return { ...compiled, explanation: `${compiled.explanation}${words}` };
}

/** A view that is run again as a whole knows of no record when it came. */
function traced(source: SourceText, trace: (source: SourceText) => QueryTrace): QueryTrace {
  try {
    return trace(source);
  } catch (cause) {
    if (!MillraceError.is(cause) || cause.code !== "VIEW_UNSUPPORTED") throw cause;
    const { message, hint, details } = cause;
    throw new MillraceError("VIEW_WINDOW_INVALID", `${message}, and a view with a window is kept with each change`, {
      ...(hint === undefined ? {} : { hint }),
      details,
      cause,
    });
  }
}

function endOf(query: QueryTrace, view: ViewDefinition, source: SourceText): WindowEnd {
  const { ends, final } = view.window ?? { ends: "", final: false };
  const position = query.names.indexOf(ends);
  if (position < 0) {
    const nearest = nearestName(ends, query.names);
    const hint = nearest === null ? `The columns are ${shortList(query.names)}.` : `Did you mean "${nearest}"?`;
    throw invalid(source, `its window ends by "${ends}", which is no column of it`, hint);
  }
  const found = query.parts.map(({ outputs, occurrences }) => {
    const bound = outputs[position] ?? null;
    const [first] = bound === null ? [] : columnsOf(bound);
    if (bound === null || first === undefined) throw notOfOneRecord(ends, source);
    const plain = bound.parts.every(
      (part) => typeof part === "string" || (part.kind === "column" && part.occurrence === first.occurrence),
    );
    if (!plain) throw notOfOneRecord(ends, source);
    const sql = print(bound, (hole) => (hole.kind === "column" ? quote(hole.column) : ""));
    return { bound, mirror: first.occurrence.mirror, sql, alone: occurrences.length === 1 };
  });
  const [first] = found;
  if (first === undefined || found.some(({ mirror, sql }) => mirror !== first.mirror || sql !== first.sql))
    throw notOfOneRecord(ends, source);
  const { mirror, sql, bound } = first;
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
  return { mirror, sql };
}

function notOfOneRecord(ends: string, source: SourceText) {
  return invalid(
    source,
    `its window ends by "${ends}", which is not computed from one record of one topic`,
    "Group by the end of the window, computed from the time of an event: date_bin('1 minute', at, '2000-01-01') + interval '1 minute' as ends. " +
      "An end that an aggregate, a window function or a function in FROM computes is written by hand: see the guide of windows.",
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

function invalid(source: SourceText, message: string, hint: string, at?: number) {
  return source.refusal("VIEW_WINDOW_INVALID", message, { at, hint });
}

/** Where the topic stands in FROM, and what is written where it is named. */
function referenceTo(mirror: MirrorBinding, source: SourceText) {
  const { table, topic } = mirror.shape;
  const named = topicsNamed(source.statement).filter(({ name }) => name === table);
  const [first, second] = named;
  if (first?.at === undefined || second !== undefined) {
    const message = `it has a window by topic "${topic}", and names the topic more than once`;
    throw invalid(source, message, "Name it once, in WITH where it is read several times.", second?.at);
  }
  const { at } = first;
  let renamed = false;
  let alias = ` as ${quote(table)}`;
  let parts = 2;
  walk(source.statement, (node) => {
    if (!isTable(node) || node.location !== at) return;
    if (node.catalogname !== undefined) parts = 3;
    if (node.alias === undefined) return;
    alias = "";
    renamed = "colnames" in node.alias;
  });
  return {
    renamed,
    replacements: (rows: string) =>
      new Map([
        [at, { end: source.endOfName(at, parts), text: `${rows}${alias}` }],
        ...qualifiersOf(table, source).map(({ start, end }) => [start, { end, text: quote(table) }] as const),
      ]),
  };
}

/** Where columns are named with the table and its schema, which a subquery has not. */
function qualifiersOf(table: string, source: SourceText): { readonly start: number; readonly end: number }[] {
  const found: { start: number; end: number }[] = [];
  walk(source.statement, (node) => {
    if (!("fields" in node) || !Array.isArray(node.fields)) return;
    const { fields = [], location } = node as ColumnRef;
    const names = fields.map(nameOf);
    const path = names[1] === "public" ? 3 : 2;
    if (location === undefined || names[0] !== "topics" || names[path - 1] !== table || names.length <= path) return;
    found.push({ start: location, end: source.endOfName(location, path) });
  });
  return found;
}
