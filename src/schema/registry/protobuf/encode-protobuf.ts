/** JSON to Protobuf's binary form, field by field; well-known types are written as the messages that they are. */
import { ProtoFault, wireType } from "./proto-bytes.ts";
import type { ProtoField, ProtoMessage, ScalarKind } from "./proto-file.ts";
import { scalarWire } from "./protobuf-scalars.ts";

/** Members by their JSON names or their own. Throws `ProtoFault` for a value that is not of its field's type. */
export function encodeProtobuf(message: ProtoMessage, value: Readonly<Record<string, unknown>>): Buffer {
  const parts: Buffer[] = [];
  for (const field of message.fields) {
    const name = Object.hasOwn(value, field.jsonName) ? field.jsonName : field.name;
    if (!Object.hasOwn(value, name)) continue;
    const member = value[name];
    if (member === null || member === undefined) continue;
    if (field.map !== null) {
      for (const [key, one] of Object.entries(member as object)) parts.push(...entry(field, field.map, key, one));
    } else if (field.label === "repeated") {
      if (!Array.isArray(member)) throw new ProtoFault(`the field "${field.name}" is no array`);
      for (const one of member) parts.push(...fieldBytes(field, one));
    } else parts.push(...fieldBytes(field, member));
  }
  return Buffer.concat(parts);
}

type MapParts = { readonly key: ProtoField; readonly value: ProtoField };

function entry(field: ProtoField, map: MapParts, key: string, value: unknown): Buffer[] {
  const known = map.key.type.kind === "scalar" && map.key.type.scalar === "bool" ? key === "true" : key;
  const body = Buffer.concat([...fieldBytes(map.key, known), ...fieldBytes(map.value, value)]);
  return [varint(BigInt(field.number * 8 + wireType.bytes)), varint(BigInt(body.length)), body];
}

function fieldBytes(field: ProtoField, value: unknown): Buffer[] {
  const tag = (wire: number): Buffer => varint(BigInt(field.number) * 8n + BigInt(wire));
  if (field.type.kind === "message") {
    const body = encodeProtobuf(field.type.message, value as Readonly<Record<string, unknown>>);
    if (field.group) return [tag(wireType.groupBegin), body, tag(wireType.groupEnd)];
    return [tag(wireType.bytes), varint(BigInt(body.length)), body];
  }
  if (field.type.kind === "enum") {
    const known = field.type.enum.values.find(({ name }) => name === value);
    const number = typeof value === "number" ? value : known?.number;
    if (number === undefined) throw new ProtoFault(`"${field.type.enum.fullName}" has no value ${String(value)}`);
    return [tag(wireType.varint), varint(BigInt.asUintN(64, BigInt(number)))];
  }
  return [tag(scalarWire(field.type.scalar)), scalarBytes(field.type.scalar, value)];
}

function scalarBytes(kind: ScalarKind, value: unknown): Buffer {
  const fixed = Buffer.alloc(scalarWire(kind) === wireType.fixed32 ? 4 : 8);
  switch (kind) {
    case "double":
      fixed.writeDoubleLE(Number(value));
      return fixed;
    case "float":
      fixed.writeFloatLE(Number(value));
      return fixed;
    case "fixed32":
      fixed.writeUInt32LE(Number(value));
      return fixed;
    case "sfixed32":
      fixed.writeInt32LE(Number(value));
      return fixed;
    case "fixed64":
      fixed.writeBigUInt64LE(BigInt(value as string));
      return fixed;
    case "sfixed64":
      fixed.writeBigInt64LE(BigInt(value as string));
      return fixed;
    case "bool":
      return varint(value === true ? 1n : 0n);
    case "string":
    case "bytes": {
      const bytes = Buffer.from(String(value), kind === "string" ? "utf8" : "base64");
      return Buffer.concat([varint(BigInt(bytes.length)), bytes]);
    }
    case "sint32":
    case "sint64": {
      const signed = BigInt(value as string);
      return varint(BigInt.asUintN(64, (signed << 1n) ^ (signed >> 63n)));
    }
    default:
      return varint(BigInt.asUintN(64, BigInt(value as string)));
  }
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let left = value;
  for (; left > 0x7fn; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80);
  bytes.push(Number(left));
  return Buffer.from(bytes);
}
