/** Verifiers against the vendors' own signers, and against whoever has no secret. */
import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";
import type { WebhookRequest, WebhookVerdict, WebhookVerifier } from "../../../catalog/definitions.ts";
import { hasErrorCode } from "../error-code.fixture.ts";
import { basicAuth, bearerToken, noVerification } from "./credentials.ts";
import { discordSignature, ed25519Signature } from "./ed25519.ts";
import { hmacSignature } from "./hmac.ts";
import { standardWebhooks, svixSignature } from "./standard-webhooks.ts";
import { twilioSignature } from "./twilio.ts";
import {
  githubSignature,
  metaSignature,
  shopifySignature,
  slackSignature,
  stripeSignature,
  zoomSignature,
} from "./vendors.ts";

const nowSeconds = 1_767_225_600;
const keys = generateKeyPairSync("ed25519");
const rawPublicKey = Buffer.from(String(keys.publicKey.export({ format: "jwk" }).x), "base64url");

function requestOf(headers: WebhookRequest["headers"], body: string | Buffer = "{}", search = ""): WebhookRequest {
  return { method: "POST", search, headers, body: Buffer.from(body), nowMs: nowSeconds * 1_000 };
}

const all: readonly WebhookVerifier[] = [
  standardWebhooks("whsec_c2VjcmV0"),
  standardWebhooks(`whpk_${rawPublicKey.toString("base64")}`),
  svixSignature("whsec_c2VjcmV0"),
  stripeSignature("whsec_x"),
  githubSignature("s"),
  metaSignature("s", { verifyToken: "t" }),
  shopifySignature("s"),
  slackSignature("s"),
  zoomSignature("s"),
  twilioSignature("s", { url: "https://shop.example/v1/hooks/twilio" }),
  hmacSignature({ secret: "s", header: "x-mac", timestampHeader: "x-time", prefix: "v=" }),
  ed25519Signature({ publicKey: rawPublicKey.toString("hex"), header: "x-sig" }),
  discordSignature(rawPublicKey.toString("hex")),
  basicAuth({ user: "u", password: "p" }),
  bearerToken("token"),
  bearerToken("token", { header: "X-Token" }),
];

const headerNames = [
  ...new Set(all.flatMap(({ keepHeaders }) => keepHeaders)),
  "authorization",
  "x-token",
  "x-time",
  "content-type",
];

test("whoever has no secret is refused with a reason, whatever is sent", () => {
  const text = fc.oneof(
    fc.string({ maxLength: 200 }),
    fc.constantFrom(
      `t=${nowSeconds},v1=`,
      `t=${nowSeconds},v1=${"00".repeat(32)}`,
      `v1,${Buffer.alloc(32).toString("base64")}`,
      `v1a,${Buffer.alloc(64).toString("base64")}`,
      `v0=${"00".repeat(32)}`,
      `sha256=${"00".repeat(32)}`,
      "00".repeat(64),
      "Basic dTo=",
      "Bearer x",
      `${nowSeconds}`,
      "v1,".repeat(5_000),
    ),
  );
  const headers = fc.dictionary(fc.constantFrom(...headerNames), fc.oneof(text, fc.array(text, { maxLength: 3 })));
  const search = fc.oneof(fc.string({ maxLength: 60 }), fc.constant("bodySHA256=00"), fc.constant("%"));
  fc.assert(
    fc.property(headers, fc.uint8Array({ maxLength: 100 }), search, (given, body, query) => {
      for (const verifier of all) {
        const verdict: WebhookVerdict = verifier.verify(requestOf(given as never, Buffer.from(body), query));
        assert.ok(verdict.ok === false && verdict.reason.length > 0, verifier.name);
      }
    }),
    { numRuns: 300 },
  );
});

test("calls that Stripe's own library signs are verified, in all forms of its header", () => {
  const { webhooks } = new Stripe("sk_test_none");
  fc.assert(
    fc.property(fc.json(), (payload) => {
      const made = (secret: string) => webhooks.generateTestHeaderString({ payload, secret, timestamp: nowSeconds });
      const header = made("whsec_new");
      const other = header.replace(/.*v1=/, "v1=");
      const right = stripeSignature("whsec_new");
      const isTaken = (text: string, verifier = right) => {
        return verifier.verify(requestOf({ "stripe-signature": text }, payload)).ok;
      };
      assert.ok(isTaken(header));
      assert.ok(isTaken(`${header},v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39`));
      assert.ok(
        isTaken(`t=${nowSeconds},v1=${"00".repeat(32)},${other}`),
        "one signature per secret while they rotate",
      );
      assert.ok(isTaken(header, stripeSignature(["whsec_old", "whsec_new"])));
      assert.ok(!isTaken(header, stripeSignature("whsec_old")));
      assert.ok(!isTaken(header.replace("v1=", "v0=")), "another scheme is none");
      assert.ok(!isTaken(header.replace(`t=${nowSeconds}`, `t=${nowSeconds + 1}`)));
    }),
    { numRuns: 30 },
  );
});

test("calls that the library of Standard Webhooks signs are verified", () => {
  const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
  fc.assert(
    fc.property(fc.json(), fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 40 }), (payload, id) => {
      const signature = new Webhook(secret).sign(id, new Date(nowSeconds * 1_000), payload);
      const headers = { "webhook-id": id, "webhook-timestamp": `${nowSeconds}`, "webhook-signature": signature };
      for (const verifier of [standardWebhooks(secret), svixSignature(secret)]) {
        const request = requestOf(headers, payload);
        assert.ok(verifier.verify(request).ok);
        assert.equal(
          verifier.id(() => undefined, request),
          id,
        );
      }
    }),
    { numRuns: 30 },
  );
});

test("a call of Standard Webhooks that is signed with a private key is verified", () => {
  const signature = sign(null, Buffer.from(`msg_1.${nowSeconds}.{}`), keys.privateKey).toString("base64");
  const headers = {
    "webhook-id": "msg_1",
    "webhook-timestamp": `${nowSeconds}`,
    "webhook-signature": `v1a,${signature}`,
  };
  const verifier = standardWebhooks(["whsec_c2VjcmV0", `whpk_${rawPublicKey.toString("base64")}`]);
  assert.ok(verifier.verify(requestOf(headers)).ok);
  assert.ok(!verifier.verify(requestOf(headers, "{ }")).ok);
  assert.ok(!standardWebhooks("whsec_c2VjcmV0").verify(requestOf(headers)).ok);
});

test("a call of Shopify is verified by the base64 HMAC of its body", () => {
  const body = '{"id":820982911946154508}';
  const mac = createHmac("sha256", "hush").update(body).digest("base64");
  const request = requestOf({ "x-shopify-hmac-sha256": mac, "x-shopify-webhook-id": "b54557e4" }, body);
  assert.ok(shopifySignature(["before", "hush"]).verify(request).ok, "the old secret signs for an hour after rotation");
  assert.ok(!shopifySignature("before").verify(request).ok);
  assert.equal(
    shopifySignature("hush").id(() => undefined, request),
    "b54557e4",
  );
});

test("a timestamp that is too old or too far ahead is refused, and the tolerance is the definition's", () => {
  for (const [skew, tolerance, ok] of [
    [299, "5m", true],
    [301, "5m", false],
    [-301, "5m", false],
    [301, "10m", true],
  ] as const) {
    const time = nowSeconds - skew;
    const mac = createHmac("sha256", "s").update(`${time}.{}`).digest("hex");
    const header = { "stripe-signature": `t=${time},v1=${mac}` };
    assert.equal(stripeSignature("s", { tolerance }).verify(requestOf(header)).ok, ok, `${skew} of ${tolerance}`);
  }
  assert.throws(() => stripeSignature("s", { tolerance: "0s" }), hasErrorCode("DEFINITION_INVALID"));
});

test("Discord's interactions are verified, and its PING is answered", () => {
  const verifier = discordSignature(rawPublicKey.toString("hex"));
  const body = '{"type":1}';
  const signature = sign(null, Buffer.from(`${nowSeconds}${body}`), keys.privateKey).toString("hex");
  const request = requestOf({ "x-signature-ed25519": signature, "x-signature-timestamp": `${nowSeconds}` }, body);
  assert.ok(verifier.verify(request).ok);
  assert.equal(verifier.challenge?.answer(() => JSON.parse(body), request)?.body, '{"type":1}');
  assert.equal(
    verifier.challenge?.answer(() => ({ type: 2 }), request),
    undefined,
  );
});

test("passwords and tokens are taken from their header, any of several, and from nowhere else", () => {
  const login = (text: string) => requestOf({ authorization: `Basic ${Buffer.from(text).toString("base64")}` });
  const basic = basicAuth({ user: "u", password: ["pä:ss", "p"] });
  assert.ok(basic.verify(login("u:pä:ss")).ok && basic.verify(login("u:p")).ok);
  for (const wrong of ["u:", "u", "U:p", "u:p ", ""]) assert.ok(!basic.verify(login(wrong)).ok, wrong);
  assert.ok(bearerToken("t").verify(requestOf({ authorization: "bearer t" })).ok);
  assert.ok(!bearerToken("t").verify(requestOf({ "x-token": "t" })).ok);
  assert.ok(bearerToken("t", { header: "X-Token" }).verify(requestOf({ "x-token": "t" })).ok);
  assert.ok(!bearerToken("t", { header: "X-Token" }).verify(requestOf({ authorization: "Bearer t" })).ok);
  assert.ok(noVerification().verify(requestOf({})).ok);
});

test("a verifier that cannot work is refused where it is written, and no secret is told", () => {
  const secret = "not-base64-and-secret!";
  const wrong = [
    () => standardWebhooks(`whsec_${secret}`),
    () => standardWebhooks([]),
    () => ed25519Signature({ publicKey: secret, header: "x" }),
    () => hmacSignature({ secret: "s", header: "no header" }),
    () => hmacSignature({ secret: "s", header: "x", algorithm: "md5" as never }),
    () => hmacSignature({ secret: "s", header: "x", secrets: "s" } as never),
    () => twilioSignature("s", { url: "/v1/hooks/twilio" }),
    () => twilioSignature("s", undefined as never),
    () => basicAuth({ user: "a:b", password: "p" }),
    () => githubSignature(process.env.NOT_SET as never),
  ];
  for (const make of wrong) {
    assert.throws(make, (error: Error) => {
      return hasErrorCode("DEFINITION_INVALID")(error) && !`${error.stack}${JSON.stringify(error)}`.includes(secret);
    });
  }
});
