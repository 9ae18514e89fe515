/**
 * Puts a cleaned segment in the place of others, so that a crash leaves the old ones or the new one and never a part.
 *
 *   1. the draft's bytes are durable already; its name becomes so
 *   2. the checked file `swap` says what replaces what: with it, it is decided
 *   3. the draft gets its name, the old segments and what stands beside them go, the folder is synced
 *   4. `swap` goes, the folder is synced
 *
 * A start that finds `swap` goes on from 3. A draft that no `swap` names is of a cleaning that did not end, and goes.
 * A reader that holds an old segment finds it missing and looks again.
 */
import * as path from "node:path";
import type { Disk } from "../../base/disk.ts";
import { invariant } from "../../base/errors.ts";
import { readCheckedFile, writeCheckedFile } from "../checked-file.ts";
import type { FilePool } from "../file-pool.ts";
import type { PartitionPlace } from "../log-context.ts";
import { damaged } from "../segment.ts";
import { companionNames, draftSuffix, parseSegmentName } from "../segment-name.ts";
import type { Replacement } from "./clean-segments.ts";

export const swapFile = "swap";
const swapFormat = 1;
/** Where `writeCheckedFile` writes. */
const swapDraft = `${swapFile}.new`;

interface Swap {
  readonly remove: readonly string[];
  readonly add: string;
}

/**
 * Durable when it resolves. One at a time in a partition; after a failure the partition needs a start, and no further swap
 * is taken before it.
 */
export async function commitSwap(
  disk: Disk,
  files: FilePool,
  directory: string,
  { remove, add }: Replacement,
): Promise<void> {
  const swap: Swap = {
    remove: remove.map((segment) => path.basename(segment.path)),
    add: path.basename(add.segment.path),
  };
  const file = path.join(directory, swapFile);
  invariant(!(await disk.exists(file)), "a swap that did not end is ended by a start");
  await disk.syncDirectory(directory);
  await writeCheckedFile(disk, file, swapFile, swapFormat, swap);
  for (const segment of remove) await files.forget(segment.path);
  await disk.rename(add.draftPath, add.segment.path);
  await complete(disk, directory, swap);
}

/**
 * For a start, before segments are listed. True when a swap was gone on with, or drafts were removed; either is durable then.
 * Throws `PARTITION_DAMAGED`, and `LOG_FORMAT_NEWER`.
 */
export async function finishSwap(disk: Disk, place: PartitionPlace): Promise<boolean> {
  const { directory } = place;
  const file = path.join(directory, swapFile);
  const content = await readCheckedFile(disk, file, swapFile, swapFormat);
  if (content.kind === "damaged") throw damaged(place, file, 0, content.reason);
  const swap = content.kind === "read" ? asSwap(content.value) : undefined;
  if (content.kind === "read" && !swap) throw damaged(place, file, 0, "its content is not that of such a file");
  if (swap) {
    const added = path.join(directory, swap.add);
    const draft = added + draftSuffix;
    if (await disk.exists(draft)) await disk.rename(draft, added);
    else if (!(await disk.exists(added))) throw damaged(place, added, 0, "the segment that replaced others is missing");
    await complete(disk, directory, swap);
  }
  const removed = await removeLeftovers(disk, directory);
  return swap !== undefined || removed;
}

async function complete(disk: Disk, directory: string, { remove }: Swap): Promise<void> {
  for (const name of remove) {
    await disk.remove(path.join(directory, name));
    for (const companion of companionNames(name)) await disk.remove(path.join(directory, companion));
  }
  await disk.syncDirectory(directory);
  await disk.remove(path.join(directory, swapFile));
  await disk.syncDirectory(directory);
}

/**
 * Removes drafts. Where the folder has been cleaned before it is synced in any case: after the death of a process the end of
 * a swap may stand in the page cache only, and must not come back when what it names is gone.
 */
async function removeLeftovers(disk: Disk, directory: string): Promise<boolean> {
  let removed = false;
  let wasCleaned = false;
  for (const name of await disk.list(directory)) {
    wasCleaned ||= (parseSegmentName(name)?.generation ?? 0) > 0;
    if (name !== swapDraft && !name.endsWith(`.log${draftSuffix}`)) continue;
    await disk.remove(path.join(directory, name));
    removed = true;
  }
  if (removed || wasCleaned) await disk.syncDirectory(directory);
  return removed;
}

/** Names of segments only, so that a file that was written by something else removes nothing. */
function asSwap(value: unknown): Swap | undefined {
  const { remove, add } = (value ?? {}) as { readonly remove?: unknown; readonly add?: unknown };
  if (!Array.isArray(remove) || remove.length === 0 || !isSegmentName(add)) return undefined;
  return remove.every((name) => isSegmentName(name) && name !== add) ? { remove, add } : undefined;
}

function isSegmentName(name: unknown): name is string {
  return typeof name === "string" && parseSegmentName(name) !== undefined;
}
