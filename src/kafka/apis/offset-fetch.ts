/** How far a group has read; from version 8 on, of several groups. Null topics are all topics. */
import { api, array, bool, int16, int32, int64, string, struct, uuid } from "../fields.ts";

export const offsetFetch = api({
  key: 9,
  name: "OffsetFetch",
  versions: [1, 10],
  flexibleFrom: 6,
  request: struct({
    groupId: string({ to: 7 }),
    topics: array(
      struct({
        name: string({ to: 7 }),
        partitionIndexes: array(int32(), { to: 7 }),
      }),
      { to: 7, nullable: 2 },
    ),
    groups: array(
      struct({
        groupId: string(),
        memberId: string({ from: 9, nullable: 0 }),
        memberEpoch: int32({ from: 9, default: -1 }),
        topics: array(
          struct({
            name: string({ to: 9 }),
            topicId: uuid({ from: 10 }),
            partitionIndexes: array(int32()),
          }),
          { nullable: 0 },
        ),
      }),
      { from: 8 },
    ),
    /** Offsets of open transactions are answered with UNSTABLE_OFFSET_COMMIT (KIP-447). */
    requireStable: bool({ from: 7, default: false }),
  }),
  response: struct({
    throttleTimeMs: int32({ from: 3 }),
    topics: array(
      struct({
        name: string({ to: 7 }),
        partitions: array(
          struct({
            partitionIndex: int32({ to: 7 }),
            committedOffset: int64({ to: 7 }),
            committedLeaderEpoch: int32({ from: 5, to: 7, default: -1 }),
            metadata: string({ to: 7, nullable: 0 }),
            errorCode: int16({ to: 7 }),
          }),
          { to: 7 },
        ),
      }),
      { to: 7 },
    ),
    errorCode: int16({ from: 2, to: 7, default: 0 }),
    groups: array(
      struct({
        groupId: string(),
        topics: array(
          struct({
            name: string({ to: 9 }),
            topicId: uuid({ from: 10 }),
            partitions: array(
              struct({
                partitionIndex: int32(),
                committedOffset: int64(),
                committedLeaderEpoch: int32({ default: -1 }),
                metadata: string({ nullable: 0 }),
                errorCode: int16(),
              }),
            ),
          }),
        ),
        errorCode: int16({ default: 0 }),
      }),
      { from: 8 },
    ),
  }),
});
