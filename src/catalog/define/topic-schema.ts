/**
 * The schema of a topic, in any of the forms that a definition takes: a Standard Schema, a JSON Schema, `{ avro }` or
 * `{ protobuf }`. It is read where it is defined, so that what is wrong with it is said there.
 */
import { isUtf8 } from "node:buffer";
import { MillraceError } from "../../base/errors.ts";
import { parseSchema } from "../../schema/registry/parse-schema.ts";
import type { ParsedSchema, PayloadProblem, SchemaType } from "../../schema/registry/parsed-schema.ts";
import { validatePayload } from "../../schema/registry/payload.ts";
import { readWire } from "../../schema/registry/wire.ts";
import {
  isAsynchronous,
  isStandardSchema,
  jsonSchemaOf,
  type StandardSchema,
  validateStandard,
} from "./standard-schema.ts";

/** Another subject's schema that this one is built on. */
export interface ReferenceInput {
  readonly name: string;
  readonly subject: string;
  /** -1 is the newest. */
  readonly version: number;
}

export interface AvroInput {
  /** As text, or the object that it is. */
  readonly avro: string | object;
  readonly references?: readonly ReferenceInput[];
}

export interface ProtobufInput {
  /** The text of a `.proto` file; its first message is the value's. */
  readonly protobuf: string;
  readonly references?: readonly ReferenceInput[];
}

export type JsonSchemaInput = { readonly [keyword: string]: unknown };
export type SchemaInput = StandardSchema | AvroInput | ProtobufInput | JsonSchemaInput;

export interface RegisteredForm {
  readonly type: SchemaType;
  readonly text: string;
  readonly references: readonly ReferenceInput[];
  /** Null where it is built on what only the registry knows. */
  readonly parsed: ParsedSchema | null;
}

export interface TopicSchema {
  /** What the library's own function decides; null where the registered form does. */
  readonly standard: StandardSchema | null;
  /** What is registered; null where the library cannot print what it validates. */
  readonly registered: RegisteredForm | null;
}

/** Throws `DEFINITION_INVALID`, and `SCHEMA_INVALID` naming the place. */
export function readSchema(topic: string, input: unknown): TopicSchema {
  if (isStandardSchema(input)) return standardForm(topic, input);
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    throw new MillraceError("DEFINITION_INVALID", `the schema of topic "${topic}" is ${typeOf(input)}`, {
      hint: "It is a Standard Schema (zod, valibot, arktype), a JSON Schema, { avro: … } or { protobuf: … }.",
    });
  }
  const { avro, protobuf, references, ...rest } = input as Partial<AvroInput & ProtobufInput>;
  const isOther = Object.keys(rest).length > 0;
  if (avro !== undefined && !isOther) {
    return { standard: null, registered: checked(topic, "AVRO", textOf(avro), references) };
  }
  if (protobuf !== undefined && !isOther) {
    return { standard: null, registered: checked(topic, "PROTOBUF", String(protobuf), references) };
  }
  return { standard: null, registered: checked(topic, "JSON", JSON.stringify(input), undefined) };
}

function standardForm(topic: string, standard: StandardSchema): TopicSchema {
  if (isAsynchronous(standard)) {
    throw new MillraceError("DEFINITION_INVALID", `the schema of topic "${topic}" validates with promises`, {
      hint: "Doors do not wait for a schema: take the asynchronous checks out of it.",
    });
  }
  const json = jsonSchemaOf(standard);
  return { standard, registered: json ? checked(topic, "JSON", JSON.stringify(json), undefined) : null };
}

function checked(
  topic: string,
  type: SchemaType,
  text: string,
  references: readonly ReferenceInput[] = [],
): RegisteredForm {
  // What it is built on is in the registry, which is asked at the start.
  if (references.length > 0) return { type, text, references: Object.freeze([...references]), parsed: null };
  try {
    return { type, text, references: [], parsed: parseSchema(type, text) };
  } catch (cause) {
    const { code, message, hint } = MillraceError.from(cause);
    if (code === "INTERNAL_ERROR") throw cause;
    throw new MillraceError(code, `the schema of topic "${topic}": ${message}`, {
      cause,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

/** What keeps a value from being published, as far as it can be seen without the registry. */
export function problemsOf({ standard, registered }: TopicSchema, value: unknown): readonly PayloadProblem[] {
  if (registered && registered.type !== "JSON") {
    if (value instanceof Uint8Array && readWire(Buffer.from(value.buffer, value.byteOffset, value.length))) return [];
    return [{ path: "", message: "the value is not in the wire format: the byte 0, the schema's id, and the payload" }];
  }
  // What a reader gets is the JSON of it, so that this is what has to fit.
  const text = jsonTextOf(value);
  if (text === undefined) return [{ path: "", message: "the value cannot be written as JSON" }];
  if (standard) {
    const validated = validateStandard(standard, JSON.parse(text));
    return validated.ok ? [] : validated.problems;
  }
  return registered?.parsed ? validatePayload(registered.parsed, Buffer.from(text)) : [];
}

/** The same for a key. */
export function keyProblemsOf(schema: TopicSchema, key: string | Uint8Array | null): readonly PayloadProblem[] {
  if (key === null) return noKey;
  const bytes = Buffer.from(key as Uint8Array);
  if (schema.registered && schema.registered.type !== "JSON") return problemsOf(schema, bytes);
  return fittingKey(bytes, (json) => problemsOf(schema, JSON.parse(json)));
}

export const noKey: readonly PayloadProblem[] = [
  { path: "", message: "there is no key, and the topic's keys have a schema" },
];

/**
 * A key without an id is JSON, or the text that it is: it fits where either does. Answers what is wrong with it as JSON
 * where it is an object or an array, else with it as a text.
 */
export function fittingKey(
  key: Buffer,
  problems: (json: string) => readonly PayloadProblem[],
): readonly PayloadProblem[] {
  if (!isUtf8(key)) return [{ path: "", message: "the key is not UTF-8" }];
  const text = key.toString();
  const asText = problems(JSON.stringify(text));
  if (asText.length === 0) return [];
  try {
    JSON.parse(text);
  } catch {
    return asText;
  }
  const asJson = problems(text);
  return asJson.length === 0 || /^[[{]/.test(text) ? asJson : asText;
}

function jsonTextOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

function textOf(schema: string | object): string {
  return typeof schema === "string" ? schema : JSON.stringify(schema);
}

function typeOf(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "an array" : `a ${typeof value}`;
}
