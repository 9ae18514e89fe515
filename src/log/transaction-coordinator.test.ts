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
import { readLogCheckpoint, writeLogCheckpoint } from "./log-checkpoint.ts";
import { defaultLogLimits, type LogContext, type LogLimits } from "./log-context.ts";
import type { TransactionVersion } from "./producer.ts";
import { type LogTopicSettings, laterTopicSettings } from "./topic-catalogue.ts";
import { TransactionCoordinator } from "./transaction-coordinator.ts";
import { type ProducerIdentity, transactionsTopic, type WireState } from "./transaction-records.ts";

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

function openOn(disk: SimulatedDisk, limits: Partial<LogLimits> = {}): Promise<Log> {
  const tools = { clock: new VirtualClock(), random: seededRandom(1), diagnostics: silentDiagnostics };
  return Log.open({ disk, directory: "/log", ...tools, limits });
}

async function newLog(
  partitions = 2,
  limits: Partial<LogLimits> = {},
): Promise<{ readonly log: Log; readonly disk: SimulatedDisk }> {
  const disk = new SimulatedDisk(seededRandom(1));
  const log = await openOn(disk, limits);
  await log.createTopic("t", { ...settings, partitions }, false);
  return { log, disk };
}

async function send(
  log: Log,
  { producerId, epoch }: ProducerIdentity,
  partition: number,
  sequence: number,
  transactionVersion: TransactionVersion = 2,
): Promise<number> {
  const batch = encodeBatch([{ key: null, value: Buffer.from("x") }], 0);
  stampTransaction(batch, producerId, epoch, sequence);
  return (await log.append("t", partition, batch, { transactionVersion })).baseOffset;
}

/** As if the id had been taken so often. */
async function withEpoch(epoch: number, wire?: WireState): Promise<{ log: Log; producer: ProducerIdentity }> {
  const { log, disk } = await newLog();
  const { producerId } = await log.transactions.initByWire("unit", null);
  await log.close();
  const checkpoint = await readLogCheckpoint(disk, "/log", log.logId, silentDiagnostics);
  assert.ok(checkpoint);
  const producers = checkpoint.producers.map((known) => ({ ...known, epoch, ...(wire && { wire }) }));
  await writeLogCheckpoint(disk, "/log", { ...checkpoint, producers });
  return { log: await openOn(disk), producer: { producerId, epoch } };
}

test("an abort that comes late fences nobody who has taken the id since", async () => {
  const { log } = await newLog();
  const { transactions } = log;
  const old = await transactions.initByWire("unit", null);
  await send(log, old, 0, 0);
  const [young] = await Promise.all([transactions.initByWire("unit", null), transactions.abort("unit")]);
  assert.equal(young.epoch, old.epoch + 1);
  await send(log, young, 0, 0);
  await transactions.endByWire("unit", young, "commit");
});

test("the end of the last epoch answers a new producer id, and again to who asks again", async () => {
  const { log, producer } = await withEpoch(32_766);
  await send(log, producer, 0, 0);
  const next = await log.transactions.endByWire("unit", producer, "commit");
  assert.equal(next.epoch, 0);
  assert.notEqual(next.producerId, producer.producerId);
  const again = await log.transactions.endByWire("unit", producer, "commit");
  assert.deepEqual([again.producerId, again.epoch], [next.producerId, next.epoch]);
  await send(log, next, 0, 0);
  await log.transactions.endByWire("unit", next, "commit");
});

test("a client that has the last epoch is given a new producer id, and the same one when it asks again", async () => {
  const { log, producer } = await withEpoch(32_766);
  const next = await log.transactions.initByWire("unit", null, producer);
  assert.equal(next.epoch, 0);
  assert.notEqual(next.producerId, producer.producerId);
  const again = await log.transactions.initByWire("unit", null, producer);
  assert.deepEqual([again.producerId, again.epoch], [next.producerId, next.epoch]);
});

test("an older client ends its transactions under the last epoch too, and is fenced from there", async () => {
  const { log, producer } = await withEpoch(32_766);
  const into = [log.partition("t", 0)];
  for (const sequence of [0, 1]) {
    await log.transactions.addPartitions("unit", producer, into);
    await send(log, producer, 0, sequence, 1);
    const { producerId, epoch } = await log.transactions.endByWire("unit", producer, "commit", 1);
    assert.deepEqual({ producerId, epoch }, producer);
  }
  await log.transactions.addPartitions("unit", producer, into);
  assert.equal(await log.transactions.abort("unit"), true);
  await assert.rejects(log.transactions.endByWire("unit", producer, "commit", 1), (error) =>
    MillraceError.is(error, "PRODUCER_UNKNOWN"),
  );
});

test("a commit over a partition that failed is refused, and ends the epoch of an older client", async () => {
  const { log } = await newLog();
  const producer = await log.transactions.initByWire("unit", null);
  await log.transactions.addPartitions("unit", producer, [log.partition("t", 0), log.partition("t", 1)]);
  for (const partition of [0, 1]) await send(log, producer, partition, 0, 1);
  log.partition("t", 1).fail(new MillraceError("PARTITION_FAILED", "it has failed"));
  await assert.rejects(log.transactions.endByWire("unit", producer, "commit", 1), (error) =>
    MillraceError.is(error, "PARTITION_FAILED"),
  );
  const { epoch, outcome } = log.transactions.describe("unit") ?? {};
  assert.deepEqual([epoch, outcome], [producer.epoch + 1, "abort"]);
  const { aborted } = await log.partition("t", 0).read(0, true, 1000);
  assert.equal(aborted.length, 1);
});

test("a topic that was deleted meanwhile does not keep a client from committing the rest", async () => {
  for (const version of [1, 2] as const) {
    const { log } = await newLog();
    await log.createTopic("other", settings, false);
    const producer = await log.transactions.initByWire("unit", null);
    const places = [log.partition("t", 0), log.partition("other", 0)];
    await log.transactions.addPartitions("unit", producer, places);
    await send(log, producer, 0, 0, version);
    const batch = encodeBatch([{ key: null, value: Buffer.from("gone") }], 0);
    stampTransaction(batch, producer.producerId, producer.epoch, 0);
    await log.append("other", 0, batch, { transactionVersion: version });
    await log.deleteTopic("other");
    const next = await log.transactions.endByWire("unit", producer, "commit", version);
    assert.equal(next.epoch, producer.epoch + version - 1);
    const { lastStable, highWatermark } = log.partition("t", 0);
    assert.equal(lastStable, highWatermark);
    assert.deepEqual((await log.partition("t", 0).read(0, true, 1000)).aborted, []);
  }
});

test("a decision that is too large for the journal waits until the data is durable", async () => {
  const count = 100;
  const limits = { directBytesMin: 4096 };
  const { log, disk } = await newLog(count, limits);
  const producer = await log.transactions.initByWire("unit", null);
  const places = Array.from({ length: count }, (_, partition) => log.partition("t", partition));
  await log.transactions.addPartitions("unit", producer, places);
  await Promise.all(places.map((_, partition) => send(log, producer, partition, 0, 1)));
  // Not waited for: nothing but the decision makes it durable.
  const last = send(log, producer, 0, 1, 1).catch(() => undefined);
  await log.transactions.endByWire("unit", producer, "commit", 1);
  const again = await openOn(disk.survivor(), limits);
  await last;
  for (let partition = 0; partition < count; partition++) {
    const { lastStable, highWatermark } = again.partition("t", partition);
    assert.equal(lastStable, highWatermark);
    assert.equal(highWatermark, partition === 0 ? 3 : 2);
  }
});

test("of too many ids of clients those that were not used for longest are forgotten", async () => {
  const { log } = await newLog();
  const context = { clock: new VirtualClock(), limits: defaultLogLimits } as unknown as LogContext;
  const coordinator = new TransactionCoordinator(context, log.partition(transactionsTopic, 0), 3);
  const own = await coordinator.init("own", null);
  const open = await coordinator.initByWire("open", null);
  coordinator.join(open, log.partition("t", 0));
  const taken: ProducerIdentity[] = [];
  for (const id of ["a", "b", "c"]) taken.push(await coordinator.initByWire(id, null));
  assert.deepEqual(
    coordinator
      .list()
      .map(({ transactionalId }) => transactionalId)
      .sort(),
    ["c", "open", "own"],
  );
  assert.throws(
    () => coordinator.join(taken[0] as ProducerIdentity, log.partition("t", 0)),
    (error) => MillraceError.is(error, "PRODUCER_UNKNOWN"),
  );
  const again = await coordinator.initByWire("a", null);
  assert.equal(again.epoch, 0);
  assert.ok(![own, open, ...taken].some(({ producerId }) => producerId === again.producerId));
});
