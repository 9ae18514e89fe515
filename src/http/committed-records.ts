/**
 * The records of a read that a read_committed reader sees: control batches and the records of aborted transactions are
 * passed over (KIP-98: an aborted transaction lies between its first offset in the list and its marker).
 */
import type { ReadResult } from "../engine/engine.ts";
import {
  batchAttributes,
  batchBaseOffset,
  batchProducerId,
  isControl,
  isTransactional,
} from "../records/batch-header.ts";
import { BatchRecords, controlKind, offsetAfter } from "../records/batch-records.ts";
import type { StoredRecord } from "../records/record.ts";

/** Hands over records from `offset` on until `take` answers false; answers the offset to read next. */
export function readCommitted(result: ReadResult, offset: number, take: (record: StoredRecord) => boolean): number {
  const aborted = [...result.aborted].sort((a, b) => a.firstOffset - b.firstOffset);
  const open = new Set<number>();
  const records = new BatchRecords();
  let next = offset;
  for (const batch of result.batches) {
    while (aborted[0] && aborted[0].firstOffset <= batchBaseOffset(batch)) open.add(aborted.shift()?.producerId ?? -1);
    const attributes = batchAttributes(batch);
    const producerId = batchProducerId(batch);
    if (isControl(attributes)) {
      if (controlKind(batch) === "abort") open.delete(producerId);
    } else if (!(isTransactional(attributes) && open.has(producerId))) {
      records.open(batch);
      while (records.next()) {
        if (records.offset < next) continue;
        if (!take(records.stored())) return next;
        next = records.offset + 1;
      }
    }
    next = Math.max(next, offsetAfter(batch));
  }
  return next;
}
