/**
 * Records of a topic as rows of its mirror: the cells of the columns that are written, as texts that PostgreSQL's COPY
 * takes. Pure.
 *
 * Always true: whatever a record has, the store takes its row. What cannot be stored as it is, is told in `_problem`; two
 * keys have two texts.
 */
import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import type { Header, StoredRecord } from "../records/record.ts";
import type { WireReader } from "../schema/registry/wire-reader.ts";
import { jsonbProblem } from "./storable-json.ts";

/** An index entry has a bound, and the keys of compacted topics are in an index. */
const keyBytesMax = 1_000;
const headersBytesMax = 1024 * 1024;

/** In the order of `baseColumns` (`catalog/topic-table.ts`). The schema of a value in the wire format has to be known. */
export function recordCells(record: StoredRecord, partition: number, wire: WireReader): (string | null)[] {
  const { offset, timestamp, key, headers } = record;
  const value = valueCell(record.value, wire);
  const told = headersCell(headers);
  const problems = [value.problem, told.problem].filter((one) => one !== null);
  return [
    String(partition),
    String(offset),
    timeText(timestamp),
    key === null ? null : keyText(key),
    told.json,
    value.json,
    problems.length === 0 ? null : problems.join("; "),
  ];
}

/** Of such cells, that of `_value`. */
export function storedValue(cells: readonly (string | null)[]): string | null {
  return cells[5] ?? null;
}

/** A key as its text; injective, with the bounds of an index. */
export function keyText(key: Buffer): string {
  if (key.length > keyBytesMax) return `\\sha256:${createHash("sha256").update(key).digest("hex")}`;
  return bytesText(key);
}

/** UTF-8 as it is; else, and where it begins as such texts do, in hexadecimal digits. */
function bytesText(bytes: Buffer): string {
  const plain = bytes[0] !== 0x5c && isUtf8(bytes) && !bytes.includes(0);
  return plain ? bytes.toString() : `\\x${bytes.toString("hex")}`;
}

interface Told<T extends string | null> {
  readonly json: T;
  readonly problem: string | null;
}

function valueCell(value: Buffer | null, wire: WireReader): Told<string | null> {
  if (value === null) return { json: null, problem: null };
  const reading = wire.read(value);
  // The reason may quote the value, and no text of the store has U+0000.
  if (reading?.ok === false) return { json: null, problem: reading.reason.replaceAll("\0", "\ufffd") };
  if (reading === null && !isUtf8(value)) return { json: null, problem: "the value is not UTF-8" };
  const json = reading === null ? value.toString() : reading.json;
  const problem = jsonbProblem(json);
  return { json: problem === null ? json : null, problem };
}

/** Of doubled names the last, as jsonb has it. */
function headersCell(headers: readonly Header[]): Told<string> {
  let bytes = 0;
  const members = headers.map(({ key, value }) => {
    bytes += key.length + (value?.length ?? 0);
    if (bytes > headersBytesMax) return "";
    return `${JSON.stringify(bytesText(Buffer.from(key)))}:${value === null ? "null" : JSON.stringify(bytesText(value))}`;
  });
  if (bytes <= headersBytesMax) return { json: `{${members.join(",")}}`, problem: null };
  return { json: "{}", problem: `the headers have more than ${headersBytesMax} bytes` };
}

/** The days of PostgreSQL begin with that of the Julian calendar; those of JavaScript end before its own do. */
const firstTimeMs = -210_866_803_200_000;
const lastTimeMs = 8_640_000_000_000_000;
const noTime = -1;

function timeText(timestampMs: number): string | null {
  if (timestampMs === noTime || timestampMs < firstTimeMs || timestampMs > lastTimeMs) return null;
  const time = new Date(timestampMs);
  const year = time.getUTCFullYear();
  const rest = time.toISOString().slice(-20);
  return year > 0 ? `${padded(year)}${rest}` : `${padded(1 - year)}${rest} BC`;
}

function padded(year: number): string {
  return String(year).padStart(4, "0");
}
