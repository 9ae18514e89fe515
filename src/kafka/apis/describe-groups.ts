/** State and members of classic groups. */
import { api, array, bool, bytes, int16, int32, string, struct } from "../fields.ts";

export const describeGroups = api({
  key: 15,
  name: "DescribeGroups",
  versions: [0, 6],
  flexibleFrom: 5,
  request: struct({
    groups: array(string()),
    includeAuthorizedOperations: bool({ from: 3 }),
  }),
  response: struct({
    throttleTimeMs: int32({ from: 1 }),
    groups: array(
      struct({
        errorCode: int16(),
        errorMessage: string({ from: 6, nullable: 0 }),
        groupId: string(),
        groupState: string(),
        protocolType: string(),
        protocolData: string(),
        members: array(
          struct({
            memberId: string(),
            groupInstanceId: string({ from: 4, nullable: 0 }),
            clientId: string(),
            clientHost: string(),
            memberMetadata: bytes(),
            memberAssignment: bytes(),
          }),
        ),
        authorizedOperations: int32({ from: 3, default: -0x80000000 }),
      }),
    ),
  }),
});
