import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { decodeBatch } from "../records/batch-records.ts";
import { Log } from "./log.ts";
import { type LogTopicSettings, laterTopicSettings } from "./topic-catalogue.ts";

const settings: LogTopicSettings = {
  ...laterTopicSettings,
  partitions: 1,
  retentionMs: null,
  retentionBytes: null,
  cleanup: "delete",
  batchBytesMax: 1024 * 1024,
  segmentBytesMax: 1024 * 1024,
  durability: "os",
};
const powerCuts = 30;

function openOn(disk: SimulatedDisk): Promise<Log> {
  const random = seededRandom(1);
  return Log.open({ disk, directory: "/log", clock: new VirtualClock(), random, diagnostics: silentDiagnostics });
}

async function append(log: Log, ...values: string[]): Promise<void> {
  const batch = encodeBatch(
    values.map((value) => ({ key: null, value: Buffer.from(value) })),
    0,
  );
  await log.append("t", 0, batch);
}

async function valuesOf(log: Log): Promise<string[]> {
  const values: string[] = [];
  const partition = log.partition("t", 0);
  for (let offset = partition.logStart; offset < partition.highWatermark; ) {
    const { batches } = await partition.read(offset, true, 1024 * 1024);
    for (const record of batches.flatMap(decodeBatch)) {
      values.push(String(record.value));
      offset = record.offset + 1;
    }
  }
  return values;
}

const alter = (log: Log, durability: "fsync" | "os") => log.alterTopic("t", (known) => ({ ...known, durability }));

test("a topic that becomes durable is so from its first record on", async () => {
  for (let seed = 1; seed <= powerCuts; seed++) {
    const disk = new SimulatedDisk(seededRandom(seed));
    const log = await openOn(disk);
    await log.createTopic("t", settings, false);
    await append(log, "a", "b");
    await append(log, "c");
    await alter(log, "fsync");
    const again = await openOn(disk.survivor());
    assert.deepEqual(await valuesOf(again), ["a", "b", "c"]);
    await again.close();
  }
});

test("what is appended while a topic becomes durable follows on what is there after a power cut", async () => {
  for (let seed = 1; seed <= powerCuts; seed++) {
    const disk = new SimulatedDisk(seededRandom(seed));
    const log = await openOn(disk);
    await log.createTopic("t", settings, false);
    await append(log, "a");
    const altered = alter(log, "fsync");
    await Promise.all([append(log, "b"), append(log, "c"), altered]);
    await append(log, "d");
    const again = await openOn(disk.survivor());
    assert.deepEqual(await valuesOf(again), ["a", "b", "c", "d"]);
    await again.close();
  }
});

test("a power cut at any step of becoming durable leaves records without a hole", async () => {
  const history = async (disk: SimulatedDisk) => {
    const log = await openOn(disk);
    await log.createTopic("t", settings, false);
    const begun = disk.operations;
    await append(log, "a", "b");
    await append(log, "c");
    await alter(log, "fsync");
    await append(log, "d");
    await alter(log, "os");
    await append(log, "e");
    await alter(log, "fsync");
    await append(log, "f");
    return begun;
  };
  const whole = new SimulatedDisk(seededRandom(1));
  const begun = await history(whole);
  for (let step = begun; step < whole.operations; step++) {
    for (let seed = 1; seed <= 4; seed++) {
      const disk = new SimulatedDisk(seededRandom(seed));
      disk.cutAfter(step);
      await history(disk).catch(() => undefined);
      const again = await openOn(disk.survivor());
      const values = await valuesOf(again);
      assert.deepEqual(values, ["a", "b", "c", "d", "e", "f"].slice(0, values.length), `cut after ${step}`);
      await append(again, "next");
      await again.close();
    }
  }
});
