/**
 * What a cleaning must know of transactions, batch by batch in offset order: which batches belong to aborted ones, and
 * whether a marker's transaction still has a batch in front of it.
 */
import type { AbortedRange } from "../producer-table.ts";

export class CleanedTransactions {
  /** By producer; those of one follow each other. */
  #aborted = new Map<number, AbortedRange[]>();
  /** Producers with a transactional batch since their last marker. */
  readonly #withData = new Set<number>();

  /** Those that have records, or their marker, in the segment that comes next. */
  enterSegment(aborted: readonly AbortedRange[]): void {
    this.#aborted = new Map();
    for (const range of aborted) {
      const ranges = this.#aborted.get(range.producerId);
      if (ranges) ranges.push(range);
      else this.#aborted.set(range.producerId, [range]);
    }
    for (const ranges of this.#aborted.values()) ranges.sort((a, b) => b.lastOffset - a.lastOffset);
  }

  /** A transactional batch of records. True when its transaction was aborted. */
  data(producerId: number, baseOffset: number): boolean {
    this.#withData.add(producerId);
    const ranges = this.#aborted.get(producerId);
    if (!ranges) return false;
    while ((ranges.at(-1)?.lastOffset ?? Number.POSITIVE_INFINITY) < baseOffset) ranges.pop();
    const range = ranges.at(-1);
    return range !== undefined && range.firstOffset <= baseOffset;
  }

  /** A marker. True when a batch of its transaction was there to be read, kept or not. */
  marker(producerId: number): boolean {
    return this.#withData.delete(producerId);
  }
}
