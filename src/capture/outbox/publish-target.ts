/** Where a record that an application published goes, or why it goes nowhere. Pure. */
import type { OutboxRecord } from "../../catalog/outbox-message.ts";
import type { TopicInfo } from "../../engine/engine.ts";
import { partitionOfKey } from "../../records/murmur2.ts";

export type PublishTarget =
  | { readonly kind: "partition"; readonly partition: number }
  /** `reason` is a sentence. */
  | { readonly kind: "refused"; readonly reason: string };

/** A record waits in the log's queue before it is written; a topic that takes no older ones may refuse it by then. */
const ageMsMin = 10 * 60_000;
/** Of a batch with one record, beside key, value and headers. */
const batchOverheadBytes = 160;

/** `turn` chooses the partition of records without a key: all of one transaction go to one. */
export function publishTarget(topic: TopicInfo | undefined, record: OutboxRecord, turn: number): PublishTarget {
  const refused = (reason: string): PublishTarget => ({ kind: "refused", reason });
  const named = `topic "${record.topic.slice(0, 250)}"`;
  if (topic === undefined) return refused(`there is no ${named}`);
  if (topic.readOnly) return refused(`${named} is written by its source, or by Millrace, only`);
  const { partitions, cleanup, batchBytesMax, timestampType, timestampBeforeMaxMs } = topic.settings;
  if (record.key === null && cleanup !== "delete") return refused(`${named} is compacted, and the record has no key`);
  if (sizeOf(record) > batchBytesMax) {
    return refused(`the record takes ${sizeOf(record)} bytes, and ${named} at most ${batchBytesMax}`);
  }
  if (timestampType === "create" && timestampBeforeMaxMs !== null && timestampBeforeMaxMs < ageMsMin) {
    return refused(`${named} takes no records older than ${timestampBeforeMaxMs} ms`);
  }
  const { key } = record;
  return { kind: "partition", partition: key === null ? turn % partitions : partitionOfKey(key, partitions) };
}

function sizeOf({ key, value, headers }: OutboxRecord): number {
  let bytes = batchOverheadBytes + (key?.length ?? 0) + (value?.length ?? 0);
  for (const header of headers) bytes += 16 + Buffer.byteLength(header.key) + (header.value?.length ?? 0);
  return bytes;
}
