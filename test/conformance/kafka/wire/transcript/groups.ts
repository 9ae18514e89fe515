/** Members of groups, of both protocols, and the groups' offsets. */
import { consumerGroupDescribe } from "../../../../../src/kafka/apis/consumer-group-describe.ts";
import { consumerGroupHeartbeat } from "../../../../../src/kafka/apis/consumer-group-heartbeat.ts";
import { deleteGroups } from "../../../../../src/kafka/apis/delete-groups.ts";
import { describeGroups } from "../../../../../src/kafka/apis/describe-groups.ts";
import { findCoordinator } from "../../../../../src/kafka/apis/find-coordinator.ts";
import { heartbeat } from "../../../../../src/kafka/apis/heartbeat.ts";
import { joinGroup } from "../../../../../src/kafka/apis/join-group.ts";
import { leaveGroup } from "../../../../../src/kafka/apis/leave-group.ts";
import { listGroups } from "../../../../../src/kafka/apis/list-groups.ts";
import { offsetCommit } from "../../../../../src/kafka/apis/offset-commit.ts";
import { offsetDelete } from "../../../../../src/kafka/apis/offset-delete.ts";
import { offsetFetch } from "../../../../../src/kafka/apis/offset-fetch.ts";
import { syncGroup } from "../../../../../src/kafka/apis/sync-group.ts";
import { encodeAssignment, encodeSubscription } from "../../../../../src/kafka/consumer-protocol.ts";
import type { Seen } from "../script.ts";
import { named } from "./records.ts";
import type { Joined, World } from "./world.ts";

/** A connection each, as a join may wait. */
const connections = ["m1", "m2", "m3"] as const;
const patientMs = 300_000;

export function joins(world: World): void {
  const { choice } = world;
  const former = choice.chance(0.7) ? choice.maybe(world.joins) : undefined;
  const groupId = former?.groupId ?? choice.usually(world.group(), [""], 0.97);
  const connection = former?.connection ?? choice.of(connections);
  const version = world.version(joinGroup);
  const instanceId = version >= 5 ? (former?.instanceId ?? (choice.chance(0.15) ? choice.of(["i", "j"]) : null)) : null;
  const metadata = encodeSubscription({ topics: [`${world.prefix}a`], userData: null, ownedPartitions: [] }, 1);
  const names = choice.usually(["range"], [["range", "sticky"], ["sticky"], []], 0.9);
  const strange = choice.chance(0.04) ? "stranger" : undefined;
  const protocolType = choice.usually("consumer", ["connect", ""], 0.96);
  const sessionTimeoutMs = choice.usually(patientMs, [0, -1, 5_999, 1_800_001], 0.96);
  const step = world.add(
    joinGroup,
    (seen) => ({
      ...{ groupId, groupInstanceId: instanceId, protocolType, sessionTimeoutMs },
      rebalanceTimeoutMs: patientMs,
      memberId: strange ?? (former ? seen.text(former.step, "memberId") : ""),
      protocols: names.map((name) => ({ name, metadata })),
    }),
    connection,
    version,
  );
  world.joins.push({ step, groupId, connection, instanceId });
}

interface Membership {
  readonly groupId: string;
  readonly memberId: string;
  readonly generationId: number;
  readonly groupInstanceId: string | null;
}

/** A member that has joined, mostly as it was told. */
function memberIn(world: World): { join: Joined; of: (seen: Seen) => Membership } | undefined {
  const { choice } = world;
  // The latest is the likeliest to be right.
  const join = choice.chance(0.6) ? world.joins.at(-1) : choice.maybe(world.joins);
  if (!join) return undefined;
  const generationOff = choice.usually(0, [1, -1, -2_000_000_000], 0.92);
  const memberId = choice.usually(undefined, ["stranger", ""], 0.95);
  const groupId = choice.usually(join.groupId, [world.group(), `${world.prefix}nobody`, ""], 0.96);
  const groupInstanceId = choice.usually(join.instanceId, ["i", "k", null], 0.95);
  return {
    join,
    of: (seen) => ({
      ...{ groupId, groupInstanceId },
      memberId: memberId ?? seen.text(join.step, "memberId"),
      generationId: seen.number(join.step, "generationId") + generationOff,
    }),
  };
}

export function syncs(world: World): void {
  const { choice } = world;
  const member = memberIn(world);
  if (!member) return;
  const assignment = encodeAssignment(
    { assignedPartitions: [{ topic: `${world.prefix}a`, partitions: [0] }], userData: null },
    1,
  );
  const protocolName = choice.usually("range", ["sticky"], 0.95);
  const protocolType = choice.usually("consumer", ["connect"], 0.97);
  world.add(
    syncGroup,
    (seen) => {
      const of = member.of(seen);
      return { ...of, protocolName, protocolType, assignments: [{ memberId: of.memberId, assignment }] };
    },
    member.join.connection,
  );
}

export function beats(world: World): void {
  const member = memberIn(world);
  if (member) world.add(heartbeat, (seen) => member.of(seen));
}

export function leaves(world: World): void {
  const { choice } = world;
  const member = memberIn(world);
  if (!member) return;
  const others = choice.chance(0.3)
    ? choice.of([[{ memberId: "stranger" }], [{ memberId: "", groupInstanceId: "i" }]])
    : [];
  world.add(leaveGroup, (seen) => {
    const { groupId, memberId, groupInstanceId } = member.of(seen);
    return { groupId, memberId, members: [{ memberId, groupInstanceId }, ...others] };
  });
}

function offsetsOf(seen: Seen, version: number, wanted: readonly { name: string; index: number }[]) {
  return wanted.map(({ name, index }) => ({
    ...named(seen, version, 10, name),
    partitions: [{ partitionIndex: index, committedOffset: 4, committedMetadata: "note" }],
  }));
}

export function commits(world: World): void {
  const { choice } = world;
  const member = choice.chance(0.6) ? memberIn(world) : undefined;
  const beat = choice.chance(0.3) ? choice.maybe(world.heartbeats) : undefined;
  const groupId = world.anyGroup();
  const version = world.version(offsetCommit);
  const names = [...new Set(choice.some([world.topic(), world.topic(), `${world.prefix}unknown`], 2))];
  const wanted = names.map((name) => ({ name, index: world.partition() }));
  world.add(
    offsetCommit,
    (seen) => {
      const topics = offsetsOf(seen, version, wanted);
      if (beat) {
        const { memberId } = beat;
        return {
          groupId: beat.groupId,
          memberId,
          generationIdOrMemberEpoch: seen.number(beat.step, "memberEpoch"),
          topics,
        };
      }
      if (!member) return { groupId, memberId: "", topics };
      const { generationId, ...of } = member.of(seen);
      return { ...of, groupId: of.groupId || groupId, generationIdOrMemberEpoch: generationId, topics };
    },
    "main",
    version,
  );
}

export function fetchesOffsets(world: World): void {
  const { choice } = world;
  const version = world.version(offsetFetch);
  const isAll = choice.chance(0.4);
  const groups = [...new Set(choice.some([world.group(), world.anyGroup()], 2))];
  const wanted = [world.topic(), `${world.prefix}unknown`];
  const requireStable = choice.chance(0.5);
  const indexes = [0, world.partition()];
  world.add(
    offsetFetch,
    (seen) => {
      const topics = wanted.map((name) => ({ ...named(seen, version, 10, name), partitionIndexes: indexes }));
      if (version >= 8)
        return { groups: groups.map((groupId) => ({ groupId, topics: isAll ? null : topics })), requireStable };
      return { groupId: groups[0] ?? "", topics: isAll && version >= 2 ? null : topics, requireStable };
    },
    "main",
    version,
  );
}

export function deletesOffsets(world: World): void {
  const { choice } = world;
  world.add(offsetDelete, {
    groupId: choice.usually(world.anyGroup(), [""], 0.95),
    topics: [{ name: world.anyTopic(), partitions: [{ partitionIndex: world.partition() }] }],
  });
}

export function deletesGroups(world: World): void {
  world.add(deleteGroups, { groupsNames: world.choice.some([world.group(), world.anyGroup(), ""], 2) });
}

export function looksAtGroups(world: World): void {
  const { choice } = world;
  const kind = choice.of(["describe", "describe", "list", "consumers", "coordinator"]);
  if (kind === "describe") world.add(describeGroups, { groups: choice.some([world.group(), world.anyGroup()], 2) });
  else if (kind === "consumers") {
    world.add(consumerGroupDescribe, {
      ...{ groupIds: choice.some([consumerGroup(world), world.group()], 2), includeAuthorizedOperations: false },
    });
  } else if (kind === "list") {
    world.add(listGroups, {
      statesFilter: choice.of([[], ["Stable"], ["empty"], ["Dead", "x"]]),
      typesFilter: choice.of([[], ["classic"], ["Consumer"], ["x"]]),
    });
  } else {
    const key = choice.usually(world.group(), [""], 0.9);
    world.add(findCoordinator, { key, coordinatorKeys: [key], keyType: choice.usually(0, [1, 7], 0.8) });
  }
}

function consumerGroup(world: World): string {
  return `${world.prefix}consumers`;
}

/** KIP-848; a member chooses its id. */
export function beatsAsConsumer(world: World): void {
  const { choice } = world;
  const memberId = choice.of(["AAAAAAAAAAAAAAAAAAAAAQ", "BBBBBBBBBBBBBBBBBBBBBQ", "CCCCCCCCCCCCCCCCCCCCCQ"]);
  const groupId = choice.usually(consumerGroup(world), [world.group(), ""], 0.94);
  const former = world.heartbeats.findLast((one) => one.memberId === memberId && one.groupId === groupId);
  const isJoin = former === undefined || choice.chance(0.2);
  const epoch = isJoin ? choice.usually(0, [1, -5], 0.95) : choice.usually(undefined, [-1, -2, 0, 100, -3], 0.7);
  const version = 1;
  const topics = choice.usually([`${world.prefix}a`], [[], [`${world.prefix}unknown`], [""]], 0.9);
  const owned = choice.usually<readonly number[] | null>([], [null, [0], [0, 99]], 0.8);
  const serverAssignor = choice.usually(null, ["uniform", "range", "none"], 0.85);
  const rebalanceTimeoutMs = choice.usually(patientMs, [0, -1], 0.95);
  const instanceId = choice.usually(null, ["i", ""], 0.93);
  const step = world.add(
    consumerGroupHeartbeat,
    (seen) => ({
      ...{ groupId, memberId, instanceId },
      memberEpoch: epoch ?? (former ? seen.number(former.step, "memberEpoch") : 0),
      rebalanceTimeoutMs: isJoin ? rebalanceTimeoutMs : -1,
      subscribedTopicNames: isJoin ? topics : null,
      serverAssignor: isJoin ? serverAssignor : null,
      topicPartitions:
        isJoin && owned !== null
          ? owned.length === 0
            ? []
            : [{ topicId: seen.topicId(`${world.prefix}a`), partitions: owned }]
          : null,
    }),
    "main",
    version,
  );
  world.heartbeats.push({ step, groupId, memberId });
}
