/** What every engine must do: retention by time and size, and compaction, all in its own time. */
import assert from "node:assert/strict";
import {
  alsoReopened,
  assertSettled,
  batchOf,
  type EngineTest,
  eventually,
  keyedBatch,
  request,
  valuesOf,
  withCode,
} from "./engine.fixture.ts";
import type { Engine } from "./engine.ts";
import { decodeCommitted, nextOffsetOf } from "./records.ts";

const hourMs = 3_600_000;
const pad = ".".repeat(200);

async function fill(engine: Engine, topic: string, count: number, from = 0): Promise<void> {
  for (let i = from; i < from + count; i++) {
    await engine.append({ topic, partition: 0, batch: batchOf(`${i}${pad}`) });
  }
}

/** `offset key=value` of all that is there. */
async function keyed(engine: Engine, topic: string, from?: number): Promise<string[]> {
  const found: string[] = [];
  for (let offset = from ?? (await engine.offsets(topic, 0)).logStart; ; ) {
    const result = await engine.read(request(topic, { offset }));
    if (result.batches.length === 0) return found;
    for (const { offset: at, key, value } of decodeCommitted(result, offset)) {
      found.push(`${at} ${key}${value === null ? "" : `=${String(value).replace(pad, "")}`}`);
    }
    offset = nextOffsetOf(result, offset);
  }
}

/** Larger than a segment: what stands before it can be compacted. */
async function endSegment(engine: Engine, topic: string): Promise<void> {
  await engine.append({ topic, partition: 0, batch: keyedBatch(`end=${"e".repeat(2000)}`) });
  await engine.append({ topic, partition: 0, batch: keyedBatch(`end=${"e".repeat(2000)}`) });
}

export function cleanupSuite(engineTest: EngineTest): void {
  engineTest(
    "records that are older than the retention are retired, and their readers are told",
    async (engine, fixture) => {
      const { clock, reopen } = fixture;
      await engine.createTopic("t", { retentionMs: hourMs, segmentBytesMax: 1024 });
      await fill(engine, "t", 20);
      await clock.advance(hourMs / 2);
      assert.equal((await engine.offsets("t", 0)).logStart, 0);
      await eventually(clock, async () => (await engine.offsets("t", 0)).logStart === 20);
      assert.deepEqual(await valuesOf(engine, "t"), []);
      for (const offset of [0, 19]) {
        await assert.rejects(engine.read(request("t", { offset })), withCode("OFFSET_OUT_OF_RANGE"));
      }
      await fill(engine, "t", 1, 20);
      const again = await reopen();
      assert.equal((await again.offsets("t", 0)).logStart, 20);
      assert.deepEqual(await valuesOf(again, "t"), [`20${pad}`]);
    },
    ["virtual time"],
  );

  engineTest(
    "a partition keeps as much as its retention says, the newest",
    async (engine, { clock }) => {
      await engine.createTopic("t", { retentionBytes: 4096, segmentBytesMax: 1024 });
      await fill(engine, "t", 60);
      await eventually(clock, async () => (await engine.offsets("t", 0)).logStart > 0);
      const { logStart, highWatermark } = await engine.offsets("t", 0);
      assert.equal(highWatermark, 60);
      const kept = await valuesOf(engine, "t");
      assert.deepEqual(
        kept,
        Array.from({ length: 60 - logStart }, (_, i) => `${logStart + i}${pad}`),
      );
      // Whole segments go, and never more than leaves the bytes that are to be kept.
      const sizeBytes = await engine.sizeBytes("t");
      assert.ok(sizeBytes >= 4096 && sizeBytes <= 4096 + 1024, `${sizeBytes} bytes`);
      await assert.rejects(engine.read(request("t", { offset: logStart - 1 })), withCode("OFFSET_OUT_OF_RANGE"));
    },
    ["virtual time"],
  );

  engineTest(
    "what a reader of this program has not read is kept for as long again, and not longer",
    async (engine, { clock }) => {
      await engine.createTopic("t", { retentionMs: hourMs, segmentBytesMax: 1024 });
      await fill(engine, "t", 40);
      const reader = { name: "a reader", at: 20, nextOffset: (topic: string) => (topic === "t" ? reader.at : null) };
      const letGo = engine.holdRetention(reader);
      await eventually(clock, async () => (await engine.offsets("t", 0)).logStart > 0);
      await clock.advance(hourMs / 4);
      const { logStart } = await engine.offsets("t", 0);
      assert.ok(logStart > 10 && logStart <= 20, `${logStart}`);
      reader.at = 30;
      await eventually(clock, async () => (await engine.offsets("t", 0)).logStart > 20);
      letGo();
      await eventually(clock, async () => (await engine.offsets("t", 0)).logStart === 40);
      await fill(engine, "t", 20, 40);
      engine.holdRetention(reader);
      // Two hours are gone before it has read anything more.
      await eventually(clock, async () => (await engine.offsets("t", 0)).logStart === 60);
    },
    ["virtual time"],
  );

  engineTest(
    "retention that is set later holds for what is there, and a topic without one keeps everything",
    async (engine, { clock }) => {
      await engine.createTopic("t", { segmentBytesMax: 1024 });
      await engine.createTopic("kept", { segmentBytesMax: 1024 });
      for (const topic of ["t", "kept"]) await fill(engine, topic, 20);
      await clock.advance(2 * hourMs);
      assert.equal((await engine.offsets("t", 0)).logStart, 0);
      await engine.alterTopic("t", { retentionMs: hourMs });
      await eventually(clock, async () => (await engine.offsets("t", 0)).logStart === 20);
      assert.equal((await valuesOf(engine, "kept")).length, 20);
    },
    ["virtual time"],
  );

  engineTest(
    "nothing that an open transaction wrote is retired",
    async (engine, { clock }) => {
      await engine.createTopic("t", { retentionMs: hourMs, segmentBytesMax: 1024 });
      await fill(engine, "t", 10);
      const transaction = (await engine.initProducer("unit")).begin();
      await transaction.append({ topic: "t", partition: 0, batch: batchOf("open") });
      await fill(engine, "t", 10, 10);
      await eventually(clock, async () => (await engine.offsets("t", 0)).logStart > 0);
      await clock.advance(hourMs);
      const { logStart } = await engine.offsets("t", 0);
      assert.ok(logStart <= 10, `${logStart}`);
      assert.ok((await valuesOf(engine, "t", { isolation: "read_uncommitted" })).includes("open"));
      await transaction.commit();
      await eventually(clock, async () => {
        const { logStart: start, highWatermark } = await engine.offsets("t", 0);
        return start === highWatermark;
      });
    },
    ["virtual time"],
  );

  engineTest(
    "compaction keeps the last record of each key, at its offset",
    async (engine, { clock, reopen }) => {
      await engine.createTopic("t", { cleanup: "compact", segmentBytesMax: 1024 });
      for (let i = 0; i < 12; i++) {
        await engine.append({ topic: "t", partition: 0, batch: keyedBatch(`k${i % 3}=${i}${pad}`) });
      }
      await endSegment(engine, "t");
      const before = await keyed(engine, "t");
      assert.equal(before.length, 14);
      await eventually(clock, async () => (await keyed(engine, "t")).length <= 5);
      const { logStart, highWatermark } = await engine.offsets("t", 0);
      assert.deepEqual([logStart, highWatermark], [0, 14]);
      for await (const one of alsoReopened(engine, reopen)) {
        assert.deepEqual((await keyed(one, "t")).slice(0, 3), ["9 k0=9", "10 k1=10", "11 k2=11"]);
        assert.deepEqual((await keyed(one, "t", 4)).slice(0, 2), ["9 k0=9", "10 k1=10"]);
      }
    },
    ["virtual time"],
  );

  engineTest(
    "a tombstone is kept for its time, and then gone with all of its key",
    async (engine, { clock }) => {
      const settings = {
        cleanup: "compact",
        segmentBytesMax: 1024,
        tombstoneRetentionMs: 24 * hourMs,
        dirtyRatioMin: 0,
      } as const;
      await engine.createTopic("t", settings);
      await engine.append({ topic: "t", partition: 0, batch: keyedBatch(`gone=1${pad}`, `kept=1${pad}`) });
      await engine.append({ topic: "t", partition: 0, batch: keyedBatch("gone") });
      await endSegment(engine, "t");
      await eventually(clock, async () => !(await keyed(engine, "t")).includes("0 gone=1"));
      assert.deepEqual((await keyed(engine, "t")).slice(0, 2), ["1 kept=1", "2 gone"]);
      await clock.advance(24 * hourMs);
      await endSegment(engine, "t");
      await eventually(clock, async () => !(await keyed(engine, "t")).includes("2 gone"));
      assert.equal((await keyed(engine, "t"))[0], "1 kept=1");
    },
    ["virtual time"],
  );

  engineTest(
    "a topic of both cleanups is compacted, and retires what is old",
    async (engine, { clock }) => {
      await engine.createTopic("t", { cleanup: "compact,delete", retentionMs: 24 * hourMs, segmentBytesMax: 1024 });
      for (let i = 0; i < 12; i++) {
        await engine.append({ topic: "t", partition: 0, batch: keyedBatch(`k${i % 3}=${i}${pad}`) });
      }
      await endSegment(engine, "t");
      await eventually(clock, async () => (await keyed(engine, "t")).length <= 5);
      assert.equal((await engine.offsets("t", 0)).logStart, 0);
      await clock.advance(24 * hourMs);
      await eventually(clock, async () => (await engine.offsets("t", 0)).logStart === 14);
      assert.deepEqual(await valuesOf(engine, "t"), []);
    },
    ["virtual time"],
  );

  engineTest(
    "records that are too young are not compacted, and those that waited too long are",
    async (engine, { clock }) => {
      const lagging = { cleanup: "compact", segmentBytesMax: 1024 } as const;
      await engine.createTopic("young", { ...lagging, compactionLagMinMs: 48 * hourMs });
      await engine.createTopic("waits", { ...lagging, dirtyRatioMin: 1 });
      await engine.createTopic("overdue", { ...lagging, dirtyRatioMin: 1, compactionLagMaxMs: hourMs });
      for (const topic of ["young", "waits", "overdue"]) {
        for (const i of [1, 2, 3]) await engine.append({ topic, partition: 0, batch: keyedBatch(`k=${i}${pad}`) });
      }
      for (const topic of ["young", "waits"]) await endSegment(engine, topic);
      await clock.advance(hourMs / 2);
      assert.equal((await keyed(engine, "overdue")).length, 3);
      await eventually(clock, async () => (await keyed(engine, "overdue")).length === 1);
      assert.deepEqual(await keyed(engine, "overdue"), ["2 k=3"]);
      for (const topic of ["young", "waits"]) assert.equal((await keyed(engine, topic)).length, 5);
    },
    ["virtual time"],
  );

  engineTest(
    "compaction leaves out what was aborted, and keeps what was committed",
    async (engine, { clock, reopen }) => {
      await engine.createTopic("t", { cleanup: "compact", segmentBytesMax: 1024, dirtyRatioMin: 0 });
      const producer = await engine.initProducer("unit");
      const write = async (outcome: "commit" | "abort", ...pairs: string[]) => {
        const transaction = producer.begin();
        for (const pair of pairs)
          await transaction.append({ topic: "t", partition: 0, batch: keyedBatch(`${pair}${pad}`) });
        await transaction[outcome]();
      };
      await write("commit", "a=1", "b=1");
      await write("abort", "a=2", "c=2");
      await write("commit", "b=3");
      await endSegment(engine, "t");
      await eventually(clock, async () => (await keyed(engine, "t")).length <= 4);
      for await (const one of alsoReopened(engine, reopen)) {
        const values = (await keyed(one, "t")).filter((line) => !line.includes("end"));
        assert.deepEqual(
          values.map((line) => line.replace(/^\d+ /, "")),
          ["a=1", "b=3"],
        );
        assertSettled(await one.offsets("t", 0));
      }
      await write("commit", "a=4").catch((error) => withCode("LOG_CLOSED")(error));
    },
    ["virtual time"],
  );
}
