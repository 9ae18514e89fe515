/** Quotas of users, client ids and addresses. Match types are 0 exactly, 1 the default, 2 any. */
import { api, array, bool, float64, int8, int16, int32, string, struct } from "../fields.ts";

export const describeClientQuotas = api({
  key: 48,
  name: "DescribeClientQuotas",
  versions: [0, 1],
  flexibleFrom: 1,
  request: struct({
    components: array(
      struct({
        entityType: string(),
        matchType: int8(),
        match: string({ nullable: 0 }),
      }),
    ),
    strict: bool(),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    errorMessage: string({ nullable: 0 }),
    entries: array(
      struct({
        entity: array(
          struct({
            entityType: string(),
            entityName: string({ nullable: 0 }),
          }),
        ),
        values: array(
          struct({
            key: string(),
            value: float64(),
          }),
        ),
      }),
      { nullable: 0 },
    ),
  }),
});
