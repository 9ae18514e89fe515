/** Metadata and DescribeTopicPartitions: which topics there are, and that this broker leads all of their partitions. */
import { clusterName } from "../access/access-rules.ts";
import { MillraceError } from "../base/errors.ts";
import type { EmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { TopicInfo } from "../engine/engine.ts";
import { describeTopicPartitions } from "../kafka/apis/describe-topic-partitions.ts";
import { metadata } from "../kafka/apis/metadata.ts";
import { type RequestOf, type ResponseInput, zeroUuid } from "../kafka/fields.ts";
import { errorCodeOf, kafkaErrors } from "../kafka/kafka-errors.ts";
import { authorizedOperations } from "./authorized-operations.ts";
import { nodeId } from "./broker-node.ts";
import { kafkaTopicDefaults } from "./configs/topic-configs.ts";
import type { DoorContext } from "./door-context.ts";
import { type Answer, answers, type RequestContext } from "./handler.ts";
import { collisionOf, isInternalTopic, kafkaInternalTopics } from "./topic-access.ts";

type MetadataRequest = RequestOf<typeof metadata>;
type MetadataTopic = NonNullable<ResponseInput<typeof metadata>["topics"]>[number];

export function metadataAnswers(door: DoorContext): Answer[] {
  return [
    answers(metadata, (request, context) => answerMetadata(door, request, context)),
    answers(describeTopicPartitions, (request, context) => answerTopicPartitions(door, request, context)),
  ];
}

async function answerMetadata(
  door: DoorContext,
  request: MetadataRequest,
  context: RequestContext,
): Promise<ResponseInput<typeof metadata>> {
  const { apiVersion } = context;
  const isAll = request.topics === null || (apiVersion === 0 && request.topics.length === 0);
  const topics = isAll
    ? door.engine
        .topics()
        .filter(({ name }) => context.allows("describe", "topic", name))
        .map((topic) => known(door.engine, topic))
    : await wantedTopics(door, request, context);
  if (request.includeTopicAuthorizedOperations) {
    for (const topic of topics) {
      if (typeof topic.name === "string" && topic.errorCode !== kafkaErrors.TOPIC_AUTHORIZATION_FAILED) {
        topic.topicAuthorizedOperations = authorizedOperations(context, "topic", topic.name);
      }
    }
  }
  return {
    brokers: [{ nodeId, ...door.node.endpoint(context), rack: null }],
    clusterId: door.node.clusterId,
    controllerId: nodeId,
    topics,
    ...(request.includeClusterAuthorizedOperations && {
      clusterAuthorizedOperations: context.allows("describe", "cluster", clusterName)
        ? authorizedOperations(context, "cluster", clusterName)
        : 0,
    }),
  };
}

async function wantedTopics(
  door: DoorContext,
  request: MetadataRequest,
  context: RequestContext,
): Promise<Mutable<MetadataTopic>[]> {
  const wanted = request.topics ?? [];
  const byId = wanted.filter(({ topicId }) => topicId !== zeroUuid);
  if (byId.length > 0) {
    return [...new Set(byId.map(({ topicId }) => topicId))].map((topicId) => {
      const topic = door.engine.topicById(topicId);
      if (!topic) return failed(kafkaErrors.UNKNOWN_TOPIC_ID, null, topicId);
      if (!context.allows("describe", "topic", topic.name)) {
        return failed(kafkaErrors.TOPIC_AUTHORIZATION_FAILED, null, topicId);
      }
      return known(door.engine, topic);
    });
  }
  const names = new Set(wanted.map(({ name }) => name));
  return await Promise.all(
    [...names].map(async (name) => {
      if (name === null) return failed(kafkaErrors.INVALID_REQUEST, "");
      if (!context.allows("describe", "topic", name)) return failed(kafkaErrors.TOPIC_AUTHORIZATION_FAILED, name);
      const topic = door.engine.topic(name);
      if (topic) return known(door.engine, topic);
      const mayCreate = request.allowAutoTopicCreation && door.settings.autoCreateTopics;
      return mayCreate ? await create(door, name, context) : unknown(name);
    }),
  );
}

/** Who asks for a topic that is not there may get it made (auto.create.topics.enable). */
async function create(door: DoorContext, name: string, context: RequestContext): Promise<Mutable<MetadataTopic>> {
  if (!context.allows("create", "cluster", clusterName) && !context.allows("create", "topic", name)) {
    return failed(kafkaErrors.TOPIC_AUTHORIZATION_FAILED, name);
  }
  if (isInternalTopic(name) || collisionOf(door.engine, name) !== undefined) {
    return failed(kafkaErrors.INVALID_TOPIC_EXCEPTION, name);
  }
  try {
    return known(
      door.engine,
      await door.engine.createTopic(name, { ...kafkaTopicDefaults, partitions: door.settings.partitionsDefault }),
    );
  } catch (error) {
    // Somebody else made it meanwhile, as it may be.
    const topic = MillraceError.is(error, "TOPIC_EXISTS") ? door.engine.topic(name) : undefined;
    return topic ? known(door.engine, topic) : failed(errorCodeOf(error), name);
  }
}

function unknown(name: string): Mutable<MetadataTopic> {
  const isNamed = /^[A-Za-z0-9._-]{1,249}$/.test(name) && name !== "." && name !== "..";
  return failed(isNamed ? kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION : kafkaErrors.INVALID_TOPIC_EXCEPTION, name);
}

function known(engine: EmbeddedEngine, topic: TopicInfo): Mutable<MetadataTopic> {
  return {
    errorCode: 0,
    name: topic.name,
    topicId: topic.id,
    isInternal: isInternalTopic(topic.name),
    partitions: partitionsOf(engine, topic, 0, topic.settings.partitions),
  };
}

const here = [nodeId];
const nowhere: number[] = [];

function partitionsOf(engine: EmbeddedEngine, { name }: TopicInfo, from: number, to: number) {
  const partitions = [];
  for (let partitionIndex = from; partitionIndex < to; partitionIndex++) {
    const leaderEpoch = leaderEpochOf(engine, name, partitionIndex);
    const serves = leaderEpoch >= 0;
    partitions.push({
      errorCode: serves ? 0 : kafkaErrors.LEADER_NOT_AVAILABLE,
      partitionIndex,
      leaderId: serves ? nodeId : -1,
      leaderEpoch,
      replicaNodes: here,
      isrNodes: here,
      offlineReplicas: serves ? nowhere : here,
    });
  }
  return partitions;
}

/** -1 for a partition that does not serve. */
function leaderEpochOf(engine: EmbeddedEngine, topic: string, partition: number): number {
  try {
    return engine.leaderEpoch(topic, partition);
  } catch {
    return -1;
  }
}

function failed(errorCode: number, name: string | null, topicId: string = zeroUuid): Mutable<MetadataTopic> {
  return { errorCode, name, topicId, isInternal: kafkaInternalTopics.has(name ?? ""), partitions: [] };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

type PartitionsRequest = RequestOf<typeof describeTopicPartitions>;
type PartitionsTopic = NonNullable<ResponseInput<typeof describeTopicPartitions>["topics"]>[number];

/** max.request.partition.size.limit */
const partitionsMax = 2_000;

/** Topics in the order of their names, cut at a number of partitions; the cursor says where to go on (KIP-966). */
function answerTopicPartitions(
  door: DoorContext,
  request: PartitionsRequest,
  context: RequestContext,
): ResponseInput<typeof describeTopicPartitions> {
  const { cursor } = request;
  const isAll = request.topics.length === 0;
  const names = isAll ? door.engine.topics().map(({ name }) => name) : request.topics.map(({ name }) => name);
  const wanted = [...new Set(names)].sort().filter((name) => !cursor || name >= cursor.topicName);
  const isCursorRight = !cursor || (cursor.partitionIndex >= 0 && (isAll || names.includes(cursor.topicName)));
  if (!isCursorRight) {
    const errorCode = kafkaErrors.INVALID_REQUEST;
    return { topics: request.topics.map(({ name }) => ({ errorCode, name, topicId: zeroUuid, partitions: [] })) };
  }
  const topics: PartitionsTopic[] = [];
  let left = Math.min(partitionsMax, Math.max(1, request.responsePartitionLimit));
  for (const name of wanted) {
    const from = cursor?.topicName === name ? cursor.partitionIndex : 0;
    if (left <= 0) return { topics, nextCursor: { topicName: name, partitionIndex: from } };
    if (!context.allows("describe", "topic", name)) {
      if (!isAll)
        topics.push({ errorCode: kafkaErrors.TOPIC_AUTHORIZATION_FAILED, name, topicId: zeroUuid, partitions: [] });
      continue;
    }
    const topic = door.engine.topic(name);
    if (!topic) {
      topics.push({
        errorCode: unknown(name).errorCode,
        name,
        topicId: zeroUuid,
        partitions: [],
        topicAuthorizedOperations: authorizedOperations(context, "topic", name),
      });
      continue;
    }
    const to = Math.min(topic.settings.partitions, from + left);
    left -= Math.max(0, to - from);
    topics.push({
      errorCode: 0,
      name,
      topicId: topic.id,
      isInternal: isInternalTopic(name),
      partitions: partitionsOf(door.engine, topic, from, to).map((partition) => ({
        ...partition,
        eligibleLeaderReplicas: [],
        lastKnownElr: [],
      })),
      topicAuthorizedOperations: authorizedOperations(context, "topic", name),
    });
    if (to < topic.settings.partitions) return { topics, nextCursor: { topicName: name, partitionIndex: to } };
  }
  return { topics, nextCursor: null };
}
