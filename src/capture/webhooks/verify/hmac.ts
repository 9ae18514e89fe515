/** Any vendor that signs with an HMAC: which header, which hash, how it is written down. */
import { MillraceError } from "../../../base/errors.ts";
import { refuseUnknown } from "../../../catalog/define/names.ts";
import type { WebhookVerifier } from "../../../catalog/definitions.ts";
import {
  accepted,
  base64,
  type HmacAlgorithm,
  headerName,
  headerOf,
  hex,
  isSignedBy,
  keysOf,
  refused,
  type Secrets,
  secretsOf,
  timeFault,
  toleranceMsOf,
  verifierOf,
} from "./signature.ts";

export interface HmacOptions {
  readonly secret: Secrets;
  readonly header: string;
  /** `sha256` */
  readonly algorithm?: HmacAlgorithm;
  /** `hex` */
  readonly encoding?: "hex" | "base64";
  /** What stands in front of the signature: `sha256=`. */
  readonly prefix?: string;
  /** A header with a time in Unix seconds, which is signed in front of the body. */
  readonly timestampHeader?: string;
  /** Between time and body; `.`. */
  readonly separator?: string;
  readonly tolerance?: string;
  /** A header with the vendor's id. */
  readonly idHeader?: string;
}

const algorithms: readonly string[] = ["sha1", "sha256", "sha384", "sha512"];
const known = [
  "secret",
  "header",
  "algorithm",
  "encoding",
  "prefix",
  "timestampHeader",
  "separator",
  "tolerance",
  "idHeader",
] as const;

export function hmacSignature(options: HmacOptions): WebhookVerifier {
  const name = "hmacSignature";
  refuseUnknown(name, options, known);
  const { algorithm = "sha256", encoding = "hex", prefix = "", separator = ".", timestampHeader, idHeader } = options;
  if (!algorithms.includes(algorithm) || (encoding !== "hex" && encoding !== "base64")) {
    throw new MillraceError("DEFINITION_INVALID", `${name} knows no ${JSON.stringify(algorithm)} in ${encoding}`, {
      hint: `Algorithms are ${algorithms.join(", ")}; encodings are hex and base64.`,
    });
  }
  const keys = keysOf(secretsOf(name, options.secret));
  const toleranceMs = toleranceMsOf(name, options.tolerance);
  const signatureName = headerName(name, options.header);
  const timeName = timestampHeader === undefined ? undefined : headerName(name, timestampHeader);
  const idName = idHeader === undefined ? undefined : headerName(name, idHeader);
  const decode = encoding === "hex" ? hex : base64;
  return verifierOf(name, {
    mediaTypes: null,
    keepHeaders: [signatureName, timeName, idName].filter((one) => one !== undefined),
    id: (_, request) => (idName === undefined ? undefined : headerOf(request, idName)),
    verify(request) {
      const text = headerOf(request, signatureName);
      const signature = text?.startsWith(prefix) ? decode(text.slice(prefix.length)) : undefined;
      if (!signature) return refused(`its header ${signatureName} is missing or is no signature`);
      const parts: (string | Buffer)[] = [request.body];
      if (timeName !== undefined) {
        const time = headerOf(request, timeName);
        const fault = timeFault(time, request.nowMs, toleranceMs);
        if (fault !== undefined) return refused(fault);
        parts.unshift(`${time}${separator}`);
      }
      return isSignedBy(keys, [signature], parts, algorithm) ? accepted : refused("its signature is not ours");
    },
  });
}
