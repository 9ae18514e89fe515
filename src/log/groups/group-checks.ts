/** What is refused before it reaches the log: names, texts and numbers of consumer groups that are out of their bounds. */
import { MillraceError } from "../../base/errors.ts";

export const groupNameBytesMax = 255;
export const offsetMetadataBytesMax = 4096;
/** Partitions of one commit. */
export const commitPartitionsMax = 10_000;

export interface OffsetToCommit {
  readonly topic: string;
  readonly partition: number;
  /** The next offset to consume. */
  readonly offset: number;
  readonly leaderEpoch?: number | undefined;
  readonly metadata?: string | undefined;
}

/** Throws `GROUP_NAME_INVALID`. */
export function checkGroupName(group: unknown): asserts group is string {
  // What is not well formed would be written as another name.
  if (typeof group === "string" && group.isWellFormed() && group.length > 0) {
    if (Buffer.byteLength(group) <= groupNameBytesMax) return;
  }
  const shown = typeof group === "string" ? JSON.stringify(group.slice(0, 50)) : typeof group;
  throw new MillraceError("GROUP_NAME_INVALID", `${shown} cannot be the name of a consumer group`, {
    hint: `A name is text of 1 to ${groupNameBytesMax} bytes.`,
  });
}

/** Throws `GROUP_REQUEST_INVALID`, `GROUP_METADATA_TOO_LARGE`. */
export function checkOffsets(offsets: readonly OffsetToCommit[]): void {
  checkPartitionCount(offsets.length);
  for (const { topic, partition, offset, leaderEpoch, metadata } of offsets) {
    checkPlace(topic, partition);
    const details = { topic, partition };
    if (!Number.isSafeInteger(offset) || offset < 0) {
      throw invalid(
        `offset ${String(offset)} of partition ${partition} of topic ${topic} cannot be committed`,
        details,
      );
    }
    if (leaderEpoch !== undefined && !isInt32(leaderEpoch, -1)) {
      throw invalid(`leader epoch ${String(leaderEpoch)} of partition ${partition} of topic ${topic} is none`, details);
    }
    if (metadata === undefined) continue;
    if (typeof metadata !== "string" || !metadata.isWellFormed()) {
      throw invalid(`the metadata of partition ${partition} of topic ${topic} is not text`, details);
    }
    const bytes = Buffer.byteLength(metadata);
    if (bytes > offsetMetadataBytesMax) {
      throw new MillraceError(
        "GROUP_METADATA_TOO_LARGE",
        `the metadata of partition ${partition} of topic ${topic} has ${bytes} bytes, more than ${offsetMetadataBytesMax}`,
        { details: { ...details, bytes } },
      );
    }
  }
}

/** Throws `GROUP_REQUEST_INVALID`. */
export function checkPlaces(places: readonly { readonly topic: string; readonly partition: number }[]): void {
  checkPartitionCount(places.length);
  for (const { topic, partition } of places) checkPlace(topic, partition);
}

function checkPartitionCount(count: number): void {
  if (count <= commitPartitionsMax) return;
  throw invalid(`${count} partitions at once are more than ${commitPartitionsMax}`, { partitions: count });
}

function checkPlace(topic: unknown, partition: unknown): void {
  if (typeof topic === "string" && topic.length >= 1 && topic.length <= 249 && isInt32(partition, 0)) return;
  throw invalid("a partition is named by its topic and a whole number from 0", {});
}

function isInt32(value: unknown, from: number): boolean {
  return Number.isInteger(value) && (value as number) >= from && (value as number) <= 0x7fffffff;
}

function invalid(message: string, details: Readonly<Record<string, unknown>>): MillraceError {
  return new MillraceError("GROUP_REQUEST_INVALID", message, { details });
}
