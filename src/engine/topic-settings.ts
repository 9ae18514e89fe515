/** The rules for topic names and settings; they are the same for every variant of the engine. */
import { MillraceError } from "../base/errors.ts";
import { type Compression, defaultTopicSettings, type TopicSettings } from "./engine.ts";

/** In the order in which Kafka names them. */
export const compressions: readonly Compression[] = ["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

const nameForm = /^[A-Za-z0-9._-]{1,249}$/;

/** Throws `TOPIC_NAME_INVALID`. */
export function checkTopicName(name: string): void {
  if (typeof name === "string" && nameForm.test(name) && name !== "." && name !== "..") return;
  throw new MillraceError("TOPIC_NAME_INVALID", `${JSON.stringify(name)} cannot be the name of a topic`, {
    hint: "Use 1 to 249 of the characters a-z A-Z 0-9 . _ -",
    details: { name },
  });
}

/** With the defaults for what is left out. Throws `SETTING_INVALID`. */
export function checkTopicSettings(given: Partial<TopicSettings>): TopicSettings {
  const settings: TopicSettings = { ...defaultTopicSettings, ...given };
  const { retentionMs, retentionBytes, cleanup, durability, dirtyRatioMin, compactionLagMaxMs } = settings;
  const { timestampType, timestampBeforeMaxMs, timestampAfterMaxMs, compression } = settings;
  whole("partitions", settings.partitions, 1, 10_000);
  if (retentionMs !== null) whole("retentionMs", retentionMs, 1, Number.MAX_SAFE_INTEGER);
  if (retentionBytes !== null) whole("retentionBytes", retentionBytes, 1, Number.MAX_SAFE_INTEGER);
  whole("batchBytesMax", settings.batchBytesMax, 1, 128 * 1024 * 1024);
  whole("segmentBytesMax", settings.segmentBytesMax, 1024, 2 ** 31 - 1);
  whole("segmentMs", settings.segmentMs, 1, Number.MAX_SAFE_INTEGER);
  whole("minInsyncReplicas", settings.minInsyncReplicas, 1, 2 ** 31 - 1);
  whole("tombstoneRetentionMs", settings.tombstoneRetentionMs, 0, Number.MAX_SAFE_INTEGER);
  whole("compactionLagMinMs", settings.compactionLagMinMs, 0, Number.MAX_SAFE_INTEGER);
  if (compactionLagMaxMs !== null) whole("compactionLagMaxMs", compactionLagMaxMs, 1, Number.MAX_SAFE_INTEGER);
  if (timestampBeforeMaxMs !== null) whole("timestampBeforeMaxMs", timestampBeforeMaxMs, 0, Number.MAX_SAFE_INTEGER);
  if (timestampAfterMaxMs !== null) whole("timestampAfterMaxMs", timestampAfterMaxMs, 0, Number.MAX_SAFE_INTEGER);
  if (!(dirtyRatioMin >= 0 && dirtyRatioMin <= 1)) refuse("dirtyRatioMin", dirtyRatioMin, "a number from 0 to 1");
  if (cleanup !== "delete" && cleanup !== "compact" && cleanup !== "compact,delete") {
    refuse("cleanup", cleanup, "delete, compact or compact,delete");
  }
  if (durability !== "fsync" && durability !== "os") refuse("durability", durability, "fsync or os");
  if (timestampType !== "create" && timestampType !== "append") {
    refuse("timestampType", timestampType, "create or append");
  }
  if (!compressions.includes(compression)) refuse("compression", compression, compressions.join(", "));
  const names = Object.keys(defaultTopicSettings) as (keyof TopicSettings)[];
  return Object.fromEntries(names.map((name) => [name, settings[name]])) as unknown as TopicSettings;
}

export function sameTopicSettings(a: TopicSettings, b: TopicSettings): boolean {
  const names = Object.keys(defaultTopicSettings) as (keyof TopicSettings)[];
  return names.every((name) => a[name] === b[name]);
}

function whole(name: keyof TopicSettings, value: unknown, from: number, to: number): void {
  if (Number.isSafeInteger(value) && (value as number) >= from && (value as number) <= to) return;
  refuse(name, value, `a whole number from ${from} to ${to}`);
}

function refuse(name: string, value: unknown, wanted: string): never {
  throw new MillraceError("SETTING_INVALID", `the topic setting ${name} is ${JSON.stringify(value)}, not ${wanted}`, {
    details: { setting: name },
  });
}
