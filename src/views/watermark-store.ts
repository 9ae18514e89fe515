/**
 * Watermarks of topics in the store: up to which moment of events all partitions have come. They are clocks of views beside
 * the group's own, and move as that does: in the transaction of a batch, before anything else in it.
 *
 * Always true: one never goes back while its topic is mirrored. `before` is where it stood before the last batch that moved
 * any clock, so that the terms of a view that asks several are right whichever of them moved.
 */
import type { Client } from "pg";
import type { PipelineStatement } from "./applier-pipeline.ts";

/** `millrace.` ones are what compiled SQL asks; `views.watermark` is for people, whose roles see nothing else of it. */
export const watermarkSchema: readonly string[] = [
  "create table if not exists millrace.watermarks (topic text primary key, at timestamptz not null, before timestamptz) with (fillfactor = 30)",
  askWatermark("millrace.watermark", "at", ""),
  askWatermark("millrace.watermark_before", "before", ""),
  askWatermark("views.watermark", "at", "security definer set search_path = pg_catalog "),
];

function askWatermark(name: string, column: "at" | "before", rights: string): string {
  return (
    `create or replace function ${name}(topic text) returns timestamptz language sql stable parallel safe ${rights}` +
    `as $$ select w.${column} from millrace.watermarks w where w.topic = $1 $$`
  );
}

export interface WatermarkMove {
  readonly topic: string;
  readonly toMs: number;
  /** It was not there, or was long before: many rows may come at once. */
  readonly far: boolean;
}

/** In milliseconds, by topic. */
export async function readWatermarks(client: Client): Promise<Map<string, number>> {
  const { rows } = await client.query<{ topic: string; ms: number }>(
    "select topic, (extract(epoch from at) * 1000)::float8 as ms from millrace.watermarks",
  );
  return new Map(rows.map(({ topic, ms }) => [topic, ms]));
}

/** Of clocks that stay where they are it is noted that they did; `nowStays` is whether the group's own is among them. */
export function moveWatermarks(moves: readonly WatermarkMove[], nowStays: boolean): PipelineStatement {
  return {
    sql:
      "with moved as (select topic, at from jsonb_to_recordset($1::jsonb) as m(topic text, at timestamptz)), " +
      "clock as (update millrace.clock set before = at where $2::boolean and before is distinct from at), " +
      "others as (update millrace.watermarks set before = at where before is distinct from at and topic not in (select topic from moved)) " +
      "insert into millrace.watermarks (topic, at) select topic, at from moved " +
      "on conflict (topic) do update set before = watermarks.at, at = greatest(watermarks.at, excluded.at)",
    values: [
      JSON.stringify(moves.map(({ topic, toMs }) => ({ topic, at: new Date(toMs).toISOString() }))),
      String(nowStays),
    ],
    owner: "bookkeeping",
  };
}

/** The topic's mirror goes; what is read again begins without one. */
export function forgetWatermark(topic: string): PipelineStatement {
  return { sql: "delete from millrace.watermarks where topic = $1", values: [topic] };
}
