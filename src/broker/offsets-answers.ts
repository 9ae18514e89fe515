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
  const seen = new Set<string>();
  const topics = request.topics.map(async ({ name, partitions }) => {
    const { topic, errorCode } = findTopic(door.engine, context, "describe", { name });
    const listed = partitions.map(async (wanted): Promise<ListedPartition> => {
      const { partitionIndex } = wanted;
      const key = `${name}/${partitionIndex}`;
      if (seen.has(key)) return { partitionIndex, errorCode: kafkaErrors.INVALID_REQUEST };
      seen.add(key);
      if (!topic) return { partitionIndex, errorCode };
      try {
        return await listOne(door, topic, wanted, request.isolationLevel, context.apiVersion);
      } catch (error) {
        return { partitionIndex, errorCode: errorCodeOf(error) };
      }
    });
    return { name, partitions: await Promise.all(listed) };
  });
  return { topics: await Promise.all(topics) };
}

async function listOne(
  door: DoorContext,
  topic: TopicInfo,
  wanted: RequestOf<typeof listOffsets>["topics"][number]["partitions"][number],
  isolationLevel: number,
  apiVersion: number,
): Promise<ListedPartition> {
  const { engine } = door;
  const { partitionIndex, timestamp } = wanted;
  checkPartition(topic, partitionIndex);
  const { logStart, lastStable, highWatermark, leaderEpoch } = engine.offsets(topic.name, partitionIndex);
  const epochError = checkEpoch(leaderEpoch, wanted.currentLeaderEpoch);
  if (epochError !== 0) return { partitionIndex, errorCode: epochError };
  const at = (offset: number): ListedPartition => ({
    partitionIndex,
    errorCode: 0,
    timestamp: -1,
    offset,
    leaderEpoch,
  });
  switch (timestamp) {
    case specialTimes.latest:
      return at(isolationLevel === readCommitted ? lastStable : highWatermark);
    case specialTimes.earliest:
      return at(logStart);
    case specialTimes.maxTimestamp:
      if (apiVersion < 7) return { partitionIndex, errorCode: kafkaErrors.UNSUPPORTED_VERSION };
      return found(partitionIndex, await engine.latestRecord(topic.name, partitionIndex));
    case specialTimes.earliestLocal:
      if (apiVersion < 8) return { partitionIndex, errorCode: kafkaErrors.UNSUPPORTED_VERSION };
      return at(logStart);
    case specialTimes.latestTiered:
      if (apiVersion < 9) return { partitionIndex, errorCode: kafkaErrors.UNSUPPORTED_VERSION };
      return { partitionIndex, errorCode: 0, timestamp: -1, offset: -1, leaderEpoch: -1 };
    case specialTimes.earliestPendingUpload:
      if (apiVersion < 11) return { partitionIndex, errorCode: kafkaErrors.UNSUPPORTED_VERSION };
      return { partitionIndex, errorCode: 0, timestamp: -1, offset: -1, leaderEpoch: -1 };
  }
  if (timestamp < 0) return { partitionIndex, errorCode: kafkaErrors.UNSUPPORTED_VERSION };
  const record = await engine.recordForTime(topic.name, partitionIndex, timestamp);
  const end = isolationLevel === readCommitted ? lastStable : highWatermark;
  return found(partitionIndex, record && record.offset < end ? record : null);
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
            const epochError = checkEpoch(door.engine.offsets(name, partition).leaderEpoch, currentLeaderEpoch);
            if (epochError !== 0) return { partition, errorCode: epochError, leaderEpoch: -1, endOffset: -1 };
            const end = door.engine.endOfEpoch(name, partition, leaderEpoch);
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
