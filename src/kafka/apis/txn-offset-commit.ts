/** Stores how far a group has read, as part of a transaction. */
import { api, array, int16, int32, int64, string, struct } from "../fields.ts";

export const txnOffsetCommit = api({
  key: 28,
  name: "TxnOffsetCommit",
  versions: [0, 5],
  flexibleFrom: 3,
  request: struct({
    transactionalId: string(),
    groupId: string(),
    producerId: int64(),
    producerEpoch: int16(),
    generationId: int32({ from: 3, default: -1 }),
    memberId: string({ from: 3, default: "" }),
    groupInstanceId: string({ from: 3, nullable: 0 }),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            committedOffset: int64(),
            committedLeaderEpoch: int32({ from: 2, default: -1 }),
            committedMetadata: string({ nullable: 0 }),
          }),
        ),
      }),
    ),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            errorCode: int16(),
          }),
        ),
      }),
    ),
  }),
});
