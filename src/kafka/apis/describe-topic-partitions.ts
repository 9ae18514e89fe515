/** Topics and their partitions, in pages. */
import { api, array, bool, int16, int32, string, struct, uuid } from "../fields.ts";

export const describeTopicPartitions = api({
  key: 75,
  name: "DescribeTopicPartitions",
  versions: [0, 0],
  flexibleFrom: 0,
  request: struct({
    topics: array(
      struct({
        name: string(),
      }),
    ),
    responsePartitionLimit: int32({ default: 2000 }),
    cursor: struct(
      {
        topicName: string(),
        partitionIndex: int32(),
      },
      { nullable: 0 },
    ),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    topics: array(
      struct({
        errorCode: int16(),
        name: string({ nullable: 0 }),
        topicId: uuid(),
        isInternal: bool({ default: false }),
        partitions: array(
          struct({
            errorCode: int16(),
            partitionIndex: int32(),
            leaderId: int32(),
            leaderEpoch: int32({ default: -1 }),
            replicaNodes: array(int32()),
            isrNodes: array(int32()),
            eligibleLeaderReplicas: array(int32(), { nullable: 0 }),
            lastKnownElr: array(int32(), { nullable: 0 }),
            offlineReplicas: array(int32()),
          }),
        ),
        topicAuthorizedOperations: int32({ default: -0x80000000 }),
      }),
    ),
    nextCursor: struct(
      {
        topicName: string(),
        partitionIndex: int32(),
      },
      { nullable: 0 },
    ),
  }),
});
