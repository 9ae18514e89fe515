/** The cluster, its directories, and what moves replicas about. */
import { alterPartitionReassignments } from "../../../../../src/kafka/apis/alter-partition-reassignments.ts";
import { describeCluster } from "../../../../../src/kafka/apis/describe-cluster.ts";
import { describeLogDirs } from "../../../../../src/kafka/apis/describe-log-dirs.ts";
import { describeQuorum } from "../../../../../src/kafka/apis/describe-quorum.ts";
import { electLeaders } from "../../../../../src/kafka/apis/elect-leaders.ts";
import { listPartitionReassignments } from "../../../../../src/kafka/apis/list-partition-reassignments.ts";
import { updateFeatures } from "../../../../../src/kafka/apis/update-features.ts";
import { type Step, step } from "../script.ts";
import { versionsOf } from "./versions.ts";

const places = [
  { topic: "records", partitions: [0, 9] },
  { topic: "unknown", partitions: [0] },
];

export const clusterScenario: readonly Step[] = [
  ...versionsOf(describeCluster).flatMap((v) => [
    step(`DescribeCluster v${v}`, describeCluster, v, { includeClusterAuthorizedOperations: v === 1 }),
    ...(v === 0
      ? []
      : [2, 7].map((endpointType) =>
          step(`DescribeCluster v${v} of endpoints ${endpointType}`, describeCluster, v, {
            ...{ includeClusterAuthorizedOperations: false, endpointType },
          }),
        )),
  ]),
  ...versionsOf(describeLogDirs).flatMap((v) => [
    step(`DescribeLogDirs v${v}`, describeLogDirs, v, { topics: places }),
    step(`DescribeLogDirs v${v} of nothing`, describeLogDirs, v, { topics: [] }),
  ]),
  ...versionsOf(electLeaders).flatMap((v) => [
    step(`ElectLeaders v${v}`, electLeaders, v, { electionType: 0, topicPartitions: places, timeoutMs: 5_000 }),
    ...(v === 0
      ? []
      : [
          step(`ElectLeaders v${v}, unclean`, electLeaders, v, {
            electionType: 1,
            topicPartitions: places,
            timeoutMs: 5_000,
          }),
          step(`ElectLeaders v${v} of all`, electLeaders, v, {
            electionType: 0,
            topicPartitions: null,
            timeoutMs: 5_000,
          }),
        ]),
  ]),
  ...versionsOf(alterPartitionReassignments).map((v) =>
    step(`AlterPartitionReassignments v${v}`, alterPartitionReassignments, v, {
      timeoutMs: 5_000,
      topics: [
        {
          name: "records",
          partitions: [
            { partitionIndex: 0, replicas: [1] },
            { partitionIndex: 1, replicas: null },
            { partitionIndex: 9, replicas: [1] },
          ],
        },
        { name: "grouped", partitions: [{ partitionIndex: 0, replicas: [9] }] },
        { name: "exact", partitions: [{ partitionIndex: 0, replicas: [] }] },
        { name: "unknown", partitions: [{ partitionIndex: 0, replicas: [1] }] },
      ],
    }),
  ),
  step("ListPartitionReassignments", listPartitionReassignments, 0, { timeoutMs: 5_000, topics: null }),
  step("ListPartitionReassignments of some", listPartitionReassignments, 0, {
    timeoutMs: 5_000,
    topics: [
      { name: "records", partitionIndexes: [0, 9] },
      { name: "unknown", partitionIndexes: [0] },
    ],
  }),
  ...versionsOf(describeQuorum).flatMap((v) => [
    step(`DescribeQuorum v${v}`, describeQuorum, v, {
      topics: [{ topicName: "__cluster_metadata", partitions: [{ partitionIndex: 0 }] }],
    }),
    step(`DescribeQuorum v${v} of another topic`, describeQuorum, v, {
      topics: [{ topicName: "records", partitions: [{ partitionIndex: 0 }] }],
    }),
  ]),
  ...versionsOf(updateFeatures).flatMap((v) =>
    [
      { feature: "group.version", maxVersionLevel: 1 },
      { feature: "no.such.feature", maxVersionLevel: 1 },
      { feature: "transaction.version", maxVersionLevel: 77 },
      { feature: "group.version", maxVersionLevel: -3 },
    ].map((update) =>
      step(`UpdateFeatures v${v}: ${update.feature} ${update.maxVersionLevel}`, updateFeatures, v, {
        featureUpdates: [update],
        // Version 0 has no such field, and would do it.
        ...(v > 0 && { validateOnly: true }),
      }),
    ),
  ),
];
