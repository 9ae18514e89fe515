/**
 * Views whose rows belong to windows that end. The end is traced to one topic with a watermark, as an expression over the
 * columns of a record; then it is an ordinary view, whose topic stands in FROM without the records that came too late and,
 * where only windows that are over are shown, without those of the others. Where a function makes several windows of a
 * record, it is the pairs of the two that are left out.
 *
 * Always true: what a record counts for is decided by its own row and the watermark, so a window that is over gets no more.
 */
import { MillraceError } from "../../base/errors.ts";
import { printDuration } from "../../base/units.ts";
import { quote, type ViewDefinition, type ViewSession, type ViewWindow } from "../../catalog/definitions.ts";
import type { CompiledView, MirrorBinding } from "../compiled-view.ts";
import { type Hole, plainFunction, print } from "./bound.ts";
import { conditionAdded } from "./clause-text.ts";
import { asksClock } from "./clock.ts";
import { quoteLiteral } from "./expression.ts";
import { traceQuery } from "./query-trace.ts";
import { checkSession, sessionRows, withSessions } from "./session.ts";
import { SourceText } from "./source-text.ts";
import { mirrorTable } from "./tables.ts";
import { placeOfRows, placeOfWindows } from "./topic-place.ts";
import { endOf, invalid, type QueryTrace, type WindowEnd } from "./window-end.ts";

/** The view as one without a window. Throws `VIEW_WINDOW_INVALID`, and what binding its query throws. */
export function withWindow(view: ViewDefinition, source: SourceText, mirrors: readonly MirrorBinding[]): SourceText {
  const { window } = view;
  if (window === undefined) return source;
  if (window.final && asksClock({ SelectStmt: source.statement })) {
    const hint = "Filter by time when it is read.";
    throw invalid(source, "what it shows when a window is over is to stay, and it filters by now()", hint);
  }
  const query = traced(source, window.session === undefined ? mirrors : withSessions(mirrors));
  const end = endOf(query, view, source);
  const placed = { view, window, source, query, end };
  if (window.session !== undefined) return withinSessions({ ...placed, session: window.session }, mirrors);
  return end.functions.length > 0 ? withinSeveral(placed) : withinOne(placed);
}

interface Windowed {
  readonly view: ViewDefinition;
  readonly window: ViewWindow;
  readonly source: SourceText;
  readonly query: QueryTrace;
  readonly end: WindowEnd;
}

/** A record is in one window. */
function withinOne({ view, window, source, query, end }: Windowed): SourceText {
  const { mirror, bound } = end;
  const ends = print(bound, (hole) => (hole.kind === "column" ? quote(hole.column) : ""));
  const tooLate = over(ends, quote("_watermark"), window);
  if (view.late === true) return lateOf(view, mirror, ends, tooLate);
  const place = placeOfRows(mirror, source);
  const listed = columnsRead(query, mirror, place.renames).map(quote).join(", ");
  const counts = `(${tooLate} is not true)${shownFrom(ends, mirror, window)}`;
  const rows = `(select ${listed} from ${mirrorTable(mirror)} where ${counts})`;
  return new SourceText(view.name, source.rewritten(place.replacements(rows)));
}

/** A function makes the windows of a record: each of the two together counts, or is late. */
function withinSeveral({ view, window, source, end }: Windowed): SourceText {
  const place = placeOfWindows(end, source);
  if (view.late === true) return new SourceText(view.name, lateInSeveral(end, window));
  const tooLate = over(place.end, place.watermark, window);
  const counts = `(${tooLate} is not true)${shownFrom(place.end, end.mirror, window)}`;
  return new SourceText(view.name, source.rewritten(conditionAdded(source, place.at, counts)));
}

/** An event later than another may make its window longer: by its own time it is late. */
function withinSessions(
  { view, window, source, query, end, session }: Windowed & { readonly session: ViewSession },
  mirrors: readonly MirrorBinding[],
): SourceText {
  const time = checkSession(end, session, source);
  const tooLate = `(${withGrace(quote(time), window)} < ${quote("_watermark")})`;
  const mirror = mirrors.find(({ id }) => id === end.mirror.id);
  if (mirror === undefined) throw new Error("a topic that nobody has");
  if (view.late === true) return lateOf(view, mirror, quote(time), tooLate);
  const place = placeOfRows(end.mirror, source);
  const names = columnsRead(query, end.mirror, place.renames);
  const columns = names.filter((name) => mirror.shape.columns.some((column) => column.name === name));
  const finalAfterMs = window.final ? window.graceMs : null;
  const rows = sessionRows({ mirror, session, time, columns, tooLate, finalAfterMs });
  return new SourceText(view.name, source.rewritten(place.replacements(rows)));
}

function over(ends: string, moment: string, window: ViewWindow): string {
  return `(${withGrace(ends, window)} <= ${moment})`;
}

function withGrace(moment: string, { graceMs }: ViewWindow): string {
  return graceMs === 0 ? moment : `${moment} + interval '${graceMs} ms'`;
}

function shownFrom(ends: string, { shape }: MirrorBinding, window: ViewWindow): string {
  return window.final ? ` and ${over(ends, `millrace.watermark(${quoteLiteral(shape.topic)})`, window)}` : "";
}

/** Of the topic, in its order; all where its columns are called otherwise in turn. */
function columnsRead(query: QueryTrace, mirror: MirrorBinding, all: boolean): string[] {
  const { columns, key } = mirror.shape;
  const read = new Set([...query.columnsOf(mirror), ...(key ?? [])]);
  return columns.map(({ name }) => name).filter((name) => all || read.has(name));
}

function lateOf({ name }: ViewDefinition, mirror: MirrorBinding, ends: string, tooLate: string): SourceText {
  const listed = mirror.shape.columns.map((column) => quote(column.name)).join(", ");
  return new SourceText(name, `select ${listed}, ${ends} as "_ends" from ${mirrorTable(mirror)} where ${tooLate}`);
}

/** A row for each window that a record came too late for; where its end does not tell it from others, with what makes it. */
function lateInSeveral({ mirror, bound, functions }: WindowEnd, window: ViewWindow): string {
  const printed = (hole: Hole) => {
    if (hole.kind === "function") return `f${functions.indexOf(hole.of)}.${hole.column}`;
    return hole.kind === "column" ? `t.${quote(hole.column)}` : "";
  };
  const ends = print(bound, printed);
  const calls = functions.map(
    ({ call, definition }, i) => `cross join lateral ${print(call, printed)} as f${i}${definition}`,
  );
  const made = plainFunction(bound) === null && functions.length === 1 ? `, f0.c0 as "_window"` : "";
  const listed = mirror.shape.columns.map(({ name }) => `t.${quote(name)}`).join(", ");
  const from = `${mirrorTable(mirror)} t ${calls.join(" ")}`;
  return `select ${listed}, ${ends} as "_ends"${made} from ${from} where ${over(ends, 't."_watermark"', window)}`;
}

export function withWindowWords(compiled: CompiledView, { name, window, late }: ViewDefinition): CompiledView {
  if (window === undefined || late === true) return compiled;
  const grace = window.graceMs === 0 ? "" : ` and ${printDuration(window.graceMs)} of grace`;
  const shown = window.final ? "rows are shown when it is over, and stay" : "rows are shown from the first event on";
  const { session } = window;
  const of = session && `sessions by ${session.by.join(", ")} with gaps of ${printDuration(session.gapMs)}; `;
  const words = `window: ${of ?? ""}ends by ${window.ends}${grace}; ${shown}; late events are in views.${quote(`${name}.late`)}\n`;
  return { ...compiled, explanation: `${compiled.explanation}${words}` };
}

/** A view that is run again as a whole knows of no record when it came. */
function traced(source: SourceText, mirrors: readonly MirrorBinding[]): QueryTrace {
  try {
    return traceQuery(mirrors, source);
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
