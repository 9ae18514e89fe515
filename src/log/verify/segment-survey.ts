/**
 * One segment's file: whose it is, and what in it is right. A batch does not say which partition it belongs to, so that of
 * a file whose header is damaged nothing is taken unless something else tells that it stands where it belongs.
 */
import * as path from "node:path";
import type { Disk } from "../../base/disk.ts";
import { MillraceError } from "../../base/errors.ts";
import { checkBatchWhole } from "../../records/batch-validator.ts";
import { readInt64 } from "../../records/int64.ts";
import type { PartitionPlace } from "../log-context.ts";
import { encodeSegmentHeader, segmentHeaderBytes, segmentHeaderFault } from "../segment.ts";
import { readSegmentIndex } from "../segment-index.ts";
import { companionNames, parseSegmentName } from "../segment-name.ts";
import { isUnreadable, SegmentBytes, type SegmentBytesOptions } from "./segment-bytes.ts";
import { scanTolerantly, type TolerantScan } from "./tolerant-scan.ts";

export interface SegmentSurvey extends TolerantScan {
  /** By its name. */
  readonly baseOffset: number;
  readonly generation: number;
  readonly path: string;
  readonly sizeBytes: number;
  readonly headerFault: string | undefined;
  /** Where a whole header says that it belongs, when that is not where it stands. */
  readonly belongs: SegmentHome | undefined;
  readonly index: "right" | "missing" | "damaged";
  readonly unreadableRecords: readonly {
    readonly bytePosition: number;
    readonly offset: number;
    readonly reason: string;
  }[];
  /** A batch whose leader epoch is smaller than one before it. */
  readonly epochBack: { readonly bytePosition: number; readonly offset: number } | undefined;
}

export interface SegmentHome {
  readonly topicId: string;
  readonly partition: number;
  readonly baseOffset: number;
}

export interface SegmentEnd {
  /** No offset of it can be as large. */
  readonly offsetMax: number;
  /** Where it ends if nothing of it is missing; the same when that is not known. */
  readonly offset: number;
}

export interface SegmentContext extends SegmentBytesOptions {
  readonly deep: boolean;
}

/** Of a kind of finding so many are told in one segment. */
export const toldMax = 100;
/** Of the 40 bytes of a header so many may be damaged before it tells nothing. */
const headerBytesWrongMax = 10;

/** `view` is the disk as a start sees it. Throws `LOG_FORMAT_NEWER`, and the signal's reason. */
export async function surveySegment(
  context: SegmentContext,
  view: Disk,
  place: PartitionPlace,
  name: string,
  end: SegmentEnd,
): Promise<SegmentSurvey> {
  const { baseOffset, generation } = parseSegmentName(name) as { baseOffset: number; generation: number };
  const file = path.join(place.directory, name);
  const handle = await view.open(file, "read");
  try {
    const sizeBytes = await handle.size();
    const bytes = new SegmentBytes(handle, sizeBytes, context);
    const header = Buffer.from(await bytes.at(0, segmentHeaderBytes));
    const { topicId, partition } = place;
    const headerFault = segmentHeaderFault(header, { topicId, partition, baseOffset }, file);
    const belongs = headerFault === undefined ? undefined : homeOf(header, file);
    const unreadableRecords: { bytePosition: number; offset: number; reason: string }[] = [];
    let epoch = 0;
    let epochBack: SegmentSurvey["epochBack"];
    const from = {
      bytePosition: Math.min(segmentHeaderBytes, sizeBytes),
      offset: belongs?.baseOffset ?? baseOffset,
      gaps: generation > 0,
      endOffsetMax: belongs ? Number.MAX_SAFE_INTEGER : end.offsetMax,
    };
    const found = await scanTolerantly(bytes, from, (batch, { leaderEpoch, baseOffset: offset }, bytePosition) => {
      if (leaderEpoch < epoch) epochBack ??= { bytePosition, offset };
      epoch = Math.max(epoch, leaderEpoch);
      if (!context.deep || unreadableRecords.length >= toldMax) return;
      const reason = recordsFault(batch);
      if (reason !== undefined) unreadableRecords.push({ bytePosition, offset, reason });
    });
    const isKnown = headerFault === undefined || belongs !== undefined;
    const isOurs = isKnown || isLikely(header, encodeSegmentHeader({ topicId, partition, baseOffset }), found, end);
    const scan = isOurs ? found : { ...found, ...nothingOf(sizeBytes, baseOffset) };
    const index = await indexOf(view, place.directory, name, { baseOffset, path: file, sizeBytes });
    const what = { baseOffset, generation, path: file, sizeBytes };
    return { ...what, headerFault, belongs, index, unreadableRecords, epochBack, ...scan };
  } finally {
    await handle.close();
  }
}

/** Enough of the header is left, or it is zeros and the offsets end exactly where the next segment begins. */
function isLikely(header: Buffer, right: Buffer, { runs }: TolerantScan, end: SegmentEnd): boolean {
  let wrong = 0;
  for (let i = 0; i < segmentHeaderBytes; i++) if (header[i] !== right[i]) wrong++;
  if (wrong <= headerBytesWrongMax) return true;
  return header.every((byte) => byte === 0) && runs.at(-1)?.endOffset === end.offset;
}

/** What a file holds for a partition that it may not belong to. */
function nothingOf(sizeBytes: number, offset: number): Pick<TolerantScan, "runs" | "faults"> {
  if (sizeBytes <= segmentHeaderBytes) return { runs: [], faults: [] };
  const reason = "its header is damaged, and whose it is cannot be told";
  const range = { fromBytes: segmentHeaderBytes, toBytes: sizeBytes };
  return { runs: [], faults: [{ ...range, offset, reason, isRightBatch: false, zeros: undefined }] };
}

function recordsFault(batch: Buffer): string | undefined {
  try {
    checkBatchWhole(batch);
    return undefined;
  } catch (error) {
    return MillraceError.from(error).message;
  }
}

/** Undefined when the header is not whole. */
function homeOf(header: Buffer, file: string): SegmentHome | undefined {
  if (header.length < segmentHeaderBytes) return undefined;
  const hex = header.toString("hex", 8, 24);
  const topicId = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  const home = { topicId, partition: header.readUInt32BE(24), baseOffset: readInt64(header, 28) };
  if (!(home.baseOffset >= 0)) return undefined;
  return segmentHeaderFault(header, home, file) === undefined ? home : undefined;
}

async function indexOf(
  view: Disk,
  directory: string,
  name: string,
  segment: { readonly baseOffset: number; readonly path: string; readonly sizeBytes: number },
): Promise<SegmentSurvey["index"]> {
  for (const companion of companionNames(name)) {
    if (!(await view.exists(path.join(directory, companion)))) return "missing";
  }
  try {
    const index = await readSegmentIndex(view, segment);
    return index?.offsets.endBytes === segment.sizeBytes ? "right" : "damaged";
  } catch (error) {
    if (isUnreadable(error)) return "damaged";
    throw error;
  }
}
