/** `topic(…)`: an ordered log of events, with the schema that its values fit. */
import { MillraceError } from "../../base/errors.ts";
import { parseDurationMs, parseSizeBytes } from "../../base/units.ts";
import type { Cleanup, Durability, TopicSettings } from "../../engine/engine.ts";
import { checkTopicName, checkTopicSettings } from "../../engine/topic-settings.ts";
import { type CompatibilityLevel, compatibilityLevels } from "../../schema/registry/compatibility.ts";
import type { PayloadProblem } from "../../schema/registry/parsed-schema.ts";
import { schemaMembers } from "../../schema/registry/schema-members.ts";
import type { WatermarkRule } from "../../schema/table-shape.ts";
import { refuseUnknown } from "./names.ts";
import { type PublishOptions, publishVia } from "./outbox.ts";
import type { InputOf, OutputOf, StandardSchema } from "./standard-schema.ts";
import {
  type AvroInput,
  keyProblemsOf,
  type ProtobufInput,
  problemsOf,
  readSchema,
  type SchemaInput,
  type TopicSchema,
} from "./topic-schema.ts";

/** What a topic's values are to the one who publishes them. */
export type ValueIn<S> = S extends StandardSchema
  ? InputOf<S>
  : S extends AvroInput | ProtobufInput
    ? Uint8Array
    : unknown;
/** What they are to the one who reads them. */
export type ValueOut<S> = S extends StandardSchema ? OutputOf<S> : unknown;

export type Upcast = (value: never) => unknown;

export interface TopicOptions<S = unknown> {
  /** What values have to fit, at every door. */
  readonly schema?: S;
  /** What keys have to fit, as JSON or as the text that they are; a record without a key does not. */
  readonly keySchema?: SchemaInput;
  /** How schemas may change; what the registry says of the subject when left out, which is backward. */
  readonly compatibility?: Lowercase<CompatibilityLevel>;
  /** For each version that later ones cannot read: what makes a value of the next version of one of this. */
  readonly upcast?: Readonly<Record<number, Upcast>>;
  /** 1 when left out. They are only ever added. */
  readonly partitions?: number;
  /** `7d`, or `forever`, which it is when left out. */
  readonly retention?: string;
  /** Per partition: `10GB`, or `unlimited`. */
  readonly retentionSize?: string;
  readonly cleanup?: Cleanup;
  readonly durability?: Durability;
  /** The largest batch: `1MB`. */
  readonly maxBatch?: string;
  /**
   * Events have a time of their own: the member of their values that it is in, and how much later than others one may come
   * (`30s`; `0s` when left out). Views find with each event how far the times before it had come, in `_watermark`. The member
   * is a moment by the schema; without one it is in the form of RFC 3339. A partition without a record for the time of `idle`
   * (`5m` when left out, or `never`) does not hold back windows that wait for all partitions.
   */
  readonly watermark?: { readonly time: string; readonly lateness?: string; readonly idle?: string };
  /** The key of a value that is published: a member of it, or a function. */
  readonly key?: string | ((value: ValueIn<S>) => string);
}

export interface TopicDefinition<In = never, Out = unknown> {
  readonly kind: "topic";
  readonly name: string;
  /** What was given; the rest is left as it is, or as the engine has it. */
  readonly settings: Partial<TopicSettings>;
  readonly schema: TopicSchema | null;
  readonly keySchema: TopicSchema | null;
  readonly compatibility: CompatibilityLevel | null;
  readonly upcast: ReadonlyMap<number, (value: unknown) => unknown>;
  /** Absent where events have no time of their own. */
  readonly watermark?: WatermarkRule;
  /** The type of a value that was read; nothing is there at run time. */
  readonly Value?: Out;
  /** Null for a value without one. */
  keyOf(value: In): string | null;
  /**
   * Publishes with a transaction of the application's own database: the topic has the value when that has committed, and
   * never when it has not. The key is that of the definition unless one is given; null is a tombstone, for compacted
   * topics. Throws `SCHEMA_MISMATCH`, and what `publishVia` throws.
   */
  publish(value: In | null, options: PublishOptions): Promise<void>;
}

const optionNames = [
  ...["schema", "compatibility", "upcast", "partitions", "retention", "retentionSize", "cleanup", "durability"],
  ...["maxBatch", "key", "keySchema", "watermark"],
];

/** A topic that is made at the start, or altered to be as it says. Throws `DEFINITION_INVALID`, `SCHEMA_INVALID`. */
export function topic<const S extends SchemaInput = never>(
  name: string,
  options: TopicOptions<S> = {},
): TopicDefinition<[S] extends [never] ? unknown : ValueIn<S>, [S] extends [never] ? unknown : ValueOut<S>> {
  checkDefinedTopic(name);
  const named = `topic "${name}"`;
  refuseUnknown(named, options, optionNames);
  const schema = options.schema === undefined ? null : readSchema(name, options.schema);
  const keySchema = options.keySchema === undefined ? null : readSchema(name, options.keySchema);
  const keyOf = keyReader(named, options.key as TopicOptions["key"]);
  return Object.freeze({
    kind: "topic",
    name,
    settings: Object.freeze(readSettings(named, options)),
    schema: schema && Object.freeze(schema),
    keySchema: keySchema && Object.freeze(keySchema),
    compatibility: readLevel(named, options.compatibility),
    upcast: readUpcast(named, schema, options.upcast),
    ...(options.watermark === undefined ? {} : { watermark: readWatermark(named, schema, options) }),
    keyOf,
    async publish(value: unknown, publishing: PublishOptions): Promise<void> {
      const isTombstone = value === null && (options.cleanup ?? "delete") !== "delete";
      const problems = schema && !isTombstone ? problemsOf(schema, value) : [];
      if (problems.length > 0) throw mismatch(name, "value", problems);
      const { key = value === null ? null : keyOf(value) } = publishing;
      const keyProblems = keySchema ? keyProblemsOf(keySchema, key) : [];
      if (keyProblems.length > 0) throw mismatch(name, "key", keyProblems);
      await publishVia(name, value, { ...publishing, key });
    },
  }) as never;
}

function mismatch(name: string, what: "key" | "value", problems: readonly PayloadProblem[]): MillraceError {
  const [first] = problems;
  return new MillraceError(
    "SCHEMA_MISMATCH",
    `the ${what} does not fit topic "${name}": ${first?.path || "the whole"}: ${first?.message}`,
    { hint: `Correct the ${what}, or the schema of the topic.`, details: { topic: name, problems } },
  );
}

/** Throws `DEFINITION_INVALID`. */
export function checkDefinedTopic(name: string): void {
  try {
    checkTopicName(name);
  } catch (cause) {
    const { message, hint = "" } = MillraceError.from(cause);
    throw new MillraceError("DEFINITION_INVALID", message, { hint, cause });
  }
  if (!name.startsWith("_millrace") && !name.startsWith("__")) return;
  throw new MillraceError("DEFINITION_INVALID", `topic name "${name}" is one of Millrace's own`, {
    hint: "Choose one that does not begin with an underscore.",
  });
}

function readSettings(
  named: string,
  options: Omit<TopicOptions, "schema" | "keySchema" | "key">,
): Partial<TopicSettings> {
  const { partitions, retention, retentionSize, cleanup, durability, maxBatch } = options;
  return inDefinition(named, () => {
    const settings: Partial<TopicSettings> = {
      ...(partitions === undefined ? {} : { partitions }),
      ...(retention === undefined
        ? {}
        : { retentionMs: unlessNone(retention, "forever", "retention", parseDurationMs) }),
      ...(retentionSize === undefined
        ? {}
        : { retentionBytes: unlessNone(retentionSize, "unlimited", "retentionSize", parseSizeBytes) }),
      ...(cleanup === undefined ? {} : { cleanup }),
      ...(durability === undefined ? {} : { durability }),
      ...(maxBatch === undefined ? {} : { batchBytesMax: parseSizeBytes(maxBatch, "maxBatch") }),
    };
    checkTopicSettings(settings);
    return settings;
  });
}

/** What is wrong with a setting is wrong with the definition. */
function inDefinition<T>(named: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const { message, hint = "See the reference of topics for its settings." } = MillraceError.from(cause);
    throw new MillraceError("DEFINITION_INVALID", `${named}: ${message}`, { hint, cause });
  }
}

function unlessNone(
  text: string,
  none: string,
  name: string,
  parse: (text: unknown, name: string) => number,
): number | null {
  return text === none ? null : parse(text, name);
}

function readLevel(named: string, level: string | undefined): CompatibilityLevel | null {
  if (level === undefined) return null;
  const found = compatibilityLevels.find((one) => one === String(level).toUpperCase());
  if (found) return found;
  throw new MillraceError("DEFINITION_INVALID", `${named} has the compatibility ${JSON.stringify(level)}`, {
    hint: `It is one of ${compatibilityLevels.map((one) => one.toLowerCase()).join(", ")}.`,
  });
}

function readUpcast(
  named: string,
  schema: TopicSchema | null,
  upcast: TopicOptions["upcast"] = {},
): TopicDefinition["upcast"] {
  const found = new Map<number, (value: unknown) => unknown>();
  for (const [version, translate] of Object.entries(upcast)) {
    if (!/^[1-9]\d{0,8}$/.test(version) || typeof translate !== "function") {
      throw new MillraceError("DEFINITION_INVALID", `${named} has an upcast of ${JSON.stringify(version)}`, {
        hint: "Write upcast: { 1: (old) => new }: a version of the topic's schema, and what makes the next one of it.",
      });
    }
    found.set(Number(version), translate as (value: unknown) => unknown);
  }
  if (found.size > 0 && !schema?.registered) {
    throw new MillraceError("DEFINITION_INVALID", `${named} has an upcast, and no schema whose versions are known`, {
      hint: "Give it a schema that can be printed as JSON Schema; for valibot that is toStandardJsonSchema(schema).",
    });
  }
  return found;
}

function readWatermark(
  named: string,
  schema: TopicSchema | null,
  { watermark, cleanup = "delete" }: Pick<TopicOptions, "watermark" | "cleanup">,
): WatermarkRule {
  if (typeof watermark !== "object" || watermark === null || typeof watermark.time !== "string") {
    throw new MillraceError("DEFINITION_INVALID", `${named} has a watermark that does not name a member`, {
      hint: 'Write watermark: { time: "at", lateness: "30s" }.',
    });
  }
  refuseUnknown(`the watermark of ${named}`, watermark, ["time", "lateness", "idle"]);
  if (cleanup !== "delete") {
    throw new MillraceError("DEFINITION_INVALID", `${named} has a watermark and is compacted`, {
      hint: "The last value of a key has no place among the others. Leave one of both out.",
    });
  }
  const { time, lateness = "0s", idle } = watermark;
  return Object.freeze({
    ...timeMember(named, schema, time),
    latenessMs: inDefinition(named, () => parseDurationMs(lateness, "lateness")),
    ...(idle === undefined ? {} : { idleMs: inDefinition(named, () => unlessNone(idle, "never", "idle", idleMs)) }),
  });
}

const idleMsMin = 1_000;

function idleMs(idle: unknown, name: string): number {
  const ms = parseDurationMs(idle, name);
  if (ms >= idleMsMin) return ms;
  throw new MillraceError("SETTING_INVALID", `${name} is ${JSON.stringify(idle)}`, {
    hint: 'It is a duration of 1s or more, such as "5m", or "never".',
  });
}

function timeMember(named: string, schema: TopicSchema | null, time: string): Pick<WatermarkRule, "member" | "form"> {
  const parsed = schema?.registered?.parsed ?? null;
  if (parsed === null) return { member: time, form: "date-time" };
  const members = schemaMembers(parsed);
  const member = members.find(({ name }) => name === time);
  const form = watermarkForms.find((one) => one === member?.form);
  if (member !== undefined && form !== undefined) return { member: member.jsonName, form };
  const moments = members.filter((one) => watermarkForms.some((other) => other === one.form)).map(({ name }) => name);
  throw new MillraceError(
    "DEFINITION_INVALID",
    `${named} has a watermark by ${JSON.stringify(time)}, which is no moment by its schema`,
    {
      hint:
        moments.length > 0
          ? `Moments are ${moments.join(", ")}.`
          : 'A moment is a string with format: "date-time", timestamp-millis or timestamp-micros of Avro, or google.protobuf.Timestamp.',
    },
  );
}

const watermarkForms = ["date-time", "epoch-ms", "epoch-us"] as const;

function keyReader(named: string, key: TopicOptions["key"]): (value: unknown) => string | null {
  if (key === undefined) return () => null;
  if (typeof key === "function") return key as (value: unknown) => string;
  if (typeof key === "string" && key !== "") {
    return (value) => {
      const member = (value as Readonly<Record<string, unknown>> | null)?.[key];
      if (member === undefined || member === null) return null;
      return typeof member === "string" ? member : JSON.stringify(member);
    };
  }
  throw new MillraceError("DEFINITION_INVALID", `${named} has a key that is neither a name nor a function`, {
    hint: 'Write key: "id", or key: (value) => value.id.',
  });
}
