/** Produce, Fetch, and places in partitions. */
import { deleteRecords } from "../../../../../src/kafka/apis/delete-records.ts";
import { describeProducers } from "../../../../../src/kafka/apis/describe-producers.ts";
import { fetch } from "../../../../../src/kafka/apis/fetch.ts";
import { initProducerId } from "../../../../../src/kafka/apis/init-producer-id.ts";
import { listOffsets } from "../../../../../src/kafka/apis/list-offsets.ts";
import { offsetForLeaderEpoch } from "../../../../../src/kafka/apis/offset-for-leader-epoch.ts";
import { produce } from "../../../../../src/kafka/apis/produce.ts";
import { batchField, writeBatchChecksum } from "../../../../../src/records/batch-header.ts";
import { type BatchOptions, batchOf, batchTimeMs, corruptBatch } from "../batches.ts";
import { type Seen, type Step, step } from "../script.ts";
import { strangeId, topicSteps } from "./topics.ts";
import { versionsOf } from "./versions.ts";

const codec = { gzip: 1, snappy: 2, lz4: 3, zstd: 4 };
const topics = ["records", "unknown"] as const;

type Parts = readonly { readonly index: number; readonly records: Buffer | null }[];

function producing(seen: Seen, version: number, parts: Readonly<Record<string, Parts>>, acks = -1) {
  return {
    ...{ transactionalId: null, acks, timeoutMs: 10_000 },
    topicData: Object.entries(parts).map(([name, partitionData]) => ({
      ...(version >= 13 ? { topicId: name === "unknown" ? strangeId : seen.topicId(name) } : { name }),
      partitionData,
    })),
  };
}

function produceStep(name: string, version: number, parts: Readonly<Record<string, Parts>>, acks = -1): Step {
  return step(name, produce, version, (seen) => producing(seen, version, parts, acks));
}

function damagedBatches(): [what: string, records: Buffer][] {
  const batch = batchOf(["damaged"]);
  const withByte = (position: number, value: number) => {
    const bytes = Buffer.from(batch);
    bytes[position] = value;
    return bytes;
  };
  const withAttributes = (attributes: number) => {
    const bytes = withByte(batchField.attributes + 1, attributes);
    writeBatchChecksum(bytes);
    return bytes;
  };
  return [
    ["no bytes", Buffer.alloc(0)],
    ["a few bytes", Buffer.alloc(8)],
    ["zeroes", Buffer.alloc(100)],
    ["a batch that is cut", batch.subarray(0, batch.length - 1)],
    ["a batch that is cut in its header", batch.subarray(0, 40)],
    ["a batch whose length is too long", withByte(9, 9)],
    ["a batch whose length is too short", withByte(11, 3)],
    ["a batch whose length is below zero", withByte(8, 0xff)],
    ["a batch of format 0", withByte(16, 0)],
    ["a batch of format 1", withByte(16, 1)],
    ["a batch of format 3", withByte(16, 3)],
    ["a batch of format -1", withByte(16, 0xff)],
    ["two batches", Buffer.concat([batch, batch])],
    ["a batch and half of another", Buffer.concat([batch, batch.subarray(0, 40)])],
    ["a batch in a codec that is not there", withAttributes(7)],
    ["a batch that says it is a marker", withAttributes(0x20)],
  ];
}

/** One batch of the producer that `producer` was given. */
function idempotentStep(name: string, producer: string, options: Omit<BatchOptions, "producerId">, version = 9): Step {
  return step(name, produce, version, (seen) => {
    const epoch = options.epoch ?? seen.number(producer, "producerEpoch");
    const records = batchOf(["idempotent"], { ...options, epoch, producerId: seen.number(producer, "producerId") });
    return producing(seen, version, { records: [{ index: 1, records }] });
  });
}

interface FetchWish {
  readonly topic: (typeof topics)[number];
  readonly partition: number;
  readonly offset: number;
  readonly bytesMax?: number;
  readonly epoch?: number;
}

interface FetchOptions {
  readonly session?: readonly [idFrom: string | number, epoch: number];
  readonly isolation?: number;
  readonly forgotten?: readonly (typeof topics)[number][];
}

function fetchStep(name: string, version: number, wishes: readonly FetchWish[], options: FetchOptions = {}): Step {
  return step(name, fetch, version, (seen) => {
    const named = (topic: string) =>
      version >= 13 ? { topicId: topic === "unknown" ? strangeId : seen.topicId(topic) } : { topic };
    const [session, sessionEpoch] = options.session ?? [0, -1];
    return {
      ...{ maxWaitMs: 0, minBytes: 0, maxBytes: 1_000_000, isolationLevel: options.isolation ?? 0, sessionEpoch },
      sessionId: typeof session === "number" ? session : seen.number(session, "sessionId"),
      topics: topics
        .map((topic) => ({ topic, of: wishes.filter((wish) => wish.topic === topic) }))
        .filter(({ of }) => of.length > 0)
        .map(({ topic, of }) => ({
          ...named(topic),
          partitions: of.map(({ partition, offset, bytesMax = 1_000_000, epoch = -1 }) => ({
            ...{ partition, fetchOffset: offset, partitionMaxBytes: bytesMax, currentLeaderEpoch: epoch },
          })),
        })),
      forgottenTopicsData: (options.forgotten ?? []).map((topic) => ({ ...named(topic), partitions: [0] })),
    };
  });
}

export const recordScenario: readonly Step[] = [
  ...topicSteps("records", 2),
  ...topicSteps("damaged", 1),
  ...topicSteps("compacted", 1, { "cleanup.policy": "compact" }),
  ...versionsOf(produce).flatMap((v) => [
    produceStep(`Produce v${v}`, v, { records: [{ index: 0, records: batchOf([`one of v${v}`, "two"]) }] }),
    produceStep(`Produce v${v}: every refusal`, v, {
      records: [
        { index: 9, records: batchOf(["no such partition"]) },
        { index: 0, records: corruptBatch() },
      ],
      unknown: [{ index: 0, records: batchOf(["no such topic"]) }],
    }),
    produceStep(`Produce v${v} in zstd`, v, {
      records: [{ index: 0, records: batchOf(["zstd"], { codec: codec.zstd }) }],
    }),
    produceStep(`Produce v${v} with acks 7`, v, { records: [{ index: 0, records: batchOf(["acks"]) }] }, 7),
  ]),
  produceStep("Produce of nothing at all", 9, {}),
  ...damagedBatches().map(([what, records]) =>
    produceStep(`Produce of ${what}`, 9, { damaged: [{ index: 0, records }] }),
  ),
  produceStep("Produce without a key where keys are needed", 9, {
    compacted: [{ index: 0, records: batchOf(["kept"], { keyless: true }) }],
  }),
  produceStep("Produce in gzip", 9, { records: [{ index: 0, records: batchOf(["gzip"], { codec: codec.gzip }) }] }, 1),
  produceStep(
    "Produce in snappy",
    9,
    { records: [{ index: 0, records: batchOf(["snappy"], { codec: codec.snappy }) }] },
    1,
  ),
  produceStep("Produce in lz4", 9, { records: [{ index: 0, records: batchOf(["lz4"], { codec: codec.lz4 }) }] }, 1),
  ...versionsOf(initProducerId).map((v) =>
    step(`InitProducerId v${v}`, initProducerId, v, { transactionalId: null, transactionTimeoutMs: 60_000 }),
  ),
  step("InitProducerId with an id of its own and no transactional id", initProducerId, 3, {
    ...{ transactionalId: null, transactionTimeoutMs: 60_000, producerId: 5, producerEpoch: 3 },
  }),
  idempotentStep("the first batch of a producer", "InitProducerId v5", { sequence: 0 }),
  idempotentStep("the first batch again", "InitProducerId v5", { sequence: 0 }),
  idempotentStep("the second batch", "InitProducerId v5", { sequence: 1 }),
  idempotentStep("a batch that leaves one out", "InitProducerId v5", { sequence: 3 }),
  idempotentStep("a batch of an epoch to come", "InitProducerId v5", { sequence: 0, epoch: 1 }),
  idempotentStep("a batch of an epoch gone by", "InitProducerId v5", { sequence: 2, epoch: 0 }),
  idempotentStep("a batch of a new producer that does not begin at 0", "InitProducerId v4", { sequence: 5 }),
  idempotentStep("an epoch below zero", "InitProducerId v3", { sequence: 0, epoch: -5 }),
  step("DescribeProducers", describeProducers, 0, {
    topics: [
      { name: "records", partitionIndexes: [0, 1, 7] },
      { name: "unknown", partitionIndexes: [0] },
    ],
  }),
  ...versionsOf(listOffsets).map((v) =>
    step(`ListOffsets v${v}`, listOffsets, v, {
      replicaId: -1,
      isolationLevel: v % 2,
      topics: [
        {
          name: "records",
          partitions: [
            { partitionIndex: 0, timestamp: -1 },
            { partitionIndex: 1, timestamp: -2 },
            { partitionIndex: 5, timestamp: -1 },
          ],
        },
        { name: "unknown", partitions: [{ partitionIndex: 0, timestamp: -1 }] },
      ],
      timeoutMs: 1_000,
    }),
  ),
  ...versionsOf(listOffsets).map((v) =>
    step(`ListOffsets v${v} of one partition twice`, listOffsets, v, {
      replicaId: -1,
      topics: [{ name: "records", partitions: [0, 0].map((partitionIndex) => ({ partitionIndex, timestamp: -1 })) }],
    }),
  ),
  ...versionsOf(listOffsets).flatMap((v) =>
    [-3, -4, -5, -6, -7, 0, batchTimeMs + 1, batchTimeMs + 1e9].map((timestamp) =>
      step(`ListOffsets v${v} at ${timestamp}`, listOffsets, v, {
        replicaId: -1,
        topics: [{ name: "records", partitions: [{ partitionIndex: 0, timestamp }] }],
        timeoutMs: 1_000,
      }),
    ),
  ),
  step("ListOffsets from another epoch", listOffsets, 5, {
    replicaId: -1,
    topics: [{ name: "records", partitions: [{ partitionIndex: 0, timestamp: -1, currentLeaderEpoch: 77 }] }],
  }),
  ...versionsOf(offsetForLeaderEpoch).map((v) =>
    step(`OffsetForLeaderEpoch v${v}`, offsetForLeaderEpoch, v, {
      topics: [
        {
          topic: "records",
          partitions: [
            { partition: 0, leaderEpoch: 0 },
            { partition: 1, leaderEpoch: 55, currentLeaderEpoch: -1 },
            { partition: 0, leaderEpoch: 0, currentLeaderEpoch: 55 },
            { partition: 8, leaderEpoch: 0 },
          ],
        },
        { topic: "unknown", partitions: [{ partition: 0, leaderEpoch: 0 }] },
      ],
    }),
  ),
  ...versionsOf(fetch).flatMap((v) => [
    fetchStep(`Fetch v${v}`, v, [
      { topic: "records", partition: 0, offset: 1, bytesMax: 300 },
      { topic: "records", partition: 1, offset: 0 },
    ]),
    fetchStep(`Fetch v${v}: every refusal`, v, [
      { topic: "records", partition: 0, offset: 1_000 },
      { topic: "records", partition: 1, offset: -7 },
      { topic: "records", partition: 9, offset: 0 },
      { topic: "unknown", partition: 0, offset: 0 },
    ]),
  ]),
  ...[7, 12, 13, 18].flatMap((v) => [
    fetchStep(`a session begins, v${v}`, v, [{ topic: "records", partition: 1, offset: 0 }], { session: [0, 0] }),
    fetchStep(`the session goes on, v${v}`, v, [], { session: [`a session begins, v${v}`, 1] }),
    fetchStep(`the session takes one more, v${v}`, v, [{ topic: "records", partition: 0, offset: 0, bytesMax: 1 }], {
      session: [`a session begins, v${v}`, 2],
    }),
    fetchStep(
      `the session takes a topic that is not there, v${v}`,
      v,
      [{ topic: "unknown", partition: 0, offset: 0 }],
      {
        session: [`a session begins, v${v}`, 3],
      },
    ),
    fetchStep(`the session forgets, v${v}`, v, [], {
      session: [`a session begins, v${v}`, 4],
      forgotten: ["records", "unknown"],
    }),
    fetchStep(`the session is asked with a wrong epoch, v${v}`, v, [], { session: [`a session begins, v${v}`, 9] }),
    fetchStep(`a session that is not there, v${v}`, v, [], { session: [123_456, 1] }),
    fetchStep(`the session ends, v${v}`, v, [], { session: [`a session begins, v${v}`, -1] }),
  ]),
  fetchStep("Fetch from an epoch to come", 12, [{ topic: "records", partition: 0, offset: 0, epoch: 99 }]),
  ...versionsOf(deleteRecords).map((v) =>
    step(`DeleteRecords v${v}`, deleteRecords, v, {
      topics: [
        {
          name: "records",
          partitions: [
            { partitionIndex: 0, offset: v + 1 },
            { partitionIndex: 1, offset: 99_999 },
            { partitionIndex: 6, offset: 0 },
          ],
        },
        { name: "unknown", partitions: [{ partitionIndex: 0, offset: 0 }] },
        { name: "compacted", partitions: [{ partitionIndex: 0, offset: 0 }] },
      ],
      timeoutMs: 10_000,
    }),
  ),
  step("DeleteRecords up to the end", deleteRecords, 2, {
    topics: [{ name: "records", partitions: [{ partitionIndex: 0, offset: -1 }] }],
    timeoutMs: 10_000,
  }),
  step("DeleteRecords up to a place below zero", deleteRecords, 2, {
    topics: [{ name: "records", partitions: [{ partitionIndex: 1, offset: -7 }] }],
    timeoutMs: 10_000,
  }),
  fetchStep("Fetch of what was deleted", 12, [{ topic: "records", partition: 0, offset: 0 }]),
];
