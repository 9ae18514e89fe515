/** Leaves a classic group; from version 3 on, several members at once. */
import { api, array, int16, int32, string, struct } from "../fields.ts";

export const leaveGroup = api({
  key: 13,
  name: "LeaveGroup",
  versions: [0, 5],
  flexibleFrom: 4,
  request: struct({
    groupId: string(),
    memberId: string({ to: 2 }),
    members: array(
      struct({
        memberId: string(),
        groupInstanceId: string({ nullable: 0 }),
        reason: string({ from: 5, nullable: 0 }),
      }),
      { from: 3 },
    ),
  }),
  response: struct({
    throttleTimeMs: int32({ from: 1 }),
    errorCode: int16(),
    members: array(
      struct({
        memberId: string(),
        groupInstanceId: string({ nullable: 0 }),
        errorCode: int16(),
      }),
      { from: 3 },
    ),
  }),
});
