/**
 * Twilio's `X-Twilio-Signature` (twilio.com/docs/usage/security): base64 HMAC-SHA1 over the address that Twilio called,
 * followed by the names and values of the form, sorted. A body that is no form is named by its SHA-256 in the address.
 */
import { createHash } from "node:crypto";
import { MillraceError } from "../../../base/errors.ts";
import type { WebhookVerifier } from "../../../catalog/definitions.ts";
import {
  accepted,
  base64,
  headerOf,
  hex,
  isSame,
  isSignedBy,
  jsonAndForm,
  keysOf,
  memberOf,
  refused,
  type Secrets,
  secretsOf,
  verifierOf,
} from "./signature.ts";

export interface TwilioOptions {
  /** The address that was given to Twilio, without a query: proxies change what this process sees of it. */
  readonly url: string;
}

export function twilioSignature(authToken: Secrets, options: TwilioOptions): WebhookVerifier {
  const keys = keysOf(secretsOf("twilioSignature", authToken));
  const addresses = addressesOf(options?.url);
  return verifierOf("twilioSignature", {
    mediaTypes: jsonAndForm,
    // Twilio takes what it is answered for TwiML.
    answer: "none",
    keepHeaders: ["x-twilio-signature", "i-twilio-idempotency-token"],
    id: (event, request) => headerOf(request, "i-twilio-idempotency-token") ?? statusId(event()),
    verify(request) {
      const signature = base64(headerOf(request, "x-twilio-signature") ?? "");
      if (!signature) return refused("its header x-twilio-signature is missing or is no signature");
      const query = request.search === "" ? "" : `?${request.search}`;
      const bodyHash = new URLSearchParams(request.search).get("bodySHA256");
      if (bodyHash !== null && !isBody(bodyHash, request.body))
        return refused("its body is not the one that was signed");
      const parameters = bodyHash === null ? parametersOf(request.body) : "";
      // Twilio signs with the port or without it, whichever it has seen.
      const isRight = addresses.some((url) => isSignedBy(keys, [signature], [`${url}${query}${parameters}`], "sha1"));
      return isRight ? accepted : refused("its signature is not ours: is the address the one that Twilio calls?");
    },
  });
}

/** A message or call is told of once per status. */
function statusId(event: unknown): string | undefined {
  const sid = memberOf(event, "MessageSid") ?? memberOf(event, "CallSid");
  const status = memberOf(event, "MessageStatus") ?? memberOf(event, "CallStatus") ?? memberOf(event, "SmsStatus");
  return typeof sid === "string" && typeof status === "string" ? `${sid}/${status}` : undefined;
}

function addressesOf(text: unknown): readonly string[] {
  const url = typeof text === "string" && URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.search !== "" || url.hash !== "") {
    throw new MillraceError(
      "DEFINITION_INVALID",
      `twilioSignature needs the address that Twilio calls, not ${JSON.stringify(text)}`,
      {
        hint: 'Write twilioSignature(token, { url: "https://shop.example/v1/hooks/twilio" }).',
      },
    );
  }
  const { protocol, hostname, port, pathname } = url;
  const explicit = port === "" ? (protocol === "https:" ? "443" : "80") : port;
  return [`${protocol}//${hostname}${pathname}`, `${protocol}//${hostname}:${explicit}${pathname}`];
}

/** Sorted by name; a value that a name has twice counts once, as in Twilio's own libraries. */
function parametersOf(body: Buffer): string {
  const values = new Map<string, Set<string>>();
  for (const [name, value] of new URLSearchParams(body.toString())) {
    const known = values.get(name);
    if (known) known.add(value);
    else values.set(name, new Set([value]));
  }
  const names = [...values.keys()].sort();
  return names
    .map((name) =>
      [...(values.get(name) ?? [])]
        .sort()
        .map((value) => name + value)
        .join(""),
    )
    .join("");
}

function isBody(text: string, body: Buffer): boolean {
  const wanted = hex(text);
  return wanted !== undefined && isSame(wanted, createHash("sha256").update(body).digest());
}
