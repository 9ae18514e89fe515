/**
 * What the consumer groups need of a log: the topic that holds their offsets, and which topics there are. It is a part of the
 * engine's port in form, so that an engine can be handed in as it is.
 */
import { partitionOfKey } from "../../records/murmur2.ts";

export const groupsTopic = "_millrace.groups";

/** Final: a group's partition follows from the hash of its name. */
export const groupsPartitions = 4;

export const groupsTopicSettings = {
  partitions: groupsPartitions,
  cleanup: "compact",
  segmentBytesMax: 16 * 1024 * 1024,
  // A commit of many partitions is one batch, so that it is there whole or not at all.
  batchBytesMax: 8 * 1024 * 1024,
} as const;

export interface GroupsAppend {
  readonly topic: string;
  readonly partition: number;
  readonly batch: Buffer;
  /** Of a client's transaction. */
  readonly transactionalId?: string;
  readonly transactionVersion?: 1 | 2;
}

export interface GroupsPlaced {
  readonly baseOffset: number;
  readonly lastOffset: number;
}

export interface GroupsRead {
  /** Whole batches in offset order, control batches included. */
  readonly batches: readonly Buffer[];
  /** Of a read_committed read. */
  readonly aborted: readonly { readonly producerId: number; readonly firstOffset: number }[];
}

export interface GroupsLog {
  topic(name: string): { readonly id: string; readonly settings: { readonly partitions: number } } | undefined;
  createTopic(
    name: string,
    settings: typeof groupsTopicSettings,
    options: { readonly readOnly: boolean },
  ): Promise<unknown>;
  offsets(
    topic: string,
    partition: number,
  ): { readonly logStart: number; readonly lastStable: number; readonly highWatermark: number };
  /** Takes its place in the turn of the call; resolves when durable. */
  append(request: GroupsAppend): Promise<GroupsPlaced>;
  read(request: {
    readonly topic: string;
    readonly partition: number;
    readonly offset: number;
    readonly isolation: "read_committed" | "read_uncommitted";
    readonly bytesMax: number;
  }): Promise<GroupsRead>;
  /** Makes all that was appended to the partition durable, markers included. Without it a record that means nothing is appended. */
  settle?(topic: string, partition: number): Promise<void>;
}

/** A transaction that is open: the engine's, in form. */
export interface GroupsTransaction {
  append(request: GroupsAppend): Promise<GroupsPlaced>;
}

export function partitionOfGroup(group: string): number {
  return partitionOfKey(Buffer.from(group), groupsPartitions);
}
