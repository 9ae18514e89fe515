/** Joins a group of the classic protocol, and waits for the others. */
import { api, array, bool, bytes, int16, int32, string, struct } from "../fields.ts";

export const joinGroup = api({
  key: 11,
  name: "JoinGroup",
  versions: [0, 9],
  flexibleFrom: 6,
  request: struct({
    groupId: string(),
    sessionTimeoutMs: int32(),
    rebalanceTimeoutMs: int32({ from: 1, default: -1 }),
    memberId: string(),
    /** Static members (KIP-345). */
    groupInstanceId: string({ from: 5, nullable: 0 }),
    protocolType: string(),
    protocols: array(
      struct({
        name: string(),
        /** Opaque to the broker; of consumers a ConsumerProtocolSubscription. */
        metadata: bytes(),
      }),
    ),
    reason: string({ from: 8, nullable: 0 }),
  }),
  response: struct({
    throttleTimeMs: int32({ from: 2 }),
    errorCode: int16(),
    generationId: int32({ default: -1 }),
    /** KIP-559. */
    protocolType: string({ from: 7, nullable: 0 }),
    protocolName: string({ nullable: 7 }),
    leader: string(),
    /** A static leader that comes back does not assign again (KIP-814). */
    skipAssignment: bool({ from: 9, default: false }),
    memberId: string(),
    members: array(
      struct({
        memberId: string(),
        groupInstanceId: string({ from: 5, nullable: 0 }),
        metadata: bytes(),
      }),
    ),
  }),
});
