/**
 * A member of a consumer group of KIP-848, and how it comes from what it has to what it is to have: one step a heartbeat.
 *
 * Always true: `assigned` and `revoking` have no partition in common. What is in either is the member's, and nobody
 * else gets it; `revoking` is given up only when the client says that it owns none of it.
 * Not here: who is to have what (consumer-assignors.ts), and epochs of the group (consumer-group.ts).
 */
import {
  type DatedPlaces,
  isSame,
  noDatedPlaces,
  ownsAnyOf,
  type Places,
  type TopicPartitions,
  union,
} from "./consumer-partitions.ts";
import { isSameList } from "./consumer-topics.ts";

/**
 * `unrevoked`: it has to let go of partitions before it goes on. `unreleased`: it waits for partitions that others
 * have not let go of.
 */
export type MemberState = "stable" | "unrevoked" | "unreleased";

/** The epoch of a static member that has left and may come back with its instance id. */
export const awayEpoch = -2;

export interface ConsumerMember {
  readonly memberId: string;
  readonly instanceId: string | null;
  readonly rackId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  /** -1 before it was said. */
  readonly rebalanceTimeoutMs: number;
  /** Sorted, each once. */
  readonly topicNames: readonly string[];
  /** Null and empty are none. */
  readonly topicRegex: string | null;
  /** Null leaves the choice to the group. */
  readonly assignor: string | null;
  readonly epoch: number;
  /** The client may still be there, when an answer was lost. */
  readonly previousEpoch: number;
  readonly state: MemberState;
  readonly assigned: DatedPlaces;
  readonly revoking: DatedPlaces;
}

export interface Reconciliation {
  /** Of the topics that the member subscribes to. */
  readonly topicIds: ReadonlySet<string>;
  readonly targetEpoch: number;
  readonly target: Places;
  readonly hasSubscriptionChanged: boolean;
  /** What the client says that it owns; null when it does not say. */
  readonly owned: readonly TopicPartitions[] | null;
  /** Some member has it, or is to let go of it, this one included. */
  readonly isOwned: (topicId: string, partition: number) => boolean;
}

export function newMember(memberId: string): ConsumerMember {
  return {
    memberId,
    instanceId: null,
    rackId: null,
    clientId: "",
    clientHost: "",
    rebalanceTimeoutMs: -1,
    topicNames: [],
    topicRegex: null,
    assignor: null,
    epoch: 0,
    previousEpoch: -1,
    state: "stable",
    assigned: noDatedPlaces,
    revoking: noDatedPlaces,
  };
}

export function isReconciled({ state, epoch }: ConsumerMember, targetEpoch: number): boolean {
  return state === "stable" && epoch === targetEpoch;
}

/** The member after this heartbeat; the same object when nothing has changed. */
export function reconcile(member: ConsumerMember, given: Reconciliation): ConsumerMember {
  const { hasSubscriptionChanged } = given;
  switch (member.state) {
    case "stable":
      if (member.epoch !== given.targetEpoch) return towardsTarget(member, given);
      return hasSubscriptionChanged ? withoutUnsubscribed(member, given) : member;
    case "unrevoked":
      if (!ownsAnyOf(given.owned, member.revoking)) return towardsTarget(member, given);
      return hasSubscriptionChanged ? withoutUnsubscribed(member, given) : member;
    case "unreleased":
      return towardsTarget(member, given);
  }
}

/** It has left and may come back: what it has stays its own, and it has nothing to let go of. */
export function asAway(member: ConsumerMember): ConsumerMember {
  return { ...member, epoch: awayEpoch, assigned: withEpochZero(member.assigned), revoking: noDatedPlaces };
}

export function isSameSubscription(a: ConsumerMember, b: ConsumerMember): boolean {
  return isSameList(a.topicNames, b.topicNames) && (a.topicRegex || null) === (b.topicRegex || null);
}

/** About what it takes to keep. */
export function bytesOf(member: ConsumerMember | undefined): number {
  if (!member) return 0;
  const { memberId, instanceId, rackId, clientId, clientHost, topicNames, topicRegex } = member;
  let bytes = 64;
  for (const text of [memberId, instanceId, rackId, clientId, clientHost, topicRegex]) bytes += 2 * (text?.length ?? 0);
  for (const name of topicNames) bytes += 4 + name.length;
  return bytes;
}

function towardsTarget(member: ConsumerMember, given: Reconciliation): ConsumerMember {
  const { topicIds, targetEpoch, target, owned, isOwned } = given;
  const kept = new Map<string, Map<number, number>>();
  const revoking = new Map<string, Map<number, number>>();
  let isWaiting = false;
  for (const [topicId, partitions] of member.assigned) {
    const wanted = new Set(topicIds.has(topicId) ? target.get(topicId) : undefined);
    for (const [partition, epoch] of partitions) {
      put(wanted.has(partition) ? kept : revoking, topicId, partition, epoch);
    }
  }
  // It stays in its epoch until it has let go.
  if (revoking.size > 0 && ownsAnyOf(owned, revoking)) {
    return changed(member, { state: "unrevoked", epoch: member.epoch, assigned: kept, revoking });
  }
  const assigned = kept;
  for (const [topicId, partitions] of target) {
    if (!topicIds.has(topicId)) continue;
    const has = member.assigned.get(topicId);
    const gaveUp = member.revoking.get(topicId);
    for (const partition of partitions) {
      if (has?.has(partition)) continue;
      // What it has let go of just now it may get again.
      if (!gaveUp?.has(partition) && isOwned(topicId, partition)) isWaiting = true;
      else put(assigned, topicId, partition, targetEpoch);
    }
  }
  const state = isWaiting ? "unreleased" : "stable";
  return changed(member, { state, epoch: targetEpoch, assigned, revoking: noDatedPlaces });
}

/** The target is from before the subscription changed: what the member no longer subscribes to it gives up already. */
function withoutUnsubscribed(member: ConsumerMember, { topicIds, owned }: Reconciliation): ConsumerMember {
  const gone = new Map([...member.assigned].filter(([topicId]) => !topicIds.has(topicId)));
  if (gone.size === 0) return member;
  const assigned = new Map([...member.assigned].filter(([topicId]) => topicIds.has(topicId)));
  const revoking = union(member.revoking, gone);
  if (ownsAnyOf(owned, revoking)) {
    return changed(member, { state: "unrevoked", epoch: member.epoch, assigned, revoking });
  }
  return changed(member, { state: member.state, epoch: member.epoch, assigned, revoking: member.revoking });
}

type Step = Pick<ConsumerMember, "state" | "epoch" | "assigned" | "revoking">;

function changed(member: ConsumerMember, { state, epoch, assigned, revoking }: Step): ConsumerMember {
  const previousEpoch = member.epoch;
  const isSamePlaces = isSame(assigned, member.assigned) && isSame(revoking, member.revoking);
  if (isSamePlaces && state === member.state && epoch === member.epoch && previousEpoch === member.previousEpoch) {
    return member;
  }
  return { ...member, state, epoch, previousEpoch, assigned, revoking };
}

function put(places: Map<string, Map<number, number>>, topicId: string, partition: number, epoch: number): void {
  const partitions = places.get(topicId);
  if (partitions) partitions.set(partition, epoch);
  else places.set(topicId, new Map([[partition, epoch]]));
}

function withEpochZero(places: DatedPlaces): DatedPlaces {
  return new Map([...places].map(([topicId, all]) => [topicId, new Map([...all.keys()].map((each) => [each, 0]))]));
}
