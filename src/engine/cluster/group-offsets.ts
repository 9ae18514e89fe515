/** Offsets of groups, as their coordinators keep them: committed, committed in transactions, fetched, deleted. */
import { MillraceError } from "../../base/errors.ts";
import { offsetCommit } from "../../kafka/apis/offset-commit.ts";
import { offsetDelete } from "../../kafka/apis/offset-delete.ts";
import { offsetFetch } from "../../kafka/apis/offset-fetch.ts";
import { txnOffsetCommit } from "../../kafka/apis/txn-offset-commit.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { checkGroupName, checkOffsets, checkPlaces } from "../../log/groups/group-checks.ts";
import type { Transaction } from "../engine.ts";
import { placeName } from "../group-assignors.ts";
import type { FetchedOffset, OffsetCommit, TopicPartition } from "../groups.ts";
import type { ClusterClient } from "./cluster-client.ts";
import { partitionUnknown, topicUnknown } from "./cluster-metadata.ts";
import { assertNone, KafkaError } from "./kafka-error.ts";
import { ClusterTransaction } from "./transactional-producer.ts";

/** Who commits; nobody in a group without members. */
export interface Committer {
  readonly coordinatorId: string;
  readonly generation: number;
  readonly instanceId: string | null;
}

const nobody: Committer = { coordinatorId: "", generation: -1, instanceId: null };
/** Since this version the group's partition joins the transaction with the commit itself (KIP-890). */
const inTransactionFrom = 5;

export class GroupOffsets {
  readonly #client: ClusterClient;

  constructor(client: ClusterClient) {
    this.#client = client;
  }

  async commit(group: string, offsets: readonly OffsetCommit[], committer: Committer = nobody): Promise<void> {
    checkGroupName(group);
    checkOffsets(offsets);
    if (offsets.length === 0) return;
    const what = `committing offsets of consumer group ${group}`;
    await this.#client.persistAtCoordinator("group", group, what, async (node) => {
      const request = {
        groupId: group,
        generationIdOrMemberEpoch: committer.generation,
        memberId: committer.coordinatorId,
        groupInstanceId: committer.instanceId,
        topics: this.#topicsOf(offsets),
      };
      const { topics } = await this.#client.ask(node, "group", offsetCommit, request, { versionMin: 7 });
      for (const { partitions } of topics) for (const { errorCode } of partitions) assertNone(errorCode, what);
    });
  }

  async commitIn(
    transaction: Transaction,
    group: string,
    offsets: readonly OffsetCommit[],
    committer: Committer = nobody,
  ): Promise<void> {
    checkGroupName(group);
    checkOffsets(offsets);
    if (!(transaction instanceof ClusterTransaction)) {
      throw new MillraceError("TRANSACTION_INVALID", "the transaction is not one of this engine");
    }
    if (offsets.length === 0) return;
    const { transactionalId, producerId, epoch } = transaction.producer;
    const what = `committing offsets of consumer group ${group} in a transaction`;
    const send = () =>
      this.#client.persistAtCoordinator("group", group, what, async (node) => {
        const request = {
          transactionalId,
          groupId: group,
          producerId,
          producerEpoch: epoch,
          generationId: committer.generation,
          memberId: committer.coordinatorId,
          groupInstanceId: committer.instanceId,
          topics: this.#topicsOf(offsets),
        };
        const answer = await this.#client.ask(node, "group", txnOffsetCommit, request, {
          versionMin: inTransactionFrom,
        });
        for (const { partitions } of answer.topics) for (const { errorCode } of partitions) assertNone(errorCode, what);
      });
    await transaction.commitOffsets(send);
  }

  /** Kafka does not tell of one offset both what it is and that it may be another: it is asked twice. */
  async fetch(
    group: string,
    partitions: readonly TopicPartition[] | undefined,
    requireStable: boolean,
  ): Promise<FetchedOffset[]> {
    checkGroupName(group);
    if (partitions) checkPlaces(partitions);
    const stable = await this.#fetch(group, partitions, true);
    const loose =
      requireStable || stable.every(({ isUnstable }) => !isUnstable)
        ? stable
        : await this.#fetch(group, partitions, false);
    const unstable = new Set(
      stable.filter(({ isUnstable }) => isUnstable).map((one) => placeName(one.topic, one.partition)),
    );
    const found = loose.map((one) => ({ ...one, isUnstable: unstable.has(placeName(one.topic, one.partition)) }));
    if (partitions === undefined)
      return sorted(found.filter(({ committed, isUnstable }) => committed !== null || isUnstable));
    const byPlace = new Map(found.map((one) => [placeName(one.topic, one.partition), one]));
    return partitions.map(({ topic, partition }) => {
      return byPlace.get(placeName(topic, partition)) ?? { topic, partition, committed: null, isUnstable: false };
    });
  }

  /** Throws `GROUP_UNKNOWN`, `GROUP_NOT_EMPTY`. */
  async delete(group: string, partitions: readonly TopicPartition[]): Promise<void> {
    checkGroupName(group);
    checkPlaces(partitions);
    const what = `deleting offsets of consumer group ${group}`;
    await this.#client.persistAtCoordinator("group", group, what, async (node) => {
      const topics = [...Map.groupBy(partitions, ({ topic }) => topic)].map(([name, places]) => ({
        name,
        partitions: places.map(({ partition }) => ({ partitionIndex: partition })),
      }));
      const answer = await this.#client.ask(node, "group", offsetDelete, { groupId: group, topics });
      assertNone(answer.errorCode, what);
      for (const topic of answer.topics) {
        for (const { errorCode } of topic.partitions) {
          // What is not there is deleted.
          if (errorCode !== kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION) assertNone(errorCode, what);
        }
      }
    });
  }

  async #fetch(
    group: string,
    partitions: readonly TopicPartition[] | undefined,
    requireStable: boolean,
  ): Promise<FetchedOffset[]> {
    const what = `asking for the offsets of consumer group ${group}`;
    return await this.#client.persistAtCoordinator("group", group, what, async (node) => {
      const topics = partitions ? this.#placesOf(partitions) : null;
      if (topics?.length === 0) return [];
      const request = { groups: [{ groupId: group, topics }], requireStable };
      const answer = await this.#client.ask(node, "group", offsetFetch, request, { versionMin: 8 });
      const found = answer.groups[0];
      // A group that is not known has no offsets.
      if (found?.errorCode === kafkaErrors.GROUP_ID_NOT_FOUND) return [];
      assertNone(found?.errorCode ?? kafkaErrors.UNKNOWN_SERVER_ERROR, what);
      const offsets: FetchedOffset[] = [];
      for (const { name, topicId, partitions: places } of found?.topics ?? []) {
        const topic = name === "" ? this.#client.metadata.topicById(topicId)?.name : name;
        if (topic === undefined) continue;
        for (const one of places) {
          const isUnstable = one.errorCode === kafkaErrors.UNSTABLE_OFFSET_COMMIT;
          const isUnknown = one.errorCode === kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION;
          if (!isUnstable && !isUnknown && one.errorCode !== kafkaErrors.NONE)
            throw new KafkaError(one.errorCode, what);
          const isCommitted = !isUnstable && !isUnknown && one.committedOffset >= 0;
          const committed = {
            offset: one.committedOffset,
            leaderEpoch: one.committedLeaderEpoch,
            metadata: one.metadata ?? "",
            // Kafka does not tell.
            committedMs: 0,
          };
          offsets.push({ topic, partition: one.partitionIndex, committed: isCommitted ? committed : null, isUnstable });
        }
      }
      return offsets;
    });
  }

  /** Topics that are not there have no offsets, and none are asked for. */
  #placesOf(partitions: readonly TopicPartition[]) {
    return [...Map.groupBy(partitions, ({ topic }) => topic)].flatMap(([name, places]) => {
      const topicId = this.#client.metadata.topics.get(name)?.id;
      const partitionIndexes = places.map(({ partition }) => partition);
      return topicId === undefined ? [] : [{ name, topicId, partitionIndexes }];
    });
  }

  #topicsOf(offsets: readonly OffsetCommit[]) {
    return [...Map.groupBy(offsets, ({ topic }) => topic)].map(([name, places]) => {
      const topic = this.#client.metadata.topics.get(name);
      if (!topic) throw topicUnknown(name);
      for (const { partition } of places) if (!topic.partitions[partition]) throw partitionUnknown(name, partition);
      return {
        name,
        topicId: topic.id,
        partitions: places.map(({ partition, offset, leaderEpoch, metadata }) => ({
          partitionIndex: partition,
          committedOffset: offset,
          committedLeaderEpoch: leaderEpoch ?? -1,
          committedMetadata: metadata ?? "",
        })),
      };
    });
  }
}

function sorted(offsets: FetchedOffset[]): FetchedOffset[] {
  return offsets.sort((a, b) => (a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : a.partition - b.partition));
}
