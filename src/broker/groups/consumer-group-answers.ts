/** ConsumerGroupHeartbeat and ConsumerGroupDescribe: the consumer groups of KIP-848 on the wire. */
import type { EmbeddedEngine } from "../../engine/embedded/embedded-engine.ts";
import { consumerGroupDescribe } from "../../kafka/apis/consumer-group-describe.ts";
import { consumerGroupHeartbeat } from "../../kafka/apis/consumer-group-heartbeat.ts";
import type { RequestOf, ResponseInput } from "../../kafka/fields.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { authorizedOperations } from "../authorized-operations.ts";
import { type Answer, answers, type RequestContext } from "../handler.ts";
import type { ConsumerGroup } from "./consumer-group.ts";
import type { ConsumerGroupCoordinator } from "./consumer-group-coordinator.ts";
import type { ConsumerMember } from "./consumer-member.ts";
import { type Places, placesOf, topicPartitionsOf, union } from "./consumer-partitions.ts";
import { storeErrorCode } from "./group-door.ts";

export interface ConsumerGroupDoor {
  readonly engine: EmbeddedEngine;
  readonly consumerGroups: ConsumerGroupCoordinator;
}

type HeartbeatResponse = ResponseInput<typeof consumerGroupHeartbeat>;
type DescribedGroup = ResponseInput<typeof consumerGroupDescribe>["groups"][number];
type DescribedMember = DescribedGroup["members"][number];
type DescribedAssignment = DescribedMember["assignment"];

const clientIdLengthMax = 255;
/** Of members that do not speak the classic protocol. */
const consumerMemberType = 1;

export function consumerGroupAnswers(door: ConsumerGroupDoor): Answer[] {
  return [
    answers(consumerGroupHeartbeat, (request, context) => answerHeartbeat(door, request, context)),
    answers(consumerGroupDescribe, async ({ groupIds, includeAuthorizedOperations }, context) => ({
      groups: await Promise.all(
        groupIds.map((groupId) => answerDescribe(door, groupId, includeAuthorizedOperations, context)),
      ),
    })),
  ];
}

async function answerHeartbeat(
  { consumerGroups }: ConsumerGroupDoor,
  request: RequestOf<typeof consumerGroupHeartbeat>,
  context: RequestContext,
): Promise<HeartbeatResponse> {
  const { groupId, ...said } = request;
  if (!context.allows("read", "group", groupId)) return failedHeartbeat(kafkaErrors.GROUP_AUTHORIZATION_FAILED);
  if (said.subscribedTopicNames?.some((name) => !context.allows("describe", "topic", name))) {
    return failedHeartbeat(kafkaErrors.TOPIC_AUTHORIZATION_FAILED);
  }
  const clientId = (context.clientId ?? "").slice(0, clientIdLengthMax).toWellFormed();
  const answer = await consumerGroups.heartbeat(
    groupId,
    { ...said, clientId, clientHost: `/${context.address}` },
    context.apiVersion,
    (topic) => context.allows("describe", "topic", topic),
  );
  if (answer.outcome === "refused") return failedHeartbeat(kafkaErrors[answer.error], answer.message);
  const { memberId, memberEpoch, assignment } = answer;
  return {
    errorCode: kafkaErrors.NONE,
    errorMessage: null,
    memberId,
    memberEpoch,
    heartbeatIntervalMs: memberEpoch < 0 ? 0 : consumerGroups.settings.heartbeatIntervalMs,
    assignment: assignment && { topicPartitions: topicPartitionsOf(assignment) },
  };
}

function failedHeartbeat(errorCode: number, errorMessage: string | null = null): HeartbeatResponse {
  return { errorCode, errorMessage, memberId: null, memberEpoch: 0, heartbeatIntervalMs: 0, assignment: null };
}

async function answerDescribe(
  door: ConsumerGroupDoor,
  groupId: string,
  withOperations: boolean,
  context: RequestContext,
): Promise<DescribedGroup> {
  if (!context.allows("describe", "group", groupId)) return failed(groupId, kafkaErrors.GROUP_AUTHORIZATION_FAILED);
  if (groupId === "") return failed(groupId, kafkaErrors.INVALID_GROUP_ID);
  let group: ConsumerGroup | "unknown" | "other";
  try {
    group = await door.consumerGroups.describe(groupId);
  } catch (error) {
    return failed(groupId, storeErrorCode(error));
  }
  if (typeof group === "string") {
    const message = group === "other" ? `Group ${groupId} is not a consumer group.` : `Group ${groupId} not found.`;
    return failed(groupId, kafkaErrors.GROUP_ID_NOT_FOUND, message);
  }
  const described = describe(door.engine, groupId, group);
  if (!described.members.every((member) => mayDescribe(member, context))) {
    const message = "The group has described topic(s) that the client is not authorized to describe.";
    return failed(groupId, kafkaErrors.TOPIC_AUTHORIZATION_FAILED, message);
  }
  if (!withOperations) return described;
  return { ...described, authorizedOperations: authorizedOperations(context, "group", groupId) };
}

function mayDescribe({ assignment, targetAssignment }: DescribedMember, context: RequestContext): boolean {
  return [assignment, targetAssignment].every(({ topicPartitions }) =>
    topicPartitions.every(({ topicName }) => context.allows("describe", "topic", topicName)),
  );
}

function describe(engine: EmbeddedEngine, groupId: string, group: ConsumerGroup): DescribedGroup {
  return {
    errorCode: kafkaErrors.NONE,
    errorMessage: null,
    groupId,
    groupState: group.state,
    groupEpoch: group.epoch,
    assignmentEpoch: group.targetEpoch,
    assignorName: group.assignor,
    members: [...group.members.values()].map((member) =>
      describedMember(engine, member, group.targetOf(member.memberId)),
    ),
  };
}

function describedMember(engine: EmbeddedEngine, member: ConsumerMember, target: Places): DescribedMember {
  return {
    memberId: member.memberId,
    instanceId: member.instanceId,
    rackId: member.rackId,
    memberEpoch: member.epoch,
    clientId: member.clientId,
    clientHost: member.clientHost,
    subscribedTopicNames: [...member.topicNames],
    // As Kafka has it of members without one.
    subscribedTopicRegex: member.topicRegex ?? "",
    assignment: describedPlaces(engine, placesOf(union(member.assigned, member.revoking))),
    targetAssignment: describedPlaces(engine, target),
    memberType: consumerMemberType,
  };
}

/** Without topics that are gone. */
function describedPlaces(engine: EmbeddedEngine, places: Places): DescribedAssignment {
  const topicPartitions = topicPartitionsOf(places).flatMap(({ topicId, partitions }) => {
    const topicName = engine.topicById(topicId)?.name;
    return topicName === undefined ? [] : [{ topicId, topicName, partitions }];
  });
  return { topicPartitions };
}

function failed(groupId: string, errorCode: number, errorMessage: string | null = null): DescribedGroup {
  return {
    errorCode,
    errorMessage,
    groupId,
    groupState: "",
    groupEpoch: 0,
    assignmentEpoch: 0,
    assignorName: "",
    members: [],
  };
}
