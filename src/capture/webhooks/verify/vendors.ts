/** Vendors whose signature is an HMAC over the body, or over a time and the body, each as its documentation has it. */
import type { WebhookVerifier } from "../../../catalog/definitions.ts";
import { metaChallenge, slackChallenge, zoomChallenge } from "../challenges.ts";
import {
  accepted,
  base64,
  headerOf,
  hex,
  isSignedBy,
  json,
  jsonAndForm,
  keysOf,
  memberOf,
  refused,
  type Secrets,
  secretsOf,
  signaturesMax,
  type ToleranceOptions,
  timeFault,
  toleranceMsOf,
  verifierOf,
} from "./signature.ts";

/** `Stripe-Signature: t=…,v1=…` over `t.body` (docs.stripe.com/webhooks/signature); other schemes in it are passed over. */
export function stripeSignature(secret: Secrets, { tolerance }: ToleranceOptions = {}): WebhookVerifier {
  const keys = keysOf(secretsOf("stripeSignature", secret));
  const toleranceMs = toleranceMsOf("stripeSignature", tolerance);
  return verifierOf("stripeSignature", {
    keepHeaders: ["stripe-signature"],
    id: (event) => memberOf(event(), "id"),
    verify(request) {
      const header = headerOf(request, "stripe-signature");
      if (header === undefined) return refused("it has no header stripe-signature");
      let time: string | undefined;
      const signatures: Buffer[] = [];
      for (const part of header.split(",").slice(0, 2 * signaturesMax)) {
        const equals = part.indexOf("=");
        const scheme = part.slice(0, equals).trim();
        const text = part.slice(equals + 1).trim();
        if (scheme === "t") time ??= text;
        else if (scheme === "v1" && signatures.length < signaturesMax) {
          const bytes = hex(text);
          if (bytes) signatures.push(bytes);
        }
      }
      const fault = timeFault(time, request.nowMs, toleranceMs);
      if (fault !== undefined) return refused(fault);
      return isSignedBy(keys, signatures, [`${time}.`, request.body]) ? accepted : refused("its signature is not ours");
    },
  });
}

/**
 * `X-Hub-Signature-256: sha256=…` over the body (docs.github.com, validating webhook deliveries). The delivery's id is
 * not signed: who has recorded a call can send it again under another id; `id: "body"` ends that.
 */
export function githubSignature(secret: Secrets): WebhookVerifier {
  const keys = keysOf(secretsOf("githubSignature", secret));
  return verifierOf("githubSignature", {
    mediaTypes: jsonAndForm,
    keepHeaders: ["x-github-event", "x-github-delivery", "x-github-hook-id", "x-hub-signature-256"],
    id: (_, request) => headerOf(request, "x-github-delivery"),
    verify: (request) => hubVerdict(keys, request),
  });
}

/** Facebook, Instagram, WhatsApp: signed as GitHub's; the subscription is confirmed with the verify token. */
export function metaSignature(appSecret: Secrets, options: { readonly verifyToken: Secrets }): WebhookVerifier {
  const keys = keysOf(secretsOf("metaSignature", appSecret));
  return verifierOf("metaSignature", {
    keepHeaders: ["x-hub-signature-256"],
    challenge: metaChallenge(options),
    verify: (request) => hubVerdict(keys, request),
  });
}

function hubVerdict(keys: ReturnType<typeof keysOf>, request: Parameters<WebhookVerifier["verify"]>[0]) {
  const text = /^sha256=(.+)$/i.exec(headerOf(request, "x-hub-signature-256") ?? "")?.[1];
  const signature = text === undefined ? undefined : hex(text);
  if (!signature) return refused("its header x-hub-signature-256 is missing or is no signature");
  return isSignedBy(keys, [signature], [request.body]) ? accepted : refused("its signature is not ours");
}

/** `X-Shopify-Hmac-Sha256`, base64 over the body (shopify.dev, verify deliveries). The delivery's id is not signed. */
export function shopifySignature(secret: Secrets): WebhookVerifier {
  const keys = keysOf(secretsOf("shopifySignature", secret));
  return verifierOf("shopifySignature", {
    keepHeaders: [
      "x-shopify-topic",
      "x-shopify-shop-domain",
      "x-shopify-webhook-id",
      "x-shopify-event-id",
      "x-shopify-api-version",
      "x-shopify-triggered-at",
      "x-shopify-hmac-sha256",
    ],
    id: (_, request) => headerOf(request, "x-shopify-webhook-id"),
    verify(request) {
      const signature = base64(headerOf(request, "x-shopify-hmac-sha256") ?? "");
      if (!signature) return refused("its header x-shopify-hmac-sha256 is missing or is no signature");
      return isSignedBy(keys, [signature], [request.body]) ? accepted : refused("its signature is not ours");
    },
  });
}

/** `X-Slack-Signature: v0=…` over `v0:time:body` (api.slack.com, verifying requests). Events, commands and actions. */
export function slackSignature(signingSecret: Secrets, { tolerance }: ToleranceOptions = {}): WebhookVerifier {
  const keys = keysOf(secretsOf("slackSignature", signingSecret));
  const toleranceMs = toleranceMsOf("slackSignature", tolerance);
  return verifierOf("slackSignature", {
    mediaTypes: jsonAndForm,
    // What a command is answered is shown to the person who typed it.
    answer: "none",
    keepHeaders: ["x-slack-signature", "x-slack-request-timestamp", "x-slack-retry-num", "x-slack-retry-reason"],
    id: (event) => memberOf(event(), "event_id") ?? memberOf(event(), "trigger_id"),
    challenge: slackChallenge(),
    verify: (request) => timedVerdict(keys, request, "x-slack-signature", "x-slack-request-timestamp", toleranceMs),
  });
}

/** `x-zm-signature: v0=…` over `v0:time:body`; the validation of the endpoint is answered with the secret token. */
export function zoomSignature(secretToken: Secrets, { tolerance }: ToleranceOptions = {}): WebhookVerifier {
  const keys = keysOf(secretsOf("zoomSignature", secretToken));
  const toleranceMs = toleranceMsOf("zoomSignature", tolerance);
  return verifierOf("zoomSignature", {
    mediaTypes: json,
    keepHeaders: ["x-zm-signature", "x-zm-request-timestamp", "x-zm-trackingid"],
    challenge: zoomChallenge(secretToken),
    verify: (request) => timedVerdict(keys, request, "x-zm-signature", "x-zm-request-timestamp", toleranceMs),
  });
}

function timedVerdict(
  keys: ReturnType<typeof keysOf>,
  request: Parameters<WebhookVerifier["verify"]>[0],
  signatureHeader: string,
  timeHeader: string,
  toleranceMs: number,
) {
  const text = /^v0=(.+)$/.exec(headerOf(request, signatureHeader) ?? "")?.[1];
  const signature = text === undefined ? undefined : hex(text);
  if (!signature) return refused(`its header ${signatureHeader} is missing or is no signature`);
  const time = headerOf(request, timeHeader);
  const fault = timeFault(time, request.nowMs, toleranceMs);
  if (fault !== undefined) return refused(fault);
  const isRight = isSignedBy(keys, [signature], [`v0:${time}:`, request.body]);
  return isRight ? accepted : refused("its signature is not ours");
}
