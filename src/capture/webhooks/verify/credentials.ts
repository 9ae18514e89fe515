/** Callers that show a password or a token, and callers that show nothing. */
import { createHash } from "node:crypto";
import { MillraceError } from "../../../base/errors.ts";
import type { WebhookVerifier } from "../../../catalog/definitions.ts";
import { accepted, headerOf, isSame, refused, type Secrets, secretsOf, verifierOf } from "./signature.ts";

export interface BasicAuthOptions {
  readonly user: string;
  readonly password: Secrets;
}

/** `Authorization: Basic …` (RFC 7617). The header is not kept. */
export function basicAuth({ user, password }: BasicAuthOptions): WebhookVerifier {
  if (typeof user !== "string" || user === "" || user.includes(":")) {
    throw new MillraceError("DEFINITION_INVALID", "basicAuth needs a user, whose name has no colon");
  }
  const right = secretsOf("basicAuth", password).map((one) => digest(Buffer.from(`${user}:${one}`)));
  return verifierOf("basicAuth", {
    mediaTypes: null,
    authenticate: 'Basic realm="millrace", charset="UTF-8"',
    verify(request) {
      const text = /^basic +([A-Za-z0-9+/=_-]+) *$/i.exec(headerOf(request, "authorization") ?? "")?.[1];
      if (text === undefined) return refused("it has no header authorization: Basic …");
      return isOneOf(Buffer.from(text, "base64"), right) ? accepted : refused("its user or password is not ours");
    },
  });
}

export interface BearerTokenOptions {
  /** Another header that holds the token and nothing else. */
  readonly header?: string;
}

/** `Authorization: Bearer …` (RFC 6750), or the token alone in another header. The header is not kept. */
export function bearerToken(token: Secrets, { header }: BearerTokenOptions = {}): WebhookVerifier {
  const right = secretsOf("bearerToken", token).map((one) => digest(Buffer.from(one)));
  const name = header?.toLowerCase();
  return verifierOf("bearerToken", {
    mediaTypes: null,
    authenticate: name === undefined ? 'Bearer realm="millrace"' : null,
    verify(request) {
      const text =
        name === undefined
          ? /^bearer +(\S+) *$/i.exec(headerOf(request, "authorization") ?? "")?.[1]
          : headerOf(request, name);
      if (text === undefined) return refused(`it has no token in its header ${name ?? "authorization"}`);
      return isOneOf(Buffer.from(text, "latin1"), right) ? accepted : refused("its token is not ours");
    },
  });
}

/** Takes what anybody sends. Pages of other sites and foreign host names are refused, as at every other path. */
export function noVerification(): WebhookVerifier {
  return verifierOf("noVerification", { mediaTypes: null, verifies: false, verify: () => accepted });
}

/** Equal lengths by hashing, and all of them looked at. */
function isOneOf(given: Buffer, right: readonly Buffer[]): boolean {
  const hash = digest(given);
  let found = false;
  for (const one of right) if (isSame(hash, one)) found = true;
  return found;
}

function digest(bytes: Buffer): Buffer {
  return createHash("sha256").update(bytes).digest();
}
