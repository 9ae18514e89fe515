/**
 * One cleaning of a partition's closed segments. The first pass notes the latest offset of every key in the dirty part, as
 * far as the map holds; the second goes from the log's start to there and writes the segments anew without what is
 * superseded (batch-filter.ts). Offsets and order stay; batches that lose nothing are copied as they are.
 *
 * Always true: no segment is touched, only drafts are written, and they are durable when they are handed over. Handing
 * over is in offset order, and must be committed in it (swap.ts): a tombstone then never goes before what it deletes.
 * Memory: the map, `chunksInMemory` chunks, and the batches that are larger than a chunk while they are looked at.
 * Not here: when (cleaning-plan.ts), and putting the drafts in place (swap.ts).
 */
import * as path from "node:path";
import type { Disk } from "../../base/disk.ts";
import { invariant } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import {
  batchAttributes,
  batchBaseOffset,
  batchLastOffset,
  batchProducerId,
  isControl,
  isTransactional,
} from "../../records/batch-header.ts";
import { BatchRecords } from "../../records/batch-records.ts";
import type { FilePool } from "../file-pool.ts";
import type { PartitionPlace } from "../log-context.ts";
import type { Segment } from "../segment.ts";
import { nextSegmentName, parseSegmentName, type SegmentName } from "../segment-name.ts";
import { BatchFilter, type FilterCounts } from "./batch-filter.ts";
import { BatchWalk } from "./batch-walk.ts";
import { CleanedTransactions } from "./cleaned-transactions.ts";
import { groupSegments } from "./cleaning-plan.ts";
import { OffsetMap } from "./offset-map.ts";
import { RecordLot } from "./record-lot.ts";
import { type RewriteOptions, SegmentRewrite } from "./segment-rewrite.ts";

export const cleaningChunkBytes = 512 * 1024;
/** Two for each pass and for copying, what is made anew of one, and some air. */
const chunksInMemory = 8;

export interface Cleaning {
  readonly disk: Disk;
  readonly files: FilePool;
  readonly place: PartitionPlace;
  /** Closed ones, in offset order, from the log's start to `cleanableEnd`; later ones are not looked at. */
  readonly segments: readonly Segment[];
  /** Where the last cleaning ended (`cleanedTo`); the log's start when there was none. */
  readonly firstDirtyOffset: number;
  /** Where a segment begins, or the last one ends. */
  readonly cleanableEnd: number;
  readonly lastStable: number;
  readonly settings: { readonly segmentBytesMax: number; readonly tombstoneRetentionMs: number };
  readonly nowMs: number;
  /** For the map and the chunks; the map takes less when there are fewer offsets than it could hold. */
  readonly memoryBytesMax: number;
  readonly random: Random;
  /** The partition's aborted transactions with records in [from, end), wherever their markers are. */
  readonly abortedIn: RewriteOptions["abortedIn"];
  readonly isLastBatch: (producerId: number, lastOffset: number) => boolean;
  /** Puts a draft in place as soon as it is there, so that the disk needs room for one at a time. */
  readonly replace?: (replacement: Replacement) => Promise<void>;
  readonly signal?: AbortSignal;
  readonly throttle?: (bytes: number) => Promise<void>;
  readonly chunkBytes?: number;
}

export interface Replacement {
  /** Neighbours, in offset order. */
  readonly remove: readonly Segment[];
  readonly add: { readonly segment: Segment; readonly draftPath: string };
}

export interface CleaningStats extends FilterCounts {
  readonly keys: number;
  readonly mapBytes: number;
  /** Of the segments that were read in the second pass, and of what they are now. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

export interface CleaningResult {
  /** The next cleaning's first dirty offset; below `cleanableEnd` when the map was full: another round goes on there. */
  readonly cleanedTo: number;
  /** In offset order; with `replace` they are in place already. */
  readonly replacements: readonly Replacement[];
  readonly stats: CleaningStats;
}

/**
 * Throws `PARTITION_DAMAGED` (with the place), the disk's errors and the signal's reason; drafts that were not handed
 * over to `replace` are removed then.
 */
export async function cleanSegments(cleaning: Cleaning): Promise<CleaningResult> {
  const { cleanableEnd, firstDirtyOffset } = cleaning;
  invariant(cleanableEnd <= cleaning.lastStable, "what is not decided is not cleaned");
  invariant(firstDirtyOffset <= cleanableEnd, "the dirty part does not begin behind its end");
  const segments = cleaning.segments.filter(({ baseOffset }) => baseOffset < cleanableEnd);
  const map = new OffsetMap(
    cleaning.random,
    firstDirtyOffset,
    cleaning.memoryBytesMax - chunksInMemory * chunkBytesOf(cleaning),
    cleanableEnd - firstDirtyOffset,
  );
  const mappedEnd = await buildMap(cleaning, segments, map);
  const { replacements, counts } = await rewriteGroups(cleaning, segments, map, mappedEnd);
  const bytesBefore = segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  const savedBytes = replacements.reduce((sum, { remove, add }) => {
    return sum + remove.reduce((bytes, segment) => bytes + segment.sizeBytes, -add.segment.sizeBytes);
  }, 0);
  const stats = {
    ...counts,
    keys: map.size,
    mapBytes: map.sizeBytes,
    bytesBefore,
    bytesAfter: bytesBefore - savedBytes,
  };
  return { cleanedTo: mappedEnd, replacements, stats };
}

/** Answers the offset up to which all keys are in the map. */
async function buildMap(cleaning: Cleaning, segments: readonly Segment[], map: OffsetMap): Promise<number> {
  const { firstDirtyOffset, cleanableEnd } = cleaning;
  const transactions = new CleanedTransactions();
  const records = new BatchRecords();
  const lot = new RecordLot(map);
  const walk = newWalk(cleaning);
  let mappedEnd = cleanableEnd;
  const putLot = (): boolean => {
    map.fetch();
    for (let i = 0; i < lot.count; i++) {
      const offset = lot.offsets[i] as number;
      if (map.put(i, offset)) continue;
      mappedEnd = offset;
      return false;
    }
    lot.clear();
    return true;
  };
  const visit = (batch: Buffer): boolean => {
    if (batchLastOffset(batch) < firstDirtyOffset) return true;
    const attributes = batchAttributes(batch);
    if (isControl(attributes)) return true;
    const baseOffset = batchBaseOffset(batch);
    if (isTransactional(attributes) && transactions.data(batchProducerId(batch), baseOffset)) return true;
    records.open(batch);
    while (records.next()) {
      if (records.keyBytes < 0 || records.offset < firstDirtyOffset) continue;
      lot.add(records);
      if (lot.isFull && !putLot()) return false;
    }
    return putLot();
  };
  for (let i = 0; i < segments.length; i++) {
    const segment = segments[i] as Segment;
    const endOffset = segments[i + 1]?.baseOffset ?? cleanableEnd;
    if (endOffset <= firstDirtyOffset) continue;
    transactions.enterSegment(await cleaning.abortedIn(segment.baseOffset, endOffset));
    if (!(await walk.walk(segment, segment.sizeBytes, endOffset, { batch: visit }))) break;
  }
  return mappedEnd;
}

async function rewriteGroups(
  cleaning: Cleaning,
  segments: readonly Segment[],
  map: OffsetMap,
  mappedEnd: number,
): Promise<{ replacements: Replacement[]; counts: FilterCounts }> {
  const { nowMs, isLastBatch, cleanableEnd, replace } = cleaning;
  const { segmentBytesMax, tombstoneRetentionMs } = cleaning.settings;
  const transactions = new CleanedTransactions();
  const filter = new BatchFilter({ map, mappedEnd, nowMs, tombstoneRetentionMs, isLastBatch }, transactions);
  const { disk, place, abortedIn, throttle } = cleaning;
  const walk = newWalk(cleaning);
  const copyWalk = newWalk(cleaning);
  const options = { disk, place, walk, copyWalk, filter, transactions, abortedIn, throttle };
  const mapped = segments.filter(({ baseOffset }) => baseOffset < mappedEnd);
  const replacements: Replacement[] = [];
  let segmentsDone = 0;
  try {
    for (const group of groupSegments(mapped, segments[mapped.length]?.baseOffset ?? cleanableEnd, segmentBytesMax)) {
      segmentsDone += group.length;
      const endOffset = segments[segmentsDone]?.baseOffset ?? cleanableEnd;
      const add = await new SegmentRewrite(options, group, endOffset, nameOfGroup(group)).run();
      if (!add) continue;
      const replacement = { remove: group, add };
      replacements.push(replacement);
      await replace?.(replacement);
    }
  } catch (error) {
    if (!replace) await discard(cleaning.disk, replacements);
    throw error;
  }
  return { replacements, counts: filter.counts };
}

function nameOfGroup(group: readonly Segment[]): SegmentName {
  return nextSegmentName(
    group.map((segment) => {
      const name = parseSegmentName(path.basename(segment.path));
      invariant(name?.baseOffset === segment.baseOffset, "a segment is named by its first offset");
      return name;
    }),
  );
}

/** No failure when the disk refuses: the next start removes them. */
async function discard(disk: Disk, replacements: readonly Replacement[]): Promise<void> {
  for (const { add } of replacements) await disk.remove(add.draftPath).catch(() => undefined);
}

function newWalk(cleaning: Cleaning): BatchWalk {
  const { files, place, signal, throttle } = cleaning;
  return new BatchWalk({ files, place, chunkBytes: chunkBytesOf(cleaning), signal, throttle });
}

function chunkBytesOf(cleaning: Cleaning): number {
  return cleaning.chunkBytes ?? cleaningChunkBytes;
}
