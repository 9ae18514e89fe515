/** Writes the markers of finished transactions into partitions; brokers send it. */
import { api, array, bool, int8, int16, int32, int64, string, struct } from "../fields.ts";

export const writeTxnMarkers = api({
  key: 27,
  name: "WriteTxnMarkers",
  versions: [1, 2],
  flexibleFrom: 1,
  request: struct({
    markers: array(
      struct({
        producerId: int64(),
        producerEpoch: int16(),
        transactionResult: bool(),
        topics: array(
          struct({
            name: string(),
            partitionIndexes: array(int32()),
          }),
        ),
        coordinatorEpoch: int32(),
        transactionVersion: int8({ from: 2, default: 0 }),
      }),
    ),
  }),
  response: struct({
    markers: array(
      struct({
        producerId: int64(),
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
    ),
  }),
});
