/** Deletes groups without members. */
import { api, array, int16, int32, string, struct } from "../fields.ts";

export const deleteGroups = api({
  key: 42,
  name: "DeleteGroups",
  versions: [0, 2],
  flexibleFrom: 2,
  request: struct({
    groupsNames: array(string()),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    results: array(
      struct({
        groupId: string(),
        errorCode: int16(),
      }),
    ),
  }),
});
