/**
 * The port to consumer groups: who of several members reads which partitions, and how far the group has read.
 * `group.suite.ts` is the one suite that every variant passes.
 *
 * Always true: a partition is assigned to one member at a time: its next member gets it only when the last one has let it
 * go (`acknowledge`), has left, or was removed because it did not answer in time. A commit under an old generation, or
 * of a partition that the member does not have, is refused. An offset that was committed can be fetched and is durable.
 *
 * Membership is not a fence: a member that was removed and does not know it yet may still act. What must happen under one
 * owner only is fenced in the log (`ownership/`), or commits its offsets in the transaction of its output.
 */
import type { Transaction } from "./engine.ts";

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

export interface OffsetCommit extends TopicPartition {
  /** The next offset to read: behind the last record that was consumed. */
  readonly offset: number;
  /** Of the last record consumed, so that a log that was cut is noticed (KIP-320). */
  readonly leaderEpoch?: number;
  /** At most 4096 bytes of UTF-8; comes back unchanged. */
  readonly metadata?: string;
}

export interface CommittedOffset {
  readonly offset: number;
  /** -1 when it was not given. */
  readonly leaderEpoch: number;
  readonly metadata: string;
  /** 0 when it is not known. */
  readonly committedMs: number;
}

export interface FetchedOffset extends TopicPartition {
  /** Null when there is none, or when it is unstable and a stable one was asked for. */
  readonly committed: CommittedOffset | null;
  /** An open transaction may commit another one (KIP-447): ask again when it has ended. */
  readonly isUnstable: boolean;
}

/**
 * `sticky` is even, and moves few partitions when somebody comes or goes; `range` gives neighbours of each topic, the same
 * ones of topics that have as many partitions; `roundrobin` deals all partitions out in turn.
 */
export type Assignor = "sticky" | "range" | "roundrobin";

export interface JoinOptions {
  /** Text of 1 to 255 bytes. */
  readonly group: string;
  /** They need not exist yet. */
  readonly topics: readonly string[];
  /** Drawn when it is left out. */
  readonly memberId?: string;
  /**
   * A name that stays over restarts (static membership, KIP-345): who joins with it within the session timeout of the last
   * one gets the same partitions and nobody else is disturbed; the last one is fenced.
   */
  readonly instanceId?: string;
  /** What the other members see of this one, an address for example; at most 4096 bytes. */
  readonly metadata?: Uint8Array | string;
  /** Without a heartbeat for so long the member is removed. 1 second to 30 minutes; 45 s. */
  readonly sessionTimeoutMs?: number;
  /** So long it may take to let go of what a rebalance takes away; then the member is removed. 1 second to 1 hour; 60 s. */
  readonly rebalanceTimeoutMs?: number;
  /** One for all members of a group. */
  readonly assignor?: Assignor;
  /** Leaves when it is aborted. */
  readonly signal?: AbortSignal;
}

export interface MemberInfo {
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly metadata: Uint8Array;
  readonly topics: readonly string[];
  /** What it has, or is about to get. */
  readonly assignment: readonly TopicPartition[];
}

export interface Rebalance {
  readonly generation: number;
  /** All that the member has from here on. */
  readonly assignment: readonly TopicPartition[];
  /** What came with this one. */
  readonly granted: readonly TopicPartition[];
  /** What the member must let go of: stop, commit, then `acknowledge`. */
  readonly revoked: readonly TopicPartition[];
  /** What was revoked is let go of; others may have it. Needed only where something was revoked. */
  acknowledge(): void;
}

export interface GroupMember {
  readonly group: string;
  readonly memberId: string;
  readonly instanceId: string | null;
  /** That of the last `Rebalance` that was taken. */
  readonly generation: number;
  readonly assignment: readonly TopicPartition[];
  /** Everybody in the group, as of now. */
  readonly members: readonly MemberInfo[];
  /** Aborted, with the error, when the member is none any more: it must stop at once what it does with its partitions. */
  readonly signal: AbortSignal;
  /** Throws `GROUP_MEMBER_UNKNOWN` when it was removed or has left, `GROUP_MEMBER_FENCED` when its instance joined again. */
  heartbeat(): Promise<void>;
  /**
   * The next assignment, or one that was not taken yet; several rebalances in between are one. Rejects as `heartbeat` does.
   * One call at a time.
   */
  next(signal?: AbortSignal): Promise<Rebalance>;
  /**
   * All partitions or none; durable when it resolves. With `generation`, for work that was begun under it:
   * `GROUP_GENERATION_OLD` when a later one was taken meanwhile. Throws `GROUP_PARTITION_NOT_ASSIGNED`, what `heartbeat`
   * throws, and what committing throws.
   */
  commit(offsets: readonly OffsetCommit[], options?: { readonly generation?: number }): Promise<void>;
  /** The same as part of a transaction (KIP-98, KIP-447): counts exactly when the transaction is committed. */
  commitIn(
    transaction: Transaction,
    offsets: readonly OffsetCommit[],
    options?: { readonly generation?: number },
  ): Promise<void>;
  /** Of the given partitions, or of the assignment; stable ones unless `requireStable` is false. */
  committed(
    partitions?: readonly TopicPartition[],
    options?: { readonly requireStable?: boolean },
  ): Promise<FetchedOffset[]>;
  /**
   * Lets go of everything. With an instance id the membership is kept until the session timeout, for whoever joins with it
   * next, unless `forGood`.
   */
  leave(options?: { readonly forGood?: boolean }): Promise<void>;
}

export type GroupState = "empty" | "stable" | "rebalancing";

export interface GroupListing {
  readonly group: string;
  readonly state: GroupState;
  /** `millrace` for members of this port; what the protocol's clients say for others; null for who only commits. */
  readonly protocolType: string | null;
  readonly generation: number;
  readonly memberCount: number;
}

export interface GroupDescription extends GroupListing {
  readonly assignor: Assignor | null;
  readonly members: readonly MemberInfo[];
}

export interface Groups {
  /**
   * Resolves with what is free for the member at once; the rest comes through `next`. Throws `GROUP_NAME_INVALID`,
   * `GROUP_REQUEST_INVALID`, `GROUP_ASSIGNOR_MISMATCH`, `GROUP_MEMBER_EXISTS`, `GROUP_FULL`, `GROUP_NOT_EMPTY` where clients of
   * another protocol are its members.
   */
  joinGroup(options: JoinOptions): Promise<GroupMember>;
  /** For who chooses its partitions itself, and for operators. Throws `GROUP_NOT_EMPTY`, and what committing throws. */
  commitOffsets(group: string, offsets: readonly OffsetCommit[]): Promise<void>;
  /** The same as part of a transaction. */
  commitOffsetsIn(transaction: Transaction, group: string, offsets: readonly OffsetCommit[]): Promise<void>;
  /** Of the given partitions, or of all that the group has. */
  fetchOffsets(
    group: string,
    partitions?: readonly TopicPartition[],
    options?: { readonly requireStable?: boolean },
  ): Promise<FetchedOffset[]>;
  /** Throws `GROUP_UNKNOWN`, and `GROUP_NOT_EMPTY` when a member subscribes to one of the topics. */
  deleteOffsets(group: string, partitions: readonly TopicPartition[]): Promise<void>;
  /** Throws `GROUP_UNKNOWN`, `GROUP_NOT_EMPTY`. */
  deleteGroup(group: string): Promise<void>;
  listGroups(): Promise<GroupListing[]>;
  /** Throws `GROUP_UNKNOWN`. */
  describeGroup(group: string): Promise<GroupDescription>;
}

export const defaultMemberSettings = {
  sessionTimeoutMs: 45_000,
  rebalanceTimeoutMs: 60_000,
  assignor: "sticky",
} as const;
