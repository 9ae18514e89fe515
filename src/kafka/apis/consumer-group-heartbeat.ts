/** Joins, stays in and leaves a group of the new protocol (KIP-848). Member epoch 0 joins, -1 leaves, -2 leaves as a static member that will be back. */
import { api, array, int16, int32, string, struct, uuid } from "../fields.ts";

const topicPartitions = struct({
  topicId: uuid(),
  partitions: array(int32()),
});

export const consumerGroupHeartbeat = api({
  key: 68,
  name: "ConsumerGroupHeartbeat",
  versions: [0, 1],
  flexibleFrom: 0,
  request: struct({
    groupId: string(),
    /** Chosen by the client from version 1 on. */
    memberId: string(),
    memberEpoch: int32(),
    instanceId: string({ nullable: 0 }),
    rackId: string({ nullable: 0 }),
    rebalanceTimeoutMs: int32({ default: -1 }),
    subscribedTopicNames: array(string(), { nullable: 0 }),
    subscribedTopicRegex: string({ from: 1, nullable: 0 }),
    serverAssignor: string({ nullable: 0 }),
    /** What the member owns; null when nothing changed. */
    topicPartitions: array(
      struct({
        topicId: uuid(),
        partitions: array(int32()),
      }),
      { nullable: 0 },
    ),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    errorMessage: string({ nullable: 0 }),
    memberId: string({ nullable: 0 }),
    memberEpoch: int32(),
    heartbeatIntervalMs: int32(),
    /** Null when nothing changed. */
    assignment: struct(
      {
        topicPartitions: array(topicPartitions),
      },
      { nullable: 0 },
    ),
  }),
});
