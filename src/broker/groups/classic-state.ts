/**
 * What is known of a consumer group whose members use the classic protocol, what is asked of it and what it answers
 * (JoinGroup, SyncGroup, Heartbeat, LeaveGroup). How one follows from the other is `classic-group.ts`.
 *
 * Subscriptions and assignments are bytes that members make for each other: only `subscribedTopics` looks inside. Times are
 * those of one monotonic clock.
 */

/** As Kafka spells them. What is not there is `Dead`. */
export type ClassicPhase = "Empty" | "PreparingRebalance" | "CompletingRebalance" | "Stable";

/** Kafka's name of what a member is told. */
export type ClassicErrorName =
  | "NONE"
  | "UNKNOWN_SERVER_ERROR"
  | "COORDINATOR_NOT_AVAILABLE"
  | "ILLEGAL_GENERATION"
  | "INCONSISTENT_GROUP_PROTOCOL"
  | "UNKNOWN_MEMBER_ID"
  | "REBALANCE_IN_PROGRESS"
  | "MEMBER_ID_REQUIRED"
  | "GROUP_MAX_SIZE_REACHED"
  | "FENCED_INSTANCE_ID";

export interface ClassicSettings {
  /** Kafka's group.initial.rebalance.delay.ms: so long an empty group waits for more members. */
  readonly initialRebalanceDelayMs: number;
  /** A new member whose join is not answered in this time is removed: its client may be gone without our knowing. */
  readonly newMemberJoinTimeoutMs: number;
  /** Kafka's group.max.size; also of those who have an id and have not joined yet. */
  readonly membersMax: number;
}

export const defaultClassicSettings: ClassicSettings = {
  initialRebalanceDelayMs: 3_000,
  newMemberJoinTimeoutMs: 5 * 60_000,
  membersMax: 10_000,
};

export interface MemberProtocol {
  readonly name: string;
  readonly metadata: Buffer;
}

/** What outlives a restart. */
export interface KeptMember {
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly rebalanceTimeoutMs: number;
  readonly sessionTimeoutMs: number;
  /** In its order of preference; of a member that was read back only the one in use. */
  readonly protocols: readonly MemberProtocol[];
  readonly assignment: Buffer;
}

export interface ClassicMember extends KeptMember {
  /** Without a sign of life it is removed then; null while it waits for the group. */
  readonly sessionEndMs: number | null;
  /** It has never got the answer to a join: it may be removed while it waits for one. */
  readonly isNew: boolean;
  /** The requests that wait for their answers. */
  readonly joining: number | null;
  readonly syncing: number | null;
}

export interface ClassicGroup {
  readonly phase: ClassicPhase;
  readonly generation: number;
  /** Of the members; of the last ones when there are none now. */
  readonly protocolType: string | null;
  readonly protocol: string | null;
  readonly leaderId: string | null;
  /** By member id, in the order in which they joined. */
  readonly members: ReadonlyMap<string, ClassicMember>;
  /** Ids that were given out and not come back with yet, and until when they may. */
  readonly pending: ReadonlyMap<string, number>;
  /** Who has not asked for its assignment of this generation yet. */
  readonly unsynced: ReadonlySet<string>;
  /** Until then everybody has to ask; null when everybody has. */
  readonly syncEndMs: number | null;
  /** Until then everybody has to join again; null when no rebalance is being prepared. */
  readonly joinEndMs: number | null;
  /** While an empty group gathers its first members. */
  readonly initial: InitialRebalance | null;
  /** The leader's assignment is on its way into the log. */
  readonly storing: Storing | null;
  /** A static member has come back, and its new member id is on its way into the log. */
  readonly replacing: ReadonlyMap<number, Replacing>;
  /** Of the last thing that was to be kept. */
  readonly keepId: number;
}

export interface InitialRebalance {
  readonly delayMs: number;
  /** By so much the delay may still be extended. */
  readonly remainingMs: number;
  readonly hasNewMember: boolean;
}

export interface Storing {
  readonly keepId: number;
  readonly assignments: ReadonlyMap<string, Buffer>;
}

export interface Replacing {
  readonly memberId: string;
  /** What is put back when it cannot be kept. */
  readonly before: ClassicMember;
  readonly knowsSkipAssignment: boolean;
}

export interface JoinRequest {
  /** Empty for a member that has none yet. */
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly protocolType: string;
  readonly protocols: readonly MemberProtocol[];
  /** The one that it gets when it has none. */
  readonly newMemberId: string;
  /** From version 4 on a dynamic member first gets its id and joins with it then (KIP-394). */
  readonly knowsIdRequired: boolean;
  /** From version 9 on a leader can be told that there is nothing to assign (KIP-814). */
  readonly knowsSkipAssignment: boolean;
}

export interface SyncRequest {
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly generation: number;
  /** Null where the version does not say. */
  readonly protocolType: string | null;
  readonly protocol: string | null;
  /** Of the leader; anybody else's are not looked at. */
  readonly assignments: readonly { readonly memberId: string; readonly assignment: Buffer }[];
}

export interface MemberIdentity {
  readonly memberId: string;
  readonly instanceId: string | null;
}

export type ClassicEvent =
  | { readonly kind: "join"; readonly request: number; readonly join: JoinRequest }
  | { readonly kind: "sync"; readonly request: number; readonly sync: SyncRequest }
  | {
      readonly kind: "heartbeat";
      readonly request: number;
      readonly member: MemberIdentity;
      readonly generation: number;
    }
  | { readonly kind: "leave"; readonly request: number; readonly members: readonly MemberIdentity[] }
  /** A member has committed offsets: a sign of life. */
  | { readonly kind: "committed"; readonly memberId: string }
  /** What a `keep` said is durable, or could not be made so. */
  | { readonly kind: "kept"; readonly keepId: number; readonly error: ClassicErrorName }
  /** Time has passed. */
  | { readonly kind: "tick" };

export interface JoinAnswer {
  readonly error: ClassicErrorName;
  readonly memberId: string;
  readonly generation: number;
  readonly protocolType: string | null;
  readonly protocol: string | null;
  readonly leaderId: string;
  readonly skipAssignment: boolean;
  /** The leader's only. */
  readonly members: readonly {
    readonly memberId: string;
    readonly instanceId: string | null;
    readonly metadata: Buffer;
  }[];
}

export interface SyncAnswer {
  readonly error: ClassicErrorName;
  readonly protocolType: string | null;
  readonly protocol: string | null;
  readonly assignment: Buffer;
}

export interface LeaveAnswer {
  readonly members: readonly (MemberIdentity & { readonly error: ClassicErrorName })[];
}

/** What is kept of a group in the log. */
export interface KeptGroup {
  readonly generation: number;
  readonly protocolType: string;
  readonly protocol: string | null;
  readonly leaderId: string | null;
  readonly members: readonly KeptMember[];
}

export type ClassicEffect =
  | { readonly kind: "joined"; readonly request: number; readonly answer: JoinAnswer }
  | { readonly kind: "synced"; readonly request: number; readonly answer: SyncAnswer }
  | { readonly kind: "heartbeat"; readonly request: number; readonly error: ClassicErrorName }
  | { readonly kind: "left"; readonly request: number; readonly answer: LeaveAnswer }
  /** To be made durable, in this order; answered with `kept`. */
  | { readonly kind: "keep"; readonly keepId: number; readonly kept: KeptGroup }
  /** For the diagnostics. */
  | { readonly kind: "removed"; readonly memberId: string; readonly reason: RemovalReason };

/** `expired`: no sign of life; `late`: did not join again in time; `unsynced`: did not ask for its assignment in time. */
export type RemovalReason = "left" | "expired" | "late" | "unsynced" | "replaced";

export const noBytes: Buffer = Buffer.alloc(0);

export function emptyClassicGroup(generation = 0, protocolType: string | null = null): ClassicGroup {
  return {
    phase: "Empty",
    generation,
    protocolType,
    protocol: null,
    leaderId: null,
    members: new Map(),
    pending: new Map(),
    unsynced: new Set(),
    syncEndMs: null,
    joinEndMs: null,
    initial: null,
    storing: null,
    replacing: new Map(),
    keepId: 0,
  };
}

/** As it was kept: stable, and every session begins now. */
export function loadedClassicGroup(kept: KeptGroup, nowMs: number): ClassicGroup {
  const members = kept.members.map((member): [string, ClassicMember] => {
    const sessionEndMs = nowMs + member.sessionTimeoutMs;
    return [member.memberId, { ...member, sessionEndMs, isNew: false, joining: null, syncing: null }];
  });
  const empty = emptyClassicGroup(kept.generation, kept.protocolType);
  if (members.length === 0) return empty;
  const { protocol, leaderId } = kept;
  return { ...empty, phase: "Stable", protocol, leaderId, members: new Map(members) };
}

/** When the next `tick` is due; undefined while there is nothing to wait for. */
export function nextDeadlineMs(group: ClassicGroup): number | undefined {
  let next = Math.min(group.joinEndMs ?? Number.POSITIVE_INFINITY, group.syncEndMs ?? Number.POSITIVE_INFINITY);
  for (const endMs of group.pending.values()) if (endMs < next) next = endMs;
  for (const { sessionEndMs } of group.members.values()) {
    if (sessionEndMs !== null && sessionEndMs < next) next = sessionEndMs;
  }
  return next === Number.POSITIVE_INFINITY ? undefined : next;
}

/** Nobody is in it, or about to be. */
export function isVoid({ phase, pending, members }: ClassicGroup): boolean {
  return phase === "Empty" && pending.size === 0 && members.size === 0;
}

/** Who says that it is this member: is it? */
export function memberError(
  group: ClassicGroup,
  { memberId, instanceId }: MemberIdentity,
): "NONE" | "UNKNOWN_MEMBER_ID" | "FENCED_INSTANCE_ID" {
  if (instanceId !== null) {
    const known = memberOfInstance(group.members, instanceId);
    if (!known) return "UNKNOWN_MEMBER_ID";
    if (known.memberId !== memberId) return "FENCED_INSTANCE_ID";
  }
  return group.members.has(memberId) ? "NONE" : "UNKNOWN_MEMBER_ID";
}

export interface OffsetsClaim extends MemberIdentity {
  /** Negative when it is not given. */
  readonly generation: number;
  readonly isTransactional: boolean;
}

/** May offsets be committed (Kafka's validateOffsetCommit)? */
export function commitError(
  group: ClassicGroup,
  claim: OffsetsClaim,
): ReturnType<typeof memberError> | "ILLEGAL_GENERATION" | "REBALANCE_IN_PROGRESS" {
  const { memberId, instanceId, generation, isTransactional } = claim;
  if (generation < 0 && group.phase === "Empty") return "NONE";
  if (generation >= 0 || memberId !== "" || instanceId !== null) {
    const error = memberError(group, claim);
    if (error !== "NONE") return error;
    if (generation !== group.generation) return "ILLEGAL_GENERATION";
  } else if (!isTransactional) return "UNKNOWN_MEMBER_ID";
  // Who knows this generation has not got its assignment in it yet. Older clients say nothing of it in a transaction.
  return !isTransactional && group.phase === "CompletingRebalance" ? "REBALANCE_IN_PROGRESS" : "NONE";
}

export function memberOfInstance(
  members: ReadonlyMap<string, ClassicMember>,
  instanceId: string,
): ClassicMember | undefined {
  for (const member of members.values()) if (member.instanceId === instanceId) return member;
  return undefined;
}

export function metadataOf({ protocols }: KeptMember, protocol: string | null): Buffer {
  return protocols.find(({ name }) => name === protocol)?.metadata ?? noBytes;
}

/** Topics that consumers subscribe to; undefined when the members are something else, or cannot be read. */
export function subscribedTopics(group: ClassicGroup): ReadonlySet<string> | undefined {
  if (group.protocolType !== "consumer") return undefined;
  const topics = new Set<string>();
  for (const member of group.members.values()) {
    const named = topicsOfSubscription(metadataOf(member, group.protocol));
    if (!named) return undefined;
    for (const topic of named) topics.add(topic);
  }
  return topics;
}

/** The beginning of a subscription is the same in all of its versions: version, then names of topics. */
function topicsOfSubscription(bytes: Buffer): string[] | undefined {
  if (bytes.length < 6) return undefined;
  const topics: string[] = [];
  let at = 6;
  for (let left = bytes.readInt32BE(2); left > 0; left--) {
    if (at + 2 > bytes.length) return undefined;
    const end = at + 2 + bytes.readInt16BE(at);
    if (end < at + 2 || end > bytes.length) return undefined;
    topics.push(bytes.toString("utf8", at + 2, end));
    at = end;
  }
  return topics;
}
