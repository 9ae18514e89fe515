/** One value from the bytes of its text to JSON: what `jsonOfText` does, without making strings of the common kinds. */
import type { JsonBytes } from "./json-bytes.ts";
import { jsonOfText, type ValueForm } from "./value-form.ts";

/** Throws `RangeError` when the text is not of the kind. */
export function writeCellJson(out: JsonBytes, form: ValueForm, bytes: Buffer, start: number, end: number): void {
  if (form.array) {
    out.text(jsonOfText(form, bytes.toString(form.kind === "byte" ? "latin1" : "utf8", start, end)));
    return;
  }
  switch (form.kind) {
    case "text":
      out.string(bytes, start, end);
      return;
    case "boolean":
      if (end - start === 1 && bytes[start] === 0x74) out.ascii("true");
      else if (end - start === 1 && bytes[start] === 0x66) out.ascii("false");
      else throw new RangeError("a boolean is neither t nor f");
      return;
    case "integer":
      if (!isNumber(bytes, start, end)) throw new RangeError("an integer does not begin with a digit");
      out.part(bytes, start, end);
      return;
    case "float":
      if (isNumber(bytes, start, end)) out.part(bytes, start, end);
      else out.string(bytes, start, end);
      return;
    case "date":
      if (end - start === 10 && bytes[start + 4] === dash && bytes[start + 7] === dash) zoned(out, bytes, start, end);
      else out.string(bytes, start, end);
      return;
    case "time":
      if (end - start >= 8 && bytes[start + 2] === 0x3a) zoned(out, bytes, start, end);
      else out.string(bytes, start, end);
      return;
    case "timestamp":
      if (isTimestamp(bytes, start, end)) zonedTimestamp(out, bytes, start, end);
      else out.string(bytes, start, end);
      return;
    case "timestamptz":
      if (isTimestamp(bytes, start, end) && bytes[end - 3] === 0x2b) zonedTimestamp(out, bytes, start, end - 3);
      else out.string(bytes, start, end);
      return;
    case "byte":
    case "bytea":
      out.text(jsonOfText(form, bytes.toString("latin1", start, end)));
  }
}

const dash = 0x2d;

function isNumber(bytes: Buffer, start: number, end: number): boolean {
  const at = bytes[start] === dash ? start + 1 : start;
  return at < end && isDigit(bytes[at]);
}

function isDigit(code: number | undefined): boolean {
  return code !== undefined && code >= 0x30 && code <= 0x39;
}

/** Year of four digits, not BC, not infinite. */
function isTimestamp(bytes: Buffer, start: number, end: number): boolean {
  return end - start >= 19 && bytes[start + 4] === dash && bytes[start + 10] === 0x20 && isDigit(bytes[end - 1]);
}

function zoned(out: JsonBytes, bytes: Buffer, start: number, end: number): void {
  out.byte(0x22);
  out.part(bytes, start, end);
  out.ascii('Z"');
}

function zonedTimestamp(out: JsonBytes, bytes: Buffer, start: number, end: number): void {
  const at = out.end + 11;
  zoned(out, bytes, start, end);
  out.bytes[at] = 0x54;
}
