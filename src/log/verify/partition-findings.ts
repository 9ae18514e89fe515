/** What is wrong with one partition, and where, in the words that an operator reads. Pure. */
import * as path from "node:path";
import { batchLastOffset } from "../../records/batch-header.ts";
import { swapFile } from "../cleaner/swap.ts";
import { partitionStateFile } from "../partition-state.ts";
import { segmentHeaderBytes } from "../segment.ts";
import { companionNames } from "../segment-name.ts";
import { type Finding, type FindingCode, type FindingPlace, type FindingSeverity, findingOf } from "./finding.ts";
import type { PartitionSurvey } from "./partition-survey.ts";
import { type SegmentSurvey, toldMax } from "./segment-survey.ts";
import type { ByteFault } from "./tolerant-scan.ts";

interface Lost {
  readonly records?: number;
  readonly bytes?: number;
}

type Say = (severity: FindingSeverity, code: FindingCode, at: FindingPlace, message: string, lost?: Lost) => void;

export function findingsOf(survey: PartitionSurvey): Finding[] {
  const findings: Finding[] = [];
  const { topic, partition, directory } = survey.place;
  const say: Say = (severity, code, at, message, lost) => {
    findings.push(findingOf(severity, code, { topic, partition, ...at }, message, lost));
  };
  if (!survey.hasFolder) {
    const offset = survey.checkpoint?.offset;
    const known = offset === undefined ? "" : `; it had offsets up to ${offset - 1}`;
    say("damage", "PARTITION_MISSING", { path: directory }, `the folder of the partition is missing${known}`, {
      records: offset ?? 0,
    });
    return findings;
  }
  sayOfFolder(survey, say);
  sayOfStart(survey, say);
  survey.segments.forEach((segment, i) => {
    sayOfSegment(survey, segment, i === survey.segments.length - 1, say);
  });
  sayOfOffsets(survey, say);
  const { next } = survey;
  if (next.kind === "refuses" && !findings.some(({ severity }) => severity === "damage")) {
    const { path: at, bytePosition } = next.error.details;
    const place = typeof at === "string" ? { path: at, bytePosition: Number(bytePosition) } : { path: directory };
    say("damage", "PARTITION_REFUSED", place, next.error.message);
  }
  return findings;
}

function sayOfFolder({ place, state, swap, drafts, strangers }: PartitionSurvey, say: Say): void {
  const at = (name: string) => ({ path: path.join(place.directory, name) });
  if (state.kind === "damaged") {
    say("damage", "STATE_DAMAGED", at(partitionStateFile), `what the partition remembers is damaged: ${state.reason}`);
  }
  if (swap === "pending") {
    say("torn", "SWAP_PENDING", at(swapFile), "a compaction was being put in place; the next start ends it");
  } else if (swap !== "none") {
    say("damage", "SWAP_DAMAGED", at(swapFile), `which segments a compaction replaced is damaged: ${swap.damaged}`);
  }
  if (swap !== "pending") {
    for (const name of drafts)
      say("torn", "DRAFT_LEFT", at(name), "a compaction did not end; the next start removes this");
  }
  for (const name of strangers) say("note", "FILE_UNKNOWN", at(name), "nothing of the log has this name");
}

function sayOfStart({ next }: PartitionSurvey, say: Say): void {
  if (next.kind !== "serves") return;
  const { torn } = next;
  if (torn) {
    const { path: file, bytePosition, nextOffset, cutBytes, fault } = torn;
    const message = `a crash has torn the end: ${fault}; the next start cuts ${cutBytes} bytes off, and goes on at offset ${nextOffset}`;
    say("torn", "END_TORN", { path: file, bytePosition, offset: nextOffset }, message, { bytes: cutBytes });
  }
  for (const file of next.removed) {
    if (!/^\d{20}\.log$/.test(path.basename(file))) continue;
    say("torn", "END_TORN", { path: file }, "a segment was being made when the power went; the next start removes it");
  }
}

function sayOfSegment(survey: PartitionSurvey, segment: SegmentSurvey, isLast: boolean, say: Say): void {
  const { path: file, sizeBytes, headerFault, belongs, baseOffset } = segment;
  if (belongs) {
    const { topicId, partition, baseOffset: first } = belongs;
    const isHere = topicId === survey.place.topicId && partition === survey.place.partition;
    const where = isHere ? "this partition" : `partition ${partition} of the topic with id ${topicId}`;
    say(
      "damage",
      "SEGMENT_MISPLACED",
      { path: file, bytePosition: 0, offset: baseOffset },
      `${headerFault}: it is the segment of ${where} that begins at offset ${first}`,
    );
  } else if (headerFault !== undefined) {
    say("damage", "SEGMENT_HEADER_DAMAGED", { path: file, bytePosition: 0, offset: baseOffset }, headerFault);
  }
  for (const { fromBytes, toBytes } of segment.unreadable.slice(0, toldMax)) {
    say(
      "damage",
      "SEGMENT_UNREADABLE",
      { path: file, bytePosition: fromBytes },
      `the disk cannot read bytes ${fromBytes} to ${toBytes}`,
    );
  }
  segment.faults.forEach((fault, i) => {
    if (i < toldMax) sayOfFault(survey, segment, fault, isLast, say);
  });
  if (segment.faults.length > toldMax) {
    const { fromBytes, offset } = segment.faults[toldMax] as ByteFault;
    const message = `${segment.faults.length - toldMax} more places of this file are not right`;
    say("damage", "BATCH_DAMAGED", { path: file, bytePosition: fromBytes, offset }, message);
  }
  for (const { bytePosition, offset, reason } of segment.unreadableRecords) {
    say("note", "RECORDS_UNREADABLE", { path: file, bytePosition, offset }, `${reason}; its checksum is right`);
  }
  if (segment.epochBack) {
    say(
      "note",
      "LEADER_EPOCH_BACK",
      { path: file, ...segment.epochBack },
      "a batch has a smaller leader epoch than one before it",
    );
  }
  sayOfIndex(segment, isLast, say);
  const checkpoint = survey.checkpoint;
  if (checkpoint?.segment === baseOffset && segment.generation === 0 && sizeBytes < checkpoint.bytePosition) {
    say(
      "damage",
      "SEGMENT_TRUNCATED",
      { path: file, bytePosition: sizeBytes, offset: segment.runs.at(-1)?.endOffset ?? baseOffset },
      `it ends at byte ${sizeBytes}, and ${checkpoint.bytePosition} bytes of it were durable`,
      { records: Math.max(0, checkpoint.offset - (segment.runs.at(-1)?.endOffset ?? baseOffset)) },
    );
  }
}

function sayOfFault(
  survey: PartitionSurvey,
  segment: SegmentSurvey,
  fault: ByteFault,
  isLast: boolean,
  say: Say,
): void {
  const { fromBytes, toBytes, offset, reason, zeros, isRightBatch } = fault;
  const next = segment.runs.find((run) => run.fromBytes >= toBytes);
  const records = next ? Math.max(0, next.firstOffset - offset) : 0;
  const code = isRightBatch ? "BATCH_MISPLACED" : zeros ? "SEGMENT_HOLE" : "BATCH_DAMAGED";
  const hole = zeros ? `; bytes ${zeros.fromBytes} to ${zeros.toBytes} are zeros` : "";
  const rest = next
    ? `; the next right batch has offset ${next.firstOffset}, at byte ${next.fromBytes}`
    : "; no right batch stands behind it";
  const at = { path: segment.path, bytePosition: fromBytes, offset };
  const lost = { records, bytes: toBytes - fromBytes };
  // In a partition that a start refuses for another reason this is what a start would cut.
  if (isLast && !next && isBehindCheckpoint(survey, segment, fault)) {
    say("torn", "END_TORN", at, `${reason}${hole}${rest}`, lost);
  } else say("damage", code, at, `${reason}${hole}${rest}`, lost);
}

function isBehindCheckpoint({ checkpoint, next }: PartitionSurvey, segment: SegmentSurvey, fault: ByteFault): boolean {
  if (next.kind === "serves" || segment.headerFault !== undefined) return false;
  return checkpoint?.segment !== segment.baseOffset || fault.fromBytes >= checkpoint.bytePosition;
}

function sayOfIndex({ index, path: file, sizeBytes }: SegmentSurvey, isLast: boolean, say: Say): void {
  // That of the last segment is written at a checkpoint only.
  if (index === "right" || isLast || sizeBytes <= segmentHeaderBytes) return;
  const [name] = companionNames(path.basename(file));
  const at = { path: path.join(path.dirname(file), name as string) };
  if (index === "missing") say("note", "INDEX_MISSING", at, "the segment has no index");
  else say("note", "INDEX_DAMAGED", at, "the segment's index is damaged, or ends before the segment");
}

/** Whether each segment begins where the one before ends. */
function sayOfOffsets(survey: PartitionSurvey, say: Say): void {
  const { state, segments, checkpoint, next, place } = survey;
  const own = segments.filter(({ belongs }) => belongs === undefined);
  const logStart = state.kind === "damaged" ? 0 : state.value.logStart;
  const first = own[0];
  if (!first) {
    const message = "there is no segment of the partition in its folder";
    say("damage", "SEGMENT_MISSING", { path: place.directory }, message, {
      records: Math.max(0, (checkpoint?.offset ?? 0) - logStart),
    });
    return;
  }
  if (first.baseOffset > logStart && first.generation === 0) {
    missing(say, first, logStart, first.baseOffset, "the first segment");
  }
  own.forEach((segment, i) => {
    sayOfGaps(segment, say);
    const end = segment.runs.at(-1)?.endOffset ?? segment.baseOffset;
    const following = own[i + 1];
    if (following && following.baseOffset < end) {
      const message = `it begins at offset ${following.baseOffset}, and the segment before ends at ${end}`;
      say(
        "damage",
        "SEGMENT_DUPLICATE",
        { path: following.path, bytePosition: 0, offset: following.baseOffset },
        message,
      );
    } else if (following && following.baseOffset > end && segment.generation === 0) {
      missing(say, following, end, following.baseOffset, "a segment, or the end of the one before,");
    }
  });
  const last = own.at(-1) as SegmentSurvey;
  if (next.kind === "serves") return;
  if (checkpoint && last.baseOffset < checkpoint.segment && last.generation === 0) {
    const end = last.runs.at(-1)?.endOffset ?? last.baseOffset;
    missing(say, last, end, checkpoint.offset, "the last segment");
  }
  sayOfJournal(survey, last, say);
}

function sayOfGaps({ runs, path: file, generation, faults }: SegmentSurvey, say: Say): void {
  runs.forEach((run, i) => {
    const before = runs[i - 1];
    if (!before || generation > 0 || before.endOffset >= run.firstOffset || before.toBytes !== run.fromBytes) return;
    if (faults.some(({ toBytes }) => toBytes === run.fromBytes)) return;
    const message = `offsets ${before.endOffset} to ${run.firstOffset - 1} are missing in it`;
    const at = { path: file, bytePosition: run.fromBytes, offset: before.endOffset };
    say("damage", "OFFSETS_MISSING", at, message, { records: run.firstOffset - before.endOffset });
  });
}

function missing(say: Say, near: SegmentSurvey, from: number, to: number, what: string): void {
  const message = `${what} is missing: offsets ${from} to ${to - 1} are in no file`;
  say("damage", "SEGMENT_MISSING", { path: near.path, offset: from }, message, { records: Math.max(0, to - from) });
}

function sayOfJournal({ journaled }: PartitionSurvey, last: SegmentSurvey, say: Say): void {
  if (!journaled) return;
  let end = last.runs.at(-1)?.endOffset ?? last.baseOffset;
  for (let batch = journaled.batches.get(end); batch; batch = journaled.batches.get(end))
    end = batchLastOffset(batch) + 1;
  const behind = [...journaled.batches.keys()].filter((offset) => offset > end);
  if (behind.length === 0) return;
  const first = behind.reduce((least, offset) => Math.min(least, offset));
  const at = { path: last.path, bytePosition: last.sizeBytes, offset: end };
  const message = `offsets ${end} to ${first - 1} are missing: the journal has offset ${first}, and nothing before it`;
  say("damage", "OFFSETS_MISSING", at, message, { records: first - end });
}
