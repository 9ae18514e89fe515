/** Gives a producer its id and epoch. */
import { api, int16, int32, int64, string, struct } from "../fields.ts";

export const initProducerId = api({
  key: 22,
  name: "InitProducerId",
  versions: [0, 5],
  flexibleFrom: 2,
  request: struct({
    transactionalId: string({ nullable: 0 }),
    transactionTimeoutMs: int32(),
    /** What the producer has, to have its epoch raised (KIP-360). */
    producerId: int64({ from: 3, default: -1 }),
    producerEpoch: int16({ from: 3, default: -1 }),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    producerId: int64({ default: -1 }),
    producerEpoch: int16(),
  }),
});
