/**
 * Reads a partition back from its files. Up to the checkpoint the bytes were durable; behind it every batch is checked.
 * A torn end is cut off and reported; damage that a crash cannot explain leaves the partition unusable and untouched.
 *
 * What a crash can explain: a segment is synced whole before the next one is made, and at most `tornBytesMax` of the
 * last one are ever written and not synced. So a fault in an earlier segment, or one with a right batch further behind
 * it than that, is damage.
 */
import * as path from "node:path";
import { isControl, isTransactional, readBatchHeader } from "../records/batch-header.ts";
import { controlKind } from "../records/batch-records.ts";
import { buildIndex, readIndex } from "./index-cache.ts";
import type { LogContext, PartitionPlace, PartitionSettings } from "./log-context.ts";
import type { OffsetIndex } from "./offset-index.ts";
import {
  baseOffsetOfFileName,
  damaged,
  encodeSegmentHeader,
  type Segment,
  segmentFileName,
  segmentHeaderBytes,
  segmentHeaderFault,
} from "./segment.ts";
import { findBatchBehind, scanSegment } from "./segment-scan.ts";
import { type TrailSnapshot, TransactionTrail } from "./transaction-trail.ts";

/** A point of a partition that is durable, and what the batches before it say. */
export interface PartitionCheckpoint extends TrailSnapshot {
  /** The first offset of the segment. */
  readonly segment: number;
  readonly bytePosition: number;
  readonly offset: number;
  readonly leaderEpoch: number;
}

export interface RecoveredPartition {
  readonly segments: Segment[];
  readonly index: OffsetIndex;
  readonly nextOffset: number;
  readonly leaderEpoch: number;
  readonly trail: TransactionTrail;
  /** True when something was read behind the checkpoint, or cut. */
  readonly changed: boolean;
}

/** The files of a new partition, durable when it resolves except for the directory's own name. */
export async function createPartitionFiles(context: LogContext, place: PartitionPlace): Promise<void> {
  await context.disk.makeDirectory(place.directory);
  await createSegment(context, place, 0);
}

export async function createSegment(context: LogContext, place: PartitionPlace, baseOffset: number): Promise<Segment> {
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

/** Throws `PARTITION_DAMAGED`, `LOG_FORMAT_NEWER`. */
export async function recoverPartition(
  context: LogContext,
  place: PartitionPlace,
  settings: PartitionSettings,
  checkpoint: PartitionCheckpoint | undefined,
): Promise<RecoveredPartition> {
  const segments = await listSegments(context, place);
  const trail = new TransactionTrail(checkpoint);
  const from = await startOf(context, place, segments, checkpoint);
  let offset = checkpoint?.offset ?? (segments[0] as Segment).baseOffset;
  let leaderEpoch = checkpoint?.leaderEpoch ?? 0;
  let changed = false;
  for (let i = from; i < segments.length; i++) {
    const segment = segments[i] as Segment;
    const isLast = i === segments.length - 1;
    const atCheckpoint = checkpoint !== undefined && segment.baseOffset === checkpoint.segment;
    const start = { bytePosition: atCheckpoint ? checkpoint.bytePosition : segmentHeaderBytes, offset };
    const gaps = settings.cleanup === "compact";
    const end = await context.files.use(segment.path, (file) =>
      scanSegment(file, start, segment.sizeBytes, gaps, (batch) => {
        leaderEpoch = Math.max(leaderEpoch, readBatchHeader(batch).leaderEpoch);
        follow(trail, batch);
      }),
    );
    if (end.fault !== undefined) {
      await assertTorn(context, place, settings, segment, isLast, { ...end, fault: end.fault });
      await cutBack(context, place, segment, { ...end, fault: end.fault });
      leaderEpoch++;
    }
    const next = segments[i + 1];
    if (next && next.baseOffset !== end.offset && !gaps) {
      throw damaged(place, next.path, 0, `it begins at offset ${next.baseOffset} where ${end.offset} belongs`);
    }
    changed ||= end.offset !== offset || end.fault !== undefined;
    offset = end.offset;
  }
  const active = segments.at(-1) as Segment;
  if (changed || active.baseOffset !== checkpoint?.segment) await makeSure(context, place, active);
  const index = await activeIndex(context, active, settings.cleanup === "compact");
  return { segments, index, nextOffset: offset, leaderEpoch, trail, changed };
}

async function listSegments(context: LogContext, place: PartitionPlace): Promise<Segment[]> {
  if (!(await context.disk.exists(place.directory))) throw damaged(place, place.directory, 0, "the folder is missing");
  const segments: Segment[] = [];
  for (const name of await context.disk.list(place.directory)) {
    const baseOffset = baseOffsetOfFileName(name);
    if (baseOffset === undefined) continue;
    const file = path.join(place.directory, name);
    segments.push({ baseOffset, path: file, sizeBytes: await context.files.use(file, (handle) => handle.size()) });
  }
  const last = segments.at(-1);
  if (last && segments.length > 1 && (await isTornRoll(context, place, last))) {
    // The power went while this segment was being made: nothing was written to it yet.
    await context.files.forget(last.path);
    await context.disk.remove(last.path);
    await context.disk.syncDirectory(place.directory);
    segments.pop();
  }
  if (segments.length === 0) throw damaged(place, place.directory, 0, "there is no segment in the folder");
  return segments;
}

async function isTornRoll(context: LogContext, place: PartitionPlace, segment: Segment): Promise<boolean> {
  return segment.sizeBytes <= segmentHeaderBytes && (await headerFaultOf(context, place, segment)) !== undefined;
}

async function headerFaultOf(
  context: LogContext,
  place: PartitionPlace,
  segment: Segment,
): Promise<string | undefined> {
  const header = Buffer.alloc(segmentHeaderBytes);
  const count = await context.files.use(segment.path, (file) => file.read(header, 0));
  const expected = { topicId: place.topicId, partition: place.partition, baseOffset: segment.baseOffset };
  return segmentHeaderFault(header.subarray(0, count), expected, segment.path);
}

/** The segment at which reading back begins. All headers are looked at: a file from elsewhere is noticed before it is read. */
async function startOf(
  context: LogContext,
  place: PartitionPlace,
  segments: readonly Segment[],
  checkpoint: PartitionCheckpoint | undefined,
): Promise<number> {
  for (const segment of segments) {
    const fault = await headerFaultOf(context, place, segment);
    if (fault) throw damaged(place, segment.path, 0, fault);
  }
  if (!checkpoint) return 0;
  const at = segments.findIndex((segment) => segment.baseOffset === checkpoint.segment);
  const segment = segments[at];
  if (!segment) throw damaged(place, place.directory, 0, `segment ${segmentFileName(checkpoint.segment)} is missing`);
  if (segment.sizeBytes < checkpoint.bytePosition) {
    throw damaged(place, segment.path, segment.sizeBytes, `${checkpoint.bytePosition} bytes of it were durable`);
  }
  return at;
}

interface Fault {
  readonly bytePosition: number;
  readonly offset: number;
  readonly fault: string;
}

async function assertTorn(
  context: LogContext,
  place: PartitionPlace,
  settings: PartitionSettings,
  segment: Segment,
  isLast: boolean,
  end: Fault,
): Promise<void> {
  if (!isLast) throw damaged(place, segment.path, end.bytePosition, end.fault);
  // Without syncs a crash may have torn any part of it.
  if (settings.durability === "os") return;
  const tornBytesMax = context.limits.groupBytesMax + context.limits.unsyncedBytesMax;
  const behind = await context.files.use(segment.path, (file) =>
    findBatchBehind(file, end.bytePosition + tornBytesMax, end.offset, segment.sizeBytes),
  );
  if (behind !== undefined) throw damaged(place, segment.path, end.bytePosition, end.fault);
}

async function cutBack(context: LogContext, place: PartitionPlace, segment: Segment, end: Fault): Promise<void> {
  context.diagnostics.warn("the end of a partition was torn by a crash and has been cut off", {
    topic: place.topic,
    partition: place.partition,
    path: segment.path,
    bytePosition: end.bytePosition,
    cutBytes: segment.sizeBytes - end.bytePosition,
    nextOffset: end.offset,
    fault: end.fault,
  });
  await context.files.use(segment.path, (file) => file.truncate(end.bytePosition));
  segment.sizeBytes = end.bytePosition;
}

/** What was read back may never have been synced, when the process died and the machine did not. */
async function makeSure(context: LogContext, place: PartitionPlace, active: Segment): Promise<void> {
  await context.files.use(active.path, (file) => file.datasync());
  await context.disk.syncDirectory(place.directory);
}

async function activeIndex(context: LogContext, active: Segment, gaps: boolean): Promise<OffsetIndex> {
  const stored = await readIndex(context.disk, active);
  const usable = stored && stored.endBytes <= active.sizeBytes ? stored : undefined;
  const index = await buildIndex(context.files, active, usable, active.sizeBytes, gaps);
  if (index.endBytes === active.sizeBytes || !usable) return index;
  return buildIndex(context.files, active, undefined, active.sizeBytes, gaps);
}

/** A batch's effect on the transactions of its partition. */
export function follow(trail: TransactionTrail, batch: Buffer): void {
  const { attributes, producerId, producerEpoch, baseOffset, lastOffset } = readBatchHeader(batch);
  if (!isTransactional(attributes)) return;
  if (!isControl(attributes)) {
    trail.data(producerId, producerEpoch, baseOffset);
    return;
  }
  const kind = controlKind(batch);
  // Kafka has other kinds of control batch, which end nothing.
  if (kind) trail.marker(kind, producerId, lastOffset);
}
