/** Stores how far a group has read. */
import { api, array, int16, int32, int64, string, struct, uuid } from "../fields.ts";

export const offsetCommit = api({
  key: 8,
  name: "OffsetCommit",
  versions: [2, 10],
  flexibleFrom: 8,
  request: struct({
    groupId: string(),
    /** The member's epoch in groups of the new protocol (KIP-848). */
    generationIdOrMemberEpoch: int32({ default: -1 }),
    memberId: string(),
    groupInstanceId: string({ from: 7, nullable: 0 }),
    /** Ignored since KIP-211. */
    retentionTimeMs: int64({ to: 4, default: -1 }),
    topics: array(
      struct({
        name: string({ to: 9 }),
        topicId: uuid({ from: 10 }),
        partitions: array(
          struct({
            partitionIndex: int32(),
            committedOffset: int64(),
            committedLeaderEpoch: int32({ from: 6, default: -1 }),
            committedMetadata: string({ nullable: 0 }),
          }),
        ),
      }),
    ),
  }),
  response: struct({
    throttleTimeMs: int32({ from: 3 }),
    topics: array(
      struct({
        name: string({ to: 9 }),
        topicId: uuid({ from: 10 }),
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
