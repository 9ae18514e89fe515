/** Hands out what the leader of a classic group has assigned. */
import { api, array, bytes, int16, int32, string, struct } from "../fields.ts";

export const syncGroup = api({
  key: 14,
  name: "SyncGroup",
  versions: [0, 5],
  flexibleFrom: 4,
  request: struct({
    groupId: string(),
    generationId: int32(),
    memberId: string(),
    groupInstanceId: string({ from: 3, nullable: 0 }),
    /** KIP-559. */
    protocolType: string({ from: 5, nullable: 0 }),
    protocolName: string({ from: 5, nullable: 0 }),
    assignments: array(
      struct({
        memberId: string(),
        /** Opaque to the broker; of consumers a ConsumerProtocolAssignment. */
        assignment: bytes(),
      }),
    ),
  }),
  response: struct({
    throttleTimeMs: int32({ from: 1 }),
    errorCode: int16(),
    protocolType: string({ from: 5, nullable: 0 }),
    protocolName: string({ from: 5, nullable: 0 }),
    assignment: bytes(),
  }),
});
