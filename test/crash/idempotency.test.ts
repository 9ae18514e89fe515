/**
 * A client that sends every request twice at once, and again whatever was not answered, to a Millrace whose power is cut
 * after every operation of its disk. However often and wherever: each request is appended once and whole, and what was
 * answered is there, where the answer said.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../src/base/random.ts";
import { SimulatedDisk } from "../../src/base/simulated-disk.ts";
import { IdFold } from "../../src/capture/webhooks/id-fold.ts";
import { openAppendLog, recordsOf, turn } from "../../src/http/append-house.fixture.ts";
import type { AnsweredPlace } from "../../src/http/idempotency-records.ts";
import type { IdempotentAppends } from "../../src/http/idempotent-appends.ts";
import { encodeBatch } from "../../src/records/batch-builder.ts";
import { asItIs, cutEverywhere, type Wrap, withoutSync } from "./cuts.ts";

/** `MILLRACE_TEST_RUNS` runs more histories, and cuts each after every operation in place of every fifth one. */
const seeds = Number(process.env.MILLRACE_TEST_RUNS ?? 1);
const stride = seeds > 1 ? 1 : 5;
const requests = 8;
const idempotent = { checkpointEvery: 4 };

type Answered = Map<string, readonly AnsweredPlace[]>;

async function openOn(disk: SimulatedDisk, wrap: Wrap) {
  const log = await openAppendLog({ disk: wrap(disk), idempotent });
  if (!log.engine.topic("t")) await log.engine.createTopic("t", { partitions: 2 });
  return log;
}

/** Each is in both partitions, or in one of them. */
async function send(appends: IdempotentAppends, answered: Answered, n: number): Promise<void> {
  const name = `request ${n}`;
  const batch = () => encodeBatch([{ key: null, value: Buffer.from(name) }], 0);
  const plan = () => (n % 3 === 0 ? [0] : [0, 1]).map((partition) => ({ partition, batch: batch() }));
  try {
    const { places } = await appends.append({ topic: "t", topicId: "t", key: name, fingerprint: name, plan });
    const before = answered.get(name);
    if (before) assert.deepEqual(places, before, `${name} moved`);
    answered.set(name, places);
  } catch (error) {
    // Not answered with success: it is sent again.
    if (error instanceof assert.AssertionError) throw error;
  }
}

async function sendAll(appends: IdempotentAppends, answered: Answered, seed: number): Promise<void> {
  const random = seededRandom(seed);
  for (let next = 0; next < requests; ) {
    const wave: number[] = [];
    const burst = 1 + random.below(3);
    for (let i = 0; i < burst && next < requests; i++, next++) wave.push(next, next);
    if (next > 2) wave.push(random.below(next - 1));
    await Promise.all(wave.map((n) => send(appends, answered, n)));
    await turn();
  }
}

async function runOnce(disk: SimulatedDisk, answered: Answered, seed: number, wrap: Wrap): Promise<void> {
  const log = await openOn(disk, wrap).catch(() => undefined);
  if (!log) return;
  await sendAll(log.idempotent, answered, seed);
  // A kill closes nothing; half of the runs stop in good order.
  if (seed % 2 === 0) await log.close().catch(() => undefined);
}

async function cutOnce(seed: number, operations: number, wrap: Wrap): Promise<void> {
  const random = seededRandom(seed * 100_003 + operations);
  const answered: Answered = new Map();
  let disk = new SimulatedDisk(random);
  disk.cutAfter(operations);
  await runOnce(disk, answered, seed, wrap);
  disk = random.below(3) === 0 ? disk.afterKill() : disk.survivor();
  if (random.below(2) === 0) {
    disk.cutAfter(random.below(60));
    await runOnce(disk, answered, seed + 1, wrap);
    disk = disk.survivor();
  }
  const log = await openOn(disk, wrap);
  await sendAll(log.idempotent, answered, seed + 2);
  const seen = new Map<string, string[]>();
  for (const { partition, offset, value } of await recordsOf(log.engine)) {
    seen.set(String(value), [...(seen.get(String(value)) ?? []), `${partition}/${offset}`]);
  }
  assert.equal(answered.size, requests, "every request is answered");
  assert.equal(seen.size, requests);
  for (const [name, places] of answered) {
    const told = places.map(({ partition, baseOffset }) => `${partition}/${baseOffset}`);
    assert.deepEqual(seen.get(name), told, `${name} is there twice, in part, or somewhere else`);
  }
  await log.close();
}

async function cutHistory(seed: number, wrap: Wrap): Promise<void> {
  const opened = new SimulatedDisk(seededRandom(1));
  const log = await openOn(opened, wrap);
  const first = opened.operations;
  await log.close();
  const whole = new SimulatedDisk(seededRandom(seed));
  await runOnce(whole, new Map(), seed, wrap);
  const { operations } = whole;
  await cutEverywhere({ seed, stride, operations, first, cut: (n) => cutOnce(seed, n, wrap) });
}

test("each request with a key is appended once and whole, and every answer holds, wherever the power is cut", async () => {
  for (let seed = 1; seed <= 2 * seeds; seed++) await cutHistory(seed, asItIs);
});

test("the simulator catches a log whose keys are not read back", async (t) => {
  t.mock.method(IdFold.prototype, "catchUp", async function (this: IdFold) {});
  await assert.rejects(cutHistory(1, asItIs), /is there twice|moved/);
});

test("the simulator catches a log that answers before it syncs", async () => {
  await assert.rejects(cutHistory(1, withoutSync));
});
