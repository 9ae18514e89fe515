/**
 * What a partition must remember that its batches do not say: a small checked file in its folder, replaced whole, and
 * missing as long as nothing of it was ever needed (docs/internals/formats/partition-state.md).
 */
import * as path from "node:path";
import type { Disk } from "../base/disk.ts";
import { isCount, isRecord, readCheckedFile, writeCheckedFile } from "./checked-file.ts";
import type { PartitionPlace } from "./log-context.ts";
import { damaged } from "./segment.ts";

export const partitionStateFormat = 1;

/** From its first offset on, batches were written under this epoch (KIP-101). */
export interface LeaderEpoch {
  readonly epoch: number;
  readonly startOffset: number;
}

export interface PartitionState {
  /** Records below it are retired, whether or not their bytes are still there. */
  readonly logStart: number;
  /** Rising; the first one is epoch 0 from offset 0. */
  readonly epochs: readonly LeaderEpoch[];
  /** Compaction has looked at everything below. */
  readonly cleanedTo: number;
}

export const firstPartitionState: PartitionState = {
  logStart: 0,
  epochs: [{ epoch: 0, startOffset: 0 }],
  cleanedTo: 0,
};

export const partitionStateFile = "state";

/** Throws `PARTITION_DAMAGED`, `LOG_FORMAT_NEWER`. */
export async function readPartitionState(disk: Disk, place: PartitionPlace): Promise<PartitionState> {
  const file = path.join(place.directory, partitionStateFile);
  const found = await readCheckedFile(disk, file, "partition-state", partitionStateFormat, isState);
  if (found.kind === "damaged") throw damaged(place, file, 0, found.reason);
  return found.kind === "missing" ? firstPartitionState : (found.value as PartitionState);
}

function isState(content: unknown): content is PartitionState {
  if (!isRecord(content) || !isCount(content.logStart) || !isCount(content.cleanedTo)) return false;
  const { epochs } = content;
  const isEpoch = (entry: unknown) => isRecord(entry) && isCount(entry.epoch) && isCount(entry.startOffset);
  return Array.isArray(epochs) && epochs.length > 0 && epochs.every(isEpoch);
}

/** Durable when it resolves. */
export async function writePartitionState(disk: Disk, place: PartitionPlace, state: PartitionState): Promise<void> {
  const file = path.join(place.directory, partitionStateFile);
  await writeCheckedFile(disk, file, "partition-state", partitionStateFormat, state);
}

/** Where the records of an epoch end: the next epoch's start, or `end` for the newest one (OffsetForLeaderEpoch, KIP-320). */
export function endOfEpoch(
  epochs: readonly LeaderEpoch[],
  epoch: number,
  end: number,
): { readonly epoch: number; readonly endOffset: number } | undefined {
  let at = epochs.length - 1;
  while (at >= 0 && (epochs[at] as LeaderEpoch).epoch > epoch) at--;
  const found = epochs[at];
  if (!found) return undefined;
  return { epoch: found.epoch, endOffset: epochs[at + 1]?.startOffset ?? end };
}
