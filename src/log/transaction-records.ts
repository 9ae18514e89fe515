/**
 * Records of `_millrace.transactions` (docs/internals/formats/transaction-state.md). Each says what a transactional id
 * has from here on, so that the newest record of an id is its state, and the decided transaction where there is one.
 * A record without a value forgets its id. The record with the empty key says up to where producer ids are given out.
 */
import { MillraceError } from "../base/errors.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { decodeBatch } from "../records/batch-records.ts";
import { isCount, isRecord } from "./checked-file.ts";
import type { TransactionVersion } from "./producer.ts";

export const transactionsTopic = "_millrace.transactions";

/** Version 1 knows of no clients behind a protocol. */
const recordVersion = 2;

export interface ProducerIdentity {
  readonly producerId: number;
  readonly epoch: number;
}

export type Decision = "commit" | "abort";

export type StoredPartition = readonly [topicId: string, partition: number];
export type StoredEnd = readonly [topicId: string, partition: number, endOffset: number];

export interface StoredOpenTransaction {
  readonly startedMs: number;
  /** Those that were added to it; what was written without that is known to the partitions. */
  readonly partitions: readonly StoredPartition[];
}

/** What is kept of an id whose holder is a client behind a protocol: it goes on after a restart, and asks again. */
export interface WireState {
  /** What its holder had before: a call that is repeated names it. */
  readonly previous?: ProducerIdentity;
  /** How its last transaction ended; undefined since it was taken. */
  readonly ended?: { readonly outcome: Decision; readonly transactionVersion: TransactionVersion };
  readonly open?: StoredOpenTransaction;
}

export interface ProducerState extends ProducerIdentity {
  readonly transactionalId: string;
  /** Its transactions are aborted when they are open for longer; null for never. */
  readonly timeoutMs?: number | null;
  /** Undefined for a holder in this process, whose open transaction ends with the process. */
  readonly wire?: WireState;
}

export interface DecidedTransaction extends ProducerIdentity {
  readonly outcome: Decision;
  /**
   * Where its data end in each partition, when the next transaction has the same epoch: what begins there or behind is that one's.
   * Undefined when the epoch has ended.
   */
  readonly ends?: readonly StoredEnd[];
}

export interface TransactionRecord extends ProducerState {
  /** The transaction that this record decides. */
  readonly decided?: DecidedTransaction;
}

export type StoredTransactionRecord =
  | { readonly kind: "state"; readonly offset: number; readonly timestamp: number; readonly record: TransactionRecord }
  | { readonly kind: "forgotten"; readonly offset: number; readonly transactionalId: string }
  /** Smaller producer ids may be in use. */
  | { readonly kind: "reserved"; readonly offset: number; readonly nextProducerId: number };

export function encodeTransactionRecord(record: TransactionRecord, nowMs: number): Buffer {
  const { transactionalId, ...rest } = record;
  return encode(transactionalId, { version: record.wire ? recordVersion : 1, ...rest }, nowMs);
}

export function encodeForgottenId(transactionalId: string, nowMs: number): Buffer {
  return encode(transactionalId, null, nowMs);
}

export function encodeReservation(nextProducerId: number, nowMs: number): Buffer {
  return encode("", { version: 1, nextProducerId }, nowMs);
}

/** Undefined when one of them is none of ours. Throws `LOG_FORMAT_NEWER`. */
export function decodeTransactionRecords(batch: Buffer): StoredTransactionRecord[] | undefined {
  const decoded: StoredTransactionRecord[] = [];
  for (const { offset, timestamp, key, value } of decodeBatch(batch)) {
    const transactionalId = String(key ?? "");
    if (value === null) {
      decoded.push({ kind: "forgotten", offset, transactionalId });
      continue;
    }
    const content = contentOf(value);
    if (!content) return undefined;
    const { version, nextProducerId, ...state } = content;
    if (isCount(version) && version > recordVersion) throw newer(version);
    if (isCount(nextProducerId)) decoded.push({ kind: "reserved", offset, nextProducerId });
    else if (isState(state)) {
      decoded.push({ kind: "state", offset, timestamp, record: { ...state, transactionalId } });
    } else return undefined;
  }
  return decoded;
}

/** Of a record, and of a checkpoint. */
export function isWireState(content: unknown): content is WireState {
  if (!isRecord(content)) return false;
  const { previous, ended, open } = content;
  if (previous !== undefined && !isIdentity(previous)) return false;
  if (ended !== undefined && !(isRecord(ended) && isDecision(ended.outcome) && isVersion(ended.transactionVersion))) {
    return false;
  }
  return open === undefined || isOpenTransaction(open);
}

function isOpenTransaction(content: unknown): boolean {
  if (!isRecord(content) || !Number.isFinite(content.startedMs) || !Array.isArray(content.partitions)) return false;
  return content.partitions.every(isStoredPartition);
}

function isState(content: Record<string, unknown>): content is Record<string, unknown> & TransactionRecord {
  const { decided, wire } = content;
  if (!isIdentity(content)) return false;
  if (wire !== undefined && !isWireState(wire)) return false;
  if (decided === undefined) return true;
  if (!isRecord(decided) || !isIdentity(decided) || !isDecision(decided.outcome)) return false;
  const { ends } = decided as { ends?: unknown };
  return ends === undefined || (Array.isArray(ends) && ends.every((end) => isStoredPartition(end) && isCount(end[2])));
}

function isIdentity(content: unknown): boolean {
  return isRecord(content) && isCount(content.producerId) && isCount(content.epoch);
}

function isDecision(content: unknown): content is Decision {
  return content === "commit" || content === "abort";
}

function isVersion(content: unknown): content is TransactionVersion {
  return content === 1 || content === 2;
}

function isStoredPartition(content: unknown): boolean {
  return Array.isArray(content) && typeof content[0] === "string" && isCount(content[1]);
}

function contentOf(value: Buffer): Record<string, unknown> | undefined {
  try {
    const content: unknown = JSON.parse(value.toString("utf8"));
    return isRecord(content) ? content : undefined;
  } catch {
    return undefined;
  }
}

function encode(key: string, value: unknown, nowMs: number): Buffer {
  const bytes = value === null ? null : Buffer.from(JSON.stringify(value));
  return encodeBatch([{ key: Buffer.from(key), value: bytes }], nowMs);
}

function newer(version: number): MillraceError {
  return new MillraceError(
    "LOG_FORMAT_NEWER",
    `a record of ${transactionsTopic} has version ${version}, and this Millrace reads up to ${recordVersion}`,
  );
}
