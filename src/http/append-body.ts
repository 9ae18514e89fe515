/** The body of an append, and the events in it. */
import { MillraceError } from "../base/errors.ts";
import { type EventInput, parseEventLines, parseEvents } from "./event-input.ts";
import { queryInteger } from "./parameters.ts";
import { mediaTypeOf, textOf } from "./request-body.ts";
import type { Call } from "./route.ts";

/** What a request says beside its body. */
export interface AppendHead {
  readonly type: string;
  /** Of octet streams. */
  readonly key: string | null;
  readonly partition: number | undefined;
}

const partitionsMax = 2 ** 31 - 1;

/** Throws `MEDIA_TYPE_UNSUPPORTED`, `REQUEST_INVALID`. */
export function appendHeadOf(call: Call): AppendHead {
  const type = mediaTypeOf(call.headers["content-type"]);
  const partition = queryInteger(call.query, "partition", { min: 0, max: partitionsMax });
  const header = call.headers["millrace-key"];
  const key = (Array.isArray(header) ? header[0] : header) ?? null;
  if (type === "application/octet-stream") return { type, key, partition };
  if (partition !== undefined || key !== null) {
    throw new MillraceError("REQUEST_INVALID", "partition= and Millrace-Key are for application/octet-stream", {
      hint: 'Here they are members of the event: {"value": …, "key": "…", "partition": 0}.',
    });
  }
  if (type === "application/json" || isLines({ type })) return { type, key, partition };
  throw unsupported(type, "application/json, application/x-ndjson or application/octet-stream");
}

export function isLines({ type }: Pick<AppendHead, "type">): boolean {
  return /^application\/(x-)?(ndjson|jsonl|json-lines)$/.test(type);
}

/** At least one. Throws `REQUEST_INVALID`, `RECORD_INVALID`. */
export function eventsOf({ type, key, partition }: AppendHead, body: Buffer): EventInput[] {
  if (type === "application/octet-stream") {
    // Node reads header bytes as latin1, so that this gives back the bytes that were sent.
    return [{ value: body, key: key === null ? null : Buffer.from(key, "latin1"), partition }];
  }
  const text = textOf(body);
  const events = type === "application/json" ? parseEvents(text) : parseEventLines(text);
  if (events.length > 0) return events;
  throw new MillraceError("REQUEST_INVALID", "there is no event in the body");
}

export function unsupported(type: string, wanted: string): MillraceError {
  const got = type === "" ? "a body without Content-Type" : JSON.stringify(type.slice(0, 80));
  return new MillraceError("MEDIA_TYPE_UNSUPPORTED", `${got} is not read here`, { hint: `Send ${wanted}.` });
}
