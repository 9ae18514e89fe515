/**
 * What happens in a consumer group, as a pure function: `decide(state, event, nowMs)` answers the next state and what is to
 * be told to whom. Times are those of one monotonic clock.
 *
 * A rebalance gives every member a target. What a member has and its target does not is revoked, and stays the member's
 * until it acknowledges, leaves or is removed; only then does the next one get it (cooperative, as KIP-848 has it). So no
 * partition is ever two members'.
 *
 * Always true: of no partition there are two `owned`; `told` is a part of `owned`, and of the target.
 */
import type { ErrorCode } from "../../base/error-codes.ts";
import { assignPartitions } from "../group-assignors.ts";
import type { Assignor } from "../groups.ts";

export const membersMax = 1_000;
/** Of all topics that a group's members subscribe to. */
export const groupPartitionsMax = 100_000;

export interface JoiningMember {
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly metadata: Buffer;
  readonly topics: readonly string[];
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
}

/** Partitions are `<topic>/<partition>`. */
export interface MemberState extends JoiningMember {
  /** It left and may come back with its instance id; meanwhile it has a target and owns nothing. */
  readonly isAway: boolean;
  /** Without a heartbeat it is removed then. */
  readonly sessionEndMs: number;
  /** Until then it has to let go of what was revoked; null when nothing is. */
  readonly revokeEndMs: number | null;
  readonly target: readonly string[];
  /** Nobody else may have these. */
  readonly owned: readonly string[];
  /** What it was last told that it has; null before it was told anything. */
  readonly told: readonly string[] | null;
}

export interface GroupState {
  readonly generation: number;
  /** Null while there are no members. */
  readonly assignor: Assignor | null;
  /** By member id, in the order in which they joined. */
  readonly members: ReadonlyMap<string, MemberState>;
  /** Partitions of every topic that a member subscribes to; 0 where there is no such topic. */
  readonly counts: ReadonlyMap<string, number>;
}

export type GroupEvent =
  | {
      readonly kind: "join";
      readonly member: JoiningMember;
      readonly assignor: Assignor;
      /** At least of the topics that the member subscribes to. */
      readonly counts: ReadonlyMap<string, number>;
    }
  | { readonly kind: "heartbeat"; readonly memberId: string }
  /** The member has let go of all that the assignment of this generation did not name. */
  | { readonly kind: "acknowledge"; readonly memberId: string; readonly generation: number }
  | { readonly kind: "leave"; readonly memberId: string; readonly forGood: boolean }
  | { readonly kind: "topics"; readonly counts: ReadonlyMap<string, number> }
  /** Time has passed. */
  | { readonly kind: "tick" };

/** `expired`: no heartbeat; `slow`: did not let go in time; `replaced`: its instance id joined again. */
export type RemovalReason = "left" | "expired" | "slow" | "replaced";

export type GroupEffect =
  | {
      readonly kind: "assigned";
      readonly memberId: string;
      readonly generation: number;
      readonly assignment: readonly string[];
    }
  | { readonly kind: "removed"; readonly memberId: string; readonly reason: RemovalReason }
  | { readonly kind: "refused"; readonly memberId: string; readonly code: ErrorCode; readonly message: string };

export interface GroupDecision {
  readonly state: GroupState;
  readonly effects: readonly GroupEffect[];
}

export function emptyGroup(generation = 0): GroupState {
  return { generation, assignor: null, members: new Map(), counts: new Map() };
}

export function decide(state: GroupState, event: GroupEvent, nowMs: number): GroupDecision {
  const draft = new Draft(state, nowMs);
  // A member whose time is over is gone, also when it is the one that speaks.
  draft.removeOverdue();
  switch (event.kind) {
    case "join":
      draft.join(event.member, event.assignor, event.counts);
      break;
    case "heartbeat":
      draft.heartbeat(event.memberId);
      break;
    case "acknowledge":
      draft.acknowledge(event.memberId, event.generation);
      break;
    case "leave":
      draft.leave(event.memberId, event.forGood);
      break;
    case "topics":
      draft.topics(event.counts);
      break;
    case "tick":
      break;
  }
  return draft.decision();
}

/** When the next `tick` is due; undefined while there is nothing to wait for. */
export function nextDeadlineMs(state: GroupState): number | undefined {
  let next: number | undefined;
  for (const { sessionEndMs, revokeEndMs } of state.members.values()) {
    const endMs = Math.min(sessionEndMs, revokeEndMs ?? sessionEndMs);
    if (next === undefined || endMs < next) next = endMs;
  }
  return next;
}

/** True when everybody has its target. */
export function isSettled(state: GroupState): boolean {
  for (const { isAway, target, owned } of state.members.values()) {
    if (!isAway && !isSame(target, owned)) return false;
  }
  return true;
}

/** The state while it is being decided; given out once. */
class Draft {
  readonly #nowMs: number;
  readonly #members: Map<string, MemberState>;
  readonly #effects: GroupEffect[] = [];
  #generation: number;
  #assignor: Assignor | null;
  #counts: ReadonlyMap<string, number>;
  /** A new generation is due. */
  #isUneven = false;
  /** What somebody has let go of; null when anything may be free. */
  #freed: Set<string> | null = new Set();

  constructor(state: GroupState, nowMs: number) {
    this.#nowMs = nowMs;
    this.#members = new Map(state.members);
    this.#generation = state.generation;
    this.#assignor = state.assignor;
    this.#counts = state.counts;
  }

  decision(): GroupDecision {
    if (this.#isUneven) this.#rebalance();
    else if (this.#freed === null || this.#freed.size > 0) this.#reconcile(false);
    const state = {
      generation: this.#generation,
      assignor: this.#members.size > 0 ? this.#assignor : null,
      members: this.#members,
      counts: this.#counts,
    };
    return { state, effects: this.#effects };
  }

  removeOverdue(): void {
    for (const { memberId, sessionEndMs, revokeEndMs } of [...this.#members.values()]) {
      if (sessionEndMs <= this.#nowMs) this.#remove(memberId, "expired");
      else if (revokeEndMs !== null && revokeEndMs <= this.#nowMs) this.#remove(memberId, "slow");
    }
  }

  join(member: JoiningMember, assignor: Assignor, counts: ReadonlyMap<string, number>): void {
    const { memberId, instanceId } = member;
    const before = instanceId === null ? undefined : this.#withInstance(instanceId);
    const others = this.#members.size - (before ? 1 : 0);
    const known = this.#members.get(memberId);
    if (known && !(known === before && known.isAway)) {
      this.#refuse(memberId, "GROUP_MEMBER_EXISTS", `there is a member ${memberId} already`);
      return;
    }
    if (others > 0 && assignor !== this.#assignor) {
      const message = `the group's members share partitions by ${this.#assignor}, not by ${assignor}`;
      this.#refuse(memberId, "GROUP_ASSIGNOR_MISMATCH", message);
      return;
    }
    if (others >= membersMax) {
      this.#refuse(memberId, "GROUP_FULL", `a group has at most ${membersMax} members`);
      return;
    }
    const all = new Map([...this.#counts, ...counts]);
    if ([...all.values()].reduce((sum, count) => sum + count, 0) > groupPartitionsMax) {
      this.#refuse(memberId, "GROUP_FULL", `a group has at most ${groupPartitionsMax} partitions`);
      return;
    }
    const isSameAsBefore = before !== undefined && isSame(before.topics, member.topics) && assignor === this.#assignor;
    this.#assignor = assignor;
    this.#counts = all;
    // Whoever had it before is removed, so that what it had is free, for its successor first.
    if (before) this.#replace(before, member);
    else this.#members.set(memberId, this.#fresh(member, []));
    if (isSameAsBefore) this.#freed = null;
    else this.#isUneven = true;
  }

  heartbeat(memberId: string): void {
    const member = this.#active(memberId);
    if (member) this.#members.set(memberId, { ...member, sessionEndMs: this.#nowMs + member.sessionTimeoutMs });
  }

  acknowledge(memberId: string, generation: number): void {
    const member = this.#active(memberId);
    // An answer to an earlier generation says nothing about what was told since.
    if (!member || generation !== this.#generation || member.revokeEndMs === null) return;
    const told = new Set(member.told);
    for (const place of member.owned) if (!told.has(place)) this.#freed?.add(place);
    this.#members.set(memberId, { ...member, owned: member.told ?? [], revokeEndMs: null });
  }

  leave(memberId: string, forGood: boolean): void {
    const member = this.#active(memberId);
    if (!member) return;
    if (member.instanceId === null || forGood) {
      this.#remove(memberId, "left");
      return;
    }
    this.#effects.push({ kind: "removed", memberId, reason: "left" });
    const sessionEndMs = this.#nowMs + member.sessionTimeoutMs;
    this.#members.set(memberId, { ...member, isAway: true, sessionEndMs, revokeEndMs: null, owned: [], told: [] });
    for (const place of member.owned) this.#freed?.add(place);
  }

  topics(counts: ReadonlyMap<string, number>): void {
    for (const [topic, count] of this.#counts) {
      if ((counts.get(topic) ?? 0) !== count) this.#isUneven = true;
    }
    if (this.#isUneven)
      this.#counts = new Map([...this.#counts.keys()].map((topic) => [topic, counts.get(topic) ?? 0]));
  }

  #remove(memberId: string, reason: RemovalReason): void {
    const member = this.#members.get(memberId);
    this.#members.delete(memberId);
    // One that is away was told when it left.
    if (!member?.isAway) this.#effects.push({ kind: "removed", memberId, reason });
    this.#isUneven = true;
  }

  /** At the same place in the order. */
  #replace(before: MemberState, member: JoiningMember): void {
    const entries = [...this.#members];
    this.#members.clear();
    for (const [memberId, state] of entries) {
      if (state === before) this.#members.set(member.memberId, this.#fresh(member, before.target));
      else this.#members.set(memberId, state);
    }
    if (!before.isAway) this.#effects.push({ kind: "removed", memberId: before.memberId, reason: "replaced" });
  }

  #fresh(member: JoiningMember, target: readonly string[]): MemberState {
    const sessionEndMs = this.#nowMs + member.sessionTimeoutMs;
    return { ...member, isAway: false, sessionEndMs, revokeEndMs: null, target, owned: [], told: null };
  }

  #rebalance(): void {
    const members = [...this.#members.values()];
    const subscribed = new Set(members.flatMap(({ topics }) => topics));
    this.#counts = new Map([...this.#counts].filter(([topic]) => subscribed.has(topic)));
    this.#generation++;
    if (this.#assignor === null || members.length === 0) return;
    const subscribers = members.map(({ memberId, instanceId, topics }) => ({
      memberId,
      rank: instanceId ?? memberId,
      topics,
    }));
    const holder = this.#holders(members);
    const targets = assignPartitions(this.#assignor, subscribers, this.#counts, (place) => holder.get(place));
    for (const member of members) {
      this.#members.set(member.memberId, { ...member, target: targets.get(member.memberId) ?? [] });
    }
    this.#reconcile(true);
  }

  /** Whose a partition was to be, else whose it still is. */
  #holders(members: readonly MemberState[]): Map<string, string> {
    const holders = new Map<string, string>();
    for (const { memberId, owned } of members) for (const place of owned) holders.set(place, memberId);
    for (const { memberId, target } of members) for (const place of target) holders.set(place, memberId);
    return holders;
  }

  /** Tells members what they have: of their target all that they had, and what is nobody's. */
  #reconcile(isNewGeneration: boolean): void {
    const isFree = this.#free(isNewGeneration ? null : this.#freed);
    for (const member of [...this.#members.values()]) {
      const { memberId, target, owned } = member;
      if (member.isAway || (!isNewGeneration && member.told === target && owned === target)) continue;
      const mine = new Set(owned);
      for (const place of target) if (!mine.has(place) && isFree(place)) mine.add(place);
      const has = target.filter((place) => mine.has(place));
      const told = has.length === target.length ? target : has;
      const isRevoking = mine.size > told.length;
      const revokeEndMs = isRevoking ? (member.revokeEndMs ?? this.#nowMs + member.rebalanceTimeoutMs) : null;
      this.#members.set(memberId, { ...member, owned: isRevoking ? [...mine] : told, told, revokeEndMs });
      if (!isNewGeneration && member.told && isSame(told, member.told)) continue;
      this.#effects.push({ kind: "assigned", memberId, generation: this.#generation, assignment: told });
    }
  }

  #free(freed: ReadonlySet<string> | null): (place: string) => boolean {
    if (freed) return (place) => freed.has(place);
    const taken = new Set<string>();
    for (const { owned } of this.#members.values()) for (const place of owned) taken.add(place);
    return (place) => !taken.has(place);
  }

  #active(memberId: string): MemberState | undefined {
    const member = this.#members.get(memberId);
    if (member && !member.isAway) return member;
    this.#refuse(memberId, "GROUP_MEMBER_UNKNOWN", `${memberId} is not a member of the group`);
    return undefined;
  }

  #withInstance(instanceId: string): MemberState | undefined {
    for (const member of this.#members.values()) if (member.instanceId === instanceId) return member;
    return undefined;
  }

  #refuse(memberId: string, code: ErrorCode, message: string): void {
    this.#effects.push({ kind: "refused", memberId, code, message });
  }
}

/** The same names, in whatever order. */
function isSame(a: readonly string[], b: readonly string[]): boolean {
  const known = new Set(a);
  return known.size === new Set(b).size && b.every((name) => known.has(name));
}
