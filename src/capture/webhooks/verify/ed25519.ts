/** Calls that are signed with a private key (ed25519, RFC 8032), and Discord's, which are. */
import { createPublicKey, type KeyObject, verify as verifyBytes } from "node:crypto";
import { MillraceError } from "../../../base/errors.ts";
import type { WebhookValue, WebhookVerifier } from "../../../catalog/definitions.ts";
import {
  accepted,
  base64,
  headerName,
  headerOf,
  hex,
  json,
  memberOf,
  refused,
  type Secrets,
  secretsOf,
  timeFault,
  toleranceMsOf,
  verifierOf,
} from "./signature.ts";

export interface Ed25519Options {
  /** 32 bytes in hex or base64, or PEM; several while one is replaced. */
  readonly publicKey: Secrets;
  /** The header with the signature, in hex or base64. */
  readonly header: string;
  /** A header with a time in Unix seconds, which is signed in front of the body. */
  readonly timestampHeader?: string;
  /** Between time and body; nothing. */
  readonly separator?: string;
  readonly tolerance?: string;
  /** A header with the vendor's id. */
  readonly idHeader?: string;
}

export function ed25519Signature(options: Ed25519Options): WebhookVerifier {
  const name = "ed25519Signature";
  const { header, timestampHeader, separator = "", tolerance, idHeader } = options;
  const keys = secretsOf(name, options.publicKey).map((text) => publicKeyOf(name, text));
  const toleranceMs = toleranceMsOf(name, tolerance);
  const signatureName = headerName(name, header);
  const timeName = timestampHeader === undefined ? undefined : headerName(name, timestampHeader);
  const idName = idHeader === undefined ? undefined : headerName(name, idHeader);
  return verifierOf(name, {
    mediaTypes: null,
    keepHeaders: [signatureName, timeName, idName].filter((one) => one !== undefined),
    id: (_, request) => (idName === undefined ? undefined : headerOf(request, idName)),
    verify(request) {
      const text = headerOf(request, signatureName);
      const signature = text === undefined ? undefined : (signatureOf(text) ?? undefined);
      if (!signature) return refused(`its header ${signatureName} is missing or is no signature`);
      let signed = request.body;
      if (timeName !== undefined) {
        const time = headerOf(request, timeName);
        const fault = timeFault(time, request.nowMs, toleranceMs);
        if (fault !== undefined) return refused(fault);
        signed = Buffer.concat([Buffer.from(`${time}${separator}`), request.body]);
      }
      const isRight = keys.some((key) => verifyBytes(null, signed, key, signature));
      return isRight ? accepted : refused("its signature is not of a key that is known");
    },
  });
}

/** Interactions of Discord; its PING is answered. */
export function discordSignature(publicKey: Secrets, options: { readonly tolerance?: string } = {}): WebhookVerifier {
  const inner = ed25519Signature({
    publicKey,
    header: "x-signature-ed25519",
    timestampHeader: "x-signature-timestamp",
    ...options,
  });
  return Object.freeze({
    ...inner,
    name: "discordSignature",
    mediaTypes: json,
    id: (event: WebhookValue) => memberOf(event(), "id"),
    challenge: {
      at: "verified",
      answer: (event: WebhookValue) =>
        memberOf(event(), "type") === 1 ? { status: 200, type: "application/json", body: '{"type":1}' } : undefined,
    },
  } as const);
}

/** Throws `DEFINITION_INVALID`. */
export function publicKeyOf(verifier: string, text: string): KeyObject {
  try {
    if (text.includes("BEGIN PUBLIC KEY")) {
      const key = createPublicKey(text);
      if (key.asymmetricKeyType === "ed25519") return key;
    }
    const bytes = /^[0-9a-f]{64}$/i.test(text) ? hex(text) : base64(text);
    if (bytes?.length === 32) {
      return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: bytes.toString("base64url") }, format: "jwk" });
    }
  } catch {
    // Told below, without the text.
  }
  throw new MillraceError("DEFINITION_INVALID", `a key of ${verifier} is no public ed25519 key`, {
    hint: "Give its 32 bytes in hex or base64, or the PEM.",
  });
}

function signatureOf(text: string): Buffer | undefined {
  const bytes = /^[0-9a-f]{128}$/i.test(text) ? hex(text) : base64(text);
  return bytes?.length === 64 ? bytes : undefined;
}
