/** Groups of both protocols, and their offsets. */
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
import { type Seen, type Step, step } from "../script.ts";
import { strangeId, topicSteps } from "./topics.ts";
import { roundsOf, versionAt, versionsOf } from "./versions.ts";

const subscription = encodeSubscription({ topics: ["grouped"], userData: null, ownedPartitions: [] }, 1);
const assignment = encodeAssignment(
  { assignedPartitions: [{ topic: "grouped", partitions: [0, 1] }], userData: null },
  1,
);
const consumer = {
  ...{ sessionTimeoutMs: 45_000, rebalanceTimeoutMs: 45_000, protocolType: "consumer" },
  protocols: [{ name: "range", metadata: subscription }],
};

interface Membership {
  readonly groupId: string;
  /** The step in which the member joined; null for nobody. */
  readonly joined: string | null;
  readonly instance?: string;
}

function memberOf(seen: Seen, { groupId, joined, instance }: Membership) {
  const memberId = joined === null ? "" : seen.text(joined, "memberId");
  const generationId = joined === null ? -1 : seen.number(joined, "generationId");
  return { groupId, memberId, generationId, groupInstanceId: instance ?? null };
}

function committing(seen: Seen, version: number, of: Membership, offset = 5) {
  const { groupId, memberId, generationId, groupInstanceId } = memberOf(seen, of);
  const partitions = (indexes: readonly number[], committedMetadata: string | null = "note") =>
    indexes.map((partitionIndex) => ({ partitionIndex, committedOffset: offset, committedMetadata }));
  const named = (name: string) =>
    version >= 10 ? { topicId: name === "unknown" ? strangeId : seen.topicId(name) } : { name };
  return {
    ...{ groupId, memberId, generationIdOrMemberEpoch: generationId, groupInstanceId },
    topics: [
      { ...named("grouped"), partitions: partitions([0, 1, 8]) },
      { ...named("unknown"), partitions: partitions([0], null) },
    ],
  };
}

function fetching(seen: Seen, version: number, groupId: string, { all = false, requireStable = false } = {}) {
  const named = (name: string) =>
    version >= 10 ? { topicId: name === "unknown" ? strangeId : seen.topicId(name) } : { name };
  const topics = [
    { ...named("grouped"), partitionIndexes: [0, 1, 7] },
    { ...named("unknown"), partitionIndexes: [0] },
  ];
  const wanted = all ? null : topics;
  return version < 8
    ? { groupId, topics: wanted, requireStable }
    : { groups: [{ groupId, topics: wanted }], requireStable };
}

/** The life of a group with one member, with each API in the version of the round. */
function round(number: number): Step[] {
  const groupId = `classic-${number}`;
  const named = (name: string) => `${groupId}: ${name}`;
  const joined = named("joins");
  const of: Membership = { groupId, joined };
  const at = versionAt;
  const join = at(joinGroup, number);
  return [
    step(named("its coordinator"), findCoordinator, at(findCoordinator, number), {
      ...{ key: groupId, keyType: 0, coordinatorKeys: [groupId, ""] },
    }),
    ...(join < 4 ? [] : [step(named("asks for an id"), joinGroup, join, { ...consumer, groupId, memberId: "" })]),
    step(joined, joinGroup, join, (seen) => ({
      ...consumer,
      groupId,
      memberId: seen.text(named("asks for an id"), "memberId"),
    })),
    step(named("heartbeat before it has synced"), heartbeat, at(heartbeat, number), (seen) => memberOf(seen, of)),
    step(named("syncs"), syncGroup, at(syncGroup, number), (seen) => ({
      ...memberOf(seen, of),
      ...{ protocolType: "consumer", protocolName: "range" },
      assignments: [{ memberId: seen.text(joined, "memberId"), assignment }],
    })),
    step(named("heartbeat"), heartbeat, at(heartbeat, number), (seen) => memberOf(seen, of)),
    step(named("heartbeat of a generation to come"), heartbeat, at(heartbeat, number), (seen) => ({
      ...memberOf(seen, of),
      generationId: 99,
    })),
    step(named("heartbeat of a stranger"), heartbeat, at(heartbeat, number), (seen) => ({
      ...memberOf(seen, of),
      memberId: "stranger",
    })),
    step(named("commits"), offsetCommit, at(offsetCommit, number), (seen) =>
      committing(seen, at(offsetCommit, number), of),
    ),
    step(named("a stranger commits"), offsetCommit, at(offsetCommit, number), (seen) => ({
      ...committing(seen, at(offsetCommit, number), of),
      memberId: "stranger",
    })),
    step(named("commits without being a member"), offsetCommit, at(offsetCommit, number), (seen) =>
      committing(seen, at(offsetCommit, number), { groupId, joined: null }),
    ),
    step(named("its offsets"), offsetFetch, at(offsetFetch, number), (seen) =>
      fetching(seen, at(offsetFetch, number), groupId),
    ),
    ...(at(offsetFetch, number) < 2
      ? []
      : [
          step(named("all its offsets"), offsetFetch, at(offsetFetch, number), (seen) =>
            fetching(seen, at(offsetFetch, number), groupId, { all: true, requireStable: true }),
          ),
        ]),
    step(named("is described"), describeGroups, at(describeGroups, number), {
      ...{ groups: [groupId, "no-such-group", ""], includeAuthorizedOperations: number % 2 === 1 },
    }),
    step(named("is listed"), listGroups, at(listGroups, number), {
      statesFilter: ["Stable"],
      typesFilter: ["classic"],
    }),
    step(named("cannot be deleted"), deleteGroups, at(deleteGroups, number), {
      groupsNames: [groupId, "no-such-group", ""],
    }),
    step(named("a stranger leaves"), leaveGroup, at(leaveGroup, number), {
      ...{
        groupId,
        memberId: "stranger",
        members: [{ memberId: "stranger" }, { memberId: "", groupInstanceId: "none" }],
      },
    }),
    step(named("leaves"), leaveGroup, at(leaveGroup, number), (seen) => {
      const { memberId } = memberOf(seen, of);
      return { groupId, memberId, members: [{ memberId }] };
    }),
    step(named("is empty"), describeGroups, at(describeGroups, number), { groups: [groupId] }),
    ...(number % 3 === 0
      ? [step(named("is deleted"), deleteGroups, at(deleteGroups, number), { groupsNames: [groupId] })]
      : []),
  ];
}

function joining(
  name: string,
  fields: Partial<typeof consumer> & { groupId: string; memberId?: string },
  version = 9,
): Step {
  return step(name, joinGroup, version, { ...consumer, memberId: "", ...fields });
}

const refusals: readonly Step[] = [
  joining("joins a group without a name", { groupId: "" }),
  joining("joins with a session that is too short", { groupId: "refused", sessionTimeoutMs: 1 }),
  joining("joins with a session that is too long", { groupId: "refused", sessionTimeoutMs: 100_000_000 }),
  joining("joins without a protocol", { groupId: "refused", protocols: [] }),
  joining("joins without a type", { groupId: "refused", protocolType: "" }, 3),
  joining("joins with an id of its own", { groupId: "refused", memberId: "mine" }),
  joining("joins an old group with an id of its own", { groupId: "classic-1", memberId: "mine" }),
  step("syncs with no group", syncGroup, 5, {
    ...{ groupId: "no-such-group", generationId: 1, memberId: "me", assignments: [] },
  }),
  step("syncs with no name", syncGroup, 5, { groupId: "", generationId: 1, memberId: "me", assignments: [] }),
  step("heartbeat in no group", heartbeat, 4, { groupId: "no-such-group", generationId: 1, memberId: "me" }),
  step("heartbeat in a group without a name", heartbeat, 4, { groupId: "", generationId: 1, memberId: "me" }),
  step("leaves no group", leaveGroup, 5, { groupId: "no-such-group", members: [{ memberId: "me" }] }),
  step("leaves a group without a name", leaveGroup, 5, { groupId: "", members: [{ memberId: "me" }] }),
  step("nobody leaves", leaveGroup, 5, { groupId: "classic-1", members: [] }),
  step("commits to a group without a name", offsetCommit, 9, (seen) =>
    committing(seen, 9, { groupId: "", joined: null }),
  ),
  step("commits with a generation to no group", offsetCommit, 9, (seen) => ({
    ...committing(seen, 9, { groupId: "no-such-group", joined: null }),
    ...{ memberId: "me", generationIdOrMemberEpoch: 3 },
  })),
  step("commits with a note that is too long", offsetCommit, 9, {
    ...{ groupId: "notes", memberId: "" },
    topics: [
      {
        name: "grouped",
        partitions: [4_096, 4_097].map((length, partitionIndex) => ({
          ...{ partitionIndex, committedOffset: 1, committedMetadata: "x".repeat(length) },
        })),
      },
    ],
  }),
  step("commits below zero", offsetCommit, 9, (seen) => committing(seen, 9, { groupId: "below", joined: null }, -5)),
  step("offsets of no group", offsetFetch, 9, (seen) => fetching(seen, 9, "no-such-group")),
  step("offsets of a group without a name", offsetFetch, 9, (seen) => fetching(seen, 9, "")),
  step("offsets of two groups", offsetFetch, 9, (seen) => ({
    groups: ["classic-1", "classic-2"].flatMap((groupId) => fetching(seen, 9, groupId, { all: true }).groups ?? []),
  })),
  step("the coordinator of a kind that is not there", findCoordinator, 3, { key: "x", keyType: 9 }),
  step("the coordinator of a transaction", findCoordinator, 4, { keyType: 1, coordinatorKeys: ["tx", ""] }),
  step("groups in a state that is not there", listGroups, 5, { statesFilter: ["Asleep"], typesFilter: [] }),
  step("groups of a type that is not there", listGroups, 5, { statesFilter: [], typesFilter: ["quantum"] }),
  step("all groups", listGroups, 5, { statesFilter: [], typesFilter: [] }),
];

/** Two members: the second one's join waits until the first has joined again. */
const pair: Membership = { groupId: "pair", joined: "the first joins" };
const rebalance: readonly Step[] = [
  joining("the first asks for an id", { groupId: "pair" }),
  step("the first joins", joinGroup, 9, (seen) => ({
    ...{ ...consumer, groupId: "pair", memberId: seen.text("the first asks for an id", "memberId") },
  })),
  step("the first syncs", syncGroup, 5, (seen) => ({
    ...{ ...memberOf(seen, pair), protocolType: "consumer", protocolName: "range" },
    assignments: [{ memberId: seen.text("the first joins", "memberId"), assignment }],
  })),
  joining("the second asks for an id", { groupId: "pair" }),
  step(
    "the second joins",
    joinGroup,
    9,
    (seen) => ({
      ...{ ...consumer, groupId: "pair", memberId: seen.text("the second asks for an id", "memberId") },
    }),
    { on: "second", held: true },
  ),
  step("the first hears of it", heartbeat, 4, (seen) => memberOf(seen, pair), {
    until: ({ errorCode }) => errorCode === 27,
  }),
  step("the first commits meanwhile", offsetCommit, 9, (seen) => committing(seen, 9, pair)),
  step("the pair while it rebalances", describeGroups, 6, { groups: ["pair"] }),
  step("the first joins again", joinGroup, 9, (seen) => ({
    ...{ ...consumer, groupId: "pair", memberId: seen.text("the first joins", "memberId") },
  })),
  step("the second is there", heartbeat, 4, (seen) => memberOf(seen, { ...pair, joined: "the second joins" }), {
    on: "second",
  }),
  step("the first commits with its old generation", offsetCommit, 9, (seen) => committing(seen, 9, pair)),
  step(
    "the second waits for its part",
    syncGroup,
    5,
    (seen) => ({
      ...{
        ...memberOf(seen, { ...pair, joined: "the second joins" }),
        protocolType: "consumer",
        protocolName: "range",
      },
      assignments: [],
    }),
    { on: "second", held: true },
  ),
  step("the first gives it", syncGroup, 5, (seen) => ({
    ...{
      ...memberOf(seen, { ...pair, joined: "the first joins again" }),
      protocolType: "consumer",
      protocolName: "range",
    },
    assignments: [{ memberId: seen.text("the second joins", "memberId"), assignment }],
  })),
  step("a sync with another protocol", syncGroup, 5, (seen) => ({
    ...{
      ...memberOf(seen, { ...pair, joined: "the first joins again" }),
      protocolType: "consumer",
      protocolName: "sticky",
    },
    assignments: [],
  })),
  step("the pair", describeGroups, 6, { groups: ["pair"] }, { on: "second" }),
  joining("joins the pair with another protocol", {
    groupId: "pair",
    protocols: [{ name: "other", metadata: subscription }],
  }),
  joining("joins the pair with another type", { groupId: "pair", protocolType: "connect" }),
  step("OffsetDelete while they are there", offsetDelete, 0, {
    groupId: "pair",
    topics: [
      { name: "grouped", partitions: [{ partitionIndex: 0 }] },
      { name: "unknown", partitions: [{ partitionIndex: 0 }] },
    ],
  }),
  step("the first leaves", leaveGroup, 5, (seen) => ({
    groupId: "pair",
    members: [{ memberId: seen.text("the first joins", "memberId"), reason: "done" }],
  })),
  step("both leave, one of them again", leaveGroup, 5, (seen) => ({
    groupId: "pair",
    members: ["the first joins", "the second joins"].map((name) => ({ memberId: seen.text(name, "memberId") })),
  })),
  step("OffsetDelete when they are gone", offsetDelete, 0, {
    groupId: "pair",
    topics: [
      { name: "grouped", partitions: [{ partitionIndex: 0 }, { partitionIndex: 9 }] },
      { name: "unknown", partitions: [{ partitionIndex: 0 }] },
    ],
  }),
  step("OffsetDelete of no group", offsetDelete, 0, { groupId: "no-such-group", topics: [] }),
  step("OffsetDelete of a group without a name", offsetDelete, 0, { groupId: "", topics: [] }),
];

const fixed: Membership = { groupId: "static", joined: "a static member joins", instance: "instance-1" };
const staticMembers: readonly Step[] = [
  step("a static member joins", joinGroup, 9, {
    ...consumer,
    groupId: "static",
    memberId: "",
    groupInstanceId: "instance-1",
  }),
  step("the static member syncs", syncGroup, 5, (seen) => ({
    ...{ ...memberOf(seen, fixed), protocolType: "consumer", protocolName: "range" },
    assignments: [{ memberId: seen.text("a static member joins", "memberId"), assignment }],
  })),
  step("the static member comes back", joinGroup, 9, {
    ...{ ...consumer, groupId: "static", memberId: "", groupInstanceId: "instance-1" },
  }),
  step("its old self is fenced", heartbeat, 4, (seen) => memberOf(seen, fixed)),
  step("its old self cannot commit", offsetCommit, 9, (seen) => committing(seen, 9, fixed)),
  step("its old self cannot join", joinGroup, 9, (seen) => ({
    ...{ ...consumer, groupId: "static", groupInstanceId: "instance-1" },
    memberId: seen.text("a static member joins", "memberId"),
  })),
  step("its old self cannot leave", leaveGroup, 5, (seen) => ({
    groupId: "static",
    members: [{ memberId: seen.text("a static member joins", "memberId"), groupInstanceId: "instance-1" }],
  })),
  step("an instance that is not there", heartbeat, 4, (seen) => ({
    ...memberOf(seen, { ...fixed, joined: "the static member comes back" }),
    groupInstanceId: "instance-9",
  })),
  step("the static group", describeGroups, 6, { groups: ["static"] }),
  step("the static member is removed by its name", leaveGroup, 5, {
    groupId: "static",
    members: [{ memberId: "", groupInstanceId: "instance-1" }],
  }),
];

function beating(name: string, version: number, fields: Parameters<typeof consumerHeartbeat>[1], held = false): Step {
  return step(name, consumerGroupHeartbeat, version, (seen) => consumerHeartbeat(seen, fields), { held });
}

function consumerHeartbeat(
  seen: Seen,
  fields: {
    readonly groupId: string;
    /** A step whose answer has it, else the id itself. */
    readonly member: string;
    readonly epoch: number;
    readonly joins?: boolean;
    readonly instanceId?: string;
    readonly regex?: string;
    readonly assignor?: string;
    readonly owns?: readonly number[];
    readonly rebalanceTimeoutMs?: number;
  },
) {
  const { groupId, member, epoch, joins = false, instanceId = null, regex, assignor = null, owns } = fields;
  const topicPartitions = owns?.length ? [{ topicId: seen.topicId("grouped"), partitions: owns }] : [];
  return {
    ...{ groupId, memberId: seen.text(member, "memberId") || member, memberEpoch: epoch, instanceId },
    rebalanceTimeoutMs: fields.rebalanceTimeoutMs ?? (joins ? 45_000 : -1),
    subscribedTopicNames: joins && regex === undefined ? ["grouped"] : null,
    ...(regex !== undefined && { subscribedTopicRegex: regex }),
    serverAssignor: assignor,
    topicPartitions: owns !== undefined || joins ? topicPartitions : null,
  };
}

const consumerGroups: readonly Step[] = versionsOf(consumerGroupHeartbeat).flatMap((v) => {
  const groupId = `consumers-${v}`;
  const named = (name: string) => `${groupId}: ${name}`;
  const member = named("the first joins");
  const firstId = v === 0 ? "" : "AAAAAAAAAAAAAAAAAAAAAQ";
  return [
    beating(member, v, { groupId, member: firstId, epoch: 0, joins: true }),
    beating(named("the first beats"), v, { groupId, member, epoch: 1, owns: [0, 1, 2] }),
    beating(named("an epoch to come"), v, { groupId, member, epoch: 9 }),
    beating(named("an epoch below -2"), v, { groupId, member, epoch: -9 }),
    beating(named("a stranger beats"), v, { groupId, member: "stranger", epoch: 1 }),
    beating(named("a group without a name"), v, { groupId: "", member, epoch: 0, joins: true }),
    beating(named("no such group"), v, { groupId: "no-such-group", member: "stranger", epoch: 3 }),
    beating(named("an assignor that is not there"), v, {
      groupId,
      member: "BBBBBBBBBBBBBBBBBBBBBQ",
      epoch: 0,
      joins: true,
      assignor: "none",
    }),
    beating(named("joins without its time for a rebalance"), v, {
      groupId,
      member: "BBBBBBBBBBBBBBBBBBBBBQ",
      epoch: 0,
      joins: true,
      rebalanceTimeoutMs: -1,
    }),
    beating(named("joins and owns something already"), v, {
      groupId,
      member: "BBBBBBBBBBBBBBBBBBBBBQ",
      epoch: 0,
      joins: true,
      owns: [0],
    }),
    step(named("is described"), consumerGroupDescribe, versionAt(consumerGroupDescribe, v), {
      ...{ groupIds: [groupId, "no-such-group", "classic-1", ""], includeAuthorizedOperations: v === 1 },
    }),
    step(named("is described as a classic group"), describeGroups, 6, { groups: [groupId] }),
    step(named("commits"), offsetCommit, 9, (seen) => ({
      ...committing(seen, 9, { groupId, joined: null }),
      ...{ memberId: seen.text(member, "memberId"), generationIdOrMemberEpoch: 1 },
    })),
    step(named("commits in an epoch to come"), offsetCommit, 9, (seen) => ({
      ...committing(seen, 9, { groupId, joined: null }),
      ...{ memberId: seen.text(member, "memberId"), generationIdOrMemberEpoch: 7 },
    })),
    step(named("its offsets, as a member"), offsetFetch, 9, (seen) => ({
      groups: (fetching(seen, 9, groupId).groups ?? []).map((group) => ({
        ...{ ...group, memberId: seen.text(member, "memberId"), memberEpoch: 1 },
      })),
    })),
    step(named("its offsets, in an epoch to come"), offsetFetch, 9, (seen) => ({
      groups: (fetching(seen, 9, groupId).groups ?? []).map((group) => ({
        ...{ ...group, memberId: seen.text(member, "memberId"), memberEpoch: 8 },
      })),
    })),
    step(named("is listed"), listGroups, 5, { statesFilter: [], typesFilter: ["consumer"] }),
    step(named("cannot be deleted"), deleteGroups, 2, { groupsNames: [groupId] }),
    beating(named("a static member joins"), v, {
      groupId,
      member: "CCCCCCCCCCCCCCCCCCCCCQ",
      epoch: 0,
      joins: true,
      instanceId: "i1",
    }),
    beating(named("the instance is taken"), v, {
      groupId,
      member: "DDDDDDDDDDDDDDDDDDDDDQ",
      epoch: 0,
      joins: true,
      instanceId: "i1",
    }),
    beating(named("the static member goes for a while"), v, {
      groupId,
      member: named("a static member joins"),
      epoch: -2,
      instanceId: "i1",
    }),
    beating(named("the static member goes for good"), v, {
      groupId,
      member: named("a static member joins"),
      epoch: -1,
      instanceId: "i1",
    }),
    beating(named("the first leaves"), v, { groupId, member, epoch: -1 }),
    beating(named("the first leaves again"), v, { groupId, member, epoch: -1 }),
    step(named("is empty"), consumerGroupDescribe, versionAt(consumerGroupDescribe, v), {
      ...{ groupIds: [groupId], includeAuthorizedOperations: false },
    }),
    ...(v === 0
      ? []
      : [
          beating(named("a pattern that is none"), v, {
            groupId,
            member: "EEEEEEEEEEEEEEEEEEEEEQ",
            epoch: 0,
            joins: true,
            regex: "(",
          }),
          beating(named("an empty id"), v, { groupId, member: "", epoch: 0, joins: true }),
        ]),
  ];
});

const apisOfRounds = [
  ...[findCoordinator, joinGroup, syncGroup, heartbeat, offsetCommit, offsetFetch, describeGroups, listGroups],
  ...[leaveGroup, deleteGroups],
];

export const groupScenario: readonly Step[] = [
  ...topicSteps("grouped", 3),
  ...roundsOf(apisOfRounds).flatMap(round),
  ...refusals,
  ...rebalance,
  ...staticMembers,
  ...consumerGroups,
];
