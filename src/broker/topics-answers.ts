/**
 * CreateTopics, CreatePartitions and DeleteTopics, with Kafka's refusals in Kafka's words. There is one broker: a replication
 * factor of 1, or none said, is what can be had.
 */
import { clusterName } from "../access/access-rules.ts";
import { MillraceError } from "../base/errors.ts";
import type { TopicSettings } from "../engine/engine.ts";
import { checkTopicName } from "../engine/topic-settings.ts";
import { createPartitions } from "../kafka/apis/create-partitions.ts";
import { createTopics } from "../kafka/apis/create-topics.ts";
import { deleteTopics } from "../kafka/apis/delete-topics.ts";
import { type RequestOf, type ResponseInput, zeroUuid } from "../kafka/fields.ts";
import { errorCodeOf, kafkaErrors } from "../kafka/kafka-errors.ts";
import { nodeId } from "./broker-node.ts";
import { describeTopicConfigs, planTopicSettings } from "./configs/topic-configs.ts";
import type { DoorContext } from "./door-context.ts";
import { type Answer, answers, type RequestContext } from "./handler.ts";
import { collisionOf, isInternalTopic } from "./topic-access.ts";

type CreatableTopic = RequestOf<typeof createTopics>["topics"][number];
type CreatedTopic = ResponseInput<typeof createTopics>["topics"][number];
type GrownTopic = RequestOf<typeof createPartitions>["topics"][number];
type DeletedTopic = ResponseInput<typeof deleteTopics>["responses"][number];

interface Refusal {
  readonly errorCode: number;
  readonly errorMessage: string | null;
}

/** Of all topics that one request makes. */
const newPartitionsMax = 10_000;

export function topicsAnswers(door: DoorContext): Answer[] {
  return [
    answers(createTopics, async (request, context) => {
      const duplicates = repeated(request.topics.map(({ name }) => name));
      const once = request.topics.filter(({ name }) => !duplicates.has(name));
      const excessive =
        newPartitionsOf(door, once) > newPartitionsMax
          ? refusal(kafkaErrors.POLICY_VIOLATION, "Excessively large number of partitions per request.")
          : undefined;
      const topics: CreatedTopic[] = [];
      for (const wanted of unique(request.topics)) {
        const outcome = duplicates.has(wanted.name)
          ? refusal(kafkaErrors.INVALID_REQUEST, "Duplicate topic name.")
          : (excessive ?? (await createOne(door, wanted, request.validateOnly, context)));
        topics.push({ name: wanted.name, topicId: zeroUuid, configs: [], ...outcome });
      }
      return { topics };
    }),

    answers(createPartitions, async (request, context) => {
      const duplicates = repeated(request.topics.map(({ name }) => name));
      const results = [];
      for (const wanted of unique(request.topics)) {
        const outcome = duplicates.has(wanted.name)
          ? refusal(kafkaErrors.INVALID_REQUEST, "Duplicate topic name.")
          : await growOne(door, wanted, request.validateOnly, context);
        results.push({ name: wanted.name, ...outcome });
      }
      return { results };
    }),

    answers(deleteTopics, async (request, context) => {
      const asked =
        context.apiVersion >= 6 ? request.topics : request.topicNames.map((name) => ({ name, topicId: zeroUuid }));
      const wanted = asked.filter(({ name, topicId }) => (name === null) !== (topicId === zeroUuid));
      const duplicates = repeated(wanted.map(({ name, topicId }) => name ?? topicId));
      const named = namedAndIdentified(door, wanted, context);
      const responses: DeletedTopic[] = asked.filter((one) => !wanted.includes(one)).map(unclear);
      for (const { name, topicId } of uniqueBy(wanted, (one) => one.name ?? one.topicId)) {
        if (name === null && [...named.values()].includes(topicId)) continue;
        const id = name === null ? undefined : named.get(name);
        if (id !== undefined) {
          const words = "The provided topic name maps to an ID that was already supplied.";
          responses.push({ name, topicId: id, ...refusal(kafkaErrors.INVALID_REQUEST, words) });
          continue;
        }
        const outcome = duplicates.has(name ?? topicId)
          ? refusal(kafkaErrors.INVALID_REQUEST, "Duplicate topic name.")
          : await deleteOne(door, name, topicId, context);
        responses.push({ name, topicId, ...outcome });
      }
      return { responses };
    }),
  ];
}

/** Of a topic that is named in both ways, or in none. */
function unclear({ name, topicId }: { readonly name: string | null; readonly topicId: string }): DeletedTopic {
  const words =
    name === null ? "Neither topic name nor id were specified." : "You may not specify both topic name and topic id.";
  return { name, topicId, ...refusal(kafkaErrors.INVALID_REQUEST, words) };
}

function newPartitionsOf(door: DoorContext, topics: readonly CreatableTopic[]): number {
  const wanted = topics.map(({ numPartitions, assignments }) => {
    if (assignments.length > 0) return assignments.length;
    return numPartitions === -1 ? door.settings.partitionsDefault : Math.max(0, numPartitions);
  });
  return wanted.reduce((sum, partitions) => sum + partitions, 0);
}

async function createOne(
  door: DoorContext,
  wanted: CreatableTopic,
  validateOnly: boolean,
  context: RequestContext,
): Promise<Omit<Partial<CreatedTopic>, "errorMessage"> & Refusal> {
  const { name } = wanted;
  if (!context.allows("create", "cluster", clusterName) && !context.allows("create", "topic", name)) {
    return refusal(kafkaErrors.TOPIC_AUTHORIZATION_FAILED, "Authorization failed.");
  }
  try {
    checkTopicName(name);
    if (isInternalTopic(name)) {
      return refusal(kafkaErrors.INVALID_TOPIC_EXCEPTION, `Topic name ${name} is kept for the broker.`);
    }
    if (door.engine.topic(name)) return refusal(kafkaErrors.TOPIC_ALREADY_EXISTS, `Topic '${name}' already exists.`);
    const colliding = collisionOf(door.engine, name);
    if (colliding !== undefined) {
      return refusal(kafkaErrors.INVALID_TOPIC_EXCEPTION, `Topic '${name}' collides with existing topic: ${colliding}`);
    }
    // Of a config that stands there twice the last one counts, but null, which is refused, always does.
    const nulls = wanted.configs.filter(({ value }) => value === null);
    const configs = [...wanted.configs, ...nulls].map(({ name, value }) => [name, value] as const);
    const planned = planTopicSettings(new Map(configs));
    if ("error" in planned) return refusal(kafkaErrors.INVALID_CONFIG, planned.error);
    const partitions = partitionsOf(door, wanted);
    if (typeof partitions !== "number") return partitions;
    const settings: Partial<TopicSettings> = { ...planned.settings, partitions };
    const throttled = validateOnly ? undefined : admitMutation(door, context, 6, partitions);
    if (throttled) return throttled;
    const topic = validateOnly
      ? undefined
      : await door.engine.createTopic(name, settings, { configs: planned.configs });
    return {
      errorCode: 0,
      errorMessage: null,
      numPartitions: partitions,
      replicationFactor: 1,
      topicId: topic?.id ?? zeroUuid,
      ...createdConfigs(planned, name, context),
    };
  } catch (error) {
    if (MillraceError.is(error, "TOPIC_EXISTS")) {
      return refusal(kafkaErrors.TOPIC_ALREADY_EXISTS, `Topic '${name}' already exists.`);
    }
    return refusalOf(error);
  }
}

/** What Kafka's ReplicationControlManager checks, in its order. */
function partitionsOf(door: DoorContext, wanted: CreatableTopic): number | Refusal {
  const { numPartitions, replicationFactor, assignments } = wanted;
  if (assignments.length > 0) return assignedPartitions(wanted);
  if (replicationFactor === 0 || replicationFactor < -1) {
    return refusal(
      kafkaErrors.INVALID_REPLICATION_FACTOR,
      "Replication factor must be larger than 0, or -1 to use the default value.",
    );
  }
  if (numPartitions === 0 || numPartitions < -1) {
    return refusal(kafkaErrors.INVALID_PARTITIONS, "Number of partitions was set to an invalid non-positive value.");
  }
  if (replicationFactor > 1) {
    return refusal(
      kafkaErrors.INVALID_REPLICATION_FACTOR,
      `Unable to replicate the partition ${replicationFactor} time(s): The target replication factor of ` +
        `${replicationFactor} cannot be reached because only 1 broker(s) are registered.`,
    );
  }
  return numPartitions === -1 ? door.settings.partitionsDefault : numPartitions;
}

function assignedPartitions({ numPartitions, replicationFactor, assignments }: CreatableTopic): number | Refusal {
  if (replicationFactor !== -1) {
    return refusal(
      kafkaErrors.INVALID_REQUEST,
      "A manual partition assignment was specified, but replication factor was not set to -1.",
    );
  }
  if (numPartitions !== -1) {
    return refusal(
      kafkaErrors.INVALID_REQUEST,
      "A manual partition assignment was specified, but numPartitions was not set to -1.",
    );
  }
  const indexes = new Set(assignments.map(({ partitionIndex }) => partitionIndex));
  if (indexes.size !== assignments.length) {
    return refusal(
      kafkaErrors.INVALID_REPLICA_ASSIGNMENT,
      "Found multiple manual partition assignments for one partition.",
    );
  }
  for (const { partitionIndex, brokerIds } of assignments) {
    const refused = checkAssignment(brokerIds, partitionIndex);
    if (refused) return refused;
  }
  for (let index = 0; index < assignments.length; index++) {
    if (indexes.has(index)) continue;
    return refusal(
      kafkaErrors.INVALID_REPLICA_ASSIGNMENT,
      "partitions should be a consecutive 0-based integer sequence",
    );
  }
  return assignments.length;
}

function checkAssignment(brokerIds: readonly number[], partition: number): Refusal | undefined {
  if (brokerIds.length === 0) {
    return refusal(
      kafkaErrors.INVALID_REPLICA_ASSIGNMENT,
      `The manual partition assignment includes an empty replica list for partition ${partition}.`,
    );
  }
  const stranger = brokerIds.find((id) => id !== nodeId);
  if (stranger !== undefined) {
    return refusal(
      kafkaErrors.INVALID_REPLICA_ASSIGNMENT,
      `The manual partition assignment includes broker ${stranger}, but no such broker is registered.`,
    );
  }
  if (brokerIds.length > 1) {
    return refusal(
      kafkaErrors.INVALID_REPLICA_ASSIGNMENT,
      `The manual partition assignment includes the broker ${nodeId} more than once.`,
    );
  }
  return undefined;
}

function createdConfigs(
  planned: Extract<ReturnType<typeof planTopicSettings>, { readonly settings: unknown }>,
  name: string,
  context: RequestContext,
): Omit<Partial<CreatedTopic>, "errorMessage"> {
  if (context.apiVersion < 5) return {};
  if (!context.allows("describe-configs", "topic", name)) {
    return {
      topicConfigErrorCode: kafkaErrors.TOPIC_AUTHORIZATION_FAILED,
      numPartitions: -1,
      replicationFactor: -1,
      configs: [],
    };
  }
  return {
    configs: describeTopicConfigs(planned, null).map(({ name: config, value, readOnly, source, isSensitive }) => ({
      name: config,
      value,
      readOnly,
      configSource: source,
      isSensitive,
    })),
  };
}

async function growOne(
  door: DoorContext,
  { name, count, assignments }: GrownTopic,
  validateOnly: boolean,
  context: RequestContext,
): Promise<Refusal> {
  if (!context.allows("alter", "topic", name)) {
    return refusal(kafkaErrors.TOPIC_AUTHORIZATION_FAILED, "The topic authorization is failed.");
  }
  const topic = door.engine.topic(name);
  if (!topic) return refusal(kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION, null);
  if (topic.readOnly) return readOnly(name);
  const has = topic.settings.partitions;
  if (count === has) return refusal(kafkaErrors.INVALID_PARTITIONS, `Topic already has ${has} partition(s).`);
  if (count < has) {
    return refusal(
      kafkaErrors.INVALID_PARTITIONS,
      `The topic ${name} currently has ${has} partition(s); ${count} would not be an increase.`,
    );
  }
  if (assignments !== null) {
    if (assignments.length !== count - has) {
      return refusal(
        kafkaErrors.INVALID_REPLICA_ASSIGNMENT,
        `Attempted to add ${count - has} additional partition(s), but only ${assignments.length} assignment(s) were specified.`,
      );
    }
    for (const [i, { brokerIds }] of assignments.entries()) {
      const refused = checkAssignment(brokerIds, has + i);
      if (refused) return refused;
    }
  }
  try {
    const throttled = validateOnly ? undefined : admitMutation(door, context, 3, count - has);
    if (throttled) return throttled;
    if (!validateOnly) await door.engine.alterTopic(name, { partitions: count });
    return refusal(0, null);
  } catch (error) {
    if (MillraceError.is(error, "SETTING_INVALID")) return refusal(kafkaErrors.INVALID_PARTITIONS, error.message);
    return refusalOf(error);
  }
}

/** Ids of topics that a request names and gives the ids of as well, by name; as far as the principal may delete them. */
function namedAndIdentified(
  door: DoorContext,
  wanted: readonly { readonly name: string | null; readonly topicId: string }[],
  context: RequestContext,
): Map<string, string> {
  const ids = new Set(wanted.filter(({ name }) => name === null).map(({ topicId }) => topicId));
  const found = new Map<string, string>();
  for (const { name, topicId } of wanted) {
    const topic = name === null || topicId !== zeroUuid ? undefined : door.engine.topic(name);
    if (topic && ids.has(topic.id) && context.allows("delete", "topic", topic.name)) found.set(topic.name, topic.id);
  }
  return found;
}

async function deleteOne(
  door: DoorContext,
  name: string | null,
  topicId: string,
  context: RequestContext,
): Promise<Omit<Partial<DeletedTopic>, "errorMessage"> & Refusal> {
  const topic = name === null ? door.engine.topicById(topicId) : door.engine.topic(name);
  const called = topic?.name ?? name;
  if (called === null || called === undefined) {
    return refusal(kafkaErrors.UNKNOWN_TOPIC_ID, "This server does not host this topic ID.");
  }
  if (!context.allows("describe", "topic", called) || !context.allows("delete", "topic", called)) {
    return refusal(kafkaErrors.TOPIC_AUTHORIZATION_FAILED, null);
  }
  if (!topic) {
    return refusal(kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition.");
  }
  const names = { name: topic.name, topicId: topic.id };
  if (topic.readOnly || isInternalTopic(called)) return { ...names, ...readOnly(called) };
  const throttled = admitMutation(door, context, 5, topic.settings.partitions);
  if (throttled) return { ...names, ...throttled };
  try {
    await door.engine.deleteTopic(called);
    return { ...names, ...refusal(0, null) };
  } catch (error) {
    return { ...names, ...refusalOf(error) };
  }
}

/** Clients from a version on are refused while they have made or deleted more partitions than they may (KIP-599). */
function admitMutation(
  { quotas }: DoorContext,
  { apiVersion, principal, clientId }: RequestContext,
  strictFrom: number,
  partitions: number,
): Refusal | undefined {
  if (apiVersion >= strictFrom && quotas.throttleMs("mutation", principal, clientId) > 0) {
    return refusal(kafkaErrors.THROTTLING_QUOTA_EXCEEDED, "The throttling quota has been exceeded.");
  }
  quotas.record("mutation", principal, clientId, partitions);
  return undefined;
}

function readOnly(name: string): Refusal {
  return refusal(kafkaErrors.TOPIC_AUTHORIZATION_FAILED, `Topic ${name} is Millrace's own, or a source's.`);
}

function refusal(errorCode: number, errorMessage: string | null): Refusal {
  return { errorCode, errorMessage };
}

function refusalOf(error: unknown): Refusal {
  return refusal(errorCodeOf(error), MillraceError.from(error).message);
}

function repeated(names: readonly string[]): Set<string> {
  const seen = new Set<string>();
  return new Set(names.filter((name) => seen.has(name) || !seen.add(name)));
}

function unique<T extends { readonly name: string }>(wanted: readonly T[]): T[] {
  return uniqueBy(wanted, ({ name }) => name);
}

function uniqueBy<T>(wanted: readonly T[], keyOf: (one: T) => string): T[] {
  return [...new Map(wanted.map((one) => [keyOf(one), one])).values()];
}
