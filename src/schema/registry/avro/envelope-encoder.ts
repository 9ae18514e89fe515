/**
 * A captured table's events from JSON to Avro: the bytes of `docs/reference/envelope.md` in, the same event in the
 * schemas of `table-schemas.ts` out. Numbers keep all their digits, `bytea` becomes bytes; a column that the event does
 * not tell is null, and the header `millrace.unchanged` tells which these are, as before.
 */
import { MillraceError } from "../../../base/errors.ts";
import { arrayTextOf } from "../../array-text.ts";
import { type JsonToken, readJson } from "../../json-token.ts";
import type { ColumnShape, TableShape } from "../../table-shape.ts";
import { textOfJson, type ValueForm, valueForm } from "../../value-form.ts";
import { avroEnvelopeSchema, keyColumns } from "../table-schemas.ts";
import { AvroFault, AvroOutput } from "./avro-bytes.ts";
import type { AvroRecord, AvroType } from "./avro-type.ts";
import { writeAvro } from "./encode-avro.ts";
import { readAvro } from "./read-avro.ts";

type Members = ReadonlyMap<string, JsonToken>;

const nullToken: JsonToken = { kind: "null" };

export class AvroEnvelopeEncoder {
  readonly #shape: TableShape;
  readonly #envelope: AvroRecord;
  readonly #cells: readonly CellWriter[];
  readonly #keyCells: readonly CellWriter[];

  constructor(shape: TableShape) {
    this.#shape = shape;
    this.#envelope = recordOf(readAvro(avroEnvelopeSchema(shape), []).root);
    this.#cells = shape.columns.map((column) => new CellWriter(column));
    this.#keyCells = keyColumns(shape).map((column) => new CellWriter(column));
  }

  /** Of an event's value, tombstones apart. Throws `SCHEMA_MISMATCH` when it is no event of the table. */
  value(json: Buffer): Buffer {
    return this.#encode(json, (out, members) => {
      for (const field of this.#envelope.fields) {
        const token = members.get(field.name) ?? nullToken;
        if (field.name === "before" || field.name === "after") this.#row(out, token);
        else writeAvro(out, field.type, known(field.type, token), "plain");
      }
    });
  }

  /** Of an event's key. Throws `SCHEMA_MISMATCH`. */
  key(json: Buffer): Buffer {
    return this.#encode(json, (out, members) => {
      for (const cell of this.#keyCells) cell.writeKey(out, members.get(cell.name) ?? nullToken);
    });
  }

  #encode(json: Buffer, write: (out: AvroOutput, members: Members) => void): Buffer {
    const out = new AvroOutput();
    try {
      const token = readJson(json.toString("utf8"));
      if (token.kind !== "object") throw new AvroFault("it is no object");
      write(out, token.members);
    } catch (cause) {
      if (!(cause instanceof AvroFault) && !(cause instanceof SyntaxError) && !(cause instanceof RangeError))
        throw cause;
      throw new MillraceError("SCHEMA_MISMATCH", `this is no event of "${this.#shape.topic}": ${cause.message}`, {
        hint: "Compare the columns of the table with the event's.",
        cause,
      });
    }
    return out.finish();
  }

  #row(out: AvroOutput, token: JsonToken): void {
    if (token.kind === "null") {
      out.long(0);
      return;
    }
    if (token.kind !== "object") throw new AvroFault("a row is no object");
    out.long(1);
    for (const cell of this.#cells) cell.write(out, token.members.get(cell.name) ?? nullToken);
  }
}

function recordOf(type: AvroType): AvroRecord {
  if (type.kind !== "record") throw new AvroFault("the schema is no record");
  return type;
}

/** Without the members that the schema does not name. */
function known(type: AvroType, token: JsonToken): JsonToken {
  const record = type.kind === "union" ? type.branches.find(({ kind }) => kind === "record") : type;
  if (record?.kind !== "record" || token.kind !== "object") return token;
  const names = new Set(record.fields.map(({ name }) => name));
  return { kind: "object", members: new Map([...token.members].filter(([name]) => names.has(name))) };
}

/** One column. */
class CellWriter {
  readonly name: string;
  readonly #form: ValueForm;
  readonly #isInt: boolean;
  readonly #isFloat: boolean;

  constructor(column: ColumnShape) {
    const element = column.storeType.replace(/\[\]$/, "");
    this.name = column.name;
    this.#form = valueForm(column.storeType);
    this.#isInt = element === "smallint" || element === "integer";
    this.#isFloat = element === "real";
  }

  /** As a union of null and the value; an array is the second branch, its text the third. */
  write(out: AvroOutput, token: JsonToken): void {
    if (token.kind === "null") out.long(0);
    else if (this.#form.array) this.#array(out, token, 1);
    else {
      out.long(1);
      this.#scalar(out, token);
    }
  }

  /** A part of a key is never null. */
  writeKey(out: AvroOutput, token: JsonToken): void {
    if (this.#form.array) this.#array(out, token, 0);
    else this.#scalar(out, token);
  }

  #array(out: AvroOutput, token: JsonToken, branch: number): void {
    if (token.kind === "array" && !token.items.some(({ kind }) => kind === "array")) {
      out.long(branch);
      if (token.items.length > 0) out.long(token.items.length);
      for (const item of token.items) {
        out.long(item.kind === "null" ? 0 : 1);
        if (item.kind !== "null") this.#scalar(out, item);
      }
      out.long(0);
      return;
    }
    out.long(branch + 1);
    out.bytes(Buffer.from(this.#arrayText(token), "utf8"));
  }

  #arrayText(token: JsonToken): string {
    if (token.kind === "string") return token.value;
    if (token.kind !== "array") throw new AvroFault(`the column "${this.name}" is no array`);
    const element: ValueForm = { kind: this.#form.kind, array: false };
    return arrayTextOf(token.items, (item) => textOfJson(element, item));
  }

  #scalar(out: AvroOutput, token: JsonToken): void {
    const type = this.#type();
    if (this.#form.kind === "bytea" && token.kind === "string") out.bytes(Buffer.from(token.value, "base64"));
    else writeAvro(out, { kind: type, props: new Map() }, token, "plain");
  }

  #type(): "boolean" | "int" | "long" | "float" | "double" | "string" {
    const { kind } = this.#form;
    if (kind === "boolean") return "boolean";
    if (kind === "integer") return this.#isInt ? "int" : "long";
    if (kind === "float") return this.#isFloat ? "float" : "double";
    return "string";
  }
}
