/**
 * Whether an event of the vendor's list is the one that was kept: by value, so that spaces and the order of members do
 * not count, or by what the definition says has to be the same.
 */
import { hash as hashOf } from "node:crypto";
import type { WebhookFunction, WebhookRequest } from "../../../catalog/definitions.ts";
import type { Engine } from "../../../engine/engine.ts";
import { forEachCommittedRecord, nextOffsetOf } from "../../../engine/records.ts";
import type { BatchRecords } from "../../../records/batch-records.ts";
import { readValue } from "../hook-event.ts";
import type { IdPlace } from "../id-table.ts";

export interface Comparable {
  readonly headers: WebhookRequest["headers"];
  readonly body: Buffer;
}

/** Of what has to be the same, in hex; undefined when the function of the definition failed. */
export function contentDigest(
  { headers, body }: Comparable,
  compare: WebhookFunction<unknown> | undefined,
  nowMs: number,
): string | undefined {
  const mediaType = (headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const value = readValue(mediaType, body)();
  try {
    if (!compare) return digest(value === undefined ? body : canonicalJson(value));
    const chosen = compare(value, { method: "POST", search: "", headers, body, nowMs });
    return digest(canonicalJson(chosen ?? null));
  } catch {
    return undefined;
  }
}

/** JSON whose members stand in the order of their names, so that equal values have equal texts. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_name, member: unknown) => {
    if (typeof member !== "object" || member === null || Array.isArray(member)) return member;
    return Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

function digest(content: string | Buffer): string {
  return hashOf("sha256", content, "hex");
}

const readBytesMax = 256 * 1024;

/**
 * What `digestOf` makes of the events at these places, by `partition/offset`; those that are gone by now are absent. One
 * event is held at a time.
 */
export async function digestsOfKept(
  engine: Engine,
  topic: string,
  places: readonly IdPlace[],
  digestOf: (kept: Comparable) => string | undefined,
): Promise<Map<string, string | undefined>> {
  const found = new Map<string, string | undefined>();
  const wanted = new Set(places.map(placeName));
  const inOrder = [...places].sort((a, b) => a.partition - b.partition || a.offset - b.offset);
  let read = { partition: -1, nextOffset: 0 };
  for (const { partition, offset } of inOrder) {
    if (partition === read.partition && offset < read.nextOffset) continue;
    const { logStart } = await engine.offsets(topic, partition);
    if (offset < logStart) continue;
    const result = await engine.read({ topic, partition, offset, isolation: "read_committed", bytesMax: readBytesMax });
    forEachCommittedRecord(result, offset, (record) => {
      const name = placeName({ partition, offset: record.offset });
      if (wanted.has(name)) found.set(name, digestOf(comparableOf(record)));
    });
    read = { partition, nextOffset: nextOffsetOf(result, offset) };
  }
  return found;
}

/** The body is a view of the batch's bytes. */
function comparableOf({ headers, value }: BatchRecords): Comparable {
  const texts = headers.map(({ key, value: bytes }) => [key, bytes?.toString("latin1") ?? ""]);
  return { headers: Object.fromEntries(texts), body: value ?? Buffer.alloc(0) };
}

export function placeName({ partition, offset }: IdPlace): string {
  return `${partition}/${offset}`;
}
