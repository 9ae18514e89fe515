import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { stampTransaction } from "../records/batch-header.ts";
import { Log } from "./log.ts";
import type { Partition } from "./partition.ts";
import type { TransactionVersion } from "./producer.ts";
import { type LogTopicSettings, laterTopicSettings } from "./topic-catalogue.ts";
import { decodeTransactionRecords, type ProducerIdentity } from "./transaction-records.ts";

const settings: LogTopicSettings = {
  ...laterTopicSettings,
  partitions: 2,
  retentionMs: null,
  retentionBytes: null,
  cleanup: "delete",
  batchBytesMax: 1024 * 1024,
  segmentBytesMax: 1024 * 1024,
  durability: "fsync",
};

function openOn(disk: SimulatedDisk): Promise<Log> {
  const random = seededRandom(1);
  return Log.open({ disk, directory: "/log", clock: new VirtualClock(), random, diagnostics: silentDiagnostics });
}

async function send(
  log: Log,
  { producerId, epoch }: ProducerIdentity,
  partition: number,
  sequence = 0,
  transactionVersion: TransactionVersion = 2,
): Promise<number> {
  const batch = encodeBatch([{ key: null, value: Buffer.from(`${partition} ${sequence}`) }], 0);
  stampTransaction(batch, producerId, epoch, sequence);
  return (await log.append("t", partition, batch, { transactionVersion })).baseOffset;
}

/** Calls what comes about while the power goes after every operation of the start after it, until it is whole. */
async function atEveryStep(
  prepare: (step: number) => Promise<SimulatedDisk>,
  check: (log: Log, step: number) => Promise<void>,
): Promise<void> {
  for (let step = 0, wasCut = true; wasCut; step++) {
    const disk = await prepare(step);
    disk.cutAfter(disk.operations + step);
    await openOn(disk).catch(() => undefined);
    wasCut = disk.isOff;
    const log = await openOn(disk.survivor());
    await check(log, step);
    await log.close();
  }
}

async function logOn(disk: SimulatedDisk): Promise<Log> {
  const log = await openOn(disk);
  await log.createTopic("t", settings, false);
  return log;
}

test("what this process had open in a crash is aborted, and cannot be gone on with, at whatever step the next start is cut", async () => {
  let before: ProducerIdentity = { producerId: -1, epoch: -1 };
  const prepare = async (step: number) => {
    const disk = new SimulatedDisk(seededRandom(step + 1));
    const log = await logOn(disk);
    const producer = await log.initProducer("unit");
    before = { producerId: producer.producerId, epoch: producer.epoch };
    const batch = encodeBatch([{ key: null, value: Buffer.from("half") }], 0);
    await producer.begin().append({ topic: "t", partition: 0, batch });
    await log.partition("t", 0).sync();
    return disk.survivor();
  };
  await atEveryStep(prepare, async (log, step) => {
    for (const partition of [0, 1]) {
      await assert.rejects(
        send(log, before, partition),
        (error) => MillraceError.is(error, "PRODUCER_UNKNOWN"),
        `cut after ${step}, partition ${partition}`,
      );
      const { lastStable, highWatermark, producers } = log.partition("t", partition);
      assert.equal(lastStable, highWatermark);
      assert.deepEqual(producers.openTransactions(), []);
    }
    const next = await log.initProducer("unit");
    assert.equal(next.producerId, before.producerId);
    assert.ok(next.epoch > before.epoch + 1, "the interrupted transaction has the epoch before");
  });
});

for (const version of [1, 2] as const) {
  test(`what a client of version ${version} had open in a crash goes on, at whatever step the next start is cut`, async () => {
    let producer: ProducerIdentity = { producerId: -1, epoch: -1 };
    const prepare = async (step: number) => {
      const disk = new SimulatedDisk(seededRandom(step + 1));
      const log = await logOn(disk);
      producer = await log.transactions.initByWire("unit", null);
      const places = [0, 1].map((partition) => log.partition("t", partition));
      if (version === 1) await log.transactions.addPartitions("unit", producer, places);
      await send(log, producer, 0, 0, version);
      return disk.survivor();
    };
    await atEveryStep(prepare, async (log) => {
      assert.equal(log.partition("t", 0).lastStable, 0);
      assert.equal(await send(log, producer, 0, 0, version), 0, "it is there already");
      assert.equal(await send(log, producer, 0, 1, version), 1);
      assert.equal(await send(log, producer, 1, 0, version), 0);
      const next = await log.transactions.endByWire("unit", producer, "commit", version);
      assert.equal(next.epoch, producer.epoch + version - 1);
      for (const partition of [0, 1]) {
        const { lastStable, highWatermark } = log.partition("t", partition);
        assert.equal(lastStable, highWatermark);
        assert.deepEqual((await log.partition("t", partition).read(0, true, 1000)).aborted, []);
      }
    });
  });
}

/**
 * Of transactions with the same producer and epoch the later one must not be ended by the earlier one's decision: neither where the
 * markers of that one were lost, nor where they are there.
 */
test("transactions of one epoch are told apart by a start, whatever of their markers is lost", async () => {
  for (const first of ["commit", "abort"] as const) {
    for (const markersAreThere of [false, true]) {
      const disk = new SimulatedDisk(seededRandom(7));
      const log = await logOn(disk);
      const producer = await log.transactions.initByWire("unit", null);
      const places = [0, 1].map((partition) => log.partition("t", partition));
      const begin = () => log.transactions.addPartitions("unit", producer, places);
      await begin();
      for (const partition of [0, 1]) await send(log, producer, partition, 0, 1);
      await log.transactions.endByWire("unit", producer, first, 1);
      if (markersAreThere) await log.partition("t", 0).sync();
      await begin();
      // Its marker before it, the batch takes along to the disk; partition 1 may have lost its own.
      await send(log, producer, 0, 1, 1);
      const again = await openOn(disk.survivor());
      assert.equal(again.transactions.describe("unit")?.state, "ongoing");
      const [one, two] = [0, 1].map((partition) => again.partition("t", partition)) as [Partition, Partition];
      assert.equal(one.lastStable, 2, "the second one's batch is open, and nothing before it");
      assert.equal(two.lastStable, two.highWatermark);
      const aborted = first === "abort" ? 1 : 0;
      assert.equal((await two.read(0, true, 1000)).aborted.length, aborted);
      await again.transactions.endByWire("unit", producer, "commit", 1);
      assert.equal((await one.read(0, true, 1000)).aborted.length, aborted);
      assert.equal(one.lastStable, one.highWatermark);
      await again.close();
    }
  }
});

test("a record of transactions from a newer version is not guessed at", () => {
  const value = Buffer.from(JSON.stringify({ version: 3, producerId: 1, epoch: 0 }));
  const batch = encodeBatch([{ key: Buffer.from("unit"), value }], 0);
  assert.throws(
    () => decodeTransactionRecords(batch),
    (error) => MillraceError.is(error, "LOG_FORMAT_NEWER"),
  );
});
