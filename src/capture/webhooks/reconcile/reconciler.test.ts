import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../../base/random.ts";
import { SimulatedDisk } from "../../../base/simulated-disk.ts";
import { VirtualClock } from "../../../base/virtual-clock.ts";
import { becomeOwner, unitOfReconcile } from "../../../ownership/become-owner.ts";
import { hasErrorCode } from "../error-code.fixture.ts";
import type { Hook } from "../hook.ts";
import { type House, headersOf, openHouse, recordsOf, send, signed } from "../webhooks.fixture.ts";
import { bodyOf, reconciled, settle, Vendor } from "./vendor.fixture.ts";

const minute = 60_000;
const day = 24 * 60 * minute;

async function ids(house: House): Promise<(string | undefined)[]> {
  return (await recordsOf(house.engine, "vendor")).map((record) => headersOf(record)["millrace.id"]);
}

function now(hook: Hook) {
  const { reconcile } = hook.status().hook;
  assert.ok(reconcile);
  return reconcile;
}

/** Lets passes go on until so many have ended. */
async function passes(house: House, hook: Hook, count: number): Promise<void> {
  // What was asked for begins before the clock moves.
  await settle(10);
  for (let i = 0; now(hook).passes < count; i++) {
    assert.ok(i < 2_000, `${now(hook).passes} passes have ended: ${JSON.stringify(now(hook))}`);
    const { nextAt } = now(hook);
    await house.clock.advance(nextAt === null ? 500 : Math.max(1, Date.parse(nextAt) + 1 - house.clock.now()));
    await settle(10);
  }
}

test("what the webhooks missed is kept once, marked, and counted; what they brought is left as it is", async () => {
  const vendor = new Vendor(2);
  const house = await openHouse({ definitions: [reconciled(vendor)] });
  const hook = await house.serving("vendor");
  const atMs = house.clock.now() - 5 * minute;
  for (let i = 0; i < 7; i++) vendor.add(`evt_${i}`, atMs + i * 1_000);
  for (const i of [1, 4]) await send(hook, { body: bodyOf(vendor.events[i] as never) });
  await passes(house, hook, 1);
  assert.deepEqual(
    (await ids(house)).sort(),
    vendor.events.map(({ id }) => id),
  );
  const records = await recordsOf(house.engine, "vendor");
  for (const record of records) {
    const { "millrace.id": id, "millrace.origin": origin } = headersOf(record);
    assert.equal(origin, ["evt_1", "evt_4"].includes(id ?? "") ? undefined : "reconcile");
  }
  const { listed, missed, altered, recent, completeTo, window } = now(hook);
  assert.deepEqual({ listed, missed, altered, window }, { listed: 7, missed: 5, altered: 0, window: null });
  assert.equal(recent.length, 5);
  assert.ok(Date.parse(completeTo as string) <= house.clock.now() - minute, "younger events are left to the webhooks");
  // A call that was only slow is a copy.
  assert.equal((await send(hook, { body: bodyOf(vendor.events[0] as never) })).duplicate, true);
  await passes(house, hook, 3);
  assert.equal((await ids(house)).length, 7);
  assert.equal(now(hook).missed, 5);
  await house.close();
});

test("passes begin after every span, and their windows overlap", async () => {
  const vendor = new Vendor();
  const house = await openHouse({ definitions: [reconciled(vendor, { every: "10m", overlap: "4m", grace: "1m" })] });
  const hook = await house.serving("vendor");
  await passes(house, hook, 3);
  const asked = vendor.asked.map(({ since, until }) => [since.getTime(), until.getTime()] as const);
  for (const [i, [since, until]] of asked.entries()) {
    assert.ok(until - since >= 4 * minute);
    const before = asked[i - 1];
    if (!before) continue;
    assert.equal(since, before[1] - 4 * minute);
    const betweenMs = until - before[1];
    assert.ok(betweenMs > 9 * minute && betweenMs < 11 * minute, `${betweenMs} ms between two passes`);
  }
  await house.close();
});

test("events that the list has otherwise are told once; appended, they are kept beside, once, through restarts", async () => {
  for (const altered of ["report", "append"] as const) {
    const disk = new SimulatedDisk(seededRandom(1));
    const clock = new VirtualClock();
    const vendor = new Vendor();
    const definitions = [reconciled(vendor, { altered })];
    const house = await openHouse({ disk, clock, definitions });
    const hook = await house.serving("vendor");
    const atMs = clock.now() - 2 * minute;
    vendor.add("same", atMs, { amount: 5 });
    vendor.add("changed", atMs, { amount: 7 });
    await send(hook, { body: bodyOf({ id: "same", atMs, more: { amount: 5 } }) });
    await send(hook, { body: bodyOf({ id: "changed", atMs, more: { amount: 700 } }) });
    await passes(house, hook, 2);
    const { missed, altered: count, corrected } = now(hook);
    const appended = altered === "append" ? 1 : 0;
    assert.deepEqual({ missed, count, corrected }, { missed: 0, count: 1, corrected: appended });
    assert.equal(
      hook.status().warnings.some((one) => /otherwise/.test(one)),
      altered === "report",
    );
    await house.close();
    const second = await openHouse({ disk, clock, definitions });
    await passes(second, await second.serving("vendor"), 2);
    const records = await recordsOf(second.engine, "vendor");
    assert.equal(records.length, 2 + appended);
    const correction = records[2];
    if (correction) {
      assert.equal(headersOf(correction)["millrace.corrects"], "changed");
      assert.equal(JSON.parse(String(correction.value)).amount, 7);
      assert.match(headersOf(correction)["millrace.id"] ?? "", /^changed~[0-9a-f]{32}$/);
    }
    await second.close();
  }
});

test("compare says what has to be the same; null compares nothing, and one that fails loses nothing", async () => {
  const cases = [
    [(event: { amount: number }) => event.amount, 0, 0],
    [(event: { note: string }) => event.note, 1, 0],
    [null, 0, 0],
    [
      () => {
        throw new Error("no");
      },
      0,
      1,
    ],
  ] as const;
  for (const [compare, altered, uncompared] of cases) {
    const vendor = new Vendor();
    const house = await openHouse({ definitions: [reconciled(vendor, { compare })] });
    const hook = await house.serving("vendor");
    const atMs = house.clock.now() - 2 * minute;
    vendor.add("a", atMs, { amount: 1, note: "listed" });
    await send(hook, { body: bodyOf({ id: "a", atMs, more: { amount: 1, note: "called" } }) });
    await passes(house, hook, 1);
    assert.deepEqual([now(hook).altered, now(hook).uncompared], [altered, uncompared], String(compare));
    await house.close();
  }
});

test("a downtime is asked for window by window, oldest first, from where the last complete window ended", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const clock = new VirtualClock();
  const vendor = new Vendor(2);
  const definitions = [reconciled(vendor, { window: "6h" })];
  const first = await openHouse({ disk, clock, definitions });
  await passes(first, await first.serving("vendor"), 1);
  const complete = Date.parse(now(await first.serving("vendor")).completeTo as string);
  await first.close();
  for (let hour = 0; hour < 48; hour++) vendor.add(`evt_${hour}`, clock.now() + hour * 60 * minute);
  await clock.advance(2 * day);
  vendor.asked.length = 0;
  const second = await openHouse({ disk, clock, definitions });
  const hook = await second.serving("vendor");
  await passes(second, hook, 1);
  assert.equal(vendor.asked[0]?.since.getTime(), complete - 15 * minute);
  for (const [i, { since }] of vendor.asked.entries()) {
    if (i > 0) assert.ok(since >= (vendor.asked[i - 1] as { since: Date }).since, "oldest first");
  }
  assert.equal(now(hook).missed, 48);
  assert.equal(now(hook).gap, null);
  assert.deepEqual(new Set(await ids(second)), new Set(vendor.events.map(({ id }) => id)));
  await second.close();
});

test("a downtime longer than ids are known for is told, and nothing that was kept is kept again", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const clock = new VirtualClock();
  const vendor = new Vendor(50);
  const definitions = [reconciled(vendor, { window: "1d" })];
  const first = await openHouse({ disk, clock, definitions });
  const hook = await first.serving("vendor");
  vendor.add("old", clock.now() - minute * 2);
  await passes(first, hook, 1);
  await first.close();
  await clock.advance(9 * day);
  vendor.add("lost", clock.now() - 8 * day);
  vendor.add("late", clock.now() - 6 * day);
  const second = await openHouse({ disk, clock, definitions });
  const again = await second.serving("vendor");
  await passes(second, again, 1);
  assert.deepEqual((await ids(second)).sort(), ["late", "old"]);
  const { gap } = now(again);
  assert.ok(gap && Date.parse(gap.from) < clock.now() - 8 * day && Date.parse(gap.to) > clock.now() - 8 * day);
  assert.match(again.status().warnings.join("\n"), /could not be asked for/);
  // Durable, until somebody asks for what can be had.
  await second.close();
  const third = await openHouse({ disk, clock, definitions });
  const last = await third.serving("vendor");
  await passes(third, last, 1);
  assert.ok(now(last).gap);
  last.reconcile(clock.now() - 6.5 * day);
  await passes(third, last, now(last).passes + 1);
  assert.equal(now(last).gap, null);
  await third.close();
});

test("a page that took so long that ids of its window are forgotten is not kept", async () => {
  const vendor = new Vendor(10);
  const fetch = async () => Response.json({});
  const reconcile = { every: "7d", window: "6d", timeout: "1h", ratePerSecond: 0.0005 };
  const disk = new SimulatedDisk(seededRandom(1));
  const clock = new VirtualClock();
  const beganMs = clock.now();
  const first = await openHouse({ disk, clock, definitions: [signed("vendor", { id: (event) => event?.id })] });
  await send(await first.serving("vendor"), { body: bodyOf(vendor.add("old", beganMs)) });
  await first.close();
  await clock.advance(7 * day - 62 * minute);
  const definitions = [reconciled(vendor, reconcile)];
  const house = await openHouse({ disk, clock, definitions, hooks: { fetch } });
  const hook = await house.serving("vendor");
  await passes(house, hook, 1);
  // Two calls of the vendor, more than half an hour apart, beside the page's own.
  vendor.before = async ({ fetch: paced }) => {
    for (let i = 0; i < 3; i++) await paced("https://vendor.example/one");
  };
  const asked = vendor.asked.length;
  hook.reconcile(beganMs - minute);
  for (let i = 0; vendor.asked.length === asked; i++) {
    assert.ok(i < 500);
    await house.clock.advance(10_000);
    await settle(10);
  }
  assert.ok((vendor.asked.at(-1)?.since.getTime() ?? Number.NaN) < beganMs, "the window has the event");
  await house.clock.advance(65 * minute);
  // The next one that comes lets go of what is out of the window of ids.
  await send(hook, { id: "x", body: '{"id":"x"}' });
  for (let i = 0; vendor.asked.length === asked + 1; i++) {
    assert.ok(i < 500);
    await house.clock.advance(minute);
    await settle(10);
  }
  assert.deepEqual(await ids(house), ["old", "x"]);
  assert.ok((vendor.asked.at(-1)?.since.getTime() ?? Number.NaN) > beganMs, "a later window is asked for");
  await house.close();
});

test("a kill in a window goes on at its cursor", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const clock = new VirtualClock();
  const vendor = new Vendor(1);
  const definitions = [reconciled(vendor)];
  const first = await openHouse({ disk, clock, definitions });
  for (let i = 0; i < 5; i++) vendor.add(`evt_${i}`, clock.now() - 2 * minute - i);
  vendor.before = ({ cursor }) => (cursor === "evt_2" ? new Promise(() => {}) : undefined);
  const hook = await first.serving("vendor");
  for (let i = 0; vendor.asked.at(-1)?.cursor !== "evt_2"; i++) {
    assert.ok(i < 500);
    await clock.advance(10);
    await settle(20);
  }
  assert.equal(now(hook).window?.pages, 3);
  // Nothing is closed.
  vendor.before = () => undefined;
  vendor.asked.length = 0;
  const second = await openHouse({ disk: disk.afterKill(), clock, definitions });
  await passes(second, await second.serving("vendor"), 1);
  assert.equal(vendor.asked[0]?.cursor, "evt_2");
  assert.deepEqual((await ids(second)).sort(), vendor.events.map(({ id }) => id).sort());
  await second.close();
});

test("a list that fails is tried again with growing pauses, is told, and is asked from the window's beginning when its cursor does not work", async () => {
  const vendor = new Vendor(1);
  const house = await openHouse({ definitions: [reconciled(vendor)] });
  for (let i = 0; i < 3; i++) vendor.add(`evt_${i}`, house.clock.now() - 2 * minute - i);
  let expired = true;
  vendor.before = ({ cursor }) => {
    if (cursor === undefined) return undefined;
    if (expired) throw new Error("no such cursor");
    return undefined;
  };
  const hook = await house.serving("vendor");
  const times: number[] = [];
  for (let i = 0; times.length < 3; i++) {
    assert.ok(i < 500);
    if (now(hook).failures > times.length) times.push(house.clock.monotonicMs());
    await house.clock.advance(100);
    await settle(20);
  }
  assert.ok((times[2] as number) - (times[1] as number) > (times[1] as number) - (times[0] as number), "pauses grow");
  const { state, error } = now(hook);
  assert.equal(state, "failing");
  assert.equal(error?.code, "RECONCILE_FAILED");
  assert.match(error?.message ?? "", /no such cursor/);
  assert.match(hook.status().warnings.join("\n"), /no such cursor/);
  assert.equal(hook.status().state.kind, "streaming", "webhooks are taken meanwhile");
  expired = false;
  await passes(house, hook, 1);
  assert.equal(vendor.asked.filter(({ cursor }) => cursor === undefined).length, 2);
  assert.equal(now(hook).error, null);
  assert.equal((await ids(house)).length, 3);
  await house.close();
});

test("events that cannot be kept are counted and left out, and hold nothing back", async () => {
  const vendor = new Vendor();
  vendor.before = () => ({
    events: [
      null,
      { body: undefined },
      { body: { id: "headers" }, headers: { a: 1 } },
      { body: { other: "no id" } },
      { body: { id: "large", text: "x".repeat(2_000) } },
      { body: Buffer.from('{"id":"bytes"}') },
      { body: '{"id":"text"}' },
      { body: { id: "good" }, headers: { "X-Mac": "kept", "content-type": "application/json; charset=utf-8" } },
    ],
  });
  const house = await openHouse({ definitions: [reconciled(vendor, {}, { bodyMax: "1KB" })] });
  const hook = await house.serving("vendor");
  await passes(house, hook, 1);
  assert.deepEqual(now(hook).unusable, { form: 3, size: 1, id: 1 });
  assert.deepEqual(await ids(house), ["bytes", "text", "good"]);
  assert.equal(headersOf((await recordsOf(house.engine, "vendor"))[2] as never)["x-mac"], "kept");
  assert.equal(hook.status().warnings.length, 3);
  await house.close();
});

test("where the vendor counts, events of a page are kept in that order, whatever the list's is", async () => {
  const vendor = new Vendor(10);
  const definition = reconciled(vendor, {}, { key: (event) => event.account, sequence: (event) => event.n });
  const house = await openHouse({ definitions: [definition] });
  for (const n of [1, 2, 3, 4]) vendor.add(`evt_${n}`, house.clock.now() - 2 * minute + n, { account: "a", n });
  const hook = await house.serving("vendor");
  await passes(house, hook, 1);
  assert.deepEqual(await ids(house), ["evt_1", "evt_2", "evt_3", "evt_4"]);
  assert.equal(hook.status().hook.late, 0);
  await house.close();
});

test("a definition that is edited goes on with the new list; one without a list asks nobody", async () => {
  const vendor = new Vendor();
  const house = await openHouse({ definitions: [reconciled(vendor)] });
  const hook = await house.serving("vendor");
  await passes(house, hook, 1);
  const other = new Vendor();
  await house.hooks.apply([reconciled(other, { every: "1m" })]);
  await passes(house, hook, 3);
  assert.ok(other.asked.length >= 2);
  await house.hooks.apply([signed("vendor")]);
  assert.equal(hook.status().hook.reconcile, null);
  assert.throws(() => hook.reconcile(null), hasErrorCode("RECONCILE_UNDEFINED"));
  const asked = other.asked.length;
  await house.clock.advance(day);
  assert.equal(other.asked.length, asked);
  await house.close();
});

test("a pass can be asked for, also of the past, and of a list that is asked already", async () => {
  const vendor = new Vendor(10);
  const house = await openHouse({ definitions: [reconciled(vendor, { every: "1d" })] });
  const hook = await house.serving("vendor");
  const old = house.clock.now() - 3 * day;
  vendor.add("old", old);
  await passes(house, hook, 1);
  assert.deepEqual(await ids(house), []);
  hook.reconcile(old - minute);
  await passes(house, hook, 2);
  assert.deepEqual(await ids(house), ["old"]);
  vendor.asked.length = 0;
  hook.reconcile(null);
  await passes(house, hook, 3);
  assert.equal(vendor.asked.length, 1);
  await house.close();
});

test("who has been fenced writes no place, takes over again, and goes on from what the other has written", async () => {
  const vendor = new Vendor();
  const house = await openHouse({ definitions: [reconciled(vendor)] });
  const hook = await house.serving("vendor");
  await passes(house, hook, 1);
  const other = await becomeOwner(house.engine, unitOfReconcile("vendor"), { progress: house.progress });
  const completeMs = house.clock.now() - 30 * minute;
  const transaction = other.begin();
  await transaction.append(other.progressBatch({ version: 1, completeMs, window: null, gap: null }));
  await transaction.commit();
  await passes(house, hook, 2);
  assert.equal(now(hook).failures, 1);
  assert.ok(vendor.asked.some(({ since }) => since.getTime() === completeMs - 15 * minute));
  await house.close();
});

test("a source that is closed while the vendor is silent does not wait for it", async () => {
  const vendor = new Vendor();
  vendor.before = () => new Promise(() => {});
  const house = await openHouse({ definitions: [reconciled(vendor)] });
  const hook = await house.serving("vendor");
  for (let i = 0; vendor.asked.length === 0; i++) {
    assert.ok(i < 100);
    await house.clock.advance(500);
    await settle(20);
  }
  await house.close();
  assert.equal(vendor.asked[0]?.signal.aborted, true);
  assert.equal(now(hook).state, "stopped");
});
