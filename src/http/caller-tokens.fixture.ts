/** Tokens of callers for tests, signed with a key of their own. */
import { generateKeyPairSync, sign } from "node:crypto";
import { JsonWebKeys } from "../access/json-web-keys.ts";
import { defaultTokenRules, type TokenRules } from "../access/json-web-token.ts";
import { type Clock, systemClock } from "../base/clock.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
/** As a file or an address has it. */
export const testKeySet = JSON.stringify({ keys: [publicKey.export({ format: "jwk" })] });

export function testTokenRules(clock: Clock = systemClock): TokenRules {
  return { ...defaultTokenRules, keys: new JsonWebKeys({ load: async () => testKeySet, clock }) };
}

/** Holds for an hour, unless the claims say another `exp`. */
export function callerToken(claims: Readonly<Record<string, unknown>>, clock: Clock = systemClock): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "EdDSA" })}.${part({ exp: Math.floor(clock.now() / 1_000) + 3_600, ...claims })}`;
  return `${text}.${sign(null, Buffer.from(text), privateKey).toString("base64url")}`;
}

export function bearer(claims: Readonly<Record<string, unknown>>, clock?: Clock): { readonly authorization: string } {
  return { authorization: `Bearer ${callerToken(claims, clock)}` };
}
