/** Commits or aborts a transaction. */
import { api, bool, int16, int32, int64, string, struct } from "../fields.ts";

export const endTxn = api({
  key: 26,
  name: "EndTxn",
  versions: [0, 5],
  flexibleFrom: 3,
  request: struct({
    transactionalId: string(),
    producerId: int64(),
    producerEpoch: int16(),
    committed: bool(),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    producerId: int64({ from: 5, default: -1 }),
    producerEpoch: int16({ from: 5, default: -1 }),
  }),
});
