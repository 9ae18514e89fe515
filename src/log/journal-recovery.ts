/**
 * Reads the journal back. What it holds may long be in the segments: it says what was durable, and partitions take from
 * it what they miss (partition-recovery.ts).
 */
import * as path from "node:path";
import type { Disk } from "../base/disk.ts";
import { MillraceError } from "../base/errors.ts";
import { batchBaseOffset } from "../records/batch-header.ts";
import { splitBatches } from "../records/batch-validator.ts";
import type { JournalPosition } from "./journal.ts";
import {
  decodeGroup,
  decodeGroupHeader,
  decodeJournalUse,
  indexOfJournalName,
  type JournalGroup,
  journalBlockBytes,
  journalHeaderFault,
} from "./journal-format.ts";

export interface JournalStart {
  /** From the checkpoint; undefined reads everything. */
  readonly position: JournalPosition | undefined;
  /** Files that are read whole. */
  readonly held: readonly number[];
}

export interface JournalContent {
  /** By `<topic id>/<partition>`. */
  readonly partitions: ReadonlyMap<string, JournaledBatches>;
  /** Of the newest group, also of one that no partition needs. */
  readonly lastNumber: number;
}

/** What the journal holds of one partition. */
export interface JournaledBatches {
  /** By their first offsets. */
  readonly batches: Map<number, Buffer>;
  /** The indexes of the files that they stand in. */
  readonly files: Set<number>;
}

interface FoundGroup extends JournalGroup {
  readonly file: string;
  readonly fileIndex: number;
  readonly bytePosition: number;
}

/** Throws `LOG_DAMAGED` when a group in the middle is not right, and `LOG_FORMAT_NEWER`. */
export async function readJournal(
  disk: Disk,
  directory: string,
  logId: string,
  start: JournalStart,
): Promise<JournalContent> {
  const groups: FoundGroup[] = [];
  let oldest = 0;
  const settled = start.position?.number ?? 0;
  if (!(await disk.exists(directory))) return { partitions: new Map(), lastNumber: settled };
  for (const name of await disk.list(directory)) {
    const index = indexOfJournalName(name);
    if (index === undefined) continue;
    const isHeld = start.held.includes(index);
    const from = start.position?.file === index ? start.position.bytePosition : undefined;
    const found = isHeld
      ? await readFile(disk, path.join(directory, name), logId, 0, undefined)
      : await readFile(disk, path.join(directory, name), logId, settled, from);
    for (const group of found.groups) groups.push({ ...group, fileIndex: index });
    oldest = Math.max(oldest, found.oldest);
  }
  groups.sort((a, b) => a.number - b.number);
  assertUnbroken(groups, Math.max(settled + 1, oldest));
  const partitions = new Map<string, JournaledBatches>();
  for (const { runs, fileIndex } of groups) {
    for (const { topicId, partition, bytes } of runs) {
      const key = `${topicId}/${partition}`;
      let found = partitions.get(key);
      if (!found) {
        found = { batches: new Map(), files: new Set() };
        partitions.set(key, found);
      }
      found.files.add(fileIndex);
      for (const batch of splitBatches(bytes)) found.batches.set(batchBaseOffset(batch), batch);
    }
  }
  return { partitions, lastNumber: Math.max(settled, groups.at(-1)?.number ?? 0) };
}

/** Groups newer than `settled`, from the file's beginning or, when that is older, from `from`. */
async function readFile(
  disk: Disk,
  file: string,
  logId: string,
  settled: number,
  from: number | undefined,
): Promise<{ readonly groups: Omit<FoundGroup, "fileIndex">[]; readonly oldest: number }> {
  const handle = await disk.open(file, "read");
  try {
    const head = Buffer.alloc(2 * journalBlockBytes);
    const count = await handle.read(head, 0);
    // A file that was being made when the power went has no header, and holds nothing.
    const fault = journalHeaderFault(head.subarray(0, count), logId, file);
    if (fault !== undefined && !hasGroup(head)) return { groups: [], oldest: 0 };
    const { firstNumber, oldest } = fault === undefined ? decodeJournalUse(head) : { firstNumber: 0, oldest: 0 };
    const last = Math.max(settled, firstNumber - 1);
    const first = decodeGroupHeader(head, journalBlockBytes);
    let start = journalBlockBytes;
    if (first !== undefined && first.number <= settled) {
      // Its groups are settled, but for those behind the checkpoint's position.
      if (from === undefined) return { groups: [], oldest };
      start = from;
    }
    const bytes = Buffer.allocUnsafeSlow(Math.max(0, (await handle.size()) - start));
    const groups = groupsIn(bytes.subarray(0, await handle.read(bytes, start)), start, file, last);
    return { groups, oldest };
  } finally {
    await handle.close();
  }
}

function hasGroup(head: Buffer): boolean {
  return decodeGroupHeader(head, journalBlockBytes) !== undefined;
}

function groupsIn(bytes: Buffer, start: number, file: string, settled: number): Omit<FoundGroup, "fileIndex">[] {
  const groups: Omit<FoundGroup, "fileIndex">[] = [];
  let last = settled;
  let at = 0;
  for (;;) {
    const group = decodeGroup(bytes, at);
    if (!group || group.number <= last) break;
    groups.push({ ...group, file, bytePosition: start + at });
    last = group.number;
    at += group.blockBytes;
  }
  // The next group is written only when the one before is durable: a newer one behind a gap means that bytes were lost.
  for (let behind = at + journalBlockBytes; behind < bytes.length; behind += journalBlockBytes) {
    const header = decodeGroupHeader(bytes, behind);
    if (header && header.number > last + 1 && decodeGroup(bytes, behind)) {
      throw journalDamaged(
        file,
        start + at,
        `group ${last + 1} is not right, and group ${header.number} stands behind it`,
      );
    }
  }
  return groups;
}

/** Numbers rise by one, from the oldest that the newest group says is needed. */
function assertUnbroken(groups: readonly FoundGroup[], neededMin: number): void {
  const needed = Math.max(neededMin, groups.at(-1)?.oldest ?? 0);
  for (let i = 1; i < groups.length; i++) {
    const { number } = groups[i - 1] as FoundGroup;
    const next = groups[i] as FoundGroup;
    if (number + 1 < next.number && next.number > needed) {
      throw journalDamaged(next.file, next.bytePosition, `group ${next.number} follows group ${number}`);
    }
  }
  const [first] = groups.filter(({ number }) => number >= needed);
  if (first && first.number > needed) {
    throw journalDamaged(first.file, first.bytePosition, `group ${needed} is missing before group ${first.number}`);
  }
}

function journalDamaged(file: string, bytePosition: number, reason: string): MillraceError {
  return new MillraceError("LOG_DAMAGED", `the log's journal is damaged: ${file} at byte ${bytePosition}: ${reason}`, {
    hint: "Nothing was deleted. Run millrace log verify to see what is affected; restore the file from a backup, or run millrace log repair.",
    details: { path: file, bytePosition },
  });
}
