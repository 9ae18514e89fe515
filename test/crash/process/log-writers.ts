/**
 * A process that is there to be killed: 64 writers and two readers on one log, on the real disk. What it is about to do and
 * what was acknowledged goes to a file in order, a line each, which outlives it:
 *
 *   S <id> <writer> <topic>/<partition> <transaction or ->    is sent
 *   T <id>                                                    is sent again by a later run, as the same idempotent batch
 *   A <id> <offset>                                           was acknowledged; inside a transaction: has its offset
 *   C <transaction>, K <transaction>                          commit is called, has answered
 *   N <transaction>                                           is aborted, or taken over: never to be seen
 *   R <id> <topic>/<partition> <offset>                       a read_committed reader has seen it
 *
 * What idempotent writers send goes to a second file as well, `<writer> <producer id> <epoch> <sequence> <ids>`: the next
 * run begins with the last batch of each.
 *
 * Arguments: the log's directory, the two files, the first id, a seed, and `write`, `stop` (opens and closes), or `early` (says
 * that all is acknowledged as soon as it is sent, and must be found out).
 */
import assert from "node:assert/strict";
import { openSync, readFileSync, writeSync } from "node:fs";
import { systemClock } from "../../../src/base/clock.ts";
import { silentDiagnostics } from "../../../src/base/diagnostics.ts";
import { seededRandom, systemRandom } from "../../../src/base/random.ts";
import { realDisk } from "../../../src/base/real-disk.ts";
import { openEmbeddedEngine } from "../../../src/engine/embedded/embedded-engine.ts";
import type { Transaction } from "../../../src/engine/engine.ts";
import { decodeCommitted, nextOffsetOf } from "../../../src/engine/records.ts";
import { encodeBatch } from "../../../src/records/batch-builder.ts";
import { batchField, writeBatchChecksum } from "../../../src/records/batch-header.ts";
import { writeInt64 } from "../../../src/records/int64.ts";
import { idOf, type TopicName, topics, valueFor } from "./log-values.ts";

const [directory = "", reports = "", intents = "", first = "0", seed = "1", mode = "write"] = process.argv.slice(2);

const plainWriters = 36;
const idempotentWriters = 8;
const transactionalWriters = 20;
/** Everything small, so that segments, checkpoints and the journal turn over all the time. */
const limits = {
  tailCacheBytes: 1024 * 1024,
  openFilesMax: 24,
  groupBytesMax: 256 * 1024,
  unsyncedBytesMax: 512 * 1024,
  pendingBytesMax: 1024 * 1024,
  directBytesMin: 64 * 1024,
  flushBytes: 32 * 1024,
  unflushedBytesMax: 1024 * 1024,
  journalFileBytes: 1024 * 1024,
  journalFilesMax: 3,
  checkpointBytes: 4 * 1024 * 1024,
  diskReserveBytes: 0,
};

const random = seededRandom(Number(seed));
const out = openSync(reports, "a");
const intentsOut = openSync(intents, "a");
let nextId = Number(first);
// Who would kill it may be killed first.
process.stdin.on("close", () => process.exit(1));
process.stdin.resume();

const engine = await openEmbeddedEngine({
  disk: realDisk,
  directory,
  clock: systemClock,
  random: systemRandom,
  diagnostics: silentDiagnostics,
  limits,
});
for (const [name, settings] of Object.entries(topics)) await engine.createTopic(name, settings);
writeSync(1, "ready\n");
if (mode === "stop") {
  await engine.close();
  process.exit(0);
} else {
  const writers = Array.from({ length: plainWriters }, (_, i) => writePlain(i, i % 4 === 0 ? 4 : 1));
  const lasts = lastIntents();
  for (let i = 0; i < idempotentWriters; i++) writers.push(writeIdempotent(writers.length, lasts.get(writers.length)));
  for (let i = 0; i < transactionalWriters; i++) writers.push(writeTransactions(writers.length));
  await Promise.all([...writers, read("events", 0), read("wide", 7)]);
}

function say(line: string): void {
  writeSync(out, `${line}\n`);
}

interface Place {
  readonly topic: TopicName;
  readonly partition: number;
}

function somewhere(names: readonly TopicName[]): Place {
  const topic = names[random.below(names.length)] as TopicName;
  return { topic, partition: random.below(topics[topic].partitions) };
}

/** One to three records for one place, and their ids. */
function batchFor(writer: number, place: Place, transaction = "-") {
  const ids = newIds(writer, place, transaction);
  return { ids, request: { ...place, batch: batchOf(writer, ids) } };
}

function newIds(writer: number, place: Place, transaction = "-"): number[] {
  const ids = Array.from({ length: 1 + random.below(3) }, () => nextId++);
  for (const id of ids) say(`S ${id} ${writer} ${place.topic}/${place.partition} ${transaction}`);
  return ids;
}

function batchOf(writer: number, ids: readonly number[]): Buffer {
  const records = ids.map((id) => ({ key: Buffer.from(`${writer}`), value: valueFor(id) }));
  return encodeBatch(records, systemClock.now());
}

/** With several appends on their way at once, which keep their order too. */
async function writePlain(writer: number, atOnce: number): Promise<void> {
  for (;;) {
    const place = somewhere(["events", "wide", "large", "unsynced"]);
    const appends = Array.from({ length: atOnce }, async () => {
      const { ids, request } = batchFor(writer, place);
      const appending = engine.append(request);
      if (mode === "early") for (const id of ids) say(`A ${id} -1`);
      const { baseOffset } = await appending;
      if (mode !== "early") for (const [i, id] of ids.entries()) say(`A ${id} ${baseOffset + i}`);
    });
    await Promise.all(appends);
  }
}

/** A batch of an idempotent writer, which goes to one partition of `events` all its life. */
interface Intent {
  readonly producerId: number;
  readonly epoch: number;
  readonly sequence: number;
  readonly ids: readonly number[];
}

/** By writer. The last line may have been cut by the kill. */
function lastIntents(): Map<number, Intent> {
  const lasts = new Map<number, Intent>();
  for (const line of readFileSync(intents, "utf8").split("\n")) {
    const [writer = 0, producerId = 0, epoch = 0, sequence = 0] = line.split(" ").map(Number);
    const ids = line.split(" ")[4];
    if (ids?.endsWith(";"))
      lasts.set(writer, { producerId, epoch, sequence, ids: ids.slice(0, -1).split(",").map(Number) });
  }
  writeSync(intentsOut, "\n");
  return lasts;
}

/** Sends its last batch again when there is one, and every fifth batch twice at once. */
async function writeIdempotent(writer: number, last: Intent | undefined): Promise<void> {
  const place = { topic: "events", partition: writer % topics.events.partitions } as const;
  for (const id of last?.ids ?? []) say(`T ${id}`);
  const { producerId, epoch } = last ?? (await engine.transactions.newProducerId());
  let intent = last;
  for (let isAgain = last !== undefined; ; isAgain = false) {
    if (!intent || !isAgain) {
      const sequence: number = intent ? intent.sequence + intent.ids.length : 0;
      const ids = newIds(writer, place);
      intent = { producerId, epoch, sequence, ids };
      writeSync(intentsOut, `${writer} ${producerId} ${epoch} ${sequence} ${ids.join(",")};\n`);
    }
    const sent = intent;
    const offsets = await Promise.all(
      Array.from({ length: random.below(5) === 0 ? 2 : 1 }, async () => {
        const { baseOffset } = await engine.append({ ...place, batch: idempotentBatch(writer, sent) });
        for (const [i, id] of sent.ids.entries()) say(`A ${id} ${baseOffset + i}`);
        return baseOffset;
      }),
    );
    assert.ok(offsets.every((offset) => offset === offsets[0]));
  }
}

function idempotentBatch(writer: number, { producerId, epoch, sequence, ids }: Intent): Buffer {
  const batch = batchOf(writer, ids);
  writeInt64(batch, batchField.producerId, producerId);
  batch.writeInt16BE(epoch, batchField.producerEpoch);
  batch.writeInt32BE(sequence, batchField.baseSequence);
  writeBatchChecksum(batch);
  return batch;
}

async function writeTransactions(writer: number): Promise<void> {
  const transactionalId = `writer-${writer}`;
  let producer = await engine.initProducer(transactionalId);
  for (let count = 0; ; count++) {
    const name = `${first}.${writer}.${count}`;
    const transaction = producer.begin();
    for (let i = 0; i < 1 + random.below(5); i++) await writeInto(writer, transaction, name);
    const end = random.below(10);
    if (end < 7) {
      say(`C ${name}`);
      if (mode === "early") say(`K ${name}`);
      await transaction.commit();
      if (mode !== "early") say(`K ${name}`);
    } else {
      say(`N ${name}`);
      if (end < 9) await transaction.abort();
      else producer = await engine.initProducer(transactionalId);
    }
  }
}

async function writeInto(writer: number, transaction: Transaction, name: string): Promise<void> {
  const { ids, request } = batchFor(writer, somewhere(["events", "wide", "large"]), name);
  const { baseOffset } = await transaction.append(request);
  for (const [i, id] of ids.entries()) say(`A ${id} ${baseOffset + i}`);
}

async function read(topic: TopicName, partition: number): Promise<void> {
  for (let offset = engine.offsets(topic, partition).highWatermark; ; ) {
    const result = await engine.read({
      topic,
      partition,
      offset,
      isolation: "read_committed",
      bytesMax: 100_000,
      waitMs: 1000,
    });
    for (const record of decodeCommitted(result, offset)) {
      say(`R ${idOf(record.value)} ${topic}/${partition} ${record.offset}`);
    }
    offset = nextOffsetOf(result, offset);
  }
}
