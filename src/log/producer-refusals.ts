/** What a producer is told when its batch cannot be appended (KIP-98's error codes). */
import { MillraceError } from "../base/errors.ts";
import type { PartitionPlace } from "./log-context.ts";
import type { ProducerDecision } from "./producer.ts";
import type { ProducerIdentity } from "./transaction-records.ts";

type Place = Pick<PartitionPlace, "topic" | "partition">;

export function refusalOf(
  decision: Exclude<ProducerDecision, { outcome: "append" | "duplicate" }>,
  { topic, partition }: Place,
  identity: ProducerIdentity,
): MillraceError {
  const where = `partition ${partition} of topic ${topic}`;
  const details = { topic, partition, ...identity };
  switch (decision.outcome) {
    case "fenced":
      return producerFenced({ topic, partition }, identity, decision.epoch);
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

export function producerFenced(
  { topic, partition }: Place,
  { producerId, epoch }: ProducerIdentity,
  knownEpoch: number,
): MillraceError {
  return new MillraceError(
    "PRODUCER_FENCED",
    `producer ${producerId} writes to partition ${partition} of topic ${topic} under epoch ${epoch}, which has ended`,
    { details: { topic, partition, producerId, epoch, knownEpoch } },
  );
}

/** Under version 1 of transactions. */
export function partitionMissing({ topic, partition }: Place, { producerId, epoch }: ProducerIdentity): MillraceError {
  return new MillraceError(
    "TRANSACTION_PARTITION_MISSING",
    `partition ${partition} of topic ${topic} was not added to a transaction of producer ${producerId}`,
    { details: { topic, partition, producerId, epoch } },
  );
}
