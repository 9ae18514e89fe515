/**
 * What the journal holds for the next start, read past its faults. Where a start can read it, what is said here is what
 * the start reads; where it refuses, every group that is right is taken.
 */
import * as path from "node:path";
import type { Disk } from "../../base/disk.ts";
import { MillraceError } from "../../base/errors.ts";
import { batchBaseOffset } from "../../records/batch-header.ts";
import { checkBatch, splitBatches } from "../../records/batch-validator.ts";
import {
  decodeGroup,
  decodeJournalUse,
  indexOfJournalName,
  type JournalGroup,
  journalBlockBytes,
  journalHeaderFault,
} from "../journal-format.ts";
import { type JournalContent, type JournaledBatches, type JournalStart, readJournal } from "../journal-recovery.ts";
import { type Finding, findingOf } from "./finding.ts";
import { isUnreadable, SegmentBytes } from "./segment-bytes.ts";

export interface JournalSurvey {
  readonly content: JournalContent;
  /** Files that a start must not meet again. Empty when the journal is whole. */
  readonly damagedFiles: readonly string[];
  readonly findings: readonly Finding[];
}

interface FoundGroup extends JournalGroup {
  readonly file: string;
  readonly fileIndex: number;
}

/** Throws `LOG_FORMAT_NEWER`. */
export async function surveyJournal(
  disk: Disk,
  directory: string,
  logId: string,
  start: JournalStart,
): Promise<JournalSurvey> {
  const findings: Finding[] = [];
  if (!(await disk.exists(directory))) {
    return { content: await readJournal(disk, directory, logId, start), damagedFiles: [], findings };
  }
  for (const name of await disk.list(directory)) {
    const file = path.join(directory, name);
    if (indexOfJournalName(name) === undefined) {
      findings.push(findingOf("note", "FILE_UNKNOWN", { path: file }, "nothing of the log has this name"));
    } else {
      const fault = await headerFaultOf(disk, file, logId);
      if (fault !== undefined) {
        const message = `${fault}; the next start reads what groups there are in it, and makes it anew`;
        findings.push(findingOf("torn", "JOURNAL_UNMADE", { path: file, bytePosition: 0 }, message));
      }
    }
  }
  try {
    return { content: await readJournal(disk, directory, logId, start), damagedFiles: [], findings };
  } catch (error) {
    if (!MillraceError.is(error, "LOG_DAMAGED") && !isUnreadable(error)) throw error;
    return await readOn(disk, directory, logId, start, findings, error as Error);
  }
}

async function headerFaultOf(disk: Disk, file: string, logId: string): Promise<string | undefined> {
  const handle = await disk.open(file, "read");
  try {
    const bytes = new SegmentBytes(handle, await handle.size());
    return journalHeaderFault(Buffer.from(await bytes.at(0, journalBlockBytes)), logId, file);
  } finally {
    await handle.close();
  }
}

/** Every right group, whatever stands between. */
async function readOn(
  disk: Disk,
  directory: string,
  logId: string,
  start: JournalStart,
  findings: Finding[],
  cause: Error,
): Promise<JournalSurvey> {
  const settled = start.position?.number ?? 0;
  const all: FoundGroup[] = [];
  let oldest = 0;
  const damagedFiles = new Set<string>();
  for (const name of await disk.list(directory)) {
    const fileIndex = indexOfJournalName(name);
    if (fileIndex === undefined) continue;
    const file = path.join(directory, name);
    const { groups, isBroken, ...use } = await groupsOf(disk, file, logId);
    if (isBroken) damagedFiles.add(file);
    oldest = Math.max(oldest, use.oldest);
    for (const group of groups) all.push({ ...group, file, fileIndex });
  }
  all.sort((a, b) => a.number - b.number);
  const newest = all.at(-1);
  const needed = Math.max(settled + 1, oldest, newest?.oldest ?? 0);
  const groups = all.filter(({ number, fileIndex }) => number >= needed || start.held.includes(fileIndex));
  const at = (MillraceError.is(cause) ? cause.details : {}) as { path?: string; bytePosition?: number };
  if (at.path !== undefined) damagedFiles.add(at.path);
  const lost = missingNumbers(groups, needed);
  const message = [
    MillraceError.is(cause) ? cause.message : `the disk cannot read the journal: ${cause.message}`,
    lost === "" ? "" : `; missing groups: ${lost}`,
    "; any partition may have lost what it held last, those below by the offsets that are missing",
  ].join("");
  const place = {
    path: at.path ?? directory,
    ...(at.bytePosition === undefined ? {} : { bytePosition: at.bytePosition }),
  };
  findings.push(findingOf("damage", "JOURNAL_DAMAGED", place, message));
  const content = { partitions: byPartition(groups), lastNumber: Math.max(settled, newest?.number ?? 0) };
  return { content, damagedFiles: [...damagedFiles].sort(), findings };
}

interface FileGroups {
  readonly groups: readonly JournalGroup[];
  /** No group before it is needed, says the file. */
  readonly oldest: number;
  /** Some of it cannot be read. */
  readonly isBroken: boolean;
}

/** Groups of an earlier use of the file are left out. */
async function groupsOf(disk: Disk, file: string, logId: string): Promise<FileGroups> {
  const handle = await disk.open(file, "read");
  try {
    const sizeBytes = await handle.size();
    const source = new SegmentBytes(handle, sizeBytes);
    const bytes = Buffer.from(await source.at(0, sizeBytes));
    const isRightHead = journalHeaderFault(bytes.subarray(0, journalBlockBytes), logId, file) === undefined;
    const { firstNumber, oldest } = isRightHead ? decodeJournalUse(bytes) : { firstNumber: 0, oldest: 0 };
    const groups: JournalGroup[] = [];
    for (let at = journalBlockBytes; at < bytes.length; ) {
      const group = decodeGroup(bytes, at);
      if (group && group.number >= firstNumber) groups.push(group);
      at += group?.blockBytes ?? journalBlockBytes;
    }
    return { groups, oldest, isBroken: source.unreadable.length > 0 };
  } finally {
    await handle.close();
  }
}

function missingNumbers(groups: readonly JournalGroup[], needed: number): string {
  const ranges: string[] = [];
  let expected = needed;
  for (const { number } of groups) {
    if (number > expected) ranges.push(number === expected + 1 ? `${expected}` : `${expected} to ${number - 1}`);
    expected = Math.max(expected, number + 1);
  }
  return ranges.slice(0, 10).join(", ");
}

function byPartition(groups: readonly FoundGroup[]): Map<string, JournaledBatches> {
  const partitions = new Map<string, JournaledBatches>();
  for (const { runs, fileIndex } of groups) {
    for (const { topicId, partition, bytes } of runs) {
      const key = `${topicId}/${partition}`;
      const found = partitions.get(key) ?? { batches: new Map<number, Buffer>(), files: new Set<number>() };
      partitions.set(key, found);
      found.files.add(fileIndex);
      for (const batch of splitBatches(bytes)) if (isRight(batch)) found.batches.set(batchBaseOffset(batch), batch);
    }
  }
  return partitions;
}

function isRight(batch: Buffer): boolean {
  try {
    checkBatch(batch);
    return true;
  } catch {
    return false;
  }
}
