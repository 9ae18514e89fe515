/** Which SCRAM credentials users have. Null users are all users. */
import { api, array, int8, int16, int32, string, struct } from "../fields.ts";

export const describeUserScramCredentials = api({
  key: 50,
  name: "DescribeUserScramCredentials",
  versions: [0, 0],
  flexibleFrom: 0,
  request: struct({
    users: array(
      struct({
        name: string(),
      }),
      { nullable: 0 },
    ),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    errorMessage: string({ nullable: 0 }),
    results: array(
      struct({
        user: string(),
        errorCode: int16(),
        errorMessage: string({ nullable: 0 }),
        credentialInfos: array(
          struct({
            mechanism: int8(),
            iterations: int32(),
          }),
        ),
      }),
    ),
  }),
});
