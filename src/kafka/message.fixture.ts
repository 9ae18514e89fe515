/** Messages of a specification: as fast-check makes them, one with everything in it, and one with nothing. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { structDecoder } from "./decode.ts";
import { structEncoder } from "./encode.ts";
import { type Api, type Field, int64Max, type StructField, zeroUuid } from "./fields.ts";
import { WireReader } from "./wire-reader.ts";
import { WireWriter } from "./wire-writer.ts";

export interface Form {
  readonly version?: number;
  readonly flexible?: boolean;
}

/** Without a header. */
export function encodeMessage(
  message: StructField,
  value: unknown,
  { version = 0, flexible = false }: Form = {},
): Buffer {
  const writer = new WireWriter();
  structEncoder(message, version, flexible)(writer, value);
  return Buffer.concat(writer.finish());
}

/** Fails when bytes are left behind the message. */
export function decodeMessage(
  message: StructField,
  from: Buffer,
  { version = 0, flexible = false }: Form = {},
): Message {
  const reader = new WireReader(from, 0, "a message");
  const decoded = structDecoder(message, version, flexible)(reader) as Message;
  assert.equal(reader.position, from.length, "bytes are left");
  return decoded;
}

export type Message = Readonly<Record<string, unknown>>;

/** Every version of every API. */
export function everyVersion(apis: readonly Api[]): { api: Api; version: number; flexible: boolean; name: string }[] {
  return apis.flatMap((api) => {
    const [lowest, highest] = api.versions;
    return Array.from({ length: highest - lowest + 1 }, (_, index) => {
      const version = lowest + index;
      const flexible = api.flexibleFrom !== null && version >= api.flexibleFrom;
      return { api, version, flexible, name: `${api.name} v${version}` };
    });
  });
}

/** Fields that the version does not have are left out, and some of those that may be. */
export function messages(struct: StructField, version: number): fc.Arbitrary<Message> {
  const present = presentFields(struct, version);
  const arbitraries = Object.fromEntries(present.map(([name, field]) => [name, values(field, version)]));
  const requiredKeys = present.filter(([, { optional }]) => !optional).map(([name]) => name);
  return fc.record(arbitraries, { requiredKeys });
}

/** One element in every array, nothing null, numbers that differ from each other and from their defaults. */
export function fullMessage(struct: StructField, version: number): Message {
  let last = 1;
  const full = (field: Field): unknown => {
    last++;
    switch (field.kind) {
      case "bool":
        return field.default !== true;
      case "string":
        return `text ${last}`;
      case "uuid":
        return `00000000-0000-4000-8000-${String(last).padStart(12, "0")}`;
      case "bytes":
      case "records":
        return Buffer.from(`bytes ${last}`);
      case "array":
        return [full(field.element)];
      case "struct":
        return Object.fromEntries(presentFields(field, version).map(([name, part]) => [name, full(part)]));
      default:
        return last;
    }
  };
  return full(struct) as Message;
}

/** What cannot be left out is null, else empty or zero. */
export function emptyMessage(struct: StructField, version: number): Message {
  const required = presentFields(struct, version).filter(([, { optional }]) => !optional);
  return Object.fromEntries(required.map(([name, field]) => [name, field.default]));
}

/** What decoding has to answer for a message: defaults for what is not there, text as UTF-8 can say it. */
export function decodedForm(field: Field, version: number, value: unknown): unknown {
  if (value === null) return version >= field.from && version < field.nullableFrom ? emptyOf(field) : null;
  if (field.kind === "string") return (value as string).toWellFormed();
  if (field.kind === "records" && !Buffer.isBuffer(value)) return Buffer.concat(value as Buffer[]);
  if (field.kind === "array") return (value as unknown[]).map((each) => decodedForm(field.element, version, each));
  if (field.kind !== "struct") return value;
  return Object.fromEntries(
    Object.entries(field.fields).map(([name, part]) => {
      const given = (value as Message)[name];
      if (given === undefined && part.default !== null) return [name, part.default];
      return [name, decodedForm(part, version, given ?? null)];
    }),
  );
}

function emptyOf(field: Field): unknown {
  if (field.kind === "string") return "";
  return field.kind === "array" ? [] : Buffer.alloc(0);
}

function presentFields({ fields }: StructField, version: number): [string, Field][] {
  return Object.entries(fields).filter(([, { from, to }]) => version >= from && version <= to);
}

function values(field: Field, version: number): fc.Arbitrary<unknown> {
  const some = presentValues(field, version);
  return version >= field.nullableFrom ? fc.option(some, { freq: 4 }) : some;
}

function presentValues(field: Field, version: number): fc.Arbitrary<unknown> {
  switch (field.kind) {
    case "bool":
      return fc.boolean();
    case "int8":
      return fc.integer({ min: -0x80, max: 0x7f });
    case "int16":
      return fc.integer({ min: -0x8000, max: 0x7fff });
    case "int32":
      return fc.integer();
    case "int64":
      return fc.oneof(fc.maxSafeInteger(), fc.constantFrom(-int64Max, int64Max, 2 ** 53, -1, 0));
    case "uint16":
      return fc.nat({ max: 0xffff });
    case "uint32":
      return fc.nat({ max: 0xffffffff });
    case "float64":
      return fc.double({ noNaN: true });
    case "string":
      return fc.oneof(fc.string({ maxLength: 40 }), fc.string({ unit: "binary", maxLength: 40 }));
    case "uuid":
      return fc.oneof(fc.uuid(), fc.constant(zeroUuid));
    case "bytes":
      return buffers(200);
    case "records":
      return fc.oneof(buffers(400), fc.array(buffers(100), { maxLength: 3 }));
    case "array":
      return fc.array(values(field.element, version), { maxLength: 3 });
    case "struct":
      return messages(field, version);
  }
}

function buffers(maxLength: number): fc.Arbitrary<Buffer> {
  return fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes));
}
