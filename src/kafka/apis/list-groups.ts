/** All groups, by state and type. */
import { api, array, int16, int32, string, struct } from "../fields.ts";

export const listGroups = api({
  key: 16,
  name: "ListGroups",
  versions: [0, 5],
  flexibleFrom: 3,
  request: struct({
    statesFilter: array(string(), { from: 4 }),
    typesFilter: array(string(), { from: 5 }),
  }),
  response: struct({
    throttleTimeMs: int32({ from: 1 }),
    errorCode: int16(),
    groups: array(
      struct({
        groupId: string(),
        protocolType: string(),
        groupState: string({ from: 4 }),
        groupType: string({ from: 5 }),
      }),
    ),
  }),
});
