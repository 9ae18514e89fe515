/** Appends that expect the last record of a key to be at an offset, on the log as it is opened for real. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../../base/diagnostics.ts";
import { MillraceError } from "../../base/errors.ts";
import { seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { EmbeddedEngine } from "../../engine/embedded/embedded-engine.ts";
import type { KeyExpectation, TopicSettings, Transaction } from "../../engine/engine.ts";
import { forEachCommittedRecord, nextOffsetOf } from "../../engine/records.ts";
import { encodeBatch } from "../../records/batch-builder.ts";
import { Log } from "../log.ts";
import type { LogLimits } from "../log-context.ts";

interface Opened {
  readonly engine: EmbeddedEngine;
  readonly log: Log;
  readonly disk: SimulatedDisk;
}

async function open(
  settings: Partial<TopicSettings> = {},
  limits: Partial<LogLimits> = {},
  disk = new SimulatedDisk(seededRandom(1)),
): Promise<Opened> {
  const options = { disk, directory: "/log", clock: new VirtualClock(), random: seededRandom(2), limits };
  const tools = { ...options, diagnostics: silentDiagnostics };
  const log = await Log.open(tools);
  const engine = new EmbeddedEngine(log, tools);
  if (!engine.topic("t")) await engine.createTopic("t", settings);
  return { engine, log, disk };
}

function batchOf(key: string, value: string | null = "v"): Buffer {
  return encodeBatch([{ key: Buffer.from(key), value: value === null ? null : Buffer.from(value) }], 0);
}

/** The offset that it got. */
async function append(
  { engine }: Opened,
  key: string,
  offset?: KeyExpectation["offset"],
  value: string | null = "v",
): Promise<number> {
  const expect = offset === undefined ? {} : { expect: { key: Buffer.from(key), offset } };
  return (await engine.append({ topic: "t", partition: 0, batch: batchOf(key, value), ...expect })).baseOffset;
}

function refusedAt(offset: number | null) {
  return (error: unknown) => MillraceError.is(error, "KEY_OFFSET_MISMATCH") && error.details.offset === offset;
}

test("an append that expects an offset is done when the key's last record is there, else refused with where it is", async () => {
  const house = await open();
  const first = await append(house, "a", null);
  await assert.rejects(append(house, "a", null), refusedAt(first));
  await assert.rejects(append(house, "b", first), refusedAt(null));
  await append(house, "b");
  const second = await append(house, "a", first);
  await assert.rejects(append(house, "a", first), refusedAt(second));
  assert.equal(await append(house, "a", "any"), second + 1);
  await assert.rejects(append(house, "c", "any"), refusedAt(null));
  await house.engine.close();
});

test("of many appends that expect the same offset at once, one is done", async () => {
  const house = await open();
  await append(house, "a", null);
  for (let round = 0; round < 10; round++) {
    const { highWatermark } = house.engine.offsets("t", 0);
    const done = await Promise.allSettled(Array.from({ length: 20 }, () => append(house, "a", highWatermark - 1)));
    assert.equal(done.filter(({ status }) => status === "fulfilled").length, 1);
  }
  await house.engine.close();
});

test("a tombstone, and a record that was deleted, count as none", async () => {
  const house = await open();
  await append(house, "a");
  const tombstone = await append(house, "a", 0, null);
  await assert.rejects(append(house, "a", tombstone), refusedAt(null));
  const again = await append(house, "a", null);
  await house.engine.deleteRecords("t", 0, again + 1);
  await assert.rejects(append(house, "a", again), refusedAt(null));
  await append(house, "a", null);
  await house.engine.close();
});

test("a key in an open transaction is undecided, and decided by its end", async () => {
  const house = await open();
  const base = await append(house, "a", null);
  const producer = await house.engine.initProducer("tx");
  for (const outcome of ["abort", "commit"] as const) {
    const transaction = producer.begin();
    const { baseOffset } = await transaction.append({ topic: "t", partition: 0, batch: batchOf("a") });
    await assert.rejects(append(house, "a", base), { code: "KEY_OFFSET_UNDECIDED" });
    await append(house, "other", outcome === "abort" ? null : "any");
    await transaction[outcome]();
    if (outcome === "abort") continue;
    await assert.rejects(append(house, "a", base), refusedAt(baseOffset));
  }
  await house.engine.close();
});

test("a key in several open transactions is undecided at the first that is still open", async () => {
  const house = await open();
  const base = await append(house, "a", null);
  const undecidedAt = (offset: number) => (error: unknown) =>
    MillraceError.is(error, "KEY_OFFSET_UNDECIDED") && error.details.offset === offset;
  const begin = async (name: string) => (await house.engine.initProducer(name)).begin();
  const [first, second] = [await begin("first"), await begin("second")];
  const write = async (transaction: Transaction) =>
    (await transaction.append({ topic: "t", partition: 0, batch: batchOf("a") })).baseOffset;
  const offsets = [await write(first), await write(second), await write(first)] as const;
  await assert.rejects(append(house, "a", base), undecidedAt(offsets[0]));
  await first.commit();
  // Who waits for the first one to be readable would not wait at all.
  await assert.rejects(append(house, "a", base), undecidedAt(offsets[1]));
  await second.abort();
  await assert.rejects(append(house, "a", base), refusedAt(offsets[2]));
  await house.engine.close();
});

test("where the key's last record is told to be, it is durable, to a transaction too", async () => {
  const house = await open();
  await append(house, "b", null);
  const expect = { key: Buffer.from("a"), offset: null } as const;
  const highWatermark = () => house.engine.offsets("t", 0).highWatermark;
  const writing = append(house, "a", null);
  await assert.rejects(append(house, "a", null), refusedAt(1));
  assert.equal(highWatermark(), 2);
  await writing;
  const transaction = (await house.engine.initProducer("tx")).begin();
  const another = append(house, "a", 1);
  await assert.rejects(transaction.append({ topic: "t", partition: 0, batch: batchOf("a"), expect }), refusedAt(2));
  assert.equal(highWatermark(), 3);
  await another;
  await transaction.abort();
  await house.engine.close();
});

test("an expectation in a transaction holds when the batch gets its offsets, or nothing of it is there", async () => {
  const house = await open();
  const producer = await house.engine.initProducer("tx");
  const transaction = producer.begin();
  const expect = { key: Buffer.from("a"), offset: null } as const;
  await transaction.append({ topic: "t", partition: 0, batch: batchOf("a"), expect });
  await transaction.commit();
  const late = producer.begin();
  await late.append({ topic: "t", partition: 0, batch: batchOf("b") });
  await assert.rejects(late.append({ topic: "t", partition: 0, batch: batchOf("a"), expect }), refusedAt(0));
  await late.abort();
  await append(house, "b", null);
  await house.engine.close();
});

test("keys that are too many for the memory are refused by name, and other partitions make room", async () => {
  const house = await open({ partitions: 2 }, { keyOffsetsBytes: 400_000 });
  const { engine } = house;
  const many = (partition: number, count: number) =>
    engine.append({
      topic: "t",
      partition,
      batch: encodeBatch(
        Array.from({ length: count }, (_, i) => ({ key: Buffer.from(`${i}`), value: null })),
        0,
      ),
    });
  const ask = (partition: number) => {
    const expect = { key: Buffer.from("new"), offset: null } as const;
    return engine.append({ topic: "t", partition, batch: batchOf("x"), expect });
  };
  await many(0, 5_000);
  await many(1, 5_000);
  await ask(0);
  await ask(1);
  await ask(0);
  await many(0, 20_000);
  for (let i = 0; i < 3; i++) await many(0, 20_000);
  await engine.append({ topic: "t", partition: 0, batch: encodeBatch(keysFrom(20_000, 40_000), 0) });
  await assert.rejects(ask(0), { code: "KEY_OFFSETS_FULL" });
  await ask(1);
  await engine.deleteRecords("t", 0, engine.offsets("t", 0).highWatermark);
  await ask(0);
  await engine.close();
});

test("partitions of which keys were asked take no more memory than they may, empty ones neither", async () => {
  const partitions = 20;
  const keyOffsetsBytes = 100_000;
  const { engine, log } = await open({ partitions }, { keyOffsetsBytes });
  const heldBytes = () => {
    const each = Array.from({ length: partitions }, (_, partition) => log.partition("t", partition).keys.keyBytes);
    return each.reduce((sum, bytes) => sum + bytes, 0);
  };
  const ask = async (partition: number) => {
    const expect = { key: Buffer.from("none"), offset: "any" } as const;
    await assert.rejects(engine.append({ topic: "t", partition, batch: batchOf("x"), expect }), refusedAt(null));
  };
  for (let partition = 0; partition < partitions; partition++) {
    await ask(partition);
    const bytes = heldBytes();
    assert.ok(bytes > 0 && bytes <= keyOffsetsBytes, `${bytes} bytes`);
  }
  // One that grows takes the place of others, and gives it back when it is let go.
  const keys = Array.from({ length: 1_000 }, (_, i) => ({ key: Buffer.from(`${i}`), value: null }));
  await engine.append({ topic: "t", partition: 19, batch: encodeBatch(keys, 0) });
  assert.ok(heldBytes() <= keyOffsetsBytes);
  log.partition("t", 19).keys.letGo();
  for (const partition of [1, 2, 3]) await ask(partition);
  for (const partition of [1, 2, 3]) assert.ok(log.partition("t", partition).keys.keyBytes > 0);
  await engine.close();
});

test("the keys of a partition are those that its records say, through transactions, deletions, compaction and starts", async () => {
  for (let seed = 1; seed <= 3; seed++) {
    const random = seededRandom(seed);
    const settings = { cleanup: "compact", segmentBytesMax: 1024 * 1024, dirtyRatioMin: 0 } as const;
    let house = await open(settings, {}, new SimulatedDisk(seededRandom(seed)));
    const keys = ["a", "b", "c", "d", "e"];
    for (let step = 0; step < 60; step++) {
      const key = keys[random.below(keys.length)] as string;
      const kind = random.below(10);
      if (kind < 3) await append(house, key, undefined, random.below(3) === 0 ? null : "v");
      else if (kind < 5) {
        const transaction = (await house.engine.initProducer(`tx ${random.below(2)}`)).begin();
        for (let i = 0; i <= random.below(3); i++) {
          const other = keys[random.below(keys.length)] as string;
          await transaction.append({ topic: "t", partition: 0, batch: batchOf(other) });
        }
        await (random.below(2) === 0 ? transaction.commit() : transaction.abort());
      } else if (kind === 5) {
        await house.log.partition("t", 0).roll();
        await house.log.maintain();
      } else if (kind === 6) {
        await house.engine.close();
        house = await open(settings, {}, house.disk);
      } else if (kind === 7) house.log.partition("t", 0).keys.letGo();
      else if (kind === 8 && random.below(4) === 0) {
        const { logStart, lastStable } = house.engine.offsets("t", 0);
        await house.engine.deleteRecords("t", 0, logStart + random.below(lastStable - logStart + 1));
      }
      const last = (await lastOffsets(house.engine)).get(key) ?? null;
      const wrong = last === null ? 0 : random.below(2) === 0 ? null : last + 1;
      await assert.rejects(append(house, key, wrong), refusedAt(last), `seed ${seed}, step ${step}`);
      await append(house, key, last);
    }
    await house.engine.close();
  }
});

function keysFrom(first: number, end: number) {
  return Array.from({ length: end - first }, (_, i) => ({ key: Buffer.from(`${first + i}`), value: null }));
}

/** The naive model: everything that a reader sees. */
async function lastOffsets(engine: EmbeddedEngine): Promise<Map<string, number>> {
  const last = new Map<string, number>();
  const { logStart, lastStable } = engine.offsets("t", 0);
  for (let offset = logStart; offset < lastStable; ) {
    const place = { topic: "t", partition: 0, offset, isolation: "read_committed", bytesMax: 10_000 } as const;
    const result = await engine.read(place);
    if (result.batches.length === 0) break;
    forEachCommittedRecord(result, offset, (record) => {
      const key = String(record.key);
      if (record.isTombstone) last.delete(key);
      else last.set(key, record.offset);
    });
    offset = nextOffsetOf(result, offset);
  }
  return last;
}
