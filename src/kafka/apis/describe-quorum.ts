/** State of the controllers' quorum. */
import { api, array, int16, int32, int64, string, struct, uint16, uuid } from "../fields.ts";

const replicaState = struct({
  replicaId: int32(),
  replicaDirectoryId: uuid({ from: 2 }),
  logEndOffset: int64(),
  lastFetchTimestamp: int64({ from: 1, default: -1 }),
  lastCaughtUpTimestamp: int64({ from: 1, default: -1 }),
});

export const describeQuorum = api({
  key: 55,
  name: "DescribeQuorum",
  versions: [0, 2],
  flexibleFrom: 0,
  request: struct({
    topics: array(
      struct({
        topicName: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
          }),
        ),
      }),
    ),
  }),
  response: struct({
    errorCode: int16(),
    errorMessage: string({ from: 2, nullable: 0 }),
    topics: array(
      struct({
        topicName: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            errorCode: int16(),
            errorMessage: string({ from: 2, nullable: 0 }),
            leaderId: int32(),
            leaderEpoch: int32(),
            highWatermark: int64(),
            currentVoters: array(replicaState),
            observers: array(replicaState),
          }),
        ),
      }),
    ),
    nodes: array(
      struct({
        nodeId: int32(),
        listeners: array(
          struct({
            name: string(),
            host: string(),
            port: uint16(),
          }),
        ),
      }),
      { from: 2 },
    ),
  }),
});
