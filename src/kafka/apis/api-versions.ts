/** The versions of all APIs. Clients send it before they know any; its responses have the classic header always (KIP-511). */
import { api, array, bool, int16, int32, int64, string, struct } from "../fields.ts";

export const apiVersions = api({
  key: 18,
  name: "ApiVersions",
  versions: [0, 4],
  flexibleFrom: 3,
  request: struct({
    /** KIP-511. */
    clientSoftwareName: string({ from: 3 }),
    clientSoftwareVersion: string({ from: 3 }),
  }),
  response: struct({
    errorCode: int16(),
    apiKeys: array(
      struct({
        apiKey: int16(),
        minVersion: int16(),
        maxVersion: int16(),
      }),
    ),
    throttleTimeMs: int32({ from: 1 }),
    /** KIP-584. */
    supportedFeatures: array(
      struct({
        name: string(),
        minVersion: int16(),
        maxVersion: int16(),
      }),
      { from: 3, tag: 0 },
    ),
    finalizedFeaturesEpoch: int64({ from: 3, tag: 1, default: -1 }),
    finalizedFeatures: array(
      struct({
        name: string(),
        maxVersionLevel: int16(),
        minVersionLevel: int16(),
      }),
      { from: 3, tag: 2 },
    ),
    zkMigrationReady: bool({ from: 3, tag: 3, default: false }),
  }),
});
