/** Those who write in the generated histories: what each has open, and what it may send next. */
import type { TransactionVersion } from "../../src/log/producer.ts";
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

/** Names itself in its batches, as clients behind a protocol do, and outlives the log's restarts. */
export interface WireHolder {
  readonly id: string;
  readonly version: TransactionVersion;
  identity: { readonly producerId: number; readonly epoch: number } | undefined;
  open: WireAct | undefined;
  /** Those that it has given up, and the log may have open until the id is taken again. */
  left: Act[];
  /** What it sends next: under version 1 they count on over transactions. */
  readonly sequences: Map<ModelPartition, WireLane>;
  timeoutMs: number | null;
  busy: boolean;
  /** A call was not answered: it waits for a start, and calls again. */
  isStuck: boolean;
}

export interface WireAct extends OpenAct {
  /** Under version 1: those that may be written to. */
  readonly added: Set<ModelPartition>;
  /** And those that may have been added. */
  readonly asked: Set<ModelPartition>;
  /** Not answered. */
  unanswered: SentBatch | undefined;
  /** Asked for, and not answered. It must be done when it is asked for again, unless the disk refused it alone. */
  ending: { readonly outcome: "commit" | "abort"; readonly mustWork: boolean } | undefined;
}

export interface WireLane {
  readonly nextSequence: number;
  readonly last: ModelBatch;
  readonly usedMs: number;
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

export function newWireHolder(id: string, version: TransactionVersion): WireHolder {
  return {
    id,
    version,
    identity: undefined,
    open: undefined,
    left: [],
    sequences: new Map(),
    timeoutMs: null,
    busy: false,
    isStuck: false,
  };
}
