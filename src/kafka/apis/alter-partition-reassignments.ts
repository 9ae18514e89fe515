/** Moves partitions to other brokers. Null replicas cancel a move. */
import { api, array, bool, int16, int32, string, struct } from "../fields.ts";

export const alterPartitionReassignments = api({
  key: 45,
  name: "AlterPartitionReassignments",
  versions: [0, 1],
  flexibleFrom: 0,
  request: struct({
    timeoutMs: int32({ default: 60000 }),
    allowReplicationFactorChange: bool({ from: 1, default: true }),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            replicas: array(int32(), { nullable: 0 }),
          }),
        ),
      }),
    ),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    allowReplicationFactorChange: bool({ from: 1, default: true }),
    errorCode: int16(),
    errorMessage: string({ nullable: 0 }),
    responses: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            errorCode: int16(),
            errorMessage: string({ nullable: 0 }),
          }),
        ),
      }),
    ),
  }),
});
