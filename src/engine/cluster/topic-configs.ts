/**
 * A topic's settings as Kafka's configs, and back. Pure.
 *
 * Always true: settings that were given come back as they were given, as long as nobody has changed the configs that they
 * became (`TopicNote` keeps them): Kafka has no config for some, and its bounds are narrower for others.
 */
import {
  type Cleanup,
  type Compression,
  defaultTopicSettings,
  type TopicConfigs,
  type TopicSettings,
} from "../engine.ts";

/** What Kafka cannot keep of a topic that was made here. */
export interface TopicNote {
  readonly name: string;
  readonly readOnly: boolean;
  readonly createdMs: number;
  readonly settings: TopicSettings;
  readonly configs?: TopicConfigs;
}

/** Kafka takes no smaller segments since 4.0 (KIP-1030). */
const segmentBytesMin = 1024 * 1024;
const segmentBytesLimit = 2 ** 31 - 1;
const never = "9223372036854775807";

type Written = Exclude<keyof TopicSettings, "partitions" | "durability">;

const configNames = {
  retentionMs: "retention.ms",
  retentionBytes: "retention.bytes",
  cleanup: "cleanup.policy",
  batchBytesMax: "max.message.bytes",
  segmentBytesMax: "segment.bytes",
  segmentMs: "segment.ms",
  dirtyRatioMin: "min.cleanable.dirty.ratio",
  tombstoneRetentionMs: "delete.retention.ms",
  compactionLagMinMs: "min.compaction.lag.ms",
  compactionLagMaxMs: "max.compaction.lag.ms",
  timestampType: "message.timestamp.type",
  timestampBeforeMaxMs: "message.timestamp.before.max.ms",
  timestampAfterMaxMs: "message.timestamp.after.max.ms",
  compression: "compression.type",
  minInsyncReplicas: "min.insync.replicas",
} as const satisfies Record<Written, string>;

/** All that are looked at. */
export const configKeys: readonly string[] = Object.values(configNames);

/** `min.insync.replicas` is left to the cluster unless more than one is asked for. */
export function configsOf(settings: TopicSettings, options: { readonly readOnly: boolean }): Record<string, string> {
  const { readOnly } = options;
  const wanted = Math.max(segmentBytesMin, settings.segmentBytesMax, settings.batchBytesMax);
  return {
    "retention.ms": orMinusOne(settings.retentionMs),
    "retention.bytes": orMinusOne(settings.retentionBytes),
    "cleanup.policy": settings.cleanup,
    "max.message.bytes": String(settings.batchBytesMax),
    "segment.bytes": String(Math.min(wanted, segmentBytesLimit)),
    "segment.ms": String(settings.segmentMs),
    "min.cleanable.dirty.ratio": String(settings.dirtyRatioMin),
    "delete.retention.ms": String(settings.tombstoneRetentionMs),
    "min.compaction.lag.ms": String(settings.compactionLagMinMs),
    "max.compaction.lag.ms": orNever(settings.compactionLagMaxMs),
    "message.timestamp.type": settings.timestampType === "append" ? "LogAppendTime" : "CreateTime",
    "message.timestamp.before.max.ms": readOnly ? never : orNever(settings.timestampBeforeMaxMs),
    "message.timestamp.after.max.ms": readOnly ? never : orNever(settings.timestampAfterMaxMs),
    "compression.type": settings.compression,
    ...(settings.minInsyncReplicas > 1 ? { "min.insync.replicas": String(settings.minInsyncReplicas) } : {}),
  };
}

/** With those that were set by name: what is a setting has become one, the rest goes to Kafka as it is. */
export function allConfigsOf({ settings, readOnly, configs = {} }: TopicNote): Record<string, string> {
  const others = Object.entries(configs).filter(([key]) => !configKeys.includes(key));
  return { ...Object.fromEntries(others), ...configsOf(settings, { readOnly }) };
}

/** `configs` as DescribeConfigs answers them; what is missing has its default. */
export function settingsOf(
  configs: Readonly<Record<string, string>>,
  partitions: number,
  note: TopicNote | undefined,
): TopicSettings {
  const told = settingsFrom(configs, partitions);
  if (!note) return told;
  const became = configsOf(note.settings, note);
  const kept: Record<string, unknown> = { ...told, durability: note.settings.durability };
  for (const [setting, name] of Object.entries(configNames) as [Written, string][]) {
    // What was left to the cluster is what was given.
    if (became[name] === undefined || sameConfig(became[name], configs[name])) kept[setting] = note.settings[setting];
  }
  return kept as unknown as TopicSettings;
}

function settingsFrom(configs: Readonly<Record<string, string>>, partitions: number): TopicSettings {
  const number = (setting: Written & keyof typeof configNames): number => {
    const value = Number(configs[configNames[setting]]);
    return configs[configNames[setting]] === undefined || Number.isNaN(value)
      ? (defaultTopicSettings[setting] as number)
      : value;
  };
  const bounded = (setting: Written): number | null => {
    const value = number(setting);
    return value < 0 || value > Number.MAX_SAFE_INTEGER ? null : value;
  };
  return {
    partitions,
    retentionMs: bounded("retentionMs"),
    retentionBytes: bounded("retentionBytes"),
    cleanup: cleanupOf(configs["cleanup.policy"]),
    batchBytesMax: number("batchBytesMax"),
    segmentBytesMax: number("segmentBytesMax"),
    segmentMs: number("segmentMs"),
    durability: defaultTopicSettings.durability,
    dirtyRatioMin: number("dirtyRatioMin"),
    tombstoneRetentionMs: number("tombstoneRetentionMs"),
    compactionLagMinMs: number("compactionLagMinMs"),
    compactionLagMaxMs: bounded("compactionLagMaxMs"),
    timestampType: configs["message.timestamp.type"] === "LogAppendTime" ? "append" : "create",
    timestampBeforeMaxMs: bounded("timestampBeforeMaxMs"),
    timestampAfterMaxMs: bounded("timestampAfterMaxMs"),
    compression: (configs["compression.type"] ?? defaultTopicSettings.compression) as Compression,
    minInsyncReplicas: number("minInsyncReplicas"),
  };
}

function cleanupOf(policy = "delete"): Cleanup {
  const compacts = policy.includes("compact");
  return compacts && policy.includes("delete") ? "compact,delete" : compacts ? "compact" : "delete";
}

/** 0.5 and 0.50 are the same ratio, `delete,compact` is the same policy as `compact,delete`. */
export function sameConfig(a: string, b: string | undefined): boolean {
  if (a === b) return true;
  if (b === undefined) return false;
  if (a.includes(",")) return a.split(",").sort().join() === b.split(",").sort().join();
  return a !== "" && b !== "" && Number(a) === Number(b);
}

function orMinusOne(value: number | null): string {
  return value === null ? "-1" : String(value);
}

function orNever(value: number | null): string {
  return value === null ? never : String(value);
}
