/**
 * A topic's settings as people write them over HTTP: durations and sizes are texts with a unit, `forever` and
 * `unlimited` are no bound. What is written is checked here by form and by bounds that the door has; the engine has
 * bounds of its own.
 */
import { MillraceError } from "../base/errors.ts";
import { parseDurationMs, parseSizeBytes, printDuration, printSize } from "../base/units.ts";
import type { TopicSettings } from "../engine/engine.ts";
import { compressions } from "../engine/topic-settings.ts";
import { nearest } from "./nearest.ts";

const partitionsMax = 1_024;
const replicasMax = 2 ** 31 - 1;
const batchBytesBounds = { min: 1_024, max: 64 * 1024 * 1024 };
const segmentBytesBounds = { min: 1024 * 1024, max: 1024 * 1024 * 1024 };

type Mutable<T> = { -readonly [K in keyof T]?: T[K] };

const readers: Readonly<Record<string, (value: unknown, out: Mutable<TopicSettings>) => void>> = {
  partitions(value, out) {
    if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > partitionsMax) {
      throw invalid("partitions", value, `It is a whole number from 1 to ${partitionsMax}.`);
    }
    out.partitions = value as number;
  },
  retention(value, out) {
    out.retentionMs = value === "forever" ? null : unit("retention", value, parseDurationMs, "or forever");
  },
  retentionSize(value, out) {
    out.retentionBytes = value === "unlimited" ? null : unit("retentionSize", value, parseSizeBytes, "or unlimited");
  },
  cleanup(value, out) {
    if (value !== "delete" && value !== "compact" && value !== "compact,delete") {
      throw invalid("cleanup", value, "It is delete, compact or compact,delete.");
    }
    out.cleanup = value;
  },
  maxBatch(value, out) {
    out.batchBytesMax = bounded("maxBatch", value, batchBytesBounds);
  },
  segment(value, out) {
    out.segmentBytesMax = bounded("segment", value, segmentBytesBounds);
  },
  segmentAge(value, out) {
    out.segmentMs = unit("segmentAge", value, parseDurationMs);
  },
  durability(value, out) {
    if (value !== "fsync" && value !== "os") throw invalid("durability", value, "It is fsync or os.");
    out.durability = value;
  },
  dirtyRatio(value, out) {
    if (typeof value !== "number" || !(value >= 0 && value <= 1)) {
      throw invalid("dirtyRatio", value, "It is a number from 0 to 1.");
    }
    out.dirtyRatioMin = value;
  },
  tombstoneRetention(value, out) {
    out.tombstoneRetentionMs = unit("tombstoneRetention", value, parseDurationMs);
  },
  compactionLag(value, out) {
    out.compactionLagMinMs = unit("compactionLag", value, parseDurationMs);
  },
  compactionLagMax(value, out) {
    out.compactionLagMaxMs =
      value === "unlimited" ? null : unit("compactionLagMax", value, parseDurationMs, "or unlimited");
  },
  timestampType(value, out) {
    if (value !== "create" && value !== "append") throw invalid("timestampType", value, "It is create or append.");
    out.timestampType = value;
  },
  timestampBehindMax(value, out) {
    out.timestampBeforeMaxMs =
      value === "unlimited" ? null : unit("timestampBehindMax", value, parseDurationMs, "or unlimited");
  },
  timestampAheadMax(value, out) {
    out.timestampAfterMaxMs =
      value === "unlimited" ? null : unit("timestampAheadMax", value, parseDurationMs, "or unlimited");
  },
  compression(value, out) {
    const compression = compressions.find((one) => one === value);
    if (!compression) throw invalid("compression", value, `It is ${compressions.join(", ")}.`);
    out.compression = compression;
  },
  minInsyncReplicas(value, out) {
    if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > replicasMax) {
      throw invalid("minInsyncReplicas", value, `It is a whole number from 1 to ${replicasMax}.`);
    }
    out.minInsyncReplicas = value as number;
  },
};

/** Throws `REQUEST_INVALID`, naming the setting. */
export function parseTopicSettings(body: unknown): Partial<TopicSettings> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new MillraceError("REQUEST_INVALID", "the settings of a topic are a JSON object", {
      hint: 'For example {"partitions": 4, "retention": "7d"}.',
    });
  }
  const settings: Mutable<TopicSettings> = {};
  for (const [name, value] of Object.entries(body)) {
    const read = Object.hasOwn(readers, name) ? readers[name] : undefined;
    if (!read) {
      const meant = nearest(name, Object.keys(readers));
      throw new MillraceError("REQUEST_INVALID", `a topic has no setting ${JSON.stringify(name.slice(0, 60))}`, {
        hint: meant === undefined ? `It has ${Object.keys(readers).join(", ")}.` : `Did you mean ${meant}?`,
      });
    }
    read(value, settings);
  }
  return settings;
}

/** A setting in a request is the request's fault, whatever the engine calls it: `SETTING_INVALID` as `REQUEST_INVALID`. */
export async function asRequested<T>(change: Promise<T>): Promise<T> {
  try {
    return await change;
  } catch (cause) {
    if (!MillraceError.is(cause, "SETTING_INVALID")) throw cause;
    const { message, hint, details } = cause;
    throw new MillraceError("REQUEST_INVALID", message, { cause, details, ...(hint === undefined ? {} : { hint }) });
  }
}

export function printTopicSettings(settings: TopicSettings): Record<string, unknown> {
  return {
    partitions: settings.partitions,
    retention: settings.retentionMs === null ? "forever" : printDuration(settings.retentionMs),
    retentionSize: settings.retentionBytes === null ? "unlimited" : printSize(settings.retentionBytes),
    cleanup: settings.cleanup,
    maxBatch: printSize(settings.batchBytesMax),
    segment: printSize(settings.segmentBytesMax),
    segmentAge: printDuration(settings.segmentMs),
    durability: settings.durability,
    dirtyRatio: settings.dirtyRatioMin,
    tombstoneRetention: printDuration(settings.tombstoneRetentionMs),
    compactionLag: printDuration(settings.compactionLagMinMs),
    compactionLagMax: printBound(settings.compactionLagMaxMs),
    timestampType: settings.timestampType,
    timestampBehindMax: printBound(settings.timestampBeforeMaxMs),
    timestampAheadMax: printBound(settings.timestampAfterMaxMs),
    compression: settings.compression,
    minInsyncReplicas: settings.minInsyncReplicas,
  };
}

function printBound(ms: number | null): string {
  return ms === null ? "unlimited" : printDuration(ms);
}

function bounded(name: string, value: unknown, { min, max }: { min: number; max: number }): number {
  const bytes = unit(name, value, parseSizeBytes, `from ${printSize(min)} to ${printSize(max)}`);
  if (bytes < min || bytes > max) throw invalid(name, value, `It is from ${printSize(min)} to ${printSize(max)}.`);
  return bytes;
}

function unit(name: string, value: unknown, parse: (text: unknown, name: string) => number, also?: string): number {
  try {
    return parse(value, name);
  } catch (cause) {
    const hint = MillraceError.is(cause) ? cause.hint?.replace(/\.$/, "") : undefined;
    throw invalid(name, value, `${hint ?? "Write it with a unit"}${also === undefined ? "" : `, ${also}`}.`);
  }
}

function invalid(name: string, value: unknown, hint: string): MillraceError {
  const shown = JSON.stringify(value)?.slice(0, 60);
  return new MillraceError("REQUEST_INVALID", `${name} is ${shown}`, { hint, details: { setting: name } });
}
