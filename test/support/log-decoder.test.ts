import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { seededRandom } from "../../src/base/random.ts";
import { SimulatedDisk } from "../../src/base/simulated-disk.ts";
import { VirtualClock } from "../../src/base/virtual-clock.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/embedded-engine.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { decodeCommitted, nextOffsetOf } from "../../src/engine/records.ts";
import { encodeBatch } from "../../src/records/batch-builder.ts";
import { crc32c } from "./batch-decoder.ts";
import { DamagedLog, type DecodedRecord, decodeLog } from "./log-decoder.ts";

const directory = "/data/log";
let opened = 0;

function openOn(disk: SimulatedDisk): Promise<Engine> {
  const clock = new VirtualClock();
  const limits = { diskReserveBytes: 0, journalFileBytes: 64 * 1024, groupBytesMax: 16 * 1024 };
  const random = seededRandom(++opened);
  return openEmbeddedEngine({ disk, directory, clock, random, diagnostics: silentDiagnostics, limits });
}

function batchOf(...values: string[]): Buffer {
  return encodeBatch(
    values.map((value) => ({ key: Buffer.from("k"), value: Buffer.from(value) })),
    0,
  );
}

const lines = (records: readonly DecodedRecord[] | undefined) =>
  records?.map(({ offset, value, fate }) => `${offset} ${fate} ${value}`);

/** What a read_committed reader gets. */
async function read(engine: Engine, topic: string, partition: number): Promise<string[]> {
  const found: string[] = [];
  const { lastStable } = await engine.offsets(topic, partition);
  for (let offset = 0; offset < lastStable; ) {
    const result = await engine.read({ topic, partition, offset, isolation: "read_committed", bytesMax: 1000 });
    found.push(...decodeCommitted(result, offset).map((record) => `${record.offset} ${record.value}`));
    offset = nextOffsetOf(result, offset);
  }
  return found;
}

test("a killed log is decoded as the next start reads it, whatever was decided", async () => {
  const random = seededRandom(3);
  const disk = new SimulatedDisk(random);
  const engine = await openOn(disk);
  await engine.createTopic("t", { partitions: 2, segmentBytesMax: 1500 });
  const producer = await engine.initProducer("p");
  const request = (partition: number, ...values: string[]) => ({ topic: "t", partition, batch: batchOf(...values) });
  for (let i = 0; i < 30; i++) {
    if (i % 3 === 0) await engine.append(request(i % 2, `plain-${i}`.padEnd(random.below(300)), "and another"));
    const transaction = producer.begin();
    await transaction.append(request(0, `${i}`.padEnd(random.below(300))));
    await transaction.append(request(1, `${i}`));
    if (i < 29) await (i % 2 === 0 ? transaction.commit() : transaction.abort());
  }
  const killed = disk.afterKill();
  const before = await decodeLog(killed, directory);
  const next = await openOn(killed);
  for (const partition of [0, 1]) {
    const expected = await read(next, "t", partition);
    const seen = before.get(`t/${partition}`)?.records.filter(({ fate }) => fate !== "aborted");
    assert.deepEqual(
      seen?.map(({ offset, value }) => `${offset} ${value}`),
      expected,
    );
    assert.ok(expected.length > 20);
  }
  await next.close();
  const after = await decodeLog(killed, directory);
  for (const [place, { records }] of after) assert.deepEqual(lines(records), lines(before.get(place)?.records), place);
});

/** A stopped log with three batches in two segments, and without its journal. */
async function stopped() {
  const disk = new SimulatedDisk(seededRandom(1));
  const engine = await openOn(disk);
  const { id } = await engine.createTopic("t", { segmentBytesMax: 1024 });
  for (const value of ["one", "two", "x".repeat(900)]) {
    await engine.append({ topic: "t", partition: 0, batch: batchOf(value) });
  }
  await engine.close();
  await disk.removeDirectory(`${directory}/journal`);
  const folder = `${directory}/topics/${id}/0`;
  const paths = (await disk.list(folder)).filter((name) => name.endsWith(".log")).map((name) => `${folder}/${name}`);
  assert.equal(paths.length, 2);
  return { disk, id, logId: engine.logId, first: paths[0] as string, last: paths[1] as string };
}

test("what does not end a batch at the log's end is no record; in a closed segment it is damage", async () => {
  const { disk, first, last } = await stopped();
  disk.cutShort(last, disk.contents(last).length - 1);
  assert.deepEqual(lines((await decodeLog(disk, directory)).get("t/0")?.records), ["0 plain one", "1 plain two"]);
  disk.corrupt(first, 100);
  await assert.rejects(decodeLog(disk, directory), DamagedLog);
});

test("the journal goes on where the segments end, and repairs a torn end", async () => {
  const { disk, id, logId, last } = await stopped();
  const torn = disk.contents(last).subarray(40);
  disk.cutShort(last, 500);
  const next = batchOf("in the journal only");
  next.writeUInt32BE(3, 4);
  const older = batchOf("from the file's earlier use");
  older.writeUInt32BE(4, 4);
  await disk.makeDirectory(`${directory}/journal`);
  const file = await disk.open(`${directory}/journal/00000000.journal`, "create");
  const group = encodeGroup(7, id, [torn, next]);
  await file.write([journalHeader(logId), group, encodeGroup(3, id, [older])], 0);
  const found = lines((await decodeLog(disk, directory)).get("t/0")?.records);
  assert.deepEqual(found?.slice(2), [`2 plain ${"x".repeat(900)}`, "3 plain in the journal only"]);
  // A segment that was being made holds nothing, and the journal goes on behind the one before.
  await put(disk, last.replace("002.log", "009.log"), [Buffer.from("MLR")]);
  assert.equal((await decodeLog(disk, directory)).get("t/0")?.endOffset, 4);
  // A group of which one byte is wrong does not count.
  disk.corrupt(file.path, 600);
  assert.equal((await decodeLog(disk, directory)).get("t/0")?.endOffset, 2);
});

test("what compaction has replaced, and what retention has retired, is not there any more", async () => {
  const { disk, first } = await stopped();
  const folder = first.slice(0, first.lastIndexOf("/"));
  const name = first.slice(folder.length + 1);
  const cleaned = name.replace(".log", ".1.log");
  // The second batch is all that was kept of the first segment.
  const bytes = disk.contents(first);
  const firstBatchBytes = 12 + bytes.readInt32BE(48);
  await put(disk, `${first.replace(".log", ".1.log")}.draft`, [
    bytes.subarray(0, 40),
    bytes.subarray(40 + firstBatchBytes),
  ]);
  assert.equal((await decodeLog(disk, directory)).get("t/0")?.records.length, 3);
  await put(disk, `${folder}/swap`, [checked("swap", { remove: [name], add: cleaned })]);
  const kept = ["1 plain two", `2 plain ${"x".repeat(900)}`];
  assert.deepEqual(lines((await decodeLog(disk, directory)).get("t/0")?.records), kept);
  await disk.rename(`${folder}/${cleaned}.draft`, `${folder}/${cleaned}`);
  assert.deepEqual(lines((await decodeLog(disk, directory)).get("t/0")?.records), kept);
  await put(disk, `${folder}/state`, [checked("partition-state", { logStart: 2, epochs: [], cleanedTo: 0 })]);
  assert.deepEqual(lines((await decodeLog(disk, directory)).get("t/0")?.records), kept.slice(1));
});

async function put(disk: SimulatedDisk, path: string, buffers: readonly Buffer[]): Promise<void> {
  const file = await disk.open(path, "create");
  await file.write(buffers, 0);
  await file.close();
}

function checked(name: string, value: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(value));
  return Buffer.concat([Buffer.from(`millrace ${name} 1 ${crc32c(body).toString(16)} ${body.length}\n`), body]);
}

function journalHeader(logId: string): Buffer {
  const bytes = Buffer.alloc(512);
  bytes.write("MLRJ\0\0\0\u0001", "latin1");
  bytes.write(logId.replaceAll("-", ""), 8, "hex");
  bytes.writeUInt32BE(1 << 16, 24);
  bytes.writeUInt32BE(crc32c(bytes.subarray(0, 44)), 44);
  return bytes;
}

function encodeGroup(number: number, topicId: string, batches: readonly Buffer[]): Buffer {
  const run = Buffer.concat(batches);
  const bytes = Buffer.alloc(Math.ceil((60 + run.length) / 512) * 512);
  bytes.write("MLRG", "latin1");
  bytes.writeUInt32BE(number, 12);
  bytes.writeUInt32BE(number, 20);
  bytes.writeUInt32BE(1, 24);
  bytes.writeUInt32BE(60 + run.length, 28);
  bytes.write(topicId.replaceAll("-", ""), 32, "hex");
  bytes.writeUInt32BE(run.length, 52);
  bytes.writeUInt32BE(crc32c(run), 56);
  run.copy(bytes, 60);
  bytes.writeUInt32BE(crc32c(bytes.subarray(8, 60)), 4);
  return bytes;
}
