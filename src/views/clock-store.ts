/**
 * The group's clock in the store: the moment that temporal filters compare with. It moves only in the transaction of a
 * batch, so that in every snapshot of the store views equal their queries at the clock that the snapshot shows.
 *
 * Always true: it never goes back. `before` is where it stood before the last batch that moved it.
 */
import type { Client } from "pg";
import type { PipelineStatement } from "./applier-pipeline.ts";
import { moveWatermarks, type WatermarkMove } from "./watermark-store.ts";

/** What compiled SQL asks: of the one group that the database is of. */
export const clockSchema: readonly string[] = [
  'create table if not exists millrace.clock ("group" text primary key, at timestamptz not null, before timestamptz not null) with (fillfactor = 30)',
  ...[
    ["now", "at"],
    ["now_before", "before"],
  ].map(
    ([name, column]) =>
      `create or replace function millrace.${name}() returns timestamptz language sql stable parallel safe ` +
      `as $$ select ${column} from millrace.clock $$`,
  ),
];

/** A moment that the clock is to go to. */
export interface ClockMove {
  /** ISO 8601. */
  readonly to: string;
  /** After a long stop: many rows may come and go at once. */
  readonly far: boolean;
}

/** Where clocks go with a batch. */
export interface ClockMoves {
  /** Null where the group's own stays. */
  readonly now: ClockMove | null;
  readonly watermarks: readonly WatermarkMove[];
}

export const noMoves: ClockMoves = { now: null, watermarks: [] };

/** The clock as it stands, in milliseconds; in a new store it begins at `nowMs`. */
export async function startClock(client: Client, group: string, nowMs: number): Promise<number> {
  await client.query(
    'insert into millrace.clock ("group", at, before) values ($1, $2, $2) on conflict ("group") do nothing',
    [group, new Date(nowMs).toISOString()],
  );
  const { rows } = await client.query<{ ms: number }>(
    'select (extract(epoch from at) * 1000)::float8 as ms from millrace.clock where "group" = $1',
    [group],
  );
  return rows[0]?.ms ?? nowMs;
}

/** Nothing where no clock moves. */
export function moveClocks(group: string, { now, watermarks }: ClockMoves): PipelineStatement[] {
  if (now === null && watermarks.length === 0) return [];
  return [...(now === null ? [] : [moveClock(group, now)]), moveWatermarks(watermarks, now === null)];
}

function moveClock(group: string, { to }: ClockMove): PipelineStatement {
  return {
    sql: 'update millrace.clock set before = at, at = greatest(at, $2::timestamptz) where "group" = $1',
    values: [group, to],
    owner: "bookkeeping",
  };
}
