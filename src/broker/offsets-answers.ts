/** ListOffsets, OffsetForLeaderEpoch and DeleteRecords: places in a partition, by time and by epoch. */
import { MillraceError } from "../base/errors.ts";
import type { TopicInfo } from "../engine/engine.ts";
import { deleteRecords } from "../kafka/apis/delete-records.ts";
import { listOffsets } from "../kafka/apis/list-offsets.ts";
import { offsetForLeaderEpoch } from "../kafka/apis/offset-for-leader-epoch.ts";
import type { RequestOf, ResponseInput } from "../kafka/fields.ts";
import { errorCodeOf, kafkaErrors } from "../kafka/kafka-errors.ts";
import type { DoorContext } from "./door-context.ts";
import { checkEpoch } from "./fetch-answer.ts";
import { type Answer, answers, type RequestContext } from "./handler.ts";
import { checkPartition, findTopic } from "./topic-access.ts";

/** Times that stand for a place (KIP-79, KIP-734, KIP-405, KIP-1005, KIP-1023). */
const specialTimes = {
  latest: -1,
  earliest: -2,
  maxTimestamp: -3,
  earliestLocal: -4,
  latestTiered: -5,
  earliestPendingUpload: -6,
} as const;

const readCommitted = 1;

export function offsetsAnswers(door: DoorContext): Answer[] {
  return [
    answers(listOffsets, (request, context) => answerListOffsets(door, request, context)),
    answers(offsetForLeaderEpoch, (request, context) => answerLeaderEpochs(door, request, context)),
    answers(deleteRecords, (request, context) => answerDeleteRecords(door, request, context)),
  ];
}

type ListedPartition = ResponseInput<typeof listOffsets>["topics"][number]["partitions"][number];

async function answerListOffsets(
  door: DoorContext,
  request: RequestOf<typeof listOffsets>,
  context: RequestContext,
): Promise<ResponseInput<typeof listOffsets>> {
  const repeated = repeatedPartitions(request);
  const told = new Set<string>();
  const topics = request.topics.map(async ({ name, partitions }) => {
    const { topic, errorCode } = findTopic(door.engine, context, "describe", { name });
    const once = partitions.filter(({ partitionIndex }) => {
      const key = `${name}/${partitionIndex}`;
      return !told.has(key) && told.add(key);
    });
    const listed = once.map(async (wanted): Promise<ListedPartition> => {
      const { partitionIndex } = wanted;
      if (repeated.has(`${name}/${partitionIndex}`)) return { partitionIndex, errorCode: kafkaErrors.INVALID_REQUEST };
      if (errorCode === kafkaErrors.TOPIC_AUTHORIZATION_FAILED) return { partitionIndex, errorCode };
      if (context.apiVersion < timeFrom(wanted.timestamp)) {
        return { partitionIndex, errorCode: kafkaErrors.UNSUPPORTED_VERSION };
      }
      if (!topic) return { partitionIndex, errorCode };
      try {
        return await listOne(door, topic, wanted, request.isolationLevel);
      } catch (error) {
        return { partitionIndex, errorCode: errorCodeOf(error) };
      }
    });
    return { name, partitions: await Promise.all(listed) };
  });
  return { topics: await Promise.all(topics) };
}

/** Those that are asked for more than once are answered once, with an error. */
function repeatedPartitions({ topics }: RequestOf<typeof listOffsets>): Set<string> {
  const seen = new Set<string>();
  const keys = topics.flatMap(({ name, partitions }) => partitions.map((one) => `${name}/${one.partitionIndex}`));
  return new Set(keys.filter((key) => seen.has(key) || !seen.add(key)));
}

/** The first version that knows the time. */
function timeFrom(timestamp: number): number {
  if (timestamp >= 0 || timestamp === specialTimes.latest || timestamp === specialTimes.earliest) return 0;
  if (timestamp === specialTimes.maxTimestamp) return 7;
  if (timestamp === specialTimes.earliestLocal) return 8;
  if (timestamp === specialTimes.latestTiered) return 9;
  return timestamp === specialTimes.earliestPendingUpload ? 11 : Number.POSITIVE_INFINITY;
}

async function listOne(
  door: DoorContext,
  topic: TopicInfo,
  wanted: RequestOf<typeof listOffsets>["topics"][number]["partitions"][number],
  isolationLevel: number,
): Promise<ListedPartition> {
  const { engine } = door;
  const { partitionIndex, timestamp } = wanted;
  checkPartition(topic, partitionIndex);
  const { logStart, lastStable, highWatermark, leaderEpoch } = engine.offsets(topic.name, partitionIndex);
  const epochError = checkEpoch(leaderEpoch, wanted.currentLeaderEpoch);
  if (epochError !== 0) return { partitionIndex, errorCode: epochError };
  const end = isolationLevel === readCommitted ? lastStable : highWatermark;
  const foundBelow = (record: Parameters<typeof found>[1]) =>
    found(partitionIndex, record && record.offset < end ? record : null);
  const at = (offset: number): ListedPartition => ({
    partitionIndex,
    errorCode: 0,
    timestamp: -1,
    offset,
    leaderEpoch,
  });
  switch (timestamp) {
    case specialTimes.latest:
      return at(end);
    case specialTimes.earliest:
      return at(logStart);
    case specialTimes.maxTimestamp:
      return foundBelow(await engine.latestRecord(topic.name, partitionIndex));
    case specialTimes.earliestLocal:
      return at(logStart);
    case specialTimes.latestTiered:
    case specialTimes.earliestPendingUpload:
      return { partitionIndex, errorCode: 0, timestamp: -1, offset: -1, leaderEpoch: -1 };
  }
  return foundBelow(await engine.recordForTime(topic.name, partitionIndex, timestamp));
}

function found(
  partitionIndex: number,
  record: { readonly offset: number; readonly timestampMs: number; readonly leaderEpoch: number } | null,
): ListedPartition {
  if (!record) return { partitionIndex, errorCode: 0, timestamp: -1, offset: -1, leaderEpoch: -1 };
  const { offset, timestampMs, leaderEpoch } = record;
  return { partitionIndex, errorCode: 0, timestamp: timestampMs, offset, leaderEpoch };
}

function answerLeaderEpochs(
  door: DoorContext,
  request: RequestOf<typeof offsetForLeaderEpoch>,
  context: RequestContext,
): ResponseInput<typeof offsetForLeaderEpoch> {
  return {
    topics: request.topics.map(({ topic: name, partitions }) => {
      const { topic, errorCode } = findTopic(door.engine, context, "describe", { name });
      return {
        topic: name,
        partitions: partitions.map(({ partition, currentLeaderEpoch, leaderEpoch }) => {
          if (!topic) return { partition, errorCode, leaderEpoch: -1, endOffset: -1 };
          try {
            checkPartition(topic, partition);
            const current = door.engine.offsets(name, partition).leaderEpoch;
            const epochError = checkEpoch(current, currentLeaderEpoch);
            if (epochError !== 0) return { partition, errorCode: epochError, leaderEpoch: -1, endOffset: -1 };
            const end = leaderEpoch <= current ? door.engine.endOfEpoch(name, partition, leaderEpoch) : undefined;
            return { partition, errorCode: 0, leaderEpoch: end?.epoch ?? -1, endOffset: end?.endOffset ?? -1 };
          } catch (error) {
            return { partition, errorCode: errorCodeOf(error), leaderEpoch: -1, endOffset: -1 };
          }
        }),
      };
    }),
  };
}

async function answerDeleteRecords(
  door: DoorContext,
  request: RequestOf<typeof deleteRecords>,
  context: RequestContext,
): Promise<ResponseInput<typeof deleteRecords>> {
  const topics = request.topics.map(async ({ name, partitions }) => {
    const isAllowed = context.allows("delete", "topic", name);
    const topic = door.engine.topic(name);
    const deleted = partitions.map(async ({ partitionIndex, offset }) => {
      const failed = (errorCode: number) => ({ partitionIndex, lowWatermark: -1, errorCode });
      if (!isAllowed) return failed(kafkaErrors.TOPIC_AUTHORIZATION_FAILED);
      if (!topic) return failed(kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION);
      try {
        checkPartition(topic, partitionIndex);
        if (topic.readOnly) throw new MillraceError("TOPIC_READ_ONLY", `topic ${name} is Millrace's own`);
        if (topic.settings.cleanup === "compact") return failed(kafkaErrors.POLICY_VIOLATION);
        const to = offset === -1 ? door.engine.offsets(name, partitionIndex).highWatermark : offset;
        return {
          partitionIndex,
          lowWatermark: await door.engine.deleteRecords(name, partitionIndex, to),
          errorCode: 0,
        };
      } catch (error) {
        return failed(errorCodeOf(error));
      }
    });
    return { name, partitions: await Promise.all(deleted) };
  });
  return { topics: await Promise.all(topics) };
}
