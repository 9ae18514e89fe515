/** What a producer is told when its batch cannot be appended (KIP-98's error codes). */
import { MillraceError } from "../base/errors.ts";
import type { PartitionPlace } from "./log-context.ts";
import type { ProducerDecision } from "./producer.ts";
import type { ProducerIdentity } from "./transaction-records.ts";

export function refusalOf(
  decision: Exclude<ProducerDecision, { outcome: "append" | "duplicate" }>,
  { topic, partition }: PartitionPlace,
  identity: ProducerIdentity,
): MillraceError {
  const where = `partition ${partition} of topic ${topic}`;
  const details = { topic, partition, ...identity };
  switch (decision.outcome) {
    case "fenced":
      return new MillraceError(
        "PRODUCER_FENCED",
        `producer ${identity.producerId} writes to ${where} under epoch ${identity.epoch}, which has ended`,
        { details: { ...details, knownEpoch: decision.epoch } },
      );
    case "out-of-order":
      return new MillraceError(
        "PRODUCER_SEQUENCE_INVALID",
        `the batch of producer ${identity.producerId} for ${where} does not begin at sequence ${decision.expected}`,
        {
          hint: "A batch before it was not appended; send that one first.",
          details: { ...details, expected: decision.expected },
        },
      );
    case "invalid-transaction-state":
      return new MillraceError(
        "TRANSACTION_INVALID",
        `producer ${identity.producerId} has another transaction open in ${where}`,
        { details: { ...details, firstOffset: decision.firstOffset } },
      );
    case "full":
      return new MillraceError(
        "PRODUCERS_EXHAUSTED",
        `${where} remembers as many producers with open transactions as it may`,
        { hint: "Wait until some of the open transactions have ended.", details },
      );
  }
}
