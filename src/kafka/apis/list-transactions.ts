/** All transactions, by state, producer and age. */
import { api, array, int16, int32, int64, string, struct } from "../fields.ts";

export const listTransactions = api({
  key: 66,
  name: "ListTransactions",
  versions: [0, 2],
  flexibleFrom: 0,
  request: struct({
    stateFilters: array(string()),
    producerIdFilters: array(int64()),
    durationFilter: int64({ from: 1, default: -1 }),
    transactionalIdPattern: string({ from: 2, nullable: 0 }),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    unknownStateFilters: array(string()),
    transactionStates: array(
      struct({
        transactionalId: string(),
        producerId: int64(),
        transactionState: string(),
      }),
    ),
  }),
});
