import assert from "node:assert/strict";
import { test } from "node:test";
import type { Diagnostics } from "../base/diagnostics.ts";
import type { ErrorCode } from "../base/error-codes.ts";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { nextTurn } from "../base/turn.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { decodeBatch } from "../records/batch-records.ts";
import { crc32c } from "../records/crc32c.ts";
import { Log } from "./log.ts";
import { readLogCheckpoint, writeLogCheckpoint } from "./log-checkpoint.ts";
import type { LogLimits } from "./log-context.ts";
import { type LogTopicSettings, laterTopicSettings } from "./topic-catalogue.ts";

const settings: LogTopicSettings = {
  ...laterTopicSettings,
  partitions: 2,
  retentionMs: null,
  retentionBytes: null,
  cleanup: "delete",
  batchBytesMax: 1024 * 1024,
  segmentBytesMax: 2000,
  durability: "fsync",
};

interface Said {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>> | undefined;
}

function listening(said: Said[]): Diagnostics {
  const at = (level: string) => (message: string, fields?: Readonly<Record<string, unknown>>) =>
    void said.push({ level, message, fields });
  const diagnostics: Diagnostics = {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: () => diagnostics,
  };
  return diagnostics;
}

const clock = new VirtualClock();
let opened = 0;

function openOn(disk: SimulatedDisk, said: Said[] = [], limits: Partial<LogLimits> = {}): Promise<Log> {
  const diagnostics = listening(said);
  return Log.open({
    disk,
    directory: "/log",
    clock,
    random: seededRandom(++opened),
    diagnostics,
    // Everything goes straight to its segment; what the journal holds is looked at in journal.test.ts.
    limits: { diskReserveBytes: 0, directBytesMin: 1, ...limits },
  });
}

function batchOf(value: string): Buffer {
  return encodeBatch([{ key: null, value: Buffer.from(value) }], clock.now());
}

async function appendAll(log: Log, values: readonly string[], partition = 0): Promise<void> {
  for (const value of values) await log.append("t", partition, batchOf(value));
}

async function valuesOf(log: Log, partition = 0, bytesMax = 500): Promise<string[]> {
  const from = log.partition("t", partition);
  const values: string[] = [];
  for (let offset = 0; offset < from.highWatermark; ) {
    const { batches } = await from.read(offset, false, bytesMax);
    for (const record of batches.flatMap(decodeBatch)) {
      values.push(String(record.value));
      offset = record.offset + 1;
    }
  }
  return values;
}

async function files(disk: SimulatedDisk, log: Log, partition = 0): Promise<string[]> {
  const folder = log.partition("t", partition).place.directory;
  return (await disk.list(folder)).filter((name) => name.endsWith(".log")).map((name) => `${folder}/${name}`);
}

const withCode = (code: ErrorCode) => (error: unknown) =>
  MillraceError.is(error, code) || assert.fail(`expected ${code}, not ${error}`);

async function overwrite(disk: SimulatedDisk, path: string, content: Buffer): Promise<void> {
  const file = await disk.open(path, "write");
  await file.truncate(content.length);
  await file.write([content], 0);
  await file.close();
}

const many = Array.from({ length: 40 }, (_, i) => `${i}`.padEnd(150, "."));

/** A log that was killed: what it had written is there, without a checkpoint at the end. */
async function killed(values: readonly string[], more: Partial<LogTopicSettings> = {}) {
  const disk = new SimulatedDisk(seededRandom(7));
  const log = await openOn(disk);
  await log.createTopic("t", { ...settings, ...more }, false);
  await appendAll(log, values);
  await appendAll(log, ["other"], 1);
  return { disk: disk.afterKill(), paths: await files(disk.afterKill(), log), log };
}

test("a torn end is cut off and reported, and the leader epoch grows", async () => {
  const { disk, paths } = await killed(many);
  const last = paths.at(-1) as string;
  disk.corrupt(last, disk.contents(last).length - 5);
  const said: Said[] = [];
  const log = await openOn(disk, said);
  assert.deepEqual(await valuesOf(log), many.slice(0, -1));
  assert.equal(log.partition("t", 0).leaderEpoch, 1);
  assert.equal(log.partition("t", 1).leaderEpoch, 0);
  const [report] = said.filter(({ level }) => level === "warn");
  assert.equal(report?.fields?.topic, "t");
  assert.equal(report?.fields?.nextOffset, many.length - 1);
  const { leaderEpoch } = await log.append("t", 0, batchOf("after"));
  assert.equal(leaderEpoch, 1);
  await log.close();
  const again = await openOn(disk);
  assert.deepEqual(await valuesOf(again), [...many.slice(0, -1), "after"]);
  assert.equal(again.partition("t", 0).leaderEpoch, 1);
});

test("the leader epoch that grew is kept also when nothing was appended since", async () => {
  const { disk, paths } = await killed(many);
  const last = paths.at(-1) as string;
  disk.corrupt(last, disk.contents(last).length - 5);
  await openOn(disk);
  const again = await openOn(disk.survivor());
  assert.equal(again.partition("t", 0).leaderEpoch, 1);
});

test("damage in the middle stops that partition alone, and deletes nothing", async () => {
  const { disk, paths } = await killed(many);
  const path = paths[1] as string;
  disk.corrupt(path, 100);
  const before = paths.map((file) => disk.contents(file));
  const said: Said[] = [];
  const log = await openOn(disk, said);
  await assert.rejects(log.append("t", 0, batchOf("x")), withCode("PARTITION_DAMAGED"));
  await assert.rejects(log.partition("t", 0).read(0, false, 1000), withCode("PARTITION_DAMAGED"));
  assert.equal(said.filter(({ level }) => level === "error").length, 1);
  assert.deepEqual(await valuesOf(log, 1), ["other"]);
  await appendAll(log, ["more"], 1);
  const producer = await log.initProducer("unit");
  const transaction = producer.begin();
  await transaction.append({ topic: "t", partition: 1, batch: batchOf("whole") });
  await transaction.commit();
  await log.close();
  assert.deepEqual(
    paths.map((file) => disk.contents(file)),
    before,
  );
  disk.corrupt(path, 100);
  const repaired = await openOn(disk);
  assert.deepEqual(await valuesOf(repaired), many);
});

for (const checkpointed of [false, true]) {
  const how = checkpointed ? "with" : "without";
  test(`segments below the log's start that a crash brought back are no hole in it, ${how} a checkpoint`, async () => {
    const { disk, log } = await killed(many.slice(0, 39));
    const before = await files(disk, log);
    const kept = new Map<string, Buffer>();
    for (const file of before) {
      const handle = await disk.open(file, "read");
      const bytes = Buffer.alloc(await handle.size());
      await handle.read(bytes, 0);
      await handle.close();
      kept.set(file, bytes);
    }
    const first = await openOn(disk);
    await first.partition("t", 0).deleteRecords(35);
    const left = await files(disk, first);
    if (checkpointed) await first.close();
    // Of the segments that were removed one before the last is there again.
    const after = checkpointed ? disk : disk.afterKill();
    const removed = before.filter((file) => !left.includes(file));
    assert.ok(removed.length > 2, "several were removed");
    const back = removed.at(-2) as string;
    const handle = await after.open(back, "create");
    await handle.write([kept.get(back) as Buffer], 0);
    await handle.close();
    const said: Said[] = [];
    const again = await openOn(after, said);
    const partition = again.partition("t", 0);
    assert.equal(partition.logStart, 35);
    assert.equal(await partition.offsetForTime(0), 35);
    assert.equal(await after.exists(back), false);
    await again.close();
  });
}

test("damage of the last segment is no torn end when more follows it than one crash can tear", async () => {
  const limits = { groupBytesMax: 500, unsyncedBytesMax: 500 };
  const { disk, paths } = await killed(many, { segmentBytesMax: 1024 * 1024 });
  const [path] = paths as [string];
  disk.corrupt(path, 300);
  const log = await openOn(disk, [], limits);
  await assert.rejects(log.append("t", 0, batchOf("x")), withCode("PARTITION_DAMAGED"));
});

test("damage below the checkpoint is met by the read that comes to it, and by no other", async () => {
  const disk = new SimulatedDisk(seededRandom(7));
  const first = await openOn(disk);
  await first.createTopic("t", settings, false);
  await appendAll(first, many);
  await first.close();
  const log = await openOn(disk);
  const paths = await files(disk, log);
  // In the middle of a record: only the checksum can tell.
  disk.corrupt(paths[1] as string, 150);
  const partition = log.partition("t", 0);
  assert.equal((await partition.read(0, false, 1)).batches.length, 1);
  const fault = Number((paths[1] as string).match(/(\d{20})\.log/)?.[1]);
  await assert.rejects(partition.read(fault, false, 1), withCode("PARTITION_DAMAGED"));
  assert.equal((await partition.read(39, false, 1)).batches.length, 1);
});

test("durable bytes that are gone are damage, not a torn end", async () => {
  const disk = new SimulatedDisk(seededRandom(7));
  const first = await openOn(disk);
  await first.createTopic("t", settings, false);
  await appendAll(first, many);
  const paths = await files(disk, first);
  await first.close();
  const last = await disk.open(paths.at(-1) as string, "write");
  await last.truncate(60);
  const log = await openOn(disk);
  await assert.rejects(log.partition("t", 0).read(0, false, 1), withCode("PARTITION_DAMAGED"));
  await log.close();
  await disk.remove(paths.at(-1) as string);
  const again = await openOn(disk);
  await assert.rejects(again.partition("t", 0).read(0, false, 1), withCode("PARTITION_DAMAGED"));
});

test("a segment of another partition is noticed", async () => {
  const { disk, paths, log } = await killed(many);
  const others = await files(disk, log, 1);
  const foreign = disk.contents(others[0] as string);
  await overwrite(disk, paths[0] as string, foreign);
  const again = await openOn(disk);
  await assert.rejects(again.partition("t", 0).read(0, false, 1), withCode("PARTITION_DAMAGED"));
});

test("a failed sync is final: nothing of the partition is served until the log is opened again", async () => {
  const disk = new SimulatedDisk(seededRandom(7));
  const log = await openOn(disk);
  await log.createTopic("t", settings, false);
  await appendAll(log, ["kept"]);
  await appendAll(log, ["other"], 1);
  const waiting = log.partition("t", 0).readable(1, false, 60_000, undefined);
  disk.failAt(disk.operations + 2, "EIO");
  await Promise.all([
    assert.rejects(log.append("t", 0, batchOf("lost")), withCode("PARTITION_FAILED")),
    assert.rejects(waiting, withCode("PARTITION_FAILED")),
  ]);
  assert.equal(disk.history.at(-1)?.operation, "write");
  await assert.rejects(log.append("t", 0, batchOf("late")), withCode("PARTITION_FAILED"));
  await assert.rejects(log.partition("t", 0).read(0, false, 1), withCode("PARTITION_FAILED"));
  await appendAll(log, ["more"], 1);
  assert.deepEqual(await valuesOf(log, 1), ["other", "more"]);
  await log.close();
  const again = await openOn(disk.survivor());
  const found = await valuesOf(again);
  assert.equal(found[0], "kept");
  assert.ok(found.length <= 2 && (found[1] ?? "lost") === "lost");
});

test("a full disk fails the append and its partition, and no other", async () => {
  const disk = new SimulatedDisk(seededRandom(7));
  const log = await openOn(disk);
  await log.createTopic("t", settings, false);
  disk.failNext("ENOSPC");
  await assert.rejects(log.append("t", 0, batchOf("x")), withCode("PARTITION_FAILED"));
  await appendAll(log, ["other"], 1);
  assert.deepEqual(await valuesOf(log, 1), ["other"]);
});

test("a transaction over a partition that fails is aborted everywhere", async () => {
  const disk = new SimulatedDisk(seededRandom(7));
  const log = await openOn(disk);
  await log.createTopic("t", settings, false);
  const producer = await log.initProducer("unit");
  const transaction = producer.begin();
  await transaction.append({ topic: "t", partition: 0, batch: batchOf("a") });
  disk.failNext("EIO");
  await transaction.append({ topic: "t", partition: 1, batch: batchOf("b") });
  await assert.rejects(transaction.commit(), withCode("PARTITION_FAILED"));
  const states = [0, 1].map((partition) => log.partition("t", partition));
  const healthy = states.find((partition) => !partition.failure);
  assert.equal(healthy?.lastStable, healthy?.highWatermark);
  const again = await openOn(disk.afterKill());
  for (const partition of [0, 1]) {
    assert.equal(again.partition("t", partition).openTransactions().length, 0);
    const { batches, aborted } = await again.partition("t", partition).read(0, true, 1000);
    assert.ok(batches.length === 0 || aborted.length === 1);
  }
});

test("a partition that failed gets the end of its decided transactions from the next start, checkpoints or not", async () => {
  let lostMarkers = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const disk = new SimulatedDisk(seededRandom(seed));
    const log = await openOn(disk);
    await log.createTopic("t", settings, false);
    const { directory } = log.partition("t", 0).place;
    const transaction = (await log.initProducer("unit")).begin();
    for (const partition of [0, 1]) await transaction.append({ topic: "t", partition, batch: batchOf("whole") });
    await transaction.commit();
    await nextTurn();
    await nextTurn();
    // The marker is written and not synced; the sync that the next append asks for fails.
    disk.failAt(disk.operations + 2, "EIO");
    await assert.rejects(log.append("t", 0, batchOf("x")), withCode("PARTITION_FAILED"));
    await log.close();
    const survivor = disk.survivor();
    if (survivor.contents(`${directory}/00000000000000000000.log`).length < 200) lostMarkers++;
    const again = await openOn(survivor);
    for (const partition of [0, 1]) {
      const { batches, aborted } = await again.partition("t", partition).read(0, true, 1000);
      assert.ok(batches.length > 0);
      assert.deepEqual(aborted, []);
    }
  }
  assert.ok(lostMarkers > 0);
});

test("appends are refused while the disk is nearly full, and taken again when it is not", async () => {
  const disk = new SimulatedDisk(seededRandom(7));
  disk.setFreeBytes(1000);
  const log = await openOn(disk, [], { diskReserveBytes: 10_000 });
  await log.createTopic("t", settings, false);
  await assert.rejects(log.append("t", 0, batchOf("x")), withCode("DISK_LOW"));
  const producer = await log.initProducer("unit");
  await producer.begin().commit();
  disk.setFreeBytes(1_000_000);
  await clock.advance(1000);
  await assert.rejects(log.append("t", 0, batchOf("x")), withCode("DISK_LOW"));
  await clock.advance(1);
  await appendAll(log, ["x"]);
});

test("a file of a newer format is refused and not touched", async () => {
  for (const name of ["catalogue", "checkpoint"]) {
    const disk = new SimulatedDisk(seededRandom(7));
    await (await openOn(disk)).close();
    const path = `/log/${name}`;
    const content = disk
      .contents(path)
      .toString()
      .replace(/^(millrace \w+) \d+ /, "$1 99 ");
    await overwrite(disk, path, Buffer.from(content));
    await assert.rejects(openOn(disk), withCode("LOG_FORMAT_NEWER"));
    assert.equal(disk.contents(path).toString(), content);
  }
  const { disk, paths } = await killed(["a"]);
  const [path] = paths as [string];
  const content = disk.contents(path);
  content.writeUInt32BE(2, 4);
  content.writeUInt32BE(crc32c(content.subarray(0, 36)), 36);
  await overwrite(disk, path, content);
  await assert.rejects(openOn(disk), withCode("LOG_FORMAT_NEWER"));
  assert.deepEqual(disk.contents(path), content);
});

test("a damaged catalogue is refused, and is not taken for a new log", async () => {
  const { disk } = await killed(["a"]);
  disk.corrupt("/log/catalogue", 60);
  await assert.rejects(openOn(disk), withCode("LOG_DAMAGED"));
  await disk.remove("/log/catalogue");
  await assert.rejects(openOn(disk), withCode("LOG_DAMAGED"));
});

test("a damaged checkpoint only makes the start read more", async () => {
  const disk = new SimulatedDisk(seededRandom(7));
  const log = await openOn(disk);
  await log.createTopic("t", settings, false);
  const producer = await log.initProducer("unit");
  for (const value of many) {
    const transaction = producer.begin();
    await transaction.append({ topic: "t", partition: 0, batch: batchOf(value) });
    await transaction.commit();
  }
  await log.close();
  disk.corrupt("/log/checkpoint", 80);
  const said: Said[] = [];
  const again = await openOn(disk, said);
  assert.equal(said[0]?.level, "warn");
  assert.equal(again.partition("t", 0).lastStable, many.length * 2);
  assert.ok((await again.initProducer("unit")).epoch > producer.epoch);
});

test("a damaged transactions topic stops transactions only, and no producer id is given twice after its repair", async () => {
  const disk = new SimulatedDisk(seededRandom(7));
  const first = await openOn(disk);
  await first.createTopic("t", settings, false);
  const ids = await Promise.all(["a", "b"].map((id) => first.initProducer(id)));
  await appendAll(first, ["kept"]);
  const killedDisk = disk.afterKill();
  const { directory } = first.partition("_millrace.transactions", 0).place;
  const path = `${directory}/00000000000000000000.log`;
  killedDisk.corrupt(path, 2);
  const log = await openOn(killedDisk);
  await assert.rejects(log.initProducer("a"), withCode("PARTITION_DAMAGED"));
  assert.deepEqual(await valuesOf(log), ["kept"]);
  await appendAll(log, ["more"]);
  await log.close();
  killedDisk.corrupt(path, 2);
  const repaired = await openOn(killedDisk);
  const young = await repaired.initProducer("c");
  assert.ok(ids.every(({ producerId }) => producerId !== young.producerId));
  await repaired.close();
});

test("the log's own topic is written by nobody else, and cannot be deleted", async () => {
  const log = await openOn(new SimulatedDisk(seededRandom(7)));
  await assert.rejects(log.append("_millrace.transactions", 0, batchOf("x")), withCode("TOPIC_READ_ONLY"));
  assert.throws(() => log.deleteTopic("_millrace.transactions"), withCode("TOPIC_READ_ONLY"));
});

test("a missing, damaged or stale index is made anew", async () => {
  const { disk, paths } = await killed(many);
  const indexes = paths.map((path) => path.replace(".log", ".index"));
  disk.corrupt(indexes[0] as string, 10);
  await disk.remove(indexes[1] as string);
  const log = await openOn(disk);
  assert.deepEqual(await valuesOf(log), many);
  assert.equal(await log.partition("t", 0).offsetForTime(0), 0);
});

test("the epoch of a producer that has reached its last gives way to a new producer id", async () => {
  const disk = new SimulatedDisk(seededRandom(7));
  const first = await openOn(disk);
  await first.createTopic("t", settings, false);
  const before = await first.initProducer("unit");
  await first.close();
  const checkpoint = await readLogCheckpoint(disk, "/log", first.logId, listening([]));
  assert.ok(checkpoint);
  const producers = checkpoint.producers.map((producer) => ({ ...producer, epoch: 32_766 }));
  await writeLogCheckpoint(disk, "/log", { ...checkpoint, producers });
  const log = await openOn(disk);
  const producer = await log.initProducer("unit");
  assert.deepEqual([producer.producerId, producer.epoch], [before.producerId, 32_767]);
  const transaction = producer.begin();
  await transaction.append({ topic: "t", partition: 0, batch: batchOf("last") });
  await transaction.commit();
  const { producerId } = producer;
  assert.notEqual(producerId, before.producerId);
  assert.equal(producer.epoch, 0);
  await log.close();
  const again = await (await openOn(disk)).initProducer("unit");
  assert.deepEqual([again.producerId, again.epoch], [producerId, 1]);
});

test("no more files are open than allowed", async () => {
  const disk = new SimulatedDisk(seededRandom(7));
  const log = await openOn(disk, [], { openFilesMax: 2, tailCacheBytes: 0 });
  await log.createTopic("t", { ...settings, partitions: 10 }, false);
  for (let partition = 0; partition < 10; partition++) await appendAll(log, many, partition);
  for (let partition = 0; partition < 10; partition++) assert.deepEqual(await valuesOf(log, partition), many);
  assert.ok(disk.openFiles <= 3, `${disk.openFiles} files are open`);
  await log.close();
  assert.equal(disk.openFiles, 0);
});

test("readers at the tail are served from memory, within its bound", async () => {
  const disk = new SimulatedDisk(seededRandom(7));
  const log = await openOn(disk, [], { tailCacheBytes: 3000 });
  await log.createTopic("t", settings, false);
  await appendAll(log, many);
  const reads = disk.reads;
  assert.equal((await log.partition("t", 0).read(38, false, 10_000)).batches.length, 2);
  assert.equal(disk.reads, reads);
  assert.equal((await log.partition("t", 0).read(0, false, 1)).batches.length, 1);
  assert.ok(disk.reads > reads);
});

test("what a failed sync left in the page cache is written again before a start serves it", async () => {
  const disk = new SimulatedDisk(seededRandom(7));
  const log = await openOn(disk);
  await log.createTopic("t", settings, false);
  await appendAll(log, ["before"]);
  const [path] = (await files(disk, log)) as [string];
  disk.failNextSync(path);
  await assert.rejects(log.append("t", 0, batchOf("unsure")), withCode("PARTITION_FAILED"));
  const restarted = disk.afterKill();
  const seen = await valuesOf(await openOn(restarted));
  const later = await openOn(restarted.survivor());
  assert.deepEqual(await valuesOf(later), seen, "what was served once is there for good");
});

test("a commit over two partitions that both fail is refused once, and nothing is left to nobody", async () => {
  const disk = new SimulatedDisk(seededRandom(7));
  const log = await openOn(disk);
  await log.createTopic("t", settings, false);
  const transaction = (await log.initProducer("unit")).begin();
  for (const partition of [0, 1]) await transaction.append({ topic: "t", partition, batch: batchOf("x") });
  log.partition("t", 1).fail(new MillraceError("PARTITION_FAILED", "it has failed"));
  disk.failNextSync(`${log.partition("t", 0).place.directory}/00000000000000000000.log`);
  await assert.rejects(transaction.commit(), withCode("PARTITION_FAILED"));
  // A rejection that nobody takes ends the process: the test runner would say so.
  for (let i = 0; i < 10; i++) await nextTurn();
});
