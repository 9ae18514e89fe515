/** Brokers, topics and partitions of the cluster. Null topics are all topics. */
import { api, array, bool, int16, int32, string, struct, uuid } from "../fields.ts";

export const metadata = api({
  key: 3,
  name: "Metadata",
  versions: [0, 13],
  flexibleFrom: 9,
  request: struct({
    topics: array(
      struct({
        /** Either is enough; version 10 and 11 know topics by name only. */
        topicId: uuid({ from: 10 }),
        name: string({ nullable: 10 }),
      }),
      { nullable: 1 },
    ),
    allowAutoTopicCreation: bool({ from: 4, default: true }),
    includeClusterAuthorizedOperations: bool({ from: 8, to: 10 }),
    includeTopicAuthorizedOperations: bool({ from: 8 }),
  }),
  response: struct({
    throttleTimeMs: int32({ from: 3 }),
    brokers: array(
      struct({
        nodeId: int32(),
        host: string(),
        port: int32(),
        rack: string({ from: 1, nullable: 0 }),
      }),
    ),
    clusterId: string({ from: 2, nullable: 0 }),
    controllerId: int32({ from: 1, default: -1 }),
    topics: array(
      struct({
        errorCode: int16(),
        name: string({ nullable: 12 }),
        topicId: uuid({ from: 10 }),
        isInternal: bool({ from: 1, default: false }),
        partitions: array(
          struct({
            errorCode: int16(),
            partitionIndex: int32(),
            leaderId: int32(),
            leaderEpoch: int32({ from: 7, default: -1 }),
            replicaNodes: array(int32()),
            isrNodes: array(int32()),
            offlineReplicas: array(int32(), { from: 5 }),
          }),
        ),
        topicAuthorizedOperations: int32({ from: 8, default: -0x80000000 }),
      }),
    ),
    clusterAuthorizedOperations: int32({ from: 8, to: 10, default: -0x80000000 }),
    errorCode: int16({ from: 13 }),
  }),
});
