/**
 * Everything that stands in the folder of one partition, and what a start would make of it. The start is tried on an
 * overlay, so that what is said of it is what it does; nothing on the disk changes.
 *
 * Not here: what of it is told, and how (partition-findings.ts), and what can be done about it (repair-plan.ts).
 */
import * as path from "node:path";
import type { Clock } from "../../base/clock.ts";
import type { Diagnostics } from "../../base/diagnostics.ts";
import type { Disk } from "../../base/disk.ts";
import { MillraceError } from "../../base/errors.ts";
import { Gate } from "../../base/gate.ts";
import { checkBatchWhole } from "../../records/batch-validator.ts";
import { readInt64 } from "../../records/int64.ts";
import { finishSwap, swapFile } from "../cleaner/swap.ts";
import { FilePool } from "../file-pool.ts";
import type { JournaledBatches } from "../journal-recovery.ts";
import type { LogContext, LogLimits, PartitionPlace, PartitionSettings } from "../log-context.ts";
import { type PartitionCheckpoint, recoverPartition } from "../partition-recovery.ts";
import {
  firstPartitionState,
  type PartitionState,
  partitionStateFile,
  readPartitionState,
} from "../partition-state.ts";
import { segmentHeaderBytes, segmentHeaderFault } from "../segment.ts";
import { readSegmentIndex, SegmentIndexes } from "../segment-index.ts";
import { companionNames, draftSuffix, parseSegmentName } from "../segment-name.ts";
import { TailCache } from "../tail-cache.ts";
import { WriteMemory } from "../write-memory.ts";
import { OverlayDisk } from "./overlay-disk.ts";
import { isUnreadable, SegmentBytes } from "./segment-bytes.ts";
import { scanTolerantly, type TolerantScan } from "./tolerant-scan.ts";

export interface SurveyContext {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly limits: LogLimits;
  /** Also looks at each record, of compressed batches too. */
  readonly deep: boolean;
  readonly signal: AbortSignal | undefined;
  readonly onRead: (bytes: number) => void;
}

/** What there is of one partition beside its folder. */
export interface PartitionKnown {
  readonly place: PartitionPlace;
  readonly settings: PartitionSettings;
  readonly checkpoint: PartitionCheckpoint | undefined;
  readonly journaled: JournaledBatches | undefined;
}

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

export interface TornEnd {
  readonly path: string;
  readonly bytePosition: number;
  readonly cutBytes: number;
  readonly nextOffset: number;
  readonly fault: string;
}

/** What the next start makes of the partition. */
export type NextStart =
  | {
      readonly kind: "serves";
      readonly nextOffset: number;
      readonly torn: TornEnd | undefined;
      readonly journaledBytes: number;
      readonly removed: readonly string[];
    }
  | { readonly kind: "refuses"; readonly error: MillraceError };

export interface PartitionSurvey extends PartitionKnown {
  readonly hasFolder: boolean;
  readonly state:
    | { readonly kind: "missing" | "read"; readonly value: PartitionState }
    | { readonly kind: "damaged"; readonly reason: string };
  readonly swap: "none" | "pending" | { readonly damaged: string };
  readonly next: NextStart;
  /**
   * As a start finds them when it serves, else as they stand; a swap that was decided is taken for done. In the order of
   * their names.
   */
  readonly segments: readonly SegmentSurvey[];
  /** Names of other files that nothing of the log explains. */
  readonly strangers: readonly string[];
  readonly drafts: readonly string[];
}

interface TornFields {
  readonly path: string;
  readonly bytePosition: number;
  readonly cutBytes: number;
  readonly nextOffset: number;
  readonly fault: string;
}

/** Throws `LOG_FORMAT_NEWER`, and the signal's reason. */
export async function surveyPartition(context: SurveyContext, known: PartitionKnown): Promise<PartitionSurvey> {
  const { disk } = context;
  const { directory } = known.place;
  if (!(await disk.exists(directory))) {
    const error = new MillraceError("PARTITION_DAMAGED", `${directory} is missing`);
    return {
      ...known,
      hasFolder: false,
      state: { kind: "missing", value: firstPartitionState },
      swap: "none",
      next: { kind: "refuses", error },
      segments: [],
      strangers: [],
      drafts: [],
    };
  }
  const names = await disk.list(directory);
  const { next, view, swap } = await tryStart(context, known, names);
  const segments: SegmentSurvey[] = [];
  const files = (await view.list(directory)).filter((name) => parseSegmentName(name));
  for (const name of files) segments.push(await surveySegment(context, view, known.place, name, nextBase(files, name)));
  return {
    ...known,
    hasFolder: true,
    state: await stateOf(disk, known.place, names),
    swap,
    next,
    segments,
    strangers: strangersOf(names),
    drafts: names.filter((name) => name.endsWith(draftSuffix)),
  };
}

async function tryStart(
  context: SurveyContext,
  { place, settings, checkpoint, journaled }: PartitionKnown,
  names: readonly string[],
): Promise<{ next: NextStart; view: OverlayDisk; swap: PartitionSurvey["swap"] }> {
  const tried = new OverlayDisk(context.disk);
  const pending = names.includes(swapFile);
  let torn: TornEnd | undefined;
  const files = new FilePool(tried, 4);
  const contextOf = startContext(context, tried, files, (fields) => {
    torn = fields;
  });
  try {
    const { nextOffset, segments } = await recoverPartition(contextOf, place, settings, checkpoint, journaled);
    const last = segments.at(-1)?.path ?? place.directory;
    const removed = names.filter((name) => tried.hasRemoved(path.join(place.directory, name)));
    const journaledBytes = tried.writtenBytes(last);
    const next: NextStart = { kind: "serves", nextOffset, torn, journaledBytes, removed };
    return { next, view: tried, swap: pending ? "pending" : "none" };
  } catch (error) {
    const refusal = isUnreadable(error) ? unreadable(error) : error;
    if (!MillraceError.is(refusal, "PARTITION_DAMAGED")) throw error;
    const view = new OverlayDisk(context.disk);
    const swap = await finishSwap(view, place).then(
      () => (pending ? ("pending" as const) : ("none" as const)),
      (cause) => ({ damaged: reasonOf(cause) }),
    );
    const asItStands = typeof swap === "object" ? new OverlayDisk(context.disk) : view;
    return { next: { kind: "refuses", error: refusal }, view: asItStands, swap };
  } finally {
    await files.close();
  }
}

function reasonOf(error: unknown): string {
  if (isUnreadable(error)) return "it cannot be read";
  if (!MillraceError.is(error, "PARTITION_DAMAGED")) throw error;
  return error.message;
}

function unreadable(cause: unknown): MillraceError {
  return new MillraceError("PARTITION_DAMAGED", `the disk cannot read it: ${(cause as Error).message}`, { cause });
}

/** For a start that is tried; only its report of a torn end is listened to. */
export function startContext(
  { clock, limits }: Pick<SurveyContext, "clock" | "limits">,
  disk: Disk,
  files: FilePool,
  onTorn: (torn: TornEnd) => void,
): LogContext {
  const diagnostics: Diagnostics = {
    debug() {},
    info() {},
    warn(_message, fields) {
      if (typeof fields?.cutBytes === "number") onTorn(fields as unknown as TornFields);
    },
    error() {},
    child: () => diagnostics,
  };
  return {
    disk,
    clock,
    diagnostics,
    limits,
    files,
    indexes: new SegmentIndexes(disk, files, 1),
    tails: new TailCache(0),
    memory: new WriteMemory(0),
    oldReads: new Gate(1),
  };
}

async function stateOf(disk: Disk, place: PartitionPlace, names: readonly string[]): Promise<PartitionSurvey["state"]> {
  try {
    const value = await readPartitionState(disk, place);
    if (!isState(value)) return { kind: "damaged", reason: "its content is not that of such a file" };
    return { kind: names.includes(partitionStateFile) ? "read" : "missing", value };
  } catch (error) {
    return { kind: "damaged", reason: reasonOf(error) };
  }
}

function isState(value: PartitionState): boolean {
  const { logStart, epochs, cleanedTo } = value ?? {};
  if (!Number.isSafeInteger(logStart) || !Number.isSafeInteger(cleanedTo) || !Array.isArray(epochs)) return false;
  return epochs.every((one) => Number.isSafeInteger(one?.epoch) && Number.isSafeInteger(one?.startOffset));
}

/** The first offset of the segment behind this one, by the names. */
function nextBase(names: readonly string[], name: string): number {
  const own = parseSegmentName(name)?.baseOffset ?? 0;
  const later = names.map((other) => parseSegmentName(other)?.baseOffset ?? 0).filter((offset) => offset > own);
  return Math.min(Number.MAX_SAFE_INTEGER, ...later);
}

async function surveySegment(
  context: SurveyContext,
  view: Disk,
  place: PartitionPlace,
  name: string,
  endOffsetMax: number,
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
      endOffsetMax: belongs ? Number.MAX_SAFE_INTEGER : endOffsetMax,
    };
    const scan = await scanTolerantly(bytes, from, (batch, { leaderEpoch, baseOffset: offset }, bytePosition) => {
      if (leaderEpoch < epoch) epochBack ??= { bytePosition, offset };
      epoch = Math.max(epoch, leaderEpoch);
      if (!context.deep || unreadableRecords.length >= toldMax) return;
      const reason = recordsFault(batch);
      if (reason !== undefined) unreadableRecords.push({ bytePosition, offset, reason });
    });
    const index = await indexOf(view, place.directory, name, { baseOffset, path: file, sizeBytes });
    const what = { baseOffset, generation, path: file, sizeBytes };
    return { ...what, headerFault, belongs, index, unreadableRecords, epochBack, ...scan };
  } finally {
    await handle.close();
  }
}

/** Of a kind of finding so many are told in one segment. */
export const toldMax = 100;

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

function strangersOf(names: readonly string[]): string[] {
  const companions = new Set(names.filter((name) => parseSegmentName(name)).flatMap(companionNames));
  return names.filter((name) => {
    if (parseSegmentName(name) || companions.has(name) || name.endsWith(draftSuffix)) return false;
    return ![partitionStateFile, `${partitionStateFile}.new`, swapFile, `${swapFile}.new`].includes(name);
  });
}
