/** ListGroups and DescribeGroups: groups of every kind, and who is in those of the classic protocol. */
import { clusterName } from "../../access/access-rules.ts";
import { MillraceError } from "../../base/errors.ts";
import type { GroupDescription, GroupState, MemberInfo } from "../../engine/groups.ts";
import { describeGroups } from "../../kafka/apis/describe-groups.ts";
import { listGroups } from "../../kafka/apis/list-groups.ts";
import type { RequestOf, ResponseInput } from "../../kafka/fields.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { authorizedOperations } from "../authorized-operations.ts";
import { type Answer, answers, type RequestContext } from "../handler.ts";
import { type ClassicGroup, metadataOf, noBytes } from "./classic-state.ts";
import { inProcessProtocolType, kindOfStored, type ListedGroup } from "./group-directory.ts";
import { type GroupDoor, isGroupName, storeErrorCode } from "./group-door.ts";

type Described = ResponseInput<typeof describeGroups>["groups"][number];

/** What a group of members in this process is doing, in Kafka's words. */
const states: Record<GroupState, string> = { empty: "Empty", stable: "Stable", rebalancing: "PreparingRebalance" };

export function groupListAnswers(door: GroupDoor): Answer[] {
  return [
    answers(listGroups, (request, context) => answerList(door, request, context)),
    answers(describeGroups, async ({ groups, includeAuthorizedOperations }, context) => ({
      groups: await Promise.all(
        groups.map((groupId) => answerDescribe(door, groupId, includeAuthorizedOperations, context)),
      ),
    })),
  ];
}

async function answerList(
  door: GroupDoor,
  { statesFilter, typesFilter }: RequestOf<typeof listGroups>,
  context: RequestContext,
): Promise<ResponseInput<typeof listGroups>> {
  const wantedStates = new Set(statesFilter.map((state) => state.trim().toLowerCase()));
  const wantedTypes = new Set(typesFilter.map((type) => type.trim().toLowerCase()));
  const seesAll = context.allows("describe", "cluster", clusterName);
  try {
    const groups = (await allGroups(door)).filter(({ groupId, state, type }) => {
      if (wantedStates.size > 0 && !wantedStates.has(state.toLowerCase())) return false;
      if (wantedTypes.size > 0 && !wantedTypes.has(type.toLowerCase())) return false;
      return seesAll || context.allows("describe", "group", groupId);
    });
    return {
      errorCode: kafkaErrors.NONE,
      groups: groups.map(({ groupId, protocolType, state, type }) => {
        return { groupId, protocolType, groupState: state, groupType: type };
      }),
    };
  } catch (error) {
    return { errorCode: storeErrorCode(error), groups: [] };
  }
}

async function allGroups({ directory, engine }: GroupDoor): Promise<ListedGroup[]> {
  const stored = new Map((await engine.groups.offsets.groups()).map(({ group, metadata }) => [group, metadata]));
  const inProcess = await engine.groups.listGroups();
  const listed = new Map(directory.list().map((one) => [one.groupId, one]));
  for (const { group, state, protocolType } of inProcess) {
    if (listed.has(group)) continue;
    const isOwn = protocolType === inProcessProtocolType;
    listed.set(group, {
      groupId: group,
      protocolType: protocolType ?? "",
      state: isOwn ? states[state] : "Empty",
      type: kindOfStored(stored.get(group) ?? null) ?? "classic",
    });
  }
  return [...listed.values()];
}

async function answerDescribe(
  door: GroupDoor,
  groupId: string,
  withOperations: boolean,
  context: RequestContext,
): Promise<Described> {
  if (!context.allows("describe", "group", groupId)) return failed(groupId, kafkaErrors.GROUP_AUTHORIZATION_FAILED);
  try {
    const described = await describe(door, groupId, context.apiVersion);
    if (!withOperations || described.errorCode !== 0) return described;
    return { ...described, authorizedOperations: authorizedOperations(context, "group", groupId) };
  } catch (error) {
    return failed(groupId, storeErrorCode(error));
  }
}

async function describe(door: GroupDoor, groupId: string, apiVersion: number): Promise<Described> {
  const { coordinator, directory, engine } = door;
  const group = coordinator.describe(groupId);
  if (group) return describedClassic(groupId, group);
  if (!isGroupName(groupId)) return notFound(groupId, `Group ${groupId} not found.`, apiVersion);
  const kind = directory.kindOf(groupId);
  const stored = kind === inProcessProtocolType ? undefined : await engine.groups.offsets.group(groupId);
  if (kind === "consumer" || (!kind && kindOfStored(stored?.metadata ?? null) === "consumer")) {
    return notFound(groupId, `Group ${groupId} is not a classic group.`, apiVersion);
  }
  if (kind === inProcessProtocolType) return await describedInProcess(door, groupId, apiVersion);
  if (!stored) return notFound(groupId, `Group ${groupId} not found.`, apiVersion);
  return described(groupId, { groupState: "Empty", protocolType: stored.metadata?.protocolType ?? "" });
}

function describedClassic(groupId: string, group: ClassicGroup): Described {
  const isStable = group.phase === "Stable";
  return described(groupId, {
    groupState: group.phase,
    protocolType: group.protocolType ?? "",
    protocolData: isStable ? (group.protocol ?? "") : "",
    members: [...group.members.values()].map((member) => ({
      memberId: member.memberId,
      groupInstanceId: member.instanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      memberMetadata: isStable ? metadataOf(member, group.protocol) : noBytes,
      memberAssignment: member.assignment,
    })),
  });
}

async function describedInProcess({ engine }: GroupDoor, groupId: string, apiVersion: number): Promise<Described> {
  let group: GroupDescription;
  try {
    group = await engine.groups.describeGroup(groupId);
  } catch (error) {
    if (!MillraceError.is(error, "GROUP_UNKNOWN")) throw error;
    return notFound(groupId, `Group ${groupId} not found.`, apiVersion);
  }
  return described(groupId, {
    groupState: states[group.state],
    protocolType: inProcessProtocolType,
    protocolData: group.state === "stable" ? (group.assignor ?? "") : "",
    members: group.members.map((member) => ({
      memberId: member.memberId,
      groupInstanceId: member.instanceId,
      clientId: inProcessProtocolType,
      clientHost: "",
      memberMetadata: Buffer.from(member.metadata),
      memberAssignment: assignmentOf(member),
    })),
  });
}

/** As consumers write theirs (ConsumerProtocolAssignment 0), for those who look at it. */
function assignmentOf({ assignment }: MemberInfo): Buffer {
  const byTopic = new Map<string, number[]>();
  for (const { topic, partition } of assignment) byTopic.set(topic, [...(byTopic.get(topic) ?? []), partition]);
  const parts = [Buffer.from([0, 0]), int32(byTopic.size)];
  for (const [topic, partitions] of byTopic) {
    const name = Buffer.from(topic);
    parts.push(Buffer.from([name.length >> 8, name.length & 0xff]), name, int32(partitions.length));
    parts.push(...partitions.map(int32));
  }
  return Buffer.concat([...parts, int32(-1)]);
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function described(groupId: string, more: Partial<Described>): Described {
  return {
    errorCode: kafkaErrors.NONE,
    groupId,
    groupState: "",
    protocolType: "",
    protocolData: "",
    members: [],
    ...more,
  };
}

/** Before version 6 a group that is not there is a dead one. */
function notFound(groupId: string, errorMessage: string, apiVersion: number): Described {
  const isError = apiVersion >= 6;
  return described(groupId, {
    errorCode: isError ? kafkaErrors.GROUP_ID_NOT_FOUND : kafkaErrors.NONE,
    errorMessage: isError ? errorMessage : null,
    groupState: "Dead",
  });
}

function failed(groupId: string, errorCode: number): Described {
  return described(groupId, { errorCode });
}
