/**
 * Events as they are sent: `{value, key?, headers?, timestamp?, partition?}`, one, an array, or one per line.
 *
 * A value is kept as the JSON text that was sent; `{"base64": "…"}` alone is bytes, null is a tombstone. A key that is
 * a text is its UTF-8, other JSON is its compact text. Headers are texts, null, `{"base64": …}` or arrays of these.
 * This is what reading answers, so that what was read can be sent again.
 * Throws `REQUEST_INVALID` and `RECORD_INVALID`, naming the line or the place in the array.
 */
import { MillraceError } from "../base/errors.ts";
import type { Header, NewRecord } from "../records/record.ts";
import { elementTexts, memberTexts } from "./member-text.ts";
import { nearest } from "./nearest.ts";
import { reasonOf } from "./request-body.ts";

export interface EventInput extends NewRecord {
  readonly partition: number | undefined;
}

const members = ["value", "key", "headers", "timestamp", "partition", "offset", "unread"];
/** 9999-12-31: later ones are mistakes of unit. */
const timestampMax = 253_402_300_799_999;

export function parseEvents(body: string): EventInput[] {
  const parsed = parseJson(body, "the body");
  if (!Array.isArray(parsed)) return [parseEvent(body, parsed, "the event")];
  return elementTexts(body).map((text, i) => parseEvent(text, parsed[i], `event ${i + 1}`));
}

/** Empty lines are passed over. */
export function parseEventLines(body: string): EventInput[] {
  const events: EventInput[] = [];
  body.split("\n").forEach((line, i) => {
    const event = parseEventLine(line, i + 1);
    if (event) events.push(event);
  });
  return events;
}

/** Undefined for an empty line. */
export function parseEventLine(line: string, number: number): EventInput | undefined {
  if (line.trim() === "") return undefined;
  const where = `line ${number}`;
  try {
    return parseEvent(line, parseJson(line, where), where);
  } catch (thrown) {
    const error = MillraceError.from(thrown);
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    throw new MillraceError(error.code, error.message, { ...hint, details: { line: number }, cause: error });
  }
}

function parseEvent(text: string, parsed: unknown, where: string): EventInput {
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw invalid(where, "is no JSON object", 'An event is {"value": …, "key": "…"}; only value is needed.');
  }
  const event = parsed as Readonly<Record<string, unknown>>;
  for (const name of Object.keys(event)) {
    if (members.includes(name)) continue;
    const meant = nearest(name, members);
    throw invalid(
      where,
      `has a member ${JSON.stringify(name.slice(0, 60))}`,
      meant === undefined ? "The event's own data go into value." : `Did you mean ${meant}?`,
    );
  }
  if (!Object.hasOwn(event, "value")) {
    throw invalid(where, "has no value", 'Write {"value": …}; null is a tombstone.');
  }
  const timestamp = parseTimestamp(event.timestamp, where);
  return {
    value: event.value === null ? null : (base64Of(event.value, where) ?? valueBytes(text)),
    key: parseKey(event.key, where),
    headers: parseHeaders(event.headers, where),
    partition: parsePartition(event.partition, where),
    ...(timestamp === undefined ? {} : { timestamp }),
  };
}

function valueBytes(text: string): Buffer {
  return Buffer.from(memberTexts(text).get("value") ?? "null");
}

function parseKey(key: unknown, where: string): Buffer | null {
  if (key === undefined || key === null) return null;
  return typeof key === "string" ? Buffer.from(key) : (base64Of(key, where) ?? Buffer.from(JSON.stringify(key)));
}

function parseHeaders(headers: unknown, where: string): Header[] {
  if (headers === undefined || headers === null) return [];
  if (typeof headers !== "object" || Array.isArray(headers)) {
    throw invalid(where, "has headers that are no object", 'Write {"headers": {"name": "text"}}.');
  }
  return Object.entries(headers).flatMap(([key, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => ({ key, value: parseHeaderValue(key, one, where) })),
  );
}

function parseHeaderValue(name: string, value: unknown, where: string): Buffer | null {
  if (value === null) return null;
  if (typeof value === "string") return Buffer.from(value);
  const bytes = base64Of(value, where);
  if (bytes) return bytes;
  throw invalid(where, `has a header ${JSON.stringify(name.slice(0, 60))} that is no text`, "Headers are texts.");
}

function parseTimestamp(timestamp: unknown, where: string): number | undefined {
  if (timestamp === undefined || timestamp === null) return undefined;
  const ms = typeof timestamp === "string" ? parseTimeMs(timestamp) : timestamp;
  if (typeof ms === "number" && Number.isInteger(ms) && ms >= 0 && ms <= timestampMax) return ms;
  throw invalid(where, `has the timestamp ${JSON.stringify(timestamp).slice(0, 60)}`, "Use milliseconds, or RFC 3339.");
}

function parsePartition(partition: unknown, where: string): number | undefined {
  if (partition === undefined || partition === null) return undefined;
  if (Number.isInteger(partition) && (partition as number) >= 0 && (partition as number) < 2 ** 31) {
    return partition as number;
  }
  throw invalid(where, `has the partition ${JSON.stringify(partition).slice(0, 60)}`, "It is a whole number from 0.");
}

/** RFC 3339 with a zone, as milliseconds; undefined for anything else. */
export function parseTimeMs(text: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d))?$/i.test(text)) return undefined;
  const ms = Date.parse(text.replace(" ", "T"));
  return Number.isNaN(ms) ? undefined : ms;
}

/** The bytes of `{"base64": "…"}`; undefined when the value is anything else. */
function base64Of(value: unknown, where: string): Buffer | undefined {
  if (typeof value !== "object" || value === null || !("base64" in value)) return undefined;
  if (Object.keys(value).length !== 1 || typeof value.base64 !== "string") return undefined;
  const bytes = Buffer.from(value.base64, "base64");
  if (bytes.toString("base64").replace(/=+$/, "") !== value.base64.replace(/=+$/, "")) {
    throw invalid(where, "has base64 that cannot be read", "Use the alphabet A-Z a-z 0-9 + / with = at the end.");
  }
  return bytes;
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new MillraceError("REQUEST_INVALID", `${where} is not JSON: ${reasonOf(cause)}`, { cause });
  }
}

function invalid(where: string, what: string, hint: string): MillraceError {
  return new MillraceError("RECORD_INVALID", `${where} ${what}`, { hint });
}
