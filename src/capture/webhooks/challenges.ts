/**
 * Calls by which a vendor asks whether its address is minded by whom it should be. What is sent back is what the vendor
 * sent, as plain text and bounded, so that nobody can have a page made of it.
 */
import { createHmac } from "node:crypto";
import type { WebhookChallenge, WebhookChallengeAnswer } from "../../catalog/definitions.ts";
import { isSame, memberOf, type Secrets, secretsOf } from "./verify/signature.ts";

const echoMax = 4_096;

/** Facebook, Instagram, WhatsApp, and WebSub hubs with a verify token: GET with `hub.challenge`. */
export function metaChallenge({ verifyToken }: { readonly verifyToken: Secrets }): WebhookChallenge {
  const tokens = secretsOf("metaChallenge", verifyToken).map((token) => keyed(token));
  return {
    at: "open",
    answer(_, { method, search }) {
      const query = new URLSearchParams(search);
      const given = query.get("hub.verify_token");
      if (method !== "GET" || query.get("hub.mode") !== "subscribe" || given === null) return undefined;
      const hash = keyed(given);
      let found = false;
      for (const token of tokens) if (isSame(hash, token)) found = true;
      return found ? echo(query.get("hub.challenge")) : undefined;
    },
  };
}

/** Slack's `url_verification`, which is signed as every event is. */
export function slackChallenge(): WebhookChallenge {
  return {
    at: "verified",
    answer: (event) =>
      memberOf(event(), "type") === "url_verification" ? echo(memberOf(event(), "challenge")) : undefined,
  };
}

/** Dropbox: GET with `challenge`. */
export function dropboxChallenge(): WebhookChallenge {
  return {
    at: "open",
    answer: (_, { method, search }) =>
      method === "GET" ? echo(new URLSearchParams(search).get("challenge")) : undefined,
  };
}

/** Microsoft Graph: POST with `validationToken`. */
export function graphChallenge(): WebhookChallenge {
  return {
    at: "open",
    answer: (_, { method, search }) =>
      method === "POST" ? echo(new URLSearchParams(search).get("validationToken")) : undefined,
  };
}

/** Okta's event hooks: GET with a header. */
export function oktaChallenge(): WebhookChallenge {
  return {
    at: "open",
    answer(_, { method, headers }) {
      const given = headers["x-okta-verification-challenge"];
      if (method !== "GET" || typeof given !== "string" || given.length > echoMax) return undefined;
      return { status: 200, type: "application/json", body: JSON.stringify({ verification: given }) };
    },
  };
}

/** Zoom's `endpoint.url_validation`: the token comes back with its HMAC. */
export function zoomChallenge(secretToken: Secrets): WebhookChallenge {
  const [secret = ""] = secretsOf("zoomChallenge", secretToken);
  return {
    at: "verified",
    answer(read) {
      const event = read();
      if (memberOf(event, "event") !== "endpoint.url_validation") return undefined;
      const plainToken = memberOf(memberOf(event, "payload"), "plainToken");
      if (typeof plainToken !== "string" || plainToken.length > echoMax) return undefined;
      const encryptedToken = createHmac("sha256", secret).update(plainToken).digest("hex");
      return { status: 200, type: "application/json", body: JSON.stringify({ plainToken, encryptedToken }) };
    },
  };
}

function echo(text: unknown): WebhookChallengeAnswer | undefined {
  if (typeof text !== "string" || text === "" || text.length > echoMax) return undefined;
  return { status: 200, type: "text/plain; charset=utf-8", body: text };
}

/** Equal lengths for the comparison. */
function keyed(text: string): Buffer {
  return createHmac("sha256", "millrace").update(text).digest();
}
