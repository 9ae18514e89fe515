/**
 * What all verifiers share: secrets that are named in no text, comparisons that take the same time for every wrong
 * signature, and the age of a timestamp.
 *
 * Always true: a secret lives in a closure only, so that printing a definition, or an error about it, shows none.
 */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from "node:crypto";
import { MillraceError } from "../../../base/errors.ts";
import { parseDurationMs } from "../../../base/units.ts";
import type { WebhookRequest, WebhookVerdict, WebhookVerifier } from "../../../catalog/definitions.ts";

/** Several while one is replaced by the next: a call that any of them signed is taken. */
export type Secrets = string | readonly string[];

/** A header's signatures that are looked at. */
export const signaturesMax = 16;
export const accepted: WebhookVerdict = Object.freeze({ ok: true });
export const json = Object.freeze(["application/json"]);
export const jsonAndForm = Object.freeze(["application/json", "application/x-www-form-urlencoded"]);

/** A verifier with what most vendors have in common. */
export function verifierOf(
  name: string,
  parts: Pick<WebhookVerifier, "verify"> & Partial<Omit<WebhookVerifier, "kind" | "name" | "verify">>,
): WebhookVerifier {
  return Object.freeze({
    kind: "verifier",
    name,
    mediaTypes: json,
    keepHeaders: [],
    answer: "json",
    authenticate: null,
    verifies: true,
    id: () => undefined,
    ...parts,
  });
}

export function refused(reason: string): WebhookVerdict {
  return { ok: false, reason };
}

/** Throws `DEFINITION_INVALID` for none, an empty one, or one that is no text: most often a variable that is not set. */
export function secretsOf(verifier: string, given: Secrets): readonly string[] {
  const secrets = typeof given === "string" ? [given] : given;
  const usable = Array.isArray(secrets) && secrets.length > 0 && secrets.length <= signaturesMax;
  if (usable && secrets.every((one) => typeof one === "string" && one !== "")) return secrets;
  throw new MillraceError("DEFINITION_INVALID", `${verifier} needs its secret, or a list of secrets`, {
    hint: "Is the environment variable set? Several secrets are for the time while one replaces the other.",
  });
}

export function keysOf(secrets: readonly (string | Buffer)[]): readonly KeyObject[] {
  return secrets.map((secret) => createSecretKey(typeof secret === "string" ? Buffer.from(secret) : secret));
}

export type HmacAlgorithm = "sha1" | "sha256" | "sha384" | "sha512";

/** True when any of the keys made any of the signatures over `parts`, one after the other. Looks at all of them. */
export function isSignedBy(
  keys: readonly KeyObject[],
  signatures: readonly Buffer[],
  parts: readonly (string | Buffer)[],
  algorithm: HmacAlgorithm = "sha256",
): boolean {
  let found = false;
  for (const key of keys) {
    const hmac = createHmac(algorithm, key);
    for (const part of parts) hmac.update(part);
    const right = hmac.digest();
    for (const signature of signatures) if (isSame(signature, right)) found = true;
  }
  return found;
}

/** The length of a signature is no secret. */
export function isSame(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** The first one where a header was sent twice; undefined where it is missing or empty. */
export function headerOf({ headers }: WebhookRequest, name: string): string | undefined {
  const value = headers[name];
  const text = Array.isArray(value) ? value[0] : value;
  return text === undefined || text === "" ? undefined : text;
}

/** Undefined for what is no hexadecimal text. */
export function hex(text: string): Buffer | undefined {
  return text.length % 2 === 0 && /^[0-9a-f]+$/i.test(text) ? Buffer.from(text, "hex") : undefined;
}

/** With or without padding, of either alphabet; undefined for what is no base64. */
export function base64(text: string): Buffer | undefined {
  return /^[A-Za-z0-9+/_-]+={0,2}$/.test(text) ? Buffer.from(text, "base64") : undefined;
}

export interface ToleranceOptions {
  /** How far the timestamp may be from now; `5m`. */
  readonly tolerance?: string;
}

export function toleranceMsOf(verifier: string, text = "5m"): number {
  const spanMs = parseDurationMs(text, `tolerance of ${verifier}`);
  if (spanMs > 0) return spanMs;
  throw new MillraceError("DEFINITION_INVALID", `${verifier} has a tolerance of ${text}`, {
    hint: "Without one a call that was recorded could be sent again for ever: write 5m.",
  });
}

/** What is wrong with a time in Unix seconds; undefined when it is near enough to now. */
export function timeFault(text: string | undefined, nowMs: number, toleranceMs: number): string | undefined {
  if (text === undefined || !/^\d{1,12}$/.test(text)) return "its timestamp is missing or is no time";
  const ageMs = nowMs - Number(text) * 1_000;
  if (ageMs > toleranceMs) return "its timestamp is too old";
  return ageMs < -toleranceMs ? "its timestamp lies too far ahead" : undefined;
}

/** A member of the event, where the event is an object that has it. */
export function memberOf(event: unknown, name: string): unknown {
  if (typeof event !== "object" || event === null || !Object.hasOwn(event, name)) return undefined;
  return (event as Record<string, unknown>)[name];
}

/** As Node.js has it. Throws `DEFINITION_INVALID`. */
export function headerName(verifier: string, name: unknown): string {
  if (typeof name === "string" && /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$/.test(name)) return name.toLowerCase();
  throw new MillraceError("DEFINITION_INVALID", `${verifier} names a header ${JSON.stringify(name)}, which is none`);
}
