/**
 * PostgreSQL's log sequence numbers: places in its write-ahead log, in bytes. Kept as numbers, which are exact to
 * 2^53 (8 PiB of log); printed as PostgreSQL prints them (`16/B374D848`).
 */
import { invariant } from "../base/errors.ts";

export function parseLsn(text: string): number {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  invariant(match, `"${text}" is no LSN`);
  return Number.parseInt(match[1] as string, 16) * 2 ** 32 + Number.parseInt(match[2] as string, 16);
}

export function printLsn(lsn: number): string {
  const high = Math.floor(lsn / 2 ** 32);
  return `${high.toString(16).toUpperCase()}/${(lsn % 2 ** 32).toString(16).toUpperCase()}`;
}

export function readLsn(bytes: Buffer, position: number): number {
  return bytes.readUInt32BE(position) * 2 ** 32 + bytes.readUInt32BE(position + 4);
}

export function writeLsn(bytes: Buffer, lsn: number, position: number): void {
  bytes.writeUInt32BE(Math.floor(lsn / 2 ** 32), position);
  bytes.writeUInt32BE(lsn % 2 ** 32, position + 4);
}

/** Microseconds between the Unix epoch and PostgreSQL's (2000-01-01). */
const postgresEpochUs = 946_684_800_000_000;

/** A PostgreSQL timestamp as microseconds since the Unix epoch; exact until the year 2255. */
export function readTimestampUs(bytes: Buffer, position: number): number {
  return bytes.readInt32BE(position) * 2 ** 32 + bytes.readUInt32BE(position + 4) + postgresEpochUs;
}

export function writeTimestampMs(bytes: Buffer, epochMs: number, position: number): void {
  const us = epochMs * 1000 - postgresEpochUs;
  bytes.writeInt32BE(Math.floor(us / 2 ** 32), position);
  bytes.writeUInt32BE(((us % 2 ** 32) + 2 ** 32) % 2 ** 32, position + 4);
}
