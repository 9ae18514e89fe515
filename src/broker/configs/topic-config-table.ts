/**
 * The configs that a topic has in Kafka 4.3, and what each of them is here: a setting of the topic, or a text that is
 * kept and told again because tools set it and nothing here depends on it. The documentation says which.
 *
 * Always true: the value that is told is the one that holds. A text is told instead of the setting's own print only as long as
 * it reads as what the setting is.
 */
import type { Compression, TopicSettings } from "../../engine/engine.ts";
import { compressions } from "../../engine/topic-settings.ts";
import { type ConfigForm, type ConfigValue, longMax } from "./config-values.ts";

export type SettingsPatch = { -readonly [Name in keyof TopicSettings]?: TopicSettings[Name] };

export interface TopicConfig extends ConfigForm {
  /** Of Kafka, where nobody has set it. */
  readonly kafkaDefault: string;
  /** Kafka's config of the broker for topics that have none of their own. */
  readonly synonym: string | null;
  readonly documentation: string;
  readonly setting?: {
    print(settings: TopicSettings): string;
    read(value: ConfigValue): SettingsPatch | { readonly error: string };
  };
  /** Of a config without a setting: what holds, where `kept` is what was set. */
  readonly holds?: (settings: TopicSettings, kept: string | undefined) => string;
  /** What setting it changes all the same. */
  readonly implies?: (value: ConfigValue) => SettingsPatch;
}

const safeMax = Number.MAX_SAFE_INTEGER;
/** The largest batch that the log takes at all. */
const batchBytesLimit = 128 * 1024 * 1024;

const unboundedMs = (ms: number | null) => (ms === null ? longMax : String(ms));
const boundMs = (value: ConfigValue) => ((value as number) >= safeMax ? null : (value as number));
const fixed = (text: string) => (_: TopicSettings, kept: string | undefined) => kept ?? text;
const noEffect = "It is kept and has no effect here: ";

/** By name. */
export const topicConfigTable: readonly TopicConfig[] = [
  {
    name: "cleanup.policy",
    type: "list",
    oneOf: ["compact", "delete"],
    kafkaDefault: "delete",
    synonym: "log.cleanup.policy",
    documentation:
      "What becomes of old segments: deleted by age and size, compacted to the last record of each key, or both.",
    setting: {
      print: ({ cleanup }) => cleanup,
      read: (value) => {
        const policies = value as readonly string[];
        const isCompacted = policies.includes("compact");
        if (policies.includes("delete")) return { cleanup: isCompacted ? "compact,delete" : "delete" };
        if (isCompacted) return { cleanup: "compact" };
        return {
          error:
            "Invalid value  for configuration cleanup.policy: A topic is deleted or compacted; to keep all records set retention.ms to -1",
        };
      },
    },
  },
  {
    name: "compression.gzip.level",
    type: "int",
    min: 1,
    max: 9,
    also: -1,
    kafkaDefault: "-1",
    synonym: "compression.gzip.level",
    documentation: `The level of gzip, where compression.type is gzip. ${noEffect}the codec's own level is used.`,
    holds: fixed("-1"),
  },
  {
    name: "compression.lz4.level",
    type: "int",
    min: 1,
    max: 17,
    kafkaDefault: "9",
    synonym: "compression.lz4.level",
    documentation: `The level of lz4, where compression.type is lz4. ${noEffect}the codec has one level.`,
    holds: fixed("9"),
  },
  {
    name: "compression.type",
    type: "string",
    oneOf: compressions,
    kafkaDefault: "producer",
    synonym: "compression.type",
    documentation:
      "The codec in which batches are kept; with producer each stays as its producer sent it. Another codec than the producer's costs the broker time with each batch.",
    setting: { print: ({ compression }) => compression, read: (value) => ({ compression: value as Compression }) },
  },
  {
    name: "compression.zstd.level",
    type: "int",
    min: -131_072,
    max: 22,
    kafkaDefault: "3",
    synonym: "compression.zstd.level",
    documentation: `The level of zstd, where compression.type is zstd. ${noEffect}level 3 is used.`,
    holds: fixed("3"),
  },
  {
    name: "delete.retention.ms",
    type: "long",
    min: 0,
    kafkaDefault: "86400000",
    synonym: "log.cleaner.delete.retention.ms",
    documentation:
      "How long a tombstone stays after the compaction that first met it: as long as a reader may take from the beginning to the end and still see it.",
    setting: {
      print: ({ tombstoneRetentionMs }) => String(tombstoneRetentionMs),
      read: (value) => ({ tombstoneRetentionMs: value as number }),
    },
  },
  {
    name: "file.delete.delay.ms",
    type: "long",
    min: 0,
    kafkaDefault: "60000",
    synonym: "log.segment.delete.delay.ms",
    documentation: `How long a file that is deleted stays on the disk. ${noEffect}its space is free at once.`,
    holds: fixed("0"),
  },
  {
    name: "flush.messages",
    type: "long",
    min: 1,
    kafkaDefault: longMax,
    synonym: "log.flush.interval.messages",
    documentation:
      "After how many records the log is synced to the disk at the latest. Every append is durable before it is answered, which keeps any value; a topic whose durability was set to os is never synced for it, and a value below the largest ends that.",
    holds: flushed("1"),
    implies: synced,
  },
  {
    name: "flush.ms",
    type: "long",
    min: 0,
    kafkaDefault: longMax,
    synonym: "log.flush.interval.ms",
    documentation:
      "How long a record may wait to be synced to the disk. Every append is durable before it is answered, which keeps any value; a topic whose durability was set to os is never synced for it, and a value below the largest ends that.",
    holds: flushed("0"),
    implies: synced,
  },
  {
    name: "follower.replication.throttled.replicas",
    type: "list",
    isReplicas: true,
    kafkaDefault: "",
    synonym: null,
    documentation: `Replicas whose fetching is throttled. ${noEffect}there is one replica.`,
    holds: fixed(""),
  },
  {
    name: "index.interval.bytes",
    type: "int",
    min: 0,
    kafkaDefault: "4096",
    synonym: "log.index.interval.bytes",
    documentation: `How many bytes of the log have one entry in its index. ${noEffect}16384 have.`,
    holds: fixed("16384"),
  },
  {
    name: "leader.replication.throttled.replicas",
    type: "list",
    isReplicas: true,
    kafkaDefault: "",
    synonym: null,
    documentation: `Replicas to which sending is throttled. ${noEffect}there is one replica.`,
    holds: fixed(""),
  },
  {
    name: "local.retention.bytes",
    type: "long",
    min: -2,
    kafkaDefault: "-2",
    synonym: "log.local.retention.bytes",
    documentation: `What stays local of a topic in remote storage. ${noEffect}all is local, and retention.bytes holds.`,
    holds: fixed("-2"),
  },
  {
    name: "local.retention.ms",
    type: "long",
    min: -2,
    kafkaDefault: "-2",
    synonym: "log.local.retention.ms",
    documentation: `How long a topic in remote storage stays local. ${noEffect}all is local, and retention.ms holds.`,
    holds: fixed("-2"),
  },
  {
    name: "max.compaction.lag.ms",
    type: "long",
    min: 1,
    kafkaDefault: longMax,
    synonym: "log.cleaner.max.compaction.lag.ms",
    documentation: "A partition with an uncompacted record older than this is compacted whatever its dirty ratio is.",
    setting: {
      print: ({ compactionLagMaxMs }) => unboundedMs(compactionLagMaxMs),
      read: (value) => ({ compactionLagMaxMs: boundMs(value) }),
    },
  },
  {
    name: "max.message.bytes",
    type: "int",
    min: 0,
    max: batchBytesLimit,
    kafkaDefault: "1048588",
    synonym: "message.max.bytes",
    documentation: "The largest record batch that is taken, as it is compressed. At most 134217728 here.",
    setting: {
      print: ({ batchBytesMax }) => String(batchBytesMax),
      read: (value) => ({ batchBytesMax: Math.max(1, value as number) }),
    },
  },
  {
    name: "message.timestamp.after.max.ms",
    type: "long",
    min: 0,
    kafkaDefault: "3600000",
    synonym: "log.message.timestamp.after.max.ms",
    documentation: "How long after the broker's time the time of a record may be, where records have their producer's.",
    setting: {
      print: ({ timestampAfterMaxMs }) => unboundedMs(timestampAfterMaxMs),
      read: (value) => ({ timestampAfterMaxMs: boundMs(value) }),
    },
  },
  {
    name: "message.timestamp.before.max.ms",
    type: "long",
    min: 0,
    kafkaDefault: longMax,
    synonym: "log.message.timestamp.before.max.ms",
    documentation:
      "How long before the broker's time the time of a record may be, where records have their producer's.",
    setting: {
      print: ({ timestampBeforeMaxMs }) => unboundedMs(timestampBeforeMaxMs),
      read: (value) => ({ timestampBeforeMaxMs: boundMs(value) }),
    },
  },
  {
    name: "message.timestamp.type",
    type: "string",
    oneOf: ["CreateTime", "LogAppendTime"],
    kafkaDefault: "CreateTime",
    synonym: "log.message.timestamp.type",
    documentation: "Whose time a record has: its producer's (CreateTime), or that of its append (LogAppendTime).",
    setting: {
      print: ({ timestampType }) => (timestampType === "append" ? "LogAppendTime" : "CreateTime"),
      read: (value) => ({ timestampType: value === "LogAppendTime" ? "append" : "create" }),
    },
  },
  {
    name: "min.cleanable.dirty.ratio",
    type: "double",
    min: 0,
    max: 1,
    kafkaDefault: "0.5",
    synonym: "log.cleaner.min.cleanable.ratio",
    documentation: "The share of a partition's bytes not yet compacted at which it is compacted.",
    setting: {
      print: ({ dirtyRatioMin }) => (Number.isInteger(dirtyRatioMin) ? `${dirtyRatioMin}.0` : String(dirtyRatioMin)),
      read: (value) => ({ dirtyRatioMin: value as number }),
    },
  },
  {
    name: "min.compaction.lag.ms",
    type: "long",
    min: 0,
    kafkaDefault: "0",
    synonym: "log.cleaner.min.compaction.lag.ms",
    documentation: "Records younger than this are not compacted.",
    setting: {
      print: ({ compactionLagMinMs }) => String(compactionLagMinMs),
      read: (value) => ({ compactionLagMinMs: value as number }),
    },
  },
  {
    name: "min.insync.replicas",
    type: "int",
    min: 1,
    kafkaDefault: "1",
    synonym: "min.insync.replicas",
    documentation:
      "How many replicas must have a batch before acks=all is answered, at most as many as there are: here there is one, so that any value is kept.",
    setting: {
      print: ({ minInsyncReplicas }) => String(minInsyncReplicas),
      read: (value) => ({ minInsyncReplicas: value as number }),
    },
  },
  {
    name: "preallocate",
    type: "boolean",
    kafkaDefault: "false",
    synonym: "log.preallocate",
    documentation: `Whether a segment's file gets its space when it is made. ${noEffect}segments grow.`,
    holds: fixed("false"),
  },
  {
    name: "remote.log.copy.disable",
    type: "boolean",
    kafkaDefault: "false",
    synonym: null,
    documentation: `Whether nothing more is copied to remote storage. ${noEffect}there is none.`,
    holds: fixed("false"),
  },
  {
    name: "remote.log.delete.on.disable",
    type: "boolean",
    kafkaDefault: "false",
    synonym: null,
    documentation: `Whether what is in remote storage goes when that is switched off. ${noEffect}there is none.`,
    holds: fixed("false"),
  },
  {
    name: "remote.storage.enable",
    type: "boolean",
    kafkaDefault: "false",
    synonym: null,
    documentation: "Whether old segments go to remote storage, which there is none of: true is refused.",
    holds: fixed("false"),
  },
  {
    name: "retention.bytes",
    type: "long",
    kafkaDefault: "-1",
    synonym: "log.retention.bytes",
    documentation:
      "What a partition keeps, in whole segments, where cleanup.policy has delete; below 0 there is no bound.",
    setting: {
      print: ({ retentionBytes }) => String(retentionBytes ?? -1),
      read: (value) => ({ retentionBytes: (value as number) < 0 ? null : Math.max(1, value as number) }),
    },
  },
  {
    name: "retention.ms",
    type: "long",
    min: -1,
    kafkaDefault: "604800000",
    synonym: "log.retention.ms",
    documentation: "How long records are kept at least, where cleanup.policy has delete; -1 keeps them for ever.",
    setting: {
      print: ({ retentionMs }) => String(retentionMs ?? -1),
      read: (value) => ({ retentionMs: value === -1 || value === safeMax ? null : Math.max(1, value as number) }),
    },
  },
  {
    name: "segment.bytes",
    type: "int",
    min: 1_048_576,
    kafkaDefault: "1073741824",
    synonym: "log.segment.bytes",
    documentation: "The size at which a segment is closed; only closed ones are deleted or compacted.",
    setting: {
      print: ({ segmentBytesMax }) => String(segmentBytesMax),
      read: (value) => ({ segmentBytesMax: value as number }),
    },
  },
  {
    name: "segment.index.bytes",
    type: "int",
    min: 4,
    kafkaDefault: "10485760",
    synonym: "log.index.size.max.bytes",
    documentation: `The largest index of a segment. ${noEffect}an index is as large as it needs to be.`,
    holds: fixed("10485760"),
  },
  {
    name: "segment.jitter.ms",
    type: "long",
    min: 0,
    kafkaDefault: "0",
    synonym: "log.roll.jitter.ms",
    documentation: `How much earlier, at most, segments are closed by chance. ${noEffect}they are closed when it is time.`,
    holds: fixed("0"),
  },
  {
    name: "segment.ms",
    type: "long",
    min: 1,
    kafkaDefault: "604800000",
    synonym: "log.roll.ms",
    documentation: "The age of its first record at which a segment is closed.",
    setting: { print: ({ segmentMs }) => String(segmentMs), read: (value) => ({ segmentMs: value as number }) },
  },
  {
    name: "unclean.leader.election.enable",
    type: "boolean",
    kafkaDefault: "false",
    synonym: "unclean.leader.election.enable",
    documentation: `Whether a replica that lags may lead. ${noEffect}there is one replica.`,
    holds: fixed("false"),
  },
];

export const topicConfigs: ReadonlyMap<string, TopicConfig> = new Map(topicConfigTable.map((one) => [one.name, one]));

/** A topic of durability "os" is not synced whatever was set. */
function flushed(always: string) {
  return ({ durability }: TopicSettings, kept: string | undefined) =>
    durability === "os" ? longMax : (kept ?? always);
}

/** Who asks for syncs gets them; asking for none takes nothing away. */
function synced(value: ConfigValue): SettingsPatch {
  return (value as number) < safeMax ? { durability: "fsync" } : {};
}
