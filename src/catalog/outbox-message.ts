/**
 * What an application writes into its own transaction to have it published (docs/internals/formats/outbox-message.md):
 * the content of a logical message with the prefix `millrace.outbox`, JSON text of version 1.
 *
 * Always true: `decodeOutbox(encodeOutbox(record))` is the record, byte for byte; whatever else the bytes are, the
 * answer is a sentence that says what is wrong with them.
 */
import { MillraceError } from "../base/errors.ts";
import type { Header } from "../records/record.ts";

export const outboxPrefix = "millrace.outbox";

/** Of the content. What a topic takes may be less. */
export const outboxBytesMax = 16 * 1024 * 1024;

export interface OutboxRecord {
  readonly topic: string;
  readonly key: Buffer | null;
  /** Null is a tombstone. */
  readonly value: Buffer | null;
  readonly headers: readonly Header[];
}

type Bytes = string | { readonly base64: string } | null;

/** Throws `RECORD_TOO_LARGE`. */
export function encodeOutbox({ topic, key, value, headers }: OutboxRecord): string {
  const content = JSON.stringify({
    version: 1,
    topic,
    ...(key === null ? {} : { key: printed(key) }),
    value: printed(value),
    ...(headers.length === 0 ? {} : { headers: headers.map((header) => [header.key, printed(header.value)]) }),
  });
  const bytes = Buffer.byteLength(content);
  if (bytes <= outboxBytesMax) return content;
  throw new MillraceError("RECORD_TOO_LARGE", `an event for topic "${topic}" takes ${bytes} bytes in the outbox`, {
    hint: `It takes at most ${outboxBytesMax} bytes: keep large things elsewhere and publish their address.`,
    details: { topic, bytes, outboxBytesMax },
  });
}

/** The record, or a sentence that says why there is none. Never throws. */
export function decodeOutbox(content: Buffer): OutboxRecord | string {
  if (content.length > outboxBytesMax) return `the message has ${content.length} bytes, more than ${outboxBytesMax}`;
  let parsed: unknown;
  try {
    parsed = JSON.parse(utf8.decode(content));
  } catch {
    return "the message is no JSON text";
  }
  if (!isObject(parsed)) return "the message is no JSON object";
  const { version = 1, topic, key = null, value, headers = [] } = parsed;
  if (version !== 1) return `the message is of version ${JSON.stringify(version)?.slice(0, 20)}; 1 is known`;
  const unknown = Object.keys(parsed).find((name) => !members.includes(name));
  if (unknown !== undefined) return `the message has a member ${JSON.stringify(unknown.slice(0, 60))}, which is none`;
  if (typeof topic !== "string" || topic === "") return "the message names no topic";
  const keyBytes = read(key);
  if (keyBytes === undefined) return 'the key is neither text nor {"base64": …}';
  const valueBytes = read(value);
  if (valueBytes === undefined) return 'the value is neither text, {"base64": …} nor null; JSON is written as text';
  const pairs = readHeaders(headers);
  if (pairs === undefined) return "the headers are neither an object nor a list of pairs of names and texts";
  return { topic, key: keyBytes, value: valueBytes, headers: pairs };
}

const members = ["version", "topic", "key", "value", "headers"];
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Text where the bytes are UTF-8, so that the message can be read in the server's log. */
function printed(bytes: Buffer | null): Bytes {
  if (bytes === null) return null;
  try {
    return utf8.decode(bytes);
  } catch {
    return { base64: bytes.toString("base64") };
  }
}

/** Undefined for what is no bytes; half a surrogate pair has none. */
function read(value: unknown): Buffer | null | undefined {
  if (value === null) return null;
  if (typeof value === "string") return value.isWellFormed() ? Buffer.from(value) : undefined;
  if (!isObject(value) || typeof value.base64 !== "string" || Object.keys(value).length !== 1) return undefined;
  const bytes = Buffer.from(value.base64, "base64");
  return bytes.toString("base64") === value.base64 ? bytes : undefined;
}

function readHeaders(headers: unknown): Header[] | undefined {
  const pairs = isObject(headers) ? Object.entries(headers) : headers;
  if (!Array.isArray(pairs)) return undefined;
  const found: Header[] = [];
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string") return undefined;
    const value = read(pair[1]);
    if (value === undefined) return undefined;
    found.push({ key: pair[0], value });
  }
  return found;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
