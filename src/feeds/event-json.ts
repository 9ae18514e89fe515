/**
 * A record of a topic as JSON text, in the form that `/v1/topics/{topic}/events`, its live feed and `millrace tail`
 * share: `{partition, offset, timestamp, key, value, headers, unread?}`.
 *
 * `timestamp` is in milliseconds since the epoch. A value that is UTF-8 JSON stands as it is (numbers keep their
 * digits), other bytes are `{"base64": …}`, a tombstone is null. A key that is a JSON object or array stands as it is,
 * other UTF-8 is a string. A key or value in the wire format of registry clients is read with its schema
 * (`wire-reader.ts`); one that cannot be read is its bytes, and a member `unread` says why: `{key?, value?}`. Where bytes are
 * asked for key and value are always base64. Headers are an object of strings; one that appears more than once has an array.
 */
import { isUtf8 } from "node:buffer";
import type { StoredRecord } from "../records/record.ts";
import { plainReader, type WireReader } from "../schema/registry/wire-reader.ts";

/** How keys and values stand in the JSON. */
export const eventForms = ["json", "base64"] as const;
export type EventForm = (typeof eventForms)[number];

/** Resolves when the schemas of the records are known, as far as the registry has them. */
export async function knowSchemas(records: readonly StoredRecord[], wire: WireReader): Promise<void> {
  for (const { key, value } of records) {
    const unread = wire.unread(value) ?? wire.unread(key);
    if (unread === null) continue;
    // One reading is enough: what was written has its schema registered before.
    await unread;
    return;
  }
}

export function eventJson(
  partition: number,
  record: StoredRecord,
  wire: WireReader = plainReader,
  form: EventForm = "json",
): string {
  const key = form === "base64" ? bytesJson(record.key) : keyJson(record.key, wire);
  const value = form === "base64" ? bytesJson(record.value) : valueJson(record.value, wire);
  return (
    `{"partition":${partition},"offset":${record.offset},"timestamp":${record.timestamp},` +
    `"key":${key.text},"value":${value.text},"headers":${headersJson(record)}${unreadJson(key, value)}}`
  );
}

interface Told {
  readonly text: string;
  /** Why bytes in the wire format are told as bytes. */
  readonly reason?: string;
}

const none: Told = { text: "null" };

function bytesJson(bytes: Buffer | null): Told {
  return bytes === null ? none : { text: base64Json(bytes) };
}

function valueJson(value: Buffer | null, wire: WireReader): Told {
  if (value === null) return none;
  const told = wireJson(value, wire);
  if (told !== undefined) return told;
  const text = jsonText(value);
  return text === undefined ? bytesJson(value) : { text };
}

function keyJson(key: Buffer | null, wire: WireReader): Told {
  if (key === null) return none;
  const told = wireJson(key, wire);
  if (told !== undefined) return told;
  if (!isUtf8(key)) return bytesJson(key);
  const structured = key[0] === 0x7b || key[0] === 0x5b;
  return { text: (structured ? jsonText(key) : undefined) ?? JSON.stringify(key.toString()) };
}

/** Undefined for bytes that are not in the wire format. */
function wireJson(bytes: Buffer, wire: WireReader): Told | undefined {
  const reading = wire.read(bytes);
  if (reading === null) return undefined;
  if (reading.ok) return { text: onOneLine(reading.json) };
  return { text: base64Json(bytes), reason: reading.reason };
}

function unreadJson(key: Told, value: Told): string {
  if (key.reason === undefined && value.reason === undefined) return "";
  return `,"unread":${JSON.stringify({ key: key.reason, value: value.reason })}`;
}

function headersJson(record: StoredRecord): string {
  const byName = new Map<string, string[]>();
  for (const { key, value } of record.headers) {
    const text = value === null ? "null" : isUtf8(value) ? JSON.stringify(value.toString()) : base64Json(value);
    const all = byName.get(key);
    if (all) all.push(text);
    else byName.set(key, [text]);
  }
  const members = [...byName].map(([name, all]) => {
    return `${JSON.stringify(name)}:${all.length === 1 ? all[0] : `[${all.join(",")}]`}`;
  });
  return `{${members.join(",")}}`;
}

/** The text itself, on one line, when the bytes are UTF-8 JSON; line breaks can only be white space between tokens. */
function jsonText(bytes: Buffer): string | undefined {
  if (!isUtf8(bytes)) return undefined;
  const text = bytes.toString();
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  return onOneLine(text);
}

function onOneLine(json: string): string {
  return /[\r\n]/.test(json) ? json.replace(/[\r\n]+/g, " ") : json;
}

function base64Json(bytes: Buffer): string {
  return `{"base64":"${bytes.toString("base64")}"}`;
}
