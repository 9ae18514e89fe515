/** Raises and lowers the levels of cluster features. */
import { api, array, bool, int8, int16, int32, string, struct } from "../fields.ts";

export const updateFeatures = api({
  key: 57,
  name: "UpdateFeatures",
  versions: [0, 2],
  flexibleFrom: 0,
  request: struct({
    timeoutMs: int32({ default: 60000 }),
    featureUpdates: array(
      struct({
        feature: string(),
        maxVersionLevel: int16(),
        allowDowngrade: bool({ to: 0 }),
        upgradeType: int8({ from: 1, default: 1 }),
      }),
    ),
    validateOnly: bool({ from: 1, default: false }),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    errorMessage: string({ nullable: 0 }),
    results: array(
      struct({
        feature: string(),
        errorCode: int16(),
        errorMessage: string({ nullable: 0 }),
      }),
      { to: 1 },
    ),
  }),
});
