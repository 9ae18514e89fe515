import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../base/diagnostics.ts";
import type { ErrorCode } from "../base/error-codes.ts";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { decodeBatch } from "../records/batch-records.ts";
import { decodeGroup, journalBlockBytes } from "./journal-format.ts";
import { Log } from "./log.ts";
import type { LogLimits } from "./log-context.ts";
import { segmentHeaderBytes } from "./segment.ts";
import { type LogTopicSettings, laterTopicSettings } from "./topic-catalogue.ts";

const settings: LogTopicSettings = {
  ...laterTopicSettings,
  partitions: 3,
  retentionMs: null,
  retentionBytes: null,
  cleanup: "delete",
  batchBytesMax: 1024 * 1024,
  segmentBytesMax: 1024 * 1024,
  durability: "fsync",
};

/** Small enough that its files are used over and over. */
const small = { journalFileBytes: 16 * journalBlockBytes, journalFilesMax: 2, directBytesMin: 2000, flushBytes: 3000 };

let opened = 0;

function openOn(disk: SimulatedDisk, limits: Partial<LogLimits> = {}): Promise<Log> {
  return Log.open({
    disk,
    directory: "/log",
    clock: new VirtualClock(),
    random: seededRandom(++opened),
    diagnostics: silentDiagnostics,
    limits: { diskReserveBytes: 0, journalFileBytes: 64 * 1024, ...limits },
  });
}

async function newLog(limits: Partial<LogLimits> = {}, more: Partial<LogTopicSettings> = {}) {
  const disk = new SimulatedDisk(seededRandom(3));
  const log = await openOn(disk, limits);
  await log.createTopic("t", { ...settings, ...more }, false);
  return { disk, log };
}

const batchOf = (value: string) => encodeBatch([{ key: null, value: Buffer.from(value) }], 0);

async function valuesOf(log: Log, partition: number): Promise<string[]> {
  const from = log.partition("t", partition);
  const values: string[] = [];
  for (let offset = 0; offset < from.highWatermark; ) {
    const { batches } = await from.read(offset, false, 4000);
    for (const record of batches.flatMap(decodeBatch)) {
      values.push(String(record.value));
      offset = record.offset + 1;
    }
  }
  return values;
}

const segmentOf = (log: Log, partition: number) =>
  `${log.partition("t", partition).place.directory}/00000000000000000000.log`;

const since = (disk: SimulatedDisk, mark: number) => disk.history.slice(mark).map(({ operation }) => operation);

const withCode = (code: ErrorCode) => (error: unknown) =>
  MillraceError.is(error, code) || assert.fail(`expected ${code}, not ${error}`);

test("appends to a thousand partitions at once are one write and one sync", async () => {
  const { disk, log } = await newLog({ journalFileBytes: 1024 * 1024 }, { partitions: 1000 });
  // The first append of all takes a file of the journal into use.
  await log.append("t", 1, batchOf("w"));
  const mark = disk.history.length;
  await Promise.all(Array.from({ length: 1000 }, (_, partition) => log.append("t", partition, batchOf("x"))));
  assert.deepEqual(since(disk, mark), ["write", "datasync"]);
  for (const partition of [0, 500, 999]) assert.deepEqual(await valuesOf(log, partition), ["x"]);
});

test("what is journaled is read before it is in a segment, and after", async () => {
  const { disk, log } = await newLog({ tailCacheBytes: 0 });
  for (const value of ["a", "b", "c"]) await log.append("t", 0, batchOf(value));
  assert.equal(disk.contents(segmentOf(log, 0)).length, segmentHeaderBytes);
  assert.deepEqual(await valuesOf(log, 0), ["a", "b", "c"]);
  assert.equal(await log.partition("t", 0).offsetForTime(0), 0);
  await log.checkpoint();
  assert.ok(disk.contents(segmentOf(log, 0)).length > segmentHeaderBytes);
  assert.deepEqual(await valuesOf(log, 0), ["a", "b", "c"]);
});

test("a start after a crash finds in the journal what no segment has", async () => {
  const { disk, log } = await newLog();
  for (const value of ["a", "b", "c"]) for (const partition of [0, 1]) await log.append("t", partition, batchOf(value));
  const again = await openOn(disk.survivor());
  for (const partition of [0, 1]) assert.deepEqual(await valuesOf(again, partition), ["a", "b", "c"]);
  assert.equal(again.partition("t", 0).leaderEpoch, 0);
});

test("a segment's end that a crash tore is put right from the journal, and nothing is lost", async () => {
  const { disk, log } = await newLog({ flushBytes: 200 });
  const values = Array.from({ length: 12 }, (_, i) => `${i}`.padEnd(100, "."));
  for (const value of values) await log.append("t", 0, batchOf(value));
  const path = segmentOf(log, 0);
  const killed = disk.afterKill();
  const { length } = killed.contents(path);
  assert.ok(length > 500, "some of it was flushed");
  killed.corrupt(path, segmentHeaderBytes + 70);
  killed.corrupt(path, length - 3);
  const again = await openOn(killed);
  assert.deepEqual(await valuesOf(again, 0), values);
  assert.equal(again.partition("t", 0).leaderEpoch, 0);
});

test("the journal's files are used again, and only when all that they hold is synced in segments", async () => {
  const values = Array.from({ length: 150 }, (_, i) => `${i}`.padEnd(300, "."));
  for (const count of [7, 31, 64, 100, 150]) {
    const { disk, log } = await newLog(small);
    for (const [i, value] of values.slice(0, count).entries()) await log.append("t", i % 3, batchOf(value));
    const files = await disk.list("/log/journal");
    assert.ok(files.length <= 2, files.join());
    const again = await openOn(disk.survivor(), small);
    for (const partition of [0, 1, 2]) {
      const expected = values.slice(0, count).filter((_, at) => at % 3 === partition);
      assert.deepEqual(await valuesOf(again, partition), expected);
    }
  }
});

test("a transaction's data and its decision are made durable by one sync", async () => {
  const { disk, log } = await newLog();
  const producer = await log.initProducer("unit");
  const transaction = producer.begin();
  for (const partition of [0, 1, 2]) await transaction.append({ topic: "t", partition, batch: batchOf("x") });
  const mark = disk.history.length;
  await transaction.commit();
  assert.deepEqual(since(disk, mark), ["write", "datasync"]);
  const again = await openOn(disk.survivor());
  for (const partition of [0, 1, 2]) {
    const { batches } = await again.partition("t", partition).read(0, true, 1000);
    assert.equal(batches.length, 2, "the record and the marker that the start wrote");
  }
});

test("a group that could not be synced ends its partitions and those that wait behind it, and no others", async () => {
  const { disk, log } = await newLog({ groupBytesMax: 50 });
  await log.append("t", 0, batchOf("before"));
  await log.append("t", 2, batchOf("elsewhere"));
  disk.failAt(disk.operations + 2, "EIO");
  await Promise.all([
    assert.rejects(log.append("t", 0, batchOf("lost?")), withCode("PARTITION_FAILED")),
    assert.rejects(log.append("t", 1, batchOf("behind")), withCode("PARTITION_FAILED")),
  ]);
  await log.append("t", 2, batchOf("goes on"));
  await log.close();
  const again = await openOn(disk);
  assert.equal((await valuesOf(again, 0))[0], "before");
  assert.deepEqual(await valuesOf(again, 2), ["elsewhere", "goes on"]);
});

test("a partition whose segment cannot be written keeps what it was acknowledged in the journal", async () => {
  const { disk, log } = await newLog(small);
  await log.checkpoint();
  for (const value of ["a", "b"]) await log.append("t", 0, batchOf(value));
  disk.failNext("ENOSPC");
  await log.checkpoint();
  await assert.rejects(log.append("t", 0, batchOf("c")), withCode("PARTITION_FAILED"));
  // The journal goes round several times.
  for (let i = 0; i < 100; i++) await log.append("t", 1, batchOf(`${i}`.padEnd(300, ".")));
  await log.close();
  const again = await openOn(disk, small);
  assert.deepEqual(await valuesOf(again, 0), ["a", "b"]);
  assert.equal((await valuesOf(again, 1)).length, 100);
});

test("what the journal has of a damaged partition is kept until the partition serves again", async () => {
  const { disk, log } = await newLog(small);
  await log.append("t", 0, batchOf("a"));
  await log.checkpoint();
  for (const value of ["b", "c"]) await log.append("t", 0, batchOf(value));
  const path = segmentOf(log, 0);
  const killed = disk.afterKill();
  killed.corrupt(path, 10);
  for (let start = 0; start < 3; start++) {
    const damaged = await openOn(killed, small);
    await assert.rejects(damaged.partition("t", 0).read(0, false, 100), withCode("PARTITION_DAMAGED"));
    for (let i = 0; i < 60; i++) await damaged.append("t", 1, batchOf("x".repeat(300)));
    await damaged.close();
  }
  killed.corrupt(path, 10);
  assert.deepEqual(await valuesOf(await openOn(killed, small), 0), ["a", "b", "c"]);
});

test("a group that is damaged in the middle of the journal stops the start, and its torn end does not", async () => {
  const { disk, log } = await newLog();
  for (const value of ["a", "b", "c"]) await log.append("t", 0, batchOf(value));
  const path = "/log/journal/00000000.journal";
  const content = disk.contents(path);
  const places: number[] = [];
  for (let at = journalBlockBytes; ; ) {
    const group = decodeGroup(content, at);
    if (!group) break;
    places.push(at);
    at += group.blockBytes;
  }
  const killed = disk.afterKill();
  killed.corrupt(path, (places.at(-2) as number) + 100);
  await assert.rejects(openOn(killed), withCode("LOG_DAMAGED"));
  killed.corrupt(path, (places.at(-2) as number) + 100);
  killed.corrupt(path, (places.at(-1) as number) + 100);
  assert.deepEqual(await valuesOf(await openOn(killed), 0), ["a", "b"]);
});

test("a journal of a newer format is refused", async () => {
  const { disk, log } = await newLog();
  await log.close();
  const path = "/log/journal/00000000.journal";
  const { encodeJournalHeader } = await import("./journal-format.ts");
  const header = encodeJournalHeader(log.logId, 64 * 1024, { firstNumber: 0, oldest: 0 });
  header.writeUInt32BE(99, 4);
  const { crc32c } = await import("../records/crc32c.ts");
  header.writeUInt32BE(crc32c(header.subarray(0, 44)), 44);
  const file = await disk.open(path, "write");
  await file.write([header], 0);
  await file.close();
  await assert.rejects(openOn(disk), withCode("LOG_FORMAT_NEWER"));
});

test("bytes that no segment has yet are flushed when there are too many of them", async () => {
  const { log } = await newLog({ unflushedBytesMax: 4000, flushBytes: 100_000 });
  for (let i = 0; i < 100; i++) await log.append("t", i % 3, batchOf("x".repeat(200)));
  const segments = [0, 1, 2].flatMap((partition) => log.partition("t", partition).segments);
  assert.ok(segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) > 10_000);
  for (const partition of [0, 1, 2]) assert.ok((await valuesOf(log, partition)).length >= 33);
});
