/** One request of each API from a principal that has no rights. */
import { addOffsetsToTxn } from "../../../../../src/kafka/apis/add-offsets-to-txn.ts";
import { addPartitionsToTxn } from "../../../../../src/kafka/apis/add-partitions-to-txn.ts";
import { alterClientQuotas } from "../../../../../src/kafka/apis/alter-client-quotas.ts";
import { alterConfigs } from "../../../../../src/kafka/apis/alter-configs.ts";
import { alterPartitionReassignments } from "../../../../../src/kafka/apis/alter-partition-reassignments.ts";
import { alterUserScramCredentials } from "../../../../../src/kafka/apis/alter-user-scram-credentials.ts";
import { consumerGroupDescribe } from "../../../../../src/kafka/apis/consumer-group-describe.ts";
import { consumerGroupHeartbeat } from "../../../../../src/kafka/apis/consumer-group-heartbeat.ts";
import { createAcls } from "../../../../../src/kafka/apis/create-acls.ts";
import { createPartitions } from "../../../../../src/kafka/apis/create-partitions.ts";
import { createTopics } from "../../../../../src/kafka/apis/create-topics.ts";
import { deleteAcls } from "../../../../../src/kafka/apis/delete-acls.ts";
import { deleteGroups } from "../../../../../src/kafka/apis/delete-groups.ts";
import { deleteRecords } from "../../../../../src/kafka/apis/delete-records.ts";
import { deleteTopics } from "../../../../../src/kafka/apis/delete-topics.ts";
import { describeAcls } from "../../../../../src/kafka/apis/describe-acls.ts";
import { describeClientQuotas } from "../../../../../src/kafka/apis/describe-client-quotas.ts";
import { describeCluster } from "../../../../../src/kafka/apis/describe-cluster.ts";
import { describeConfigs } from "../../../../../src/kafka/apis/describe-configs.ts";
import { describeGroups } from "../../../../../src/kafka/apis/describe-groups.ts";
import { describeLogDirs } from "../../../../../src/kafka/apis/describe-log-dirs.ts";
import { describeProducers } from "../../../../../src/kafka/apis/describe-producers.ts";
import { describeQuorum } from "../../../../../src/kafka/apis/describe-quorum.ts";
import { describeTopicPartitions } from "../../../../../src/kafka/apis/describe-topic-partitions.ts";
import { describeTransactions } from "../../../../../src/kafka/apis/describe-transactions.ts";
import { describeUserScramCredentials } from "../../../../../src/kafka/apis/describe-user-scram-credentials.ts";
import { electLeaders } from "../../../../../src/kafka/apis/elect-leaders.ts";
import { endTxn } from "../../../../../src/kafka/apis/end-txn.ts";
import { fetch } from "../../../../../src/kafka/apis/fetch.ts";
import { findCoordinator } from "../../../../../src/kafka/apis/find-coordinator.ts";
import { heartbeat } from "../../../../../src/kafka/apis/heartbeat.ts";
import { incrementalAlterConfigs } from "../../../../../src/kafka/apis/incremental-alter-configs.ts";
import { initProducerId } from "../../../../../src/kafka/apis/init-producer-id.ts";
import { joinGroup } from "../../../../../src/kafka/apis/join-group.ts";
import { leaveGroup } from "../../../../../src/kafka/apis/leave-group.ts";
import { listConfigResources } from "../../../../../src/kafka/apis/list-config-resources.ts";
import { listGroups } from "../../../../../src/kafka/apis/list-groups.ts";
import { listOffsets } from "../../../../../src/kafka/apis/list-offsets.ts";
import { listPartitionReassignments } from "../../../../../src/kafka/apis/list-partition-reassignments.ts";
import { listTransactions } from "../../../../../src/kafka/apis/list-transactions.ts";
import { metadata } from "../../../../../src/kafka/apis/metadata.ts";
import { offsetCommit } from "../../../../../src/kafka/apis/offset-commit.ts";
import { offsetDelete } from "../../../../../src/kafka/apis/offset-delete.ts";
import { offsetFetch } from "../../../../../src/kafka/apis/offset-fetch.ts";
import { offsetForLeaderEpoch } from "../../../../../src/kafka/apis/offset-for-leader-epoch.ts";
import { produce } from "../../../../../src/kafka/apis/produce.ts";
import { syncGroup } from "../../../../../src/kafka/apis/sync-group.ts";
import { txnOffsetCommit } from "../../../../../src/kafka/apis/txn-offset-commit.ts";
import { updateFeatures } from "../../../../../src/kafka/apis/update-features.ts";
import { writeTxnMarkers } from "../../../../../src/kafka/apis/write-txn-markers.ts";
import { type Api, type RequestInput, zeroUuid } from "../../../../../src/kafka/fields.ts";
import { batchOf } from "../batches.ts";
import { type Seen, type Step, step } from "../script.ts";

const groupId = "pair";
const tx = { transactionalId: "tx-0", producerId: 1, producerEpoch: 0 };
const names = ["records", "unknown"];
const topics = names.map((name) => ({ name, partitions: [0] }));
const record = { partitionIndex: 0, committedOffset: 1, committedMetadata: null };
const filter = {
  ...{ resourceTypeFilter: 1, resourceNameFilter: null, patternTypeFilter: 1, principalFilter: null, hostFilter: null },
  ...{ operation: 1, permissionType: 1 },
};
const member = { groupId, generationId: 1, memberId: "me" };

export function stranger(on: string): Step[] {
  const asks = <A extends Api>(
    api: A,
    version: number,
    request: RequestInput<A> | ((seen: Seen) => RequestInput<A>),
    more = "",
  ): Step => step(`a stranger: ${api.name}${more}`, api, version, request, { on });
  const creatable = { numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] };
  const configured = (resourceType: number, resourceName: string) => ({ resourceType, resourceName });
  return [
    asks(metadata, 12, {
      topics: names.map((name) => ({ topicId: zeroUuid, name })),
      includeTopicAuthorizedOperations: true,
    }),
    asks(metadata, 12, (seen) => ({ topics: [{ topicId: seen.topicId("records"), name: null }] }), " by id"),
    asks(metadata, 10, { topics: null, includeClusterAuthorizedOperations: true }, " of all"),
    asks(describeTopicPartitions, 0, { topics: names.map((name) => ({ name })) }),
    asks(describeCluster, 2, { includeClusterAuthorizedOperations: true }),
    asks(createTopics, 7, { topics: [{ ...creatable, name: "forbidden" }], timeoutMs: 1_000 }),
    asks(createPartitions, 3, {
      topics: names.map((name) => ({ name, count: 9, assignments: null })),
      ...{ timeoutMs: 1_000, validateOnly: true },
    }),
    asks(deleteTopics, 6, (seen) => ({
      topics: [
        ...names.map((name) => ({ name, topicId: zeroUuid })),
        { name: null, topicId: seen.topicId("compacted") },
      ],
      timeoutMs: 1_000,
    })),
    asks(produce, 12, {
      ...{ transactionalId: null, acks: -1, timeoutMs: 1_000 },
      topicData: names.map((name) => ({ name, partitionData: [{ index: 0, records: batchOf(["no"]) }] })),
    }),
    asks(
      produce,
      12,
      {
        ...{ transactionalId: "tx-0", acks: -1, timeoutMs: 1_000 },
        topicData: [
          {
            name: "records",
            partitionData: [
              { index: 0, records: batchOf(["no"], { producerId: 1, epoch: 0, sequence: 0, transactional: true }) },
            ],
          },
        ],
      },
      " in a transaction",
    ),
    asks(fetch, 12, {
      ...{ maxWaitMs: 0, minBytes: 0, forgottenTopicsData: [] },
      topics: names.map((topic) => ({
        topic,
        partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1_000 }],
      })),
    }),
    asks(
      fetch,
      13,
      (seen) => ({
        ...{ maxWaitMs: 0, minBytes: 0, forgottenTopicsData: [] },
        topics: [
          {
            topicId: seen.topicId("records"),
            partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1_000 }],
          },
        ],
      }),
      " by id",
    ),
    asks(listOffsets, 7, {
      replicaId: -1,
      topics: names.map((name) => ({ name, partitions: [{ partitionIndex: 0, timestamp: -1 }] })),
    }),
    asks(offsetForLeaderEpoch, 4, {
      topics: names.map((topic) => ({ topic, partitions: [{ partition: 0, leaderEpoch: 0 }] })),
    }),
    asks(deleteRecords, 2, {
      topics: names.map((name) => ({ name, partitions: [{ partitionIndex: 0, offset: 0 }] })),
      timeoutMs: 1_000,
    }),
    asks(describeProducers, 0, { topics: names.map((name) => ({ name, partitionIndexes: [0] })) }),
    asks(initProducerId, 4, { transactionalId: null, transactionTimeoutMs: 1_000 }),
    asks(initProducerId, 4, { transactionalId: "tx-0", transactionTimeoutMs: 1_000 }, " for a transaction"),
    asks(addPartitionsToTxn, 3, {
      ...{ v3AndBelowTransactionalId: "tx-0", v3AndBelowProducerId: 1, v3AndBelowProducerEpoch: 0 },
      v3AndBelowTopics: topics,
    }),
    asks(addPartitionsToTxn, 5, { transactions: [{ ...tx, topics }] }, " v5"),
    asks(addOffsetsToTxn, 4, { ...tx, groupId }),
    asks(endTxn, 5, { ...tx, committed: true }),
    asks(txnOffsetCommit, 5, { ...tx, groupId, topics: names.map((name) => ({ name, partitions: [record] })) }),
    asks(writeTxnMarkers, 1, { markers: [] }),
    asks(describeTransactions, 0, { transactionalIds: ["tx-0", "unknown"] }),
    asks(listTransactions, 2, { stateFilters: [], producerIdFilters: [] }),
    asks(findCoordinator, 4, { keyType: 0, coordinatorKeys: [groupId] }),
    asks(findCoordinator, 3, { keyType: 1, key: "tx-0" }, " of a transaction"),
    asks(joinGroup, 9, {
      ...{ groupId, sessionTimeoutMs: 45_000, memberId: "", protocolType: "consumer" },
      protocols: [{ name: "range", metadata: Buffer.alloc(0) }],
    }),
    asks(syncGroup, 5, { ...member, assignments: [] }),
    asks(heartbeat, 4, member),
    asks(leaveGroup, 5, { groupId, members: [{ memberId: "me" }] }),
    asks(offsetCommit, 9, { groupId, memberId: "", topics: names.map((name) => ({ name, partitions: [record] })) }),
    asks(offsetFetch, 9, { groups: [{ groupId, topics: null }] }),
    asks(offsetFetch, 7, { groupId, topics: null }, " v7"),
    asks(offsetDelete, 0, { groupId, topics: [] }),
    asks(describeGroups, 6, { groups: [groupId] }),
    asks(listGroups, 5, { statesFilter: [], typesFilter: [] }),
    asks(deleteGroups, 2, { groupsNames: [groupId] }),
    asks(consumerGroupHeartbeat, 1, {
      ...{ groupId, memberId: "AAAAAAAAAAAAAAAAAAAAAQ", memberEpoch: 0, rebalanceTimeoutMs: 1_000 },
      ...{ subscribedTopicNames: names, topicPartitions: [] },
    }),
    asks(consumerGroupDescribe, 1, { groupIds: [groupId], includeAuthorizedOperations: true }),
    asks(describeConfigs, 4, {
      resources: [configured(2, "records"), configured(2, "unknown"), configured(4, "1"), configured(32, groupId)],
    }),
    asks(alterConfigs, 2, {
      resources: [configured(2, "records"), configured(4, "1")].map((one) => ({ ...one, configs: [] })),
      validateOnly: true,
    }),
    asks(incrementalAlterConfigs, 1, {
      resources: [configured(2, "records"), configured(4, "1"), configured(32, groupId)].map((one) => ({
        ...{ ...one, configs: [] },
      })),
      validateOnly: true,
    }),
    asks(listConfigResources, 1, { resourceTypes: [] }),
    asks(describeClientQuotas, 1, { components: [], strict: false }),
    asks(alterClientQuotas, 1, {
      entries: [
        {
          entity: [{ entityType: "user", entityName: "x" }],
          ops: [{ key: "producer_byte_rate", value: 1, remove: false }],
        },
      ],
      validateOnly: true,
    }),
    asks(describeAcls, 3, filter),
    asks(createAcls, 3, {
      creations: [
        {
          ...{ resourceType: 2, resourceName: "x", resourcePatternType: 3, principal: "User:x", host: "*" },
          ...{ operation: 3, permissionType: 3 },
        },
      ],
    }),
    asks(deleteAcls, 3, { filters: [filter] }),
    asks(describeUserScramCredentials, 0, { users: [{ name: "alice" }] }),
    asks(alterUserScramCredentials, 0, { deletions: [{ name: "alice", mechanism: 1 }], upsertions: [] }),
    asks(describeLogDirs, 4, { topics: null }),
    asks(electLeaders, 2, { electionType: 0, topicPartitions: null, timeoutMs: 1_000 }),
    asks(alterPartitionReassignments, 0, { timeoutMs: 1_000, topics: [] }),
    asks(listPartitionReassignments, 0, { timeoutMs: 1_000, topics: null }),
    asks(describeQuorum, 2, { topics: [{ topicName: "__cluster_metadata", partitions: [{ partitionIndex: 0 }] }] }),
    asks(updateFeatures, 1, { featureUpdates: [{ feature: "group.version", maxVersionLevel: 1 }] }),
  ];
}
