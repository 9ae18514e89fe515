/**
 * Records of `_millrace.transactions` (docs/internals/formats/transaction-state.md). Each says what a transactional id
 * has from here on, so that the newest record of an id is its state, and the decided transaction where there is one.
 * A record without a value forgets its id. The record with the empty key says up to where producer ids are given out.
 */
import { encodeBatch } from "../records/batch-builder.ts";
import { decodeBatch } from "../records/batch-records.ts";

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

export function decodeTransactionRecords(batch: Buffer): StoredTransactionRecord[] {
  return decodeBatch(batch).map(({ offset, timestamp, key, value }) => {
    const transactionalId = String(key ?? "");
    if (value === null) return { kind: "forgotten", offset, transactionalId };
    const content = JSON.parse(String(value)) as TransactionRecord & { readonly nextProducerId?: number };
    if (content.nextProducerId !== undefined) {
      return { kind: "reserved", offset, nextProducerId: content.nextProducerId };
    }
    return { kind: "state", offset, timestamp, record: { ...content, transactionalId } };
  });
}

function encode(key: string, value: unknown, nowMs: number): Buffer {
  const bytes = value === null ? null : Buffer.from(JSON.stringify(value));
  return encodeBatch([{ key: Buffer.from(key), value: bytes }], nowMs);
}
