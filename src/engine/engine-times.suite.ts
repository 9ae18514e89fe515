/** What every engine must do: whose time records have, how far from now it may be, and the records of a time. */
import assert from "node:assert/strict";
import { MillraceError } from "../base/errors.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { batchCodec } from "../records/batch-header.ts";
import { codec } from "../records/compression.ts";
import {
  alsoReopened,
  batchOf,
  type EngineTest,
  eventually,
  keyedBatch,
  nowMs,
  ofProducer,
  request,
  withCode,
} from "./engine.fixture.ts";
import type { Engine, TopicSettings } from "./engine.ts";
import { decodeCommitted } from "./records.ts";

/** Later than any clock. */
const farMs = Date.UTC(2400, 0, 1);
const codecs = Object.values(codec);

function timed(times: readonly number[], attributes = 0): Buffer {
  const records = times.map((timestamp, i) => ({ key: Buffer.from(`k${i}`), value: Buffer.from("v"), timestamp }));
  return encodeBatch(records, nowMs, attributes);
}

async function appendTimes(engine: Engine, ...batches: readonly (readonly number[])[]): Promise<void> {
  for (const times of batches) await engine.append({ topic: "t", partition: 0, batch: timed(times) });
}

async function latest(engine: Engine): Promise<readonly number[] | null> {
  const found = await engine.latestRecord("t", 0);
  return found && [found.offset, found.timestampMs];
}

/** The records that a refusal names. */
async function refused(append: Promise<unknown>): Promise<readonly number[]> {
  try {
    await append;
  } catch (error) {
    withCode("RECORD_TIMESTAMP_INVALID")(error);
    assert.ok(MillraceError.is(error));
    const errors = error.details.recordErrors as readonly { readonly batchIndex: number; readonly message: string }[];
    return errors.map(({ batchIndex }) => batchIndex);
  }
  assert.fail("it was taken");
}

export function timesSuite(engineTest: EngineTest): void {
  engineTest("a topic of the time of appends gives each record that time, and says so", async (engine, { reopen }) => {
    await engine.createTopic("t", { timestampType: "append" });
    await engine.createTopic("plain");
    const times: number[] = [];
    for (const number of codecs) {
      const batch = timed([farMs, 5], number);
      const { appendTimeMs } = await engine.append({ topic: "t", partition: 0, batch });
      times.push(appendTimeMs, appendTimeMs);
    }
    assert.ok(times.every((time) => time > 5 && time < farMs));
    const plain = await engine.append({ topic: "plain", partition: 0, batch: batchOf("v") });
    assert.equal(plain.appendTimeMs, -1);
    for await (const one of alsoReopened(engine, reopen)) {
      const result = await one.read(request("t"));
      assert.deepEqual(
        decodeCommitted(result, 0).map(({ timestamp }) => timestamp),
        times,
      );
    }
  });

  engineTest("a batch that is sent again is answered with the time that it has", async (engine, { clock }) => {
    await engine.createTopic("t", { timestampType: "append" });
    const origin = { ...(await engine.transactions.newProducerId()), sequence: 0 };
    const send = () => engine.append({ topic: "t", partition: 0, batch: ofProducer(origin, batchOf("v")) });
    const { appendTimeMs } = await send();
    await clock.advance(5000);
    assert.equal((await send()).appendTimeMs, appendTimeMs);
    assert.equal((await engine.offsets("t", 0)).highWatermark, 1);
  });

  engineTest("transactions have the time of their appends, and their producer's sequences", async (engine) => {
    await engine.createTopic("t", { timestampType: "append", compression: "lz4" });
    const producer = await engine.initProducer("unit");
    const transaction = producer.begin();
    for (const number of [codec.none, codec.gzip]) {
      await transaction.append({ topic: "t", partition: 0, batch: timed([farMs, 5], number) });
    }
    await transaction.commit();
    const result = await engine.read(request("t"));
    const records = decodeCommitted(result, 0);
    assert.equal(records.length, 4);
    assert.ok(records.every(({ timestamp }) => timestamp > 5 && timestamp < farMs));
  });

  engineTest("times beyond a topic's bounds are refused, record by record, and nothing is written", async (engine) => {
    await engine.createTopic("t", { timestampBeforeMaxMs: 1000, timestampAfterMaxMs: 0 });
    const append = (...times: number[]) => engine.append({ topic: "t", partition: 0, batch: timed(times) });
    assert.deepEqual(await refused(append(5, -1, farMs)), [0, 2]);
    assert.deepEqual(await refused(append(-1, farMs)), [1]);
    assert.equal((await engine.offsets("t", 0)).highWatermark, 0);
    await append(-1);
    await engine.alterTopic("t", { timestampBeforeMaxMs: null, timestampAfterMaxMs: null });
    await append(5, -1, farMs);
    assert.equal((await engine.offsets("t", 0)).highWatermark, 4);
  });

  engineTest("a topic keeps its batches in its own codec, whatever they come in", async (engine, { reopen }) => {
    const wanted: readonly [TopicSettings["compression"], number][] = [
      ["uncompressed", codec.none],
      ["gzip", codec.gzip],
      ["snappy", codec.snappy],
      ["lz4", codec.lz4],
      ["zstd", codec.zstd],
    ];
    for (const [compression] of wanted) await engine.createTopic(compression, { compression });
    for (const [topic] of wanted) {
      for (const number of codecs) await engine.append({ topic, partition: 0, batch: timed([nowMs, nowMs], number) });
    }
    for await (const one of alsoReopened(engine, reopen)) {
      for (const [topic, number] of wanted) {
        const result = await one.read(request(topic));
        assert.ok(
          result.batches.every((batch) => batchCodec(batch) === number),
          topic,
        );
        const offsets = decodeCommitted(result, 0).map(({ offset }) => offset);
        assert.deepEqual(offsets, [...Array(2 * codecs.length).keys()]);
      }
    }
  });

  engineTest("the record of a time is told with its own time and its epoch", async (engine, { reopen }) => {
    await engine.createTopic("t");
    await appendTimes(engine, [nowMs, nowMs + 20], [nowMs + 10, nowMs + 30]);
    for await (const one of alsoReopened(engine, reopen)) {
      const leaderEpoch = 0;
      const found = [0, 15, 30].map((ms) => one.recordForTime("t", 0, nowMs + ms));
      assert.deepEqual(await Promise.all(found), [
        { offset: 0, timestampMs: nowMs, leaderEpoch },
        { offset: 1, timestampMs: nowMs + 20, leaderEpoch },
        { offset: 3, timestampMs: nowMs + 30, leaderEpoch },
      ]);
      assert.equal(await one.recordForTime("t", 0, nowMs + 31), null);
      assert.deepEqual(await one.latestRecord("t", 0), { offset: 3, timestampMs: nowMs + 30, leaderEpoch });
      await assert.rejects(one.recordForTime("t", 1, 0), withCode("PARTITION_UNKNOWN"));
      await assert.rejects(one.latestRecord("x", 0), withCode("TOPIC_UNKNOWN"));
    }
  });

  engineTest("the latest record is the first of those with the latest time", async (engine, { reopen }) => {
    await engine.createTopic("t", { segmentBytesMax: 1024 });
    assert.equal(await latest(engine), null);
    await appendTimes(engine, [nowMs, nowMs + 9, nowMs + 9], [nowMs + 3], [nowMs + 9, nowMs]);
    assert.deepEqual(await latest(engine), [1, nowMs + 9]);
    for (let i = 0; i < 30; i++) await appendTimes(engine, [nowMs + 5, nowMs + i]);
    for await (const one of alsoReopened(engine, reopen)) assert.deepEqual(await latest(one), [65, nowMs + 29]);
  });

  engineTest(
    "a latest record that was deleted is none, and then the next one is",
    async (engine, { reopen }) => {
      await engine.createTopic("t");
      await appendTimes(engine, [nowMs + 50, nowMs + 10], [nowMs + 40, nowMs + 20]);
      await engine.deleteRecords("t", 0, 1);
      for await (const one of alsoReopened(engine, reopen)) assert.deepEqual(await latest(one), [2, nowMs + 40]);
      const again = await reopen();
      await again.deleteRecords("t", 0, 3);
      assert.deepEqual(await latest(again), [3, nowMs + 20]);
      await again.deleteRecords("t", 0, 4);
      assert.equal(await latest(again), null);
    },
    ["latest of what is kept"],
  );

  engineTest(
    "a latest record that was compacted away is none, and then the next one is",
    async (engine, fixture) => {
      const { clock, reopen } = fixture;
      await engine.createTopic("t", { cleanup: "compact", segmentBytesMax: 1024 });
      const pad = ".".repeat(2000);
      await appendTimes(engine, [nowMs + 50], [nowMs + 40, nowMs + 30]);
      for (let i = 0; i < 2; i++) {
        await engine.append({ topic: "t", partition: 0, batch: keyedBatch(`k0=${i}`, `end=${pad}`) });
      }
      await eventually(clock, async () => {
        const result = await engine.read(request("t"));
        return decodeCommitted(result, 0)[0]?.offset === 2;
      });
      // k1, of offset 2, is the oldest that is left.
      for await (const one of alsoReopened(engine, reopen)) assert.deepEqual(await latest(one), [2, nowMs + 30]);
    },
    ["virtual time", "latest of what is kept"],
  );
}
