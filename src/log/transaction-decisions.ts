/**
 * What a client behind a protocol may do with its transactional id: the answers of Kafka's transaction coordinator, as
 * functions of what is kept of the id. They touch nothing; transaction-coordinator.ts does what they say.
 *
 * Under version 1 a producer keeps its epoch until it is initialised anew; under version 2 (KIP-890) the epoch grows with
 * each end, and a repeated end is known by the epoch before.
 */
import { MillraceError } from "../base/errors.ts";
import type { TransactionVersion } from "./producer.ts";
import type { Decision, ProducerIdentity, ProducerState } from "./transaction-records.ts";

/** Kafka gives no client a larger one. */
const wireEpochMax = 32_766;
const epochMax = 32_767;

/** What an id is doing. */
export type Doing =
  | { readonly kind: "none" | "open" | "fencing" }
  | { readonly kind: "ending"; readonly outcome: Decision };

export interface Known {
  readonly state: ProducerState | undefined;
  readonly doing: Doing;
}

export type Refusal = "unknown" | "fenced" | "concurrent" | "invalid";

type Refused = { readonly kind: "refused"; readonly why: Refusal };

export type InitDecision =
  /** A producer id of its own, or the next epoch; `previous` is what a repetition of this call will name. */
  | { readonly kind: "new" | "next"; readonly previous: ProducerIdentity | undefined }
  /** The call is a repetition. */
  | { readonly kind: "same" }
  | Refused;

export type EndDecision =
  | { readonly kind: "end" }
  /** Nothing was written; only the epoch grows. */
  | { readonly kind: "end-empty" }
  /** The call is a repetition of one that was done. */
  | { readonly kind: "same" }
  | Refused;

export function isEpochLast({ epoch, wire }: ProducerState): boolean {
  return epoch >= (wire ? wireEpochMax : epochMax);
}

/** InitProducerId; `expected` is what the client says it has (KIP-360). */
export function decideInit({ state, doing }: Known, expected: ProducerIdentity | undefined): InitDecision {
  if (!state) return { kind: "new", previous: undefined };
  const isCurrent = isSame(expected, state);
  if (!expected || isCurrent) {
    const { producerId, epoch } = state;
    return { kind: isEpochLast(state) ? "new" : "next", previous: expected && { producerId, epoch } };
  }
  const isRepeated = isSame(expected, state.wire?.previous);
  // Whoever has the open transaction has heard of its epoch, so that the repetition is a late one.
  return isRepeated && doing.kind === "none" ? { kind: "same" } : refused("fenced");
}

/** AddPartitionsToTxn, AddOffsetsToTxn, and a batch of records. */
export function decideJoin({ state, doing }: Known, producer: ProducerIdentity): { readonly kind: "join" } | Refused {
  if (!state?.wire || state.producerId !== producer.producerId) return refused("unknown");
  if (state.epoch !== producer.epoch || doing.kind === "fencing") return refused("fenced");
  return doing.kind === "ending" ? refused("concurrent") : { kind: "join" };
}

/** EndTxn. */
export function decideEnd(
  known: Known,
  producer: ProducerIdentity,
  outcome: Decision,
  version: TransactionVersion,
): EndDecision {
  const { state, doing } = known;
  if (!state?.wire) return refused("unknown");
  const { previous, ended } = state.wire;
  const isRepeated = version === 2 && ended?.transactionVersion === 2 && isSame(producer, previous);
  if (isRepeated) {
    if (doing.kind !== "none") return refused("fenced");
    return ended.outcome === outcome ? { kind: "same" } : refused("invalid");
  }
  if (state.producerId !== producer.producerId) return refused("unknown");
  if (state.epoch !== producer.epoch || doing.kind === "fencing") return refused("fenced");
  if (doing.kind === "open") return { kind: "end" };
  if (doing.kind === "ending") return refused(doing.outcome === outcome ? "concurrent" : "invalid");
  if (version === 1) return ended?.outcome === outcome ? { kind: "same" } : refused("invalid");
  return outcome === "abort" ? { kind: "end-empty" } : refused("invalid");
}

export function refusal(why: Refusal, transactionalId: string, producer: ProducerIdentity): MillraceError {
  const details = { transactionalId, producerId: producer.producerId, epoch: producer.epoch };
  switch (why) {
    case "unknown":
      return new MillraceError(
        "PRODUCER_UNKNOWN",
        `transactional id ${transactionalId} does not have the producer id ${producer.producerId}`,
        { details },
      );
    case "fenced":
      return new MillraceError("PRODUCER_FENCED", `a newer producer has taken over ${transactionalId}`, { details });
    case "concurrent":
      return new MillraceError("TRANSACTION_CONCURRENT", `the transaction of ${transactionalId} is being ended`, {
        details,
      });
    case "invalid":
      return notOpen(transactionalId);
  }
}

export function notOpen(transactionalId: string): MillraceError {
  return new MillraceError("TRANSACTION_INVALID", `the transaction of ${transactionalId} is not open`, {
    details: { transactionalId },
  });
}

function isSame(one: ProducerIdentity | undefined, other: ProducerIdentity | undefined): boolean {
  return one !== undefined && one.producerId === other?.producerId && one.epoch === other.epoch;
}

function refused(why: Refusal): Refused {
  return { kind: "refused", why };
}
