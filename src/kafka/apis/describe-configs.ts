/** Settings of topics, brokers and groups, with where they come from. */
import { api, array, bool, int8, int16, int32, string, struct } from "../fields.ts";

export const describeConfigs = api({
  key: 32,
  name: "DescribeConfigs",
  versions: [1, 4],
  flexibleFrom: 4,
  request: struct({
    resources: array(
      struct({
        resourceType: int8(),
        resourceName: string(),
        configurationKeys: array(string(), { nullable: 0 }),
      }),
    ),
    includeSynonyms: bool({ default: false }),
    includeDocumentation: bool({ from: 3, default: false }),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    results: array(
      struct({
        errorCode: int16(),
        errorMessage: string({ nullable: 0 }),
        resourceType: int8(),
        resourceName: string(),
        configs: array(
          struct({
            name: string(),
            value: string({ nullable: 0 }),
            readOnly: bool(),
            configSource: int8({ default: -1 }),
            isSensitive: bool(),
            synonyms: array(
              struct({
                name: string(),
                value: string({ nullable: 0 }),
                source: int8(),
              }),
            ),
            configType: int8({ from: 3, default: 0 }),
            documentation: string({ from: 3, nullable: 0 }),
          }),
        ),
      }),
    ),
  }),
});
