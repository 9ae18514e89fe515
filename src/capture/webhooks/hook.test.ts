import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { webhook } from "../../catalog/definitions.ts";
import { metaChallenge } from "./challenges.ts";
import { hasErrorCode } from "./error-code.fixture.ts";
import { noVerification } from "./verify/credentials.ts";
import { slackSignature, stripeSignature } from "./verify/vendors.ts";
import { callOf, headersOf, openHouse, recordsOf, secret, send, signed } from "./webhooks.fixture.ts";

test("a verified call is kept with its bytes, its id and the headers that are allowed", async () => {
  const house = await openHouse({ definitions: [signed("vendor", { keepHeaders: ["X-Kept"], type: (e) => e.type })] });
  const hook = await house.serving("vendor");
  const body = Buffer.from('{ "type":"paid",\n "ä": 1 }');
  const headers = { "x-kept": "yes", "x-other": "no", authorization: "Bearer secret" };
  assert.deepEqual(await send(hook, { id: "evt_1", body, headers }), { partition: 0, offset: 0, duplicate: false });
  const [record] = await recordsOf(house.engine, "vendor");
  assert.ok(record);
  assert.ok(record.value?.equals(body), "as it was sent");
  assert.deepEqual(Object.keys(headersOf(record)).sort(), [
    "content-type",
    "millrace.id",
    "millrace.type",
    "x-id",
    "x-kept",
    "x-mac",
  ]);
  assert.equal(headersOf(record)["millrace.id"], "evt_1");
  assert.equal(headersOf(record)["millrace.type"], "paid");
  assert.equal(house.engine.topic("vendor")?.readOnly, true);
  await house.close();
});

test("a copy is answered with the place of the first one, and not kept", async () => {
  const house = await openHouse();
  const hook = await house.serving("vendor");
  await send(hook, { id: "a" });
  const first = await send(hook, { id: "b" });
  assert.deepEqual(await send(hook, { id: "b", body: '{"other":true}' }), { ...first, duplicate: true });
  assert.equal((await recordsOf(house.engine, "vendor")).length, 2);
  const { accepted, duplicates } = hook.status().hook;
  assert.deepEqual({ accepted, duplicates }, { accepted: 2, duplicates: 1 });
  await house.close();
});

test("of two copies that arrive together one is kept, and both are answered with its place", async () => {
  const house = await openHouse();
  const hook = await house.serving("vendor");
  const answers = await Promise.all(Array.from({ length: 5 }, () => send(hook, { id: "a" })));
  assert.deepEqual(
    answers.map(({ offset, duplicate }) => [offset, duplicate]),
    [[0, false], ...Array.from({ length: 4 }, () => [0, true])],
  );
  assert.equal((await recordsOf(house.engine, "vendor")).length, 1);
  await house.close();
});

test("calls of one moment share a sync and keep their order", async () => {
  const house = await openHouse();
  const hook = await house.serving("vendor");
  const places = await Promise.all(Array.from({ length: 50 }, (_, i) => send(hook, { id: `${i}` })));
  assert.deepEqual(
    places.map(({ offset }) => offset),
    Array.from({ length: 50 }, (_, i) => i),
  );
  await house.close();
});

test("a call without an id is told from its copies by its body", async () => {
  const house = await openHouse();
  const hook = await house.serving("vendor");
  await send(hook, { body: '{"a":1}' });
  assert.equal((await send(hook, { body: '{"a":1}' })).duplicate, true);
  assert.equal((await send(hook, { body: '{"a":2}' })).duplicate, false);
  await house.close();
});

test("a call that is not verified is refused, counted and not kept", async () => {
  const house = await openHouse();
  const hook = await house.serving("vendor");
  await assert.rejects(send(hook, { mac: "00" }), hasErrorCode("HOOK_SIGNATURE_INVALID"));
  await assert.rejects(send(hook, { mac: "" }), hasErrorCode("HOOK_SIGNATURE_INVALID"));
  assert.equal(hook.status().hook.refused.signature, 2);
  assert.equal((await recordsOf(house.engine, "vendor")).length, 0);
  await house.close();
});

test("a verifier of somebody's own that throws refuses the call, and what it threw is not told", async () => {
  const verify = {
    ...noVerification(),
    verify: () => {
      throw new Error(`not ${secret}`);
    },
  };
  const house = await openHouse({ definitions: [webhook("own", { verify })] });
  const hook = await house.serving("own");
  await assert.rejects(send(hook, {}), (error: Error) => {
    return hasErrorCode("HOOK_SIGNATURE_INVALID")(error) && !inspect(error).includes(secret);
  });
  const promised = { ...noVerification(), verify: (async () => ({ ok: true })) as never };
  house.hooks.get("own")?.redefine(webhook("own", { verify: promised }));
  await assert.rejects(send(hook, {}), hasErrorCode("HOOK_SIGNATURE_INVALID"));
  await house.close();
});

test("functions that throw or answer rubbish lose no event", async () => {
  const bad = [
    () => {
      throw new Error("no");
    },
    () => ({}) as never,
    () => Promise.reject(new Error("later")) as never,
    () => Number.NaN as never,
    () => Symbol("s") as never,
    () => "x".repeat(10_000),
  ];
  for (const fn of bad) {
    const house = await openHouse({
      definitions: [signed("vendor", { id: fn, key: fn, type: fn as never, sequence: fn as never })],
    });
    const hook = await house.serving("vendor");
    await send(hook, { body: '{"n":1}' });
    const [record] = await recordsOf(house.engine, "vendor");
    assert.equal(record?.key, null);
    assert.match(headersOf(record as never)["millrace.id"] ?? "", /^sha256:/);
    assert.equal((await send(hook, { body: '{"n":1}' })).duplicate, true);
    await house.close();
  }
  const house = await openHouse({ definitions: [signed("vendor", { id: bad[0] as never, key: bad[1] as never })] });
  const hook = await house.serving("vendor");
  await send(hook, { body: "no json at all" });
  const { faults } = hook.status().hook;
  assert.deepEqual(faults, { id: 1, key: 1, type: 0, sequence: 0 });
  assert.equal(headersOf((await recordsOf(house.engine, "vendor"))[0] as never)["millrace.faults"], "id,key");
  assert.equal(hook.status().warnings.length, 2);
  await house.close();
});

test("events of a key are in one partition, in the order of their arrival, and late ones are marked", async () => {
  const definition = signed("vendor", { partitions: 4, key: (e) => e.account, sequence: (e) => e.n });
  const house = await openHouse({ definitions: [definition] });
  const hook = await house.serving("vendor");
  const order = [1, 2, 5, 3, 6, 4, 7];
  await Promise.all(order.map((n) => send(hook, { id: `${n}`, body: JSON.stringify({ account: "acct_1", n }) })));
  await send(hook, { id: "other", body: JSON.stringify({ account: "acct_2", n: 1 }) });
  const records = (await recordsOf(house.engine, "vendor")).filter(({ key }) => String(key) === "acct_1");
  assert.equal(new Set(records.map(({ partition }) => partition)).size, 1);
  assert.deepEqual(
    records.map((record) => JSON.parse(String(record.value)).n),
    order,
  );
  const late = records.filter((record) => headersOf(record)["millrace.late"] === "true");
  assert.deepEqual(
    late.map((record) => headersOf(record)["millrace.sequence"]),
    ["3", "4"],
  );
  assert.equal(hook.status().hook.late, 2);
  await house.close();
});

test("a source past its quota refuses with the time to wait, takes nothing for calls that are not verified, and hurts no other", async () => {
  const house = await openHouse({ definitions: [signed("vendor", { ratePerSecond: 2 }), signed("calm")] });
  const hook = await house.serving("vendor");
  for (let i = 0; i < 10; i++) await assert.rejects(send(hook, { mac: "00" }), hasErrorCode("HOOK_SIGNATURE_INVALID"));
  for (let i = 0; i < 4; i++) await send(hook, { id: `${i}` });
  await assert.rejects(send(hook, { id: "5" }), (error: unknown) => {
    return (
      hasErrorCode("HOOK_QUOTA_EXCEEDED")(error) &&
      (error as { details: { retryAfterSeconds: number } }).details.retryAfterSeconds === 1
    );
  });
  await send(await house.serving("calm"), { id: "1" });
  await house.clock.advance(500);
  await send(hook, { id: "5" });
  assert.equal(hook.status().hook.refused.quota, 1);
  await house.close();
});

test("bytes of calls that are on their way are bounded per source and over all", async () => {
  const room = { bytesMax: 100, sourceBytesMax: 60 };
  const house = await openHouse({ definitions: [signed("one"), signed("two")], hooks: { room } });
  const [one, two] = [await house.serving("one"), await house.serving("two")];
  const open: (() => void)[] = [];
  const slow = (hook: typeof one, bytes: number, id: string) => {
    const call = callOf({ id, body: Buffer.alloc(bytes, 32) });
    return hook.handle({
      ...call,
      async body(limits) {
        const body = await call.body(limits);
        await new Promise<void>((resolve) => open.push(resolve));
        return body;
      },
    });
  };
  const first = slow(one, 50, "a");
  await assert.rejects(slow(one, 11, "b"), hasErrorCode("HOOK_BUSY"));
  const second = slow(two, 50, "a");
  await assert.rejects(slow(two, 1, "b"), hasErrorCode("HOOK_BUSY"));
  for (const go of open.splice(0)) go();
  await Promise.all([first, second]);
  await send(one, { id: "b", body: Buffer.alloc(11, 32) });
  assert.equal(one.status().hook.refused.busy, 1);
  await house.close();
});

test("media types and encodings that the vendor does not send are refused before the body is read", async () => {
  const house = await openHouse({ definitions: [webhook("stripe", { verify: stripeSignature("whsec_x") })] });
  const hook = await house.serving("stripe");
  const unread = { ...callOf({}), body: () => assert.fail("the body was read") };
  for (const headers of [
    { "content-type": "text/plain" },
    {},
    { "content-type": "application/json", "content-encoding": "gzip" },
  ]) {
    await assert.rejects(hook.handle({ ...unread, headers }), hasErrorCode("MEDIA_TYPE_UNSUPPORTED"));
  }
  assert.equal(hook.status().hook.refused.mediaType, 3);
  await assert.rejects(hook.handle({ ...unread, headers: {}, method: "GET" }), hasErrorCode("METHOD_NOT_ALLOWED"));
  await house.close();
});

test("challenges are answered and not kept", async () => {
  const nowSeconds = 1_767_225_600;
  const definitions = [
    webhook("slack", { verify: slackSignature("s") }),
    signed("meta", { challenge: metaChallenge({ verifyToken: ["old", "token"] }) }),
  ];
  const house = await openHouse({ definitions });
  const meta = await house.serving("meta");
  const search = "hub.mode=subscribe&hub.verify_token=token&hub.challenge=1158201444";
  const asked = await meta.handle({ ...callOf({ method: "GET", search }), body: () => assert.fail("read") });
  assert.deepEqual(asked, {
    kind: "challenge",
    answer: { status: 200, type: "text/plain; charset=utf-8", body: "1158201444" },
  });
  for (const wrong of [search.replace("=token", "=tokem"), search.replace("subscribe", "x"), "hub.challenge=1"]) {
    await assert.rejects(meta.handle(callOf({ method: "GET", search: wrong })), hasErrorCode("METHOD_NOT_ALLOWED"));
  }
  const slack = await house.serving("slack");
  const body =
    '{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}';
  const { createHmac } = await import("node:crypto");
  const mac = createHmac("sha256", "s").update(`v0:${nowSeconds}:${body}`).digest("hex");
  const headers = { "x-slack-request-timestamp": `${nowSeconds}`, "x-slack-signature": `v0=${mac}` };
  const answer = await slack.handle(callOf({ body, headers }));
  assert.equal(
    answer.kind === "challenge" && answer.answer.body,
    "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
  );
  await assert.rejects(slack.handle(callOf({ body })), hasErrorCode("HOOK_SIGNATURE_INVALID"));
  assert.equal((await recordsOf(house.engine, "slack")).length + (await recordsOf(house.engine, "meta")).length, 0);
  assert.equal(slack.status().hook.challenges, 1);
  await house.close();
});

test("a secret appears in no printed definition, status or error", async () => {
  const raw = "whsec_c2VjcmV0LXNlY3JldA";
  const definition = webhook("stripe", { verify: stripeSignature([raw, "another-secret"]) });
  const house = await openHouse({ definitions: [definition] });
  const hook = await house.serving("stripe");
  const error = await hook.handle(callOf({ headers: { "stripe-signature": "t=1,v1=00" } })).catch((thrown) => thrown);
  const printed = [
    JSON.stringify(definition),
    inspect(definition, { depth: 20, showHidden: true }),
    JSON.stringify(hook.status()),
    inspect(error, { depth: 20 }),
    JSON.stringify(error),
  ].join("\n");
  assert.ok(!printed.includes("another-secret") && !printed.includes("c2VjcmV0"));
  assert.throws(
    () => webhook("x", { verify: stripeSignature(undefined as never) }),
    hasErrorCode("DEFINITION_INVALID"),
  );
  assert.throws(() => stripeSignature(""), hasErrorCode("DEFINITION_INVALID"));
  await house.close();
});

test("a topic that others write, or with another count of partitions, is refused and says the way out", async () => {
  const house = await openHouse({ definitions: [] });
  await house.engine.createTopic("vendor");
  await house.engine.createTopic("two", { partitions: 2, retentionMs: 1 }, { readOnly: true });
  await house.hooks.apply([signed("vendor"), signed("two")]);
  for (const name of ["vendor", "two"]) {
    const { state } = (await house.serving(name)).status();
    assert.ok(state.kind === "failed" && state.error.code === "TOPIC_EXISTS" && state.error.hint !== undefined);
    await assert.rejects(send(await house.serving(name), {}), hasErrorCode("UNIT_MOVING"));
  }
  await house.hooks.apply([signed("two", { partitions: 2 })]);
  await send(await house.serving("two"), {});
  assert.equal(house.engine.topic("two")?.settings.retentionMs, 30 * 86_400_000);
  await house.hooks.apply([signed("two", { partitions: 2, retention: "forever" })]);
  await send(await house.serving("two"), {});
  assert.equal(house.engine.topic("two")?.settings.retentionMs, null);
  assert.equal(house.hooks.get("vendor"), undefined);
  await house.close();
});
