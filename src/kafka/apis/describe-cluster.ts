/** Brokers of the cluster and its id. */
import { api, array, bool, int8, int16, int32, string, struct } from "../fields.ts";

export const describeCluster = api({
  key: 60,
  name: "DescribeCluster",
  versions: [0, 2],
  flexibleFrom: 0,
  request: struct({
    includeClusterAuthorizedOperations: bool(),
    endpointType: int8({ from: 1, default: 1 }),
    includeFencedBrokers: bool({ from: 2 }),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    errorMessage: string({ nullable: 0 }),
    endpointType: int8({ from: 1, default: 1 }),
    clusterId: string(),
    controllerId: int32({ default: -1 }),
    brokers: array(
      struct({
        brokerId: int32(),
        host: string(),
        port: int32(),
        rack: string({ nullable: 0 }),
        isFenced: bool({ from: 2 }),
      }),
    ),
    clusterAuthorizedOperations: int32({ default: -0x80000000 }),
  }),
});
