/** Protobuf's scalar types: how each lies in a payload, and how JSON prints it (64-bit numbers are strings). */
import { ProtoFault, type ProtoInput, wireType } from "./proto-bytes.ts";
import type { ScalarKind } from "./proto-file.ts";

export function scalarWire(kind: ScalarKind): number {
  switch (kind) {
    case "double":
    case "fixed64":
    case "sfixed64":
      return wireType.fixed64;
    case "float":
    case "fixed32":
    case "sfixed32":
      return wireType.fixed32;
    case "string":
    case "bytes":
      return wireType.bytes;
    default:
      return wireType.varint;
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reads one value. Throws `ProtoFault`. */
export function scalarJson(kind: ScalarKind, input: ProtoInput): string {
  switch (kind) {
    case "double":
      return doubleJson(input.take(8).readDoubleLE());
    case "float":
      return floatJson(input.take(4).readFloatLE());
    case "int32":
      return String(BigInt.asIntN(32, input.varint()));
    case "uint32":
      return String(BigInt.asUintN(32, input.varint()));
    case "sint32":
      return String(BigInt.asIntN(32, zigzag(BigInt.asUintN(32, input.varint()))));
    case "int64":
      return `"${BigInt.asIntN(64, input.varint())}"`;
    case "uint64":
      return `"${input.varint()}"`;
    case "sint64":
      return `"${zigzag(input.varint())}"`;
    case "fixed32":
      return String(input.take(4).readUInt32LE());
    case "sfixed32":
      return String(input.take(4).readInt32LE());
    case "fixed64":
      return `"${input.take(8).readBigUInt64LE()}"`;
    case "sfixed64":
      return `"${input.take(8).readBigInt64LE()}"`;
    case "bool":
      return input.varint() === 0n ? "false" : "true";
    case "bytes":
      return JSON.stringify(input.block().toString("base64"));
    default:
      return stringJson(input.block());
  }
}

function stringJson(bytes: Buffer): string {
  try {
    return JSON.stringify(utf8.decode(bytes));
  } catch {
    throw new ProtoFault("a string is not UTF-8");
  }
}

function zigzag(value: bigint): bigint {
  return (value >> 1n) ^ -(value & 1n);
}

function doubleJson(value: number): string {
  if (!Number.isFinite(value)) return JSON.stringify(String(value));
  return Object.is(value, -0) ? "-0" : String(value);
}

/** The shortest digits that are this float again. */
function floatJson(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return doubleJson(short);
  }
  return doubleJson(value);
}
