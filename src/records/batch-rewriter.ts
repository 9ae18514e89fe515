/**
 * Makes a batch of some of another batch's records, as compaction needs it. All that identifies the batch stays: offsets,
 * leader epoch, the producer's fields, attributes with the codec, the largest timestamp (no record of it is later).
 *
 * A record's bytes name its offset and time relative to the batch, so kept records are copied as they are; only a new delete
 * horizon moves the base of the times, and their deltas are then written anew (KIP-534).
 */
import {
  attributeMask,
  batchAttributes,
  batchField,
  batchHeaderBytes,
  batchLengthOverheadBytes,
  writeBatchChecksum,
} from "./batch-header.ts";
import { BatchRecords } from "./batch-records.ts";
import { compressRecords } from "./compression.ts";
import { readInt64, writeInt64 } from "./int64.ts";
import { VarintReader, varintBytes, writeVarint } from "./varint.ts";

/** A time's delta takes at most 8 bytes where it took 1, and the record's length then 1 more. */
const deltaGrowthBytesMax = 8;

export class BatchRewriter {
  /** Those of the batch that is open; the caller moves it on. */
  readonly records = new BatchRecords();
  #batch: Buffer = Buffer.alloc(0);
  /** Start and end of each run of kept records, in `records.bytes`. */
  #runs = new Int32Array(64);
  #runsEnd = 0;
  #keptBytes = 0;
  #keptCount = 0;
  readonly #reader = new VarintReader(this.#batch);

  /** Throws as `BatchRecords.open`. One rewriter goes through many batches. */
  open(batch: Buffer, recordsBytesMax?: number): this {
    this.records.open(batch, recordsBytesMax);
    this.#batch = batch;
    this.#runsEnd = 0;
    this.#keptBytes = 0;
    this.#keptCount = 0;
    return this;
  }

  get keptCount(): number {
    return this.#keptCount;
  }

  /** Keeps the record that `records` stands at; once for each, in their order. */
  keep(): void {
    const { recordStart, recordEnd } = this.records;
    this.#keptCount++;
    this.#keptBytes += recordEnd - recordStart;
    if (this.#runsEnd > 0 && this.#runs[this.#runsEnd - 1] === recordStart) {
      this.#runs[this.#runsEnd - 1] = recordEnd;
      return;
    }
    if (this.#runsEnd === this.#runs.length) {
      const larger = new Int32Array(this.#runs.length * 2);
      larger.set(this.#runs);
      this.#runs = larger;
    }
    this.#runs[this.#runsEnd++] = recordStart;
    this.#runs[this.#runsEnd++] = recordEnd;
  }

  /**
   * The batch of the records that were kept: the very one that was opened where nothing changes, and one without records,
   * which keeps its offsets and its producer's sequence, where none was kept. `deleteHorizonMs` is set unless the batch has one
   * already or is empty.
   */
  finish(deleteHorizonMs?: number): Buffer {
    const attributes = batchAttributes(this.#batch);
    const horizonMs = attributes & attributeMask.deleteHorizon ? undefined : deleteHorizonMs;
    if (this.#keptCount === 0) return this.#empty(attributes);
    if (horizonMs === undefined && this.#keptCount === this.#batch.readInt32BE(batchField.recordCount)) {
      return this.#batch;
    }
    const codecNumber = attributes & attributeMask.codec;
    const roomBytes = this.#keptBytes + (horizonMs === undefined ? 0 : this.#keptCount * deltaGrowthBytesMax);
    let batch: Buffer = Buffer.allocUnsafeSlow(batchHeaderBytes + roomBytes);
    const end = horizonMs === undefined ? this.#copyRuns(batch) : this.#rebaseRuns(batch, horizonMs);
    batch = batch.subarray(0, end);
    if (codecNumber !== 0) {
      const compressed = compressRecords(batch.subarray(batchHeaderBytes), codecNumber);
      batch = Buffer.allocUnsafeSlow(batchHeaderBytes + compressed.length);
      compressed.copy(batch, batchHeaderBytes);
    }
    this.#batch.copy(batch, 0, 0, batchHeaderBytes);
    if (horizonMs !== undefined) {
      batch.writeInt16BE(attributes | attributeMask.deleteHorizon, batchField.attributes);
      writeInt64(batch, batchField.baseTimestamp, horizonMs);
    }
    return this.#sealed(batch);
  }

  /** A header only; it is not compressed, and has no horizon and no base for times. */
  #empty(attributes: number): Buffer {
    const batch = Buffer.allocUnsafeSlow(batchHeaderBytes);
    this.#batch.copy(batch, 0, 0, batchHeaderBytes);
    batch.writeInt16BE(attributes & ~(attributeMask.codec | attributeMask.deleteHorizon), batchField.attributes);
    writeInt64(batch, batchField.baseTimestamp, -1);
    return this.#sealed(batch);
  }

  #copyRuns(batch: Buffer): number {
    let at = batchHeaderBytes;
    for (let run = 0; run < this.#runsEnd; run += 2) {
      at += this.records.bytes.copy(batch, at, this.#runs[run], this.#runs[run + 1]);
    }
    return at;
  }

  /** Each record with its time relative to `horizonMs`; all else as it was. */
  #rebaseRuns(batch: Buffer, horizonMs: number): number {
    const { bytes } = this.records;
    const baseMs = readInt64(this.#batch, batchField.baseTimestamp);
    const reader = this.#reader;
    reader.bytes = bytes;
    let at = batchHeaderBytes;
    for (let run = 0; run < this.#runsEnd; run += 2) {
      reader.position = this.#runs[run] as number;
      const runEnd = this.#runs[run + 1] as number;
      reader.end = runEnd;
      while (reader.position < runEnd) {
        const recordBytes = reader.int();
        const start = reader.position;
        reader.position++;
        // A time so early that its distance is no exact number cannot be one: it comes as near as such a number can.
        const deltaMs = Math.max(Number.MIN_SAFE_INTEGER, baseMs + reader.long() - horizonMs);
        const restStart = reader.position;
        const end = start + recordBytes;
        at = writeVarint(batch, at, 1 + varintBytes(deltaMs) + end - restStart);
        batch[at++] = bytes[start] as number;
        at = writeVarint(batch, at, deltaMs);
        at += bytes.copy(batch, at, restStart, end);
        reader.position = end;
      }
    }
    return at;
  }

  #sealed(batch: Buffer): Buffer {
    batch.writeInt32BE(batch.length - batchLengthOverheadBytes, batchField.batchLength);
    batch.writeInt32BE(this.#keptCount, batchField.recordCount);
    writeBatchChecksum(batch);
    return batch;
  }
}

/** The batch with the records for which `kept` answers true; as `BatchRewriter.finish`. */
export function rebuildBatch(
  batch: Buffer,
  kept: (records: BatchRecords) => boolean,
  deleteHorizonMs?: number,
): Buffer {
  const rewriter = new BatchRewriter().open(batch);
  while (rewriter.records.next()) if (kept(rewriter.records)) rewriter.keep();
  return rewriter.finish(deleteHorizonMs);
}
