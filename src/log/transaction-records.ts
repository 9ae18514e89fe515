/**
 * Records of `_millrace.transactions` (docs/internals/formats/transaction-state.md). Each says what a transactional id
 * has from here on, so that the newest record of an id is its state, and the decided transaction where there is one.
 * A record without a value forgets its id. The record with the empty key says up to where producer ids are given out.
 */
import { encodeBatch } from "../records/batch-builder.ts";
import { decodeBatch } from "../records/batch-records.ts";
import { isCount, isRecord } from "./checked-file.ts";

export const transactionsTopic = "_millrace.transactions";

export interface ProducerIdentity {
  readonly producerId: number;
  readonly epoch: number;
}

export interface ProducerState extends ProducerIdentity {
  readonly transactionalId: string;
  /** Its transactions are aborted when they are open for longer; null for never. */
  readonly timeoutMs?: number | null;
}

export type Decision = "commit" | "abort";

export interface TransactionRecord extends ProducerState {
  /** The transaction that this record decides. */
  readonly decided?: ProducerIdentity & { readonly outcome: Decision };
}

export type StoredTransactionRecord =
  | { readonly kind: "state"; readonly offset: number; readonly timestamp: number; readonly record: TransactionRecord }
  | { readonly kind: "forgotten"; readonly offset: number; readonly transactionalId: string }
  /** Smaller producer ids may be in use. */
  | { readonly kind: "reserved"; readonly offset: number; readonly nextProducerId: number };

export function encodeTransactionRecord(record: TransactionRecord, nowMs: number): Buffer {
  const { transactionalId, ...rest } = record;
  return encode(transactionalId, { version: 1, ...rest }, nowMs);
}

export function encodeForgottenId(transactionalId: string, nowMs: number): Buffer {
  return encode(transactionalId, null, nowMs);
}

export function encodeReservation(nextProducerId: number, nowMs: number): Buffer {
  return encode("", { version: 1, nextProducerId }, nowMs);
}

/** Undefined when one of them is none of ours. */
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
    const { nextProducerId } = content;
    if (isCount(nextProducerId)) decoded.push({ kind: "reserved", offset, nextProducerId });
    else if (isState(content)) {
      decoded.push({ kind: "state", offset, timestamp, record: { ...content, transactionalId } });
    } else return undefined;
  }
  return decoded;
}

function contentOf(value: Buffer): Record<string, unknown> | undefined {
  try {
    const content: unknown = JSON.parse(value.toString("utf8"));
    return isRecord(content) ? content : undefined;
  } catch {
    return undefined;
  }
}

function isState(content: Record<string, unknown>): content is Record<string, unknown> & TransactionRecord {
  const { decided } = content;
  if (!isCount(content.producerId) || !isCount(content.epoch)) return false;
  if (decided === undefined) return true;
  if (!isRecord(decided) || !isCount(decided.producerId) || !isCount(decided.epoch)) return false;
  return decided.outcome === "commit" || decided.outcome === "abort";
}

function encode(key: string, value: unknown, nowMs: number): Buffer {
  const bytes = value === null ? null : Buffer.from(JSON.stringify(value));
  return encodeBatch([{ key: Buffer.from(key), value: bytes }], nowMs);
}
