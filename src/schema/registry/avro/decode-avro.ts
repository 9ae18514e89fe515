/**
 * Avro's binary form to JSON text, read with the schema that wrote it or resolved into a reader's.
 *
 * Always true: work and depth are bounded whatever the bytes say (an array of a billion nulls has five of them), and
 * numbers keep all their digits. NaN and the infinities are strings, as in Java's JSON.
 */
import type { JsonToken } from "../../json-token.ts";
import { pointerOf, printJson } from "../json-text.ts";
import type { DecodedPayload, PayloadProblem } from "../parsed-schema.ts";
import { payloadBudget, schemaLimits, type WorkBudget, WorkExceeded } from "../schema-limits.ts";
import { AvroFault, AvroInput } from "./avro-bytes.ts";
import { defaultFits } from "./avro-default.ts";
import { promotes, readerBranch, writerField } from "./avro-incompatibilities.ts";
import { type AvroField, type AvroRecord, type AvroType, type AvroUnion, branchName } from "./avro-type.ts";

/** `tagged` is Avro's own JSON, `{"string": "x"}`; `plain` leaves the tag out. */
export type UnionForm = "tagged" | "plain";

/** How values stand in the JSON. What is left out is as Avro's own JSON has it. */
export interface AvroJsonForm {
  readonly unions: UnionForm;
  /** `text` for readers whose numbers end at 2^53. */
  readonly longs?: "number" | "text";
  /** Of `bytes` and `fixed`: `latin1` has a character for each byte. */
  readonly bytes?: "latin1" | "base64";
  /** Of `float` and `double`: `postgres` prints them as PostgreSQL does, `1e+20`. */
  readonly floats?: "javascript" | "postgres";
  /** An attribute of fields that has the name which they are told under. */
  readonly nameProp?: string;
}

export interface DecodeAvroOptions extends AvroJsonForm {
  /** Answer in this schema's form. */
  readonly reader?: AvroType;
}

/** One datum, which must be all of the bytes. */
export function decodeAvro(writer: AvroType, bytes: Buffer, options: DecodeAvroOptions): DecodedPayload {
  const input = new AvroInput(bytes);
  const decoder = new AvroDecoder(input, payloadBudget(bytes.length), options);
  const problem = (path: string, message: string): { ok: false; problems: readonly PayloadProblem[] } => ({
    ok: false,
    problems: [{ path, message }],
  });
  try {
    const json = decoder.read(writer, options.reader ?? writer);
    if (input.left > 0) return problem("", `${input.left} bytes follow the value`);
    return { ok: true, json };
  } catch (cause) {
    if (cause instanceof AvroFault) return problem(pointerOf(decoder.path), cause.message);
    if (cause instanceof WorkExceeded) return problem("", "reading the value takes more work than is granted");
    throw cause;
  }
}

class AvroDecoder {
  /** Where reading is. */
  readonly path: (string | number)[] = [];
  readonly #input: AvroInput;
  readonly #budget: WorkBudget;
  readonly #form: AvroJsonForm;
  readonly #branches = new Map<AvroUnion, Map<AvroType, number>>();
  readonly #utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  constructor(input: AvroInput, budget: WorkBudget, form: AvroJsonForm) {
    this.#input = input;
    this.#budget = budget;
    this.#form = form;
  }

  read(writer: AvroType, reader: AvroType): string {
    this.#budget.spend(1);
    if (writer.kind === "union") return this.#writerUnion(writer, reader);
    if (reader.kind === "union") {
      const branch = this.#branch(reader, writer);
      return this.#tagged(branch, this.read(writer, branch));
    }
    switch (writer.kind) {
      case "null":
        return this.#as(reader, writer, "null");
      case "boolean":
        return this.#as(reader, writer, this.#boolean());
      case "int":
        return this.#promoted(reader, writer, this.#int());
      case "long":
        return this.#promoted(reader, writer, this.#input.long());
      case "float":
        return this.#as(reader, writer, this.#float(this.#input.take(4).readFloatLE()));
      case "double":
        return this.#as(reader, writer, this.#double(this.#input.take(8).readDoubleLE()));
      case "bytes":
        return this.#bytes(reader);
      case "string":
        return this.#string(reader);
      case "fixed":
        this.#budget.spend(writer.size >> 4);
        return this.#as(reader, writer, this.#binary(this.#input.take(writer.size)));
      case "enum":
        return this.#enum(writer, reader);
      case "array":
        return this.#array(writer.items, reader.kind === "array" ? reader.items : this.#mismatch(writer, reader));
      case "map":
        return this.#map(writer.values, reader.kind === "map" ? reader.values : this.#mismatch(writer, reader));
      default:
        return this.#record(writer, reader.kind === "record" ? reader : this.#mismatch(writer, reader));
    }
  }

  #mismatch(writer: AvroType, reader: AvroType): never {
    throw new AvroFault(`the reader's ${reader.kind} cannot read the writer's ${writer.kind}`);
  }

  #as(reader: AvroType, writer: AvroType, text: string): string {
    if (reader.kind === writer.kind || promotes(reader, writer)) return text;
    return this.#mismatch(writer, reader);
  }

  /** An integer as a value of the reader's type, which may hold fewer digits of it. */
  #promoted(reader: AvroType, writer: AvroType, text: string): string {
    if (reader.kind === "float") return this.#float(Math.fround(Number(text)));
    if (reader.kind === "double") return this.#double(Number(text));
    return this.#as(reader, writer, reader.kind === "long" ? this.#long(text) : text);
  }

  #boolean(): string {
    const byte = this.#input.byte();
    if (byte > 1) throw new AvroFault(`the byte ${byte} is no boolean`);
    return byte === 1 ? "true" : "false";
  }

  #int(): string {
    const text = this.#input.long();
    const value = Number(text);
    if (value > 2 ** 31 - 1 || value < -(2 ** 31)) throw new AvroFault(`${text} is no int of 32 bits`);
    return text;
  }

  #long(text: string): string {
    return this.#form.longs === "text" ? `"${text}"` : text;
  }

  #float(value: number): string {
    const short = Number.isFinite(value) ? shortestFloat(value) : value;
    return this.#form.floats === "postgres" ? postgresText(short, 6) : doubleText(short);
  }

  #double(value: number): string {
    return this.#form.floats === "postgres" ? postgresText(value, 15) : doubleText(value);
  }

  #binary(bytes: Buffer): string {
    return this.#form.bytes === "base64" ? `"${bytes.toString("base64")}"` : binaryText(bytes);
  }

  #bytes(reader: AvroType): string {
    const bytes = this.#input.take(this.#input.count());
    if (reader.kind === "bytes") return this.#binary(bytes);
    if (reader.kind === "string") return JSON.stringify(bytes.toString("utf8"));
    return this.#mismatch({ kind: "bytes", props: new Map() }, reader);
  }

  #string(reader: AvroType): string {
    const bytes = this.#input.take(this.#input.count());
    if (reader.kind === "bytes") return this.#binary(bytes);
    if (reader.kind !== "string") return this.#mismatch({ kind: "string", props: new Map() }, reader);
    try {
      return JSON.stringify(this.#utf8.decode(bytes));
    } catch {
      throw new AvroFault("a string is not UTF-8");
    }
  }

  #enum(writer: AvroType & { kind: "enum" }, reader: AvroType): string {
    const index = this.#input.count();
    const symbol = writer.symbols[index];
    if (symbol === undefined) throw new AvroFault(`the enum "${writer.name}" has no symbol ${index}`);
    if (reader.kind !== "enum") return this.#mismatch(writer, reader);
    const read = reader === writer || reader.symbols.includes(symbol) ? symbol : reader.default;
    if (read !== undefined) return this.#quoted(read);
    throw new AvroFault(`the reader's enum "${reader.name}" has neither "${symbol}" nor a default`);
  }

  #array(writer: AvroType, reader: AvroType): string {
    const items: string[] = [];
    this.#blocks(() => {
      this.#enter(items.length);
      items.push(this.read(writer, reader));
      this.path.pop();
    });
    return `[${items.join(",")}]`;
  }

  #map(writer: AvroType, reader: AvroType): string {
    const members = new Map<string, string>();
    this.#blocks(() => {
      const name = this.#string({ kind: "string", props: new Map() });
      this.#enter(JSON.parse(name) as string);
      members.set(name, this.read(writer, reader));
      this.path.pop();
    });
    return `{${[...members].map(([name, value]) => `${name}:${value}`).join(",")}}`;
  }

  #blocks(item: () => void): void {
    for (;;) {
      let count = this.#input.count();
      if (count === 0) return;
      if (count < 0) {
        count = -count;
        const bytes = this.#input.count();
        if (bytes < 0 || bytes > this.#input.left) throw new AvroFault("a block is longer than the value");
      }
      for (let i = 0; i < count; i++) item();
    }
  }

  #record(writer: AvroRecord, reader: AvroRecord): string {
    if (writer === reader) {
      return this.#object(
        writer.fields.map((field) => [this.#told(field), this.#field(field.name, field.type, field.type)] as const),
      );
    }
    const read = new Map<AvroField, string>();
    const targets = new Map(reader.fields.map((field) => [writerField(field, writer), field]));
    for (const field of writer.fields) {
      const target = targets.get(field);
      const value = this.#field(field.name, field.type, target?.type ?? field.type);
      if (target !== undefined) read.set(target, value);
    }
    return this.#object(
      reader.fields.map((field) => [this.#told(field), read.get(field) ?? this.#default(field)] as const),
    );
  }

  #told({ name, props }: AvroField): string {
    const { nameProp } = this.#form;
    const other = nameProp === undefined ? undefined : props.get(nameProp);
    return other?.kind === "string" ? other.value : name;
  }

  #field(name: string, writer: AvroType, reader: AvroType): string {
    this.#enter(name);
    const value = this.read(writer, reader);
    this.path.pop();
    return value;
  }

  #object(members: readonly (readonly [name: string, value: string])[]): string {
    return `{${members.map(([name, value]) => `${this.#quoted(name)}:${value}`).join(",")}}`;
  }

  /** Of a name in the schema: a long one is work too, because a byte of payload may bring it. */
  #quoted(name: string): string {
    this.#budget.spend(name.length >> 3);
    return JSON.stringify(name);
  }

  #default(field: AvroField): string {
    if (field.default !== undefined) return this.#defaultText(field.type, field.default);
    throw new AvroFault(`the field "${field.name}" is missing in the writer's schema and has no default`);
  }

  /** A default as a value is printed: with the tags of unions, and whole. */
  #defaultText(type: AvroType, token: JsonToken): string {
    this.#budget.spend(1);
    if (type.kind === "union") {
      const branch = type.branches.find((candidate) => defaultFits(candidate, token));
      return branch === undefined ? "null" : this.#tagged(branch, this.#defaultText(branch, token));
    }
    if (type.kind === "array" && token.kind === "array") {
      return `[${token.items.map((item) => this.#defaultText(type.items, item)).join(",")}]`;
    }
    if (type.kind === "map" && token.kind === "object") {
      return this.#object([...token.members].map(([name, value]) => [name, this.#defaultText(type.values, value)]));
    }
    if (type.kind === "record" && token.kind === "object") {
      return this.#object(
        type.fields.map((field) => {
          const value = token.members.get(field.name);
          return [field.name, value === undefined ? this.#default(field) : this.#defaultText(field.type, value)];
        }),
      );
    }
    const text = printJson(token, { sorted: false });
    this.#budget.spend(text.length >> 3);
    return text;
  }

  #writerUnion(writer: AvroUnion, reader: AvroType): string {
    const index = this.#input.count();
    const branch = writer.branches[index];
    if (branch === undefined) throw new AvroFault(`the union has no branch ${index}`);
    if (reader !== writer) return this.read(branch, reader);
    return this.#tagged(branch, this.read(branch, branch));
  }

  #tagged(branch: AvroType, text: string): string {
    if (this.#form.unions === "plain" || branch.kind === "null") return text;
    return `{${this.#quoted(branchName(branch))}:${text}}`;
  }

  #branch(reader: AvroUnion, writer: AvroType): AvroType {
    let known = this.#branches.get(reader);
    if (known === undefined) {
      known = new Map();
      this.#branches.set(reader, known);
    }
    let index = known.get(writer);
    if (index === undefined) {
      index = readerBranch(reader, writer, this.#budget);
      known.set(writer, index);
    }
    return reader.branches[index] ?? this.#mismatch(writer, reader);
  }

  #enter(step: string | number): void {
    if (this.path.length >= schemaLimits.payloadDepthMax) {
      throw new AvroFault(`the value is nested deeper than ${schemaLimits.payloadDepthMax} levels`);
    }
    this.path.push(step);
  }
}

/** Each byte is the character of its number. */
function binaryText(bytes: Buffer): string {
  return JSON.stringify(bytes.toString("latin1"));
}

function doubleText(value: number): string {
  if (!Number.isFinite(value)) return JSON.stringify(String(value));
  return Object.is(value, -0) ? "-0.0" : String(value);
}

/** As PostgreSQL prints it: with an exponent from 10 to the `digits` on, and below 10 to the -4. */
function postgresText(value: number, digits: number): string {
  if (!Number.isFinite(value)) return JSON.stringify(String(value));
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  const [mantissa = "", exponent = ""] = value.toExponential().split("e");
  const power = Number(exponent);
  if (power >= -4 && power < digits) return String(value);
  return `${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}

/** With the fewest digits that are this float again. */
function shortestFloat(value: number): number {
  if (value === 0) return value;
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return Number(value.toPrecision(9));
}
