/**
 * The bytes of the journal (docs/internals/formats/journal.md): files of a fixed size, a header, then groups. A group is
 * what one sync makes durable; it counts only when all of it is right, so that what is in it stands or falls together.
 */
import { crc32c } from "../records/crc32c.ts";
import { readInt64, writeInt64 } from "../records/int64.ts";
import { newerFormat } from "./checked-file.ts";

export const journalFormat = 1;
/** Groups begin where sectors begin, so that writing one never touches the bytes of another. */
export const journalBlockBytes = 512;
export const groupHeaderBytes = 32;
export const runHeaderBytes = 28;

const fileBrand = 0x4d4c524a; // "MLRJ"
const groupBrand = 0x4d4c5247; // "MLRG"
const fileField = { brand: 0, format: 4, logId: 8, fileBytes: 24, firstNumber: 28, oldest: 36, crc: 44 } as const;
const groupField = { brand: 0, crc: 4, number: 8, oldest: 16, count: 24, bytes: 28 } as const;
const runField = { topicId: 0, partition: 16, bytes: 20, crc: 24 } as const;

/** Batches of one partition, one after the other, as they stand in its segments. */
export interface JournalRun {
  readonly topicId: string;
  readonly partition: number;
  readonly bytes: Buffer;
}

export interface JournalGroup {
  readonly number: number;
  /** Groups with smaller numbers were needed no more when this one was written. */
  readonly oldest: number;
  readonly runs: readonly JournalRun[];
  /** From the beginning of this group to where the next one begins. */
  readonly blockBytes: number;
}

/** Of one use of a file: its groups before `firstNumber` count no more, and none before `oldest` is needed. */
export interface JournalUse {
  readonly firstNumber: number;
  readonly oldest: number;
}

export function encodeJournalHeader(logId: string, fileBytes: number, { firstNumber, oldest }: JournalUse): Buffer {
  const bytes = Buffer.alloc(journalBlockBytes);
  bytes.writeUInt32BE(fileBrand, fileField.brand);
  bytes.writeUInt32BE(journalFormat, fileField.format);
  bytes.write(logId.replaceAll("-", ""), fileField.logId, "hex");
  bytes.writeUInt32BE(fileBytes, fileField.fileBytes);
  writeInt64(bytes, fileField.firstNumber, firstNumber);
  writeInt64(bytes, fileField.oldest, oldest);
  bytes.writeUInt32BE(crc32c(bytes.subarray(0, fileField.crc)), fileField.crc);
  return bytes;
}

/** Of a header that is right. */
export function decodeJournalUse(bytes: Buffer): JournalUse {
  return { firstNumber: readInt64(bytes, fileField.firstNumber), oldest: readInt64(bytes, fileField.oldest) };
}

/** What is wrong with a file's header, or undefined. Throws `LOG_FORMAT_NEWER`. */
export function journalHeaderFault(bytes: Buffer, logId: string, path: string): string | undefined {
  if (bytes.length < journalBlockBytes) return "its header is not whole";
  const wrongChecksum = crc32c(bytes.subarray(0, fileField.crc)) !== bytes.readUInt32BE(fileField.crc);
  if (wrongChecksum || bytes.readUInt32BE(fileField.brand) !== fileBrand) return "its header is damaged";
  const format = bytes.readUInt32BE(fileField.format);
  if (format > journalFormat) throw newerFormat(path, format, journalFormat);
  const id = bytes.toString("hex", fileField.logId, fileField.logId + 16);
  return id === logId.replaceAll("-", "") ? undefined : "it belongs to another log";
}

export interface NewRun {
  readonly topicId: string;
  readonly partition: number;
  readonly batches: readonly Buffer[];
}

/** One group, with zeros to the end of its last block; in `into` when there is room, else in a buffer of its own. */
export function encodeGroup(
  group: { readonly number: number; readonly oldest: number },
  runs: readonly NewRun[],
  into: Buffer,
): Buffer {
  let bytes = groupHeaderBytes + runs.length * runHeaderBytes;
  for (const { batches } of runs) for (const batch of batches) bytes += batch.length;
  const blockBytes = inBlocks(bytes);
  const encoded = blockBytes <= into.length ? into.subarray(0, blockBytes) : Buffer.allocUnsafeSlow(blockBytes);
  let tableAt = groupHeaderBytes;
  let at = groupHeaderBytes + runs.length * runHeaderBytes;
  for (const { topicId, partition, batches } of runs) {
    const start = at;
    for (const batch of batches) at += batch.copy(encoded, at);
    encoded.write(topicId.replaceAll("-", ""), tableAt + runField.topicId, "hex");
    encoded.writeUInt32BE(partition, tableAt + runField.partition);
    encoded.writeUInt32BE(at - start, tableAt + runField.bytes);
    encoded.writeUInt32BE(crc32c(encoded.subarray(start, at)), tableAt + runField.crc);
    tableAt += runHeaderBytes;
  }
  encoded.fill(0, at);
  encoded.writeUInt32BE(groupBrand, groupField.brand);
  writeInt64(encoded, groupField.number, group.number);
  writeInt64(encoded, groupField.oldest, group.oldest);
  encoded.writeUInt32BE(runs.length, groupField.count);
  encoded.writeUInt32BE(bytes, groupField.bytes);
  encoded.writeUInt32BE(crc32c(encoded.subarray(groupField.number, tableAt)), groupField.crc);
  return encoded;
}

/** What a group's first bytes say of it; undefined when no group begins here. */
export interface GroupHeader {
  readonly number: number;
  readonly oldest: number;
  readonly runCount: number;
  /** Without the zeros at its end. */
  readonly bytes: number;
}

export function decodeGroupHeader(bytes: Buffer, at: number): GroupHeader | undefined {
  if (bytes.length - at < groupHeaderBytes || bytes.readUInt32BE(at + groupField.brand) !== groupBrand)
    return undefined;
  const number = readInt64(bytes, at + groupField.number);
  const oldest = readInt64(bytes, at + groupField.oldest);
  const runCount = bytes.readUInt32BE(at + groupField.count);
  const groupBytes = bytes.readUInt32BE(at + groupField.bytes);
  const rightOrder = oldest > 0 && oldest <= number;
  if (!rightOrder || groupBytes < groupHeaderBytes + runCount * runHeaderBytes) return undefined;
  return { number, oldest, runCount, bytes: groupBytes };
}

/** The group at `at`; undefined when there is none, or not all of it is right. Its runs are views of `bytes`. */
export function decodeGroup(bytes: Buffer, at: number): JournalGroup | undefined {
  const header = decodeGroupHeader(bytes, at);
  if (!header || at + header.bytes > bytes.length) return undefined;
  const tableEnd = at + groupHeaderBytes + header.runCount * runHeaderBytes;
  if (crc32c(bytes.subarray(at + groupField.number, tableEnd)) !== bytes.readUInt32BE(at + groupField.crc)) {
    return undefined;
  }
  const runs: JournalRun[] = [];
  let runAt = tableEnd;
  for (let i = 0; i < header.runCount; i++) {
    const entry = at + groupHeaderBytes + i * runHeaderBytes;
    const runEnd = runAt + bytes.readUInt32BE(entry + runField.bytes);
    if (runEnd > at + header.bytes) return undefined;
    const run = bytes.subarray(runAt, runEnd);
    if (crc32c(run) !== bytes.readUInt32BE(entry + runField.crc)) return undefined;
    const topicId = uuidOf(bytes.toString("hex", entry + runField.topicId, entry + runField.partition));
    runs.push({ topicId, partition: bytes.readUInt32BE(entry + runField.partition), bytes: run });
    runAt = runEnd;
  }
  if (runAt !== at + header.bytes) return undefined;
  return { number: header.number, oldest: header.oldest, runs, blockBytes: inBlocks(header.bytes) };
}

export function journalFileName(index: number): string {
  return `${String(index).padStart(8, "0")}.journal`;
}

/** The index of a journal file's name; undefined for any other file. */
export function indexOfJournalName(name: string): number | undefined {
  const match = /^(\d{8})\.journal$/.exec(name);
  return match ? Number(match[1]) : undefined;
}

function inBlocks(bytes: number): number {
  return Math.ceil(bytes / journalBlockBytes) * journalBlockBytes;
}

function uuidOf(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
