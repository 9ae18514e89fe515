/**
 * The records of a batch, one after the other. `BatchRecords` allocates nothing per record: its fields show the record
 * that `next` moved to, and keys and values are views of the batch's bytes, made when asked for. Compressed records are
 * decompressed when the batch is opened, into memory of their own, and read there.
 *
 * A form that is wrong throws `BATCH_CORRUPT`; the checksum is not checked here.
 */
import { MillraceError } from "../base/errors.ts";
import type { ControlKind } from "./batch-builder.ts";
import {
  attributeMask,
  batchAttributes,
  batchField,
  batchHeaderBytes,
  batchLastOffset,
  batchMaxTimestamp,
} from "./batch-header.ts";
import { decompressRecords, recordsBytesLimit } from "./compression.ts";
import { readInt64 } from "./int64.ts";
import type { Header, StoredRecord } from "./record.ts";
import { VarintReader } from "./varint.ts";

const noHeaders: readonly Header[] = [];

export class BatchRecords {
  offset = -1;
  timestamp = 0;
  /** The batch, or its decompressed records: what all places below are places of. */
  bytes: Buffer = Buffer.alloc(0);
  /** Where the record begins, with its length, and where the next one does. */
  recordStart = 0;
  recordEnd = 0;
  keyStart = 0;
  /** -1 without a key. */
  keyBytes = -1;
  readonly #reader = new VarintReader(this.bytes);
  #baseOffset = 0;
  #baseTimestamp = 0;
  /** Of all records, where the log gave it; else undefined. */
  #appendTimestamp: number | undefined;
  #lastDelta = 0;
  #remaining = 0;
  #valueStart = 0;
  #valueBytes = -1;
  #headerCount = 0;
  #headersStart = 0;

  /**
   * Before the first record of the batch, whose header was checked. The same object can read one batch after another.
   * Throws `BATCH_CORRUPT`, `RECORD_INVALID` for a codec that is not known, and `RECORD_TOO_LARGE` when compressed
   * records take more than `recordsBytesMax`.
   */
  open(batch: Buffer, recordsBytesMax = recordsBytesLimit): this {
    const attributes = batchAttributes(batch);
    this.#baseOffset = readInt64(batch, batchField.baseOffset);
    this.#baseTimestamp = readInt64(batch, batchField.baseTimestamp);
    this.#appendTimestamp = attributes & attributeMask.logAppendTime ? batchMaxTimestamp(batch) : undefined;
    this.#lastDelta = batch.readInt32BE(batchField.lastOffsetDelta);
    this.#remaining = batch.readInt32BE(batchField.recordCount);
    const codecNumber = attributes & attributeMask.codec;
    // An empty batch has nothing to decompress.
    const plain = codecNumber === 0 || batch.length === batchHeaderBytes;
    this.bytes = plain ? batch : this.#decompressed(batch, codecNumber, recordsBytesMax);
    this.recordStart = this.recordEnd = plain ? batchHeaderBytes : 0;
    this.#reader.bytes = this.bytes;
    this.#reader.failed = false;
    return this;
  }

  /** False behind the last record. Throws `BATCH_CORRUPT`. */
  next(): boolean {
    const reader = this.#reader;
    const bytesEnd = this.bytes.length;
    if (this.#remaining <= 0) {
      if (this.recordEnd !== bytesEnd) this.#corrupt("bytes behind its last record");
      return false;
    }
    this.#remaining--;
    reader.position = this.recordStart = this.recordEnd;
    reader.end = bytesEnd;
    const recordBytes = reader.int();
    const end = reader.position + recordBytes;
    if (reader.failed || recordBytes < 1 || end > bytesEnd) this.#corrupt("a record's length");
    reader.end = end;
    reader.position++;
    const timestamp = this.#baseTimestamp + reader.long();
    this.timestamp = this.#appendTimestamp ?? timestamp;
    const offsetDelta = reader.int();
    this.offset = this.#baseOffset + offsetDelta;
    this.keyBytes = reader.int();
    this.keyStart = reader.position;
    if (this.keyBytes > 0) reader.position += this.keyBytes;
    this.#valueBytes = reader.int();
    this.#valueStart = reader.position;
    if (this.#valueBytes > 0) reader.position += this.#valueBytes;
    this.#headerCount = reader.int();
    this.#headersStart = reader.position;
    const wrong = reader.failed || reader.position > end || this.keyBytes < -1 || this.#valueBytes < -1;
    if (wrong || this.#headerCount < 0 || this.#headerCount > recordBytes) this.#corrupt("a record's fields");
    if (offsetDelta < 0 || offsetDelta > this.#lastDelta) this.#corrupt("a record's offset");
    if (!Number.isSafeInteger(timestamp)) this.#corrupt("a record's timestamp");
    if (this.#headerCount === 0 && reader.position !== end) this.#corrupt("a record's end");
    this.recordEnd = end;
    return true;
  }

  /** A view of `bytes`. */
  get key(): Buffer | null {
    return this.keyBytes < 0 ? null : this.bytes.subarray(this.keyStart, this.keyStart + this.keyBytes);
  }

  /** A view of `bytes`; null is a tombstone. */
  get value(): Buffer | null {
    return this.#valueBytes < 0 ? null : this.bytes.subarray(this.#valueStart, this.#valueStart + this.#valueBytes);
  }

  get isTombstone(): boolean {
    return this.#valueBytes < 0;
  }

  /** Decoded on each call. Throws `BATCH_CORRUPT`. */
  get headers(): readonly Header[] {
    if (this.#headerCount === 0) return noHeaders;
    const reader = this.#reader;
    reader.position = this.#headersStart;
    reader.end = this.recordEnd;
    reader.failed = false;
    const headers: Header[] = [];
    for (let i = 0; i < this.#headerCount; i++) {
      const key = this.#view(reader.int());
      const value = this.#view(reader.int());
      if (!key) this.#corrupt("a header without a name");
      headers.push({ key: key.toString("utf8"), value });
    }
    if (reader.position !== this.recordEnd) this.#corrupt("a record's headers");
    return headers;
  }

  /** The record as a value of its own; its bytes are views of `bytes`. */
  stored(): StoredRecord {
    return {
      offset: this.offset,
      timestamp: this.timestamp,
      key: this.key,
      value: this.value,
      headers: this.headers,
    };
  }

  #view(count: number): Buffer | null {
    const reader = this.#reader;
    const start = reader.position;
    if (reader.failed || count < -1 || start + count > this.recordEnd) this.#corrupt("a header");
    if (count < 0) return null;
    reader.position += count;
    return this.bytes.subarray(start, start + count);
  }

  #decompressed(batch: Buffer, codecNumber: number, recordsBytesMax: number): Buffer {
    try {
      return decompressRecords(batch.subarray(batchHeaderBytes), codecNumber, recordsBytesMax);
    } catch (cause) {
      if (MillraceError.is(cause, "BATCH_CORRUPT")) this.#corrupt(cause.message, cause);
      throw cause;
    }
  }

  #corrupt(what: string, cause?: unknown): never {
    throw new MillraceError("BATCH_CORRUPT", `the record batch at offset ${this.#baseOffset} is damaged: ${what}`, {
      details: { baseOffset: this.#baseOffset },
      cause,
    });
  }
}

/** All records of one batch. */
export function decodeBatch(batch: Buffer): StoredRecord[] {
  const records = new BatchRecords().open(batch);
  const all: StoredRecord[] = [];
  while (records.next()) all.push(records.stored());
  return all;
}

/** What a control batch says; undefined for a kind that is not known. */
export function controlKind(batch: Buffer): ControlKind | undefined {
  const records = new BatchRecords().open(batch);
  const key = records.next() ? records.key : null;
  if (!key || key.length < 4) return undefined;
  const type = key.readInt16BE(2);
  return type === 0 ? "abort" : type === 1 ? "commit" : undefined;
}

/** The offset that a reader asks for after this batch. */
export function offsetAfter(batch: Buffer): number {
  return batchLastOffset(batch) + 1;
}
