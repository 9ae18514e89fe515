/**
 * Reads a segment past its faults: everything in it that is a right batch, and the ranges between that are not. Recovery
 * stops at the first fault (segment-scan.ts); who wants to know what can be saved reads on.
 *
 * The checksum does not cover a batch's base offset, so a batch whose offset cannot be is a fault too.
 */
import {
  type BatchHeader,
  batchHeaderBytes,
  batchSizeBytes,
  hasRightChecksum,
  readBatchHeader,
} from "../../records/batch-header.ts";
import { headerFault } from "../../records/batch-validator.ts";
import { readInt64 } from "../../records/int64.ts";
import type { ByteRange, SegmentBytes } from "./segment-bytes.ts";

/** Right batches, one behind the other. */
export interface BatchRun extends ByteRange {
  readonly firstOffset: number;
  readonly endOffset: number;
  readonly batches: number;
  readonly records: number;
  readonly leaderEpochMax: number;
}

export interface ByteFault extends ByteRange {
  /** Where the next batch was expected. */
  readonly offset: number;
  readonly reason: string;
  /** It begins with a right batch, whose offset cannot be. */
  readonly isRightBatch: boolean;
  /** The longest run of zeros in it, where that is long. */
  readonly zeros: ByteRange | undefined;
}

export interface TolerantScan {
  /** Another one begins where offsets are missing, unless gaps are allowed. */
  readonly runs: readonly BatchRun[];
  readonly faults: readonly ByteFault[];
  readonly unreadable: readonly ByteRange[];
}

export interface ScanFrom {
  readonly bytePosition: number;
  readonly offset: number;
  /** Offsets may be missing, as compaction leaves them. */
  readonly gaps: boolean;
  /** Where the next segment begins. */
  readonly endOffsetMax: number;
}

/** What stands behind so many faults of one segment is not looked at, and counts as one of them. */
const faultsMax = 1000;
const chunkBytes = 256 * 1024;
/** As many records as compression puts into one, hardly ever more. */
const offsetsPerByteMax = 64;
/** As long as a sector: in text or numbers there is none such. */
const zerosMin = 512;
const magic = 2;
const magicAt = 16;

interface Expected extends Pick<ScanFrom, "offset" | "gaps" | "endOffsetMax"> {
  /** Right before this place. */
  readonly lostBytes: number;
}

type Found =
  | { readonly kind: "batch"; readonly header: BatchHeader }
  | { readonly kind: "fault"; readonly reason: string; readonly isRightBatch: boolean };

/** `onBatch` gets each right batch (valid during the call). */
export async function scanTolerantly(
  bytes: SegmentBytes,
  from: ScanFrom,
  onBatch: (batch: Buffer, header: BatchHeader, bytePosition: number) => void,
): Promise<TolerantScan> {
  const runs: BatchRun[] = [];
  const faults: ByteFault[] = [];
  let { bytePosition, offset } = from;
  // Faults that may be made up must not cost more than reading the file a few times.
  const budget = { bytes: 8 * bytes.sizeBytes + 64 * 1024 * 1024 };
  while (bytePosition < bytes.sizeBytes) {
    const lastFault = faults.at(-1);
    const lostBytes = lastFault?.toBytes === bytePosition ? bytePosition - lastFault.fromBytes : 0;
    const found = await batchAt(bytes, bytePosition, { ...from, offset, lostBytes });
    if (found.kind === "batch") {
      const { header } = found;
      onBatch(await bytes.at(bytePosition, header.sizeBytes), header, bytePosition);
      extend(runs, header, bytePosition, offset, from.gaps);
      bytePosition += header.sizeBytes;
      offset = header.lastOffset + 1;
      continue;
    }
    const isLast = faults.length + 1 >= faultsMax;
    const toBytes = isLast ? bytes.sizeBytes : await placeBehind(bytes, bytePosition, offset, budget);
    const zeros = await longestZeros(bytes, bytePosition, toBytes);
    const { reason, isRightBatch } = found;
    faults.push({ fromBytes: bytePosition, toBytes, offset, reason, isRightBatch, zeros });
    bytePosition = toBytes;
  }
  return { runs, faults, unreadable: bytes.unreadable };
}

function extend(runs: BatchRun[], header: BatchHeader, bytePosition: number, expected: number, gaps: boolean): void {
  const toBytes = bytePosition + header.sizeBytes;
  const endOffset = header.lastOffset + 1;
  const last = runs.at(-1);
  if (last?.toBytes === bytePosition && (gaps || header.baseOffset === expected)) {
    runs[runs.length - 1] = {
      ...last,
      toBytes,
      endOffset,
      batches: last.batches + 1,
      records: last.records + header.recordCount,
      leaderEpochMax: Math.max(last.leaderEpochMax, header.leaderEpoch),
    };
    return;
  }
  runs.push({
    fromBytes: bytePosition,
    toBytes,
    firstOffset: header.baseOffset,
    endOffset,
    batches: 1,
    records: header.recordCount,
    leaderEpochMax: header.leaderEpoch,
  });
}

async function batchAt(bytes: SegmentBytes, bytePosition: number, at: Expected): Promise<Found> {
  const head = await bytes.at(bytePosition, batchHeaderBytes);
  const reason = headerFault(head, 0, head.length);
  if (reason !== undefined) return fault(reason);
  const header = readBatchHeader(head);
  if (bytePosition + header.sizeBytes > bytes.sizeBytes) return fault("a batch is not whole");
  const batch = await bytes.at(bytePosition, header.sizeBytes);
  if (batch.length < header.sizeBytes || !hasRightChecksum(batch)) {
    return fault("a batch's checksum does not match");
  }
  const { baseOffset, lastOffset } = header;
  const canBe = baseOffset >= at.offset && lastOffset < at.endOffsetMax;
  if (canBe && (baseOffset === at.offset || (await isRightJump(bytes, bytePosition, header, at)))) {
    return { kind: "batch", header };
  }
  return {
    kind: "fault",
    reason: `a batch begins at offset ${baseOffset} where ${at.offset} belongs`,
    isRightBatch: true,
  };
}

/**
 * Whether offsets are missing before a batch, or its own is wrong. What stands behind it tells, or that the segment ends with
 * it; else there must be lost bytes, in which the offsets may have been.
 */
async function isRightJump(
  bytes: SegmentBytes,
  bytePosition: number,
  { sizeBytes, baseOffset, lastOffset }: BatchHeader,
  at: Expected,
): Promise<boolean> {
  const next = await bytes.at(bytePosition + sizeBytes, batchHeaderBytes);
  if (headerFault(next, 0, next.length) === undefined) {
    const nextOffset = readInt64(next, 0);
    if (nextOffset >= at.offset && nextOffset <= lastOffset) return false;
    if (nextOffset === lastOffset + 1) return true;
  }
  return at.gaps || lastOffset + 1 === at.endOffsetMax || baseOffset - at.offset <= at.lostBytes * offsetsPerByteMax;
}

function fault(reason: string): Found {
  return { kind: "fault", reason, isRightBatch: false };
}

/** Where the next right batch begins behind a fault, else the end of the file. */
async function placeBehind(
  bytes: SegmentBytes,
  bytePosition: number,
  offset: number,
  budget: { bytes: number },
): Promise<number> {
  const { sizeBytes } = bytes;
  const head = await bytes.at(bytePosition, batchHeaderBytes);
  if (headerFault(head, 0, head.length) === undefined) {
    const next = bytePosition + batchSizeBytes(head);
    if (next === sizeBytes || (next < sizeBytes && (await isBatch(bytes, next, offset, budget)))) return next;
  }
  for (let from = bytePosition + 1; from + batchHeaderBytes <= sizeBytes && budget.bytes > 0; ) {
    const count = Math.min(chunkBytes, sizeBytes - from);
    const candidates = candidatesIn(await bytes.at(from, count), offset);
    for (const candidate of candidates) {
      if (await isBatch(bytes, from + candidate, offset, budget)) return from + candidate;
    }
    budget.bytes -= count;
    from += count - batchHeaderBytes + 1;
  }
  return sizeBytes;
}

/** Places where a header can stand. */
function candidatesIn(chunk: Buffer, offset: number): number[] {
  const places: number[] = [];
  for (let at = chunk.indexOf(magic, magicAt); at >= 0; at = chunk.indexOf(magic, at + 1)) {
    const place = at - magicAt;
    if (place + batchHeaderBytes > chunk.length) break;
    if (headerFault(chunk, place, chunk.length) === undefined && readInt64(chunk, place) >= offset) places.push(place);
  }
  return places;
}

async function isBatch(
  bytes: SegmentBytes,
  bytePosition: number,
  offset: number,
  budget: { bytes: number },
): Promise<boolean> {
  if (budget.bytes <= 0) return false;
  const head = await bytes.at(bytePosition, batchHeaderBytes);
  if (headerFault(head, 0, head.length) !== undefined || readInt64(head, 0) < offset) return false;
  const sizeBytes = batchSizeBytes(head);
  if (bytePosition + sizeBytes > bytes.sizeBytes) return false;
  budget.bytes -= sizeBytes;
  return hasRightChecksum(await bytes.at(bytePosition, sizeBytes));
}

async function longestZeros(bytes: SegmentBytes, fromBytes: number, toBytes: number): Promise<ByteRange | undefined> {
  let best = { fromBytes, toBytes: fromBytes };
  let start = -1;
  const close = (end: number): void => {
    if (start >= 0 && end - start > best.toBytes - best.fromBytes) best = { fromBytes: start, toBytes: end };
    start = -1;
  };
  for (let from = fromBytes; from < toBytes; from += chunkBytes) {
    const chunk = await bytes.at(from, Math.min(chunkBytes, toBytes - from));
    for (let i = 0; i < chunk.length; i++) {
      if (chunk[i] !== 0) close(from + i);
      else if (start < 0) start = from + i;
    }
  }
  close(toBytes);
  return best.toBytes - best.fromBytes >= zerosMin ? best : undefined;
}
