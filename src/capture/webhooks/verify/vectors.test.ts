/** Signatures that the vendors have published, in their documentation or the tests of their own libraries. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { WebhookRequest, WebhookVerifier } from "../../../catalog/definitions.ts";
import { ed25519Signature } from "./ed25519.ts";
import { hmacSignature } from "./hmac.ts";
import { standardWebhooks, svixSignature } from "./standard-webhooks.ts";
import { twilioSignature } from "./twilio.ts";
import { githubSignature, metaSignature, slackSignature, zoomSignature } from "./vendors.ts";

interface Sent {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
  readonly atSeconds?: number;
  readonly search?: string;
}

function isVerified(verifier: WebhookVerifier, { headers, body, atSeconds = 0, search = "" }: Sent): boolean {
  const request: WebhookRequest = {
    method: "POST",
    search,
    headers,
    body: Buffer.from(body),
    nowMs: atSeconds * 1_000,
  };
  return verifier.verify(request).ok;
}

/** The vector is taken; with any bit of its body turned, or another secret, it is not. */
function holds(verifier: WebhookVerifier, other: WebhookVerifier, sent: Sent): void {
  assert.ok(isVerified(verifier, sent), "the vendor's own vector");
  assert.ok(!isVerified(other, sent), "another secret");
  const turned = Buffer.from(sent.body);
  if (turned.length > 0) {
    turned[turned.length >> 1] = (turned[turned.length >> 1] as number) ^ 1;
    assert.ok(!isVerified(verifier, { ...sent, body: turned }), "another body");
  } else assert.ok(!isVerified(verifier, { ...sent, body: "x" }), "another body");
}

// github.com/standard-webhooks/standard-webhooks and docs.svix.com/receiving/verifying-payloads/how-manual
const svixSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const svixOther = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx";
const svix = {
  id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
  time: "1614265330",
  body: '{"test": 2432232314}',
  signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
};

function svixSent(prefix: string, signature = svix.signature, atSeconds = Number(svix.time)): Sent {
  const headers = {
    [`${prefix}-id`]: svix.id,
    [`${prefix}-timestamp`]: svix.time,
    [`${prefix}-signature`]: signature,
  };
  return { headers, body: svix.body, atSeconds };
}

test("a call of Standard Webhooks is verified as its specification has it", () => {
  holds(standardWebhooks(svixSecret), standardWebhooks(svixOther), svixSent("webhook"));
  assert.ok(isVerified(standardWebhooks(svixSecret.slice("whsec_".length)), svixSent("webhook")), "without whsec_");
  const several = `v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,abc ${svix.signature}`;
  assert.ok(isVerified(standardWebhooks([svixOther, svixSecret]), svixSent("webhook", several)), "while keys rotate");
  for (const skew of [-301, 301]) {
    assert.ok(!isVerified(standardWebhooks(svixSecret), svixSent("webhook", svix.signature, Number(svix.time) + skew)));
  }
});

test("a call of Svix is verified by its own headers and by the standard's", () => {
  for (const prefix of ["svix", "webhook"]) {
    holds(svixSignature(svixSecret), svixSignature(svixOther), svixSent(prefix));
  }
});

test("a delivery of GitHub is verified as its documentation has it", () => {
  holds(githubSignature("It's a Secret to Everybody"), githubSignature("It's a secret to everybody"), {
    headers: { "x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17" },
    body: "Hello, World!",
  });
  assert.ok(
    isVerified(metaSignature("It's a Secret to Everybody", { verifyToken: "t" }), {
      headers: { "x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17" },
      body: "Hello, World!",
    }),
  );
});

test("a request of Slack is verified as its documentation has it", () => {
  const sent: Sent = {
    headers: {
      "x-slack-request-timestamp": "1531420618",
      "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    },
    body:
      "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&" +
      "channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&" +
      "response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&" +
      "trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
    atSeconds: 1_531_420_618,
  };
  holds(slackSignature("8f742231b10e8888abcd99yyyzzz85a5"), slackSignature("8f742231b10e8888abcd99yyyzzz85a6"), sent);
  assert.ok(!isVerified(slackSignature("8f742231b10e8888abcd99yyyzzz85a5"), { ...sent, atSeconds: 1_531_420_919 }));
  assert.ok(!isVerified(zoomSignature("8f742231b10e8888abcd99yyyzzz85a5"), sent), "Zoom has headers of its own");
});

test("a call of Twilio is verified as its library's tests have it, with and without the port", () => {
  // twilio-node, spec/validation.spec.js
  const body = new URLSearchParams({
    ToCountry: "US",
    CallSid: "CA1234567890ABCDE",
    Caller: "+14158675309",
    Digits: "1234",
    From: "+14158675309",
    To: "+18005551212",
  });
  body.delete("ToCountry");
  const url = "https://mycompany.com/myapp.php";
  const sent: Sent = {
    headers: { "x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8=" },
    body: body.toString(),
    search: "foo=1&bar=2",
  };
  holds(twilioSignature("12345", { url }), twilioSignature("12346", { url }), sent);
  assert.ok(!isVerified(twilioSignature("12345", { url: "https://mycompany.com/other" }), sent));
  const json: Sent = {
    headers: { "x-twilio-signature": "a9nBmqA0ju/hNViExpshrM61xv4=" },
    body: '{"property": "value", "boolean": true}',
    search: "foo=1&bar=2&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620",
  };
  holds(twilioSignature("12345", { url }), twilioSignature("12346", { url }), json);
});

test("an HMAC in any header is verified: RFC 4231, test case 2", () => {
  const mac = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
  const body = "what do ya want for nothing?";
  holds(hmacSignature({ secret: "Jefe", header: "X-Mac" }), hmacSignature({ secret: "Jeff", header: "X-Mac" }), {
    headers: { "x-mac": mac },
    body,
  });
  const options = { header: "X-Mac", encoding: "base64", prefix: "mac=", algorithm: "sha512" } as const;
  const mac512 =
    "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
  holds(hmacSignature({ ...options, secret: "Jefe" }), hmacSignature({ ...options, secret: "Jeff" }), {
    headers: { "x-mac": `mac=${Buffer.from(mac512, "hex").toString("base64")}` },
    body,
  });
});

test("an ed25519 signature is verified: RFC 8032, section 7.1, tests 2 and 3", () => {
  const second = {
    publicKey: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    signature:
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    message: "72",
  };
  const third = {
    publicKey: "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    signature:
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    message: "af82",
  };
  for (const [one, other] of [
    [second, third],
    [third, second],
  ] as const) {
    const of = (publicKey: string) => ed25519Signature({ publicKey, header: "X-Sig" });
    const body = Buffer.from(one.message, "hex");
    holds(of(one.publicKey), of(other.publicKey), { headers: { "x-sig": one.signature }, body });
    const base64 = Buffer.from(one.signature, "hex").toString("base64");
    assert.ok(
      isVerified(of(Buffer.from(one.publicKey, "hex").toString("base64")), { headers: { "x-sig": base64 }, body }),
    );
  }
});
