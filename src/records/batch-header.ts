/**
 * The header of a record batch v2 (KIP-98): 61 bytes, read and patched in place. The checksum covers `attributes` to
 * the end, so base offset and leader epoch can be changed without it; producer fields cannot.
 */
import { crc32c } from "./crc32c.ts";
import { crc32cShift } from "./crc32c-shift.ts";
import { readInt64, writeInt64 } from "./int64.ts";

export const batchHeaderBytes = 61;
/** `batchLength` counts from behind itself. */
export const batchLengthOverheadBytes = 12;

export const batchField = {
  baseOffset: 0,
  batchLength: 8,
  leaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  recordCount: 57,
} as const;

export const attributeMask = {
  codec: 0x07,
  logAppendTime: 0x08,
  transactional: 0x10,
  control: 0x20,
  /** `baseTimestamp` is the time from which compaction may drop the batch's tombstones or marker (KIP-534). */
  deleteHorizon: 0x40,
} as const;

/** All of the header as values; for paths where one field is enough there are the functions below. */
export interface BatchHeader {
  readonly baseOffset: number;
  readonly lastOffset: number;
  /** Whole batch, header included. */
  readonly sizeBytes: number;
  readonly leaderEpoch: number;
  readonly attributes: number;
  readonly baseTimestamp: number;
  readonly maxTimestamp: number;
  /** -1 when there is no producer. */
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly recordCount: number;
}

/** `bytes` must hold a whole header from `position`; nothing is checked. */
export function readBatchHeader(bytes: Buffer, position = 0): BatchHeader {
  const baseOffset = readInt64(bytes, position);
  return {
    baseOffset,
    lastOffset: baseOffset + bytes.readInt32BE(position + batchField.lastOffsetDelta),
    sizeBytes: batchSizeBytes(bytes, position),
    leaderEpoch: bytes.readInt32BE(position + batchField.leaderEpoch),
    attributes: batchAttributes(bytes, position),
    baseTimestamp: readInt64(bytes, position + batchField.baseTimestamp),
    maxTimestamp: batchMaxTimestamp(bytes, position),
    producerId: batchProducerId(bytes, position),
    producerEpoch: bytes.readInt16BE(position + batchField.producerEpoch),
    baseSequence: bytes.readInt32BE(position + batchField.baseSequence),
    recordCount: bytes.readInt32BE(position + batchField.recordCount),
  };
}

export function batchBaseOffset(bytes: Buffer, position = 0): number {
  return readInt64(bytes, position);
}

export function batchLastOffset(bytes: Buffer, position = 0): number {
  return readInt64(bytes, position) + bytes.readInt32BE(position + batchField.lastOffsetDelta);
}

export function batchSizeBytes(bytes: Buffer, position = 0): number {
  return bytes.readInt32BE(position + batchField.batchLength) + batchLengthOverheadBytes;
}

export function batchAttributes(bytes: Buffer, position = 0): number {
  return bytes.readInt16BE(position + batchField.attributes);
}

/** As it stands in the attributes; `codec` in `compression.ts`. */
export function batchCodec(bytes: Buffer, position = 0): number {
  return batchAttributes(bytes, position) & attributeMask.codec;
}

/** When compaction may drop the tombstones of the batch, or the marker that it is; undefined when it has no such time yet. */
export function batchDeleteHorizonMs(bytes: Buffer, position = 0): number | undefined {
  if ((batchAttributes(bytes, position) & attributeMask.deleteHorizon) === 0) return undefined;
  return readInt64(bytes, position + batchField.baseTimestamp);
}

export function batchMaxTimestamp(bytes: Buffer, position = 0): number {
  return readInt64(bytes, position + batchField.maxTimestamp);
}

export function batchProducerId(bytes: Buffer, position = 0): number {
  return readInt64(bytes, position + batchField.producerId);
}

export function isTransactional(attributes: number): boolean {
  return (attributes & attributeMask.transactional) !== 0;
}

export function isControl(attributes: number): boolean {
  return (attributes & attributeMask.control) !== 0;
}

/** What the log gives a batch when it takes it. The checksum stays right. */
export function placeBatch(bytes: Buffer, baseOffset: number, leaderEpoch: number): void {
  writeInt64(bytes, batchField.baseOffset, baseOffset);
  bytes.writeInt32BE(leaderEpoch, batchField.leaderEpoch);
}

/** Makes it a batch of this producer's open transaction. The checksum follows, as with `carryChecksum`. */
export function stampTransaction(bytes: Buffer, producerId: number, producerEpoch: number, baseSequence: number): void {
  const before = headerChecksum(bytes);
  bytes.writeInt16BE(batchAttributes(bytes) | attributeMask.transactional, batchField.attributes);
  writeInt64(bytes, batchField.producerId, producerId);
  bytes.writeInt16BE(producerEpoch, batchField.producerEpoch);
  bytes.writeInt32BE(baseSequence, batchField.baseSequence);
  carryChecksum(bytes, before);
}

/** `bytes` is exactly one batch. */
export function writeBatchChecksum(bytes: Buffer): void {
  bytes.writeUInt32BE(crc32c(bytes.subarray(batchField.attributes)), batchField.crc);
}

/** Of the part of the header that the checksum covers; for `carryChecksum`. */
export function headerChecksum(bytes: Buffer): number {
  return crc32c(bytes.subarray(batchField.attributes, batchHeaderBytes));
}

/**
 * The checksum after fields of the header were changed; `before` is `headerChecksum` from before that. What it says of the
 * records stays what it was, without looking at them: a batch that was damaged is so still. `bytes` is exactly one batch.
 */
export function carryChecksum(bytes: Buffer, before: number): void {
  const change = crc32cShift(before ^ headerChecksum(bytes), bytes.length - batchHeaderBytes);
  bytes.writeUInt32BE((bytes.readUInt32BE(batchField.crc) ^ change) >>> 0, batchField.crc);
}

export function hasRightChecksum(batch: Buffer): boolean {
  return crc32c(batch.subarray(batchField.attributes)) === batch.readUInt32BE(batchField.crc);
}
