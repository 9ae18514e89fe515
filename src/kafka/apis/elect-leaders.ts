/** Elects leaders of partitions. Null partitions are all partitions. */
import { api, array, int8, int16, int32, string, struct } from "../fields.ts";

export const electLeaders = api({
  key: 43,
  name: "ElectLeaders",
  versions: [0, 2],
  flexibleFrom: 2,
  request: struct({
    electionType: int8({ from: 1 }),
    topicPartitions: array(
      struct({
        topic: string(),
        partitions: array(int32()),
      }),
      { nullable: 0 },
    ),
    timeoutMs: int32({ default: 60000 }),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16({ from: 1 }),
    replicaElectionResults: array(
      struct({
        topic: string(),
        partitionResult: array(
          struct({
            partitionId: int32(),
            errorCode: int16(),
            errorMessage: string({ nullable: 0 }),
          }),
        ),
      }),
    ),
  }),
});
