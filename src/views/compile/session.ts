/**
 * Sessions of a topic's events: those of one value with less than a gap between them. In a view with a session window the
 * topic has two more columns, the begin and the end of each event's session; the rest of the query is as for other windows.
 *
 * Always true: a record is late by its own time, when its watermark is past that and the grace. So when the topic's watermark
 * has come to the end of a session, a gap behind its last event, and the grace, no record that counts is nearer to it.
 */

import { quote, type ViewSession } from "../../catalog/definitions.ts";
import { memberSql } from "../../catalog/member-sql.ts";
import type { ColumnShape } from "../../schema/table-shape.ts";
import type { MirrorBinding } from "../compiled-view.ts";
import { plainColumn } from "./bound.ts";
import { quoteLiteral } from "./expression.ts";
import { nearestName } from "./nearest.ts";
import { shortList } from "./scope.ts";
import type { SourceText } from "./source-text.ts";
import { hasEquality, isMoment, parseType } from "./sql-type.ts";
import { mirrorTable } from "./tables.ts";
import { invalid, type WindowEnd } from "./window-end.ts";

const [begins, ends] = ["_begins", "_ends"].map(
  (name): ColumnShape => ({
    name,
    sourceType: "timestamp with time zone",
    storeType: "timestamp with time zone",
    nullable: true,
    carriedAsText: false,
  }),
) as [ColumnShape, ColumnShape];

/** Topics as they are where a view has sessions. */
export function withSessions(mirrors: readonly MirrorBinding[]): MirrorBinding[] {
  return mirrors.map(({ id, shape }) => ({
    id,
    shape: shape.records === undefined ? shape : { ...shape, columns: [...shape.columns, begins, ends] },
  }));
}

/** The time of a topic's events, as a column. Throws `VIEW_WINDOW_INVALID`. */
export function checkSession(end: WindowEnd, session: ViewSession, source: SourceText): string {
  const { shape } = end.mirror;
  if (plainColumn(end.bound)?.column !== ends.name) {
    const message = `it has sessions of topic "${shape.topic}", and its window does not end by the column _ends of it`;
    throw invalid(source, message, "Select _ends, and group by it: _ends as ends.");
  }
  for (const name of session.by) {
    const column = shape.columns.find((one) => one.name === name);
    if (column !== undefined && column !== begins && column !== ends && hasEquality(parseType(column.storeType)))
      continue;
    const names = shape.columns.map((one) => one.name).filter((one) => !one.startsWith("_"));
    const nearest = nearestName(name, names);
    const hint = nearest === null ? `The columns are ${shortList(names)}.` : `Did you mean "${nearest}"?`;
    const what = column === undefined ? "which is no column of it" : "whose values cannot be told apart";
    throw invalid(source, `it has sessions of topic "${shape.topic}" by "${name}", ${what}`, hint);
  }
  const { member, form } = shape.watermark ?? { member: "", form: "date-time" };
  const time = shape.columns.find((column) => column.generated === memberSql(member, form));
  if (time !== undefined && isMoment(parseType(time.storeType))) return time.name;
  throw invalid(
    source,
    `it has sessions of topic "${shape.topic}", of whose time "${member}" there is no column`,
    `Let the topic's schema say that it is one: ${member}: { type: "string", format: "date-time" }.`,
  );
}

export interface SessionRows {
  /** The topic itself, without the columns of sessions. */
  readonly mirror: MirrorBinding;
  readonly session: ViewSession;
  readonly time: string;
  /** Columns that are wanted, but for those of sessions. */
  readonly columns: readonly string[];
  /** Which records came too late, over the columns of one. */
  readonly tooLate: string;
  /** Where sessions are to be shown when they are over: how much longer than the gap they wait for events. */
  readonly finalAfterMs: number | null;
}

/** The records with their sessions, as a subquery. */
export function sessionRows({ mirror, session, time, columns, tooLate, finalAfterMs }: SessionRows): string {
  const table = mirrorTable(mirror);
  const at = quote(time);
  const by = session.by.map(quote).join(", ");
  const order = `partition by ${by} order by ${at}, "_partition", "_offset"`;
  const gap = `interval '${session.gapMs} ms'`;
  const read = [...new Set([...columns, ...session.by, time, "_partition", "_offset"])].map(
    (name) => `t.${quote(name)}`,
  );
  const begun = `case when ${at} - lag(${at}) over (${order}) < ${gap} then 0 else 1 end as "_millrace_begun"`;
  // All events of a session are over when its last one is; and which are that, a watermark finds by an index.
  const overAt = `${at} + interval '${session.gapMs + (finalAfterMs ?? 0)} ms'`;
  const watermark = `millrace.watermark(${quoteLiteral(mirror.shape.topic)})`;
  const over =
    finalAfterMs === null
      ? { joined: "", column: "", all: "", where: "" }
      : {
          joined: ` left join (select "_partition", "_offset" from ${table} where ${overAt} <= ${watermark}) o on o."_partition" = t."_partition" and o."_offset" = t."_offset"`,
          column: `, o."_offset" is not null as "_millrace_over"`,
          all: `, bool_and("_millrace_over") over s as "_millrace_over"`,
          where: ` where "_millrace_over"`,
        };
  const records = `select ${read.join(", ")}${over.column} from ${table} t${over.joined} where (${tooLate}) is not true`;
  const marked = `select *, ${begun} from (${records}) r`;
  const numbered = `select *, sum("_millrace_begun") over (${order}) as "_millrace_session" from (${marked}) m`;
  const listed = columns.map(quote).join(", ");
  const told = `min(${at}) over s as "_begins", max(${at}) over s + ${gap} as "_ends"${over.all}`;
  const sessions = `select ${listed}, ${told} from (${numbered}) n window s as (partition by ${by}, "_millrace_session")`;
  return `(select ${listed}, "_begins", "_ends" from (${sessions}) s${over.where})`;
}
