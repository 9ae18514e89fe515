/**
 * The state of a classic group while it is being decided, and what is told meanwhile. The rules are `classic-group.ts`;
 * a draft is given out once.
 */
import {
  type ClassicEffect,
  type ClassicErrorName,
  type ClassicGroup,
  type ClassicMember,
  type ClassicPhase,
  type ClassicSettings,
  type InitialRebalance,
  type JoinAnswer,
  type KeptGroup,
  metadataOf,
  noBytes,
  type Replacing,
  type Storing,
  type SyncAnswer,
} from "./classic-state.ts";
import { selectProtocol } from "./protocol-choice.ts";

export class ClassicDraft {
  readonly nowMs: number;
  readonly settings: ClassicSettings;
  readonly effects: ClassicEffect[] = [];
  readonly members: Map<string, ClassicMember>;
  readonly pending: Map<string, number>;
  unsynced: Set<string>;
  phase: ClassicPhase;
  generation: number;
  protocolType: string | null;
  protocol: string | null;
  leaderId: string | null;
  syncEndMs: number | null;
  joinEndMs: number | null;
  initial: InitialRebalance | null;
  storing: Storing | null;
  readonly replacing: Map<number, Replacing>;
  keepId: number;

  constructor(group: ClassicGroup, nowMs: number, settings: ClassicSettings) {
    this.nowMs = nowMs;
    this.settings = settings;
    this.members = new Map(group.members);
    this.pending = new Map(group.pending);
    this.unsynced = new Set(group.unsynced);
    this.phase = group.phase;
    this.generation = group.generation;
    this.protocolType = group.protocolType;
    this.protocol = group.protocol;
    this.leaderId = group.leaderId;
    this.syncEndMs = group.syncEndMs;
    this.joinEndMs = group.joinEndMs;
    this.initial = group.initial;
    this.storing = group.storing;
    this.replacing = new Map(group.replacing);
    this.keepId = group.keepId;
  }

  group(): ClassicGroup {
    return {
      phase: this.phase,
      generation: this.generation,
      protocolType: this.protocolType,
      protocol: this.protocol,
      leaderId: this.leaderId,
      members: this.members,
      pending: this.pending,
      unsynced: this.unsynced,
      syncEndMs: this.syncEndMs,
      joinEndMs: this.joinEndMs,
      initial: this.initial,
      storing: this.storing,
      replacing: this.replacing,
      keepId: this.keepId,
    };
  }

  beginSession(memberId: string): void {
    const member = this.members.get(memberId) as ClassicMember;
    this.members.set(memberId, { ...member, sessionEndMs: this.nowMs + member.sessionTimeoutMs });
  }

  keep(assignments?: ReadonlyMap<string, Buffer>): number {
    const keepId = ++this.keepId;
    const kept: KeptGroup = {
      generation: this.generation,
      protocolType: this.protocolType ?? "",
      protocol: this.protocol,
      leaderId: this.leaderId,
      members: [...this.members.values()].map((member) => ({
        ...member,
        assignment: assignments ? (assignments.get(member.memberId) ?? noBytes) : member.assignment,
      })),
    };
    this.effects.push({ kind: "keep", keepId, kept });
    return keepId;
  }

  tellJoin(
    request: number,
    { memberId }: ClassicMember,
    told: { readonly isLeader: boolean; readonly skipAssignment: boolean; readonly leaderId?: string },
  ): void {
    const members = told.isLeader ? [...this.members.values()] : [];
    const answer: JoinAnswer = {
      error: "NONE",
      memberId,
      generation: this.generation,
      protocolType: this.protocolType,
      protocol: this.protocol,
      leaderId: told.leaderId ?? this.leaderId ?? "",
      skipAssignment: told.skipAssignment,
      members: members.map((member) => ({
        memberId: member.memberId,
        instanceId: member.instanceId,
        metadata: metadataOf(member, this.protocol),
      })),
    };
    this.effects.push({ kind: "joined", request, answer });
  }

  refuseJoin(request: number, error: ClassicErrorName, memberId: string): void {
    this.effects.push({ kind: "joined", request, answer: joinRefusal(error, memberId) });
  }

  tellSync(request: number, error: ClassicErrorName, assignment: Buffer = noBytes): void {
    const isDone = error === "NONE";
    const protocolType = isDone ? this.protocolType : null;
    const protocol = isDone ? this.protocol : null;
    const answer: SyncAnswer = { error, protocolType, protocol, assignment };
    this.effects.push({ kind: "synced", request, answer });
  }

  choice(): string | null {
    return selectProtocol([...this.members.values()]);
  }

  get haveAllJoined(): boolean {
    return this.pending.size === 0 && this.joiningCount === this.members.size;
  }

  get joiningCount(): number {
    let count = 0;
    for (const { joining } of this.members.values()) if (joining !== null) count++;
    return count;
  }

  get rebalanceTimeoutMs(): number {
    let longestMs = 0;
    for (const { rebalanceTimeoutMs } of this.members.values()) longestMs = Math.max(longestMs, rebalanceTimeoutMs);
    return longestMs;
  }
}

export function joinRefusal(error: ClassicErrorName, memberId: string): JoinAnswer {
  return {
    error,
    memberId,
    generation: -1,
    protocolType: null,
    protocol: null,
    leaderId: "",
    skipAssignment: false,
    members: [],
  };
}

export function syncRefusal(error: ClassicErrorName): SyncAnswer {
  return { error, protocolType: null, protocol: null, assignment: noBytes };
}
