import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { VirtualClock } from "../base/virtual-clock.ts";
import { ClientQuotas, clientIdLengthMax } from "./quotas.ts";

const seed = Number(process.env.MILLRACE_TEST_SEED ?? Date.now() % 1_000_000);
console.log(`quotas: seed ${seed}`);

test("a client without a quota is never throttled, and nothing is remembered of it", () => {
  const quotas = new ClientQuotas(new VirtualClock());
  assert.equal(quotas.record("produce", "a", 10 ** 12), 0);
  assert.equal(quotas.windowBytes("produce", "a"), Number.POSITIVE_INFINITY);
  assert.equal(quotas.counts("produce").clients, 0);
});

test("who goes beyond the quota waits until the average is within it", async () => {
  const clock = new VirtualClock();
  const quotas = new ClientQuotas(clock, { windowMs: 1000 });
  quotas.set("produce", undefined, 1000);
  assert.equal(quotas.record("produce", "a", 1000), 0);
  assert.equal(quotas.record("produce", "a", 500), 500);
  assert.equal(quotas.record("produce", "a", 1), 501);
  assert.equal(quotas.throttleMs("produce", "a"), 501);
  await clock.advance(500);
  assert.equal(quotas.throttleMs("produce", "a"), 1);
  await clock.advance(1);
  assert.equal(quotas.throttleMs("produce", "a"), 0);
  assert.equal(quotas.record("produce", "a", 1), 1);
  assert.deepEqual(quotas.counts("produce"), { clients: 1, throttledTotal: 3, throttledMsTotal: 1002 });
});

test("clients, and writing and reading, do not share a quota", () => {
  const quotas = new ClientQuotas(new VirtualClock(), { windowMs: 1000 });
  quotas.set("produce", undefined, 1000);
  quotas.set("fetch", "a", 100);
  assert.equal(quotas.record("produce", "a", 2000), 1000);
  assert.equal(quotas.record("produce", "b", 1000), 0);
  assert.equal(quotas.record("fetch", "a", 100), 0);
  assert.equal(quotas.record("fetch", "b", 5000), 0);
  assert.equal(quotas.throttleMs("fetch", "a"), 0);
});

test("a quota of its own goes before the default, and can be changed and removed at any time", async () => {
  const clock = new VirtualClock();
  const quotas = new ClientQuotas(clock, { windowMs: 1000 });
  quotas.set("fetch", undefined, 1000);
  quotas.set("fetch", "a", 100);
  assert.equal(quotas.quotaOf("fetch", "a"), 100);
  assert.equal(quotas.quotaOf("fetch", "b"), 1000);
  assert.equal(quotas.windowBytes("fetch", "a"), 100);
  assert.equal(quotas.record("fetch", "a", 300), 2000);
  await clock.advance(1000);
  // 100 of the debt of 200 were paid at the old rate.
  quotas.set("fetch", "a", 1000);
  assert.equal(quotas.throttleMs("fetch", "a"), 100);
  quotas.remove("fetch", "a");
  assert.equal(quotas.throttleMs("fetch", "a"), 100);
  assert.deepEqual(quotas.quotas("fetch"), new Map([[undefined, 1000]]));
  quotas.remove("fetch", undefined);
  assert.equal(quotas.throttleMs("fetch", "a"), 0);
  assert.equal(quotas.counts("fetch").clients, 0);
  assert.equal(quotas.record("fetch", "a", 10 ** 9), 0);
});

test("when the default changes, debts paid until then were paid at the old rate", async () => {
  const clock = new VirtualClock();
  const quotas = new ClientQuotas(clock, { windowMs: 1000 });
  quotas.set("produce", undefined, 1000);
  quotas.record("produce", "a", 5000);
  await clock.advance(1000);
  quotas.set("produce", undefined, 100);
  assert.equal(quotas.throttleMs("produce", "a"), 30_000);
});

test("a client with a quota of its own keeps its debt when the default is removed", () => {
  const quotas = new ClientQuotas(new VirtualClock(), { windowMs: 1000 });
  quotas.set("produce", undefined, 1000);
  quotas.set("produce", "a", 1000);
  quotas.record("produce", "a", 3000);
  quotas.record("produce", "b", 3000);
  quotas.remove("produce", undefined);
  assert.equal(quotas.throttleMs("produce", "a"), 2000);
  assert.equal(quotas.throttleMs("produce", "b"), 0);
});

test("clocks that jump neither throttle for ever nor give bytes away", async () => {
  const clock = new VirtualClock();
  const quotas = new ClientQuotas(clock, { windowMs: 1000 });
  quotas.set("produce", undefined, 1000);
  quotas.record("produce", "a", 1500);
  clock.jump(-8 * 86_400_000);
  assert.equal(quotas.throttleMs("produce", "a"), 500);
  clock.jump(16 * 86_400_000);
  assert.equal(quotas.throttleMs("produce", "a"), 500);
  await clock.advance(8 * 86_400_000);
  assert.equal(quotas.record("produce", "a", 1001), 1);
});

test("a monotonic clock that goes back all the same does no harm", () => {
  let nowMs = 1_000_000;
  const clock = Object.assign(new VirtualClock(), { monotonicMs: () => nowMs });
  const quotas = new ClientQuotas(clock, { windowMs: 1000 });
  quotas.set("produce", undefined, 1000);
  assert.equal(quotas.record("produce", "a", 2000), 1000);
  nowMs = 0;
  assert.equal(quotas.throttleMs("produce", "a"), 1000);
  nowMs = 1000;
  assert.equal(quotas.throttleMs("produce", "a"), 0);
});

test("no wait is longer than the longest, whatever was taken and however low the quota is set", () => {
  const quotas = new ClientQuotas(new VirtualClock(), { throttleMsMax: 60_000 });
  quotas.set("fetch", "a", 3);
  for (const bytes of [10 ** 15, Number.MAX_VALUE, Number.POSITIVE_INFINITY, 1]) {
    assert.equal(quotas.record("fetch", "a", bytes), 60_000);
  }
  quotas.set("fetch", "a", 0.001);
  assert.equal(quotas.record("fetch", "a", 1), 60_000);
  for (const bytes of [Number.NaN, -5, 0]) assert.equal(quotas.record("fetch", "b", bytes), 0);
});

test("of too many clients the least recently seen is forgotten", () => {
  const quotas = new ClientQuotas(new VirtualClock(), { windowMs: 1000, clientsMax: 3 });
  quotas.set("produce", undefined, 1000);
  for (const clientId of ["a", "b", "c", "a", "d"]) quotas.record("produce", clientId, 2000);
  assert.equal(quotas.counts("produce").clients, 3);
  assert.equal(quotas.throttleMs("produce", "a"), 3000);
  assert.equal(quotas.throttleMs("produce", "b"), 0);
  assert.equal(quotas.throttleMs("produce", "d"), 1000);
});

test("no more quotas are taken than there may be, and none for a name that is too long", () => {
  const quotas = new ClientQuotas(new VirtualClock(), { windowMs: 1000, quotasMax: 1 });
  assert.equal(quotas.set("produce", "a", 10), true);
  assert.equal(quotas.set("produce", "b", 10), false);
  assert.equal(quotas.set("produce", "a", 20), true);
  assert.equal(quotas.set("produce", undefined, 1000), true);
  const long = "x".repeat(clientIdLengthMax + 1);
  assert.equal(quotas.set("produce", long, 10), false);
  assert.equal(quotas.quotaOf("produce", "b"), 1000);
  quotas.record("produce", long, 2000);
  assert.equal(quotas.throttleMs("produce", undefined), 1000);
});

test("a quota that is no rate is a bug of the caller", () => {
  const quotas = new ClientQuotas(new VirtualClock());
  for (const rate of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => quotas.set("produce", "a", rate), RangeError);
  }
});

const step = fc.record({ afterMs: fc.nat(3000), bytes: fc.nat(20_000), obeys: fc.boolean() });

test("whoever waits as told stays within the quota, but for one window and what is taken at once", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40, size: "max" }),
      fc.integer({ min: 1, max: 9 }),
      async (steps, kilobytes) => {
        const clock = new VirtualClock();
        const quotas = new ClientQuotas(clock, { windowMs: 2000, throttleMsMax: 10 ** 9 });
        const rate = kilobytes * 1000;
        quotas.set("produce", undefined, rate);
        let takenBefore = 0;
        for (const { afterMs, bytes } of steps) {
          assert.ok(takenBefore <= (rate * (clock.monotonicMs() + 2000)) / 1000);
          takenBefore += bytes;
          await clock.advance(quotas.record("produce", "a", bytes) + afterMs);
        }
      },
    ),
    { seed, numRuns: 60 },
  );
});

test("the wait is that of a bucket filled millisecond by millisecond", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 25, size: "max" }),
      fc.integer({ min: 1, max: 9 }),
      async (steps, perMs) => {
        const clock = new VirtualClock();
        const quotas = new ClientQuotas(clock, { windowMs: 2000, throttleMsMax: 5000 });
        quotas.set("fetch", "a", perMs * 1000);
        let tokens = perMs * 2000;
        for (const { afterMs, bytes, obeys } of steps) {
          tokens = Math.max(tokens - bytes, -perMs * 5000);
          const expected = tokens < 0 ? Math.ceil(-tokens / perMs) : 0;
          const throttleMs = quotas.record("fetch", "a", bytes);
          assert.equal(throttleMs, expected);
          const waitMs = afterMs + (obeys ? throttleMs : 0);
          for (let ms = 0; ms < waitMs; ms++) tokens = Math.min(tokens + perMs, perMs * 2000);
          await clock.advance(waitMs);
        }
      },
    ),
    { seed, numRuns: 60 },
  );
});
