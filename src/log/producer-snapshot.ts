/**
 * The producers of one partition as bytes, so that a start reads back only the batches behind a known offset
 * (docs/internals/formats/producer-snapshot.md). It is a help and no truth: without it they are found again by reading
 * the partition from its beginning. Nothing in the bytes is trusted, lengths and counts least.
 */
import { crc32c } from "../records/crc32c.ts";
import { readInt64, writeInt64 } from "../records/int64.ts";
import { newerFormat } from "./checked-file.ts";
import { batchesKept, type KeptBatch, type StoredProducer } from "./producer.ts";
import { ProducerTable } from "./producer-table.ts";

export const producerSnapshotFormat = 1;
const brand = 0x4d4c5250; // "MLRP"
const headerBytes = 48;
const field = { brand: 0, format: 4, crc: 8, topicId: 12, partition: 28, offset: 32, count: 40, reserved: 44 } as const;
const entryBytes = 60;
const entryField = {
  producerId: 0,
  epoch: 8,
  endedEpoch: 10,
  coordinatorEpoch: 12,
  lastOffset: 16,
  lastTimestamp: 24,
  lastSeenMs: 32,
  firstOffset: 40,
  startedMs: 48,
  openEpoch: 56,
  batchCount: 58,
} as const;
const batchBytes = 24;
const batchField = { firstSequence: 0, lastSequence: 4, lastOffset: 8, timestamp: 16 } as const;
const none = -1;

export interface SnapshotPlace {
  /** A UUID. */
  readonly topicId: string;
  readonly partition: number;
}

export interface ProducerSnapshot {
  /** Every batch below it is taken in, and none from it on. */
  readonly offset: number;
  readonly table: ProducerTable;
}

export function encodeProducerSnapshot(place: SnapshotPlace, { offset, table }: ProducerSnapshot): Buffer {
  const states = [...table.states()];
  const sizeBytes = states.reduce((sum, { batches }) => sum + entryBytes + batches.length * batchBytes, headerBytes);
  const bytes = Buffer.alloc(sizeBytes);
  bytes.writeUInt32BE(brand, field.brand);
  bytes.writeUInt32BE(producerSnapshotFormat, field.format);
  bytes.write(place.topicId.replaceAll("-", ""), field.topicId, "hex");
  bytes.writeUInt32BE(place.partition, field.partition);
  writeInt64(bytes, field.offset, offset);
  bytes.writeUInt32BE(states.length, field.count);
  let at = headerBytes;
  for (const state of states) at = writeEntry(bytes, at, state);
  bytes.writeUInt32BE(checksum(bytes), field.crc);
  return bytes;
}

/**
 * Undefined when the bytes are not a whole snapshot of this partition. `file` is for the error's words.
 * Throws `LOG_FORMAT_NEWER`.
 */
export function decodeProducerSnapshot(
  bytes: Buffer,
  place: SnapshotPlace,
  file: string,
  countMax?: number,
): ProducerSnapshot | undefined {
  if (bytes.length < headerBytes || bytes.readUInt32BE(field.brand) !== brand) return undefined;
  // The checksum has this place in every format, so that a damaged file is told apart from a newer one.
  if (bytes.readUInt32BE(field.crc) !== checksum(bytes)) return undefined;
  const format = bytes.readUInt32BE(field.format);
  if (format > producerSnapshotFormat) throw newerFormat(file, format, producerSnapshotFormat);
  if (format !== producerSnapshotFormat) return undefined;
  if (bytes.toString("hex", field.topicId, field.partition) !== place.topicId.replaceAll("-", "").toLowerCase()) {
    return undefined;
  }
  const offset = readInt64(bytes, field.offset);
  const count = bytes.readUInt32BE(field.count);
  if (bytes.readUInt32BE(field.partition) !== place.partition || !(offset >= 0)) return undefined;
  if (bytes.readUInt32BE(field.reserved) !== 0 || count > (bytes.length - headerBytes) / entryBytes) return undefined;
  const states = readEntries(bytes, count, offset);
  return states && { offset, table: ProducerTable.restore(states, countMax) };
}

function writeEntry(bytes: Buffer, at: number, state: StoredProducer): number {
  const { open, batches } = state;
  writeInt64(bytes, at + entryField.producerId, state.producerId);
  bytes.writeInt16BE(state.epoch, at + entryField.epoch);
  bytes.writeInt16BE(state.endedEpoch, at + entryField.endedEpoch);
  bytes.writeInt32BE(state.coordinatorEpoch, at + entryField.coordinatorEpoch);
  writeInt64(bytes, at + entryField.lastOffset, state.lastOffset);
  writeInt64(bytes, at + entryField.lastTimestamp, state.lastTimestamp);
  writeInt64(bytes, at + entryField.lastSeenMs, state.lastSeenMs);
  writeInt64(bytes, at + entryField.firstOffset, open?.firstOffset ?? none);
  writeInt64(bytes, at + entryField.startedMs, open?.startedMs ?? none);
  bytes.writeInt16BE(open?.epoch ?? none, at + entryField.openEpoch);
  bytes.writeUInt16BE(batches.length, at + entryField.batchCount);
  let next = at + entryBytes;
  for (const batch of batches) {
    bytes.writeInt32BE(batch.firstSequence, next + batchField.firstSequence);
    bytes.writeInt32BE(batch.lastSequence, next + batchField.lastSequence);
    writeInt64(bytes, next + batchField.lastOffset, batch.lastOffset);
    writeInt64(bytes, next + batchField.timestamp, batch.timestamp);
    next += batchBytes;
  }
  return next;
}

function readEntries(bytes: Buffer, count: number, endOffset: number): StoredProducer[] | undefined {
  const states: StoredProducer[] = [];
  const ids = new Set<number>();
  let at = headerBytes;
  let openOffset = none;
  for (let i = 0; i < count; i++) {
    if (bytes.length - at < entryBytes) return undefined;
    const batchCount = bytes.readUInt16BE(at + entryField.batchCount);
    if (batchCount > batchesKept || bytes.length - at < entryBytes + batchCount * batchBytes) return undefined;
    const state = readEntry(bytes, at, batchCount, endOffset);
    if (!state || ids.has(state.producerId)) return undefined;
    // Those with an open transaction come last, in the order in which the transactions began.
    if (state.open ? state.open.firstOffset <= openOffset : openOffset !== none) return undefined;
    if (state.open) openOffset = state.open.firstOffset;
    ids.add(state.producerId);
    states.push(state);
    at += entryBytes + batchCount * batchBytes;
  }
  return at === bytes.length ? states : undefined;
}

function readEntry(bytes: Buffer, at: number, batchCount: number, endOffset: number): StoredProducer | undefined {
  const firstOffset = readInt64(bytes, at + entryField.firstOffset);
  const startedMs = readInt64(bytes, at + entryField.startedMs);
  const openEpoch = bytes.readInt16BE(at + entryField.openEpoch);
  const state: StoredProducer = {
    producerId: readInt64(bytes, at + entryField.producerId),
    epoch: bytes.readInt16BE(at + entryField.epoch),
    endedEpoch: bytes.readInt16BE(at + entryField.endedEpoch),
    coordinatorEpoch: bytes.readInt32BE(at + entryField.coordinatorEpoch),
    lastOffset: readInt64(bytes, at + entryField.lastOffset),
    lastTimestamp: readInt64(bytes, at + entryField.lastTimestamp),
    lastSeenMs: readInt64(bytes, at + entryField.lastSeenMs),
    open: firstOffset === none ? undefined : { epoch: openEpoch, firstOffset, startedMs },
    batches: Array.from({ length: batchCount }, (_, i) => readBatch(bytes, at + entryBytes + i * batchBytes)),
  };
  if (!(state.producerId >= 0) || state.epoch < none || state.endedEpoch < none) return undefined;
  if (Number.isNaN(state.lastTimestamp) || Number.isNaN(state.lastSeenMs) || Number.isNaN(startedMs)) return undefined;
  if (!(state.lastOffset >= 0 && state.lastOffset < endOffset)) return undefined;
  if (!(firstOffset >= none && firstOffset <= state.lastOffset) || openEpoch < none) return undefined;
  if (firstOffset === none && (startedMs !== none || openEpoch !== none)) return undefined;
  return areInOrder(state.batches, state.lastOffset) ? state : undefined;
}

function readBatch(bytes: Buffer, at: number): KeptBatch {
  return {
    firstSequence: bytes.readInt32BE(at + batchField.firstSequence),
    lastSequence: bytes.readInt32BE(at + batchField.lastSequence),
    lastOffset: readInt64(bytes, at + batchField.lastOffset),
    timestamp: readInt64(bytes, at + batchField.timestamp),
  };
}

function areInOrder(batches: readonly KeptBatch[], lastOffset: number): boolean {
  let before = none;
  for (const batch of batches) {
    if (batch.firstSequence < 0 || batch.lastSequence < 0 || Number.isNaN(batch.timestamp)) return false;
    if (!(batch.lastOffset > before && batch.lastOffset <= lastOffset)) return false;
    before = batch.lastOffset;
  }
  return true;
}

function checksum(bytes: Buffer): number {
  return crc32c(Buffer.concat([bytes.subarray(0, field.crc), bytes.subarray(field.topicId)]));
}
