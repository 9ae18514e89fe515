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
import { type LogTopicSettings, laterTopicSettings } from "./topic-catalogue.ts";
import type { ProducerIdentity } from "./transaction-records.ts";

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

async function send(log: Log, { producerId, epoch }: ProducerIdentity, partition: number): Promise<void> {
  const batch = encodeBatch([{ key: null, value: Buffer.from("half") }], 0);
  stampTransaction(batch, producerId, epoch, 0);
  await log.append("t", partition, batch);
}

/** A disk whose log went down with an open transaction. */
async function interrupted(
  seed: number,
): Promise<{ readonly disk: SimulatedDisk; readonly producer: ProducerIdentity }> {
  const disk = new SimulatedDisk(seededRandom(seed));
  const log = await openOn(disk);
  await log.createTopic("t", settings, false);
  const producer = await log.transactions.init("unit", null);
  await send(log, producer, 0);
  return { disk: disk.survivor(), producer };
}

test("who had a transaction open in a crash cannot go on with it, at whatever step the next start is cut", async () => {
  for (let step = 0, wasCut = true; wasCut; step++) {
    const { disk, producer } = await interrupted(step + 1);
    disk.cutAfter(disk.operations + step);
    await openOn(disk).catch(() => undefined);
    wasCut = disk.isOff;
    const log = await openOn(disk.survivor());
    for (const partition of [0, 1]) {
      await assert.rejects(
        send(log, producer, partition),
        (error) => MillraceError.is(error, "PRODUCER_FENCED"),
        `cut after ${step}, partition ${partition}`,
      );
      const { lastStable, highWatermark, producers } = log.partition("t", partition);
      assert.equal(lastStable, highWatermark);
      assert.deepEqual(producers.openTransactions(), []);
    }
    const next = await log.transactions.init("unit", null);
    assert.equal(next.producerId, producer.producerId);
    await send(log, next, 1);
    await log.transactions.end("unit", next, "commit");
    await log.close();
  }
});
