import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { Log } from "./log.ts";
import type { LogLimits } from "./log-context.ts";
import { segmentHeaderBytes } from "./segment.ts";
import { laterTopicSettings } from "./topic-catalogue.ts";

const settings = {
  ...laterTopicSettings,
  partitions: 1,
  retentionMs: null,
  retentionBytes: null,
  cleanup: "delete",
  batchBytesMax: 1024 * 1024,
  segmentBytesMax: 1024 * 1024 * 1024,
  durability: "fsync",
} as const;

const batchOf = (bytes: number) => encodeBatch([{ key: null, value: Buffer.alloc(bytes) }], 0);

async function openOn(disk: SimulatedDisk, limits: Partial<LogLimits> = {}, more: { durability?: "os" } = {}) {
  const log = await Log.open({
    disk,
    directory: "/log",
    clock: new VirtualClock(),
    random: seededRandom(1),
    diagnostics: silentDiagnostics,
    limits,
  });
  await log.createTopic("t", { ...settings, ...more }, false);
  // The first group of all takes a file of the journal into use.
  await log.initProducer("first");
  return log;
}

/** The kinds of operation since the mark. */
function since(disk: SimulatedDisk, mark: number): string[] {
  return disk.history.slice(mark).map(({ operation }) => operation);
}

test("an append is written and synced before it is answered", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const log = await openOn(disk);
  const mark = disk.history.length;
  await log.append("t", 0, batchOf(10));
  assert.deepEqual(since(disk, mark), ["write", "datasync"]);
});

test("appends that come together go down in one write and one sync", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const log = await openOn(disk);
  const mark = disk.history.length;
  await Promise.all(Array.from({ length: 50 }, () => log.append("t", 0, batchOf(10))));
  assert.deepEqual(since(disk, mark), ["write", "datasync"]);
});

test("appends that come while a group is synced make the next group", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const log = await openOn(disk);
  const mark = disk.history.length;
  const writer = async () => {
    for (let i = 0; i < 10; i++) await log.append("t", 0, batchOf(10));
  };
  await Promise.all(Array.from({ length: 20 }, writer));
  assert.equal(since(disk, mark).filter((operation) => operation === "datasync").length, 10);
});

test("a topic of durability os answers without a sync", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const log = await openOn(disk, {}, { durability: "os" });
  const mark = disk.history.length;
  await log.append("t", 0, batchOf(10));
  assert.deepEqual(since(disk, mark), ["write"]);
  assert.equal(log.partition("t", 0).highWatermark, 1);
});

test("nothing is readable before its sync has ended", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const log = await openOn(disk);
  const partition = log.partition("t", 0);
  let answered = false;
  const appended = log.append("t", 0, batchOf(10)).then(() => {
    answered = true;
  });
  while (!answered) {
    const isSynced = disk.history.at(-1)?.operation === "datasync" && disk.history.at(-2)?.operation === "write";
    if (!isSynced) assert.equal(partition.highWatermark, 0);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await appended;
  assert.equal(partition.highWatermark, 1);
});

test("a commit makes data and decision durable by one sync, and answers without a sync of its markers", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const log = await openOn(disk);
  const transaction = (await log.initProducer("unit")).begin();
  const mark = disk.history.length;
  await transaction.append({ topic: "t", partition: 0, batch: batchOf(10) });
  await transaction.commit();
  assert.deepEqual(since(disk, mark), ["write", "datasync"]);
  assert.equal(log.partition("t", 0).lastStable, 1);
  await log.append("t", 0, batchOf(10));
  assert.equal(log.partition("t", 0).highWatermark, 3);
});

test("a long transaction is synced on its way, and never leaves more unsynced than a start takes for torn", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const limits = { groupBytesMax: 1000, unsyncedBytesMax: 2000, pendingBytesMax: 1500 };
  const log = await openOn(disk, limits);
  const partition = log.partition("t", 0);
  const path = `${partition.place.directory}/00000000000000000000.log`;
  const transaction = (await log.initProducer("unit")).begin();
  let syncedBytes = segmentHeaderBytes;
  let seen = disk.history.length;
  for (let i = 0; i < 60; i++) {
    await transaction.append({ topic: "t", partition: 0, batch: batchOf(i % 7 === 0 ? 5000 : 300) });
    const { length } = disk.contents(path);
    for (; seen < disk.history.length; seen++) if (disk.history[seen]?.operation === "datasync") syncedBytes = length;
    const largest = 5100;
    assert.ok(length - syncedBytes <= Math.max(3000, largest), `${length - syncedBytes} bytes are unsynced`);
  }
  assert.ok(disk.history.filter(({ operation }) => operation === "datasync").length > 5);
  await transaction.commit();
});
