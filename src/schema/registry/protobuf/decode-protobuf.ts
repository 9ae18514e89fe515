/**
 * Protobuf's binary form to its JSON (the mapping of proto3, well-known types among it). Fields that have no presence
 * are always printed, so that a default and an absent field look the same, as they are.
 *
 * Always true: work and depth are bounded whatever the bytes say. A value of another wire type than its field's is a
 * problem: Protobuf's own readers pass over it, which would let any bytes be any message.
 */
import { pointerOf } from "../json-text.ts";
import type { DecodedPayload, PayloadProblem } from "../parsed-schema.ts";
import { payloadBudget, type WorkBudget, WorkExceeded } from "../schema-limits.ts";
import { ProtoFault, ProtoInput, wireType } from "./proto-bytes.ts";
import type { ProtobufModel, ProtoEnum, ProtoField, ProtoMessage } from "./proto-file.ts";
import { isMessage } from "./proto-file.ts";
import { scalarJson, scalarWire } from "./protobuf-scalars.ts";
import { wellKnownJson } from "./well-known-json.ts";

/** As Protobuf's own readers have it. */
const messageDepthMax = 100;

export function decodeProtobuf(model: ProtobufModel, message: ProtoMessage, bytes: Buffer): DecodedPayload {
  const decoder = new ProtobufDecoder(model, payloadBudget(bytes.length));
  const problem = (path: string, text: string): { ok: false; problems: readonly PayloadProblem[] } => ({
    ok: false,
    problems: [{ path, message: text }],
  });
  try {
    return { ok: true, json: decoder.message(message, bytes) };
  } catch (cause) {
    if (cause instanceof ProtoFault) return problem(pointerOf(decoder.path), cause.message);
    if (cause instanceof WorkExceeded) return problem("", "reading the message takes more work than is granted");
    throw cause;
  }
}

/** What was read of one field: chunks of a message that came in parts, or JSON texts. */
interface Read {
  chunks: Buffer[];
  texts: string[];
}

class ProtobufDecoder {
  /** Where reading is. */
  readonly path: (string | number)[] = [];
  readonly #model: ProtobufModel;
  readonly #budget: WorkBudget;
  #depth = 0;

  constructor(model: ProtobufModel, budget: WorkBudget) {
    this.#model = model;
    this.#budget = budget;
  }

  /** JSON text of a message. */
  message(message: ProtoMessage, bytes: Buffer): string {
    if (++this.#depth > messageDepthMax) throw new ProtoFault(`messages are nested deeper than ${messageDepthMax}`);
    const members = this.#members(message, this.#read(message, bytes));
    const special = wellKnownJson(message.fullName, members, (url, value) => this.#any(url, value));
    this.#depth--;
    return special ?? `{${[...members].map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(",")}}`;
  }

  #read(message: ProtoMessage, bytes: Buffer): Map<ProtoField, Read> {
    const input = new ProtoInput(bytes);
    const found = new Map<ProtoField, Read>();
    while (input.left > 0) {
      this.#budget.spend(1);
      const { number, wire } = input.tag();
      const field = message.byNumber.get(number);
      if (field === undefined) {
        if (wire === wireType.groupBegin) input.group(number, messageDepthMax);
        else input.skip(wire);
        continue;
      }
      this.path.push(field.jsonName);
      this.#value(message, field, wire, input, found);
      this.path.pop();
    }
    return found;
  }

  #value(
    message: ProtoMessage,
    field: ProtoField,
    wire: number,
    input: ProtoInput,
    found: Map<ProtoField, Read>,
  ): void {
    let read = found.get(field);
    if (read === undefined || (field.label !== "repeated" && field.map === null && field.type.kind !== "message")) {
      read = { chunks: [], texts: [] };
      found.set(field, read);
    }
    if (field.oneof !== null) {
      // The member that came last is the one that counts.
      this.#budget.spend(message.fields.length >> 3);
      for (const other of message.fields) if (other !== field && other.oneof === field.oneof) found.delete(other);
    }
    if (field.type.kind === "message" || field.map !== null) {
      read.chunks.push(this.#block(field, wire, input));
      return;
    }
    const expected = field.type.kind === "enum" ? wireType.varint : scalarWire(field.type.scalar);
    if (wire === wireType.bytes && expected !== wireType.bytes && field.label === "repeated") {
      const packed = new ProtoInput(input.block());
      while (packed.left > 0) this.#single(field, packed, read);
    } else if (wire === expected) this.#single(field, input, read);
    else this.#otherWire(field, wire);
    if (read.texts.length === 0 && field.label !== "repeated") found.delete(field);
  }

  #block(field: ProtoField, wire: number, input: ProtoInput): Buffer {
    if (wire === wireType.bytes && !field.group) return input.block();
    // Editions may choose either form for a message.
    if (wire === wireType.groupBegin && field.map === null) return input.group(field.number, messageDepthMax);
    return this.#otherWire(field, wire);
  }

  #otherWire(field: ProtoField, wire: number): never {
    throw new ProtoFault(
      `the field "${field.name}" is of type ${field.typeName}, and its value has the wire type ${wire}`,
    );
  }

  #single(field: ProtoField, input: ProtoInput, read: Read): void {
    this.#budget.spend(1);
    if (field.type.kind === "enum") {
      const text = enumText(field.type.enum, Number(BigInt.asIntN(32, input.varint())));
      if (text !== null) read.texts.push(text);
    } else if (field.type.kind === "scalar") {
      read.texts.push(scalarJson(field.type.scalar, input));
    }
  }

  #members(message: ProtoMessage, found: ReadonlyMap<ProtoField, Read>): Map<string, string> {
    this.#budget.spend(message.fields.length);
    const members = new Map<string, string>();
    for (const field of message.fields) {
      const read = found.get(field);
      if (read === undefined && field.presence) {
        if (field.label === "required") throw new ProtoFault(`the required field "${field.name}" is missing`);
        continue;
      }
      this.#budget.spend(field.jsonName.length >> 4);
      this.path.push(field.jsonName);
      members.set(field.jsonName, read === undefined ? defaultText(field) : this.#text(field, read));
      this.path.pop();
    }
    return members;
  }

  #text(field: ProtoField, read: Read): string {
    if (field.map !== null) return this.#map(field.map, read.chunks);
    if (field.type.kind === "message") {
      const { message } = field.type;
      if (field.label !== "repeated") {
        this.#budget.spend(read.chunks.length);
        // Parts of one message are one message.
        return this.message(
          message,
          read.chunks.length === 1 ? (read.chunks[0] as Buffer) : Buffer.concat(read.chunks),
        );
      }
      const items = read.chunks.map((chunk, i) => {
        this.path.push(i);
        const text = this.message(message, chunk);
        this.path.pop();
        return text;
      });
      return `[${items.join(",")}]`;
    }
    return field.label === "repeated" ? `[${read.texts.join(",")}]` : (read.texts.at(-1) ?? defaultText(field));
  }

  #map(map: { readonly key: ProtoField; readonly value: ProtoField }, chunks: readonly Buffer[]): string {
    const entries = new Map<string, string>();
    for (const chunk of chunks) {
      const { key, value } = this.#entry(map, chunk);
      entries.set(key, value);
    }
    return `{${[...entries].map(([key, value]) => `${key}:${value}`).join(",")}}`;
  }

  #entry(map: { readonly key: ProtoField; readonly value: ProtoField }, chunk: Buffer): { key: string; value: string } {
    const input = new ProtoInput(chunk);
    const found = new Map<ProtoField, Read>();
    while (input.left > 0) {
      this.#budget.spend(1);
      const { number, wire } = input.tag();
      const part = number === 1 ? map.key : number === 2 ? map.value : undefined;
      if (part !== undefined) this.#value(noMessage, part, wire, input, found);
      else if (wire === wireType.groupBegin) input.group(number, messageDepthMax);
      else input.skip(wire);
    }
    const textOf = (part: ProtoField): string => {
      const read = found.get(part);
      if (read !== undefined) return this.#text(part, read);
      return part.type.kind === "message" ? this.message(part.type.message, Buffer.alloc(0)) : defaultText(part);
    };
    const key = textOf(map.key);
    return { key: key.startsWith('"') ? key : `"${key}"`, value: textOf(map.value) };
  }

  /** The message that an Any holds, as JSON; null when its type is not known here. */
  #any(url: string, value: Buffer): string | null {
    const type = this.#model.types.get(url.slice(url.lastIndexOf("/") + 1));
    return type !== undefined && isMessage(type) ? this.message(type, value) : null;
  }
}

const noMessage = { fields: [] } as unknown as ProtoMessage;

/** Null for a number that is no value of a closed enum: it counts as a field that is not known. */
function enumText(type: ProtoEnum, number: number): string | null {
  if (type.fullName === "google.protobuf.NullValue") return "null";
  const known = type.values.find((value) => value.number === number);
  if (known !== undefined) return JSON.stringify(known.name);
  return type.closed ? null : String(number);
}

function defaultText(field: ProtoField): string {
  if (field.map !== null) return "{}";
  if (field.label === "repeated") return "[]";
  if (field.type.kind === "enum") {
    const [first] = field.type.enum.values;
    return enumText(field.type.enum, first?.number ?? 0) ?? "0";
  }
  if (field.type.kind === "message") return "null";
  const { scalar } = field.type;
  if (scalar === "bool") return "false";
  if (scalar === "string" || scalar === "bytes") return '""';
  return scalar.endsWith("64") ? '"0"' : "0";
}
