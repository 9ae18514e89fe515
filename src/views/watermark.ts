/**
 * Watermarks of topics: how far the times of a partition's events had come when a record was written. Pure.
 *
 * Always true: a record's watermark depends on the records before it in its partition and on nothing else, so that it is
 * the same whenever and however they are read; and it is never later than when one of those was written.
 */
import type { WatermarkRule } from "../schema/table-shape.ts";

/** The latest time of a partition's events so far, in milliseconds; null before the first that has one. Moved on by who reads. */
export interface EventTimes {
  latestMs: number | null;
}

/** Of the record whose value this is: the watermark before it, as a text for the store. It counts for those behind it. */
export function passRecord(
  times: EventTimes,
  rule: WatermarkRule,
  record: { readonly timestamp: number; readonly json: string | null },
): string | null {
  const { latestMs } = times;
  const eventMs = record.json === null ? null : eventTimeMs(record.json, rule);
  // A clock that is ahead must not make everybody else late.
  const countedMs = eventMs === null ? null : Math.min(eventMs, record.timestamp);
  if (countedMs !== null && countedMs > (latestMs ?? Number.NEGATIVE_INFINITY)) times.latestMs = countedMs;
  return latestMs === null ? null : momentText(latestMs - rule.latenessMs);
}

/** To the millisecond; null where there is none. */
function eventTimeMs(json: string, { member, form }: WatermarkRule): number | null {
  const value: unknown = JSON.parse(json);
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, member)) return null;
  const told: unknown = (value as Readonly<Record<string, unknown>>)[member];
  const ms = form === "date-time" ? momentMs(told) : Math.floor(count(told) / (form === "epoch-us" ? 1_000 : 1));
  return Math.abs(ms) <= lastMs ? ms : null;
}

function momentMs(told: unknown): number {
  return typeof told === "string" && moment.test(told) ? Date.parse(told.toUpperCase()) : Number.NaN;
}

function count(told: unknown): number {
  return typeof told === "number" || (typeof told === "string" && /^-?\d{1,20}$/.test(told))
    ? Number(told)
    : Number.NaN;
}

/** RFC 3339, section 5.6. */
const moment = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,20})?([Zz]|[+-]\d\d:\d\d)$/;

/** What JavaScript's dates hold. */
const lastMs = 8_640_000_000_000_000;
/** Before it a year has another form; NULL is before everything. */
const firstMs = Date.UTC(1000, 0, 1);

function momentText(ms: number): string | null {
  return ms < firstMs ? null : new Date(ms).toISOString();
}
