/**
 * What to do about the damage of one partition: steps, each of which can be done again. Pure.
 *
 * Every right batch is kept, at its offset. Where records are lost the offsets stay empty, which only a cleaned segment
 * may show (segment-name.ts): a damaged segment is written anew as its next generation, and one that ends too early gets
 * that name. A cleaned segment is never appended to, so a new one begins behind the last. The offsets that were durable
 * are not given out again, and the leader epoch grows, so that clients notice.
 */
import * as path from "node:path";
import { batchLastOffset } from "../../records/batch-header.ts";
import { swapFile } from "../cleaner/swap.ts";
import { type PartitionState, partitionStateFile } from "../partition-state.ts";
import { segmentHeaderBytes } from "../segment.ts";
import { makeSegmentName, parseSegmentName, type SegmentName } from "../segment-name.ts";
import type { PartitionSurvey } from "./partition-survey.ts";
import type { SegmentSurvey } from "./segment-survey.ts";
import type { BatchRun } from "./tolerant-scan.ts";

/** A part of a segment that is written anew, in the order of offsets. */
export type Piece =
  | { readonly kind: "file"; readonly fromBytes: number; readonly toBytes: number }
  | { readonly kind: "journal"; readonly offset: number };

export type RepairStep =
  /** Copied before anything is changed. */
  | {
      readonly kind: "keep-aside";
      readonly path: string;
      readonly fromBytes: number;
      readonly toBytes: number;
      readonly reason: string;
    }
  /** What a start does by itself. */
  | { readonly kind: "read-back" }
  | { readonly kind: "end-swap" }
  | { readonly kind: "state"; readonly state: PartitionState }
  | { readonly kind: "begin"; readonly baseOffset: number }
  | { readonly kind: "move"; readonly from: string; readonly to: string }
  | {
      readonly kind: "rewrite";
      readonly remove: string;
      readonly add: SegmentName;
      readonly pieces: readonly Piece[];
    }
  | { readonly kind: "remove"; readonly path: string };

export interface PartitionRepair {
  readonly survey: PartitionSurvey;
  /** Done in all partitions before the others begin: names become free, and files come to where they belong. */
  readonly first: readonly RepairStep[];
  readonly then: readonly RepairStep[];
  /** Offsets without a record afterwards, that had one or may have had one. */
  readonly missing: readonly { readonly from: number; readonly to: number }[];
  readonly lostBytes: number;
  readonly nextOffset: number;
}

/** Epochs that a state file may have known and no batch tells of. */
const lostEpochsMax = 1000;

/** One segment of the partition as it will stand, before what is damaged in it is looked at. */
interface Source {
  readonly survey: SegmentSurvey;
  readonly baseOffset: number;
  readonly generation: number;
  /** Where it will stand. */
  readonly path: string;
}

interface Journaled {
  readonly offset: number;
  readonly endOffset: number;
}

/**
 * `foreign` are segments of this partition that stand in other folders, `strays` those in its folder that belong nowhere.
 */
export function planPartition(
  survey: PartitionSurvey,
  foreign: readonly SegmentSurvey[],
  strays: readonly SegmentSurvey[],
): PartitionRepair {
  return new PartitionPlanner(survey).plan(foreign, strays);
}

class PartitionPlanner {
  readonly #survey: PartitionSurvey;
  readonly #aside: RepairStep[] = [];
  /** Of segments that stood in the wrong place. */
  readonly #arrivals: RepairStep[] = [];
  readonly #renames: RepairStep[] = [];
  readonly #rewrites: RepairStep[] = [];
  readonly #removals: RepairStep[] = [];
  readonly #missing: { from: number; to: number }[] = [];
  readonly #journaled: readonly Journaled[];
  /** The largest generation that was ever used for a first offset. */
  readonly #generations = new Map<number, number>();
  #lostBytes = 0;
  #epochMax = 0;

  constructor(survey: PartitionSurvey) {
    this.#survey = survey;
    this.#journaled = [...(survey.journaled?.batches ?? [])]
      .map(([offset, batch]) => ({ offset, endOffset: batchLastOffset(batch) + 1 }))
      .sort((a, b) => a.offset - b.offset);
    for (const name of [...survey.segments.map((one) => path.basename(one.path)), ...survey.drafts]) {
      const parsed = parseSegmentName(name.replace(/\.draft$/, ""));
      if (parsed) this.#useGeneration(parsed);
    }
  }

  plan(foreign: readonly SegmentSurvey[], strays: readonly SegmentSurvey[]): PartitionRepair {
    const { checkpoint, state, next } = this.#survey;
    const begun = this.#begin();
    for (const stray of strays) this.#removeSegment(stray, "it belongs to no partition that lacks it");
    const sources = this.#sources(foreign);
    const logStart = this.#logStart(sources);
    const { end, isLastOpen } = this.#walk(sources, logStart);
    const nextOffset = next.kind === "serves" ? Math.max(end, next.nextOffset) : Math.max(end, checkpoint?.offset ?? 0);
    // Without any segment the journal's batches find their place behind the new one by themselves.
    const base = end === logStart && sources.length === 0 ? (this.#journaled[0]?.offset ?? nextOffset) : nextOffset;
    const needsBegin = !isLastOpen || end < base;
    if (needsBegin && end < base && end > logStart) this.#missing.push({ from: end, to: base });
    const first: RepairStep[] = [
      ...this.#aside,
      ...begun,
      { kind: "state", state: this.#stateOf(Math.min(logStart, base), base, state) },
      ...this.#arrivals,
      ...this.#removals,
    ];
    const then: RepairStep[] = [
      ...(needsBegin ? [{ kind: "begin" as const, baseOffset: base }] : []),
      ...this.#renames,
      ...this.#rewrites,
    ];
    return { survey: this.#survey, first, then, missing: this.#missing, lostBytes: this.#lostBytes, nextOffset: base };
  }

  /** What a start would do first, or what keeps it from doing so put away. */
  #begin(): RepairStep[] {
    const { next, swap, place, state, drafts } = this.#survey;
    const at = (name: string) => path.join(place.directory, name);
    if (state.kind === "damaged") this.#keepWhole(at(partitionStateFile), "the state file is damaged");
    if (typeof swap === "object") {
      this.#remove(at(swapFile), "what a compaction replaced is not known");
      for (const name of drafts) this.#remove(at(name), "a compaction did not end");
    }
    if (next.kind === "serves") {
      const { torn } = next;
      if (torn) {
        const toBytes = torn.bytePosition + torn.cutBytes;
        this.#keepAside(torn.path, torn.bytePosition, toBytes, `a torn end: ${torn.fault}`);
      }
      return [{ kind: "read-back" }];
    }
    return swap === "pending" ? [{ kind: "end-swap" }] : [];
  }

  /** In the order of their offsets; of the same first offset the newest generation first. */
  #sources(foreign: readonly SegmentSurvey[]): Source[] {
    const { segments, place } = this.#survey;
    const own = segments.filter(({ belongs }) => belongs === undefined);
    const sources: Source[] = own.map((survey) => {
      const { baseOffset, generation, path: file } = survey;
      return { survey, baseOffset, generation, path: file };
    });
    const known = new Set(own.map(({ baseOffset }) => baseOffset));
    const displaced = segments.filter(({ belongs }) => belongs && this.#isOurs(belongs));
    for (const survey of [...displaced, ...foreign]) {
      const baseOffset = survey.belongs?.baseOffset ?? survey.baseOffset;
      if (known.has(baseOffset)) {
        this.#removeSegment(survey, "another file has the same first offset");
        continue;
      }
      known.add(baseOffset);
      const generation = Math.max(survey.generation, (this.#generations.get(baseOffset) ?? -1) + 1);
      this.#useGeneration({ baseOffset, generation });
      const to = path.join(place.directory, makeSegmentName({ baseOffset, generation }));
      this.#arrivals.push({ kind: "move", from: survey.path, to });
      sources.push({ survey, baseOffset, generation, path: to });
    }
    return sources
      .filter((source) => !this.#isEmptied(source))
      .sort((a, b) => a.baseOffset - b.baseOffset || b.generation - a.generation);
  }

  /** Takes away what has no right batch in it; what stood in it may be missing or not. */
  #isEmptied({ survey, path: file }: Source): boolean {
    if (survey.runs.length > 0 || !isDamaged(survey)) return false;
    this.#keepWhole(survey.path, survey.headerFault ?? survey.faults[0]?.reason ?? "it is damaged");
    this.#removals.push({ kind: "remove", path: file });
    this.#lostBytes += Math.max(0, survey.sizeBytes - segmentHeaderBytes);
    return true;
  }

  #isOurs({ topicId, partition }: { readonly topicId: string; readonly partition: number }): boolean {
    const { place } = this.#survey;
    return topicId === place.topicId && partition === place.partition;
  }

  #logStart(sources: readonly Source[]): number {
    const { state, checkpoint } = this.#survey;
    const first = sources[0];
    const known = state.kind === "damaged" ? 0 : state.value.logStart;
    if (!first) return Math.max(known, this.#journaled[0]?.offset ?? checkpoint?.offset ?? 0);
    if (state.kind === "damaged") return first.baseOffset;
    if (first.baseOffset <= known || first.generation > 0) return known;
    this.#missing.push({ from: known, to: first.baseOffset });
    return first.baseOffset;
  }

  /** Decides about each segment. Answers where the last one ends, and whether it may be appended to. */
  #walk(sources: readonly Source[], logStart: number): { end: number; isLastOpen: boolean } {
    let end = logStart;
    let isLastOpen = false;
    sources.forEach((source, i) => {
      const isLast = i === sources.length - 1;
      const limit = sources[i + 1]?.baseOffset ?? Number.POSITIVE_INFINITY;
      const from = i === 0 ? source.baseOffset : Math.max(end, source.baseOffset);
      const { survey } = source;
      const kept = survey.runs.filter((run) => run.firstOffset >= from);
      if (kept.length === 0 && i > 0 && source.baseOffset < end) {
        this.#removeSegment({ ...survey, path: source.path }, "its records stand in the segment before");
        return;
      }
      const { next, checkpoint } = this.#survey;
      const known = next.kind === "serves" ? next.nextOffset : (checkpoint?.offset ?? 0);
      const fills = this.#fillsOf(kept, from, limit);
      const { pieces, holes, endOffset } = arrange(kept, fills, from);
      const isChanged = isDamaged(survey) || kept.length < survey.runs.length || fills.length > 0;
      const endsShort = endOffset < (isLast ? known : limit);
      const needsGap = source.generation === 0 && (holes.length > 0 || endsShort);
      for (const { leaderEpochMax } of kept) this.#epochMax = Math.max(this.#epochMax, leaderEpochMax);
      this.#missing.push(...holes.filter(() => source.generation === 0 || isChanged));
      if (!isLast && endsShort && (source.generation === 0 || isChanged))
        this.#missing.push({ from: endOffset, to: limit });
      isLastOpen = source.generation === 0 && !isChanged && !needsGap;
      if (isChanged) this.#rewrite(source, kept, pieces, from);
      else if (needsGap) this.#rename(source);
      end = Math.max(end, endOffset);
    });
    return { end, isLastOpen };
  }

  /** Batches of the journal for the offsets that the runs do not have. */
  #fillsOf(kept: readonly BatchRun[], from: number, limit: number): Journaled[] {
    // Behind the end of what a start serves it has put them already.
    const end = this.#survey.next.kind === "serves" ? (kept.at(-1)?.endOffset ?? from) : limit;
    let reached = from;
    return this.#journaled.filter(({ offset, endOffset }) => {
      if (offset < reached || endOffset > Math.min(end, limit)) return false;
      if (kept.some((run) => offset < run.endOffset && endOffset > run.firstOffset)) return false;
      reached = endOffset;
      return true;
    });
  }

  #rewrite(source: Source, kept: readonly BatchRun[], pieces: readonly Piece[], from: number): void {
    const { survey, baseOffset } = source;
    for (const [fromBytes, toBytes] of gapsBetween(kept, survey.sizeBytes)) {
      const fault = survey.faults.find((one) => one.fromBytes >= fromBytes && one.fromBytes < toBytes);
      this.#keepAside(survey.path, fromBytes, toBytes, fault?.reason ?? "its offsets stand in the segment before");
      this.#lostBytes += toBytes - fromBytes;
    }
    if (survey.headerFault !== undefined && !survey.belongs) {
      this.#keepAside(survey.path, 0, Math.min(segmentHeaderBytes, survey.sizeBytes), survey.headerFault);
    }
    const first = from > baseOffset && kept[0] ? kept[0].firstOffset : baseOffset;
    const generation = 1 + (this.#generations.get(first) ?? 0);
    this.#useGeneration({ baseOffset: first, generation });
    this.#rewrites.push({ kind: "rewrite", remove: source.path, add: { baseOffset: first, generation }, pieces });
  }

  #rename({ path: file, baseOffset }: Source): void {
    const generation = 1 + (this.#generations.get(baseOffset) ?? 0);
    this.#useGeneration({ baseOffset, generation });
    const to = path.join(this.#survey.place.directory, makeSegmentName({ baseOffset, generation }));
    this.#renames.push({ kind: "move", from: file, to });
  }

  #removeSegment(survey: SegmentSurvey, reason: string): void {
    this.#remove(survey.path, reason);
    this.#lostBytes += survey.sizeBytes;
  }

  #remove(file: string, reason: string): void {
    this.#keepWhole(file, reason);
    this.#removals.push({ kind: "remove", path: file });
  }

  #keepWhole(file: string, reason: string): void {
    this.#keepAside(file, 0, Number.POSITIVE_INFINITY, reason);
  }

  #keepAside(file: string, fromBytes: number, toBytes: number, reason: string): void {
    this.#aside.push({ kind: "keep-aside", path: file, fromBytes, toBytes, reason });
  }

  #useGeneration({ baseOffset, generation }: SegmentName): void {
    this.#generations.set(baseOffset, Math.max(this.#generations.get(baseOffset) ?? 0, generation));
  }

  /** The same again when a repair that was broken off is done again. */
  #stateOf(logStart: number, startOffset: number, { kind, ...state }: PartitionSurvey["state"]): PartitionState {
    const known = kind !== "damaged" && "value" in state ? state.value : undefined;
    const isLost = known === undefined || !this.#survey.hasFolder;
    const epochs = known?.epochs ?? [{ epoch: 0, startOffset: logStart }];
    const newest = epochs.at(-1);
    const cleanedTo = known?.cleanedTo ?? 0;
    if (newest && newest.startOffset === startOffset && newest.epoch > this.#epochMax)
      return { logStart, epochs, cleanedTo };
    const epoch = 1 + Math.max(newest?.epoch ?? 0, this.#epochMax) + (isLost ? lostEpochsMax : 0);
    return { logStart, epochs: [...epochs, { epoch, startOffset }], cleanedTo };
  }
}

function isDamaged({ faults, headerFault, belongs }: SegmentSurvey): boolean {
  return faults.length > 0 || (headerFault !== undefined && belongs === undefined);
}

function arrange(
  kept: readonly BatchRun[],
  fills: readonly Journaled[],
  from: number,
): { pieces: Piece[]; holes: { from: number; to: number }[]; endOffset: number } {
  const parts = [
    ...kept.map(({ firstOffset, endOffset, fromBytes, toBytes }) => {
      const piece: Piece = { kind: "file", fromBytes, toBytes };
      return { firstOffset, endOffset, piece };
    }),
    ...fills.map(({ offset, endOffset }) => {
      const piece: Piece = { kind: "journal", offset };
      return { firstOffset: offset, endOffset, piece };
    }),
  ].sort((a, b) => a.firstOffset - b.firstOffset);
  const holes: { from: number; to: number }[] = [];
  let end = from;
  for (const { firstOffset, endOffset } of parts) {
    if (firstOffset > end) holes.push({ from: end, to: firstOffset });
    end = endOffset;
  }
  return { pieces: parts.map(({ piece }) => piece), holes, endOffset: end };
}

/** The ranges behind the header that no run covers. */
function gapsBetween(runs: readonly BatchRun[], sizeBytes: number): [number, number][] {
  const gaps: [number, number][] = [];
  let at = segmentHeaderBytes;
  for (const { fromBytes, toBytes } of runs) {
    if (fromBytes > at) gaps.push([at, fromBytes]);
    at = toBytes;
  }
  if (at < sizeBytes) gaps.push([at, sizeBytes]);
  return gaps;
}
