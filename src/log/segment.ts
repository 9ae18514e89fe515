/**
 * A segment: a run of record batches in one append-only file, named by its first offset, behind a header of 40 bytes.
 * The header is durable before the first batch is written (docs/internals/formats/segment.md).
 */
import * as path from "node:path";
import { MillraceError } from "../base/errors.ts";
import { crc32c } from "../records/crc32c.ts";
import { readInt64, writeInt64 } from "../records/int64.ts";
import { newerFormat } from "./checked-file.ts";
import type { LogContext, PartitionPlace } from "./log-context.ts";

export const segmentHeaderBytes = 40;
export const segmentFormat = 1;
const brand = 0x4d4c5253; // "MLRS"
const field = { brand: 0, format: 4, topicId: 8, partition: 24, baseOffset: 28, crc: 36 } as const;

/** Indexes hold offsets relative to the first one in 32 bits, of which Kafka uses 31. */
export const offsetsPerSegmentMax = 2 ** 31 - 1;

export interface SegmentIdentity {
  readonly topicId: string;
  readonly partition: number;
  readonly baseOffset: number;
}

/** What is known of a segment without opening it. */
export interface Segment {
  readonly baseOffset: number;
  readonly path: string;
  sizeBytes: number;
  /** Of a closed segment's batches, where it is known. */
  maxTimestamp?: number;
  /** The largest timestamp of its first batch, where it is known. */
  firstTimestamp?: number;
}

export function segmentFileName(baseOffset: number): string {
  return `${String(baseOffset).padStart(20, "0")}.log`;
}

export function indexFileName(baseOffset: number): string {
  return `${String(baseOffset).padStart(20, "0")}.index`;
}

/** The first offset of a segment's file name; undefined for any other file. */
export function baseOffsetOfFileName(name: string): number | undefined {
  const match = /^(\d{20})\.log$/.exec(name);
  return match ? Number(match[1]) : undefined;
}

export function encodeSegmentHeader(identity: SegmentIdentity): Buffer {
  const bytes = Buffer.alloc(segmentHeaderBytes);
  bytes.writeUInt32BE(brand, field.brand);
  bytes.writeUInt32BE(segmentFormat, field.format);
  bytes.write(identity.topicId.replaceAll("-", ""), field.topicId, "hex");
  bytes.writeUInt32BE(identity.partition, field.partition);
  writeInt64(bytes, field.baseOffset, identity.baseOffset);
  bytes.writeUInt32BE(crc32c(bytes.subarray(0, field.crc)), field.crc);
  return bytes;
}

/** What is wrong with a segment's header, or undefined. Throws `LOG_FORMAT_NEWER`. */
export function segmentHeaderFault(bytes: Buffer, expected: SegmentIdentity, path: string): string | undefined {
  if (bytes.length < segmentHeaderBytes) return "its header is not whole";
  if (
    crc32c(bytes.subarray(0, field.crc)) !== bytes.readUInt32BE(field.crc) ||
    bytes.readUInt32BE(field.brand) !== brand
  ) {
    return "its header is damaged";
  }
  const format = bytes.readUInt32BE(field.format);
  if (format > segmentFormat) throw newerFormat(path, format, segmentFormat);
  if (encodeSegmentHeader(expected).equals(bytes.subarray(0, segmentHeaderBytes))) return undefined;
  const renamed = readInt64(bytes, field.baseOffset) !== expected.baseOffset;
  return renamed ? "its name is not that of its first offset" : "it belongs to another partition";
}

/** Durable with its name when it resolves. */
export async function createSegment(
  context: Pick<LogContext, "disk">,
  place: PartitionPlace,
  baseOffset: number,
): Promise<Segment> {
  const { topicId, partition } = place;
  const file = path.join(place.directory, segmentFileName(baseOffset));
  const handle = await context.disk.open(file, "exclusive");
  try {
    await handle.write([encodeSegmentHeader({ topicId, partition, baseOffset })], 0);
    await handle.datasync();
  } finally {
    await handle.close();
  }
  await context.disk.syncDirectory(place.directory);
  return { baseOffset, path: file, sizeBytes: segmentHeaderBytes };
}

/** What is wrong with the header in a segment's file, or undefined. Throws `LOG_FORMAT_NEWER`. */
export async function readHeaderFault(
  context: Pick<LogContext, "files">,
  place: PartitionPlace,
  segment: Segment,
): Promise<string | undefined> {
  const header = Buffer.alloc(segmentHeaderBytes);
  const count = await context.files.use(segment.path, (file) => file.read(header, 0));
  const { topicId, partition } = place;
  return segmentHeaderFault(
    header.subarray(0, count),
    { topicId, partition, baseOffset: segment.baseOffset },
    segment.path,
  );
}

/** Throws `PARTITION_DAMAGED`, `LOG_FORMAT_NEWER`. */
export async function checkSegmentHeader(
  context: Pick<LogContext, "files">,
  place: PartitionPlace,
  segment: Segment,
): Promise<void> {
  const fault = await readHeaderFault(context, place, segment);
  if (fault) throw damaged(place, segment.path, 0, fault);
}

export function damaged(
  place: { readonly topic: string; readonly partition: number },
  path: string,
  bytePosition: number,
  reason: string,
): MillraceError {
  const { topic, partition } = place;
  return new MillraceError(
    "PARTITION_DAMAGED",
    `partition ${partition} of topic ${topic} is damaged: ${path} at byte ${bytePosition}: ${reason}`,
    {
      hint: "Nothing was deleted. Run millrace log verify to see all that is wrong; restore the file from a backup, or let millrace log repair keep what can be read.",
      details: { topic, partition, path, bytePosition },
    },
  );
}
