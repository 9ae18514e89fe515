/**
 * A vendor whose calls brought half of its events, and whose list has them all, to a Millrace whose power is cut after
 * every operation of its disk. Wherever: one event per id, and none that the list had is missing after a pass that ended.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../src/base/random.ts";
import { SimulatedDisk } from "../../src/base/simulated-disk.ts";
import { VirtualClock } from "../../src/base/virtual-clock.ts";
import { Acceptor } from "../../src/capture/webhooks/acceptor.ts";
import type { Hook } from "../../src/capture/webhooks/hook.ts";
import { type HookEvent, originHeader } from "../../src/capture/webhooks/hook-event.ts";
import { IdFold } from "../../src/capture/webhooks/id-fold.ts";
import { bodyOf, reconciled, Vendor } from "../../src/capture/webhooks/reconcile/vendor.fixture.ts";
import { headersOf, openHouse, recordsOf, send, turn } from "../../src/capture/webhooks/webhooks.fixture.ts";
import type { WebhookDefinition } from "../../src/catalog/definitions.ts";

/** `MILLRACE_TEST_RUNS` cuts after every operation in place of every sixth one, in more histories. */
const seeds = Number(process.env.MILLRACE_TEST_RUNS ?? 1);
const stride = seeds > 1 ? 1 : 6;
const count = 8;
const minute = 60_000;
const hooks = { checkpointEvery: 4 };

/** Windows hardly overlap, so that none asks again for what the one before has to have. */
function definitionOf(vendor: Vendor): WebhookDefinition {
  const reconcile = { overlap: "1s", lookBack: "5m", window: "1m", compare: null };
  return reconciled(vendor, reconcile, { partitions: 2, key: ({ id }) => id });
}

function vendorOf(clock: VirtualClock): Vendor {
  const vendor = new Vendor(2);
  for (let i = 0; i < count; i++) vendor.add(`evt_${i}`, clock.now() - 2 * minute - i * 20_000);
  return vendor;
}

/** Until so many passes have ended; false when the disk is gone, or nothing goes on. */
async function pass(hook: Hook, clock: VirtualClock): Promise<boolean> {
  for (let i = 0; i < 400; i++) {
    if ((hook.status().hook.reconcile?.passes ?? 0) > 0) return true;
    if (i % 10 === 0) await clock.advance(500);
    await turn();
  }
  return false;
}

async function runOnce(disk: SimulatedDisk, clock: VirtualClock, vendor: Vendor): Promise<void> {
  const house = await openHouse({ disk, clock, definitions: [definitionOf(vendor)], hooks }).catch(() => undefined);
  const hook = house?.hooks.get("vendor");
  if (!hook) return;
  for (let i = 0; hook.status().state.kind === "connecting" && i < 400; i++) await turn();
  const calls = vendor.events.filter((_, i) => i % 2 === 0).map((event) => send(hook, { body: bodyOf(event) }));
  await Promise.allSettled(calls);
  await pass(hook, clock);
  // A kill closes nothing, but whoever it was asks nobody any more.
  await house?.close().catch(() => undefined);
}

async function cutOnce(seed: number, operations: number): Promise<void> {
  const random = seededRandom(seed * 100_003 + operations);
  const clock = new VirtualClock();
  const vendor = vendorOf(clock);
  const cut = new SimulatedDisk(random);
  cut.cutAfter(operations);
  await runOnce(cut, clock, vendor);
  const disk = random.below(3) === 0 ? cut.afterKill() : cut.survivor();
  const house = await openHouse({ disk, clock, definitions: [definitionOf(vendor)], hooks });
  const hook = await house.serving("vendor");
  hook.reconcile(null);
  assert.ok(await pass(hook, clock), `no pass ended: ${JSON.stringify(hook.status().hook.reconcile)}`);
  const seen = new Set<string>();
  for (const record of await recordsOf(house.engine, "vendor")) {
    const id = headersOf(record)["millrace.id"] ?? "";
    assert.ok(!seen.has(id), `${id} is there twice`);
    seen.add(id);
  }
  assert.deepEqual([...seen].sort(), vendor.events.map(({ id }) => id).sort());
  await house.close();
}

/** What comes before is the opening of a log, which `power-cut.test.ts` cuts. */
async function firstOperation(): Promise<number> {
  const disk = new SimulatedDisk(seededRandom(1));
  const house = await openHouse({ disk, definitions: [] });
  const { operations } = disk;
  await house.close();
  return operations;
}

async function cutEverywhere(seed: number): Promise<void> {
  const clock = new VirtualClock();
  const whole = new SimulatedDisk(seededRandom(seed));
  await runOnce(whole, clock, vendorOf(clock));
  for (let n = (await firstOperation()) + (seed % stride); n <= whole.operations; n += stride) {
    try {
      await cutOnce(seed, n);
    } catch (error) {
      throw new Error(`seed ${seed}, power cut after operation ${n}: ${(error as Error).message}`, { cause: error });
    }
  }
}

test("one event per id, and none that the list had is missing, wherever the power is cut", async () => {
  for (let seed = 1; seed <= seeds; seed++) await cutEverywhere(seed);
});

test("the simulator catches a source that does not read its ids back", async (t) => {
  t.mock.method(IdFold.prototype, "catchUp", async function (this: IdFold) {});
  await assert.rejects(cutEverywhere(1), /is there twice|Expected values/);
});

test("the simulator catches a place that is written before its events are kept", async (t) => {
  const { accept } = Acceptor.prototype;
  t.mock.method(Acceptor.prototype, "accept", function (this: Acceptor, event: HookEvent) {
    const place = accept.call(this, event);
    if (!event.headers.some(({ key }) => key === originHeader)) return place;
    Promise.resolve(place).catch(() => {});
    return { partition: 0, offset: 0, duplicate: false };
  });
  await assert.rejects(cutEverywhere(1), /Expected values/);
});
