/**
 * Consumed offsets and produced records are committed together or not at all: the power is cut after every disk operation of
 * a short history, and what the next start finds is compared with what was answered.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { seededRandom } from "../../src/base/random.ts";
import { SimulatedDisk } from "../../src/base/simulated-disk.ts";
import { VirtualClock } from "../../src/base/virtual-clock.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/embedded-engine.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { decodeCommitted } from "../../src/engine/records.ts";
import { OffsetStore } from "../../src/log/groups/offset-store.ts";
import { encodeBatch } from "../../src/records/batch-builder.ts";

const clock = new VirtualClock();
const rounds = 4;
/** Small files, so that a cut costs little. */
const limits = { journalFileBytes: 64 * 1024, diskReserveBytes: 0 };
let starts = 0;

/** What was begun, and what was answered. */
interface Told {
  begun: number;
  done: number;
  plainBegun: number;
  plainDone: number;
}

type Commit = (engine: Engine, store: OffsetStore, round: number) => Promise<void>;

async function openOn(disk: SimulatedDisk) {
  const engine = await openEmbeddedEngine({
    disk,
    directory: "/data/log",
    clock,
    random: seededRandom(++starts),
    diagnostics: silentDiagnostics,
    limits,
  });
  return { engine, store: new OffsetStore({ log: engine, clock, diagnostics: silentDiagnostics }) };
}

function output(round: number) {
  return { topic: "out", partition: 0, batch: encodeBatch([{ key: null, value: Buffer.from(`${round}`) }], 0) };
}

const consumed = (offset: number, partition = 0) => ({ topic: "in", partition, offset, metadata: `round ${offset}` });

const together: Commit = async (engine, store, round) => {
  const transaction = (await engine.initProducer("copy")).begin();
  // Both partitions' offsets are one batch.
  await Promise.all([
    transaction.append(output(round)),
    store.commitIn(transaction, "copiers", [consumed(round), consumed(round, 1)]),
  ]);
  if (round % 2 === 0) {
    await transaction.commit();
    return;
  }
  // Every other one is first aborted, and done again.
  await transaction.abort();
  const again = (await engine.initProducer("copy")).begin();
  await store.commitIn(again, "copiers", [consumed(round), consumed(round, 1)]);
  await again.append(output(round));
  await again.commit();
};

/** The bug that the test must see: the offset first, then the output. */
const apart: Commit = async (engine, store, round) => {
  await store.commit("copiers", [consumed(round), consumed(round, 1)]);
  await engine.append(output(round));
};

async function run(disk: SimulatedDisk, told: Told, commit: Commit): Promise<void> {
  try {
    const { engine, store } = await openOn(disk);
    await engine.createTopic("in", { partitions: 2 });
    await engine.createTopic("out");
    for (let round = 1; round <= rounds; round++) {
      told.begun = round;
      await commit(engine, store, round);
      told.done = round;
      told.plainBegun = round;
      await store.commit("plain", [consumed(round)]);
      told.plainDone = round;
    }
    await engine.close();
  } catch (error) {
    const { code } = error as { readonly code?: string };
    if (!disk.isOff || !["EIO", "PARTITION_FAILED", "LOG_CLOSED"].includes(code ?? "")) throw error;
  }
}

async function check(disk: SimulatedDisk, told: Told): Promise<void> {
  const { engine, store } = await openOn(disk);
  if (!engine.topic("in") || !engine.topic("out")) {
    assert.equal(told.begun, 0);
    await engine.close();
    return;
  }
  const read = { topic: "out", partition: 0, offset: 0, isolation: "read_committed", bytesMax: 1e6 } as const;
  const outputs = decodeCommitted(await engine.read(read), 0).map(({ value }) => Number(value));
  const fetched = await store.fetch("copiers", undefined, { requireStable: true });
  const offsets = fetched.map(({ committed }) => committed?.offset);
  const reached = offsets[0] ?? 0;
  assert.deepEqual(
    outputs,
    Array.from({ length: reached }, (_, i) => i + 1),
  );
  assert.deepEqual(offsets, reached === 0 ? [] : [reached, reached]);
  assert.ok(reached >= told.done && reached <= told.begun, `${reached} is not in ${told.done} to ${told.begun}`);
  const [plain] = await store.fetch("plain");
  const plainReached = plain?.committed?.offset ?? 0;
  assert.ok(plainReached >= told.plainDone && plainReached <= told.plainBegun, `plain: ${plainReached}`);
  if (plain?.committed) assert.equal(plain.committed.metadata, `round ${plainReached}`);
  // What is served now goes on.
  await store.commit("copiers", [consumed(reached + 1)]);
  assert.equal((await store.fetch("copiers"))[0]?.committed?.offset, reached + 1);
  await engine.close();
}

async function everyCut(commit: Commit, seeds: number): Promise<number> {
  const whole = new SimulatedDisk(seededRandom(0));
  await run(whole, { begun: 0, done: 0, plainBegun: 0, plainDone: 0 }, commit);
  for (let cut = 0; cut <= whole.operations; cut++) {
    for (let seed = 1; seed <= seeds; seed++) {
      const disk = new SimulatedDisk(seededRandom(1000 * seed + cut));
      disk.cutAfter(cut);
      const told: Told = { begun: 0, done: 0, plainBegun: 0, plainDone: 0 };
      await run(disk, told, commit);
      try {
        await check(disk.survivor(), told);
      } catch (cause) {
        throw new Error(`after operation ${cut}, seed ${seed}`, { cause });
      }
    }
  }
  return whole.operations;
}

test("consumed offsets and produced records are committed together or not at all, wherever the power is cut", async () => {
  const operations = await everyCut(together, 2);
  assert.ok(operations > 30, `only ${operations} operations`);
});

test("an offset that is committed before its output is caught by this test", async () => {
  await assert.rejects(everyCut(apart, 1), /after operation/);
});
