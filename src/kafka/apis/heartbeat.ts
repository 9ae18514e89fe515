/** Keeps a member of a classic group alive. */
import { api, int16, int32, string, struct } from "../fields.ts";

export const heartbeat = api({
  key: 12,
  name: "Heartbeat",
  versions: [0, 4],
  flexibleFrom: 4,
  request: struct({
    groupId: string(),
    generationId: int32(),
    memberId: string(),
    groupInstanceId: string({ from: 3, nullable: 0 }),
  }),
  response: struct({
    throttleTimeMs: int32({ from: 1 }),
    errorCode: int16(),
  }),
});
