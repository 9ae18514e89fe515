/**
 * What the settings of a topic do to a writer's batch before the log takes it: records that the topic does not take are
 * refused, the time of the append is written, and records are compressed by the topic's codec. The rules are Kafka's
 * (LogValidator, 4.3), as are the sentences about single records, which its clients show.
 *
 * Records are looked into only where a setting needs it: for keys, for an oldest time, where the batch itself names a time
 * that is out of bounds, and for another codec. Else what a header says of its records is believed.
 */
import { MillraceError } from "../base/errors.ts";
import {
  attributeMask,
  batchAttributes,
  batchBaseOffset,
  batchField,
  batchHeaderBytes,
  batchLengthOverheadBytes,
  batchMaxTimestamp,
  carryChecksum,
  headerChecksum,
  writeBatchChecksum,
} from "./batch-header.ts";
import { BatchRecords } from "./batch-records.ts";
import { batchTooLarge, checkAppendable } from "./batch-validator.ts";
import { type Codec, codec, compressRecords, recordsBytesLimit } from "./compression.ts";
import { writeInt64 } from "./int64.ts";

/** The codec of what is kept; `producer` keeps what came. */
export type TopicCompression = "producer" | "uncompressed" | "gzip" | "snappy" | "lz4" | "zstd";

export interface AdmissionSettings {
  readonly cleanup: "delete" | "compact" | "compact,delete";
  readonly batchBytesMax: number;
  readonly timestampType: "create" | "append";
  readonly timestampBeforeMaxMs: number | null;
  readonly timestampAfterMaxMs: number | null;
  readonly compression: TopicCompression;
}

export interface AdmissionPlace {
  readonly topic: string;
  readonly partition: number;
  /** Written by this process alone, whose sources have clocks of their own: times are not bounded. */
  readonly isOwn: boolean;
  /** As `WriterTrust` has it. */
  readonly isMadeHere?: boolean;
}

/** As Kafka's Produce answers it. */
export interface RecordError {
  /** The record's place in its batch, from 0. */
  readonly batchIndex: number;
  readonly message: string;
}

const recordErrorsMax = 100;
const noTimestamp = -1;
/** Kafka's "no bound". */
const longMax = 2n ** 63n - 1n;

/**
 * The batch as the log keeps it: the very one, changed in place at most, or another where its records were compressed anew.
 * A refusal of single records carries `recordErrors` in its details.
 * Throws `BATCH_CORRUPT`, `RECORD_TOO_LARGE`, `RECORD_INVALID`, `RECORD_TIMESTAMP_INVALID`.
 */
export function admitBatch(
  batch: Buffer,
  place: AdmissionPlace,
  settings: AdmissionSettings,
  nowMs: number,
  recordsBytesMax = recordsBytesLimit,
): Buffer {
  checkAppendable(batch, settings.batchBytesMax, place.topic, place);
  const attributes = batchAttributes(batch);
  const codecWanted = settings.compression === "producer" ? undefined : codecOf(settings.compression);
  const isRecompressed = codecWanted !== undefined && codecWanted !== (attributes & attributeMask.codec);
  const isCreateTime = settings.timestampType === "create";
  const saysAppendTime = (attributes & attributeMask.logAppendTime) !== 0;
  if (!isRecompressed && settings.cleanup === "delete" && !saysAppendTime) {
    if (!isCreateTime) return withTime(batch, "append", nowMs);
    if (place.isOwn || (settings.timestampBeforeMaxMs === null && !isLate(batchMaxTimestamp(batch), settings, nowMs)))
      return batch;
  }
  const records = new BatchRecords();
  // What is not compressed must fit the batch, so no more is unpacked than that.
  const plainBytesMax = codecWanted === codec.none ? settings.batchBytesMax : recordsBytesMax;
  const maxTimestamp = asRefusal(place, () => {
    records.open(batch, Math.min(recordsBytesMax, plainBytesMax));
    return checkRecords(batch, records, place, settings, nowMs);
  });
  const admitted = isRecompressed ? recompressed(batch, records.bytes, codecWanted, place, settings) : batch;
  return isCreateTime ? withTime(admitted, "create", maxTimestamp) : withTime(admitted, "append", nowMs);
}

function isLate(timestamp: number, { timestampAfterMaxMs }: AdmissionSettings, nowMs: number): boolean {
  return timestampAfterMaxMs !== null && timestamp - nowMs > timestampAfterMaxMs;
}

function isEarly(timestamp: number, { timestampBeforeMaxMs }: AdmissionSettings, nowMs: number): boolean {
  return timestampBeforeMaxMs !== null && nowMs - timestamp > timestampBeforeMaxMs;
}

/** Each record is one that the topic takes; answers the latest time of them. */
function checkRecords(
  batch: Buffer,
  records: BatchRecords,
  place: AdmissionPlace,
  settings: AdmissionSettings,
  nowMs: number,
): number {
  const keysRequired = settings.cleanup !== "delete";
  const errors: RecordError[] = [];
  let isTimeWrong = false;
  let maxTimestamp = noTimestamp;
  for (let index = 0; records.next(); index++) {
    if (records.offset !== batchBaseOffset(batch) + index) throw outOfOrder(place.topic);
    if (records.timestamp > maxTimestamp) maxTimestamp = records.timestamp;
    const isKeyless = keysRequired && records.keyBytes < 0;
    const timeFault = isKeyless || place.isOwn ? undefined : timeFaultOf(batch, records, settings, nowMs);
    if (!isKeyless && timeFault === undefined) continue;
    isTimeWrong ||= timeFault !== undefined;
    const message = timeFault ?? keyless(place);
    if (errors.length < recordErrorsMax) errors.push({ batchIndex: index, message });
  }
  if (errors.length > 0) throw refusalOf(errors, isTimeWrong, place);
  return maxTimestamp;
}

/** The checksum was right: a client that sent a batch again whose records are damaged would be refused again. */
function asRefusal<T>({ topic }: AdmissionPlace, look: () => T): T {
  try {
    return look();
  } catch (cause) {
    if (!MillraceError.is(cause, "BATCH_CORRUPT")) throw cause;
    throw new MillraceError("RECORD_INVALID", cause.message, { cause, details: { topic } });
  }
}

/** Undefined for a time that the topic takes; -1 is none, and taken. */
function timeFaultOf(
  batch: Buffer,
  { timestamp, offset }: BatchRecords,
  settings: AdmissionSettings,
  nowMs: number,
): string | undefined {
  if (settings.timestampType === "create" && timestamp !== noTimestamp) {
    if (!isEarly(timestamp, settings, nowMs) && !isLate(timestamp, settings, nowMs)) return undefined;
    const now = BigInt(nowMs);
    const earliest = now - BigInt(settings.timestampBeforeMaxMs ?? longMax);
    const latest = BigInt.asIntN(64, now + BigInt(settings.timestampAfterMaxMs ?? longMax));
    return `Timestamp ${timestamp} of message with offset ${offset} is out of range. The timestamp should be within [${earliest}, ${latest}]`;
  }
  if ((batchAttributes(batch) & attributeMask.logAppendTime) === 0) return undefined;
  return `Invalid timestamp type in message with offset ${offset}. Producer should not set timestamp type to LogAppendTime.`;
}

function keyless({ topic, partition }: AdmissionPlace): string {
  return `Compacted topic cannot accept message without key in topic partition ${topic}-${partition}`;
}

function refusalOf(errors: readonly RecordError[], isTimeWrong: boolean, place: AdmissionPlace): MillraceError {
  const { topic, partition } = place;
  const recordIndex = errors[0]?.batchIndex;
  const details = { topic, partition, recordIndex, recordErrors: errors };
  if (isTimeWrong) {
    return new MillraceError(
      "RECORD_TIMESTAMP_INVALID",
      `record ${recordIndex} of a batch has a time that topic ${topic} does not take`,
      { hint: "Correct the writer's clock, or the topic's bounds for times.", details },
    );
  }
  return new MillraceError(
    "RECORD_INVALID",
    `record ${recordIndex} of a batch has no key, and topic ${topic} is compacted`,
    { hint: "Give each record of a compacted topic a key: compaction keeps the last record of each.", details },
  );
}

/** With the attribute and the latest time that it should have. */
function withTime(batch: Buffer, type: "create" | "append", maxTimestamp: number): Buffer {
  const attributes = batchAttributes(batch);
  const bit = attributeMask.logAppendTime;
  const wanted = type === "append" ? attributes | bit : attributes & ~bit;
  if (wanted === attributes && batchMaxTimestamp(batch) === maxTimestamp) return batch;
  const before = headerChecksum(batch);
  batch.writeInt16BE(wanted, batchField.attributes);
  writeInt64(batch, batchField.maxTimestamp, maxTimestamp);
  carryChecksum(batch, before);
  return batch;
}

/** The same records and header by another codec; levels are those that the codecs have by default. */
function recompressed(
  batch: Buffer,
  recordsBytes: Buffer,
  codecWanted: Codec,
  place: AdmissionPlace,
  { batchBytesMax }: AdmissionSettings,
): Buffer {
  const attributes = batchAttributes(batch);
  const plain =
    (attributes & attributeMask.codec) === codec.none ? recordsBytes.subarray(batchHeaderBytes) : recordsBytes;
  const compressed = compressRecords(plain, codecWanted);
  const sizeBytes = batchHeaderBytes + compressed.length;
  if (sizeBytes > batchBytesMax) throw batchTooLarge(sizeBytes, batchBytesMax, place.topic);
  const written = Buffer.allocUnsafeSlow(sizeBytes);
  batch.copy(written, 0, 0, batchHeaderBytes);
  compressed.copy(written, batchHeaderBytes);
  written.writeInt32BE(sizeBytes - batchLengthOverheadBytes, batchField.batchLength);
  written.writeInt16BE((attributes & ~attributeMask.codec) | codecWanted, batchField.attributes);
  writeBatchChecksum(written);
  return written;
}

function codecOf(compression: Exclude<TopicCompression, "producer">): Codec {
  return compression === "uncompressed" ? codec.none : codec[compression];
}

function outOfOrder(topic: string): MillraceError {
  return new MillraceError(
    "RECORD_INVALID",
    `topic ${topic} takes no batch whose records are not in the order of their offsets`,
    {
      details: { topic },
    },
  );
}
