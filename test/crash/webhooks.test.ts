/**
 * A vendor that sends everything at least twice, and again whatever was not answered, to a Millrace whose power is cut
 * after every operation of its disk. However often and wherever: one event per id, and what was answered is there.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../src/base/random.ts";
import { SimulatedDisk } from "../../src/base/simulated-disk.ts";
import { VirtualClock } from "../../src/base/virtual-clock.ts";
import type { Hook } from "../../src/capture/webhooks/hook.ts";
import { IdFold } from "../../src/capture/webhooks/id-fold.ts";
import { headersOf, openHouse, recordsOf, send, signed, turn } from "../../src/capture/webhooks/webhooks.fixture.ts";
import type { WebhookDefinition } from "../../src/catalog/definitions.ts";
import { asItIs, cutEverywhere, type Wrap, withoutSync } from "./cuts.ts";

/** `MILLRACE_TEST_RUNS` runs more histories, and cuts each after every operation in place of every third one. */
const seeds = Number(process.env.MILLRACE_TEST_RUNS ?? 1);
const stride = seeds > 1 ? 1 : 3;
const ids = 9;
const definition: WebhookDefinition = signed("vendor", { partitions: 2, key: (event) => event.account });
const hooks = { checkpointEvery: 4 };

interface Vendor {
  /** What was answered, by id. */
  readonly answered: Map<string, { readonly partition: number; readonly offset: number }>;
}

/** Bursts of events, each of them twice at the same time, and some of before once more. */
async function sendAll(hook: Hook, vendor: Vendor, seed: number): Promise<void> {
  const random = seededRandom(seed);
  for (let next = 0; next < ids; ) {
    const burst = 1 + random.below(4);
    const wave: string[] = [];
    for (let i = 0; i < burst && next < ids; i++, next++) wave.push(`evt_${next}`, `evt_${next}`);
    if (next > 2) wave.push(`evt_${random.below(next - 1)}`);
    await Promise.all(wave.map((id) => deliver(hook, vendor, id)));
    await turn();
  }
}

async function deliver(hook: Hook, { answered }: Vendor, id: string): Promise<void> {
  let place: Awaited<ReturnType<typeof send>>;
  try {
    place = await send(hook, { id, body: JSON.stringify({ id, account: Number(id.slice(4)) % 3 }) });
  } catch {
    // Not answered with success: the vendor sends it again.
    return;
  }
  const before = answered.get(id);
  if (before) assert.deepEqual({ ...place, duplicate: true }, { ...before, duplicate: true }, `${id} moved`);
  answered.set(id, { partition: place.partition, offset: place.offset });
}

async function isServing(hook: Hook): Promise<boolean> {
  while (hook.status().state.kind === "connecting") await turn();
  return hook.status().state.kind === "streaming";
}

/** Answers the operations of the disk when nothing was cut. */
async function runOnce(disk: SimulatedDisk, vendor: Vendor, seed: number, wrap: Wrap): Promise<void> {
  const clock = new VirtualClock();
  const house = await openHouse({ disk: wrap(disk), clock, definitions: [definition], hooks }).catch(() => undefined);
  const hook = house?.hooks.get("vendor");
  if (!hook || !(await isServing(hook))) return;
  await sendAll(hook, vendor, seed);
  // A kill closes nothing; half of the runs stop in good order.
  if (seed % 2 === 0) await house?.close().catch(() => undefined);
}

async function cutOnce(seed: number, operations: number, wrap: Wrap): Promise<void> {
  const random = seededRandom(seed * 100_003 + operations);
  const vendor: Vendor = { answered: new Map() };
  let disk = new SimulatedDisk(random);
  disk.cutAfter(operations);
  await runOnce(disk, vendor, seed, wrap);
  // Sometimes only the process dies, and what it left unsynced meets the cut of the next start.
  disk = random.below(3) === 0 ? disk.afterKill() : disk.survivor();
  if (random.below(2) === 0) {
    disk.cutAfter(random.below(60));
    await runOnce(disk, vendor, seed + 1, wrap);
    disk = disk.survivor();
  }
  const house = await openHouse({ disk: wrap(disk), definitions: [definition], hooks });
  const hook = await house.serving("vendor");
  await isServing(hook);
  assert.deepEqual(hook.status().state, { kind: "streaming" });
  await sendAll(hook, vendor, seed + 2);
  const places = new Map<string, string>();
  for (const record of await recordsOf(house.engine, "vendor")) {
    const id = headersOf(record)["millrace.id"] ?? "";
    assert.ok(!places.has(id), `${id} is there twice`);
    places.set(id, `${record.partition}/${record.offset}`);
  }
  assert.equal(places.size, ids, "every event is there");
  assert.equal(vendor.answered.size, ids);
  for (const [id, { partition, offset }] of vendor.answered) assert.equal(places.get(id), `${partition}/${offset}`);
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

async function cutHistory(seed: number, wrap: Wrap): Promise<void> {
  const whole = new SimulatedDisk(seededRandom(seed));
  await runOnce(whole, { answered: new Map() }, seed, wrap);
  const { operations } = whole;
  await cutEverywhere({ seed, stride, operations, first: await firstOperation(), cut: (n) => cutOnce(seed, n, wrap) });
}

test("one event per id, and every answer holds, wherever the power is cut", async () => {
  for (let seed = 1; seed <= 2 * seeds; seed++) await cutHistory(seed, asItIs);
});

test("the simulator catches a source that does not read its ids back", async (t) => {
  t.mock.method(IdFold.prototype, "catchUp", async function (this: IdFold) {});
  await assert.rejects(cutHistory(1, asItIs), /is there twice|moved/);
});

test("the simulator catches a log that answers before it syncs", async () => {
  await assert.rejects(cutHistory(1, withoutSync));
});
