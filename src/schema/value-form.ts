/**
 * How a column's value looks in an event, by the type of the mirror's column (`ColumnShape.storeType`).
 *
 * Always true: for every value v in PostgreSQL's text (DateStyle ISO, TimeZone UTC, IntervalStyle iso_8601,
 * bytea_output hex, shortest floats) `textOfJson(form, jsonOfText(form, v))` is v, byte for byte. Nothing is rounded:
 * what has no exact form of its own (infinities, BC, years past 9999) is carried as the server's text.
 */
import { arrayTextOf, parseArrayText } from "./array-text.ts";
import type { JsonToken } from "./json-token.ts";

export type ValueKind =
  | "boolean"
  /** A JSON number: int2, int4, int8, oid. */
  | "integer"
  /** A JSON number, or the strings NaN, Infinity, -Infinity. */
  | "float"
  /** The server's text as a JSON string. */
  | "text"
  /** `"char"`: one byte, which need not be text by itself. */
  | "byte"
  /** Base64. */
  | "bytea"
  | "date"
  | "time"
  | "timestamp"
  | "timestamptz";

export interface ValueForm {
  readonly kind: ValueKind;
  /** A JSON array of (arrays of) the kind. */
  readonly array: boolean;
}

const kinds: Readonly<Record<string, ValueKind>> = {
  boolean: "boolean",
  smallint: "integer",
  integer: "integer",
  bigint: "integer",
  oid: "integer",
  real: "float",
  "double precision": "float",
  '"char"': "byte",
  bytea: "bytea",
  date: "date",
  "time without time zone": "time",
  "timestamp without time zone": "timestamp",
  "timestamp with time zone": "timestamptz",
};

/** Of a type as `format_type` prints it; everything that has no form of its own is text. */
export function valueForm(storeType: string): ValueForm {
  const array = storeType.endsWith("[]");
  const element = array ? storeType.slice(0, -2) : storeType;
  const plain = element.replace(/\(\d+\)/, "");
  return { kind: Object.hasOwn(kinds, plain) ? (kinds[plain] as ValueKind) : "text", array };
}

/**
 * JSON text of a value that is not null. Throws `RangeError` when the text is not of the kind. A byte above 127 is written as
 * PostgreSQL 16 and later print it (`\377`); earlier ones send the byte itself, which is handed in as a character of latin1.
 */
export function jsonOfText(form: ValueForm, text: string): string {
  if (!form.array) return scalarJson(form.kind, text);
  // Lower bounds other than 1 have no place in a JSON array: such a value is the server's text.
  if (text.startsWith("[")) return JSON.stringify(text);
  return parseArrayText(text, (element) => (element === null ? "null" : scalarJson(form.kind, element)));
}

/** PostgreSQL's text of a JSON value; null for JSON's null. */
export function textOfJson(form: ValueForm, token: JsonToken): string | null {
  if (token.kind === "null") return null;
  if (!form.array) return scalarText(form.kind, token);
  if (token.kind === "string") return token.value;
  if (token.kind !== "array") throw new RangeError(`a JSON ${token.kind} stands where an array is expected`);
  return arrayTextOf(token.items, (item) => (item.kind === "null" ? null : scalarText(form.kind, item)));
}

const numberForm = /^-?\d/;
const dateForm = /^\d{4}-\d\d-\d\d$/;
const timeForm = /^\d\d:\d\d:\d\d(\.\d+)?$/;
const timestampForm = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?$/;
const timestamptzForm = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\+00$/;

function scalarJson(kind: ValueKind, text: string): string {
  switch (kind) {
    case "boolean":
      if (text === "t") return "true";
      if (text === "f") return "false";
      throw new RangeError("a boolean is neither t nor f");
    case "integer":
      if (!numberForm.test(text)) throw new RangeError("an integer does not begin with a digit");
      return text;
    case "float":
      return numberForm.test(text) ? text : JSON.stringify(text);
    case "byte":
      return JSON.stringify(text.length === 1 && text > "\x7f" ? `\\${text.charCodeAt(0).toString(8)}` : text);
    case "bytea":
      return `"${base64OfHex(text)}"`;
    case "date":
      return dateForm.test(text) ? `"${text}Z"` : JSON.stringify(text);
    case "time":
      return timeForm.test(text) ? `"${text}Z"` : JSON.stringify(text);
    case "timestamp":
      return timestampForm.test(text) ? `"${text.slice(0, 10)}T${text.slice(11)}Z"` : JSON.stringify(text);
    case "timestamptz":
      return timestamptzForm.test(text) ? `"${text.slice(0, 10)}T${text.slice(11, -3)}Z"` : JSON.stringify(text);
    default:
      return JSON.stringify(text);
  }
}

function scalarText(kind: ValueKind, token: JsonToken): string {
  if (token.kind === "number") return token.text;
  if (token.kind === "boolean") return token.value ? "t" : "f";
  if (token.kind !== "string") throw new RangeError(`a JSON ${token.kind} stands where a value is expected`);
  return textOfString(kind, token.value);
}

/** PostgreSQL's text of a JSON string. */
export function textOfString(kind: ValueKind, value: string): string {
  switch (kind) {
    case "text":
    case "byte":
    case "float":
      return value;
    case "bytea":
      return `\\x${Buffer.from(value, "base64").toString("hex")}`;
    case "date":
    case "time":
      return value.endsWith("Z") ? value.slice(0, -1) : value;
    case "timestamp":
      return value.endsWith("Z") ? `${value.slice(0, 10)} ${value.slice(11, -1)}` : value;
    case "timestamptz":
      return value.endsWith("Z") ? `${value.slice(0, 10)} ${value.slice(11, -1)}+00` : value;
    default:
      return value;
  }
}

/** Of bytea's hexadecimal text (`\x6162`). */
function base64OfHex(text: string): string {
  const bytes = Buffer.from(text.slice(2), "hex");
  if (!text.startsWith("\\x") || bytes.length * 2 !== text.length - 2) {
    throw new RangeError("bytea is not in hexadecimal form");
  }
  return bytes.toString("base64");
}
