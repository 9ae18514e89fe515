/** ApiVersions, and topics made, looked at, grown and deleted. */
import { apiVersions } from "../../../../../src/kafka/apis/api-versions.ts";
import { createPartitions } from "../../../../../src/kafka/apis/create-partitions.ts";
import { createTopics } from "../../../../../src/kafka/apis/create-topics.ts";
import { deleteTopics } from "../../../../../src/kafka/apis/delete-topics.ts";
import { describeTopicPartitions } from "../../../../../src/kafka/apis/describe-topic-partitions.ts";
import { metadata } from "../../../../../src/kafka/apis/metadata.ts";
import { zeroUuid } from "../../../../../src/kafka/fields.ts";
import { type Step, step } from "../script.ts";
import { versionsOf } from "./versions.ts";

export const strangeId = "11111111-2222-4333-8444-555555555555";
const anywhere = { replicationFactor: 1, assignments: [], configs: [] };

/** Made by `step`, and seen by the broker that answers. */
export function topicSteps(name: string, partitions: number, configs: Readonly<Record<string, string>> = {}): Step[] {
  const entries = Object.entries({ "retention.ms": "-1", ...configs });
  const topic = {
    ...{ name, numPartitions: partitions, replicationFactor: 1, assignments: [] },
    configs: entries.map(([key, value]) => ({ name: key, value })),
  };
  return [
    step(`topic ${name} is made`, createTopics, 4, { topics: [topic], timeoutMs: 10_000 }),
    step(
      `topic ${name} is there`,
      metadata,
      12,
      { topics: [{ topicId: zeroUuid, name }], allowAutoTopicCreation: false },
      {
        until: ({ topics }) =>
          (topics ?? []).every(({ errorCode, partitions: { length } }) => errorCode === 0 && length === partitions),
      },
    ),
  ];
}

export const topicScenario: readonly Step[] = [
  ...versionsOf(apiVersions).map((v) =>
    step(`ApiVersions v${v}`, apiVersions, v, { clientSoftwareName: "script", clientSoftwareVersion: "1.0" }),
  ),
  step("ApiVersions from a client without a name", apiVersions, 3, {
    clientSoftwareName: "",
    clientSoftwareVersion: "1.0",
  }),
  step("Metadata of no topics", metadata, 5, { topics: [] }),
  ...versionsOf(createTopics).flatMap((v) => [
    step(`CreateTopics v${v}`, createTopics, v, {
      topics: [
        { ...anywhere, name: `made-${v}`, numPartitions: 2, configs: [{ name: "retention.ms", value: "-1" }] },
        {
          name: `placed-${v}`,
          numPartitions: -1,
          replicationFactor: -1,
          configs: [],
          assignments: [{ partitionIndex: 0, brokerIds: [1] }],
        },
      ],
      timeoutMs: 10_000,
    }),
    step(`CreateTopics v${v}: every refusal`, createTopics, v, {
      topics: [
        { ...anywhere, name: `made-${v}`, numPartitions: 1 },
        { ...anywhere, name: "not a name", numPartitions: 1 },
        { ...anywhere, name: "", numPartitions: 1 },
        { ...anywhere, name: "..", numPartitions: 1 },
        { ...anywhere, name: "x".repeat(250), numPartitions: 1 },
        { ...anywhere, name: "no-partitions", numPartitions: 0 },
        { ...anywhere, name: "fewer-partitions", numPartitions: -7 },
        { ...anywhere, name: "no-replicas", numPartitions: 1, replicationFactor: 0 },
        { ...anywhere, name: "three-replicas", numPartitions: 1, replicationFactor: 3 },
        { ...anywhere, name: "twice", numPartitions: 1 },
        { ...anywhere, name: "twice", numPartitions: 2 },
        { ...anywhere, name: "config", numPartitions: 1, configs: [{ name: "no.such.config", value: "1" }] },
        { ...anywhere, name: "value", numPartitions: 1, configs: [{ name: "retention.ms", value: "long" }] },
        { ...anywhere, name: "both", numPartitions: 1, assignments: [{ partitionIndex: 0, brokerIds: [1] }] },
        {
          ...anywhere,
          name: "stranger",
          numPartitions: -1,
          replicationFactor: -1,
          assignments: [{ partitionIndex: 0, brokerIds: [9] }],
        },
        {
          ...anywhere,
          name: "gap",
          numPartitions: -1,
          replicationFactor: -1,
          assignments: [{ partitionIndex: 1, brokerIds: [1] }],
        },
        {
          ...anywhere,
          name: "nobody",
          numPartitions: -1,
          replicationFactor: -1,
          assignments: [{ partitionIndex: 0, brokerIds: [] }],
        },
      ],
      timeoutMs: 10_000,
    }),
    step(`CreateTopics v${v}: too many partitions`, createTopics, v, {
      topics: [
        { ...anywhere, name: "too-many", numPartitions: 20_000_000 },
        { ...anywhere, name: "a-few", numPartitions: 1 },
      ],
      timeoutMs: 10_000,
    }),
    step(`CreateTopics v${v}: only looked at`, createTopics, v, {
      topics: [
        {
          ...anywhere,
          name: `looked-at-${v}`,
          numPartitions: 1,
          configs: [{ name: "cleanup.policy", value: "compact" }],
        },
      ],
      timeoutMs: 10_000,
      validateOnly: true,
    }),
  ]),
  step(
    "all of them are there",
    metadata,
    12,
    { topics: null },
    { until: ({ topics }) => (topics ?? []).filter(({ name }) => /^(made|placed)-/.test(name ?? "")).length === 12 },
  ),
  ...versionsOf(metadata).flatMap((v) => [
    step(`Metadata v${v}`, metadata, v, {
      // Before version 4 what is not there is made.
      topics: ["made-2", ...(v < 4 ? [] : ["unknown", "not a name", ""])].map((name) => ({ topicId: zeroUuid, name })),
      allowAutoTopicCreation: false,
      includeClusterAuthorizedOperations: v % 2 === 0,
      includeTopicAuthorizedOperations: v % 2 === 0,
    }),
    step(`Metadata v${v} of all topics`, metadata, v, { topics: v === 0 ? [] : null, allowAutoTopicCreation: false }),
  ]),
  ...[12, 13].map((v) =>
    step(`Metadata v${v} by id`, metadata, v, (seen) => ({
      topics: [seen.topicId("made-7"), strangeId].map((topicId) => ({ topicId, name: null })),
      allowAutoTopicCreation: false,
    })),
  ),
  step("DescribeTopicPartitions", describeTopicPartitions, 0, {
    topics: ["made-2", "made-3", "unknown", "not a name"].map((name) => ({ name })),
  }),
  step("DescribeTopicPartitions: three at a time", describeTopicPartitions, 0, {
    topics: ["made-2", "made-3", "made-4"].map((name) => ({ name })),
    responsePartitionLimit: 3,
  }),
  step("DescribeTopicPartitions: on from where it ended", describeTopicPartitions, 0, {
    topics: ["made-2", "made-3", "made-4"].map((name) => ({ name })),
    responsePartitionLimit: 3,
    cursor: { topicName: "made-3", partitionIndex: 1 },
  }),
  step("DescribeTopicPartitions: a cursor before all", describeTopicPartitions, 0, {
    topics: [{ name: "made-2" }],
    cursor: { topicName: "made-2", partitionIndex: -1 },
  }),
  step("DescribeTopicPartitions: a cursor beside all", describeTopicPartitions, 0, {
    topics: [{ name: "made-2" }],
    cursor: { topicName: "a", partitionIndex: 0 },
  }),
  ...versionsOf(createPartitions).flatMap((v) => [
    step(`CreatePartitions v${v}`, createPartitions, v, {
      topics: [
        { name: `made-${2 + v}`, count: 3, assignments: null },
        { name: `placed-${2 + v}`, count: 2, assignments: [{ brokerIds: [1] }] },
      ],
      timeoutMs: 10_000,
      validateOnly: false,
    }),
    step(`CreatePartitions v${v}: every refusal`, createPartitions, v, {
      topics: [
        { name: `made-${2 + v}`, count: 3, assignments: null },
        { name: "made-6", count: 1, assignments: null },
        { name: "made-7", count: 0, assignments: null },
        { name: "placed-6", count: -3, assignments: null },
        { name: "unknown", count: 3, assignments: null },
        { name: "not a name", count: 3, assignments: null },
        { name: "placed-7", count: 3, assignments: [{ brokerIds: [1] }] },
        { name: `placed-${2 + v}`, count: 5, assignments: null },
        { name: `placed-${2 + v}`, count: 6, assignments: null },
      ],
      timeoutMs: 10_000,
      validateOnly: false,
    }),
    step(`CreatePartitions v${v}: strangers`, createPartitions, v, {
      topics: [
        { name: "made-6", count: 3, assignments: [{ brokerIds: [9] }] },
        { name: "made-7", count: 3, assignments: [{ brokerIds: [] }] },
        { name: "placed-7", count: 20_000, assignments: null },
      ],
      timeoutMs: 10_000,
      validateOnly: true,
    }),
  ]),
  ...versionsOf(deleteTopics)
    .filter((v) => v < 6)
    .map((v) =>
      step(`DeleteTopics v${v}`, deleteTopics, v, {
        topicNames: [`made-${v + 1}`, "unknown", "not a name", "", "__consumer_offsets_"].filter(
          (name) => name !== "made-2",
        ),
        timeoutMs: 10_000,
      }),
    ),
  step("DeleteTopics v5 of one topic twice", deleteTopics, 5, {
    topicNames: ["placed-3", "placed-3"],
    timeoutMs: 10_000,
  }),
  step("DeleteTopics v6", deleteTopics, 6, (seen) => ({
    topics: [
      { name: null, topicId: seen.topicId("made-7") },
      { name: "placed-2", topicId: zeroUuid },
      { name: "unknown", topicId: zeroUuid },
      { name: null, topicId: strangeId },
      { name: null, topicId: zeroUuid },
      { name: "placed-4", topicId: seen.topicId("placed-5") },
      { name: null, topicId: seen.topicId("placed-6") },
      { name: "placed-6", topicId: zeroUuid },
    ],
    timeoutMs: 10_000,
  })),
  step(
    "Metadata makes the topic that it is asked for",
    metadata,
    12,
    { topics: [{ topicId: zeroUuid, name: "asked-for" }], allowAutoTopicCreation: true },
    { until: ({ topics }) => (topics ?? []).every(({ errorCode }) => errorCode === 0) },
  ),
];
