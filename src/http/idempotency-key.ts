/**
 * `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a string of RFC 8941 in quotes, or the same without them, as
 * most clients send it. And what one request is told from another by.
 */
import { createHash } from "node:crypto";
import { MillraceError } from "../base/errors.ts";

const charactersMax = 255;

/** The key itself, whichever way it is written. Throws `IDEMPOTENCY_KEY_INVALID`. */
export function parseIdempotencyKey(header: string): string {
  const text = header.trim();
  const quoted = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/.exec(text)?.[1];
  const key = quoted?.replaceAll(/\\(["\\])/g, "$1") ?? (/^[\x21\x23-\x2b\x2d-\x7e]+$/.test(text) ? text : "");
  if (key.length > 0 && key.length <= charactersMax) return key;
  throw new MillraceError(
    "IDEMPOTENCY_KEY_INVALID",
    `Idempotency-Key is ${JSON.stringify(header.slice(0, 60))}, which is no key`,
    { hint: `Send one text of 1 to ${charactersMax} visible characters, such as a UUID, in quotes or without.` },
  );
}

/** The same for what is the same request: what it says beside its body, and its body as it is without its encoding. */
export function fingerprintOf(parts: readonly (string | number | null)[], body: Buffer): string {
  return createHash("sha256")
    .update(`${JSON.stringify(parts)}\n`)
    .update(body)
    .digest("base64url");
}
