/**
 * Checks of a record batch that came from outside. Whatever the bytes are, the only failures are `BATCH_CORRUPT`
 * (checksum or form) and those of the limits that the caller asks for. What a topic's settings ask of its records is
 * batch-admission.ts.
 */
import { MillraceError } from "../base/errors.ts";
import {
  attributeMask,
  batchBaseOffset,
  batchField,
  batchHeaderBytes,
  batchLengthOverheadBytes,
  batchSizeBytes,
  hasRightChecksum,
} from "./batch-header.ts";
import { BatchRecords } from "./batch-records.ts";
import { codecMax, unknownCodec } from "./compression.ts";
import { readInt64 } from "./int64.ts";

const countFault = "its count of records cannot be";

/** Larger than any batch that a setting may allow: a length beyond it is damage. */
export const batchBytesLimit = 256 * 1024 * 1024;

/**
 * The header and the checksum; records are not looked into. `batch` must be exactly one batch.
 * Throws `BATCH_CORRUPT`.
 */
export function checkBatch(batch: Buffer): void {
  const fault = headerFault(batch, 0, batch.length);
  if (fault) corrupt(fault);
  if (batchSizeBytes(batch) !== batch.length) corrupt("its length is not that of its bytes");
  if (!hasRightChecksum(batch)) corrupt("its checksum does not match");
}

/**
 * Every record too, also of a compressed batch. Throws `BATCH_CORRUPT`, `RECORD_INVALID` for a codec that is not known,
 * and `RECORD_TOO_LARGE` when compressed records take more than `recordsBytesMax`.
 */
export function checkBatchWhole(batch: Buffer, recordsBytesMax?: number): void {
  checkBatch(batch);
  const records = new BatchRecords().open(batch, recordsBytesMax);
  const end = batchBaseOffset(batch) + batch.readInt32BE(batchField.lastOffsetDelta) + 1;
  // With as many records as offsets they are 0, 1, 2, …; compaction leaves gaps.
  const gaps = batch.readInt32BE(batchField.recordCount) < end - batchBaseOffset(batch);
  let expected = batchBaseOffset(batch);
  while (records.next()) {
    if (records.offset < expected || (records.offset > expected && !gaps)) outOfOrder();
    expected = records.offset + 1;
    void records.headers;
  }
}

/** What is wrong with the header at `position`, where bytes end at `end`; undefined when it can be one. */
export function headerFault(bytes: Buffer, position: number, end: number): string | undefined {
  if (end - position < batchHeaderBytes) return "it is shorter than a header";
  if (bytes[position + batchField.magic] !== 2) return "its format is not version 2";
  const sizeBytes = batchSizeBytes(bytes, position);
  if (sizeBytes < batchHeaderBytes || sizeBytes > batchBytesLimit) return "its length cannot be";
  const recordCount = bytes.readInt32BE(position + batchField.recordCount);
  const lastOffsetDelta = bytes.readInt32BE(position + batchField.lastOffsetDelta);
  if (lastOffsetDelta < 0 || recordCount < 0 || recordCount > lastOffsetDelta + 1) return countFault;
  const baseOffset = readInt64(bytes, position + batchField.baseOffset);
  if (!(baseOffset >= 0) || !Number.isSafeInteger(baseOffset + lastOffsetDelta + 1)) return "its offset cannot be";
  for (const field of [batchField.baseTimestamp, batchField.maxTimestamp, batchField.producerId]) {
    if (Number.isNaN(readInt64(bytes, position + field))) return "a 64-bit field is out of range";
  }
  return undefined;
}

export interface WriterTrust {
  /** The topic is written by this process alone: a transactional batch needs no sequence, so that a coordinator writes for its clients. */
  readonly isOwn?: boolean;
  /**
   * The batch was made in this process: its checksum is believed here, and goes to the disk as it was made, where every reader
   * checks it.
   */
  readonly isMadeHere?: boolean | undefined;
}

/**
 * What the log takes from a writer: a checked batch, not empty, of a codec that is known, no marker, and as many records
 * as offsets. Throws `BATCH_CORRUPT`, `RECORD_TOO_LARGE`, `RECORD_INVALID`.
 */
export function checkAppendable(
  batch: Buffer,
  batchBytesMax: number,
  topic: string,
  { isOwn = false, isMadeHere = false }: WriterTrust = {},
): void {
  if (batch.length > batchBytesMax) throw batchTooLarge(batch.length, batchBytesMax, topic);
  checkBatchOfWriter(batch, topic, isMadeHere);
  const attributes = batch.readInt16BE(batchField.attributes);
  const recordCount = batch.readInt32BE(batchField.recordCount);
  if (attributes & attributeMask.control) refuse(topic, "takes no control batch from a writer");
  if (attributes & attributeMask.deleteHorizon) refuse(topic, "takes no batch with a delete horizon from a writer");
  const hasProducer = readInt64(batch, batchField.producerId) >= 0;
  const isInTransaction = (attributes & attributeMask.transactional) !== 0;
  if (isInTransaction && !hasProducer) {
    refuse(topic, "takes no transactional batch without a producer");
  }
  const baseSequence = batch.readInt32BE(batchField.baseSequence);
  const isNumbered = baseSequence >= 0 || (isOwn && isInTransaction && baseSequence === -1);
  if (hasProducer && !isNumbered) refuse(topic, `takes no batch of a producer with the sequence ${baseSequence}`);
  const codecNumber = attributes & attributeMask.codec;
  if (codecNumber > codecMax) throw unknownCodec(codecNumber);
  const recordsBytesMin = codecNumber === 0 ? recordCount : 1;
  if (batch.length < batchHeaderBytes + recordsBytesMin)
    refuse(topic, "takes no batch that is too short for its records");
}

/**
 * As `checkBatch`. A count that cannot be is told apart from damage: `RECORD_INVALID`, for a client would send a damaged
 * batch again.
 */
function checkBatchOfWriter(batch: Buffer, topic: string, isMadeHere: boolean): void {
  const fault = headerFault(batch, 0, batch.length);
  if (fault && fault !== countFault) corrupt(fault);
  if (batchSizeBytes(batch) !== batch.length) corrupt("its length is not that of its bytes");
  if (!isMadeHere && !hasRightChecksum(batch)) corrupt("its checksum does not match");
  const recordCount = batch.readInt32BE(batchField.recordCount);
  const offsetCount = batch.readInt32BE(batchField.lastOffsetDelta) + 1;
  if (recordCount >= 1 && recordCount === offsetCount) return;
  refuse(topic, `takes no batch of ${recordCount} records for ${offsetCount} offsets`);
}

/** After its records were compressed anew, or as it came. */
export function batchTooLarge(sizeBytes: number, batchBytesMax: number, topic: string): MillraceError {
  return new MillraceError(
    "RECORD_TOO_LARGE",
    `a batch of ${sizeBytes} bytes is larger than the ${batchBytesMax} that topic ${topic} takes`,
    { hint: "Send smaller records, or raise the topic's batchBytesMax.", details: { topic, batchBytesMax } },
  );
}

/** Whole batches of `bytes`, one after the other; the rest is cut. Nothing is checked: for bytes that the log has checked. */
export function splitBatches(bytes: Buffer): Buffer[] {
  const batches: Buffer[] = [];
  for (let at = 0; bytes.length - at >= batchLengthOverheadBytes; ) {
    const sizeBytes = batchSizeBytes(bytes, at);
    if (sizeBytes < batchHeaderBytes || at + sizeBytes > bytes.length) break;
    batches.push(bytes.subarray(at, at + sizeBytes));
    at += sizeBytes;
  }
  return batches;
}

function outOfOrder(): never {
  corrupt("its records are not in the order of their offsets");
}

function refuse(topic: string, why: string): never {
  throw new MillraceError("RECORD_INVALID", `topic ${topic} ${why}`, { details: { topic } });
}

function corrupt(fault: string): never {
  throw new MillraceError("BATCH_CORRUPT", `a record batch is damaged: ${fault}`);
}
