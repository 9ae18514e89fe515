/** Where the offsets of a leader's epoch end. */
import { api, array, int16, int32, int64, string, struct } from "../fields.ts";

export const offsetForLeaderEpoch = api({
  key: 23,
  name: "OffsetForLeaderEpoch",
  versions: [2, 4],
  flexibleFrom: 4,
  request: struct({
    replicaId: int32({ from: 3, default: -2 }),
    topics: array(
      struct({
        topic: string(),
        partitions: array(
          struct({
            partition: int32(),
            currentLeaderEpoch: int32({ default: -1 }),
            leaderEpoch: int32(),
          }),
        ),
      }),
    ),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    topics: array(
      struct({
        topic: string(),
        partitions: array(
          struct({
            errorCode: int16(),
            partition: int32(),
            leaderEpoch: int32({ default: -1 }),
            endOffset: int64({ default: -1 }),
          }),
        ),
      }),
    ),
  }),
});
