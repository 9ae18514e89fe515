import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { defaultTopicSettings, type TopicConfigs, type TopicSettings } from "../../engine/engine.ts";
import { checkTopicSettings } from "../../engine/topic-settings.ts";
import { configSource } from "./config-entry.ts";
import { topicConfigTable } from "./topic-config-table.ts";
import {
  type ConfigOperation,
  type ConfiguredTopic,
  describeTopicConfigs,
  kafkaTopicDefaults,
  planTopicChange,
  planTopicReplacement,
  planTopicSettings,
} from "./topic-configs.ts";

const longMax = "9223372036854775807";

function created(configs: Record<string, string | null>): ConfiguredTopic & { readonly configs: TopicConfigs } {
  const planned = planTopicSettings(new Map(Object.entries(configs)));
  if ("error" in planned) assert.fail(planned.error);
  checkTopicSettings(planned.settings);
  return planned;
}

function refusalOf(configs: Record<string, string | null>): string | undefined {
  const planned = planTopicSettings(new Map(Object.entries(configs)));
  return "error" in planned ? planned.error : undefined;
}

function change(topic: ConfiguredTopic, ...operations: ConfigOperation[]): ConfiguredTopic {
  const planned = planTopicChange(topic, operations);
  if ("error" in planned) assert.fail(planned.error);
  return { settings: { ...topic.settings, ...planned.settings }, configs: planned.configs };
}

/** The value and where it is from. */
function shown(topic: ConfiguredTopic, name: string): [string | null, number] {
  const [entry] = describeTopicConfigs(topic, [name]);
  assert.ok(entry, name);
  return [entry.value, entry.source];
}

const set = (name: string, value: string): ConfigOperation => ({ name, operation: "set", value });
const unset = (name: string): ConfigOperation => ({ name, operation: "delete", value: null });

test("the configs are those that Kafka 4.3 tells of a topic, with its types and defaults", () => {
  const { settings } = created({});
  const entries = describeTopicConfigs({ settings }, null);
  assert.deepEqual(
    entries.map(({ name }) => name),
    [
      ..."cleanup.policy compression.gzip.level compression.lz4.level compression.type compression.zstd.level".split(
        " ",
      ),
      ..."delete.retention.ms file.delete.delay.ms flush.messages flush.ms".split(" "),
      ..."follower.replication.throttled.replicas index.interval.bytes leader.replication.throttled.replicas".split(
        " ",
      ),
      ..."local.retention.bytes local.retention.ms max.compaction.lag.ms max.message.bytes".split(" "),
      ..."message.timestamp.after.max.ms message.timestamp.before.max.ms message.timestamp.type".split(" "),
      ..."min.cleanable.dirty.ratio min.compaction.lag.ms min.insync.replicas preallocate".split(" "),
      ..."remote.log.copy.disable remote.log.delete.on.disable remote.storage.enable retention.bytes".split(" "),
      ..."retention.ms segment.bytes segment.index.bytes segment.jitter.ms segment.ms".split(" "),
      "unclean.leader.election.enable",
    ],
  );
  // What holds here and is not Kafka's default is told as the server's configuration.
  assert.deepEqual(
    Object.fromEntries(entries.filter(({ isDefault }) => !isDefault).map(({ name, value }) => [name, value])),
    {
      "file.delete.delay.ms": "0",
      "flush.messages": "1",
      "flush.ms": "0",
      "index.interval.bytes": "16384",
      "retention.ms": "-1",
      "segment.bytes": "268435456",
    },
  );
  for (const { source, isDefault, readOnly, isSensitive, documentation } of entries) {
    assert.equal(source, isDefault ? configSource.default : configSource.brokerStatic);
    assert.deepEqual([readOnly, isSensitive], [false, false]);
    assert.ok(documentation.endsWith("."));
  }
  for (const config of topicConfigTable) assert.ok(config.setting || config.holds, config.name);
});

test("the reference has each config, with what holds by default and what it is here", () => {
  const page = readFileSync(new URL("../../../docs/reference/kafka-configs.md", import.meta.url), "utf8");
  for (const { name, value, documentation } of describeTopicConfigs(created({}), null)) {
    const row = page.split("\n").find((line) => line.startsWith(`| \`${name}\` | ${value ? `\`${value}\`` : ""} |`));
    assert.ok(row?.endsWith(` | ${documentation} |`), name);
  }
});

test("only the names that are asked for are told, and names that nobody knows are left out", () => {
  const topic = created({});
  const names = (wanted: string[]) => describeTopicConfigs(topic, wanted).map(({ name }) => name);
  assert.deepEqual(names(["segment.ms", "nope", "flush.ms"]), ["flush.ms", "segment.ms"]);
  assert.equal(names([]).length, topicConfigTable.length);
});

test("a topic is made with the settings that its configs say", () => {
  const topic = created({
    "cleanup.policy": " compact , delete ",
    "retention.ms": "-1",
    "retention.bytes": "1024",
    "max.message.bytes": "2000000",
    "segment.bytes": "1048576",
    "segment.ms": "60000",
    "min.cleanable.dirty.ratio": "1e-1",
    "delete.retention.ms": "0",
    "min.compaction.lag.ms": "5",
    "max.compaction.lag.ms": longMax,
    "message.timestamp.type": "LogAppendTime",
    "message.timestamp.before.max.ms": "86400000",
    "message.timestamp.after.max.ms": longMax,
    "compression.type": "zstd",
    "min.insync.replicas": "2",
  });
  const wanted: TopicSettings = {
    ...defaultTopicSettings,
    cleanup: "compact,delete",
    retentionBytes: 1024,
    batchBytesMax: 2_000_000,
    segmentBytesMax: 1_048_576,
    segmentMs: 60_000,
    dirtyRatioMin: 0.1,
    tombstoneRetentionMs: 0,
    compactionLagMinMs: 5,
    timestampType: "append",
    timestampBeforeMaxMs: 86_400_000,
    timestampAfterMaxMs: null,
    compression: "zstd",
    minInsyncReplicas: 2,
  };
  assert.deepEqual(topic.settings, wanted);
  assert.deepEqual(shown(topic, "cleanup.policy"), ["compact,delete", configSource.topic]);
  assert.deepEqual(shown(topic, "min.cleanable.dirty.ratio"), ["0.1", configSource.topic]);
  assert.deepEqual(created({}).settings, kafkaTopicDefaults);
});

// Each of these was asked of Kafka 4.3.1's LogConfig.validate.
test("what cannot be is refused in Kafka's words", () => {
  const invalid = (name: string, value: string, why: string, asked = value) => {
    assert.equal(refusalOf({ [name]: asked }), `Invalid value ${value} for configuration ${name}: ${why}`);
  };
  for (const value of ["abc", "1.5", "0x5", "", "9223372036854775808"]) {
    invalid("retention.ms", value, "Not a number of type LONG");
  }
  invalid("retention.ms", "-2", "Value must be at least -1");
  invalid("max.message.bytes", "99999999999", "Not a number of type INT");
  invalid("max.message.bytes", "-1", "Value must be at least 0");
  invalid("segment.bytes", "1024", "Value must be at least 1048576");
  invalid("segment.ms", "0", "Value must be at least 1");
  invalid("min.insync.replicas", "0", "Value must be at least 1");
  invalid("max.compaction.lag.ms", "0", "Value must be at least 1");
  invalid("local.retention.ms", "-3", "Value must be at least -2");
  invalid("segment.index.bytes", "2", "Value must be at least 4");
  invalid("min.cleanable.dirty.ratio", "2.0", "Value must be no more than 1", "2");
  invalid("min.cleanable.dirty.ratio", "x", "Not a number of type DOUBLE");
  invalid("preallocate", "yes", "Expected value to be either true or false");
  invalid("message.timestamp.type", "logappendtime", "String must be one of: CreateTime, LogAppendTime");
  for (const value of ["foo", "none"]) invalid("cleanup.policy", value, "String must be one of: compact, delete");
  for (const value of ["brotli", "none"]) {
    invalid("compression.type", value, "String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer");
  }
  for (const value of ["0", "10"]) {
    invalid("compression.gzip.level", value, "Value must be between 1 and 9 or equal to -1");
  }
  invalid("compression.lz4.level", "18", "Value must be no more than 17");
  invalid("compression.zstd.level", "23", "Value must be no more than 22");
  const replicas = "leader.replication.throttled.replicas";
  const form = `${replicas} must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...`;
  for (const value of ["x", "none"]) invalid(replicas, `[${value}]`, form, value);
  assert.equal(
    refusalOf({ "cleanup.policy": "delete,,compact" }),
    "Configuration 'cleanup.policy' values must not be empty.",
  );
  assert.equal(
    refusalOf({ "remote.storage.enable": "true" }),
    "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.",
  );
  assert.equal(
    refusalOf({ "min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5" }),
    "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)",
  );
  for (const name of ["nope", "message.downconversion.enable", "__proto__", "constructor", ""]) {
    assert.equal(refusalOf({ "retention.ms": "abc", [name]: "true" }), `Unknown topic config name: ${name}`);
  }
  assert.equal(
    refusalOf({ "retention.ms": null, "segment.ms": null, "flush.ms": "1" }),
    "Null value not supported for topic configs: retention.ms,segment.ms",
  );
});

test("what Kafka takes is taken", () => {
  for (const [name, value] of [
    ["retention.ms", " 5 "],
    ["retention.ms", "+5"],
    ["retention.ms", "0"],
    ["retention.bytes", "-5"],
    ["retention.bytes", "0"],
    ["cleanup.policy", "delete,delete"],
    ["compression.type", " gzip "],
    ["preallocate", "TRUE"],
    ["leader.replication.throttled.replicas", "*"],
    ["leader.replication.throttled.replicas", "0:1,1:2"],
    ["leader.replication.throttled.replicas", ""],
    ["remote.storage.enable", "false"],
    ["remote.log.copy.disable", "true"],
    ["remote.log.delete.on.disable", "true"],
    ["local.retention.ms", "5"],
  ] as const) {
    created({ [name]: value });
  }
  assert.match(refusalOf({ "cleanup.policy": "" }) ?? "", /set retention.ms to -1/);
  assert.match(refusalOf({ "max.message.bytes": "2147483647" }) ?? "", /no more than 134217728/);
  assert.match(
    refusalOf({ "leader.replication.throttled.replicas": "1:1,".repeat(20_000) }) ?? "",
    /no more than 32768/,
  );
});

test("numbers that are beyond what a number holds are told as they were written", () => {
  const names = ["segment.ms", "delete.retention.ms", "min.compaction.lag.ms", "max.compaction.lag.ms", "retention.ms"];
  const topic = created(Object.fromEntries(names.map((name) => [name, longMax])));
  for (const name of names) assert.deepEqual(shown(topic, name), [longMax, configSource.topic], name);
  assert.deepEqual([topic.settings.retentionMs, topic.settings.compactionLagMaxMs], [null, null]);
  assert.deepEqual(shown(created({ "retention.bytes": "0" }), "retention.bytes"), ["0", configSource.topic]);
});

test("a config that was set to its default is told as set", () => {
  assert.deepEqual(shown(created({ "segment.jitter.ms": "0" }), "segment.jitter.ms"), ["0", configSource.topic]);
  assert.deepEqual(shown(created({ "compression.type": "producer" }), "compression.type"), [
    "producer",
    configSource.topic,
  ]);
});

test("a setting that was changed without Kafka's names is told as it is, and as set", () => {
  const topic = created({ "retention.ms": "5000" });
  const altered = { ...topic, settings: { ...topic.settings, retentionMs: 7, segmentMs: 9 } };
  assert.deepEqual(shown(altered, "retention.ms"), ["7", configSource.topic]);
  assert.deepEqual(shown(altered, "segment.ms"), ["9", configSource.topic]);
});

test("syncs are as often as they are, whatever is wished of them", () => {
  assert.deepEqual(shown(created({}), "flush.messages"), ["1", configSource.brokerStatic]);
  const relaxed = created({ "flush.messages": longMax, "flush.ms": "1000" });
  assert.equal(relaxed.settings.durability, "fsync");
  assert.deepEqual(shown(relaxed, "flush.ms"), ["1000", configSource.topic]);
  const loose: ConfiguredTopic = { settings: { ...kafkaTopicDefaults, durability: "os" } };
  assert.deepEqual(shown(loose, "flush.messages")[0], longMax);
  assert.equal(change(loose, set("segment.ms", "5")).settings.durability, "os");
  assert.equal(change(loose, set("flush.ms", longMax)).settings.durability, "os");
  assert.equal(change(loose, set("flush.messages", "1")).settings.durability, "fsync");
});

test("an incremental change leaves the others, and taking one away brings its default back", () => {
  const topic = change(
    created({ "retention.ms": "5", "compression.type": "lz4", preallocate: "true" }),
    set("segment.ms", "7"),
    unset("retention.ms"),
    unset("nope"),
  );
  assert.deepEqual(topic.configs, { "compression.type": "lz4", preallocate: "true", "segment.ms": "7" });
  const { retentionMs, segmentMs, compression } = topic.settings;
  assert.deepEqual([retentionMs, segmentMs, compression], [null, 7, "lz4"]);
  assert.deepEqual(shown(topic, "retention.ms"), ["-1", configSource.brokerStatic]);
  assert.deepEqual(shown(change(topic, unset("preallocate")), "preallocate"), ["false", configSource.default]);
});

test("a list is appended to and subtracted from, once for each item", () => {
  const list = (operation: "append" | "subtract", value: string, name = "cleanup.policy"): ConfigOperation => ({
    name,
    operation,
    value,
  });
  const both = change(created({}), list("append", "compact,delete"));
  assert.equal(both.settings.cleanup, "compact,delete");
  assert.deepEqual(shown(both, "cleanup.policy"), ["delete,compact", configSource.topic]);
  assert.equal(change(both, list("subtract", "delete")).settings.cleanup, "compact");
  const refused = (operation: ConfigOperation) => {
    const planned = planTopicChange(both, [operation]);
    return "error" in planned ? planned.error : undefined;
  };
  assert.match(refused(list("subtract", "delete,compact")) ?? "", /A topic is deleted or compacted/);
  assert.match(refused(list("append", "burn")) ?? "", /String must be one of: compact, delete/);
  for (const name of ["retention.ms", "nope"]) {
    assert.equal(refused(list("append", "1", name)), `Can't APPEND to key ${name} because its type is not LIST.`);
  }
});

test("the bounds of compaction lag are held against what the topic has", () => {
  const topic = created({ "min.compaction.lag.ms": "100" });
  const planned = planTopicChange(topic, [set("max.compaction.lag.ms", "50")]);
  assert.match("error" in planned ? planned.error : "", /^conflict topic config setting/);
});

test("a replacement resets what it does not name", () => {
  const topic = created({ "retention.ms": "5", "compression.type": "lz4", "min.insync.replicas": "3" });
  const durable = { ...topic.settings, durability: "os" as const, partitions: 4 };
  const planned = planTopicReplacement({ ...topic, settings: durable }, new Map([["segment.ms", "9"]]));
  if ("error" in planned) assert.fail(planned.error);
  assert.deepEqual(planned.configs, { "segment.ms": "9" });
  const settings = { ...durable, ...planned.settings };
  assert.deepEqual(settings, { ...kafkaTopicDefaults, segmentMs: 9, durability: "os", partitions: 4 });
});

test("whatever is written, it is refused in words or is settings that the log takes, and is told as it was read", () => {
  const names = fc.constantFrom(...topicConfigTable.map(({ name }) => name), "nope");
  const values = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.integer().map(String),
    fc.bigInt().map(String),
    fc.double().map(String),
    fc.constantFrom("true", "delete", "compact,delete", "zstd", "LogAppendTime", "1:1", longMax, `-${longMax}`),
  );
  fc.assert(
    fc.property(fc.dictionary(names, values, { minKeys: 1 }), (given) => {
      const planned = planTopicSettings(new Map(Object.entries(given)));
      if ("error" in planned) return assert.ok(planned.error.length > 0);
      assert.deepEqual(checkTopicSettings(planned.settings), planned.settings);
      for (const { name, value, source } of describeTopicConfigs(planned, Object.keys(given))) {
        assert.equal(source, configSource.topic);
        assert.equal(value, planned.configs[name]);
      }
    }),
    { numRuns: 500 },
  );
});
