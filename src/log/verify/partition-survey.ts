/**
 * Everything that stands in the folder of one partition, and what a start would make of it. The start is tried on an
 * overlay, so that what is said of it is what it does; nothing on the disk changes.
 *
 * Not here: what of it is told, and how (partition-findings.ts), and what can be done about it (partition-plan.ts).
 */
import * as path from "node:path";
import type { Clock } from "../../base/clock.ts";
import type { Diagnostics } from "../../base/diagnostics.ts";
import type { Disk } from "../../base/disk.ts";
import { MillraceError } from "../../base/errors.ts";
import { Gate } from "../../base/gate.ts";
import { finishSwap, swapFile } from "../cleaner/swap.ts";
import { FilePool } from "../file-pool.ts";
import type { JournaledBatches } from "../journal-recovery.ts";
import { KeyMemory } from "../keys/key-memory.ts";
import type { LogContext, LogLimits, PartitionPlace, PartitionSettings } from "../log-context.ts";
import { type PartitionCheckpoint, recoverPartition } from "../partition-recovery.ts";
import {
  firstPartitionState,
  type PartitionState,
  partitionStateFile,
  readPartitionState,
} from "../partition-state.ts";
import { ReadAhead } from "../read-ahead.ts";
import { ReadMemory } from "../read-memory.ts";
import { SegmentIndexes } from "../segment-index.ts";
import { companionNames, draftSuffix, parseSegmentName } from "../segment-name.ts";
import { TailCache } from "../tail-cache.ts";
import { WriteMemory } from "../write-memory.ts";
import { OverlayDisk } from "./overlay-disk.ts";
import { isUnreadable } from "./segment-bytes.ts";
import { type SegmentEnd, type SegmentSurvey, surveySegment } from "./segment-survey.ts";

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
  for (const name of files) {
    segments.push(await surveySegment(context, view, known.place, name, endOf(files, name, known.checkpoint)));
  }
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
  const readMemory = new ReadMemory(0);
  return {
    disk,
    clock,
    diagnostics,
    limits,
    files,
    indexes: new SegmentIndexes(disk, files, 1),
    tails: new TailCache(0),
    keys: new KeyMemory(0),
    memory: new WriteMemory(0),
    readMemory,
    ahead: new ReadAhead(readMemory, 0),
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

/** Where a segment ends, as far as names and the checkpoint tell. */
function endOf(names: readonly string[], name: string, checkpoint: PartitionCheckpoint | undefined): SegmentEnd {
  const own = parseSegmentName(name)?.baseOffset ?? 0;
  const later = names.map((other) => parseSegmentName(other)?.baseOffset ?? 0).filter((offset) => offset > own);
  const offsetMax = later.reduce((least, offset) => Math.min(least, offset), Number.MAX_SAFE_INTEGER);
  const isLast = later.length === 0;
  return { offsetMax, offset: isLast && checkpoint?.segment === own ? checkpoint.offset : offsetMax };
}

function strangersOf(names: readonly string[]): string[] {
  const companions = new Set(names.filter((name) => parseSegmentName(name)).flatMap(companionNames));
  return names.filter((name) => {
    if (parseSegmentName(name) || companions.has(name) || name.endsWith(draftSuffix)) return false;
    return ![partitionStateFile, `${partitionStateFile}.new`, swapFile, `${swapFile}.new`].includes(name);
  });
}
