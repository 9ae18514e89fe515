/**
 * What happens in a consumer group of the classic protocol, as a pure function: `decide(group, event, nowMs)` answers the next
 * state, and what is to be told and kept. The rules, and their edges, are Kafka's (GroupMetadataManager, ClassicGroup).
 *
 * A rebalance has two phases. In the first all members join again: their joins are answered together, with the next
 * generation. In the second they ask for their assignments, which the leader sends: it is kept first, then all are answered.
 *
 * Always true: one generation has one protocol and, once it is stable, one assignment; whoever was answered with a
 * generation's assignment finds it in the log. In a stable group nobody waits, but for a static member that has just come back.
 */
import { ClassicDraft } from "./classic-draft.ts";
import {
  type ClassicEffect,
  type ClassicErrorName,
  type ClassicEvent,
  type ClassicGroup,
  type ClassicMember,
  type ClassicSettings,
  type JoinRequest,
  type LeaveAnswer,
  type MemberIdentity,
  memberError,
  memberOfInstance,
  nextDeadlineMs,
  noBytes,
  type RemovalReason,
  type Replacing,
  type SyncRequest,
} from "./classic-state.ts";
import { areSameProtocols, isSupported } from "./protocol-choice.ts";

export interface ClassicDecision {
  readonly group: ClassicGroup;
  readonly effects: readonly ClassicEffect[];
}

const generationMax = 0x7fffffff;

export function decide(
  group: ClassicGroup,
  event: ClassicEvent,
  nowMs: number,
  settings: ClassicSettings,
): ClassicDecision {
  const rules = new Rules(new ClassicDraft(group, nowMs, settings));
  // What is over is over, also when it is the one concerned that speaks.
  rules.letTimePass();
  switch (event.kind) {
    case "join":
      rules.join(event.request, event.join);
      break;
    case "sync":
      rules.sync(event.request, event.sync);
      break;
    case "heartbeat":
      rules.heartbeat(event.request, event.member, event.generation);
      break;
    case "leave":
      rules.leave(event.request, event.members);
      break;
    case "committed":
      rules.committed(event.memberId);
      break;
    case "kept":
      rules.kept(event.keepId, event.error);
      break;
    case "tick":
      break;
  }
  return rules.decision();
}

/** What each event does to a draft. */
class Rules {
  readonly #draft: ClassicDraft;

  constructor(draft: ClassicDraft) {
    this.#draft = draft;
  }

  decision(): ClassicDecision {
    return { group: this.#draft.group(), effects: this.#draft.effects };
  }

  /** Everything that has fallen due, the earliest first. */
  letTimePass(): void {
    for (;;) {
      const dueMs = nextDeadlineMs(this.#draft.group());
      if (dueMs === undefined || dueMs > this.#draft.nowMs) return;
      this.#fire(dueMs);
    }
  }

  join(request: number, join: JoinRequest): void {
    const { memberId } = join;
    if (!this.#accepts(memberId)) {
      // One that had to join again finds its place taken.
      if (this.#draft.members.has(memberId)) this.#remove(memberId, "late");
      this.#draft.pending.delete(memberId);
      this.#draft.refuseJoin(request, "GROUP_MAX_SIZE_REACHED", "");
    } else if (!this.#supports(join)) this.#draft.refuseJoin(request, "INCONSISTENT_GROUP_PROTOCOL", memberId);
    else if (memberId === "") this.#joinAsNew(request, join);
    else if (this.#draft.pending.has(memberId)) this.#joinAsPending(request, join);
    else this.#joinAgain(request, join);
  }

  sync(request: number, sync: SyncRequest): void {
    const error = this.#syncError(sync);
    if (error !== "NONE") {
      this.#draft.tellSync(request, error);
      return;
    }
    this.#draft.unsynced.delete(sync.memberId);
    if (this.#draft.unsynced.size === 0) this.#draft.syncEndMs = null;
    const member = this.#draft.members.get(sync.memberId) as ClassicMember;
    if (this.#draft.phase === "Stable") {
      this.#draft.tellSync(request, "NONE", member.assignment);
      return;
    }
    if (member.syncing !== null) this.#draft.tellSync(member.syncing, "REBALANCE_IN_PROGRESS");
    this.#draft.members.set(sync.memberId, { ...member, syncing: request });
    if (sync.memberId !== this.#draft.leaderId) return;
    const assignments = new Map(sync.assignments.map(({ memberId, assignment }) => [memberId, assignment]));
    this.#draft.storing = { keepId: this.#draft.keep(assignments), assignments };
  }

  heartbeat(request: number, identity: MemberIdentity, generation: number): void {
    let error: ClassicErrorName = memberError(this.#draft.group(), identity);
    if (error === "NONE" && generation !== this.#draft.generation) error = "ILLEGAL_GENERATION";
    if (error === "NONE") {
      this.#draft.beginSession(identity.memberId);
      if (this.#draft.phase === "PreparingRebalance") error = "REBALANCE_IN_PROGRESS";
    }
    this.#draft.effects.push({ kind: "heartbeat", request, error });
  }

  leave(request: number, identities: readonly MemberIdentity[]): void {
    const members = identities.map((identity) => ({ ...identity, error: this.#leaveOne(identity) }));
    const answer: LeaveAnswer = { members };
    this.#draft.effects.push({ kind: "left", request, answer });
    if (members.every(({ error }) => error !== "NONE")) return;
    if (this.#draft.phase === "PreparingRebalance") this.#completeJoinIfAllHaveJoined();
    else if (this.#draft.phase !== "Empty") this.#prepareRebalance();
  }

  committed(memberId: string): void {
    if (this.#draft.phase !== "CompletingRebalance" && this.#draft.members.has(memberId))
      this.#draft.beginSession(memberId);
  }

  kept(keepId: number, error: ClassicErrorName): void {
    const replacing = this.#draft.replacing.get(keepId);
    this.#draft.replacing.delete(keepId);
    if (replacing) this.#replaced(replacing, error);
    if (this.#draft.storing?.keepId !== keepId) return;
    const { assignments } = this.#draft.storing;
    this.#draft.storing = null;
    if (error !== "NONE") {
      this.#dropAssignments(error);
      this.#prepareRebalance();
      return;
    }
    this.#draft.phase = "Stable";
    for (const member of this.#draft.members.values()) {
      const assignment = assignments.get(member.memberId) ?? noBytes;
      if (member.syncing !== null) this.#draft.tellSync(member.syncing, "NONE", assignment);
      this.#draft.members.set(member.memberId, { ...member, assignment, syncing: null });
      if (member.syncing !== null) this.#draft.beginSession(member.memberId);
    }
  }

  #fire(dueMs: number): void {
    for (const [memberId, endMs] of this.#draft.pending) {
      if (endMs > dueMs) continue;
      this.#draft.pending.delete(memberId);
      if (this.#draft.phase === "PreparingRebalance" && this.#draft.haveAllJoined) this.#completeJoin();
      return;
    }
    for (const member of this.#draft.members.values()) {
      if (member.sessionEndMs === null || member.sessionEndMs > dueMs) continue;
      this.#endSession(member);
      return;
    }
    if (this.#draft.joinEndMs !== null && this.#draft.joinEndMs <= dueMs) this.#endJoining();
    else this.#endSyncing();
  }

  #endSession(member: ClassicMember): void {
    // Who waits for the group cannot give a sign of life meanwhile; its session begins with the answer.
    if (!member.isNew && (member.joining !== null || member.syncing !== null)) {
      this.#draft.members.set(member.memberId, { ...member, sessionEndMs: null });
      return;
    }
    this.#remove(member.memberId, "expired");
    if (this.#draft.phase !== "PreparingRebalance") this.#prepareRebalance();
    else if (this.#draft.haveAllJoined) this.#completeJoin();
  }

  #endJoining(): void {
    const initial = this.#draft.initial;
    if (!initial?.hasNewMember || initial.remainingMs === 0) {
      this.#completeJoin();
      return;
    }
    const delayMs = Math.min(this.#draft.settings.initialRebalanceDelayMs, initial.remainingMs);
    const remainingMs = Math.max(initial.remainingMs - initial.delayMs, 0);
    this.#draft.initial = { delayMs, remainingMs, hasNewMember: false };
    this.#draft.joinEndMs = this.#draft.nowMs + delayMs;
  }

  #endSyncing(): void {
    this.#draft.syncEndMs = null;
    if (this.#draft.unsynced.size === 0) return;
    for (const memberId of this.#draft.unsynced) this.#remove(memberId, "unsynced");
    this.#prepareRebalance();
  }

  /** While members join anew, those who come first have the places. */
  #accepts(memberId: string): boolean {
    const { membersMax } = this.#draft.settings;
    if (memberId === "" && this.#draft.pending.size >= membersMax) return false;
    const member = this.#draft.members.get(memberId);
    switch (this.#draft.phase) {
      case "Empty":
        return true;
      case "PreparingRebalance":
        return (member && member.joining !== null) || this.#draft.joiningCount < membersMax;
      default:
        return member !== undefined || this.#draft.members.size < membersMax;
    }
  }

  #supports({ protocolType, protocols }: JoinRequest): boolean {
    if (this.#draft.phase === "Empty") return protocolType !== "" && protocols.length > 0;
    return protocolType === this.#draft.protocolType && isSupported(protocols, [...this.#draft.members.values()]);
  }

  #joinAsNew(request: number, join: JoinRequest): void {
    const { instanceId, newMemberId, knowsIdRequired, sessionTimeoutMs } = join;
    const before = instanceId === null ? undefined : memberOfInstance(this.#draft.members, instanceId);
    if (before) this.#replace(before, request, join);
    else if (instanceId !== null || !knowsIdRequired) this.#add(newMemberId, request, join);
    else {
      this.#draft.pending.set(newMemberId, this.#draft.nowMs + sessionTimeoutMs);
      this.#draft.refuseJoin(request, "MEMBER_ID_REQUIRED", newMemberId);
    }
  }

  #joinAsPending(request: number, join: JoinRequest): void {
    // Ids are given to dynamic members only.
    if (join.instanceId !== null) this.#draft.refuseJoin(request, "UNKNOWN_SERVER_ERROR", "");
    else this.#add(join.memberId, request, join);
  }

  #joinAgain(request: number, join: JoinRequest): void {
    const { memberId } = join;
    const error = this.#draft.phase === "Empty" ? "UNKNOWN_MEMBER_ID" : memberError(this.#draft.group(), join);
    if (error !== "NONE") {
      this.#draft.refuseJoin(request, error, memberId);
      return;
    }
    const member = this.#draft.members.get(memberId) as ClassicMember;
    const isLeader = memberId === this.#draft.leaderId;
    // A leader joins a stable group again to have all assigned anew; others who say what they said have missed an answer.
    const isRepeated = areSameProtocols(member.protocols, join.protocols);
    const isAnswered =
      this.#draft.phase === "CompletingRebalance"
        ? isRepeated
        : this.#draft.phase === "Stable" && isRepeated && !isLeader;
    if (isAnswered) {
      this.#draft.tellJoin(request, member, { isLeader, skipAssignment: false });
      return;
    }
    this.#update(member, request, join);
    if (this.#draft.phase === "PreparingRebalance") this.#completeJoinIfAllHaveJoined();
    else this.#prepareRebalance();
  }

  #add(memberId: string, request: number, join: JoinRequest): void {
    const { instanceId, clientId, clientHost, rebalanceTimeoutMs, sessionTimeoutMs, protocols, protocolType } = join;
    if (this.#draft.members.size === 0) this.#draft.protocolType = protocolType;
    this.#draft.pending.delete(memberId);
    this.#draft.members.set(memberId, {
      memberId,
      instanceId,
      clientId,
      clientHost,
      rebalanceTimeoutMs,
      sessionTimeoutMs,
      protocols,
      assignment: noBytes,
      // It cannot send heartbeats before it is answered.
      sessionEndMs: this.#draft.nowMs + this.#draft.settings.newMemberJoinTimeoutMs,
      isNew: true,
      joining: request,
      syncing: null,
    });
    this.#draft.leaderId ??= memberId;
    if (this.#draft.initial) this.#draft.initial = { ...this.#draft.initial, hasNewMember: true };
    if (this.#draft.phase === "PreparingRebalance") this.#completeJoinIfAllHaveJoined();
    else this.#prepareRebalance();
  }

  #update(member: ClassicMember, request: number, join: JoinRequest): void {
    const { protocols, rebalanceTimeoutMs, sessionTimeoutMs } = join;
    // Its client asks again, for it has lost the connection on which it asked before.
    if (member.joining !== null) this.#draft.refuseJoin(member.joining, "REBALANCE_IN_PROGRESS", member.memberId);
    const updated = { ...member, protocols, rebalanceTimeoutMs, sessionTimeoutMs, joining: request };
    this.#draft.members.set(member.memberId, updated);
  }

  /** A static member that has come back; whoever had its instance id before is fenced. */
  #replace(before: ClassicMember, request: number, join: JoinRequest): void {
    const memberId = join.newMemberId;
    this.#swap(before, { ...before, memberId, joining: null, syncing: null }, "FENCED_INSTANCE_ID");
    this.#update(this.#draft.members.get(memberId) as ClassicMember, request, join);
    this.#draft.beginSession(memberId);
    this.#draft.effects.push({ kind: "removed", memberId: before.memberId, reason: "replaced" });
    if (this.#draft.phase === "PreparingRebalance") this.#completeJoinIfAllHaveJoined();
    else if (this.#draft.phase === "CompletingRebalance" || this.#draft.choice() !== this.#draft.protocol) {
      // The leader may be at work with the old member id.
      this.#prepareRebalance();
    } else {
      const { knowsSkipAssignment } = join;
      this.#draft.replacing.set(this.#draft.keep(), { memberId, before, knowsSkipAssignment });
    }
  }

  /** The new id of a static member is kept, or could not be. */
  #replaced({ memberId, before, knowsSkipAssignment }: Replacing, error: ClassicErrorName): void {
    const member = this.#draft.members.get(memberId);
    // A rebalance has begun since: the member waits for that.
    if (!member || member.joining === null || this.#draft.phase !== "Stable") return;
    const isLeader = memberId === this.#draft.leaderId;
    if (error !== "NONE") {
      this.#draft.refuseJoin(member.joining, error, "");
      this.#swap(member, { ...before, joining: null, syncing: null }, error);
      this.#draft.beginSession(before.memberId);
      return;
    }
    if (knowsSkipAssignment) this.#draft.tellJoin(member.joining, member, { isLeader, skipAssignment: isLeader });
    else {
      // Named the leader, it would assign anew what all others keep: it is told that somebody else is.
      const leaderId = isLeader ? before.memberId : (this.#draft.leaderId ?? "");
      this.#draft.tellJoin(member.joining, member, { isLeader: false, skipAssignment: false, leaderId });
    }
    this.#draft.members.set(memberId, { ...member, joining: null });
    this.#draft.beginSession(memberId);
  }

  /** At the same place in the order; whoever waits for answers of the old one gets them. */
  #swap(old: ClassicMember, fresh: ClassicMember, error: ClassicErrorName): void {
    if (old.joining !== null && error === "FENCED_INSTANCE_ID")
      this.#draft.refuseJoin(old.joining, error, old.memberId);
    if (old.syncing !== null) this.#draft.tellSync(old.syncing, error);
    const entries = [...this.#draft.members];
    this.#draft.members.clear();
    for (const [memberId, member] of entries) {
      if (memberId === old.memberId) this.#draft.members.set(fresh.memberId, fresh);
      else this.#draft.members.set(memberId, member);
    }
    if (this.#draft.leaderId === old.memberId) this.#draft.leaderId = fresh.memberId;
    if (this.#draft.unsynced.delete(old.memberId)) this.#draft.unsynced.add(fresh.memberId);
  }

  #leaveOne(identity: MemberIdentity): ClassicErrorName {
    const { memberId, instanceId } = identity;
    if (memberId === "") {
      // An operator removes a static member by its instance id.
      const member = instanceId === null ? undefined : memberOfInstance(this.#draft.members, instanceId);
      if (!member) return "UNKNOWN_MEMBER_ID";
      this.#remove(member.memberId, "left");
      return "NONE";
    }
    if (this.#draft.pending.delete(memberId)) return "NONE";
    const error = memberError(this.#draft.group(), identity);
    if (error === "NONE") this.#remove(memberId, "left");
    return error;
  }

  #remove(memberId: string, reason: RemovalReason): void {
    const member = this.#draft.members.get(memberId);
    if (!member) return;
    if (member.joining !== null) this.#draft.refuseJoin(member.joining, "UNKNOWN_MEMBER_ID", "");
    if (member.syncing !== null) this.#draft.tellSync(member.syncing, "UNKNOWN_MEMBER_ID");
    this.#draft.members.delete(memberId);
    this.#draft.unsynced.delete(memberId);
    if (this.#draft.leaderId === memberId) this.#draft.leaderId = this.#draft.members.keys().next().value ?? null;
    this.#draft.effects.push({ kind: "removed", memberId, reason });
  }

  #prepareRebalance(): void {
    if (this.#draft.phase === "CompletingRebalance") this.#dropAssignments("REBALANCE_IN_PROGRESS");
    this.#draft.storing = null;
    this.#draft.unsynced = new Set();
    this.#draft.syncEndMs = null;
    const isInitial = this.#draft.phase === "Empty";
    this.#draft.phase = "PreparingRebalance";
    if (isInitial) {
      const delayMs = this.#draft.settings.initialRebalanceDelayMs;
      const remainingMs = Math.max(this.#draft.rebalanceTimeoutMs - delayMs, 0);
      this.#draft.initial = { delayMs, remainingMs, hasNewMember: false };
      this.#draft.joinEndMs = this.#draft.nowMs + delayMs;
    } else if (this.#draft.haveAllJoined) this.#completeJoin();
    else this.#draft.joinEndMs = this.#draft.nowMs + this.#draft.rebalanceTimeoutMs;
  }

  #dropAssignments(error: ClassicErrorName): void {
    for (const member of this.#draft.members.values()) {
      if (member.syncing !== null) this.#draft.tellSync(member.syncing, error);
      this.#draft.members.set(member.memberId, { ...member, assignment: noBytes, syncing: null });
      if (member.syncing !== null) this.#draft.beginSession(member.memberId);
    }
  }

  #completeJoinIfAllHaveJoined(): void {
    // An empty group waits its time for more.
    if (!this.#draft.initial && this.#draft.haveAllJoined) this.#completeJoin();
  }

  #completeJoin(): void {
    this.#draft.joinEndMs = null;
    for (const { memberId, instanceId, joining } of [...this.#draft.members.values()]) {
      if (joining === null && instanceId === null) this.#remove(memberId, "late");
    }
    if (this.#draft.members.size > 0 && !this.#electLeader()) {
      // Static members only, and none has joined: their sessions will end, or they will come.
      this.#draft.joinEndMs = this.#draft.nowMs + Math.max(1, this.#draft.rebalanceTimeoutMs);
      return;
    }
    this.#draft.initial = null;
    this.#draft.generation = this.#draft.generation === generationMax ? 0 : this.#draft.generation + 1;
    if (this.#draft.members.size === 0) {
      this.#draft.phase = "Empty";
      this.#draft.protocol = null;
      this.#draft.leaderId = null;
      this.#draft.keep();
      return;
    }
    this.#draft.phase = "CompletingRebalance";
    this.#draft.protocol = this.#draft.choice();
    this.#draft.unsynced = new Set(this.#draft.members.keys());
    this.#draft.syncEndMs = this.#draft.nowMs + this.#draft.rebalanceTimeoutMs;
    for (const member of this.#draft.members.values()) {
      const isLeader = member.memberId === this.#draft.leaderId;
      if (member.joining !== null) this.#draft.tellJoin(member.joining, member, { isLeader, skipAssignment: false });
      this.#draft.members.set(member.memberId, { ...member, joining: null, isNew: false });
      this.#draft.beginSession(member.memberId);
    }
  }

  /** The leader stays it if it has joined; else the first member that has. */
  #electLeader(): boolean {
    const leader = this.#draft.leaderId === null ? undefined : this.#draft.members.get(this.#draft.leaderId);
    if (leader && leader.joining !== null) return true;
    for (const { memberId, joining } of this.#draft.members.values()) {
      if (joining === null) continue;
      this.#draft.leaderId = memberId;
      return true;
    }
    return false;
  }

  #syncError({ memberId, instanceId, generation, protocolType, protocol }: SyncRequest): ClassicErrorName {
    const error = memberError(this.#draft.group(), { memberId, instanceId });
    if (error !== "NONE") return error;
    if (generation !== this.#draft.generation) return "ILLEGAL_GENERATION";
    if (protocolType !== null && this.#draft.protocolType !== null && protocolType !== this.#draft.protocolType) {
      return "INCONSISTENT_GROUP_PROTOCOL";
    }
    if (protocol !== null && this.#draft.protocol !== null && protocol !== this.#draft.protocol) {
      return "INCONSISTENT_GROUP_PROTOCOL";
    }
    return this.#draft.phase === "PreparingRebalance" ? "REBALANCE_IN_PROGRESS" : "NONE";
  }
}
