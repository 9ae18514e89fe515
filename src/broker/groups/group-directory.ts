/**
 * Who leads which consumer group: clients of the classic protocol, clients of KIP-848, or members in this process. A
 * group that has members is of one kind at a time; one without members is nobody's, and what is kept of it stands in the log.
 *
 * Always true: whoever takes a member into a group has claimed the group before, in the same turn in which it looked. A group is
 * released when it has no members and the log says so.
 * Not here: what members may do (classic-group.ts, and the machine of KIP-848).
 */
import type { GroupMetadata } from "../../log/groups/group-records.ts";
import type { OffsetStore, StoredGroup } from "../../log/groups/offset-store.ts";

/** Kinds that clients lead over the wire. */
export type GroupKind = "classic" | "consumer";

/** Of members in this process (`engine/groups.ts`). */
export const inProcessProtocolType = "millrace";

/** The first byte of `GroupMetadata.detail`: whose format the rest is. */
export const detailKind = { classic: 1, consumer: 2 } as const;

/** Kafka's name of an error, or that there is none. */
export type GroupErrorName =
  | "NONE"
  | "UNKNOWN_MEMBER_ID"
  | "ILLEGAL_GENERATION"
  | "STALE_MEMBER_EPOCH"
  | "FENCED_MEMBER_EPOCH"
  | "FENCED_INSTANCE_ID"
  | "REBALANCE_IN_PROGRESS"
  | "GROUP_ID_NOT_FOUND"
  | "NON_EMPTY_GROUP"
  | "UNSUPPORTED_VERSION";

export interface ListedGroup {
  readonly groupId: string;
  /** `consumer`, `connect`, …; empty for a group that only has offsets. */
  readonly protocolType: string;
  /** As Kafka spells it: `Stable`, `Empty`, `PreparingRebalance`, `Assigning`, … */
  readonly state: string;
  /** As Kafka spells it: `classic`, `consumer`. */
  readonly type: string;
}

export interface CommitClaim {
  readonly memberId: string;
  readonly instanceId: string | null;
  /** The generation (classic) or the member's epoch (KIP-848); negative for commits by nobody in particular. */
  readonly generationOrEpoch: number;
  readonly apiVersion: number;
  /** TxnOffsetCommit. */
  readonly isTransactional: boolean;
}

/** What each kind answers about the groups that it has claimed. All of it is as of now, in the same turn. */
export interface GroupKindHooks {
  /** All of its groups that are claimed. */
  list(): readonly ListedGroup[];
  isEmpty(groupId: string): boolean;
  /** May these offsets be committed (Kafka's validateOffsetCommit)? One that may counts as a heartbeat where Kafka has it so. */
  commitCheck(groupId: string, claim: CommitClaim): GroupErrorName;
  /** May they be fetched (Kafka's validateOffsetFetch)? `memberId` null and `memberEpoch` -1 where they were not given. */
  fetchCheck(groupId: string, memberId: string | null, memberEpoch: number): GroupErrorName;
  /** May offsets of topics be deleted at all (Kafka's validateOffsetDelete)? */
  deleteCheck(groupId: string): GroupErrorName;
  /** Topics that members subscribe to; undefined when there are none, or that is not known. */
  subscribed(groupId: string): ReadonlySet<string> | undefined;
  /** Resolves when nothing about the group is on its way into the log. */
  kept(groupId: string): Promise<void>;
  /** At the start: takes over a group that the log says has members of this kind; `detail` begins with its `detailKind`. */
  load(groupId: string, metadata: GroupMetadata): void;
  /** A topic was made, has grown, or was deleted. */
  topicsChanged(): void;
}

/** The engine's groups of members in this process, as far as doors must know of them. */
export interface InProcessGroups {
  /** Has the group members in this process right now? */
  hasMembers(groupId: string): boolean;
}

export class GroupDirectory {
  readonly #inProcess: InProcessGroups;
  readonly #kinds = new Map<GroupKind, GroupKindHooks>();
  readonly #claims = new Map<string, GroupKind>();

  constructor(inProcess: InProcessGroups) {
    this.#inProcess = inProcess;
  }

  /** Once per kind, before `load`. */
  register(kind: GroupKind, hooks: GroupKindHooks): void {
    this.#kinds.set(kind, hooks);
  }

  /** Of a group that is claimed or has members in this process; undefined for one that anybody may claim. */
  kindOf(groupId: string): GroupKind | typeof inProcessProtocolType | undefined {
    return this.#claims.get(groupId) ?? (this.#inProcess.hasMembers(groupId) ? inProcessProtocolType : undefined);
  }

  /** True when the group is of this kind from here on, or was; false when another kind has it. */
  claim(groupId: string, kind: GroupKind): boolean {
    const known = this.kindOf(groupId);
    if (known !== undefined) return known === kind;
    this.#claims.set(groupId, kind);
    return true;
  }

  /** It has no members any more, and the log says so. */
  release(groupId: string, kind: GroupKind): void {
    if (this.#claims.get(groupId) === kind) this.#claims.delete(groupId);
  }

  /** For members in this process: may they not join, because clients have the group? */
  isClaimed(groupId: string): boolean {
    return this.#claims.has(groupId);
  }

  /** Of the kind that has claimed the group. */
  hooksOf(groupId: string): GroupKindHooks | undefined {
    const kind = this.#claims.get(groupId);
    return kind && this.#kinds.get(kind);
  }

  /** Topics that the group's members subscribe to, where that is known. */
  subscribed(groupId: string): ReadonlySet<string> | undefined {
    return this.hooksOf(groupId)?.subscribed(groupId);
  }

  /** All groups that are claimed. */
  list(): ListedGroup[] {
    return [...this.#kinds.values()].flatMap((hooks) => hooks.list());
  }

  topicsChanged(): void {
    for (const hooks of this.#kinds.values()) hooks.topicsChanged();
  }

  /** At the start, when all kinds are registered: groups that have members are taken over by their kind. */
  async load(offsets: OffsetStore): Promise<void> {
    for (const { group, metadata } of await offsets.groups()) {
      if (!metadata || metadata.memberCount === 0 || metadata.protocolType === inProcessProtocolType) continue;
      const kind = kindOfStored(metadata);
      const hooks = kind && this.#kinds.get(kind);
      if (hooks && this.claim(group, kind)) hooks.load(group, metadata);
    }
  }
}

/** Which kind wrote what is kept about a group; undefined when it keeps nothing. */
export function kindOfStored(metadata: StoredGroup["metadata"]): GroupKind | undefined {
  switch (metadata?.detail?.[0]) {
    case detailKind.classic:
      return "classic";
    case detailKind.consumer:
      return "consumer";
    default:
      return undefined;
  }
}
