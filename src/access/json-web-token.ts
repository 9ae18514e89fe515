/**
 * Signed tokens (RFC 7519 in the compact form of RFC 7515), checked strictly: the algorithm is one of the list and fits
 * the key, the form is canonical, and every claim that is asked for is there. Nothing in a token says where its key is.
 */
import { verify } from "node:crypto";
import type { JsonWebKey, JsonWebKeys, SignatureAlgorithm } from "./json-web-keys.ts";
import { signatureAlgorithms } from "./json-web-keys.ts";

export interface TokenRules {
  readonly keys: JsonWebKeys;
  /** sasl.oauthbearer.expected.issuer; null takes any. */
  readonly issuer: string | null;
  /** sasl.oauthbearer.expected.audience: one of them; empty takes any. */
  readonly audiences: readonly string[];
  /** The claim that names the user (sasl.oauthbearer.sub.claim.name). */
  readonly userClaim: string;
  /** sasl.oauthbearer.clock.skew.seconds */
  readonly skewMs: number;
}

export const defaultTokenRules: Omit<TokenRules, "keys"> = {
  issuer: null,
  audiences: [],
  userClaim: "sub",
  skewMs: 30_000,
};

export type TokenVerdict =
  | {
      readonly outcome: "valid";
      readonly user: string;
      readonly expiresAtMs: number;
      readonly claims: Readonly<Record<string, unknown>>;
    }
  | { readonly outcome: "invalid"; readonly reason: string };

const tokenLengthMax = 32 * 1024;
const userLengthMax = 1024;
const partForm = /^[A-Za-z0-9_-]+$/;

export async function checkToken(token: string, rules: TokenRules, nowMs: number): Promise<TokenVerdict> {
  const parts = token.length <= tokenLengthMax ? token.split(".", 4) : [];
  if (parts.length !== 3 || !parts.every((part) => partForm.test(part))) return invalid("it is no signed token");
  const [headerPart, claimsPart, signaturePart] = parts as [string, string, string];
  const header = objectOf(headerPart);
  const claims = objectOf(claimsPart);
  if (!header || !claims) return invalid("it is no signed token");
  const algorithm = signatureAlgorithms.find((known) => known === header.alg);
  if (!algorithm) return invalid("its algorithm is not one that is taken");
  if (header.crit !== undefined) return invalid("it asks for something that is not known");
  if (header.kid !== undefined && typeof header.kid !== "string") return invalid("its key id is no text");
  const keys = await rules.keys.find(algorithm, header.kid);
  const signed = Buffer.from(`${headerPart}.${claimsPart}`, "latin1");
  const signature = Buffer.from(signaturePart, "base64url");
  if (!keys.some((key) => isSignedBy(algorithm, key, signed, signature))) return invalid("no key has signed it");
  return decideClaims(claims, rules, nowMs);
}

/** Which of the claims is missing or does not hold. */
export function decideClaims(
  claims: Readonly<Record<string, unknown>>,
  rules: Omit<TokenRules, "keys">,
  nowMs: number,
): TokenVerdict {
  const { exp, nbf, iat, iss, aud } = claims;
  const user = Object.hasOwn(claims, rules.userClaim) ? claims[rules.userClaim] : undefined;
  if (!isTime(exp)) return invalid("it does not say until when it holds");
  if (exp * 1000 + rules.skewMs <= nowMs) return invalid("it has expired");
  if (nbf !== undefined && !(isTime(nbf) && nbf * 1000 - rules.skewMs <= nowMs)) return invalid("it does not hold yet");
  if (iat !== undefined && !(isTime(iat) && iat * 1000 - rules.skewMs <= nowMs)) return invalid("it is of the future");
  if (rules.issuer !== null && iss !== rules.issuer) return invalid("it is of another issuer");
  if (rules.audiences.length > 0) {
    const audiences: unknown[] = Array.isArray(aud) ? aud : [aud];
    if (!audiences.some((one) => rules.audiences.includes(one as string))) return invalid("it is for somebody else");
  }
  if (typeof user !== "string" || user.trim() === "" || user.length > userLengthMax || !user.isWellFormed()) {
    return invalid("it names no user");
  }
  return { outcome: "valid", user: user.trim(), expiresAtMs: exp * 1000, claims };
}

function isSignedBy(algorithm: SignatureAlgorithm, { key }: JsonWebKey, signed: Buffer, signature: Buffer): boolean {
  try {
    switch (algorithm) {
      case "RS256":
        return verify("sha256", signed, key, signature);
      case "ES256":
        return verify("sha256", signed, { key, dsaEncoding: "ieee-p1363" }, signature);
      case "EdDSA":
        return verify(null, signed, key, signature);
    }
  } catch {
    return false;
  }
}

/** Seconds since 1970, within what a date can be. */
function isTime(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= 8.64e12;
}

function objectOf(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return value !== null && typeof value === "object" && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function invalid(reason: string): TokenVerdict {
  return { outcome: "invalid", reason };
}
