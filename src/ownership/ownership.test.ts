import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { Engine } from "../engine/engine.ts";
import { decodeCommitted } from "../engine/records.ts";
import { writeCheckedFile } from "../log/checked-file.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { becomeOwner, fenceOwners, type Ownership } from "./become-owner.ts";
import { progressTopic } from "./progress-records.ts";
import { ProgressTable } from "./progress-table.ts";

const clock = new VirtualClock();
const file = "/data/progress-checkpoint";

function openOn(disk: SimulatedDisk): Promise<Engine> {
  return openEmbeddedEngine({
    disk,
    directory: "/data/log",
    clock,
    random: seededRandom(3),
    diagnostics: silentDiagnostics,
  });
}

function tableOf(engine: Engine, disk: SimulatedDisk): Promise<ProgressTable> {
  return ProgressTable.open({ engine, clock, checkpoint: { disk, file } });
}

async function step(owner: Ownership, output: string, progress: unknown): Promise<void> {
  const transaction = owner.begin();
  await transaction.append({
    topic: "out",
    partition: 0,
    batch: encodeBatch([{ key: null, value: Buffer.from(output) }], 0),
  });
  await transaction.append(owner.progressBatch(progress));
  await transaction.commit();
}

async function outputs(engine: Engine): Promise<string[]> {
  const result = await engine.read({
    topic: "out",
    partition: 0,
    offset: 0,
    isolation: "read_committed",
    bytesMax: 1e6,
  });
  return decodeCommitted(result, 0).map(({ value }) => String(value));
}

const isFenced = (error: unknown) => MillraceError.is(error, "PRODUCER_FENCED");

test("a new owner goes on from the progress that the last one committed with its output", async () => {
  const engine = await openOn(new SimulatedDisk(seededRandom(1)));
  await engine.createTopic("out");
  const first = await becomeOwner(engine, "copy");
  assert.equal(first.progress, undefined);
  await step(first, "a", { at: 1 });
  await step(first, "b", { at: 2 });
  const second = await becomeOwner(engine, "copy");
  assert.deepEqual(second.progress, { at: 2 });
  assert.ok(second.epoch > first.epoch);
  assert.equal((await becomeOwner(engine, "other")).progress, undefined);
  await engine.close();
});

test("of two owners of one unit the first is fenced, and nothing of it can be seen", async () => {
  const engine = await openOn(new SimulatedDisk(seededRandom(1)));
  await engine.createTopic("out");
  const first = await becomeOwner(engine, "copy");
  const open = first.begin();
  await open.append({ topic: "out", partition: 0, batch: encodeBatch([{ key: null, value: Buffer.from("lost") }], 0) });
  await open.append(first.progressBatch({ at: 99 }));
  const second = await becomeOwner(engine, "copy");
  await assert.rejects(open.commit(), isFenced);
  await assert.rejects(step(first, "late", { at: 100 }), isFenced);
  assert.equal(second.progress, undefined);
  await step(second, "kept", { at: 1 });
  assert.deepEqual(await outputs(engine), ["kept"]);
  assert.deepEqual((await becomeOwner(engine, "copy")).progress, { at: 1 });
  await engine.close();
});

test("of many who take one unit at the same time exactly one can act", async () => {
  const engine = await openOn(new SimulatedDisk(seededRandom(1)));
  await engine.createTopic("out");
  const progress = await ProgressTable.open({ engine, clock });
  const taken = await Promise.allSettled(Array.from({ length: 5 }, () => becomeOwner(engine, "copy", { progress })));
  const acted = await Promise.allSettled(
    taken.map(async (outcome) => {
      if (outcome.status === "rejected") throw outcome.reason;
      await step(outcome.value, "acted", { at: 1 });
    }),
  );
  assert.equal(acted.filter(({ status }) => status === "fulfilled").length, 1);
  for (const outcome of acted)
    if (outcome.status === "rejected") assert.ok(isFenced(outcome.reason), String(outcome.reason));
  assert.deepEqual(await outputs(engine), ["acted"]);
  await engine.close();
});

test("a start with a checkpoint reads only what came after it", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const engine = await openOn(disk);
  await engine.createTopic("out");
  const before = await tableOf(engine, disk);
  const owner = await becomeOwner(engine, "copy", { progress: before });
  for (let i = 0; i < 50; i++) await step(owner, `${i}`, { at: i });
  await becomeOwner(engine, "idle", { progress: before });
  await before.close();
  await step(owner, "after", { at: 50 });
  await engine.close();
  const again = await openOn(disk);
  const table = await tableOf(again, disk);
  assert.equal(table.recordsRead, 1);
  assert.deepEqual(table.unit("copy").progress, { at: 50 });
  assert.equal(table.unit("idle").progress, undefined);
  await again.close();
});

test("a checkpoint that is damaged, of another log or ahead of the topic is thrown away, and the topic read again", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const engine = await openOn(disk);
  await engine.createTopic("out");
  const table = await tableOf(engine, disk);
  await step(await becomeOwner(engine, "copy", { progress: table }), "a", { at: 1 });
  await table.close();
  const other = new SimulatedDisk(seededRandom(1));
  const otherEngine = await openEmbeddedEngine({
    disk: other,
    directory: "/data/log",
    clock,
    random: seededRandom(4),
    diagnostics: silentDiagnostics,
  });
  const foreign = await ProgressTable.open({ engine: otherEngine, clock, checkpoint: { disk, file } });
  assert.deepEqual(foreign.unit("copy"), { ownerEpoch: -1, progress: undefined });
  await otherEngine.close();
  disk.corrupt(file, disk.contents(file).length - 3);
  const again = await tableOf(engine, disk);
  assert.deepEqual(again.unit("copy").progress, { at: 1 });
  assert.ok(again.recordsRead > 1);
  await engine.close();
});

test("a checkpoint from before the topic was cut is thrown away", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const engine = await openOn(disk);
  await engine.createTopic("out");
  const table = await tableOf(engine, disk);
  await step(await becomeOwner(engine, "copy", { progress: table }), "a", { at: 1 });
  await table.close();
  const content = disk.contents(file).toString();
  const checkpoint = JSON.parse(content.slice(content.indexOf("\n")));
  assert.equal((await tableOf(engine, disk)).recordsRead, 0);
  await writeCheckedFile(disk, file, "progress", 1, { ...checkpoint, leaderEpoch: checkpoint.leaderEpoch + 1 });
  assert.ok((await tableOf(engine, disk)).recordsRead > 0);
  await writeCheckedFile(disk, file, "progress", 1, { ...checkpoint, nextOffset: 1_000_000 });
  assert.ok((await tableOf(engine, disk)).recordsRead > 0);
  await engine.close();
});

test("progress of an earlier owner's epoch is ignored", async () => {
  const engine = await openOn(new SimulatedDisk(seededRandom(1)));
  await engine.createTopic("out");
  const first = await becomeOwner(engine, "copy");
  await step(first, "a", { at: 1 });
  const stale = first.progressBatch({ at: 99 });
  await becomeOwner(engine, "copy");
  await engine.append({ ...stale, topic: progressTopic });
  assert.deepEqual((await becomeOwner(engine, "copy")).progress, { at: 1 });
  await engine.close();
});

test("an owner whose record lies behind another unit's open transaction waits until that one is fenced", async () => {
  const engine = await openOn(new SimulatedDisk(seededRandom(5)));
  await engine.createTopic("out");
  const killed = await becomeOwner(engine, "killed");
  await killed.begin().append(killed.progressBatch({ at: 1 }));
  const waiting = becomeOwner(engine, "next");
  let isOwner = false;
  void waiting.then(() => {
    isOwner = true;
  });
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(isOwner, false, "its own record cannot be read yet");
  await fenceOwners(engine, ["killed", "next-but-one"]);
  assert.ok((await waiting).epoch > killed.epoch);
  await engine.close();
});
