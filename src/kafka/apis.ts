/** The table of APIs: everything that the door can be asked, as Kafka 4.3.1 has it. */
import { addOffsetsToTxn } from "./apis/add-offsets-to-txn.ts";
import { addPartitionsToTxn } from "./apis/add-partitions-to-txn.ts";
import { alterClientQuotas } from "./apis/alter-client-quotas.ts";
import { alterConfigs } from "./apis/alter-configs.ts";
import { alterPartitionReassignments } from "./apis/alter-partition-reassignments.ts";
import { alterUserScramCredentials } from "./apis/alter-user-scram-credentials.ts";
import { apiVersions } from "./apis/api-versions.ts";
import { consumerGroupDescribe } from "./apis/consumer-group-describe.ts";
import { consumerGroupHeartbeat } from "./apis/consumer-group-heartbeat.ts";
import { createAcls } from "./apis/create-acls.ts";
import { createPartitions } from "./apis/create-partitions.ts";
import { createTopics } from "./apis/create-topics.ts";
import { deleteAcls } from "./apis/delete-acls.ts";
import { deleteGroups } from "./apis/delete-groups.ts";
import { deleteRecords } from "./apis/delete-records.ts";
import { deleteTopics } from "./apis/delete-topics.ts";
import { describeAcls } from "./apis/describe-acls.ts";
import { describeClientQuotas } from "./apis/describe-client-quotas.ts";
import { describeCluster } from "./apis/describe-cluster.ts";
import { describeConfigs } from "./apis/describe-configs.ts";
import { describeGroups } from "./apis/describe-groups.ts";
import { describeLogDirs } from "./apis/describe-log-dirs.ts";
import { describeProducers } from "./apis/describe-producers.ts";
import { describeQuorum } from "./apis/describe-quorum.ts";
import { describeTopicPartitions } from "./apis/describe-topic-partitions.ts";
import { describeTransactions } from "./apis/describe-transactions.ts";
import { describeUserScramCredentials } from "./apis/describe-user-scram-credentials.ts";
import { electLeaders } from "./apis/elect-leaders.ts";
import { endTxn } from "./apis/end-txn.ts";
import { fetch } from "./apis/fetch.ts";
import { findCoordinator } from "./apis/find-coordinator.ts";
import { heartbeat } from "./apis/heartbeat.ts";
import { incrementalAlterConfigs } from "./apis/incremental-alter-configs.ts";
import { initProducerId } from "./apis/init-producer-id.ts";
import { joinGroup } from "./apis/join-group.ts";
import { leaveGroup } from "./apis/leave-group.ts";
import { listConfigResources } from "./apis/list-config-resources.ts";
import { listGroups } from "./apis/list-groups.ts";
import { listOffsets } from "./apis/list-offsets.ts";
import { listPartitionReassignments } from "./apis/list-partition-reassignments.ts";
import { listTransactions } from "./apis/list-transactions.ts";
import { metadata } from "./apis/metadata.ts";
import { offsetCommit } from "./apis/offset-commit.ts";
import { offsetDelete } from "./apis/offset-delete.ts";
import { offsetFetch } from "./apis/offset-fetch.ts";
import { offsetForLeaderEpoch } from "./apis/offset-for-leader-epoch.ts";
import { produce } from "./apis/produce.ts";
import { saslAuthenticate } from "./apis/sasl-authenticate.ts";
import { saslHandshake } from "./apis/sasl-handshake.ts";
import { syncGroup } from "./apis/sync-group.ts";
import { txnOffsetCommit } from "./apis/txn-offset-commit.ts";
import { updateFeatures } from "./apis/update-features.ts";
import { writeTxnMarkers } from "./apis/write-txn-markers.ts";
import type { Api } from "./fields.ts";

export const apis: readonly Api[] = [
  produce,
  fetch,
  listOffsets,
  metadata,
  offsetCommit,
  offsetFetch,
  findCoordinator,
  joinGroup,
  heartbeat,
  leaveGroup,
  syncGroup,
  describeGroups,
  listGroups,
  saslHandshake,
  apiVersions,
  createTopics,
  deleteTopics,
  deleteRecords,
  initProducerId,
  offsetForLeaderEpoch,
  addPartitionsToTxn,
  addOffsetsToTxn,
  endTxn,
  writeTxnMarkers,
  txnOffsetCommit,
  describeAcls,
  createAcls,
  deleteAcls,
  describeConfigs,
  alterConfigs,
  describeLogDirs,
  saslAuthenticate,
  createPartitions,
  deleteGroups,
  electLeaders,
  incrementalAlterConfigs,
  alterPartitionReassignments,
  listPartitionReassignments,
  offsetDelete,
  describeClientQuotas,
  alterClientQuotas,
  describeUserScramCredentials,
  alterUserScramCredentials,
  describeQuorum,
  updateFeatures,
  describeCluster,
  describeProducers,
  describeTransactions,
  listTransactions,
  consumerGroupHeartbeat,
  consumerGroupDescribe,
  listConfigResources,
  describeTopicPartitions,
];

const byKey: (Api | undefined)[] = [];
for (const api of apis) byKey[api.key] = api;
const byName = new Map(apis.map((api) => [api.name, api]));

export function apiByKey(key: number): Api | undefined {
  return byKey[key];
}

/** `name` is Kafka's, as in "ListOffsets". */
export function apiByName(name: string): Api | undefined {
  return byName.get(name);
}
