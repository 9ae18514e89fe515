/**
 * Builds one record batch v2 (KIP-98) straight into a buffer that grows. One builder makes many batches:
 * `finish` hands out the bytes and begins the next one.
 *
 * Timestamps are written relative to the first record's. Base offset and leader epoch are left 0 for the log to fill in.
 */

import { copyBytes } from "../base/copy-bytes.ts";
import {
  attributeMask,
  batchField,
  batchHeaderBytes,
  batchLengthOverheadBytes,
  writeBatchChecksum,
} from "./batch-header.ts";
import { compressRecords } from "./compression.ts";
import { writeInt64 } from "./int64.ts";
import type { Header, JoinedRecord, NewRecord } from "./record.ts";
import { varintBytes, writeVarint } from "./varint.ts";

/** Length, attributes, timestamp and offset deltas, the lengths of key and value, the count of headers. */
const recordOverheadBytesMax = 5 + 1 + 10 + 5 + 5 + 5 + 5;
const noHeaders: readonly Header[] = [];

export class BatchBuilder {
  #bytes: Buffer;
  #end = batchHeaderBytes;
  #count = 0;
  #baseTimestamp = 0;
  #maxTimestamp = 0;

  /** `capacityBytes` is what the first buffer holds; it grows as needed. */
  constructor(capacityBytes = 16 * 1024) {
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(capacityBytes, batchHeaderBytes));
  }

  get recordCount(): number {
    return this.#count;
  }

  /** Of the batch so far, header included, not compressed. */
  get sizeBytes(): number {
    return this.#end;
  }

  add(
    key: Uint8Array | null,
    value: Uint8Array | null,
    timestampMs: number,
    headers: readonly Header[] = noHeaders,
  ): void {
    let at = this.#begin(key ? key.length : -1, value ? value.length : -1, timestampMs, headers);
    const bytes = this.#bytes;
    at = writeNullable(bytes, at, key);
    at = writeNullable(bytes, at, value);
    this.#finishRecord(at, headers);
  }

  /** The same for a record that lies in one piece: no object is made for its parts. */
  addJoined(record: JoinedRecord, timestampMs: number, headers: readonly Header[] = noHeaders): void {
    const { bytes: from, keyBytes, valueBytes } = record;
    let at = this.#begin(keyBytes, valueBytes, timestampMs, headers);
    const bytes = this.#bytes;
    at = writeVarint(bytes, at, keyBytes);
    const valueStart = Math.max(0, keyBytes);
    copyBytes(from, 0, valueStart, bytes, at);
    at = writeVarint(bytes, at + valueStart, valueBytes);
    copyBytes(from, valueStart, valueStart + valueBytes, bytes, at);
    this.#finishRecord(at + valueBytes, headers);
  }

  /** Makes room, and writes all that stands before the key; answers where that ends. Lengths are -1 for null. */
  #begin(keyBytes: number, valueBytes: number, timestampMs: number, headers: readonly Header[]): number {
    if (this.#count === 0) this.#baseTimestamp = this.#maxTimestamp = timestampMs;
    else if (timestampMs > this.#maxTimestamp) this.#maxTimestamp = timestampMs;
    const timestampDelta = timestampMs - this.#baseTimestamp;
    const offsetDelta = this.#count++;
    let bodyBytes = 1 + varintBytes(timestampDelta) + varintBytes(offsetDelta);
    bodyBytes += varintBytes(keyBytes) + Math.max(0, keyBytes);
    bodyBytes += varintBytes(valueBytes) + Math.max(0, valueBytes);
    bodyBytes += varintBytes(headers.length);
    for (const header of headers) bodyBytes += headerBytes(header);
    const bytes = this.#room(bodyBytes + recordOverheadBytesMax);
    let at = writeVarint(bytes, this.#end, bodyBytes);
    bytes[at++] = 0;
    at = writeVarint(bytes, at, timestampDelta);
    return writeVarint(bytes, at, offsetDelta);
  }

  #finishRecord(position: number, headers: readonly Header[]): void {
    const bytes = this.#bytes;
    let at = writeVarint(bytes, position, headers.length);
    for (const header of headers) {
      at = writeVarint(bytes, at, Buffer.byteLength(header.key));
      at += bytes.write(header.key, at);
      at = writeNullable(bytes, at, header.value);
    }
    this.#end = at;
  }

  /**
   * The batch, whole, with its checksum; the caller owns it. There must be at least one record. A codec in the attributes
   * (`codec` in `compression.ts`) compresses the records.
   */
  finish(attributes = 0): Buffer {
    const codecNumber = attributes & attributeMask.codec;
    const batch = codecNumber === 0 ? this.#bytes.subarray(0, this.#end) : this.#compressed(codecNumber);
    batch.fill(0, 0, batchHeaderBytes);
    batch.writeInt32BE(batch.length - batchLengthOverheadBytes, batchField.batchLength);
    batch[batchField.magic] = 2;
    batch.writeInt16BE(attributes, batchField.attributes);
    batch.writeInt32BE(this.#count - 1, batchField.lastOffsetDelta);
    writeInt64(batch, batchField.baseTimestamp, this.#baseTimestamp);
    writeInt64(batch, batchField.maxTimestamp, this.#maxTimestamp);
    writeInt64(batch, batchField.producerId, -1);
    batch.writeInt16BE(-1, batchField.producerEpoch);
    batch.writeInt32BE(-1, batchField.baseSequence);
    batch.writeInt32BE(this.#count, batchField.recordCount);
    writeBatchChecksum(batch);
    // The next batch is likely to be about as large; what is handed out must not be written again.
    if (codecNumber === 0) this.#bytes = Buffer.allocUnsafeSlow(Math.max(1024, this.#end + (this.#end >> 3)));
    this.#end = batchHeaderBytes;
    this.#count = 0;
    return batch;
  }

  /** Room for the header, and the records. */
  #compressed(codecNumber: number): Buffer {
    const records = compressRecords(this.#bytes.subarray(batchHeaderBytes, this.#end), codecNumber);
    const batch = Buffer.allocUnsafeSlow(batchHeaderBytes + records.length);
    records.copy(batch, batchHeaderBytes);
    return batch;
  }

  #room(moreBytes: number): Buffer {
    const needed = this.#end + moreBytes;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, this.#end);
      this.#bytes = larger;
    }
    return this.#bytes;
  }
}

/** One batch of these records; `nowMs` is the time of those that have none, `attributes` are as for `finish`. */
export function encodeBatch(records: readonly NewRecord[], nowMs: number, attributes = 0): Buffer {
  const builder = new BatchBuilder(batchHeaderBytes + estimatedBytes(records));
  for (const record of records) builder.add(record.key, record.value, record.timestamp ?? nowMs, record.headers);
  return builder.finish(attributes);
}

export type ControlKind = "abort" | "commit";

/** The marker that ends a transaction in one partition (KIP-98): one record, key (version, type), value (version, coordinator epoch). */
export function encodeControlBatch(
  kind: ControlKind,
  producer: { readonly producerId: number; readonly epoch: number },
  nowMs: number,
): Buffer {
  const builder = new BatchBuilder(128);
  const key = Buffer.from([0, 0, 0, kind === "commit" ? 1 : 0]);
  builder.add(key, Buffer.alloc(6), nowMs);
  const batch = builder.finish(attributeMask.transactional | attributeMask.control);
  writeInt64(batch, batchField.producerId, producer.producerId);
  batch.writeInt16BE(producer.epoch, batchField.producerEpoch);
  writeBatchChecksum(batch);
  return batch;
}

function estimatedBytes(records: readonly NewRecord[]): number {
  let bytes = 0;
  for (const { key, value, headers } of records) {
    bytes += recordOverheadBytesMax + (key?.length ?? 0) + (value?.length ?? 0);
    for (const header of headers ?? noHeaders) bytes += headerBytes(header);
  }
  return bytes;
}

function headerBytes(header: Header): number {
  const keyBytes = Buffer.byteLength(header.key);
  const value = header.value;
  return varintBytes(keyBytes) + keyBytes + (value ? varintBytes(value.length) + value.length : 1);
}

function writeNullable(bytes: Buffer, position: number, value: Uint8Array | null): number {
  if (!value) return writeVarint(bytes, position, -1);
  const at = writeVarint(bytes, position, value.length);
  bytes.set(value, at);
  return at + value.length;
}
