/**
 * Records of `_millrace.transactions` (docs/internals/formats/transaction-state.md). Each says what a transactional id
 * has from here on, so that the newest record of an id is its state, and the decided transaction where there is one.
 */
import { encodeBatch } from "../records/batch-builder.ts";
import { decodeBatch } from "../records/batch-records.ts";

export const transactionsTopic = "_millrace.transactions";

export interface ProducerState {
  readonly transactionalId: string;
  readonly producerId: number;
  /** Of its next transaction. */
  readonly epoch: number;
}

export type Decision = "commit" | "abort";

export interface TransactionRecord extends ProducerState {
  /** The transaction that this record decides. */
  readonly decided?: { readonly outcome: Decision; readonly producerId: number; readonly epoch: number };
}

export function encodeTransactionRecord(record: TransactionRecord, nowMs: number): Buffer {
  const { transactionalId, ...rest } = record;
  const value = Buffer.from(JSON.stringify({ version: 1, ...rest }));
  return encodeBatch([{ key: Buffer.from(transactionalId), value }], nowMs);
}

export function decodeTransactionRecords(batch: Buffer): TransactionRecord[] {
  return decodeBatch(batch).map(({ key, value }) => ({
    ...(JSON.parse(String(value)) as Omit<TransactionRecord, "transactionalId">),
    transactionalId: String(key),
  }));
}
