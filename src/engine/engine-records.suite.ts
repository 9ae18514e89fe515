/** What every engine must do: compressed batches, and the end of the records before an offset. */
import assert from "node:assert/strict";
import { encodeBatch } from "../records/batch-builder.ts";
import { batchField, writeBatchChecksum } from "../records/batch-header.ts";
import { codec } from "../records/compression.ts";
import {
  alsoReopened,
  assertSameRecords,
  assertSettled,
  batchOf,
  type EngineTest,
  nowMs,
  request,
  valuesOf,
  withCode,
} from "./engine.fixture.ts";
import { appendRecords, decodeCommitted } from "./records.ts";

const codecs = Object.entries(codec);

function compressed(codecNumber: number, values: readonly string[], timestamp = nowMs): Buffer {
  const records = values.map((value, i) => ({
    key: Buffer.from(`${i}`),
    value: Buffer.from(value),
    timestamp: timestamp + i,
  }));
  return encodeBatch(records, nowMs, codecNumber);
}

export function recordsSuite(engineTest: EngineTest): void {
  engineTest("compressed batches are kept as they came, of every codec", async (engine, { reopen }) => {
    await engine.createTopic("t", { partitions: codecs.length });
    const sent = codecs.map(([name, number]) => compressed(number, [`${name} ${"x".repeat(2000)}`, name]));
    const before = sent.map((batch) => Buffer.from(batch));
    for (const [partition, batch] of sent.entries()) {
      await engine.append({ topic: "t", partition, batch: batchOf("first") });
      const { baseOffset, lastOffset } = await engine.append({ topic: "t", partition, batch });
      assert.deepEqual([baseOffset, lastOffset], [1, 2]);
    }
    for await (const one of alsoReopened(engine, reopen)) {
      for (const [partition, [name]] of codecs.entries()) {
        const result = await one.read(request("t", { partition, offset: 2 }));
        assert.equal(result.batches.length, 1);
        assertSameRecords(result.batches[0], before[partition]);
        assert.deepEqual(
          decodeCommitted(result, 2).map(({ offset, timestamp, value }) => [offset, timestamp, String(value)]),
          [[2, nowMs + 1, name]],
        );
      }
    }
  });

  engineTest("compressed batches are part of transactions, and of compacted topics", async (engine) => {
    await engine.createTopic("t", { cleanup: "compact" });
    const transaction = (await engine.initProducer("unit")).begin();
    for (const [name, number] of codecs) {
      await transaction.append({ topic: "t", partition: 0, batch: compressed(number, [name]) });
    }
    assert.deepEqual(await valuesOf(engine, "t"), []);
    await transaction.commit();
    assert.deepEqual(
      await valuesOf(engine, "t"),
      codecs.map(([name]) => name),
    );
    for (const [, number] of codecs) {
      const keyless = encodeBatch([{ key: null, value: Buffer.from("x") }], nowMs, number);
      await assert.rejects(engine.append({ topic: "t", partition: 0, batch: keyless }), withCode("RECORD_INVALID"));
    }
  });

  engineTest("a codec that nobody knows is refused", async (engine) => {
    await engine.createTopic("t");
    const batch = batchOf("x");
    for (const number of [5, 6, 7]) {
      batch.writeInt16BE(number, batchField.attributes);
      writeBatchChecksum(batch);
      await assert.rejects(engine.append({ topic: "t", partition: 0, batch }), withCode("RECORD_INVALID"));
    }
    assert.equal((await engine.offsets("t", 0)).highWatermark, 0);
  });

  engineTest("the first offset of a time is found inside of compressed batches", async (engine, { reopen }) => {
    await engine.createTopic("t", { segmentBytesMax: 1024 });
    for (const [i, [, number]] of codecs.entries()) {
      const batch = compressed(number, ["a".repeat(300), "b".repeat(300), "c"], nowMs + 10 * i);
      await engine.append({ topic: "t", partition: 0, batch });
    }
    for await (const one of alsoReopened(engine, reopen)) {
      for (const [i] of codecs.entries()) {
        const found = [0, 1, 2].map((record) => one.offsetForTime("t", 0, nowMs + 10 * i + record));
        assert.deepEqual(await Promise.all(found), [3 * i, 3 * i + 1, 3 * i + 2]);
        assert.equal(await one.offsetForTime("t", 0, nowMs + 10 * i + 3), 3 * i + 3);
      }
    }
  });

  engineTest(
    "records below an offset are deleted for good, and whoever reads there is told so",
    async (engine, { reopen }) => {
      await engine.createTopic("t");
      for (const values of [["a", "b", "c"], ["d"], ["e", "f"]]) {
        await engine.append({ topic: "t", partition: 0, batch: batchOf(...values) });
      }
      assert.equal(await engine.deleteRecords("t", 0, 2), 2);
      assert.equal(await engine.deleteRecords("t", 0, 1), 2);
      for await (const one of alsoReopened(engine, reopen)) {
        assert.deepEqual(await one.offsets("t", 0), { logStart: 2, lastStable: 6, highWatermark: 6, leaderEpoch: 0 });
        for (const offset of [0, 1]) {
          await assert.rejects(one.read(request("t", { offset })), withCode("OFFSET_OUT_OF_RANGE"));
          await assert.rejects(one.read(request("t", { offset, waitMs: 1000 })), withCode("OFFSET_OUT_OF_RANGE"));
        }
        assert.deepEqual(await valuesOf(one, "t"), ["c", "d", "e", "f"]);
      }
    },
  );

  engineTest("all records can be deleted, and the offsets go on", async (engine, { reopen }) => {
    await engine.createTopic("t");
    await engine.append({ topic: "t", partition: 0, batch: batchOf("a", "b") });
    assert.equal(await engine.deleteRecords("t", 0, 2), 2);
    assert.deepEqual(await valuesOf(engine, "t"), []);
    assert.equal(await engine.offsetForTime("t", 0, 0), 2);
    assert.equal((await engine.append({ topic: "t", partition: 0, batch: batchOf("c") })).baseOffset, 2);
    const again = await reopen();
    assert.deepEqual(await valuesOf(again, "t"), ["c"]);
    await again.deleteRecords("t", 0, 3);
    const third = await reopen();
    assert.deepEqual(await third.offsets("t", 0), { logStart: 3, lastStable: 3, highWatermark: 3, leaderEpoch: 0 });
    assert.equal((await third.append({ topic: "t", partition: 0, batch: batchOf("d") })).baseOffset, 3);
  });

  engineTest("records past the end, and offsets that cannot be, are not deleted", async (engine) => {
    await engine.createTopic("t");
    await engine.append({ topic: "t", partition: 0, batch: batchOf("a") });
    for (const offset of [2, -1, 0.5, Number.NaN, 2 ** 53]) {
      await assert.rejects(engine.deleteRecords("t", 0, offset), withCode("OFFSET_OUT_OF_RANGE"), String(offset));
    }
    await assert.rejects(engine.deleteRecords("t", 1, 0), withCode("PARTITION_UNKNOWN"));
    await assert.rejects(engine.deleteRecords("x", 0, 0), withCode("TOPIC_UNKNOWN"));
    assert.deepEqual(await valuesOf(engine, "t"), ["a"]);
  });

  engineTest(
    "deleted records give their space back",
    async (engine, { reopen }) => {
      await engine.createTopic("t", { segmentBytesMax: 4096 });
      for (let i = 0; i < 40; i++) {
        await engine.append({ topic: "t", partition: 0, batch: batchOf(String(i).padEnd(500, ".")) });
      }
      const again = await reopen();
      const before = await again.sizeBytes("t");
      assert.ok(before > 40 * 500);
      await again.deleteRecords("t", 0, 30);
      const half = await again.sizeBytes("t");
      assert.ok(half < before - 20 * 500, `${half} of ${before}`);
      await again.deleteRecords("t", 0, (await again.offsets("t", 0)).highWatermark);
      assert.ok((await again.sizeBytes("t")) < 1024);
      assert.deepEqual(await valuesOf(again, "t"), []);
    },
    ["exact bytes"],
  );

  engineTest("the first offset of a time is never a deleted one, nor an older record in its place", async (engine) => {
    await engine.createTopic("t");
    await appendRecords(
      engine,
      "t",
      [50, 10, 60].map((timestamp) => ({ key: null, value: null, timestamp })),
    );
    await engine.deleteRecords("t", 0, 1);
    assert.deepEqual(await Promise.all([0, 20, 61].map((ms) => engine.offsetForTime("t", 0, ms))), [1, 2, 3]);
  });

  engineTest(
    "records of an open transaction can be deleted; the rest of it ends as it ends",
    async (engine, { reopen }) => {
      await engine.createTopic("t");
      const transaction = (await engine.initProducer("unit")).begin();
      await transaction.append({ topic: "t", partition: 0, batch: batchOf("a", "b") });
      await engine.append({ topic: "t", partition: 0, batch: batchOf("plain") });
      await engine.deleteRecords("t", 0, 1);
      const { logStart, lastStable } = await engine.offsets("t", 0);
      assert.deepEqual([logStart, lastStable], [1, 1]);
      assert.deepEqual(await valuesOf(engine, "t"), []);
      await transaction.append({ topic: "t", partition: 0, batch: batchOf("c") });
      await transaction.commit();
      for await (const one of alsoReopened(engine, reopen)) {
        assert.deepEqual(await valuesOf(one, "t"), ["b", "plain", "c"]);
        assertSettled(await one.offsets("t", 0));
      }
    },
  );

  engineTest("all records of a transaction are deleted while it is open", async (engine, { reopen }) => {
    await engine.createTopic("t");
    const transaction = (await engine.initProducer("unit")).begin();
    await transaction.append({ topic: "t", partition: 0, batch: batchOf("a") });
    await engine.append({ topic: "t", partition: 0, batch: batchOf("plain") });
    await engine.deleteRecords("t", 0, 2);
    await engine.append({ topic: "t", partition: 0, batch: batchOf("behind") });
    assert.deepEqual(await valuesOf(engine, "t"), []);
    await transaction.abort();
    for await (const one of alsoReopened(engine, reopen)) {
      assert.deepEqual(await valuesOf(one, "t"), ["behind"]);
      assertSettled(await one.offsets("t", 0));
    }
  });
}
