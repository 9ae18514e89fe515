/**
 * The records of a batch, one after the other. `BatchRecords` allocates nothing per record: its fields show the record
 * that `next` moved to, and keys and values are views of the batch's bytes, made when asked for.
 *
 * A form that is wrong throws `BATCH_CORRUPT`; the checksum is not checked here. Compressed batches are not read
 * (`RECORD_INVALID`): the log does not take them.
 */
import { MillraceError } from "../base/errors.ts";
import type { ControlKind } from "./batch-builder.ts";
import { attributeMask, batchAttributes, batchField, batchHeaderBytes, batchLastOffset } from "./batch-header.ts";
import { readInt64 } from "./int64.ts";
import type { Header, StoredRecord } from "./record.ts";
import { VarintReader } from "./varint.ts";

const noHeaders: readonly Header[] = [];

export class BatchRecords {
  offset = -1;
  timestamp = 0;
  #batch: Buffer = Buffer.alloc(0);
  readonly #reader = new VarintReader(this.#batch);
  #baseOffset = 0;
  #baseTimestamp = 0;
  #lastDelta = 0;
  #remaining = 0;
  #keyStart = 0;
  #keyBytes = -1;
  #valueStart = 0;
  #valueBytes = -1;
  #headerCount = 0;
  #headersStart = 0;
  #recordEnd = 0;

  /** Before the first record of the batch. The same object can read one batch after another. */
  open(batch: Buffer): this {
    const codec = batchAttributes(batch) & attributeMask.codec;
    if (codec !== 0) throw new MillraceError("RECORD_INVALID", `record batches of codec ${codec} are not read yet`);
    this.#batch = batch;
    this.#reader.bytes = batch;
    this.#reader.position = batchHeaderBytes;
    this.#reader.end = batch.length;
    this.#reader.failed = false;
    this.#baseOffset = readInt64(batch, batchField.baseOffset);
    this.#baseTimestamp = readInt64(batch, batchField.baseTimestamp);
    this.#lastDelta = batch.readInt32BE(batchField.lastOffsetDelta);
    this.#remaining = batch.readInt32BE(batchField.recordCount);
    this.#recordEnd = batchHeaderBytes;
    return this;
  }

  /** False behind the last record. Throws `BATCH_CORRUPT`. */
  next(): boolean {
    const reader = this.#reader;
    if (this.#remaining <= 0) {
      if (this.#recordEnd !== this.#batch.length) this.#corrupt("bytes behind its last record");
      return false;
    }
    this.#remaining--;
    reader.position = this.#recordEnd;
    reader.end = this.#batch.length;
    const recordBytes = reader.int();
    const end = reader.position + recordBytes;
    if (reader.failed || recordBytes < 1 || end > this.#batch.length) this.#corrupt("a record's length");
    reader.end = end;
    reader.position++;
    this.timestamp = this.#baseTimestamp + reader.long();
    const offsetDelta = reader.int();
    this.offset = this.#baseOffset + offsetDelta;
    this.#keyBytes = reader.int();
    this.#keyStart = reader.position;
    if (this.#keyBytes > 0) reader.position += this.#keyBytes;
    this.#valueBytes = reader.int();
    this.#valueStart = reader.position;
    if (this.#valueBytes > 0) reader.position += this.#valueBytes;
    this.#headerCount = reader.int();
    this.#headersStart = reader.position;
    const wrong = reader.failed || reader.position > end || this.#keyBytes < -1 || this.#valueBytes < -1;
    if (wrong || this.#headerCount < 0 || this.#headerCount > recordBytes) this.#corrupt("a record's fields");
    if (offsetDelta < 0 || offsetDelta > this.#lastDelta) this.#corrupt("a record's offset");
    if (!Number.isSafeInteger(this.timestamp)) this.#corrupt("a record's timestamp");
    if (this.#headerCount === 0 && reader.position !== end) this.#corrupt("a record's end");
    this.#recordEnd = end;
    return true;
  }

  /** A view of the batch's bytes. */
  get key(): Buffer | null {
    return this.#keyBytes < 0 ? null : this.#batch.subarray(this.#keyStart, this.#keyStart + this.#keyBytes);
  }

  /** A view of the batch's bytes; null is a tombstone. */
  get value(): Buffer | null {
    return this.#valueBytes < 0 ? null : this.#batch.subarray(this.#valueStart, this.#valueStart + this.#valueBytes);
  }

  /** Decoded on each call. Throws `BATCH_CORRUPT`. */
  get headers(): readonly Header[] {
    if (this.#headerCount === 0) return noHeaders;
    const reader = this.#reader;
    reader.position = this.#headersStart;
    reader.end = this.#recordEnd;
    reader.failed = false;
    const headers: Header[] = [];
    for (let i = 0; i < this.#headerCount; i++) {
      const key = this.#bytes(reader.int());
      const value = this.#bytes(reader.int());
      if (!key) this.#corrupt("a header without a name");
      headers.push({ key: key.toString("utf8"), value });
    }
    if (reader.position !== this.#recordEnd) this.#corrupt("a record's headers");
    return headers;
  }

  /** The record as a value of its own; its bytes are views of the batch's. */
  stored(): StoredRecord {
    return {
      offset: this.offset,
      timestamp: this.timestamp,
      key: this.key,
      value: this.value,
      headers: this.headers,
    };
  }

  #bytes(count: number): Buffer | null {
    const reader = this.#reader;
    const start = reader.position;
    if (reader.failed || count < -1 || start + count > this.#recordEnd) this.#corrupt("a header");
    if (count < 0) return null;
    reader.position += count;
    return this.#batch.subarray(start, start + count);
  }

  #corrupt(what: string): never {
    throw new MillraceError("BATCH_CORRUPT", `the record batch at offset ${this.#baseOffset} is damaged: ${what}`, {
      details: { baseOffset: this.#baseOffset },
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
