/**
 * A record of a topic as JSON text, in the form that `/v1/topics/{topic}/events`, its live feed and `millrace tail`
 * share: `{partition, offset, timestamp, key, value, headers}`.
 *
 * `timestamp` is in milliseconds since the epoch. A value that is UTF-8 JSON stands as it is (numbers keep their
 * digits), other bytes are `{"base64": …}`, a tombstone is null. A key that is a JSON object or array stands as it is,
 * other UTF-8 is a string. Headers are an object of strings; one that appears more than once has an array.
 */
import { isUtf8 } from "node:buffer";
import type { StoredRecord } from "../records/record.ts";

export function eventJson(partition: number, record: StoredRecord): string {
  return (
    `{"partition":${partition},"offset":${record.offset},"timestamp":${record.timestamp},` +
    `"key":${keyJson(record.key)},"value":${valueJson(record.value)},"headers":${headersJson(record)}}`
  );
}

function valueJson(value: Buffer | null): string {
  if (value === null) return "null";
  return jsonText(value) ?? base64Json(value);
}

function keyJson(key: Buffer | null): string {
  if (key === null) return "null";
  if (!isUtf8(key)) return base64Json(key);
  const structured = key[0] === 0x7b || key[0] === 0x5b;
  return (structured ? jsonText(key) : undefined) ?? JSON.stringify(key.toString());
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
  return /[\r\n]/.test(text) ? text.replace(/[\r\n]+/g, " ") : text;
}

function base64Json(bytes: Buffer): string {
  return `{"base64":"${bytes.toString("base64")}"}`;
}
