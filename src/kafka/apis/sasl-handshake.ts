/** Chooses a SASL mechanism. It never became flexible. */
import { api, array, int16, string, struct } from "../fields.ts";

export const saslHandshake = api({
  key: 17,
  name: "SaslHandshake",
  versions: [0, 1],
  flexibleFrom: null,
  request: struct({
    mechanism: string(),
  }),
  response: struct({
    errorCode: int16(),
    mechanisms: array(string()),
  }),
});
