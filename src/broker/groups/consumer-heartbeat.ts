/** What a heartbeat of KIP-848 says, what is wrong with it whatever the group is, and how it is answered. */

import { consumerAssignors } from "./consumer-assignors.ts";
import { awayEpoch, type ConsumerMember } from "./consumer-member.ts";
import { ownsOnlyOf, type Places, type TopicPartitions } from "./consumer-partitions.ts";
import { isSameList } from "./consumer-topics.ts";

/** The epochs that stand for something else than an epoch. */
export const joinEpoch = 0;
export const leaveEpoch = -1;

const namesMax = 10_000;
const topicNameLengthMax = 249;
const idBytesMax = 255;

export interface ConsumerHeartbeat {
  readonly memberId: string;
  readonly memberEpoch: number;
  /** Here and below: null is what is as before. */
  readonly instanceId: string | null;
  readonly rackId: string | null;
  /** -1 is as before. */
  readonly rebalanceTimeoutMs: number;
  readonly subscribedTopicNames: readonly string[] | null;
  readonly subscribedTopicRegex: string | null;
  readonly serverAssignor: string | null;
  readonly topicPartitions: readonly TopicPartitions[] | null;
  readonly clientId: string;
  readonly clientHost: string;
}

/** Kafka's names. */
export type ConsumerErrorName =
  | "COORDINATOR_NOT_AVAILABLE"
  | "FENCED_INSTANCE_ID"
  | "FENCED_MEMBER_EPOCH"
  | "GROUP_ID_NOT_FOUND"
  | "GROUP_MAX_SIZE_REACHED"
  | "INVALID_GROUP_ID"
  | "INVALID_REGULAR_EXPRESSION"
  | "INVALID_REQUEST"
  | "UNKNOWN_MEMBER_ID"
  | "UNRELEASED_INSTANCE_ID"
  | "UNSUPPORTED_ASSIGNOR";

export interface HeartbeatRefusal {
  readonly outcome: "refused";
  readonly error: ConsumerErrorName;
  readonly message: string;
}

export interface HeartbeatAnswer {
  readonly outcome: "answered";
  readonly memberId: string;
  readonly memberEpoch: number;
  /** All that the member has from here on; null when that is as before. */
  readonly assignment: Places | null;
}

export function refusal(error: ConsumerErrorName, message: string): HeartbeatRefusal {
  return { outcome: "refused", error, message };
}

/** Kafka's rules of form, in its order and words; undefined when it is well formed. */
export function heartbeatFault(
  groupId: string,
  heartbeat: ConsumerHeartbeat,
  apiVersion: number,
): HeartbeatRefusal | undefined {
  const { memberId, memberEpoch, instanceId, rackId, serverAssignor } = heartbeat;
  const isMemberNamed = apiVersion >= 1 || memberEpoch > 0 || memberEpoch === leaveEpoch;
  if (isMemberNamed && isBlank(memberId)) return invalid("MemberId can't be empty.");
  if (isBlank(groupId)) return invalid("GroupId can't be empty.");
  if (isBlank(instanceId)) return invalid("InstanceId can't be empty.");
  if (isBlank(rackId)) return invalid("RackId can't be empty.");
  if (memberEpoch === joinEpoch) {
    if (heartbeat.rebalanceTimeoutMs === -1) return invalid("RebalanceTimeoutMs must be provided in first request.");
    if (heartbeat.topicPartitions?.length !== 0) return invalid("TopicPartitions must be empty when (re-)joining.");
    if (heartbeat.subscribedTopicNames === null && heartbeat.subscribedTopicRegex === null) {
      return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
    }
  } else if (memberEpoch === awayEpoch) {
    if (instanceId === null) return invalid("InstanceId can't be null.");
  } else if (memberEpoch < awayEpoch) {
    return invalid("MemberEpoch is invalid.");
  }
  if (serverAssignor !== null && !(consumerAssignors as readonly string[]).includes(serverAssignor)) {
    const supported = consumerAssignors.join(", ");
    const message = `ServerAssignor ${serverAssignor} is not supported. Supported assignors: ${supported}.`;
    return refusal("UNSUPPORTED_ASSIGNOR", message);
  }
  return boundsFault(heartbeat);
}

/** What Kafka does not mind, and would be kept for as long as the member is. */
function boundsFault(heartbeat: ConsumerHeartbeat): HeartbeatRefusal | undefined {
  const { memberId, instanceId, rackId, subscribedTopicNames: names } = heartbeat;
  for (const id of [memberId, instanceId, rackId]) {
    if (id !== null && (!id.isWellFormed() || Buffer.byteLength(id) > idBytesMax)) {
      return invalid(`Ids are text of at most ${idBytesMax} bytes.`);
    }
  }
  if (names === null) return undefined;
  if (names.length > namesMax) return invalid(`SubscribedTopicNames has more than ${namesMax} names.`);
  const isName = (name: string) => name.length <= topicNameLengthMax && name.isWellFormed();
  return names.every(isName) ? undefined : invalid("SubscribedTopicNames has what cannot be the name of a topic.");
}

/** A member is told again what it may not have heard: with its last epoch, when it owns nothing that it does not have. */
export function epochFault(
  { epoch, previousEpoch, assigned }: ConsumerMember,
  received: number,
  owned: readonly TopicPartitions[] | null,
): HeartbeatRefusal | undefined {
  if (received === joinEpoch || received === epoch) return undefined;
  if (received === previousEpoch && received < epoch && ownsOnlyOf(owned, assigned)) return undefined;
  const message =
    `The consumer group member has a ${received > epoch ? "greater" : "smaller"} member epoch (${received}) than the one ` +
    `known by the group coordinator (${epoch}). The member must abandon all its partitions and rejoin.`;
  return refusal("FENCED_MEMBER_EPOCH", message);
}

/** One that says everything, as after an answer that did not come. */
export function isFull(heartbeat: ConsumerHeartbeat): boolean {
  const { rebalanceTimeoutMs, subscribedTopicNames, subscribedTopicRegex, topicPartitions } = heartbeat;
  const hasSubscription = subscribedTopicNames !== null || subscribedTopicRegex !== null;
  return rebalanceTimeoutMs !== -1 && hasSubscription && topicPartitions !== null;
}

/**
 * The same object when the heartbeat says nothing new. Who joins says all that it subscribes to: a static member is not to
 * inherit the pattern of the one before it, of which it knows nothing.
 */
export function withNews(member: ConsumerMember, heartbeat: ConsumerHeartbeat): ConsumerMember {
  const { memberEpoch, rebalanceTimeoutMs } = heartbeat;
  const isJoin = memberEpoch === joinEpoch;
  const subscribedTopicNames = heartbeat.subscribedTopicNames ?? (isJoin ? [] : null);
  const names = subscribedTopicNames && [...new Set(subscribedTopicNames)].sort();
  const next: ConsumerMember = {
    ...member,
    instanceId: heartbeat.instanceId ?? member.instanceId,
    rackId: heartbeat.rackId ?? member.rackId,
    rebalanceTimeoutMs: rebalanceTimeoutMs === -1 ? member.rebalanceTimeoutMs : rebalanceTimeoutMs,
    topicNames: !names || isSameList(names, member.topicNames) ? member.topicNames : names,
    topicRegex: heartbeat.subscribedTopicRegex ?? (isJoin ? null : member.topicRegex),
    assignor: heartbeat.serverAssignor ?? member.assignor,
    clientId: heartbeat.clientId,
    clientHost: heartbeat.clientHost,
  };
  return (Object.keys(next) as (keyof ConsumerMember)[]).every((key) => next[key] === member[key]) ? member : next;
}

function isBlank(text: string | null): boolean {
  return text !== null && text.trim() === "";
}

function invalid(message: string): HeartbeatRefusal {
  return refusal("INVALID_REQUEST", message);
}
