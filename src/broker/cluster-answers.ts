/**
 * The cluster as clients and tools ask for it: one broker that leads everything. What moves replicas about is refused with
 * the reason, as there is nowhere to move them to.
 */
import { clusterName } from "../access/access-rules.ts";
import { alterPartitionReassignments } from "../kafka/apis/alter-partition-reassignments.ts";
import { describeCluster } from "../kafka/apis/describe-cluster.ts";
import { describeLogDirs } from "../kafka/apis/describe-log-dirs.ts";
import { describeQuorum } from "../kafka/apis/describe-quorum.ts";
import { electLeaders } from "../kafka/apis/elect-leaders.ts";
import { listPartitionReassignments } from "../kafka/apis/list-partition-reassignments.ts";
import { updateFeatures } from "../kafka/apis/update-features.ts";
import { kafkaErrors } from "../kafka/kafka-errors.ts";
import { brokerFeatures } from "./api-versions-answer.ts";
import { authorizedOperations } from "./authorized-operations.ts";
import { nodeId } from "./broker-node.ts";
import type { DoorContext } from "./door-context.ts";
import { type Answer, answers } from "./handler.ts";

const { CLUSTER_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION } = kafkaErrors;
const brokersEndpoint = 1;
const controllersEndpoint = 2;
const oneBroker = "this cluster has one broker; replicas cannot be placed elsewhere";

export function clusterAnswers(door: DoorContext): Answer[] {
  const { engine } = door;
  const hasPartition = (name: string, partition: number): boolean => {
    const count = engine.topic(name)?.settings.partitions ?? 0;
    return partition >= 0 && partition < count;
  };

  return [
    answers(describeCluster, (request, context) => {
      const { endpointType, includeClusterAuthorizedOperations } = request;
      if (endpointType !== brokersEndpoint) {
        return {
          errorCode:
            endpointType === controllersEndpoint
              ? kafkaErrors.MISMATCHED_ENDPOINT_TYPE
              : kafkaErrors.UNSUPPORTED_ENDPOINT_TYPE,
          errorMessage: `Unsupported endpoint type ${endpointType}`,
          clusterId: door.node.clusterId,
          brokers: [],
        };
      }
      return {
        errorCode: 0,
        errorMessage: null,
        clusterId: door.node.clusterId,
        controllerId: nodeId,
        brokers: [{ brokerId: nodeId, ...door.node.endpoint(context), rack: null, isFenced: false }],
        ...(includeClusterAuthorizedOperations && {
          clusterAuthorizedOperations: context.allows("describe", "cluster", clusterName)
            ? authorizedOperations(context, "cluster", clusterName)
            : 0,
        }),
      };
    }),

    answers(describeLogDirs, (request, context) => {
      if (!context.allows("describe", "cluster", clusterName)) {
        return { errorCode: CLUSTER_AUTHORIZATION_FAILED, results: [] };
      }
      const wanted = request.topics?.map(({ topic, partitions }) => ({ topic, partitions: new Set(partitions) }));
      const all = engine.topics().map(({ name, settings }) => ({
        topic: name,
        partitions: new Set(Array.from({ length: settings.partitions }, (_, i) => i)),
      }));
      const topics = (wanted ?? all).map(({ topic, partitions }) => ({
        name: topic,
        partitions: [...partitions]
          .filter((partition) => hasPartition(topic, partition))
          .map((partitionIndex) => ({
            partitionIndex,
            partitionSize: engine.partitionSizeBytes(topic, partitionIndex),
            offsetLag: 0,
            isFutureKey: false,
          })),
      }));
      return {
        errorCode: 0,
        results: [
          {
            errorCode: 0,
            logDir: door.settings.logDirectory,
            topics: topics.filter((one) => one.partitions.length > 0),
          },
        ],
      };
    }),

    answers(listPartitionReassignments, (_request, context) => {
      if (!context.allows("describe", "cluster", clusterName)) {
        return { errorCode: CLUSTER_AUTHORIZATION_FAILED, errorMessage: null, topics: [] };
      }
      return { errorCode: 0, errorMessage: null, topics: [] };
    }),

    answers(alterPartitionReassignments, (request, context) => {
      if (!context.allows("alter", "cluster", clusterName)) {
        return { errorCode: CLUSTER_AUTHORIZATION_FAILED, errorMessage: null, responses: [] };
      }
      return {
        errorCode: 0,
        errorMessage: null,
        responses: request.topics.map(({ name, partitions }) => ({
          name,
          partitions: partitions.map(({ partitionIndex, replicas }) => {
            const refused = (errorCode: number, errorMessage: string | null) => ({
              partitionIndex,
              errorCode,
              errorMessage,
            });
            if (!hasPartition(name, partitionIndex)) return refused(UNKNOWN_TOPIC_OR_PARTITION, null);
            if (replicas === null) return refused(kafkaErrors.NO_REASSIGNMENT_IN_PROGRESS, null);
            if (replicas.length === 1 && replicas[0] === nodeId) return refused(0, null);
            return refused(kafkaErrors.INVALID_REPLICA_ASSIGNMENT, oneBroker);
          }),
        })),
      };
    }),

    answers(electLeaders, (request, context) => {
      if (!context.allows("alter", "cluster", clusterName)) {
        return { errorCode: CLUSTER_AUTHORIZATION_FAILED, replicaElectionResults: [] };
      }
      // Of all topics those partitions are told that got another leader.
      const wanted = request.topicPartitions ?? engine.topics().map(({ name }) => ({ topic: name, partitions: [] }));
      return {
        errorCode: 0,
        replicaElectionResults: wanted.map(({ topic, partitions }) => ({
          topic,
          partitionResult: partitions.map((partitionId) => ({
            partitionId,
            errorCode: hasPartition(topic, partitionId) ? kafkaErrors.ELECTION_NOT_NEEDED : UNKNOWN_TOPIC_OR_PARTITION,
            errorMessage: null,
          })),
        })),
      };
    }),

    answers(updateFeatures, (request, context) => {
      if (!context.allows("alter", "cluster", clusterName)) {
        return { errorCode: CLUSTER_AUTHORIZATION_FAILED, errorMessage: null, results: [] };
      }
      const results = request.featureUpdates.map(({ feature, maxVersionLevel }) => {
        const known = brokerFeatures.find(({ name }) => name === feature);
        if (known && known.level === maxVersionLevel) return { feature, errorCode: 0, errorMessage: null };
        const errorMessage = known
          ? `${feature} stays at level ${known.level}: it comes with the version of Millrace`
          : `The feature ${feature} is not known here.`;
        return { feature, errorCode: kafkaErrors.INVALID_UPDATE_VERSION, errorMessage };
      });
      const failed = results.find(({ errorCode }) => errorCode !== 0);
      // It is all or nothing, and the error is the request's.
      if (failed) return { errorCode: failed.errorCode, errorMessage: failed.errorMessage, results: [] };
      return { errorCode: 0, errorMessage: null, results: context.apiVersion < 2 ? results : [] };
    }),

    answers(describeQuorum, (request, context) => {
      if (!context.allows("describe", "cluster", clusterName)) {
        return { errorCode: CLUSTER_AUTHORIZATION_FAILED, topics: [] };
      }
      return {
        errorCode: 0,
        topics: request.topics.map(({ topicName, partitions }) => ({
          topicName,
          partitions: partitions.map(({ partitionIndex }) => {
            const isMetadata = topicName === "__cluster_metadata" && partitionIndex === 0;
            return {
              partitionIndex,
              errorCode: isMetadata ? 0 : UNKNOWN_TOPIC_OR_PARTITION,
              leaderId: isMetadata ? nodeId : 0,
              leaderEpoch: isMetadata ? 1 : 0,
              highWatermark: 0,
              currentVoters: isMetadata ? [{ replicaId: nodeId, logEndOffset: 0 }] : [],
              observers: [],
            };
          }),
        })),
        nodes: [],
      };
    }),
  ];
}
