/** Finds the broker that answers for a group (key type 0) or a transactional id (1); from version 4 on, of several. */
import { api, array, int8, int16, int32, string, struct } from "../fields.ts";

export const findCoordinator = api({
  key: 10,
  name: "FindCoordinator",
  versions: [0, 6],
  flexibleFrom: 3,
  request: struct({
    key: string({ to: 3 }),
    keyType: int8({ from: 1, default: 0 }),
    coordinatorKeys: array(string(), { from: 4 }),
  }),
  response: struct({
    throttleTimeMs: int32({ from: 1 }),
    errorCode: int16({ to: 3 }),
    errorMessage: string({ from: 1, to: 3, nullable: 0 }),
    nodeId: int32({ to: 3 }),
    host: string({ to: 3 }),
    port: int32({ to: 3 }),
    coordinators: array(
      struct({
        key: string(),
        nodeId: int32(),
        host: string(),
        port: int32(),
        errorCode: int16(),
        errorMessage: string({ nullable: 0 }),
      }),
      { from: 4 },
    ),
  }),
});
