/**
 * Decides, batch by batch in offset order from the log's start, what a cleaning keeps of it.
 *
 *   record behind `mappedEnd`             kept
 *   its key has a later one in the map    goes
 *   tombstone                             goes when the batch's delete horizon has passed (KIP-534)
 *   without a key                         goes, and is counted: Kafka's rule for what should never have got in
 *   of an aborted transaction             goes
 *   marker                                goes when no batch of its transaction was met and its horizon has passed
 *
 * A batch that keeps a tombstone, or a marker without data, gets its delete horizon when it has none. A batch that is left
 * without records goes, unless it must stay: a producer's last one, for its sequence, and the last one of the segment that
 * is made, so that a segment ends at the offset where the next begins.
 */
import {
  batchBaseOffset,
  batchDeleteHorizonMs,
  batchField,
  batchLastOffset,
  batchProducerId,
  isControl,
  isTransactional,
} from "../../records/batch-header.ts";
import { BatchRewriter } from "../../records/batch-rewriter.ts";
import type { CleanedTransactions } from "./cleaned-transactions.ts";
import type { OffsetMap } from "./offset-map.ts";
import { RecordLot } from "./record-lot.ts";

export interface FilterOptions {
  readonly map: OffsetMap;
  /** All keys below it are in the map. */
  readonly mappedEnd: number;
  readonly nowMs: number;
  readonly tombstoneRetentionMs: number;
  /** Whether this is the newest batch of the partition by which its producer is known. */
  readonly isLastBatch: (producerId: number, lastOffset: number) => boolean;
}

export interface FilterCounts {
  recordsRead: number;
  recordsKept: number;
  recordsWithoutKey: number;
  tombstonesDropped: number;
  markersDropped: number;
  abortedBatchesDropped: number;
}

export class BatchFilter {
  readonly counts: FilterCounts = {
    recordsRead: 0,
    recordsKept: 0,
    recordsWithoutKey: 0,
    tombstonesDropped: 0,
    markersDropped: 0,
    abortedBatchesDropped: 0,
  };
  readonly #options: FilterOptions;
  readonly #transactions: CleanedTransactions;
  readonly #rewriter = new BatchRewriter();
  readonly #lot: RecordLot;
  /** Of the batch at hand. */
  #horizonPassed = false;
  #keepsTombstone = false;

  constructor(options: FilterOptions, transactions: CleanedTransactions) {
    this.#options = options;
    this.#lot = new RecordLot(options.map);
    this.#transactions = transactions;
  }

  /**
   * The very batch where nothing changes, another one, or undefined when nothing of it is kept. Throws `BATCH_CORRUPT`,
   * `RECORD_INVALID`, `RECORD_TOO_LARGE` for records that cannot be read.
   */
  filter(batch: Buffer, attributes: number, isLastOfSegment: boolean): Buffer | undefined {
    if (batchBaseOffset(batch) >= this.#options.mappedEnd) return batch;
    const producerId = batchProducerId(batch);
    const mustStay =
      isLastOfSegment || (producerId >= 0 && this.#options.isLastBatch(producerId, batchLastOffset(batch)));
    if (isControl(attributes)) return this.#marker(batch, producerId, mustStay);
    const isAborted = isTransactional(attributes) && this.#transactions.data(producerId, batchBaseOffset(batch));
    const recordCount = batch.readInt32BE(batchField.recordCount);
    if (recordCount === 0) return mustStay ? batch : undefined;
    if (isAborted) {
      this.counts.recordsRead += recordCount;
      this.counts.abortedBatchesDropped++;
      return mustStay ? this.#rewriter.open(batch).finish() : undefined;
    }
    return this.#data(batch, mustStay);
  }

  #data(batch: Buffer, mustStay: boolean): Buffer | undefined {
    const { mappedEnd, nowMs, tombstoneRetentionMs } = this.#options;
    const rewriter = this.#rewriter.open(batch);
    const { records } = rewriter;
    const horizonMs = batchDeleteHorizonMs(batch);
    this.#horizonPassed = horizonMs !== undefined && nowMs >= horizonMs;
    this.#keepsTombstone = false;
    const lot = this.#lot;
    lot.clear();
    let count = 0;
    while (records.next()) {
      count++;
      if (records.offset < mappedEnd && records.keyBytes < 0) {
        this.counts.recordsWithoutKey++;
        continue;
      }
      lot.add(records);
      if (lot.isFull) this.#decideLot();
    }
    this.#decideLot();
    this.counts.recordsRead += count;
    this.counts.recordsKept += rewriter.keptCount;
    if (rewriter.keptCount === 0 && !mustStay) return undefined;
    return rewriter.finish(this.#keepsTombstone ? nowMs + tombstoneRetentionMs : undefined);
  }

  #decideLot(): void {
    const { map, mappedEnd } = this.#options;
    const lot = this.#lot;
    const { records } = this.#rewriter;
    const { recordEnd } = records;
    map.fetch();
    for (let i = 0; i < lot.count; i++) {
      const offset = lot.offsets[i] as number;
      const isTombstone = lot.tombstones[i] === 1;
      if (offset < mappedEnd) {
        if (offset < map.get(i)) continue;
        if (isTombstone && this.#horizonPassed) {
          this.counts.tombstonesDropped++;
          continue;
        }
      }
      this.#keepsTombstone ||= isTombstone;
      records.recordStart = lot.starts[i] as number;
      records.recordEnd = lot.ends[i] as number;
      this.#rewriter.keep();
    }
    // Where `records` goes on.
    records.recordEnd = recordEnd;
    lot.clear();
  }

  /** One that must stay is kept whole: what it says of its producer is in its record. */
  #marker(batch: Buffer, producerId: number, mustStay: boolean): Buffer | undefined {
    const { nowMs, tombstoneRetentionMs } = this.#options;
    const rewriter = this.#rewriter.open(batch);
    const { records } = rewriter;
    // Without a record it was emptied elsewhere, and with it went its transaction's data.
    if (!records.next()) return mustStay ? batch : undefined;
    // Kafka has other kinds of control batch, which end no transaction and are of no key.
    const type = records.keyBytes >= 4 ? records.bytes.readInt16BE(records.keyStart + 2) : -1;
    if ((type !== 0 && type !== 1) || this.#transactions.marker(producerId)) return batch;
    const horizonMs = batchDeleteHorizonMs(batch);
    if (horizonMs === undefined) {
      do rewriter.keep();
      while (records.next());
      return rewriter.finish(nowMs + tombstoneRetentionMs);
    }
    if (nowMs < horizonMs || mustStay) return batch;
    this.counts.markersDropped++;
    return undefined;
  }
}
