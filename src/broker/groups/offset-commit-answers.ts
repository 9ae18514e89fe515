/** OffsetCommit, TxnOffsetCommit and AddOffsetsToTxn: how far a group has read is written down. */
import { MillraceError } from "../../base/errors.ts";
import { addOffsetsToTxn } from "../../kafka/apis/add-offsets-to-txn.ts";
import { offsetCommit } from "../../kafka/apis/offset-commit.ts";
import { txnOffsetCommit } from "../../kafka/apis/txn-offset-commit.ts";
import type { RequestOf, ResponseInput } from "../../kafka/fields.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { type OffsetToCommit, offsetMetadataBytesMax } from "../../log/groups/group-checks.ts";
import { groupsTopic, partitionOfGroup } from "../../log/groups/groups-log.ts";
import { type Answer, answers, type RequestContext } from "../handler.ts";
import { findTopic } from "../topic-access.ts";
import { commitErrorOf, type GroupDoor, isGroupName, storeErrorCode } from "./group-door.ts";

export function offsetCommitAnswers(door: GroupDoor): Answer[] {
  return [
    answers(offsetCommit, (request, context) => answerCommit(door, request, context)),
    answers(txnOffsetCommit, (request, context) => answerCommitInTransaction(door, request, context)),
    answers(addOffsetsToTxn, (request, context) => answerAddOffsets(door, request, context)),
  ];
}

/** From this version of TxnOffsetCommit on clients know that a transaction can only be aborted. */
const abortableFrom = 4;
/** From this version of TxnOffsetCommit on the commit adds the group's partition to the transaction (KIP-890). */
const implicitFrom = 5;

interface CommitPartition {
  readonly partitionIndex: number;
  readonly committedOffset: number;
  readonly committedLeaderEpoch: number;
  readonly committedMetadata: string | null;
}

interface CommitTopic {
  readonly name: string;
  readonly topicId?: string;
  readonly partitions: readonly CommitPartition[];
}

/** What can be committed, and the error code of each partition; undefined for one that is to be committed. */
interface CommitPlan {
  readonly offsets: readonly OffsetToCommit[];
  readonly errorCodes: readonly (readonly (number | undefined)[])[];
}

async function answerCommit(
  door: GroupDoor,
  request: RequestOf<typeof offsetCommit>,
  context: RequestContext,
): Promise<ResponseInput<typeof offsetCommit>> {
  const { groupId, topics, memberId, groupInstanceId, generationIdOrMemberEpoch } = request;
  if (!context.allows("read", "group", groupId)) return answerAll(topics, kafkaErrors.GROUP_AUTHORIZATION_FAILED);
  if (!isGroupName(groupId)) return answerAll(topics, kafkaErrors.INVALID_GROUP_ID);
  const plan = planCommit(door, topics, context);
  return answerPlan(
    topics,
    plan,
    await commit(plan, async () => {
      const claim = {
        memberId,
        instanceId: groupInstanceId,
        generationOrEpoch: generationIdOrMemberEpoch,
        apiVersion: context.apiVersion,
        isTransactional: false,
      };
      const error = await commitErrorOf(door, groupId, claim);
      if (error === "NONE") await door.engine.groups.offsets.commit(groupId, plan.offsets);
      return kafkaErrors[error];
    }),
  );
}

async function answerCommitInTransaction(
  door: GroupDoor,
  request: RequestOf<typeof txnOffsetCommit>,
  context: RequestContext,
): Promise<ResponseInput<typeof txnOffsetCommit>> {
  const { transactionalId, producerId, producerEpoch, groupId, topics, memberId, groupInstanceId } = request;
  if (!context.allows("write", "transactional-id", transactionalId)) {
    return answerAll(topics, kafkaErrors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
  }
  if (!context.allows("read", "group", groupId)) return answerAll(topics, kafkaErrors.GROUP_AUTHORIZATION_FAILED);
  if (!isGroupName(groupId)) return answerAll(topics, kafkaErrors.INVALID_GROUP_ID);
  const plan = planCommit(door, topics, context);
  return answerPlan(
    topics,
    plan,
    await commit(plan, async () => {
      const error = await commitErrorOf(door, groupId, {
        memberId,
        instanceId: groupInstanceId,
        generationOrEpoch: request.generationId,
        apiVersion: context.apiVersion,
        isTransactional: true,
      });
      if (error === "STALE_MEMBER_EPOCH") return kafkaErrors.ILLEGAL_GENERATION;
      const producer = {
        transactionalId,
        producerId,
        epoch: producerEpoch,
        transactionVersion: context.apiVersion >= implicitFrom ? 2 : 1,
      } as const;
      if (error !== "NONE") return kafkaErrors[error];
      try {
        await door.engine.groups.offsets.commitInWire(producer, groupId, plan.offsets);
        return kafkaErrors.NONE;
      } catch (cause) {
        // Nobody added the partition of the group to the transaction.
        const isMissing = MillraceError.is(cause, "TRANSACTION_PARTITION_MISSING");
        const isAbortable = isMissing && context.apiVersion >= abortableFrom;
        if (!isAbortable) throw cause;
        return kafkaErrors.TRANSACTION_ABORTABLE;
      }
    }),
  );
}

async function answerAddOffsets(
  door: GroupDoor,
  { transactionalId, producerId, producerEpoch, groupId }: RequestOf<typeof addOffsetsToTxn>,
  context: RequestContext,
): Promise<ResponseInput<typeof addOffsetsToTxn>> {
  if (!context.allows("write", "transactional-id", transactionalId)) {
    return { errorCode: kafkaErrors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED };
  }
  if (!context.allows("read", "group", groupId)) return { errorCode: kafkaErrors.GROUP_AUTHORIZATION_FAILED };
  if (!isGroupName(groupId)) return { errorCode: kafkaErrors.INVALID_GROUP_ID };
  try {
    await door.engine.groups.offsets.open(groupId);
    const place = { topic: groupsTopic, partition: partitionOfGroup(groupId) };
    await door.engine.transactions.addPartitions(transactionalId, { producerId, epoch: producerEpoch }, [place]);
    return { errorCode: kafkaErrors.NONE };
  } catch (error) {
    // Clients know this error from version 2 on.
    const isFenced = MillraceError.is(error, "PRODUCER_FENCED") && context.apiVersion >= 2;
    return { errorCode: isFenced ? kafkaErrors.PRODUCER_FENCED : storeErrorCode(error) };
  }
}

function planCommit(door: GroupDoor, topics: readonly CommitTopic[], context: RequestContext): CommitPlan {
  const offsets: OffsetToCommit[] = [];
  const errorCodes = topics.map(({ name, topicId, partitions }) => {
    const isById = context.apiVersion >= 10 && topicId !== undefined;
    const found = findTopic(door.engine, context, "read", isById ? { topicId } : { name });
    return partitions.map((partition) => {
      if (!found.topic) return found.errorCode;
      const { partitionIndex, committedOffset, committedLeaderEpoch, committedMetadata } = partition;
      if (partitionIndex < 0 || partitionIndex >= found.topic.settings.partitions) {
        return kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION;
      }
      const metadata = committedMetadata ?? "";
      if (Buffer.byteLength(metadata) > offsetMetadataBytesMax) return kafkaErrors.OFFSET_METADATA_TOO_LARGE;
      if (!Number.isSafeInteger(committedOffset) || committedOffset < 0) return kafkaErrors.INVALID_REQUEST;
      const leaderEpoch = Math.max(-1, committedLeaderEpoch);
      offsets.push({
        topic: found.topic.name,
        partition: partitionIndex,
        offset: committedOffset,
        leaderEpoch,
        metadata,
      });
      return undefined;
    });
  });
  return { offsets, errorCodes };
}

/** The error code of all that is to be committed. */
async function commit({ offsets }: CommitPlan, act: () => Promise<number>): Promise<number> {
  if (offsets.length === 0) return kafkaErrors.NONE;
  try {
    return await act();
  } catch (error) {
    return storeErrorCode(error);
  }
}

function answerPlan(topics: readonly CommitTopic[], { errorCodes }: CommitPlan, errorCode: number) {
  return {
    topics: topics.map(({ name, topicId, partitions }, i) => ({
      name,
      ...(topicId !== undefined && { topicId }),
      partitions: partitions.map(({ partitionIndex }, j) => {
        return { partitionIndex, errorCode: errorCodes[i]?.[j] ?? errorCode };
      }),
    })),
  };
}

function answerAll(topics: readonly CommitTopic[], errorCode: number) {
  return answerPlan(topics, { offsets: [], errorCodes: [] }, errorCode);
}
