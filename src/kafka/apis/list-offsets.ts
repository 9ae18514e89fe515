/** Offsets of partitions: the first, the next, or that of a time. `timestamp` -2 is earliest, -1 latest, -3 that of the largest timestamp. */
import { api, array, int8, int16, int32, int64, string, struct } from "../fields.ts";

export const listOffsets = api({
  key: 2,
  name: "ListOffsets",
  versions: [1, 11],
  flexibleFrom: 6,
  request: struct({
    replicaId: int32(),
    /** 0 reads uncommitted, 1 committed records. */
    isolationLevel: int8({ from: 2 }),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            currentLeaderEpoch: int32({ from: 4, default: -1 }),
            timestamp: int64(),
          }),
        ),
      }),
    ),
    /** For offsets in tiered storage (KIP-1075). */
    timeoutMs: int32({ from: 10 }),
  }),
  response: struct({
    throttleTimeMs: int32({ from: 2 }),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            errorCode: int16(),
            timestamp: int64({ default: -1 }),
            offset: int64({ default: -1 }),
            leaderEpoch: int32({ from: 4, default: -1 }),
          }),
        ),
      }),
    ),
  }),
});
