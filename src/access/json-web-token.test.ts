import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { BearerExchange, readInitialResponse } from "./bearer-exchange.ts";
import { JsonWebKeys, readJsonWebKeys } from "./json-web-keys.ts";
import { checkToken, defaultTokenRules, type TokenRules } from "./json-web-token.ts";

const nowMs = Date.UTC(2026, 0, 1);
const nowS = nowMs / 1000;
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
const ed = generateKeyPairSync("ed25519");
const jwk = (key: KeyObject, kid: string) => ({ ...key.export({ format: "jwk" }), kid });
const set = JSON.stringify({
  keys: [jwk(rsa.publicKey, "rsa"), jwk(ec.publicKey, "ec"), jwk(ed.publicKey, "ed"), { kty: "oct", k: "AAAA" }],
});

function rulesOf(more: Partial<TokenRules> = {}, text = set, clock = new VirtualClock(nowMs)): TokenRules {
  const keys = new JsonWebKeys({ load: () => Promise.resolve(text), clock });
  return { ...defaultTokenRules, keys, ...more };
}

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

function signed(claims: object, alg = "RS256", header: object = {}): string {
  const text = `${part({ alg, ...header })}.${part(claims)}`;
  const bytes = Buffer.from(text);
  const signatures: Record<string, () => Buffer> = {
    RS256: () => sign("sha256", bytes, rsa.privateKey),
    ES256: () => sign("sha256", bytes, { key: ec.privateKey, dsaEncoding: "ieee-p1363" }),
    EdDSA: () => sign(null, bytes, ed.privateKey),
  };
  return `${text}.${(signatures[alg]?.() ?? Buffer.alloc(0)).toString("base64url")}`;
}

const claims = { sub: "alice", exp: nowS + 60, iss: "https://id.example", aud: ["kafka", "other"] };
const check = (token: string, rules = rulesOf()) => checkToken(token, rules, nowMs);

for (const alg of ["RS256", "ES256", "EdDSA"]) {
  test(`a token signed with ${alg} by a key of the set says who it is and until when`, async () => {
    const verdict = await check(signed(claims, alg));
    assert.deepEqual(verdict, { outcome: "valid", user: "alice", expiresAtMs: nowMs + 60_000, claims });
    const token = signed(claims, alg);
    const [header, , signature] = token.split(".");
    assert.equal((await check(`${header}.${part({ ...claims, sub: "root" })}.${signature}`)).outcome, "invalid");
  });
}

test("no other algorithm is taken, least of all none or one that makes a secret of the public key", async () => {
  const none = `${part({ alg: "none" })}.${part(claims)}.`;
  const text = `${part({ alg: "HS256" })}.${part(claims)}`;
  const pem = rsa.publicKey.export({ type: "spki", format: "pem" });
  const symmetric = `${text}.${createHmac("sha256", pem).update(text).digest("base64url")}`;
  for (const token of [none, `${none}AA`, symmetric, signed(claims, "RS512")]) {
    assert.equal((await check(token)).outcome, "invalid");
  }
  const [, body, signature] = signed(claims, "RS256").split(".");
  assert.equal((await check(`${part({ alg: "ES256" })}.${body}.${signature}`)).outcome, "invalid");
});

test("a token names its key by its id alone, and asks for nothing that is not known", async () => {
  assert.equal((await check(signed(claims, "RS256", { kid: "rsa" }))).outcome, "valid");
  assert.equal((await check(signed(claims, "RS256", { kid: "ec" }))).outcome, "invalid");
  assert.equal((await check(signed(claims, "RS256", { kid: 1 }))).outcome, "invalid");
  assert.equal((await check(signed(claims, "RS256", { crit: ["x"] }))).outcome, "invalid");
});

const wrong: [string, object, Partial<TokenRules>?][] = [
  ["without an end", { exp: undefined }],
  ["with an end that is text", { exp: `${nowS + 60}` }],
  ["with an end without end", { exp: 1e300 }],
  ["that has expired for longer than the skew", { exp: nowS - 31 }],
  ["that holds only later", { nbf: nowS + 31 }],
  ["of the future", { iat: nowS + 31 }],
  ["without a user", { sub: undefined }],
  ["with an empty user", { sub: " " }],
  ["with a user that is no text", { sub: 7 }],
  ["of another issuer", { iss: "https://evil.example" }, { issuer: "https://id.example" }],
  ["without an issuer", { iss: undefined }, { issuer: "https://id.example" }],
  ["for somebody else", { aud: "billing" }, { audiences: ["kafka"] }],
  ["for nobody", { aud: undefined }, { audiences: ["kafka"] }],
  ["without the claim that names users", {}, { userClaim: "email" }],
  ["with what every object has in place of a user", {}, { userClaim: "constructor" }],
];

for (const [what, change, rules] of wrong) {
  test(`a token ${what} is refused`, async () => {
    assert.equal((await check(signed({ ...claims, ...change }), rulesOf(rules))).outcome, "invalid");
  });
}

test("a token within the skew, for one of the audiences, with the operator's claim is taken", async () => {
  const rules = rulesOf({ issuer: "https://id.example", audiences: ["x", "kafka"], userClaim: "email" });
  const late = { ...claims, exp: nowS - 29, nbf: nowS + 29, iat: nowS + 29, email: "a@b.example" };
  const verdict = await check(signed(late), rules);
  assert.equal(verdict.outcome === "valid" && verdict.user, "a@b.example");
});

test("text that is no token is refused", async () => {
  const token = signed(claims);
  for (const text of ["", ".", "..", "a.b", "a.b.c", `${token}.x`, `${token}=`, ` ${token}`, "x".repeat(40_000)]) {
    assert.equal((await check(text)).outcome, "invalid", text.slice(0, 20));
  }
  assert.equal((await check(`${part([])}.${part(claims)}.AA`)).outcome, "invalid");
});

test("keys are loaded again when a token names one that is not there, though not for every such token", async () => {
  const clock = new VirtualClock(nowMs);
  let loads = 0;
  let text = JSON.stringify({ keys: [jwk(ec.publicKey, "ec")] });
  const keys = new JsonWebKeys({
    clock,
    load: async () => {
      loads++;
      return text;
    },
  });
  const rules = { ...defaultTokenRules, keys };
  const token = signed(claims, "RS256", { kid: "rsa" });
  await Promise.all([check(token, rules), check(token, rules)]);
  assert.equal((await check(token, rules)).outcome, "invalid");
  assert.equal(loads, 1);
  text = set;
  await clock.advance(10_000);
  assert.equal((await check(token, rules)).outcome, "valid");
  assert.equal(loads, 2);
  text = "broken";
  await clock.advance(3_600_000);
  assert.equal((await check(signed({ ...claims, exp: nowS + 9_999 }), rules)).outcome, "valid");
  assert.equal(loads, 3);
});

test("keys that do not come in time keep nobody waiting for ever", async () => {
  const clock = new VirtualClock(nowMs);
  const keys = new JsonWebKeys({ clock, load: () => new Promise(() => undefined) });
  const verdict = check(signed(claims), { ...defaultTokenRules, keys });
  await clock.advance(10_000);
  assert.equal((await verdict).outcome, "invalid");
});

test("a set without a usable key, with a private one only, or that is none is refused; one key in PEM is one", () => {
  const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey;
  const texts = [
    "",
    "{}",
    "[]",
    "null",
    '{"keys":[]}',
    JSON.stringify({ keys: [jwk(rsa.privateKey, "x")] }),
    JSON.stringify({ keys: [jwk(weak, "x")] }),
    JSON.stringify({ keys: [{ ...jwk(rsa.publicKey, "x"), use: "enc" }] }),
    JSON.stringify({ keys: [{ ...jwk(rsa.publicKey, "x"), alg: "RS512" }] }),
    JSON.stringify({ keys: Array.from({ length: 101 }, () => jwk(ed.publicKey, "x")) }),
  ];
  for (const text of texts) {
    assert.throws(
      () => readJsonWebKeys(text),
      (error) => MillraceError.is(error, "SETTING_INVALID"),
      text.slice(0, 60),
    );
  }
  const pem = ed.publicKey.export({ type: "spki", format: "pem" }).toString();
  assert.deepEqual(
    readJsonWebKeys(pem).map(({ algorithm }) => algorithm),
    ["EdDSA"],
  );
  assert.equal(readJsonWebKeys(set).length, 3);
});

const message = (token: string, header = "n,,") => Buffer.from(`${header}\u0001auth=Bearer ${token}\u0001\u0001`);

test("OAUTHBEARER: a valid token is done at once, until its own end", async () => {
  const exchange = new BearerExchange(rulesOf(), new VirtualClock(nowMs));
  const done = await exchange.step(message(signed(claims)));
  assert.equal(done.outcome, "done");
  assert.deepEqual([done.principal, done.expiresAtMs], ["User:alice", nowMs + 60_000]);
});

test("OAUTHBEARER: an invalid token is answered with its status, and fails when the client has seen it", async () => {
  const exchange = new BearerExchange(rulesOf(), new VirtualClock(nowMs));
  const challenge = await exchange.step(message(signed({ ...claims, exp: 1 })));
  assert.ok(challenge.outcome === "challenge");
  assert.equal(challenge.token.toString(), '{"status":"invalid_token"}');
  const end = await exchange.step(Buffer.from("\u0001"));
  assert.ok(end.outcome === "failed" && end.message === '{"status":"invalid_token"}');
  const again = new BearerExchange(rulesOf(), new VirtualClock(nowMs));
  await again.step(message("x"));
  assert.equal((await again.step(message(signed(claims)))).outcome, "failed");
});

test("OAUTHBEARER: another authorization id than the token's user is refused", async () => {
  const step = (header: string) =>
    new BearerExchange(rulesOf(), new VirtualClock(nowMs)).step(message(signed(claims), header));
  assert.equal((await step("n,a=alice,")).outcome, "done");
  assert.equal((await step("n,a=bob,")).outcome, "failed");
});

test("OAUTHBEARER: extensions are read over, and what is not of the form is refused", () => {
  const A = "\u0001";
  const good = `n,,${A}host=x${A}auth=bearer  abc.d=${A}port=9092${A}${A}`;
  assert.deepEqual(readInitialResponse(Buffer.from(good)), { authorizationId: "", token: "abc.d=" });
  const forms = [
    "",
    A,
    "n,,",
    `n,,${A}${A}`,
    `n,,${A}auth=Bearer x${A}`,
    `y,,${A}auth=Bearer x${A}${A}`,
    `n,a=,${A}auth=Bearer x${A}${A}`,
    `n,,${A}auth=Basic x${A}${A}`,
    `n,,${A}auth=Bearer${A}${A}`,
    `n,,${A}auth=Bearer x y${A}${A}`,
    `n,,${A}auth=Bearer x${A}auth=Bearer y${A}${A}`,
    `n,,${A}au-th=1${A}auth=Bearer x${A}${A}`,
    `n,,${A}x=${A}auth=Bearer x${A}${A}`,
    `n,,${A}auth=Bearer ${"x".repeat(70_000)}${A}${A}`,
  ];
  for (const form of forms)
    assert.equal(readInitialResponse(Buffer.from(form)), undefined, JSON.stringify(form.slice(0, 40)));
});
