/** State of transactions by their id. */
import { api, array, int16, int32, int64, string, struct } from "../fields.ts";

export const describeTransactions = api({
  key: 65,
  name: "DescribeTransactions",
  versions: [0, 0],
  flexibleFrom: 0,
  request: struct({
    transactionalIds: array(string()),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    transactionStates: array(
      struct({
        errorCode: int16(),
        transactionalId: string(),
        transactionState: string(),
        transactionTimeoutMs: int32(),
        transactionStartTimeMs: int64(),
        producerId: int64(),
        producerEpoch: int16(),
        topics: array(
          struct({
            topic: string(),
            partitions: array(int32()),
          }),
        ),
      }),
    ),
  }),
});
