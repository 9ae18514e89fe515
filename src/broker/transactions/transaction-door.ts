/** What the answers about transactions are made of, and what they share. */

import type { Clock } from "../../base/clock.ts";
import { MillraceError } from "../../base/errors.ts";
import type { EmbeddedEngine } from "../../engine/embedded/embedded-engine.ts";
import { errorCodeOf, kafkaErrors } from "../../kafka/kafka-errors.ts";
import type { RequestContext } from "../handler.ts";

/** transaction.max.timeout.ms */
export const transactionTimeoutMsMaxDefault = 15 * 60_000;

export interface TransactionDoor {
  readonly engine: EmbeddedEngine;
  readonly clock: Clock;
  readonly transactionTimeoutMsMax?: number;
  /** Whether a principal may write to any topic at all, which lets it be idempotent (KIP-679); else the topics that there are are asked. */
  readonly mayWriteSomewhere?: (context: RequestContext) => boolean;
}

/**
 * For what the coordinator answers. Clients from before `fencedFrom` of the API know PRODUCER_FENCED by its older name; a log
 * that is shutting down is one that they look for again.
 */
export function coordinatorErrorOf(error: unknown, apiVersion = 0, fencedFrom = 1): number {
  if (MillraceError.is(error, "PRODUCER_FENCED") && apiVersion >= fencedFrom) return kafkaErrors.PRODUCER_FENCED;
  if (MillraceError.is(error, "LOG_CLOSED")) return kafkaErrors.COORDINATOR_NOT_AVAILABLE;
  return errorCodeOf(error);
}
