/**
 * Decoders, made once for a struct in one version: each is a closure that knows its type, so that a message is read
 * without looking at its specification again.
 *
 * Always true: the properties of a decoded struct are those of its specification, in its order, in every version.
 * Depth is bounded by the specification, which has no recursion. Tagged fields that it does not know are skipped.
 */
import type { ArrayField, Field, StructField } from "./fields.ts";
import { leastBytes, type StructLayout, structLayout } from "./layout.ts";
import type { WireReader } from "./wire-reader.ts";

export type Decoder = (reader: WireReader) => unknown;
type Message = Record<string, unknown>;

/** Arrays grow past this as elements are read, so that a count costs no memory before they are there. */
const preparedElementsMax = 1024;
const noElements: readonly unknown[] = Object.freeze([]);

/** Throws REQUEST_MALFORMED when run on bytes that are not the message. Bytes after it are left alone. */
export function structDecoder(struct: StructField, version: number, flexible: boolean): Decoder {
  const layout = structLayout(struct, version, flexible);
  const defaults = fieldDefaults(struct);
  const names = layout.fields.map(({ name }) => name);
  const decoders = layout.fields.map(({ field, nullable }) => fieldDecoder(field, nullable, version, flexible));
  const count = names.length;
  const readTagged = flexible ? taggedDecoder(layout) : null;
  return (reader) => {
    const message = { ...defaults };
    for (let index = 0; index < count; index++) message[names[index] as string] = (decoders[index] as Decoder)(reader);
    if (readTagged !== null) readTagged(reader, message);
    return message;
  };
}

/** The default of a nullable struct is null, so its fields are asked. */
function fieldDefaults({ fields }: StructField): Message {
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.default]));
}

/** A known field has to fill the size that its tag announces. */
function taggedDecoder({ tagged, version }: StructLayout): (reader: WireReader, message: Message) => void {
  const known = new Map(
    tagged.map(({ tag, name, field, nullable }) => [
      tag,
      { name, decode: fieldDecoder(field, nullable, version, true) },
    ]),
  );
  return (reader, message) => {
    const count = reader.unsignedVarint();
    for (let read = 0; read < count; read++) {
      const entry = known.get(reader.unsignedVarint());
      const size = reader.unsignedVarint();
      const start = reader.position;
      if (entry === undefined) reader.skip(size);
      else {
        message[entry.name] = entry.decode(reader);
        if (reader.position - start !== size) throw reader.malformed(`the tagged field ${entry.name} has another size`);
      }
    }
  };
}

function fieldDecoder(field: Field, nullable: boolean, version: number, flexible: boolean): Decoder {
  switch (field.kind) {
    case "bool":
      return (reader) => reader.bool();
    case "int8":
      return (reader) => reader.int8();
    case "int16":
      return (reader) => reader.int16();
    case "int32":
      return (reader) => reader.int32();
    case "int64":
      return (reader) => reader.int64();
    case "uint16":
      return (reader) => reader.uint16();
    case "uint32":
      return (reader) => reader.uint32();
    case "float64":
      return (reader) => reader.float64();
    case "uuid":
      return (reader) => reader.uuid();
    case "string":
      return textDecoder(nullable, flexible);
    case "bytes":
    case "records":
      return viewDecoder(nullable, flexible);
    case "array":
      return arrayDecoder(field, nullable, version, flexible);
    case "struct":
      return nullable ? nullableStructDecoder(field, version, flexible) : structDecoder(field, version, flexible);
  }
}

function textDecoder(nullable: boolean, flexible: boolean): Decoder {
  return (reader) => {
    const byteCount = flexible ? reader.unsignedVarint() - 1 : reader.int16();
    if (byteCount >= 0) return reader.text(byteCount);
    return nullable ? null : refuseNull(reader);
  };
}

function viewDecoder(nullable: boolean, flexible: boolean): Decoder {
  return (reader) => {
    const byteCount = flexible ? reader.unsignedVarint() - 1 : reader.int32();
    if (byteCount >= 0) return reader.view(byteCount);
    return nullable ? null : refuseNull(reader);
  };
}

function arrayDecoder({ element }: ArrayField, nullable: boolean, version: number, flexible: boolean): Decoder {
  const decode = fieldDecoder(element, version >= element.nullableFrom, version, flexible);
  const elementBytes = Math.max(1, leastBytes(element, version >= element.nullableFrom, version, flexible));
  return (reader) => {
    const announced = flexible ? reader.unsignedVarint() - 1 : reader.int32();
    if (announced < 0) return nullable ? null : refuseNull(reader);
    if (announced === 0) return noElements;
    const count = reader.count(announced, elementBytes);
    const prepared = Math.min(count, preparedElementsMax);
    const elements: unknown[] = new Array(prepared);
    for (let index = 0; index < prepared; index++) elements[index] = decode(reader);
    for (let index = prepared; index < count; index++) elements.push(decode(reader));
    return elements;
  };
}

function nullableStructDecoder(field: StructField, version: number, flexible: boolean): Decoder {
  const decode = structDecoder(field, version, flexible);
  return (reader) => (reader.int8() < 0 ? null : decode(reader));
}

function refuseNull(reader: WireReader): never {
  throw reader.malformed("null stands where there must be a value");
}
