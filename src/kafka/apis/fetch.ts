/** Reads record batches of partitions, and waits for them. */
import { api, array, int8, int16, int32, int64, int64Max, records, string, struct, uuid } from "../fields.ts";

export const fetch = api({
  key: 1,
  name: "Fetch",
  versions: [4, 18],
  flexibleFrom: 12,
  request: struct({
    /** Followers alone send it. */
    clusterId: string({ from: 12, nullable: 0, tag: 0 }),
    replicaId: int32({ to: 14, default: -1 }),
    /** Followers alone send it. */
    replicaState: struct(
      {
        replicaId: int32({ default: -1 }),
        replicaEpoch: int64({ default: -1 }),
      },
      { from: 15, tag: 1 },
    ),
    maxWaitMs: int32(),
    minBytes: int32(),
    maxBytes: int32({ default: 0x7fffffff }),
    isolationLevel: int8({ default: 0 }),
    /** Incremental sessions (KIP-227). */
    sessionId: int32({ from: 7, default: 0 }),
    sessionEpoch: int32({ from: 7, default: -1 }),
    topics: array(
      struct({
        topic: string({ to: 12 }),
        /** Version 13 names topics by id (KIP-516). */
        topicId: uuid({ from: 13 }),
        partitions: array(
          struct({
            partition: int32(),
            currentLeaderEpoch: int32({ from: 9, default: -1 }),
            fetchOffset: int64(),
            lastFetchedEpoch: int32({ from: 12, default: -1 }),
            logStartOffset: int64({ from: 5, default: -1 }),
            partitionMaxBytes: int32(),
            replicaDirectoryId: uuid({ from: 17, tag: 0 }),
            highWatermark: int64({ from: 18, tag: 1, default: int64Max }),
          }),
        ),
      }),
    ),
    forgottenTopicsData: array(
      struct({
        topic: string({ to: 12 }),
        topicId: uuid({ from: 13 }),
        partitions: array(int32()),
      }),
      { from: 7 },
    ),
    rackId: string({ from: 11, default: "" }),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16({ from: 7 }),
    sessionId: int32({ from: 7, default: 0 }),
    responses: array(
      struct({
        topic: string({ to: 12 }),
        topicId: uuid({ from: 13 }),
        partitions: array(
          struct({
            partitionIndex: int32(),
            errorCode: int16(),
            highWatermark: int64(),
            lastStableOffset: int64({ default: -1 }),
            logStartOffset: int64({ from: 5, default: -1 }),
            /** With a truncated log (KIP-595). */
            divergingEpoch: struct(
              {
                epoch: int32({ default: -1 }),
                endOffset: int64({ default: -1 }),
              },
              { from: 12, tag: 0 },
            ),
            /** With NOT_LEADER_OR_FOLLOWER (KIP-951). */
            currentLeader: struct(
              {
                leaderId: int32({ default: -1 }),
                leaderEpoch: int32({ default: -1 }),
              },
              { from: 12, tag: 1 },
            ),
            snapshotId: struct(
              {
                endOffset: int64({ default: -1 }),
                epoch: int32({ default: -1 }),
              },
              { from: 12, tag: 2 },
            ),
            /** Null when the fetch reads uncommitted records. */
            abortedTransactions: array(
              struct({
                producerId: int64(),
                firstOffset: int64(),
              }),
              { nullable: 0 },
            ),
            preferredReadReplica: int32({ from: 11, default: -1 }),
            records: records({ nullable: 0 }),
          }),
        ),
      }),
    ),
    nodeEndpoints: array(
      struct({
        nodeId: int32(),
        host: string(),
        port: int32(),
        rack: string({ nullable: 0 }),
      }),
      { from: 16, tag: 0 },
    ),
  }),
});
