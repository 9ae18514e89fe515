/**
 * Who gets what in a group's new generation: a pure function of what its members say. A partition that a member has, or has
 * not let go of, is nobody else's (cooperative, as KIP-429 has it): who is to have it awaits it.
 */
import { assignPartitions } from "../group-assignors.ts";
import type { Assignor } from "../groups.ts";
import type { MemberAssignment, Subscription } from "./group-messages.ts";

export interface JoinedMember {
  /** As the coordinator calls it. */
  readonly coordinatorId: string;
  readonly instanceId: string | null;
  readonly subscription: Subscription;
}

/** By the coordinator's ids. `counts` has topics that exist. */
export function planAssignments(
  assignor: Assignor,
  generation: number,
  members: readonly JoinedMember[],
  counts: ReadonlyMap<string, number>,
): Map<string, MemberAssignment> {
  const holders = new Map<string, string>();
  const busy = new Map<string, string>();
  for (const { coordinatorId, subscription } of members) {
    for (const place of subscription.releasing) busy.set(place, coordinatorId);
  }
  for (const { coordinatorId, subscription } of members) {
    for (const place of subscription.kept) {
      // Of two who say so one has missed something: it lets go.
      if (holders.has(place) || (busy.has(place) && busy.get(place) !== coordinatorId)) continue;
      holders.set(place, coordinatorId);
      busy.set(place, coordinatorId);
    }
  }
  const subscribers = members.map(({ coordinatorId, instanceId, subscription }) => ({
    memberId: coordinatorId,
    rank: instanceId ?? subscription.memberId,
    topics: subscription.topics,
  }));
  const targets = assignPartitions(assignor, subscribers, counts, (place) => holders.get(place));
  return new Map(
    members.map(({ coordinatorId, subscription }) => {
      const target = targets.get(coordinatorId) ?? [];
      const isFree = (place: string) => (busy.get(place) ?? coordinatorId) === coordinatorId;
      const places = target.filter(isFree);
      const given = new Set(places);
      return [
        coordinatorId,
        {
          generation,
          places,
          awaited: target.filter((place) => !isFree(place)),
          revoked: [...subscription.kept, ...subscription.releasing].filter((place) => !given.has(place)),
        },
      ];
    }),
  );
}
