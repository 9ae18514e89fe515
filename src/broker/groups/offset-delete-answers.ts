/** OffsetDelete and DeleteGroups: what is known of groups that have no members is removed. */
import { MillraceError } from "../../base/errors.ts";
import { deleteGroups } from "../../kafka/apis/delete-groups.ts";
import { offsetDelete } from "../../kafka/apis/offset-delete.ts";
import type { RequestOf, ResponseInput } from "../../kafka/fields.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import type { TopicPartition } from "../../log/groups/group-records.ts";
import { type Answer, answers, type RequestContext } from "../handler.ts";
import { findTopic } from "../topic-access.ts";
import { type GroupDoor, isGroupName, storeErrorCode } from "./group-door.ts";

export function offsetDeleteAnswers(door: GroupDoor): Answer[] {
  return [
    answers(offsetDelete, (request, context) => answerOffsetDelete(door, request, context)),
    answers(deleteGroups, async ({ groupsNames }, context) => ({
      results: await Promise.all(
        [...new Set(groupsNames)].map(async (groupId) => ({
          groupId,
          errorCode: await deleteGroup(door, groupId, context),
        })),
      ),
    })),
  ];
}

async function deleteGroup(door: GroupDoor, groupId: string, context: RequestContext): Promise<number> {
  if (!context.allows("delete", "group", groupId)) return kafkaErrors.GROUP_AUTHORIZATION_FAILED;
  if (!isGroupName(groupId)) return kafkaErrors.GROUP_ID_NOT_FOUND;
  try {
    const hooks = door.directory.hooksOf(groupId);
    if (hooks) {
      if (!hooks.isEmpty(groupId)) return kafkaErrors.NON_EMPTY_GROUP;
      await hooks.kept(groupId);
      if (!hooks.isEmpty(groupId)) return kafkaErrors.NON_EMPTY_GROUP;
    }
    await door.engine.groups.deleteGroup(groupId);
    return kafkaErrors.NONE;
  } catch (error) {
    return storeErrorCode(error);
  }
}

async function answerOffsetDelete(
  door: GroupDoor,
  { groupId, topics }: RequestOf<typeof offsetDelete>,
  context: RequestContext,
): Promise<ResponseInput<typeof offsetDelete>> {
  const failed = (errorCode: number) => ({ errorCode, topics: [] });
  if (!context.allows("delete", "group", groupId)) return failed(kafkaErrors.GROUP_AUTHORIZATION_FAILED);
  if (!isGroupName(groupId)) return failed(kafkaErrors.INVALID_GROUP_ID);
  try {
    const { errorCode, isSubscribed } = await subscriptionsOf(door, groupId);
    if (errorCode !== 0) return failed(errorCode);
    const removed: TopicPartition[] = [];
    const answered = topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => {
        const { topic, errorCode } = findTopic(door.engine, context, "read", { name });
        if (!topic) return { partitionIndex, errorCode };
        if (partitionIndex < 0 || partitionIndex >= topic.settings.partitions) {
          return { partitionIndex, errorCode: kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION };
        }
        if (isSubscribed(name)) return { partitionIndex, errorCode: kafkaErrors.GROUP_SUBSCRIBED_TO_TOPIC };
        removed.push({ topic: name, partition: partitionIndex });
        return { partitionIndex, errorCode: kafkaErrors.NONE };
      }),
    }));
    await removeOffsets(door, groupId, removed);
    return { errorCode: kafkaErrors.NONE, topics: answered };
  } catch (error) {
    return failed(storeErrorCode(error));
  }
}

interface Subscriptions {
  readonly errorCode: number;
  readonly isSubscribed: (topic: string) => boolean;
}

async function subscriptionsOf({ directory, engine }: GroupDoor, groupId: string): Promise<Subscriptions> {
  const nothing = { errorCode: kafkaErrors.NONE, isSubscribed: () => false };
  const hooks = directory.hooksOf(groupId);
  if (hooks) {
    const error = hooks.deleteCheck(groupId);
    if (error !== "NONE") return { ...nothing, errorCode: kafkaErrors[error] };
    if (hooks.isEmpty(groupId)) return nothing;
    const topics = hooks.subscribed(groupId);
    // What is not known is taken for subscribed to.
    return { ...nothing, isSubscribed: (topic) => topics?.has(topic) ?? true };
  }
  if (directory.kindOf(groupId)) {
    const { members } = await engine.groups.describeGroup(groupId);
    const topics = new Set(members.flatMap((member) => member.topics));
    return { ...nothing, isSubscribed: (topic) => topics.has(topic) };
  }
  if (await engine.groups.offsets.group(groupId)) return nothing;
  return { ...nothing, errorCode: kafkaErrors.GROUP_ID_NOT_FOUND };
}

async function removeOffsets({ engine }: GroupDoor, groupId: string, places: readonly TopicPartition[]): Promise<void> {
  if (places.length === 0) return;
  try {
    await engine.groups.offsets.deleteOffsets(groupId, places);
  } catch (error) {
    // It has members, and no offsets yet.
    if (!MillraceError.is(error, "GROUP_UNKNOWN")) throw error;
  }
}
