/** State and members of groups of the new protocol (KIP-848). */
import { api, array, bool, int8, int16, int32, string, struct, uuid } from "../fields.ts";

const topicPartitions = struct({
  topicId: uuid(),
  topicName: string(),
  partitions: array(int32()),
});

const assignment = struct({
  topicPartitions: array(topicPartitions),
});

export const consumerGroupDescribe = api({
  key: 69,
  name: "ConsumerGroupDescribe",
  versions: [0, 1],
  flexibleFrom: 0,
  request: struct({
    groupIds: array(string()),
    includeAuthorizedOperations: bool(),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    groups: array(
      struct({
        errorCode: int16(),
        errorMessage: string({ nullable: 0 }),
        groupId: string(),
        groupState: string(),
        groupEpoch: int32(),
        assignmentEpoch: int32(),
        assignorName: string(),
        members: array(
          struct({
            memberId: string(),
            instanceId: string({ nullable: 0 }),
            rackId: string({ nullable: 0 }),
            memberEpoch: int32(),
            clientId: string(),
            clientHost: string(),
            subscribedTopicNames: array(string()),
            subscribedTopicRegex: string({ nullable: 0 }),
            assignment: assignment,
            targetAssignment: assignment,
            memberType: int8({ from: 1, default: -1 }),
          }),
        ),
        authorizedOperations: int32({ default: -0x80000000 }),
      }),
    ),
  }),
});
