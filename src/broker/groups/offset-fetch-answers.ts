/** OffsetFetch: how far groups have read. */
import { offsetFetch } from "../../kafka/apis/offset-fetch.ts";
import { type RequestOf, type ResponseInput, zeroUuid } from "../../kafka/fields.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import type { FetchedOffset } from "../../log/groups/offset-store.ts";
import { type Answer, answers, type RequestContext } from "../handler.ts";
import { findTopic } from "../topic-access.ts";
import { type GroupDoor, isGroupName, storeErrorCode } from "./group-door.ts";

type FetchRequest = RequestOf<typeof offsetFetch>;
type FetchResponse = ResponseInput<typeof offsetFetch>;
type FetchedGroup = NonNullable<FetchResponse["groups"]>[number];
type FetchedTopic = FetchedGroup["topics"][number];
type FetchedPartition = FetchedTopic["partitions"][number];

interface WantedTopic {
  readonly name: string;
  readonly topicId: string;
  readonly partitionIndexes: readonly number[];
}

interface WantedGroup {
  readonly groupId: string;
  readonly memberId: string | null;
  readonly memberEpoch: number;
  /** Null for all topics that the group has offsets of. */
  readonly topics: readonly WantedTopic[] | null;
}

/** Partitions of one request: more are cut into several looks. */
const partitionsPerLook = 10_000;

export function offsetFetchAnswers(door: GroupDoor): Answer[] {
  return [answers(offsetFetch, (request, context) => answerFetch(door, request, context))];
}

async function answerFetch(door: GroupDoor, request: FetchRequest, context: RequestContext): Promise<FetchResponse> {
  const { requireStable } = request;
  if (context.apiVersion >= 8) {
    const groups = await Promise.all(request.groups.map((wanted) => fetchGroup(door, wanted, requireStable, context)));
    return { topics: [], groups };
  }
  const topics = request.topics?.map((topic) => ({ ...topic, topicId: zeroUuid })) ?? null;
  const wanted: WantedGroup = { groupId: request.groupId, memberId: null, memberEpoch: -1, topics };
  const { errorCode = 0, topics: fetched } = await fetchGroup(door, wanted, requireStable, context);
  // The first version has no error of its own but those of partitions.
  const isFailed = errorCode !== 0 && context.apiVersion < 2;
  const answered = isFailed ? (topics ?? []).map((topic) => failedTopic(topic, errorCode)) : fetched;
  return { topics: answered.map(({ name = "", partitions }) => ({ name, partitions })), errorCode, groups: [] };
}

async function fetchGroup(
  door: GroupDoor,
  { groupId, memberId, memberEpoch, topics }: WantedGroup,
  requireStable: boolean,
  context: RequestContext,
): Promise<FetchedGroup> {
  const failed = (errorCode: number): FetchedGroup => ({ groupId, topics: [], errorCode });
  if (!context.allows("describe", "group", groupId)) return failed(kafkaErrors.GROUP_AUTHORIZATION_FAILED);
  if (!isGroupName(groupId)) return failed(kafkaErrors.INVALID_GROUP_ID);
  const error = door.directory.hooksOf(groupId)?.fetchCheck(groupId, memberId, memberEpoch) ?? "NONE";
  if (error !== "NONE" && error !== "GROUP_ID_NOT_FOUND") return failed(kafkaErrors[error]);
  try {
    const fetched = topics
      ? await fetchTopics(door, groupId, topics, requireStable, context)
      : await fetchAll(door, groupId, requireStable, context);
    return { groupId, topics: fetched, errorCode: 0 };
  } catch (cause) {
    return failed(storeErrorCode(cause));
  }
}

async function fetchTopics(
  door: GroupDoor,
  groupId: string,
  topics: readonly WantedTopic[],
  requireStable: boolean,
  context: RequestContext,
): Promise<FetchedTopic[]> {
  const isById = context.apiVersion >= 10;
  const found = topics.map((wanted) => {
    const topic = findTopic(
      door.engine,
      context,
      "describe",
      isById ? { topicId: wanted.topicId } : { name: wanted.name },
    );
    // A topic that is not there has no offsets; by its id it is an error.
    const isVoid = !isById && topic.errorCode === kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION;
    return { wanted, name: topic.topic?.name, errorCode: isVoid ? 0 : topic.errorCode };
  });
  const places = found.flatMap(({ wanted, name }) =>
    name === undefined ? [] : wanted.partitionIndexes.map((partition) => ({ topic: name, partition })),
  );
  const fetched = new Map<string, FetchedOffset>();
  for (let from = 0; from < places.length; from += partitionsPerLook) {
    const some = places.slice(from, from + partitionsPerLook).filter(({ partition }) => partition >= 0);
    for (const one of await door.engine.groups.offsets.fetch(groupId, some, { requireStable })) {
      fetched.set(`${one.topic}/${one.partition}`, one);
    }
  }
  return found.map(({ wanted, name, errorCode }) => {
    if (errorCode !== 0 || name === undefined) return failedTopic(wanted, errorCode);
    const partitions = wanted.partitionIndexes.map((partition) =>
      fetchedPartition(partition, fetched.get(`${name}/${partition}`), requireStable),
    );
    return { name: wanted.name, topicId: wanted.topicId, partitions };
  });
}

async function fetchAll(
  door: GroupDoor,
  groupId: string,
  requireStable: boolean,
  context: RequestContext,
): Promise<FetchedTopic[]> {
  const byTopic = new Map<string, FetchedPartition[]>();
  for (const one of await door.engine.groups.offsets.fetch(groupId, undefined, { requireStable })) {
    if (!one.committed && !(requireStable && one.isUnstable)) continue;
    const partitions = byTopic.get(one.topic) ?? [];
    byTopic.set(one.topic, partitions);
    partitions.push(fetchedPartition(one.partition, one, requireStable));
  }
  return [...byTopic].flatMap(([name, partitions]) => {
    const topicId = door.engine.topic(name)?.id;
    if (topicId === undefined || !context.allows("describe", "topic", name)) return [];
    return [{ name, topicId, partitions }];
  });
}

function fetchedPartition(
  partitionIndex: number,
  fetched: FetchedOffset | undefined,
  requireStable: boolean,
): FetchedPartition {
  if (requireStable && fetched?.isUnstable) return noOffset(partitionIndex, kafkaErrors.UNSTABLE_OFFSET_COMMIT);
  if (!fetched?.committed) return noOffset(partitionIndex, 0);
  const { offset, leaderEpoch, metadata } = fetched.committed;
  return { partitionIndex, committedOffset: offset, committedLeaderEpoch: leaderEpoch, metadata, errorCode: 0 };
}

function failedTopic({ name, topicId, partitionIndexes }: WantedTopic, errorCode: number): FetchedTopic {
  return { name, topicId, partitions: partitionIndexes.map((partition) => noOffset(partition, errorCode)) };
}

function noOffset(partitionIndex: number, errorCode: number): FetchedPartition {
  return { partitionIndex, committedOffset: -1, committedLeaderEpoch: -1, metadata: "", errorCode };
}
