/**
 * JSON to Avro's binary form. Unions take Avro's own JSON (`{"string": "x"}`) or a plain value, which goes to the first
 * branch that takes it.
 */
import type { JsonToken } from "../../json-token.ts";
import { AvroFault, AvroOutput } from "./avro-bytes.ts";
import { type AvroRecord, type AvroType, type AvroUnion, branchName } from "./avro-type.ts";
import type { UnionForm } from "./decode-avro.ts";

/** Throws `AvroFault` where the value is not of the type. */
export function encodeAvro(type: AvroType, token: JsonToken, options: { readonly unions: UnionForm }): Buffer {
  const out = new AvroOutput();
  writeAvro(out, type, token, options.unions);
  return out.finish();
}

export function writeAvro(out: AvroOutput, type: AvroType, token: JsonToken, unions: UnionForm): void {
  switch (type.kind) {
    case "null":
      if (token.kind !== "null") refuse(type, token);
      return;
    case "boolean":
      if (token.kind !== "boolean") refuse(type, token);
      out.byte(token.value ? 1 : 0);
      return;
    case "int":
    case "long":
      out.long(integerText(type, type.kind, token));
      return;
    case "float":
      out.float(numberOf(type, token));
      return;
    case "double":
      out.double(numberOf(type, token));
      return;
    case "string":
      if (token.kind !== "string") refuse(type, token);
      out.bytes(Buffer.from(token.value, "utf8"));
      return;
    case "bytes":
      out.bytes(binary(type, token));
      return;
    case "fixed": {
      const bytes = binary(type, token);
      if (bytes.length !== type.size) refuse(type, token);
      out.raw(bytes);
      return;
    }
    case "enum": {
      const index = token.kind === "string" ? type.symbols.indexOf(token.value) : -1;
      if (index < 0) refuse(type, token);
      out.long(index);
      return;
    }
    case "array":
      if (token.kind !== "array") refuse(type, token);
      if (token.items.length > 0) {
        out.long(token.items.length);
        for (const item of token.items) writeAvro(out, type.items, item, unions);
      }
      out.byte(0);
      return;
    case "map":
      if (token.kind !== "object") refuse(type, token);
      if (token.members.size > 0) {
        out.long(token.members.size);
        for (const [name, value] of token.members) {
          out.bytes(Buffer.from(name, "utf8"));
          writeAvro(out, type.values, value, unions);
        }
      }
      out.byte(0);
      return;
    case "union":
      writeUnion(out, type, token, unions);
      return;
    default:
      writeRecord(out, type, token, unions);
  }
}

/** Members that the record does not have are refused; fields that the value lacks take their default. */
function writeRecord(out: AvroOutput, type: AvroRecord, token: JsonToken, unions: UnionForm): void {
  if (token.kind !== "object") refuse(type, token);
  const { members } = token;
  let used = 0;
  for (const field of type.fields) {
    const value = members.get(field.name);
    if (value !== undefined) {
      used++;
      writeAvro(out, field.type, value, unions);
    } else if (field.default !== undefined) writeAvro(out, field.type, field.default, "plain");
    else throw new AvroFault(`the field "${field.name}" of "${type.name}" is missing`);
  }
  if (used === members.size) return;
  const names = new Set(type.fields.map((field) => field.name));
  throw new AvroFault(`"${type.name}" has no field "${[...members.keys()].find((name) => !names.has(name))}"`);
}

function writeUnion(out: AvroOutput, type: AvroUnion, token: JsonToken, unions: UnionForm): void {
  const index = type.branches.findIndex((branch) =>
    unions === "plain" || token.kind === "null" ? takes(branch, token) : isTaggedAs(branch, token),
  );
  const branch = type.branches[index];
  if (branch === undefined) throw new AvroFault(`the union has no branch for this ${token.kind}`);
  out.long(index);
  const value = unions === "plain" || token.kind !== "object" ? token : token.members.get(branchName(branch));
  if (value !== undefined) writeAvro(out, branch, value, unions);
}

function isTaggedAs(branch: AvroType, token: JsonToken): boolean {
  return token.kind === "object" && token.members.size === 1 && token.members.has(branchName(branch));
}

/** Whether a plain value goes to the branch. Containers are told apart by their kind, not by what is in them. */
function takes(branch: AvroType, token: JsonToken): boolean {
  switch (branch.kind) {
    case "null":
    case "boolean":
    case "array":
      return token.kind === branch.kind;
    case "map":
      return token.kind === "object";
    case "record":
      return (
        token.kind === "object" && [...token.members.keys()].every((name) => branch.fields.some((f) => f.name === name))
      );
    case "int":
    case "long":
      return isIntegerOf(branch.kind, token);
    case "float":
    case "double":
      return token.kind === "number" || (token.kind === "string" && specialFloats.has(token.value));
    case "string":
      return token.kind === "string";
    case "bytes":
      return token.kind === "string" && isBinary(token.value);
    case "fixed":
      return token.kind === "string" && token.value.length === branch.size && isBinary(token.value);
    case "enum":
      return token.kind === "string" && branch.symbols.includes(token.value);
    default:
      return false;
  }
}

const specialFloats: ReadonlySet<string> = new Set(["NaN", "Infinity", "-Infinity"]);

function isIntegerOf(kind: "int" | "long", token: JsonToken): boolean {
  if (token.kind !== "number" || !/^-?\d{1,19}$/.test(token.text)) return false;
  const value = BigInt(token.text);
  return BigInt.asIntN(kind === "int" ? 32 : 64, value) === value;
}

function integerText(type: AvroType, kind: "int" | "long", token: JsonToken): string {
  if (token.kind !== "number" || !isIntegerOf(kind, token)) refuse(type, token);
  return token.text;
}

function numberOf(type: AvroType, token: JsonToken): number {
  if (token.kind === "number") return Number(token.text);
  if (token.kind === "string" && specialFloats.has(token.value)) return Number(token.value);
  return refuse(type, token);
}

function isBinary(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0xff) return false;
  return true;
}

function binary(type: AvroType, token: JsonToken): Buffer {
  if (token.kind !== "string" || !isBinary(token.value)) return refuse(type, token);
  return Buffer.from(token.value, "latin1");
}

function refuse(type: AvroType, token: JsonToken): never {
  throw new AvroFault(`a JSON ${token.kind} is no value of the type ${branchName(type)}`);
}
