/**
 * Standard Webhooks (github.com/standard-webhooks/standard-webhooks), and Svix, which it grew out of: the base64 HMAC
 * `v1` or the ed25519 signature `v1a` over `id.timestamp.body`, several in one header while secrets are replaced.
 */
import { type KeyObject, verify as verifyBytes } from "node:crypto";
import { MillraceError } from "../../../base/errors.ts";
import type { WebhookVerifier } from "../../../catalog/definitions.ts";
import { publicKeyOf } from "./ed25519.ts";
import {
  accepted,
  base64,
  headerOf,
  isSignedBy,
  keysOf,
  refused,
  type Secrets,
  secretsOf,
  signaturesMax,
  type ToleranceOptions,
  timeFault,
  toleranceMsOf,
  verifierOf,
} from "./signature.ts";

/** Secrets as the vendor shows them: `whsec_…` (or the base64 alone), public keys `whpk_…`. */
export function standardWebhooks(secret: Secrets, options: ToleranceOptions = {}): WebhookVerifier {
  return ofFamily("standardWebhooks", ["webhook"], secret, options);
}

/** Takes the headers `svix-…` and `webhook-…`, as Svix's own libraries do. */
export function svixSignature(secret: Secrets, options: ToleranceOptions = {}): WebhookVerifier {
  return ofFamily("svixSignature", ["svix", "webhook"], secret, options);
}

function ofFamily(
  name: string,
  prefixes: readonly string[],
  secret: Secrets,
  { tolerance }: ToleranceOptions,
): WebhookVerifier {
  const secrets = secretsOf(name, secret);
  const keys = keysOf(secrets.filter((one) => !one.startsWith("whpk_")).map((one) => keyBytes(name, one)));
  const publicKeys = secrets
    .filter((one) => one.startsWith("whpk_"))
    .map((one) => publicKeyOf(name, one.slice("whpk_".length)));
  const toleranceMs = toleranceMsOf(name, tolerance);
  return verifierOf(name, {
    keepHeaders: prefixes.flatMap((prefix) => [`${prefix}-id`, `${prefix}-timestamp`, `${prefix}-signature`]),
    id: (_, request) => prefixes.map((prefix) => headerOf(request, `${prefix}-id`)).find((id) => id !== undefined),
    verify(request) {
      const prefix = prefixes.find((one) => headerOf(request, `${one}-signature`) !== undefined) ?? prefixes[0];
      const id = headerOf(request, `${prefix}-id`);
      const time = headerOf(request, `${prefix}-timestamp`);
      const list = headerOf(request, `${prefix}-signature`);
      if (id === undefined || time === undefined || list === undefined) {
        return refused(`it needs the headers ${prefix}-id, ${prefix}-timestamp and ${prefix}-signature`);
      }
      const fault = timeFault(time, request.nowMs, toleranceMs);
      if (fault !== undefined) return refused(fault);
      const { v1, v1a } = signaturesIn(list);
      const parts = [Buffer.from(`${id}.${time}.`, "latin1"), request.body];
      const isRight = isSignedBy(keys, v1, parts) || isVerifiedBy(publicKeys, v1a, parts);
      return isRight ? accepted : refused("its signature is not ours");
    },
  });
}

function keyBytes(name: string, secret: string): Buffer {
  const bytes = base64(secret.startsWith("whsec_") ? secret.slice("whsec_".length) : secret);
  if (bytes && bytes.length > 0) return bytes;
  throw new MillraceError("DEFINITION_INVALID", `a secret of ${name} is no base64`, {
    hint: "Copy it as the vendor shows it, with whsec_ in front.",
  });
}

function signaturesIn(list: string): { readonly v1: Buffer[]; readonly v1a: Buffer[] } {
  const found = { v1: [] as Buffer[], v1a: [] as Buffer[] };
  for (const one of list.split(" ").slice(0, signaturesMax)) {
    const [version, text = ""] = one.split(",", 2);
    const bytes = base64(text);
    if (bytes && (version === "v1" || version === "v1a")) found[version].push(bytes);
  }
  return found;
}

function isVerifiedBy(keys: readonly KeyObject[], signatures: readonly Buffer[], parts: readonly Buffer[]): boolean {
  if (keys.length === 0 || signatures.length === 0) return false;
  const signed = Buffer.concat(parts);
  return keys.some((key) => signatures.some((signature) => verifyBytes(null, signed, key, signature)));
}
