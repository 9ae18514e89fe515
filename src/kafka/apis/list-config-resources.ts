/** Names of the things that have settings. Types are those of DescribeConfigs; version 0 lists client metrics only. */
import { api, array, int8, int16, int32, string, struct } from "../fields.ts";

export const listConfigResources = api({
  key: 74,
  name: "ListConfigResources",
  versions: [0, 1],
  flexibleFrom: 0,
  request: struct({
    resourceTypes: array(int8(), { from: 1 }),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    configResources: array(
      struct({
        resourceName: string(),
        resourceType: int8({ from: 1, default: 16 }),
      }),
    ),
  }),
});
