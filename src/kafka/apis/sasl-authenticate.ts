/** One step of a SASL exchange. */
import { api, bytes, int16, int64, string, struct } from "../fields.ts";

export const saslAuthenticate = api({
  key: 36,
  name: "SaslAuthenticate",
  versions: [0, 2],
  flexibleFrom: 2,
  request: struct({
    authBytes: bytes(),
  }),
  response: struct({
    errorCode: int16(),
    errorMessage: string({ nullable: 0 }),
    authBytes: bytes(),
    sessionLifetimeMs: int64({ from: 1, default: 0 }),
  }),
});
