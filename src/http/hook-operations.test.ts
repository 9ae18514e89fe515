import assert from "node:assert/strict";
import { test } from "node:test";
import { reconciled, Vendor } from "../capture/webhooks/reconcile/vendor.fixture.ts";
import { openHouse, recordsOf, send, signed, turn } from "../capture/webhooks/webhooks.fixture.ts";
import { ask, openTestDoor } from "./door-fixture.ts";

async function openBoth(vendor = new Vendor()) {
  const house = await openHouse({ definitions: [reconciled(vendor, { every: "1d" }), signed("plain")] });
  const { engine, hooks, clock } = house;
  const door = await openTestDoor({ engine, hooks, clock });
  for (const name of hooks.names()) await house.serving(name);
  const post = (path: string) => ask(door, `/v1/sources/${path}`, { method: "POST" });
  return {
    house,
    door,
    post,
    async [Symbol.asyncDispose]() {
      await door.close();
      await house.close();
    },
  };
}

function codeOf(answer: { json(): unknown }): string {
  return (answer.json() as { code: string }).code;
}

test("a pass that is asked for is begun, and its source answered", async () => {
  const vendor = new Vendor();
  await using both = await openBoth(vendor);
  const { house, post } = both;
  const old = house.clock.now() - 2 * 86_400_000;
  vendor.add("old", old);
  const answer = await post("vendor/reconcile?since=3d");
  assert.equal(answer.status, 202, answer.text);
  assert.ok((answer.json() as { hook: { reconcile: unknown } }).hook.reconcile);
  const hook = await house.serving("vendor");
  for (let i = 0; hook.status().hook.reconcile?.missed !== 1; i++) {
    assert.ok(i < 2_000);
    if (i % 10 === 0) await house.clock.advance(100);
    await turn();
  }
  assert.equal((await post(`vendor/reconcile?since=${new Date(old).toISOString()}`)).status, 202);
});

test("what cannot be asked for is refused by its code", async () => {
  await using both = await openBoth();
  const { post } = both;
  const refusals = [
    ["vendr/reconcile", 404, "SOURCE_UNKNOWN"],
    ["plain/reconcile", 409, "RECONCILE_UNDEFINED"],
    ["vendor/reconcile?since=soon", 400, "REQUEST_INVALID"],
    ["vendor/reconcile?until=1d", 400, "REQUEST_INVALID"],
    ["vendr/replay?from=1h", 404, "SOURCE_UNKNOWN"],
    ["vendor/replay", 400, "REQUEST_INVALID"],
    ["vendor/replay?from=1h&into=missing", 404, "TOPIC_UNKNOWN"],
    ["vendor/replay?from=1h&into=plain", 403, "TOPIC_READ_ONLY"],
    ["vendor/replay?cursor=x", 400, "REQUEST_INVALID"],
    ["vendor/replay?from=1h&cursor=0-9.0-0", 400, "REQUEST_INVALID"],
    ["vendor/replay?cursor=0-9.0-99", 400, "REQUEST_INVALID"],
  ] as const;
  for (const [path, status, code] of refusals) {
    const answer = await post(path);
    assert.deepEqual([answer.status, codeOf(answer)], [status, code], path);
  }
});

test("events are replayed by span and filter, and a cursor is handed on as it is", async () => {
  await using both = await openBoth();
  const { house, post } = both;
  const hook = await house.serving("plain");
  for (const id of ["a", "b"]) await send(hook, { id });
  await house.engine.createTopic("again");
  const answer = await post("plain/replay?from=1h&id=b&into=again");
  assert.deepEqual([answer.status, answer.json()], [200, { read: 2, replayed: 1, next: null }]);
  assert.equal((await recordsOf(house.engine, "again")).length, 1);
  const rest = await post(`plain/replay?cursor=0-${Number.MAX_SAFE_INTEGER}.1-3&into=again`);
  assert.deepEqual(rest.json(), { read: 1, replayed: 1, next: null });
});
