/** Those who write in the generated histories: what each has open, and what it may send next. */
import type { LogProducer, LogTransaction } from "../../src/log/transactions.ts";
import type { Act, ModelBatch, ModelPartition } from "./log-model.ts";

export interface OpenAct {
  readonly act: Act;
  /** For the log it began at this time at the earliest … */
  readonly startedMs: number;
  /** … and at this one at the latest. */
  startedBeforeMs: number;
}

/** Holds a transactional id in this process. */
export interface Holder {
  readonly id: string;
  producer: LogProducer | undefined;
  open: (OpenAct & { readonly transaction: LogTransaction }) | undefined;
  timeoutMs: number | null;
  busy: boolean;
  /** An append failed. */
  mustAbort: boolean;
}

/** Names itself in its batches, as clients behind a protocol do. */
export interface WireHolder {
  readonly id: string;
  identity: { readonly producerId: number; readonly epoch: number } | undefined;
  open: (OpenAct & { readonly sequences: Map<ModelPartition, number> }) | undefined;
  timeoutMs: number | null;
  busy: boolean;
}

export interface SentBatch {
  readonly batch: ModelBatch;
  readonly sequence: number;
}

/** Idempotent, without transactions; it outlives the log's restarts. */
export interface Sender {
  readonly producerId: number;
  readonly lanes: Map<ModelPartition, Lane>;
  busy: boolean;
}

export interface Lane {
  nextSequence: number;
  /** The newest last. */
  readonly sent: SentBatch[];
  /** Sent, not answered, in order: they are sent again after a start. */
  readonly unanswered: SentBatch[];
  usedMs: number;
}

export function newHolder(id: string): Holder {
  return { id, producer: undefined, open: undefined, timeoutMs: null, busy: false, mustAbort: false };
}

export function newWireHolder(id: string): WireHolder {
  return { id, identity: undefined, open: undefined, timeoutMs: null, busy: false };
}
