/** Batches that are not aborted, in what a read_committed read answers (the consumer's side of KIP-98). */
import { batchAttributes, batchLastOffset, batchProducerId, isControl, isTransactional } from "./batch-header.ts";
import { controlKind } from "./batch-records.ts";

export interface AbortedBatches {
  /** Whole, in offset order, markers included. */
  readonly batches: readonly Buffer[];
  /** Aborted transactions that touch them. */
  readonly aborted: readonly { readonly producerId: number; readonly firstOffset: number }[];
}

/** Without markers, and without what was aborted. */
export function forEachCommittedBatch(result: AbortedBatches, visit: (batch: Buffer) => void): void {
  const aborted = [...result.aborted].sort((a, b) => a.firstOffset - b.firstOffset);
  const abortedNow = new Set<number>();
  let begun = 0;
  for (const batch of result.batches) {
    const attributes = batchAttributes(batch);
    if (isTransactional(attributes)) {
      const lastOffset = batchLastOffset(batch);
      for (let next = aborted[begun]; next && next.firstOffset <= lastOffset; next = aborted[++begun]) {
        abortedNow.add(next.producerId);
      }
      const producerId = batchProducerId(batch);
      if (isControl(attributes)) {
        if (controlKind(batch) === "abort") abortedNow.delete(producerId);
        continue;
      }
      if (abortedNow.has(producerId)) continue;
    }
    visit(batch);
  }
}
