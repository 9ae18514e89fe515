/**
 * Encoders, made once for a struct in one version, as decoders are.
 *
 * Always true: what was left out is written as its default, null in a version without null as the empty value, and a tagged
 * field that has its default not at all. A missing value without a default is a bug of the caller, and throws.
 */
import { invariant } from "../base/errors.ts";
import type { ArrayField, Field, StructField } from "./fields.ts";
import { type StructLayout, structLayout } from "./layout.ts";
import type { WireWriter } from "./wire-writer.ts";

export type Encoder = (writer: WireWriter, value: unknown) => void;
type Message = Readonly<Record<string, unknown>>;

export function structEncoder(struct: StructField, version: number, flexible: boolean): Encoder {
  const layout = structLayout(struct, version, flexible);
  const names = layout.fields.map(({ name }) => name);
  const defaults = layout.fields.map(({ field }) => (field.optional ? field.default : undefined));
  const encoders = layout.fields.map(({ field, nullable }) => fieldEncoder(field, nullable, version, flexible));
  const count = names.length;
  const writeTagged = flexible ? taggedEncoder(layout) : null;
  return (writer, value) => {
    const message = value as Message;
    for (let index = 0; index < count; index++) {
      const given = message[names[index] as string];
      const written = given === undefined ? defaults[index] : given;
      if (written === undefined) invariant(false, `${names[index]} is missing`);
      (encoders[index] as Encoder)(writer, written);
    }
    if (writeTagged !== null) writeTagged(writer, message);
  };
}

function taggedEncoder({ tagged, version }: StructLayout): (writer: WireWriter, message: Message) => void {
  if (tagged.length === 0) return (writer) => writer.unsignedVarint(0);
  const entries = tagged.map(({ tag, name, field, nullable }) => {
    return { tag, name, field, encode: fieldEncoder(field, nullable, version, true) };
  });
  return (writer, message) => {
    let given = 0;
    for (const { name, field } of entries) if (!hasDefault(field, message[name])) given++;
    writer.unsignedVarint(given);
    if (given === 0) return;
    for (const { tag, name, field, encode } of entries) {
      if (hasDefault(field, message[name])) continue;
      writer.unsignedVarint(tag);
      const start = writer.beginSized();
      encode(writer, message[name]);
      writer.endSized(start);
    }
  };
}

/** Whether nothing has to be written of a tagged field. */
function hasDefault(field: Field, value: unknown): boolean {
  if (value === undefined || value === field.default) return true;
  if (value === null || field.default === null) return false;
  if (field.kind === "array") return (value as readonly unknown[]).length === 0;
  if (field.kind === "bytes" || field.kind === "records") return (value as Uint8Array).length === 0;
  if (field.kind !== "struct") return false;
  return Object.entries(field.fields).every(([name, part]) => hasDefault(part, (value as Message)[name]));
}

function fieldEncoder(field: Field, nullable: boolean, version: number, flexible: boolean): Encoder {
  switch (field.kind) {
    case "bool":
      return (writer, value) => writer.bool(value as boolean);
    case "int8":
      return (writer, value) => writer.int8(value as number);
    case "int16":
      return (writer, value) => writer.int16(value as number);
    case "int32":
      return (writer, value) => writer.int32(value as number);
    case "int64":
      return (writer, value) => writer.int64(value as number);
    case "uint16":
      return (writer, value) => writer.uint16(value as number);
    case "uint32":
      return (writer, value) => writer.uint32(value as number);
    case "float64":
      return (writer, value) => writer.float64(value as number);
    case "uuid":
      return (writer, value) => writer.uuid(value as string);
    case "string":
      return textEncoder(nullable, flexible);
    case "bytes":
      return bytesEncoder(nullable, flexible);
    case "records":
      return recordsEncoder(nullable, flexible);
    case "array":
      return arrayEncoder(field, nullable, version, flexible);
    case "struct":
      return nullable ? nullableStructEncoder(field, version, flexible) : structEncoder(field, version, flexible);
  }
}

function textEncoder(nullable: boolean, flexible: boolean): Encoder {
  return (writer, value) => {
    if (value !== null) writer.text(value as string, flexible);
    else if (!nullable) writer.text("", flexible);
    else if (flexible) writer.unsignedVarint(0);
    else writer.int16(-1);
  };
}

function bytesEncoder(nullable: boolean, flexible: boolean): Encoder {
  return (writer, value) => {
    if (value === null) return writeLength(writer, nullable ? -1 : 0, flexible);
    writeLength(writer, (value as Uint8Array).length, flexible);
    writer.copy(value as Uint8Array);
  };
}

function recordsEncoder(nullable: boolean, flexible: boolean): Encoder {
  return (writer, value) => {
    if (value === null) return writeLength(writer, nullable ? -1 : 0, flexible);
    const given = value as Buffer | readonly Buffer[];
    let byteCount = 0;
    if (Buffer.isBuffer(given)) byteCount = given.length;
    else for (const buffer of given) byteCount += buffer.length;
    writeLength(writer, byteCount, flexible);
    writer.cut(given, byteCount);
  };
}

function arrayEncoder({ element }: ArrayField, nullable: boolean, version: number, flexible: boolean): Encoder {
  const encode = fieldEncoder(element, version >= element.nullableFrom, version, flexible);
  return (writer, value) => {
    if (value === null) return writeLength(writer, nullable ? -1 : 0, flexible);
    const elements = value as readonly unknown[];
    writeLength(writer, elements.length, flexible);
    for (let index = 0; index < elements.length; index++) encode(writer, elements[index]);
  };
}

function nullableStructEncoder(field: StructField, version: number, flexible: boolean): Encoder {
  const encode = structEncoder(field, version, flexible);
  return (writer, value) => {
    writer.int8(value === null ? -1 : 1);
    if (value !== null) encode(writer, value);
  };
}

/** -1 is null. */
function writeLength(writer: WireWriter, length: number, flexible: boolean): void {
  if (flexible) writer.unsignedVarint(length + 1);
  else writer.int32(length);
}
