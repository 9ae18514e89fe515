/** JoinGroup, SyncGroup, Heartbeat and LeaveGroup: the classic protocol's requests as the group's machine has them. */
import { heartbeat } from "../../kafka/apis/heartbeat.ts";
import { joinGroup } from "../../kafka/apis/join-group.ts";
import { leaveGroup } from "../../kafka/apis/leave-group.ts";
import { syncGroup } from "../../kafka/apis/sync-group.ts";
import type { RequestOf, ResponseInput } from "../../kafka/fields.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { type Answer, answers, type RequestContext } from "../handler.ts";
import type { MemberProtocol } from "./classic-state.ts";
import { defaultSessionTimeouts, type GroupDoor, isGroupName } from "./group-door.ts";

export function membershipAnswers(door: GroupDoor): Answer[] {
  return [
    answers(joinGroup, (request, context) => answerJoin(door, request, context)),
    answers(syncGroup, (request, context) => answerSync(door, request, context)),
    answers(heartbeat, (request, context) => answerHeartbeat(door, request, context)),
    answers(leaveGroup, (request, context) => answerLeave(door, request, context)),
  ];
}

async function answerJoin(
  door: GroupDoor,
  request: RequestOf<typeof joinGroup>,
  context: RequestContext,
): Promise<ResponseInput<typeof joinGroup>> {
  const { groupId, memberId, groupInstanceId, sessionTimeoutMs, protocolType } = request;
  const { apiVersion } = context;
  const { minMs, maxMs } = door.sessionTimeouts ?? defaultSessionTimeouts;
  if (!context.allows("read", "group", groupId)) return joinRefused(kafkaErrors.GROUP_AUTHORIZATION_FAILED, "");
  if (!isGroupName(groupId)) return joinRefused(kafkaErrors.INVALID_GROUP_ID, memberId);
  if (sessionTimeoutMs < minMs || sessionTimeoutMs > maxMs) {
    return joinRefused(kafkaErrors.INVALID_SESSION_TIMEOUT, memberId);
  }
  const clientId = context.clientId ?? "";
  const answer = await door.coordinator.join(groupId, groupInstanceId ?? clientId, {
    memberId,
    instanceId: groupInstanceId,
    clientId,
    clientHost: `/${context.address}`,
    sessionTimeoutMs,
    // The first version has one timeout for both.
    rebalanceTimeoutMs: apiVersion === 0 ? sessionTimeoutMs : Math.max(0, request.rebalanceTimeoutMs),
    protocolType,
    protocols: protocolsOf(request),
    knowsIdRequired: apiVersion >= 4,
    knowsSkipAssignment: apiVersion >= 9,
  });
  return {
    errorCode: kafkaErrors[answer.error],
    generationId: answer.generation,
    protocolType: answer.protocolType,
    protocolName: answer.protocol,
    leader: answer.leaderId,
    skipAssignment: answer.skipAssignment,
    memberId: answer.memberId,
    members: answer.members.map((member) => ({
      memberId: member.memberId,
      groupInstanceId: member.instanceId,
      metadata: member.metadata,
    })),
  };
}

/** Each name once; copies, for they outlive the request. */
function protocolsOf({ protocols }: RequestOf<typeof joinGroup>): MemberProtocol[] {
  const byName = new Map<string, MemberProtocol>();
  for (const { name, metadata } of protocols) {
    if (!byName.has(name)) byName.set(name, { name, metadata: Buffer.from(metadata) });
  }
  return [...byName.values()];
}

function joinRefused(errorCode: number, memberId: string): ResponseInput<typeof joinGroup> {
  return { errorCode, protocolName: null, leader: "", memberId, members: [] };
}

async function answerSync(
  door: GroupDoor,
  request: RequestOf<typeof syncGroup>,
  context: RequestContext,
): Promise<ResponseInput<typeof syncGroup>> {
  const { groupId, protocolType, protocolName, assignments } = request;
  if (context.apiVersion >= 5 && (protocolType === null || protocolName === null)) {
    return syncRefused(kafkaErrors.INCONSISTENT_GROUP_PROTOCOL);
  }
  if (!context.allows("read", "group", groupId)) return syncRefused(kafkaErrors.GROUP_AUTHORIZATION_FAILED);
  if (!isGroupName(groupId)) return syncRefused(kafkaErrors.INVALID_GROUP_ID);
  const answer = await door.coordinator.sync(groupId, {
    memberId: request.memberId,
    instanceId: request.groupInstanceId,
    generation: request.generationId,
    protocolType,
    protocol: protocolName,
    assignments: assignments.map(({ memberId, assignment }) => ({ memberId, assignment: Buffer.from(assignment) })),
  });
  return {
    errorCode: kafkaErrors[answer.error],
    protocolType: answer.protocolType,
    protocolName: answer.protocol,
    assignment: answer.assignment,
  };
}

function syncRefused(errorCode: number): ResponseInput<typeof syncGroup> {
  return { errorCode, assignment: Buffer.alloc(0) };
}

async function answerHeartbeat(
  door: GroupDoor,
  { groupId, memberId, groupInstanceId, generationId }: RequestOf<typeof heartbeat>,
  context: RequestContext,
): Promise<ResponseInput<typeof heartbeat>> {
  if (!context.allows("read", "group", groupId)) return { errorCode: kafkaErrors.GROUP_AUTHORIZATION_FAILED };
  if (!isGroupName(groupId)) return { errorCode: kafkaErrors.INVALID_GROUP_ID };
  const member = { memberId, instanceId: groupInstanceId };
  return { errorCode: kafkaErrors[await door.coordinator.heartbeat(groupId, member, generationId)] };
}

async function answerLeave(
  door: GroupDoor,
  request: RequestOf<typeof leaveGroup>,
  context: RequestContext,
): Promise<ResponseInput<typeof leaveGroup>> {
  const { groupId, memberId, members } = request;
  if (!context.allows("read", "group", groupId)) {
    return { errorCode: kafkaErrors.GROUP_AUTHORIZATION_FAILED, members: [] };
  }
  if (!isGroupName(groupId)) return { errorCode: kafkaErrors.INVALID_GROUP_ID, members: [] };
  // Before version 3 there is one member, and its error is the answer's.
  const isSingle = context.apiVersion < 3;
  const leaving = isSingle
    ? [{ memberId, instanceId: null }]
    : members.map((member) => ({ memberId: member.memberId, instanceId: member.groupInstanceId }));
  const answer = await door.coordinator.leave(groupId, leaving);
  return {
    errorCode: isSingle ? kafkaErrors[answer.members[0]?.error ?? "COORDINATOR_NOT_AVAILABLE"] : kafkaErrors.NONE,
    members: answer.members.map((member) => ({
      memberId: member.memberId,
      groupInstanceId: member.instanceId,
      errorCode: kafkaErrors[member.error],
    })),
  };
}
