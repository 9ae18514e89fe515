import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { connect } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { basicAuth, noVerification } from "../capture/webhooks/verify/credentials.ts";
import { metaSignature, slackSignature } from "../capture/webhooks/verify/vendors.ts";
import {
  type HouseOptions,
  headersOf,
  openHouse,
  recordsOf,
  secret,
  signed,
} from "../capture/webhooks/webhooks.fixture.ts";
import { webhook } from "../catalog/definitions.ts";
import { decodeToken } from "../feeds/token.ts";
import { ask, openTestDoor, raw } from "./door-fixture.ts";
import type { HttpDoorSettings } from "./door-settings.ts";
import type { HttpDoor } from "./http-door.ts";

const hooksPath = "/v1/hooks/vendor";

async function openBoth(options: HouseOptions = {}, settings: Partial<HttpDoorSettings> = {}) {
  const house = await openHouse(options);
  const { engine, hooks } = house;
  const door = await openTestDoor({ engine, hooks, settings });
  for (const name of hooks.names()) await house.serving(name);
  return {
    house,
    door,
    async [Symbol.asyncDispose]() {
      await door.close();
      await house.close();
    },
  };
}

function signedHeaders(body: string | Buffer, more: Record<string, string> = {}): Record<string, string> {
  const mac = createHmac("sha256", secret).update(body).digest("hex");
  return { "content-type": "application/json", "x-mac": mac, ...more };
}

function post(door: HttpDoor, body: string | Buffer, more: Record<string, string> = {}, path = hooksPath) {
  return ask(door, path, { method: "POST", body, headers: signedHeaders(body, more) });
}

test("a call is answered when it is kept, with its place and a token, and a copy with the same place", async () => {
  await using both = await openBoth({}, { key: "a-long-random-key" });
  const { door, house } = both;
  const first = await post(door, '{"n":1}', { "x-id": "evt_1" });
  assert.equal(first.status, 200);
  assert.deepEqual(first.json(), { partition: 0, offset: 0, duplicate: false });
  const token = decodeToken(String(first.headers["millrace-token"]));
  assert.ok(token.kind === "topic" && token.topic === "vendor");
  assert.deepEqual(token.positions, [{ partition: 0, offset: 1 }]);
  const copy = await post(door, '{"n":1}', { "x-id": "evt_1" });
  assert.deepEqual([copy.status, copy.json()], [200, { partition: 0, offset: 0, duplicate: true }]);
  assert.equal((await recordsOf(house.engine, "vendor")).length, 1);
});

test("a verified source takes calls from any name and origin; one without verification does not", async () => {
  const definitions = [signed("vendor"), webhook("open", { verify: noVerification() })];
  await using both = await openBoth({ definitions });
  const { door } = both;
  for (const headers of [
    { host: "hooks.shop.example" },
    { origin: "https://other.example" },
    { "sec-fetch-site": "cross-site" },
  ]) {
    assert.equal((await post(door, "{}", headers as never)).status, 200);
    const foreign = await post(door, "{}", headers as never, "/v1/hooks/open");
    assert.equal(foreign.status, 403, JSON.stringify(headers));
  }
  assert.equal((await post(door, "{}", {}, "/v1/hooks/open")).status, 200);
  // The exemption is for calls of sources alone.
  assert.equal((await ask(door, "/v1/hooks/vendor/x", { headers: { host: "hooks.shop.example" } })).status, 403);
  assert.equal((await ask(door, "/v1/topics", { headers: { host: "hooks.shop.example" } })).status, 403);
});

test("each refusal has its status and its code, and is counted by its reason", async () => {
  const definitions = [signed("vendor", { bodyMax: "64B", mediaTypes: ["application/json"], ratePerSecond: 1 })];
  await using both = await openBoth({ definitions });
  const { door, house } = both;
  const refusals = [
    [
      401,
      "HOOK_SIGNATURE_INVALID",
      () => ask(door, hooksPath, { method: "POST", body: "{}", headers: { "content-type": "application/json" } }),
    ],
    [413, "REQUEST_TOO_LARGE", () => post(door, `"${"x".repeat(70)}"`)],
    [415, "MEDIA_TYPE_UNSUPPORTED", () => post(door, "{}", { "content-type": "text/plain" })],
    [415, "MEDIA_TYPE_UNSUPPORTED", () => post(door, "{}", { "content-encoding": "gzip" })],
    [405, "METHOD_NOT_ALLOWED", () => ask(door, hooksPath)],
    [405, "METHOD_NOT_ALLOWED", () => ask(door, hooksPath, { method: "PUT", body: "{}" })],
    [404, "SOURCE_UNKNOWN", () => post(door, "{}", {}, "/v1/hooks/vendr")],
  ] as const;
  for (const [status, code, refusal] of refusals) {
    const answer = await refusal();
    assert.equal(answer.status, status, answer.text);
    assert.equal((answer.json() as { code: string }).code, code);
    if (status === 401) assert.match(String(answer.headers["www-authenticate"]), /^Signature/);
  }
  for (let i = 0; i < 2; i++) assert.equal((await post(door, "{}", { "x-id": `${i}` })).status, 200);
  const late = await post(door, "{}", { "x-id": "3" });
  assert.deepEqual([late.status, late.headers["retry-after"]], [429, "1"]);
  assert.deepEqual(house.hooks.status("vendor")?.hook.refused, {
    signature: 1,
    size: 1,
    mediaType: 2,
    quota: 1,
    busy: 0,
    unavailable: 0,
    form: 0,
    method: 1,
    foreign: 0,
  });
});

test("while the ids are not known, calls are answered 503 with Retry-After", async () => {
  const wrap: HouseOptions["wrap"] = (engine) =>
    new Proxy(engine, {
      get(target, name) {
        if (name === "initProducer") return () => Promise.reject(new Error("not yet"));
        const value = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  await using both = await openBoth({ wrap, definitions: [] });
  await both.house.hooks.apply([signed("vendor")]);
  const answer = await post(both.door, "{}");
  assert.equal(answer.status, 503);
  assert.ok(answer.headers["retry-after"]);
});

test("answers for vendors that show them have no body", async () => {
  await using both = await openBoth({ definitions: [webhook("slack", { verify: slackSignature("s") })] });
  const body = '{"event_id":"Ev1"}';
  const seconds = Math.floor(both.house.clock.now() / 1_000);
  const mac = createHmac("sha256", "s").update(`v0:${seconds}:${body}`).digest("hex");
  const headers = {
    "content-type": "application/json",
    "x-slack-request-timestamp": `${seconds}`,
    "x-slack-signature": `v0=${mac}`,
  };
  const answer = await ask(both.door, "/v1/hooks/slack", { method: "POST", body, headers });
  assert.deepEqual([answer.status, answer.text, answer.headers["content-length"]], [200, "", "0"]);
  assert.ok(answer.headers["millrace-token"]);
});

test("a subscription of Meta is confirmed with the challenge as plain text", async () => {
  const verify = metaSignature("s", { verifyToken: "mine" });
  await using both = await openBoth({ definitions: [webhook("meta", { verify })] });
  const ok = await ask(both.door, "/v1/hooks/meta?hub.mode=subscribe&hub.challenge=%3Cb%3E&hub.verify_token=mine");
  assert.deepEqual([ok.status, ok.text, ok.headers["x-content-type-options"]], [200, "<b>", "nosniff"]);
  assert.match(String(ok.headers["content-type"]), /^text\/plain/);
  assert.equal(
    (await ask(both.door, "/v1/hooks/meta?hub.mode=subscribe&hub.challenge=1&hub.verify_token=x")).status,
    405,
  );
});

test("a password is asked for where a password is what is checked", async () => {
  const verify = basicAuth({ user: "vendor", password: ["old", "new"] });
  await using both = await openBoth({ definitions: [webhook("basic", { verify })] });
  const path = "/v1/hooks/basic";
  const call = (login: string) =>
    ask(both.door, path, { method: "POST", body: "x", headers: { authorization: `Basic ${btoa(login)}` } });
  assert.match(String((await call("vendor:wrong")).headers["www-authenticate"]), /^Basic realm="millrace"/);
  assert.equal((await call("vendor:new")).status, 200);
  assert.equal((await call("vendor:old")).status, 200);
  assert.equal((await call("other:old")).status, 401);
  const [record] = await recordsOf(both.house.engine, "basic");
  assert.ok(record && !Object.keys(headersOf(record)).includes("authorization"));
});

test("nobody else writes to the topic of a source", async () => {
  await using both = await openBoth();
  const headers = { "content-type": "application/json" };
  const append = await ask(both.door, "/v1/topics/vendor", { method: "POST", body: '{"value":1}', headers });
  assert.deepEqual([append.status, (append.json() as { code: string }).code], [403, "TOPIC_READ_ONLY"]);
  for (const [method, path] of [
    ["DELETE", "/v1/topics/vendor"],
    ["DELETE", "/v1/topics/vendor/events?before=latest"],
  ] as const) {
    assert.equal((await ask(both.door, path, { method })).status, 403);
  }
});

test("the source is listed among the others, with what was counted", async () => {
  await using both = await openBoth();
  await post(both.door, "{}", { "x-id": "1" });
  await post(both.door, "{}", { "x-id": "1" });
  const list = (await ask(both.door, "/v1/sources")).json() as { items: Record<string, never>[] };
  const one = (await ask(both.door, "/v1/sources/vendor")).json() as Record<string, never>;
  assert.deepEqual(list.items, [one]);
  const { type, state, url, hook } = one as unknown as {
    type: string;
    state: object;
    url: string;
    hook: Record<string, unknown>;
  };
  assert.deepEqual({ type, state, url }, { type: "webhook", state: { kind: "streaming" }, url: hooksPath });
  const { accepted, duplicates, verifier, lastEventAt } = hook;
  assert.deepEqual({ accepted, duplicates, verifier }, { accepted: 1, duplicates: 1, verifier: "hmacSignature" });
  assert.equal(lastEventAt, new Date(both.house.clock.now()).toISOString());
});

test("bytes that are no call, and calls that are never finished, keep nothing and hold nothing", async () => {
  await using both = await openBoth({ definitions: [signed("vendor", { ratePerSecond: null })] });
  const { door, house } = both;
  for (let i = 0; i < 20; i++) {
    const socket = connect(door.port, "127.0.0.1");
    socket.on("error", () => {});
    await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
    socket.write(
      `POST ${hooksPath} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"half":`,
    );
    await new Promise<void>((resolve) => setImmediate(resolve));
    socket.destroy();
  }
  for (const bytes of [
    `POST ${hooksPath} HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n`,
    `POST ${hooksPath} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n`,
    `POST ${hooksPath}?%zz HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}`,
    `POST /v1/hooks/%00 HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}`,
  ]) {
    assert.match(await raw(door, bytes), /^HTTP\/1\.1 4\d\d /);
  }
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 300 }),
      fc.array(
        fc.tuple(
          fc.constantFrom("x-mac", "x-id", "content-type", "content-length", "x-y"),
          fc.string({ unit: "binary-ascii", maxLength: 40 }),
        ),
        { maxLength: 5 },
      ),
      async (body, headers) => {
        const clean = headers
          .filter(([name]) => name !== "content-length")
          .map(([name, value]) => [name, value.replace(/[^\x20-\x7e]/g, "?")]);
        const answer = await ask(door, hooksPath, {
          method: "POST",
          body: Buffer.from(body),
          headers: Object.fromEntries(clean) as Record<string, string>,
        });
        assert.equal(answer.status, 401, answer.text);
      },
    ),
    { numRuns: 60 },
  );
  assert.equal((await recordsOf(house.engine, "vendor")).length, 0);
  while (house.hooks.bytesHeld > 0) await new Promise<void>((resolve) => setImmediate(resolve));
  assert.equal((await post(door, "{}")).status, 200);
});

test("any body is kept byte for byte when it is signed, whatever its type says", async () => {
  await using both = await openBoth({
    definitions: [signed("vendor", { ratePerSecond: null, key: (e) => e.key, id: (e) => e.id })],
  });
  const { door, house } = both;
  const type = fc.constantFrom(
    "application/json",
    "application/x-www-form-urlencoded",
    "application/cloudevents+json",
    "text/xml",
    "",
  );
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.json().map((text) => Buffer.from(text)),
    fc.constant(Buffer.from("[".repeat(50_000))),
  );
  let calls = 0;
  await fc.assert(
    fc.asyncProperty(body, type, async (bytes, contentType) => {
      const sent = Buffer.from(bytes);
      const answer = await post(door, sent, { "content-type": contentType });
      assert.equal(answer.status, 200, answer.text);
      calls++;
      const { partition, offset } = answer.json() as { partition: number; offset: number };
      const kept = (await recordsOf(house.engine, "vendor")).find(
        (one) => one.partition === partition && one.offset === offset,
      );
      assert.ok(kept?.value?.equals(sent));
    }),
    { numRuns: 40 },
  );
  const { accepted, duplicates } = house.hooks.status("vendor")?.hook ?? { accepted: 0, duplicates: 0 };
  assert.equal(accepted + duplicates, calls);
});
