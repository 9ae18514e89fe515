/**
 * Consumer groups of the cluster. Members of this process take part by the classic protocol, under the protocol type
 * `millrace`: they understand each other in all processes, and clients of other protocols are not let in beside them.
 */

import { MillraceError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { deleteGroups } from "../../kafka/apis/delete-groups.ts";
import { describeGroups } from "../../kafka/apis/describe-groups.ts";
import { listGroups } from "../../kafka/apis/list-groups.ts";
import type { ResponseOf } from "../../kafka/fields.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { checkGroupName } from "../../log/groups/group-checks.ts";
import type { Transaction } from "../engine.ts";
import { type CheckedJoin, checkJoin } from "../group-checks.ts";
import { MemberHandle, type MemberHost } from "../group-member.ts";
import type {
  Assignor,
  FetchedOffset,
  GroupDescription,
  GroupListing,
  GroupMember,
  GroupState,
  Groups,
  JoinOptions,
  MemberInfo,
  OffsetCommit,
  TopicPartition,
} from "../groups.ts";
import type { ClusterClient } from "./cluster-client.ts";
import { GroupMembership, ownProtocolType } from "./group-membership.ts";
import { decodeAssignment, decodeSubscription, partitionOfPlace } from "./group-messages.ts";
import { type Committer, GroupOffsets } from "./group-offsets.ts";
import { assertNone, KafkaError, logClosed, nameOfError, toMillraceError } from "./kafka-error.ts";

export interface ClusterGroupsOptions {
  readonly client: ClusterClient;
  readonly random: Random;
  /** How often the coordinator hears of a member, and a member of a rebalance. */
  readonly heartbeatMs?: number;
  /** Partitions of a topic; 0 when there is none. */
  readonly partitionsOf: (topic: string) => number;
}

const heartbeatMsDefault = 1_000;
/** A commit that comes in the way of a rebalance is tried again behind it. */
const commitAttemptsMax = 10;

type Described = ResponseOf<typeof describeGroups>["groups"][number];

interface Membership {
  readonly group: string;
  readonly membership: GroupMembership;
  /** As they were seen last. */
  members: readonly MemberInfo[];
}

export class ClusterGroups implements Groups {
  readonly #client: ClusterClient;
  readonly #options: ClusterGroupsOptions;
  readonly #offsets: GroupOffsets;
  readonly #memberships = new Set<Membership>();
  #isClosed = false;

  constructor(options: ClusterGroupsOptions) {
    this.#client = options.client;
    this.#options = options;
    this.#offsets = new GroupOffsets(options.client);
  }

  async joinGroup(options: JoinOptions): Promise<GroupMember> {
    const join = checkJoin(options);
    options.signal?.throwIfAborted();
    return await this.#ask(async () => {
      await this.#assertMayJoin(join);
      options.signal?.throwIfAborted();
      const membership = this.#begin(join);
      await membership.start();
      await this.#lookAt(join.group);
      this.#leaveOnAbort(membership, options.signal);
      return membership.handle;
    });
  }

  commitOffsets(group: string, offsets: readonly OffsetCommit[]): Promise<void> {
    return this.#ask(() => withoutMembers(group, this.#offsets.commit(group, offsets)));
  }

  commitOffsetsIn(transaction: Transaction, group: string, offsets: readonly OffsetCommit[]): Promise<void> {
    return this.#ask(async () => {
      checkGroupName(group);
      // Of older clients' transactions Kafka does not ask who they are.
      const described = await this.#describe(group);
      if (described && described.members.length > 0) throw notEmpty(group);
      await this.#offsets.commitIn(transaction, group, offsets);
    });
  }

  fetchOffsets(
    group: string,
    partitions?: readonly TopicPartition[],
    options: { readonly requireStable?: boolean } = {},
  ): Promise<FetchedOffset[]> {
    return this.#ask(() => this.#offsets.fetch(group, partitions, options.requireStable ?? true));
  }

  deleteOffsets(group: string, partitions: readonly TopicPartition[]): Promise<void> {
    return this.#ask(() => this.#offsets.delete(group, partitions));
  }

  deleteGroup(group: string): Promise<void> {
    return this.#ask(async () => {
      checkGroupName(group);
      const what = `deleting consumer group ${group}`;
      await this.#client.persistAtCoordinator("group", group, what, async (node) => {
        const { results } = await this.#client.ask(node, "group", deleteGroups, { groupsNames: [group] });
        assertNone(results[0]?.errorCode ?? kafkaErrors.UNKNOWN_SERVER_ERROR, what);
      });
    });
  }

  listGroups(): Promise<GroupListing[]> {
    return this.#ask(async () => {
      const names = new Map<string, string>();
      for (const node of this.#client.metadata.brokers.keys()) {
        const what = "listing consumer groups";
        await this.#client.persist(what, async () => {
          const answer = await this.#client.ask(node, "group", listGroups, { statesFilter: [], typesFilter: [] });
          assertNone(answer.errorCode, what);
          for (const { groupId, protocolType } of answer.groups) names.set(groupId, protocolType);
        });
      }
      const listings: GroupListing[] = [];
      for (const [group, protocolType] of [...names].sort(([a], [b]) => (a < b ? -1 : 1))) {
        const described = await this.#describe(group);
        listings.push(described ? listingOf(described) : unseen(group, protocolType));
      }
      return listings;
    });
  }

  describeGroup(group: string): Promise<GroupDescription> {
    return this.#ask(async () => {
      checkGroupName(group);
      const described = await this.#describe(group);
      if (!described) throw unknown(group);
      const assignor = isOwn(described) && described.protocolData !== "" ? (described.protocolData as Assignor) : null;
      return { ...listingOf(described), assignor, members: membersOf(described) };
    });
  }

  /** A topic was made, deleted or has grown. */
  topicsChanged(): void {
    for (const { membership } of this.#memberships) membership.topicsChanged();
  }

  /** Members are told `LOG_CLOSED`. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#memberships].map(({ membership }) => membership.close()));
  }

  async #ask<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw logClosed();
    try {
      return await work();
    } catch (error) {
      throw toMillraceError(error);
    }
  }

  /** Kafka would let in a member of an id that another one has, since it gives ids of its own. */
  async #assertMayJoin({ group, assignor, member }: CheckedJoin): Promise<void> {
    const described = await this.#describe(group);
    if (!described || described.members.length === 0) return;
    if (!isOwn(described)) throw notEmpty(group);
    if (described.protocolData !== "" && described.protocolData !== assignor) {
      throw new MillraceError(
        "GROUP_ASSIGNOR_MISMATCH",
        `${group}: the group's members share partitions by ${described.protocolData}, not by ${assignor}`,
        { details: { group } },
      );
    }
    const namesake = membersOf(described).find(({ memberId }) => memberId === member.memberId);
    if (!namesake || (member.instanceId !== null && namesake.instanceId === member.instanceId)) return;
    const details = { group, memberId: member.memberId };
    throw new MillraceError("GROUP_MEMBER_EXISTS", `${group}: there is a member ${member.memberId} already`, {
      details,
    });
  }

  #begin(join: CheckedJoin): GroupMembership {
    const { client, random, partitionsOf, heartbeatMs = heartbeatMsDefault } = this.#options;
    const { group, member } = join;
    const memberId = member.memberId ?? random.uuid();
    const membership = new GroupMembership(
      {
        client,
        join,
        memberId,
        heartbeatMs,
        partitionsOf,
        changed: () => void this.#lookAt(group),
        ended: () => void this.#memberships.delete(known),
      },
      (of) =>
        new MemberHandle(
          this.#hostOf(of, join, () => known.members),
          group,
          memberId,
          member.instanceId,
        ),
    );
    const known: Membership = { group, membership, members: [] };
    this.#memberships.add(known);
    return membership;
  }

  #hostOf(
    membership: GroupMembership,
    { group, member }: CheckedJoin,
    members: () => readonly MemberInfo[],
  ): MemberHost {
    const committing = (commit: (committer: Committer) => Promise<void>) =>
      this.#ask(async () => {
        for (let attempts = 1; ; attempts++) {
          const { coordinatorId, generation } = await membership.standing();
          try {
            return await commit({ coordinatorId, generation, instanceId: member.instanceId });
          } catch (error) {
            if (!(await membership.refused(error)) || attempts >= commitAttemptsMax) throw error;
          }
        }
      });
    return {
      checkTime: () => membership.checkTime(),
      heartbeat: () => membership.beat(),
      acknowledge: () => membership.released(),
      leave: (_memberId, forGood) => membership.leave(forGood),
      members,
      commit: (offsets) => committing((committer) => this.#offsets.commit(group, offsets, committer)),
      commitIn: (transaction, offsets) =>
        committing((committer) => this.#offsets.commitIn(transaction, group, offsets, committer)),
      fetch: (partitions, requireStable) => this.#ask(() => this.#offsets.fetch(group, partitions, requireStable)),
    };
  }

  #leaveOnAbort(membership: GroupMembership, signal: AbortSignal | undefined): void {
    if (!signal) return;
    const onAbort = () => void membership.leave(false);
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener("abort", onAbort, { once: true });
    const { signal: ended } = membership.handle;
    ended.addEventListener("abort", () => signal.removeEventListener("abort", onAbort), { once: true });
  }

  /** For the members of this process: who is in the group. */
  async #lookAt(group: string): Promise<void> {
    try {
      const described = await this.#describe(group);
      const members = described ? membersOf(described) : [];
      for (const known of this.#memberships) if (known.group === group) known.members = members;
    } catch (cause) {
      if (this.#isClosed) return;
      this.#client.diagnostics.debug("the members of a consumer group cannot be asked for", {
        group,
        cause: String(cause),
      });
    }
  }

  /** Undefined when the coordinator knows no classic group of this name. */
  async #describe(group: string): Promise<Described | undefined> {
    const what = `asking about consumer group ${group}`;
    return await this.#client.persistAtCoordinator("group", group, what, async (node) => {
      const answer = await this.#client.ask(node, "group", describeGroups, { groups: [group] });
      const found = answer.groups[0];
      if (found && nameOfError(found.errorCode) === "GROUP_ID_NOT_FOUND") return undefined;
      assertNone(found?.errorCode ?? kafkaErrors.UNKNOWN_SERVER_ERROR, what, found?.errorMessage ?? null);
      return found?.groupState === "Dead" ? undefined : found;
    });
  }
}

function isOwn({ protocolType }: Described): boolean {
  return protocolType === ownProtocolType;
}

function listingOf(described: Described): GroupListing {
  const { groupId, protocolType, members } = described;
  const assignments = isOwn(described) ? members.map((one) => decodeAssignment(one.memberAssignment)) : [];
  return {
    group: groupId,
    state: stateOf(
      described.groupState,
      assignments.some(({ awaited }) => awaited.length > 0),
    ),
    protocolType: protocolType === "" ? null : protocolType,
    generation: assignments.reduce((most, { generation }) => Math.max(most, generation), 0),
    memberCount: members.length,
  };
}

/** Members of a newer protocol than the classic one. */
function unseen(group: string, protocolType: string): GroupListing {
  return { group, state: "stable", protocolType: protocolType || null, generation: 0, memberCount: 0 };
}

function stateOf(state: string, someAwait: boolean): GroupState {
  if (state === "Empty" || state === "Dead") return "empty";
  return state === "Stable" && !someAwait ? "stable" : "rebalancing";
}

/** In the order in which they came. */
function membersOf(described: Described): MemberInfo[] {
  if (!isOwn(described)) {
    return described.members.map(({ memberId, groupInstanceId }) => {
      return { memberId, instanceId: groupInstanceId, metadata: Buffer.alloc(0), topics: [], assignment: [] };
    });
  }
  return described.members
    .map((one) => {
      const { memberId, joinedMs, topics, metadata } = decodeSubscription(one.memberMetadata);
      const { places, awaited } = decodeAssignment(one.memberAssignment);
      const assignment = [...places, ...awaited].map(partitionOfPlace);
      return { joinedMs, info: { memberId, instanceId: one.groupInstanceId, metadata, topics, assignment } };
    })
    .sort((a, b) => a.joinedMs - b.joinedMs || (a.info.memberId < b.info.memberId ? -1 : 1))
    .map(({ info }) => info);
}

/** Who commits without being a member is unknown to a group that has some. */
async function withoutMembers(group: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    const isMembers =
      error instanceof KafkaError && (error.label === "UNKNOWN_MEMBER_ID" || error.label === "ILLEGAL_GENERATION");
    throw isMembers ? notEmpty(group) : error;
  }
}

function notEmpty(group: string): MillraceError {
  return new MillraceError("GROUP_NOT_EMPTY", `consumer group ${group} has members`, { details: { group } });
}

function unknown(group: string): MillraceError {
  return new MillraceError("GROUP_UNKNOWN", `there is no consumer group ${group}`, { details: { group } });
}
