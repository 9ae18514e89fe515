/** What every engine must do: topics with their settings, and the partitions that are added to them. */
import assert from "node:assert/strict";
import type { MillraceError } from "../base/errors.ts";
import {
  alsoReopened,
  assertSettled,
  batchOf,
  type EngineTest,
  keyedBatch,
  nowMs,
  request,
  valuesOf,
  withCode,
} from "./engine.fixture.ts";
import { defaultTopicSettings, type TopicSettings } from "./engine.ts";
import { appendRecords, decodeCommitted } from "./records.ts";

const everySetting: TopicSettings = {
  partitions: 2,
  retentionMs: 3_600_000,
  retentionBytes: 1024 * 1024,
  cleanup: "compact,delete",
  batchBytesMax: 4096,
  segmentBytesMax: 8192,
  segmentMs: 60_000,
  durability: "os",
  dirtyRatioMin: 0.25,
  tombstoneRetentionMs: 0,
  compactionLagMinMs: 5,
  compactionLagMaxMs: 3_600_000,
  timestampType: "append",
  timestampBeforeMaxMs: 86_400_000,
  timestampAfterMaxMs: 0,
  compression: "zstd",
  minInsyncReplicas: 2,
};

export function topicsSuite(engineTest: EngineTest): void {
  engineTest("settings are kept as they were given, with the defaults for the others", async (engine, { reopen }) => {
    await engine.createTopic("all", everySetting);
    await engine.createTopic("some", { cleanup: "compact" });
    for await (const one of alsoReopened(engine, reopen)) {
      assert.deepEqual(one.topic("all")?.settings, everySetting);
      assert.deepEqual(one.topic("some")?.settings, { ...defaultTopicSettings, cleanup: "compact" });
    }
  });

  engineTest("settings are altered one by one, for good, and hold at once", async (engine, { reopen }) => {
    const { id, createdMs } = await engine.createTopic("t", { batchBytesMax: 1024 });
    await assert.rejects(
      engine.append({ topic: "t", partition: 0, batch: batchOf("x".repeat(2000)) }),
      withCode("RECORD_TOO_LARGE"),
    );
    const altered = await engine.alterTopic("t", { batchBytesMax: 4096, retentionMs: 5 });
    const settings = { ...defaultTopicSettings, batchBytesMax: 4096, retentionMs: 5 };
    assert.deepEqual(altered, { name: "t", id, settings, readOnly: false, createdMs });
    await engine.append({ topic: "t", partition: 0, batch: batchOf("x".repeat(2000)) });
    await engine.alterTopic("t", { cleanup: "compact" });
    await assert.rejects(engine.append({ topic: "t", partition: 0, batch: batchOf("a") }), withCode("RECORD_INVALID"));
    await engine.alterTopic("t", {});
    const again = await reopen();
    assert.deepEqual(again.topic("t")?.settings, { ...settings, cleanup: "compact" });
    assert.equal((await valuesOf(again, "t")).length, 1);
  });

  engineTest(
    "configs that were set by name are kept beside the settings, and replaced whole",
    async (engine, fixture) => {
      const { reopen } = fixture;
      const configs = { "retention.ms": "5", "flush.ms": "0" };
      await engine.createTopic("t", { retentionMs: 5 }, { configs });
      await engine.createTopic("none");
      await engine.alterTopic("t", { retentionMs: 6 });
      for await (const one of alsoReopened(engine, reopen)) {
        assert.deepEqual([one.topic("t")?.settings.retentionMs, one.topic("t")?.configs], [6, configs]);
        assert.equal(one.topic("none")?.configs, undefined);
      }
      const again = await reopen();
      const altered = await again.alterTopic("t", { segmentMs: 9 }, { configs: { "segment.ms": "9" } });
      assert.deepEqual([altered.settings.retentionMs, altered.configs], [6, { "segment.ms": "9" }]);
      await again.alterTopic("t", {}, { configs: {} });
      for await (const one of alsoReopened(again, reopen)) assert.equal(one.topic("t")?.configs, undefined);
    },
  );

  engineTest("who may write a topic is altered, for good, and stays when settings are", async (engine, { reopen }) => {
    await engine.createTopic("t", {}, { configs: { "flush.ms": "0" } });
    assert.equal((await engine.alterTopic("t", {}, { readOnly: true })).readOnly, true);
    await engine.alterTopic("t", { retentionMs: 5 });
    for await (const one of alsoReopened(engine, reopen)) {
      assert.deepEqual([one.topic("t")?.readOnly, one.topic("t")?.configs], [true, { "flush.ms": "0" }]);
    }
    const again = await reopen();
    assert.equal((await again.alterTopic("t", {}, { readOnly: false })).readOnly, false);
    assert.equal((await reopen()).topic("t")?.readOnly, false);
  });

  engineTest("settings that are altered at the same time are all altered", async (engine, { reopen }) => {
    await engine.createTopic("t");
    await Promise.all([
      engine.alterTopic("t", { partitions: 3 }),
      engine.alterTopic("t", { retentionMs: 7 }),
      engine.alterTopic("t", { cleanup: "compact" }),
    ]);
    const { partitions, retentionMs, cleanup } = engine.topic("t")?.settings ?? {};
    assert.deepEqual([partitions, retentionMs, cleanup], [3, 7, "compact"]);
    await engine.append({ topic: "t", partition: 2, batch: keyedBatch("k=v") });
    assert.deepEqual(await valuesOf(await reopen(), "t", { partition: 2 }), ["v"]);
  });

  engineTest("settings that cannot be, and fewer partitions, are refused and change nothing", async (engine) => {
    const { settings } = await engine.createTopic("t", { partitions: 2 });
    const cases: Partial<Record<keyof TopicSettings, unknown>>[] = [
      { partitions: 1 },
      { partitions: 10_001 },
      { retentionMs: 0 },
      { retentionBytes: -1 },
      { cleanup: "delete,compact" },
      { segmentMs: 0 },
      { durability: "none" },
      { dirtyRatioMin: 1.01 },
      { dirtyRatioMin: Number.NaN },
      { tombstoneRetentionMs: -1 },
      { compactionLagMinMs: null },
      { compactionLagMaxMs: 0 },
      { timestampType: "LogAppendTime" },
      { timestampBeforeMaxMs: -1 },
      { timestampAfterMaxMs: 0.5 },
      { compression: "brotli" },
      { minInsyncReplicas: 0 },
      { retentionMs: 5, partitions: 1 },
    ];
    for (const wrong of cases) {
      await assert.rejects(
        engine.alterTopic("t", wrong as Partial<TopicSettings>),
        withCode("SETTING_INVALID"),
        JSON.stringify(wrong),
      );
    }
    assert.deepEqual(engine.topic("t")?.settings, settings);
    await assert.rejects(engine.alterTopic("x", {}), withCode("TOPIC_UNKNOWN"));
  });

  engineTest("an added partition is used at once, and is there after a reopen", async (engine, { reopen }) => {
    await engine.createTopic("t");
    await engine.append({ topic: "t", partition: 0, batch: batchOf("old") });
    const waiting = engine.read(request("t", { offset: 1, waitMs: 60_000 }));
    await engine.alterTopic("t", { partitions: 3 });
    assert.deepEqual(await engine.offsets("t", 2), { logStart: 0, lastStable: 0, highWatermark: 0, leaderEpoch: 0 });
    await engine.append({ topic: "t", partition: 2, batch: batchOf("added") });
    const transaction = (await engine.initProducer("unit")).begin();
    for (const partition of [0, 1]) await transaction.append({ topic: "t", partition, batch: batchOf("both") });
    await transaction.commit();
    assert.deepEqual(
      decodeCommitted(await waiting, 1).map(({ value }) => String(value)),
      ["both"],
    );
    await assert.rejects(
      engine.append({ topic: "t", partition: 3, batch: batchOf("a") }),
      withCode("PARTITION_UNKNOWN"),
    );
    for await (const one of alsoReopened(engine, reopen)) {
      assert.deepEqual(await valuesOf(one, "t"), ["old", "both"]);
      assert.deepEqual(await valuesOf(one, "t", { partition: 1 }), ["both"]);
      assert.deepEqual(await valuesOf(one, "t", { partition: 2 }), ["added"]);
      for (const partition of [0, 1, 2]) assertSettled(await one.offsets("t", partition));
    }
  });

  engineTest("a topic is altered while it is written to and deleted", async (engine, { reopen }) => {
    await engine.createTopic("t");
    const appends = Array.from({ length: 50 }, (_, i) =>
      engine.append({ topic: "t", partition: 0, batch: batchOf(`${i}`) }),
    );
    await Promise.all([...appends, engine.alterTopic("t", { partitions: 2, durability: "os", segmentBytesMax: 2048 })]);
    await engine.append({ topic: "t", partition: 1, batch: batchOf("loose") });
    await Promise.all([engine.alterTopic("t", { durability: "fsync" }), ...appends]);
    assert.equal((await valuesOf(engine, "t")).length, 50);
    const [altered, deleted, late] = await Promise.allSettled([
      engine.alterTopic("t", { partitions: 3 }),
      engine.deleteTopic("t"),
      engine.alterTopic("t", { partitions: 4 }),
    ]);
    assert.deepEqual([altered.status, deleted.status, late.status], ["fulfilled", "fulfilled", "rejected"]);
    for await (const one of alsoReopened(engine, reopen)) assert.equal(one.topic("t"), undefined);
  });

  engineTest("keys are spread over the added partitions from then on", async (engine) => {
    await engine.createTopic("t");
    const keyed = Array.from({ length: 50 }, (_, i) => ({ key: Buffer.from(`key-${i}`), value: null }));
    assert.ok((await appendRecords(engine, "t", keyed)).every(({ partition }) => partition === 0));
    await engine.alterTopic("t", { partitions: 4 });
    const used = new Set((await appendRecords(engine, "t", keyed)).map(({ partition }) => partition));
    assert.deepEqual([...used].sort(), [0, 1, 2, 3]);
  });

  engineTest("a compacted topic takes no record without a key, and says which one it was", async (engine) => {
    for (const cleanup of ["compact", "compact,delete"] as const) {
      await engine.createTopic(cleanup.replace(",", "-"), { cleanup });
      const topic = cleanup.replace(",", "-");
      const keyless = keyedBatch("a=1", "b=2");
      await engine.append({ topic, partition: 0, batch: keyless });
      const records = [
        { key: Buffer.from("c"), value: null },
        { key: null, value: Buffer.from("lost") },
      ];
      await assert.rejects(
        appendRecords(
          engine,
          topic,
          records.map((one) => ({ ...one, partition: 0 })),
        ),
        (error: Error) => {
          withCode("RECORD_INVALID")(error);
          assert.match(error.message, /record 1 /);
          const { recordErrors } = (error as MillraceError).details;
          const message = `Compacted topic cannot accept message without key in topic partition ${topic}-0`;
          assert.deepEqual(recordErrors, [{ batchIndex: 1, message }]);
          return true;
        },
      );
      assert.equal((await engine.offsets(topic, 0)).highWatermark, 2);
      const transaction = (await engine.initProducer("unit")).begin();
      await assert.rejects(
        transaction.append({ topic, partition: 0, batch: batchOf("x") }),
        withCode("RECORD_INVALID"),
      );
      await transaction.abort();
    }
  });

  engineTest("an epoch ends where the next one begins, or at the high watermark", async (engine, { reopen }) => {
    await engine.createTopic("t");
    assert.deepEqual(await engine.endOfEpoch("t", 0, 0), { epoch: 0, endOffset: 0 });
    await engine.append({ topic: "t", partition: 0, batch: batchOf("a", "b") });
    for await (const one of alsoReopened(engine, reopen)) {
      const { leaderEpoch } = await one.offsets("t", 0);
      assert.deepEqual(await one.endOfEpoch("t", 0, leaderEpoch), { epoch: leaderEpoch, endOffset: 2 });
      assert.equal(await one.endOfEpoch("t", 0, -1), undefined);
      await assert.rejects(async () => one.endOfEpoch("t", 1, 0), withCode("PARTITION_UNKNOWN"));
    }
  });

  engineTest(
    "clients are told to wait beyond their rate, each for itself",
    async (engine, { clock }) => {
      await engine.createTopic("t");
      const append = async (clientId?: string) => {
        const batch = batchOf("x".repeat(20_000));
        return (await engine.append({ topic: "t", partition: 0, batch, ...(clientId ? { clientId } : {}) })).throttleMs;
      };
      const read = async (clientId?: string) =>
        (await engine.read(request("t", { bytesMax: 1, ...(clientId ? { clientId } : {}) }))).throttleMs;
      assert.equal(await append("a"), 0);
      await engine.setQuota("produce", "a", 1000);
      assert.ok((await append("a")) > 0);
      assert.equal(await append("b"), 0);
      assert.equal(await append(), 0);
      assert.equal(await read("a"), 0);
      await engine.setQuota("produce", "a", 1_000_000);
      await clock.advance(3_600_000);
      assert.equal(await append("a"), 0);

      await engine.setQuota("fetch", null, 1000);
      assert.ok((await read("a")) > 0);
      assert.ok((await read("b")) > 0);
      assert.equal(await read(), 0);
      await engine.setQuota("fetch", "c", 1_000_000);
      assert.equal(await read("c"), 0);
      await engine.setQuota("fetch", null, undefined);
      assert.equal(await read("a"), 0);
      for (const rate of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
        await assert.rejects(async () => engine.setQuota("produce", "a", rate), withCode("SETTING_INVALID"));
      }
    },
    ["virtual time"],
  );

  engineTest(
    "a topic that was made at a time says so",
    async (engine, { clock }) => {
      assert.equal((await engine.createTopic("t")).createdMs, nowMs);
      await clock.advance(1000);
      assert.equal((await engine.createTopic("later")).createdMs, nowMs + 1000);
    },
    ["virtual time"],
  );
}
