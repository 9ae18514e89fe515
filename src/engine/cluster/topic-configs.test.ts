import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultTopicSettings, type TopicSettings } from "../engine.ts";
import { allConfigsOf, configKeys, configsOf, settingsOf, type TopicNote } from "./topic-configs.ts";

const given: TopicSettings = {
  ...defaultTopicSettings,
  partitions: 3,
  retentionMs: 5,
  cleanup: "compact,delete",
  segmentBytesMax: 4096,
  durability: "os",
  dirtyRatioMin: 0.25,
  timestampType: "append",
  compression: "zstd",
  minInsyncReplicas: 2,
};
const note: TopicNote = { name: "t", readOnly: false, createdMs: 7, settings: given };

test("settings become Kafka's configs, within Kafka's bounds", () => {
  const configs = configsOf(given, { readOnly: false });
  assert.equal(configs["retention.ms"], "5");
  assert.equal(configs["retention.bytes"], "-1");
  assert.equal(configs["cleanup.policy"], "compact,delete");
  assert.equal(configs["message.timestamp.type"], "LogAppendTime");
  assert.equal(configs["min.insync.replicas"], "2");
  // A segment has to have room for a batch, and no less than a megabyte.
  assert.equal(configs["segment.bytes"], "1048588");
  assert.equal(configs["max.compaction.lag.ms"], "9223372036854775807");
  for (const key of Object.keys(configs)) assert.ok(configKeys.includes(key), key);
});

test("how many replicas have to be in sync is the cluster's to say, unless more than one is asked for", () => {
  assert.equal(configsOf(defaultTopicSettings, { readOnly: false })["min.insync.replicas"], undefined);
  const settings = { ...given, minInsyncReplicas: 1 };
  const told = { ...configsOf(settings, { readOnly: false }), "min.insync.replicas": "2" };
  assert.equal(settingsOf(told, 3, { ...note, settings }).minInsyncReplicas, 1);
});

test("times of what only Millrace writes are not bounded", () => {
  const configs = configsOf({ ...given, timestampBeforeMaxMs: 1, timestampAfterMaxMs: 1 }, { readOnly: true });
  assert.equal(configs["message.timestamp.before.max.ms"], "9223372036854775807");
  assert.equal(configs["message.timestamp.after.max.ms"], "9223372036854775807");
});

test("settings come back as they were given while nobody has changed what they became", () => {
  const configs = configsOf(given, { readOnly: false });
  assert.deepEqual(settingsOf(configs, 3, note), given);
  const rewritten = { ...configs, "min.cleanable.dirty.ratio": "0.250", "cleanup.policy": "delete,compact" };
  assert.deepEqual(settingsOf(rewritten, 3, note), given);
});

test("what was changed outside of Millrace is told as it is, and the rest as it was given", () => {
  const configs = { ...configsOf(given, { readOnly: false }), "segment.bytes": "2097152", "retention.ms": "-1" };
  const expected = { ...given, partitions: 4, segmentBytesMax: 2_097_152, retentionMs: null };
  assert.deepEqual(settingsOf(configs, 4, note), expected);
});

test("a topic that others made is told by its configs, whatever they say", () => {
  const told = settingsOf(
    { "cleanup.policy": "compact", "retention.ms": "604800000", "segment.bytes": "x" },
    2,
    undefined,
  );
  assert.deepEqual(told, { ...defaultTopicSettings, partitions: 2, cleanup: "compact", retentionMs: 604_800_000 });
  assert.equal(settingsOf({ "max.compaction.lag.ms": "9223372036854775807" }, 1, undefined).compactionLagMaxMs, null);
});

test("configs that were set by name go to Kafka as they are, unless they are settings", () => {
  const configs = allConfigsOf({ ...note, configs: { "flush.ms": "0", "retention.ms": "99" } });
  assert.equal(configs["flush.ms"], "0");
  assert.equal(configs["retention.ms"], "5");
});
