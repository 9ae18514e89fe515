/** Finding topics for a request: by name or id, as far as the principal may know of them. */
import { MillraceError } from "../base/errors.ts";
import type { EmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { TopicInfo } from "../engine/engine.ts";
import { kafkaErrors } from "../kafka/kafka-errors.ts";
import type { RequestContext } from "./handler.ts";

const internalPrefix = "_millrace.";

/** Kafka's own topics: nobody makes or writes them here. */
export const kafkaInternalTopics: ReadonlySet<string> = new Set([
  "__consumer_offsets",
  "__transaction_state",
  "__share_group_state",
  "__cluster_metadata",
]);

/** Subscriptions by pattern leave internal topics out. */
export function isInternalTopic(name: string): boolean {
  return name.startsWith(internalPrefix) || kafkaInternalTopics.has(name);
}

/** Kafka takes names for the same that differ by dots and underscores only; what is made through its door keeps to that. */
export function collisionOf(engine: Pick<EmbeddedEngine, "topics">, name: string): string | undefined {
  if (!/[._]/.test(name)) return undefined;
  const folded = name.replaceAll(".", "_");
  return engine.topics().find((one) => one.name !== name && one.name.replaceAll(".", "_") === folded)?.name;
}

export type FoundTopic =
  | { readonly topic: TopicInfo; readonly errorCode: 0 }
  | { readonly topic: undefined; readonly errorCode: number };

/**
 * By `name`, or by `topicId` where the version of the request has ids. A topic that the principal may not even describe is
 * answered as Kafka does: by name as not authorized, by id as well.
 */
export function findTopic(
  engine: EmbeddedEngine,
  context: Pick<RequestContext, "allows">,
  verb: "read" | "write" | "describe",
  wanted: { readonly name: string } | { readonly topicId: string },
): FoundTopic {
  const isById = "topicId" in wanted;
  const topic = isById ? engine.topicById(wanted.topicId) : engine.topic(wanted.name);
  const name = isById ? topic?.name : wanted.name;
  if (name === undefined) return { topic: undefined, errorCode: kafkaErrors.UNKNOWN_TOPIC_ID };
  if (!context.allows(verb, "topic", name)) {
    return { topic: undefined, errorCode: kafkaErrors.TOPIC_AUTHORIZATION_FAILED };
  }
  if (!topic) return { topic, errorCode: kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION };
  return { topic, errorCode: 0 };
}

/** Throws `PARTITION_UNKNOWN`. */
export function checkPartition(topic: TopicInfo, partition: number): void {
  if (partition >= 0 && partition < topic.settings.partitions) return;
  throw new MillraceError("PARTITION_UNKNOWN", `topic ${topic.name} has no partition ${partition}`, {
    details: { topic: topic.name, partition },
  });
}
