/**
 * Watermarks of topics: how far the times of a partition's events had come when a record was written. Pure.
 *
 * Always true: a record's watermark depends on the records before it in its partition, and the marks that the log has of it,
 * and on nothing else, so that it is the same whenever and however they are read; and no record brings it past when it was
 * written.
 */
import type { Header } from "../records/record.ts";
import type { WatermarkRule } from "../schema/table-shape.ts";
import { type Mark, markedMs } from "./idle-marks.ts";

/** The header by which a producer says that no event before this moment comes any more: RFC 3339, or milliseconds from 1970. */
export const watermarkHeader = "millrace-watermark";

/** The latest time of a partition's events so far, in milliseconds; null before the first that has one. Moved on by who reads. */
export interface EventTimes {
  latestMs: number | null;
}

export interface PassedRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly headers: readonly Header[];
  /** Its value. */
  readonly json: string | null;
}

/** The watermark before a record, as a text for the store. The record counts for those behind it. */
export function passRecord(
  times: EventTimes,
  rule: WatermarkRule,
  { offset, timestamp, headers, json }: PassedRecord,
  marks: readonly Mark[] = [],
): string | null {
  const marked = markedMs(marks, offset);
  if (marked !== null) raise(times, marked + rule.latenessMs);
  const beforeMs = watermarkMs(times, rule);
  const eventMs = json === null ? null : eventTimeMs(json, rule);
  // A clock that is ahead must not make everybody else late.
  if (eventMs !== null) raise(times, Math.min(eventMs, timestamp));
  const toldMs = toldWatermarkMs(headers);
  if (toldMs !== null) raise(times, Math.min(toldMs, timestamp) + rule.latenessMs);
  return beforeMs === null ? null : new Date(beforeMs).toISOString();
}

/** Behind it a year has another form; a record of then was written by a clock that is broken. */
const lastCountedMs = Date.UTC(9999, 11, 31);

function raise(times: EventTimes, ms: number): void {
  if (ms <= lastCountedMs && ms > (times.latestMs ?? Number.NEGATIVE_INFINITY)) times.latestMs = ms;
}

/** Null before the first event that has a time. */
export function watermarkMs({ latestMs }: EventTimes, { latenessMs }: WatermarkRule): number | null {
  if (latestMs === null) return null;
  const ms = latestMs - latenessMs;
  return ms < firstMs || ms > lastCountedMs ? null : ms;
}

/** The last one counts; what is no moment is passed over. */
function toldWatermarkMs(headers: readonly Header[]): number | null {
  const value = headers.findLast(({ key }) => key === watermarkHeader)?.value ?? null;
  if (value === null || value.length > 64) return null;
  const text = value.toString("latin1");
  const ms = /^-?\d{1,16}$/.test(text) ? Number(text) : momentMs(text);
  return Math.abs(ms) <= lastMs ? ms : null;
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
