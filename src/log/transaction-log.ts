/**
 * The records of transactions, as they stand in `_millrace.transactions`: appended, made durable and applied in their order, and
 * read back by a start. What they mean is the coordinator's.
 *
 * Always true: a record is applied when it is durable, in the same turn in which it stops being in flight; all records
 * below `appliedTo` have been applied.
 */
import { batchBaseOffset, batchLastOffset } from "../records/batch-header.ts";
import type { Partition } from "./partition.ts";
import { damaged } from "./segment.ts";
import { decodeTransactionRecords, type StoredTransactionRecord } from "./transaction-records.ts";

const readBytes = 1024 * 1024;

export class TransactionLog {
  readonly #partition: Partition;
  /** Offsets of records whose effect is not yet applied. */
  readonly #inFlight = new Set<number>();

  constructor(partition: Partition) {
    this.#partition = partition;
  }

  get appliedTo(): number {
    return Math.min(this.#partition.nextOffset, ...this.#inFlight);
  }

  get nextOffset(): number {
    return this.#partition.nextOffset;
  }

  /** Small records share the journal's sync with data that was appended before them. */
  get followsJournal(): boolean {
    return this.#partition.followsJournal;
  }

  /** Resolves when the record is durable and applied. */
  async append(batch: Buffer, apply: () => void): Promise<void> {
    const { baseOffset, lastOffset } = this.#partition.append(batch);
    this.#inFlight.add(baseOffset);
    // Never with an earlier record that waits already: the data that it decides over may wait behind that one.
    await this.#partition.behind(baseOffset, lastOffset + 1);
    await this.#partition.durable(lastOffset + 1);
    apply();
    this.#inFlight.delete(baseOffset);
  }

  /** A record without an effect of its own; answers where it ends, at once. It is durable after `stored`. */
  put(batch: Buffer): number {
    return this.#partition.append(batch).lastOffset + 1;
  }

  async stored(end: number): Promise<void> {
    // As a decision: one that comes behind it must not go to the segment along with it.
    await this.#partition.ahead(end);
    await this.#partition.durable(end);
  }

  durable(end: number): Promise<void> {
    return this.#partition.durable(end);
  }

  /** Visits the records from an offset on. Throws `PARTITION_DAMAGED`, `LOG_FORMAT_NEWER`. */
  async readBack(from: number, visit: (stored: StoredTransactionRecord) => void): Promise<void> {
    let offset = Math.max(from, this.#partition.logStart);
    for (;;) {
      const { batches } = await this.#partition.read(offset, false, readBytes);
      if (batches.length === 0) return;
      // Also behind batches in which compaction has left no record.
      offset = batchLastOffset(batches.at(-1) as Buffer) + 1;
      for (const batch of batches) for (const stored of this.#decode(batch)) visit(stored);
    }
  }

  /** Throws `PARTITION_DAMAGED` for a record that is none of ours: a decision must not be passed over. */
  #decode(batch: Buffer): StoredTransactionRecord[] {
    const records = decodeTransactionRecords(batch);
    if (records) return records;
    const { place } = this.#partition;
    throw damaged(
      place,
      place.directory,
      0,
      `the records at offset ${batchBaseOffset(batch)} are not those of transactions`,
    );
  }
}
