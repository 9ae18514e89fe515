/** What the store knows of each history: since when it is complete, and when the view changed last. */
import type { PipelineStatement } from "../applier-pipeline.ts";

/** SQLSTATE by which `millrace.history_reaches` refuses a moment; its message is the view, a space, and since when it is there. */
export const beginsLaterState = "MR001";

/** `since`: from then on no version is missing. `at`: the time of the view's last change, which no later one is before; the epoch where nothing was there yet. */
export const historySchema: readonly string[] = [
  "create table if not exists millrace.histories (view text primary key, since timestamptz not null, at timestamptz not null) with (fillfactor = 30)",
  "create or replace function millrace.history_reaches(of_view text, moment timestamptz) returns boolean language plpgsql stable as $$ " +
    "declare begins timestamptz; begin " +
    "select since into begins from millrace.histories where view = of_view; " +
    "if begins is null or moment < begins then " +
    `raise exception using errcode = '${beginsLaterState}', message = of_view || ' ' || coalesce(to_char(begins at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), ''); ` +
    "end if; return true; end $$",
];

/** The time of the last change of a view, as an SQL expression. */
export function changedAt(view: string): string {
  return `(select at from millrace.histories where view = '${view}')`;
}

/** A time as parameter: within what the store can hold, whoever wrote it. */
export function momentOf(ms: number): string {
  return new Date(Math.min(Math.max(Number.isFinite(ms) ? ms : 0, 0), momentMsMax)).toISOString();
}

const momentMsMax = Date.UTC(9999, 0);

/** `rows` is a select of what the view shows. Where that is nothing, the history begins with the first change. */
export function beginHistory(view: string, atMs: number, rows: string): PipelineStatement {
  return {
    sql:
      "insert into millrace.histories (view, since, at) " +
      `select $1, $2::timestamptz, case when exists (${rows}) then $2::timestamptz else 'epoch' end ` +
      "on conflict (view) do update set since = greatest(excluded.since, histories.at + interval '1 microsecond'), " +
      "at = greatest(excluded.since, histories.at + interval '1 microsecond')",
    values: [view, momentOf(atMs)],
    fresh: true,
  };
}

/** The assignments that move the time of a view's last change to `moment`, an expression. */
export function movedTo(moment: string): string {
  return `at = ${moment}, since = case when at = 'epoch' then least(since, ${moment}) else since end`;
}

export function forgetHistory(view: string): PipelineStatement {
  return { sql: "delete from millrace.histories where view = $1", values: [view], fresh: true };
}
