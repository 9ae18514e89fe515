/**
 * What every variant of the engine must do. A variant's test calls `engineSuite` with a way to open it; `reopen`
 * closes an engine and opens the same log again. Parts of it are in files of their own beside this one.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encodeControlBatch } from "../records/batch-builder.ts";
import { batchAttributes, batchField, isControl } from "../records/batch-header.ts";
import { decodeBatch } from "../records/batch-records.ts";
import {
  assertSameRecords,
  batchesOf,
  batchOf,
  committed,
  type EngineFixture,
  type EngineTest,
  type EngineTrait,
  nowMs,
  request,
  valuesOf,
  withCode,
} from "./engine.fixture.ts";
import type { Engine } from "./engine.ts";
import { cleanupSuite } from "./engine-cleanup.suite.ts";
import { producersSuite } from "./engine-producers.suite.ts";
import { recordsSuite } from "./engine-records.suite.ts";
import { timesSuite } from "./engine-times.suite.ts";
import { topicsSuite } from "./engine-topics.suite.ts";
import { transactionsSuite } from "./engine-transactions.suite.ts";
import { wireTransactionsSuite } from "./engine-wire-transactions.suite.ts";
import { appendRecords, decodeCommitted, forEachCommitted } from "./records.ts";

/** `lacks` says why a variant cannot have what some tests need; those skip with that reason. Answers how many do not. */
export function engineSuite(
  name: string,
  open: () => Promise<EngineFixture>,
  lacks: Readonly<Partial<Record<EngineTrait, string>>> = {},
): number {
  let count = 0;
  const engineTest: EngineTest = (title, body, needs = []) => {
    const reason = needs.map((trait) => lacks[trait]).find((each) => each !== undefined);
    if (reason === undefined) count++;
    test(title, { skip: reason ?? false }, async () => {
      const fixture = await open();
      try {
        await body(fixture.engine, fixture);
      } finally {
        await fixture.dispose();
      }
    });
  };

  describe(`an engine: ${name}`, () => {
    topicsSuite(engineTest);
    recordsSuite(engineTest);
    timesSuite(engineTest);
    producersSuite(engineTest);
    transactionsSuite(engineTest);
    wireTransactionsSuite(engineTest);
    cleanupSuite(engineTest);

    engineTest("a topic is made once, and made again only with the same settings", async (engine) => {
      const topic = await engine.createTopic("orders", { partitions: 3 });
      assert.deepEqual(await engine.createTopic("orders", { partitions: 3 }), topic);
      assert.deepEqual(engine.topic("orders"), topic);
      assert.equal(engine.topic("others"), undefined);
      await assert.rejects(engine.createTopic("orders", { partitions: 4 }), withCode("TOPIC_EXISTS"));
      const both = await Promise.all([engine.createTopic("two"), engine.createTopic("two")]);
      assert.equal(both[0].id, both[1].id);
    });

    engineTest("names and settings that cannot be are refused", async (engine) => {
      for (const bad of ["", ".", "..", "a b", "a/b", "ä", "x".repeat(250)]) {
        await assert.rejects(engine.createTopic(bad), withCode("TOPIC_NAME_INVALID"), bad);
      }
      for (const settings of [
        { partitions: 0 },
        { partitions: 1.5 },
        { partitions: Number.NaN },
        { batchBytesMax: -1 },
      ]) {
        await assert.rejects(engine.createTopic("t", settings), withCode("SETTING_INVALID"));
      }
    });

    engineTest("what is unknown is refused by name", async (engine) => {
      await engine.createTopic("known");
      await assert.rejects(engine.append({ topic: "x", partition: 0, batch: batchOf("a") }), withCode("TOPIC_UNKNOWN"));
      for (const partition of [1, -1, 0.5, Number.NaN]) {
        await assert.rejects(
          engine.append({ topic: "known", partition, batch: batchOf("a") }),
          withCode("PARTITION_UNKNOWN"),
        );
      }
      await assert.rejects(engine.read(request("x")), withCode("TOPIC_UNKNOWN"));
      await assert.rejects(async () => engine.offsets("x", 0), withCode("TOPIC_UNKNOWN"));
      await assert.rejects(engine.deleteTopic("x"), withCode("TOPIC_UNKNOWN"));
    });

    engineTest("records come back in the order of their offsets, with all that was in them", async (engine) => {
      await engine.createTopic("t");
      const headers = [
        { key: "trace", value: Buffer.from("x") },
        { key: "none", value: null },
      ];
      const appended = await appendRecords(engine, "t", [
        { key: Buffer.from("k"), value: Buffer.from("v"), headers, timestamp: 7 },
        { key: null, value: null, timestamp: 8 },
      ]);
      assert.deepEqual(appended, [
        { partition: 0, offset: 0 },
        { partition: 0, offset: 1 },
      ]);
      const result = await engine.read(request("t"));
      assert.deepEqual(decodeCommitted(result, 0), [
        { offset: 0, timestamp: 7, key: Buffer.from("k"), value: Buffer.from("v"), headers },
        { offset: 1, timestamp: 8, key: null, value: null, headers: [] },
      ]);
      const seen: [number, number, string | null][] = [];
      forEachCommitted(result, 1, (offset, timestamp, key) => seen.push([offset, timestamp, key && String(key)]));
      assert.deepEqual(seen, [[1, 8, null]]);
      assert.deepEqual(await engine.offsets("t", 0), { logStart: 0, lastStable: 2, highWatermark: 2, leaderEpoch: 0 });
    });

    engineTest("records of one key go to one partition, the one of Kafka's default partitioner", async (engine) => {
      await engine.createTopic("t", { partitions: 5 });
      const keyed = Array.from({ length: 20 }, (_, i) => ({
        key: Buffer.from(`key-${i % 4}`),
        value: Buffer.from(`${i}`),
      }));
      const appended = await appendRecords(engine, "t", keyed);
      for (const [i, { partition }] of appended.entries()) assert.equal(partition, appended[i % 4]?.partition);
      // "21" hashes to -973932308 in Java.
      const [placed] = await appendRecords(engine, "t", [{ key: Buffer.from("21"), value: null }]);
      assert.equal(placed?.partition, (-973932308 & 0x7fffffff) % 5);
    });

    engineTest("records without a key take the partitions in turn, one call after the other", async (engine) => {
      await engine.createTopic("t", { partitions: 3 });
      const partitions: (number | undefined)[] = [];
      for (let i = 0; i < 6; i++) {
        const appended = await appendRecords(engine, "t", [
          { key: null, value: null },
          { key: null, value: null },
        ]);
        assert.equal(appended[0]?.partition, appended[1]?.partition);
        partitions.push(appended[0]?.partition);
      }
      assert.deepEqual(partitions, [0, 1, 2, 0, 1, 2]);
    });

    engineTest("appends from many callers at once all get places of their own", async (engine) => {
      await engine.createTopic("t");
      const results = await Promise.all(
        Array.from({ length: 200 }, (_, i) =>
          engine.append({ topic: "t", partition: 0, batch: batchOf(`a${i}`, `b${i}`) }),
        ),
      );
      assert.deepEqual(
        results.map(({ baseOffset, lastOffset }) => [baseOffset, lastOffset]),
        results.map((_, i) => [2 * i, 2 * i + 1]),
      );
      assert.deepEqual(
        await valuesOf(engine, "t"),
        Array.from({ length: 400 }, (_, i) => `${i % 2 ? "b" : "a"}${i >> 1}`),
      );
    });

    engineTest("a read begins with the whole batch that holds its offset, however large it is", async (engine) => {
      await engine.createTopic("t");
      await engine.append({ topic: "t", partition: 0, batch: batchOf("a", "b", "c") });
      await engine.append({ topic: "t", partition: 0, batch: batchOf("d") });
      const middle = await engine.read(request("t", { offset: 1, bytesMax: 1 }));
      assert.equal(middle.batches.length, 1);
      assert.deepEqual(
        decodeCommitted(middle, 1).map(({ offset }) => offset),
        [1, 2],
      );
      assert.equal((await engine.read(request("t", { offset: 3, bytesMax: 1 }))).batches.length, 1);
    });

    engineTest("an offset outside the partition is refused, its end is not", async (engine) => {
      await engine.createTopic("t");
      await engine.append({ topic: "t", partition: 0, batch: batchOf("a") });
      assert.deepEqual((await engine.read(request("t", { offset: 1 }))).batches, []);
      for (const offset of [-1, 2, 2 ** 53, Number.NaN, 0.5, Number.POSITIVE_INFINITY]) {
        await assert.rejects(engine.read(request("t", { offset })), withCode("OFFSET_OUT_OF_RANGE"), String(offset));
        await assert.rejects(engine.read(request("t", { offset, waitMs: 1000 })), withCode("OFFSET_OUT_OF_RANGE"));
      }
    });

    engineTest(
      "a batch that is too large, damaged, or not a writer's is refused and changes nothing",
      async (engine) => {
        await engine.createTopic("t", { batchBytesMax: 2048 });
        const append = (batch: Buffer) => engine.append({ topic: "t", partition: 0, batch });
        await assert.rejects(append(batchOf("x".repeat(2048))), withCode("RECORD_TOO_LARGE"));
        await assert.rejects(
          appendRecords(engine, "t", [
            { key: null, value: Buffer.from("fits") },
            { key: null, value: Buffer.alloc(4096) },
          ]),
          withCode("RECORD_TOO_LARGE"),
        );
        const flipped = batchOf("value");
        flipped[flipped.length - 2] = (flipped.at(-2) ?? 0) ^ 1;
        await assert.rejects(append(flipped), withCode("BATCH_CORRUPT"));
        await assert.rejects(append(Buffer.alloc(0)), withCode("BATCH_CORRUPT"));
        await assert.rejects(append(batchOf("value").subarray(0, 70)), withCode("BATCH_CORRUPT"));
        await assert.rejects(
          append(encodeControlBatch("commit", { producerId: 1, epoch: 0 }, nowMs)),
          withCode("RECORD_INVALID"),
        );
        assert.equal((await engine.offsets("t", 0)).highWatermark, 0);
        await append(batchOf("good"));
        assert.deepEqual(await valuesOf(engine, "t"), ["good"]);
      },
    );

    engineTest("many records are packed into batches that the topic takes", async (engine) => {
      await engine.createTopic("t", { batchBytesMax: 2048 });
      const records = Array.from({ length: 50 }, (_, i) => ({
        key: null,
        value: Buffer.from(String(i).padEnd(300, ".")),
      }));
      const appended = await appendRecords(engine, "t", records);
      assert.deepEqual(
        appended.map(({ offset }) => offset),
        records.map((_, i) => i),
      );
      const { batches } = await engine.read(request("t"));
      assert.ok(batches.length > 1);
      for (const batch of batches) assert.ok(batch.length <= 2048);
    });

    engineTest("a long poll is answered by the append that it waits for", async (engine) => {
      await engine.createTopic("t");
      const waiting = engine.read(request("t", { waitMs: 60_000 }));
      await engine.append({ topic: "t", partition: 0, batch: batchOf("a") });
      assert.deepEqual(
        decodeCommitted(await waiting, 0).map(({ value }) => String(value)),
        ["a"],
      );
    });

    engineTest("a long poll ends with its signal's reason, and with the deletion of its topic", async (engine) => {
      await engine.createTopic("t");
      const aborter = new AbortController();
      const waiting = engine.read(request("t", { waitMs: 60_000, signal: aborter.signal }));
      aborter.abort(new Error("gone"));
      await assert.rejects(waiting, /gone/);
      const other = engine.read(request("t", { waitMs: 60_000 }));
      await Promise.all([assert.rejects(other, withCode("TOPIC_UNKNOWN")), engine.deleteTopic("t")]);
    });

    engineTest("the first offset of a time is found", async (engine) => {
      await engine.createTopic("t");
      for (const timestamp of [10, 30, 20, 50]) {
        await appendRecords(engine, "t", [{ key: null, value: null, timestamp }]);
      }
      const found = await Promise.all([0, 10, 11, 25, 31, 51].map((ms) => engine.offsetForTime("t", 0, ms)));
      assert.deepEqual(found, [0, 0, 1, 1, 3, 4]);
    });

    engineTest(
      "a transaction over several partitions is read whole after its commit and not before",
      async (engine) => {
        await engine.createTopic("t", { partitions: 2 });
        const producer = await engine.initProducer("unit");
        const transaction = producer.begin();
        const placed = await transaction.append({ topic: "t", partition: 0, batch: batchOf("a", "b") });
        await transaction.append({ topic: "t", partition: 1, batch: batchOf("c") });
        assert.deepEqual([placed.baseOffset, placed.lastOffset], [0, 1]);
        await engine.append({ topic: "t", partition: 0, batch: batchOf("plain") });
        assert.equal((await engine.offsets("t", 0)).lastStable, 0);
        assert.deepEqual(await valuesOf(engine, "t"), []);
        assert.deepEqual(await valuesOf(engine, "t", { isolation: "read_uncommitted" }), ["a", "b", "plain"]);
        await transaction.commit();
        assert.deepEqual(await valuesOf(engine, "t"), ["a", "b", "plain"]);
        assert.deepEqual(await valuesOf(engine, "t", { partition: 1 }), ["c"]);
        const { lastStable, highWatermark } = await engine.offsets("t", 0);
        assert.equal(lastStable, highWatermark);
      },
    );

    engineTest("a committed long poll is answered by the commit, in every partition", async (engine) => {
      await engine.createTopic("t", { partitions: 2 });
      const transaction = (await engine.initProducer("unit")).begin();
      const waiting = [0, 1].map((partition) => engine.read(request("t", { partition, waitMs: 60_000 })));
      for (const partition of [0, 1])
        await transaction.append({ topic: "t", partition, batch: batchOf(`${partition}`) });
      await transaction.commit();
      const values = (await Promise.all(waiting)).map((result) =>
        decodeCommitted(result, 0).map(({ value }) => String(value)),
      );
      assert.deepEqual(values, [["0"], ["1"]]);
    });

    engineTest("an aborted transaction is never among what is committed", async (engine, { reopen }) => {
      await engine.createTopic("t");
      const producer = await engine.initProducer("unit");
      await committed(producer, "t", "one");
      const transaction = producer.begin();
      await transaction.append({ topic: "t", partition: 0, batch: batchOf("never") });
      await transaction.abort();
      await committed(producer, "t", "two");
      await engine.append({ topic: "t", partition: 0, batch: batchOf("plain") });
      assert.deepEqual(await valuesOf(engine, "t"), ["one", "two", "plain"]);
      assert.deepEqual(await valuesOf(await reopen(), "t"), ["one", "two", "plain"]);
    });

    engineTest("aborted records are left out wherever a read begins", async (engine) => {
      await engine.createTopic("t");
      const [first, second] = await Promise.all([engine.initProducer("first"), engine.initProducer("second")]);
      const aborted = first.begin();
      const kept = second.begin();
      for (let i = 0; i < 3; i++) {
        await aborted.append({ topic: "t", partition: 0, batch: batchOf(`aborted ${i}`) });
        await kept.append({ topic: "t", partition: 0, batch: batchOf(`kept ${i}`) });
      }
      await aborted.abort();
      await kept.commit();
      await engine.append({ topic: "t", partition: 0, batch: batchOf("end") });
      const expected = ["kept 0", "kept 0", "kept 1", "kept 1", "kept 2", "kept 2"];
      for (let offset = 0; offset < 6; offset++) {
        for (const bytesMax of [1, 1024 * 1024]) {
          const values = await valuesOf(engine, "t", { offset, bytesMax });
          assert.equal(values[0], expected[offset]);
          assert.equal(values.at(-1), "end");
        }
      }
    });

    engineTest("a taken transactional id fences its holder, whose open transaction is aborted", async (engine) => {
      await engine.createTopic("t");
      const old = await engine.initProducer("unit");
      await committed(old, "t", "kept");
      const open = old.begin();
      await open.append({ topic: "t", partition: 0, batch: batchOf("lost") });
      const young = await engine.initProducer("unit");
      assert.equal(young.producerId, old.producerId);
      assert.ok(young.epoch > old.epoch);
      await assert.rejects(
        open.append({ topic: "t", partition: 0, batch: batchOf("late") }),
        withCode("PRODUCER_FENCED"),
      );
      await assert.rejects(open.commit(), withCode("PRODUCER_FENCED"));
      assert.throws(() => old.begin(), withCode("PRODUCER_FENCED"));
      await committed(young, "t", "new");
      assert.deepEqual(await valuesOf(engine, "t"), ["kept", "new"]);
    });

    engineTest("a commit that is under way when its producer is fenced ends whole", async (engine) => {
      await engine.createTopic("t");
      const old = await engine.initProducer("unit");
      const transaction = old.begin();
      await transaction.append({ topic: "t", partition: 0, batch: batchOf("whole") });
      const [, young] = await Promise.all([transaction.commit(), engine.initProducer("unit")]);
      assert.ok(young.epoch > 1);
      assert.deepEqual(await valuesOf(engine, "t"), ["whole"]);
    });

    engineTest("transactions of one producer follow each other", async (engine) => {
      await engine.createTopic("t");
      const producer = await engine.initProducer("unit");
      const before = producer.epoch;
      const transaction = producer.begin();
      assert.throws(() => producer.begin(), withCode("TRANSACTION_INVALID"));
      await transaction.commit();
      await assert.rejects(transaction.commit(), withCode("TRANSACTION_INVALID"));
      await assert.rejects(transaction.abort(), withCode("TRANSACTION_INVALID"));
      await committed(producer, "t", "a");
      await committed(producer, "t", "b");
      assert.equal(producer.epoch, before + 2);
      const written = (await batchesOf(engine, "t")).filter((batch) => !isControl(batchAttributes(batch)));
      assert.deepEqual(
        written.map((batch) => batch.readInt16BE(batchField.producerEpoch)),
        [before, before + 1],
      );
    });

    engineTest(
      "a transaction's marker has its epoch",
      async (engine) => {
        await engine.createTopic("t");
        const producer = await engine.initProducer("unit");
        const before = producer.epoch;
        await committed(producer, "t", "a");
        await committed(producer, "t", "b");
        const epochs = (await batchesOf(engine, "t")).map((batch) => batch.readInt16BE(batchField.producerEpoch));
        assert.deepEqual(epochs, [before, before, before + 1]);
      },
      ["every epoch"],
    );

    engineTest("everything is there after the log was closed and opened", async (engine, { reopen }) => {
      const { id } = await engine.createTopic("t", { partitions: 2, segmentBytesMax: 4096 }, { readOnly: true });
      const producer = await engine.initProducer("unit");
      const values = Array.from({ length: 60 }, (_, i) => `${i}`.padEnd(200, "."));
      for (const value of values) await committed(producer, "t", value);
      const { logId } = engine;
      const again = await reopen();
      assert.equal(again.logId, logId);
      assert.equal(again.topic("t")?.id, id);
      assert.equal(again.topic("t")?.readOnly, true);
      assert.deepEqual(await valuesOf(again, "t"), values);
      assert.deepEqual(await valuesOf(again, "t", { bytesMax: 700 }), values);
      assert.ok((await again.initProducer("unit")).epoch > producer.epoch);
      assert.ok((await again.sizeBytes("t")) > 60 * 200);
    });

    engineTest(
      "a transaction that was open when the log was closed is aborted by the next start",
      async (engine, { reopen }) => {
        await engine.createTopic("t");
        const transaction = (await engine.initProducer("unit")).begin();
        await transaction.append({ topic: "t", partition: 0, batch: batchOf("undecided") });
        const again = await reopen();
        assert.deepEqual(await valuesOf(again, "t"), []);
        const { lastStable, highWatermark } = await again.offsets("t", 0);
        assert.equal(lastStable, highWatermark);
      },
    );

    engineTest("a deleted topic is gone, and one of its name made later is another", async (engine, { reopen }) => {
      const { id } = await engine.createTopic("t");
      await engine.append({ topic: "t", partition: 0, batch: batchOf("old") });
      await engine.deleteTopic("t");
      assert.equal(engine.topic("t"), undefined);
      const made = await engine.createTopic("t");
      assert.notEqual(made.id, id);
      assert.deepEqual(await valuesOf(engine, "t"), []);
      await engine.append({ topic: "t", partition: 0, batch: batchOf("new") });
      assert.deepEqual(await valuesOf(await reopen(), "t"), ["new"]);
    });

    engineTest("a closed engine refuses with LOG_CLOSED, and ends who waits", async (engine) => {
      await engine.createTopic("t");
      const waiting = engine.read(request("t", { waitMs: 60_000 }));
      await Promise.all([assert.rejects(waiting, withCode("LOG_CLOSED")), engine.close()]);
      await assert.rejects(engine.append({ topic: "t", partition: 0, batch: batchOf("a") }), withCode("LOG_CLOSED"));
      await engine.close();
    });

    const keepsBytes = (engine: Engine, assertSame: (found: Buffer | undefined, given: Buffer) => void) => async () => {
      await engine.createTopic("t");
      await engine.append({ topic: "t", partition: 0, batch: batchOf("first") });
      const batch = batchOf("second", "third");
      const before = Buffer.from(batch);
      await engine.append({ topic: "t", partition: 0, batch });
      const [found] = (await engine.read(request("t", { offset: 1 }))).batches;
      assertSame(found, before);
      assert.deepEqual(
        decodeBatch(found as Buffer).map(({ offset }) => offset),
        [1, 2],
      );
    };

    engineTest("the records of a batch are those that were appended, byte for byte", (engine) =>
      keepsBytes(engine, assertSameRecords)(),
    );

    engineTest(
      "the bytes of a batch are those that were appended, offsets and epoch apart",
      (engine) => keepsBytes(engine, (found, given) => assert.deepEqual(found?.subarray(16), given.subarray(16)))(),
      ["plain batches"],
    );
  });
  return count;
}
