/** Transactions of both protocols: partitions that are added first, and those that come with their first batch (KIP-890). */
import { addOffsetsToTxn } from "../../../../../src/kafka/apis/add-offsets-to-txn.ts";
import { addPartitionsToTxn } from "../../../../../src/kafka/apis/add-partitions-to-txn.ts";
import { describeProducers } from "../../../../../src/kafka/apis/describe-producers.ts";
import { describeTransactions } from "../../../../../src/kafka/apis/describe-transactions.ts";
import { endTxn } from "../../../../../src/kafka/apis/end-txn.ts";
import { fetch } from "../../../../../src/kafka/apis/fetch.ts";
import { initProducerId } from "../../../../../src/kafka/apis/init-producer-id.ts";
import { listTransactions } from "../../../../../src/kafka/apis/list-transactions.ts";
import { offsetFetch } from "../../../../../src/kafka/apis/offset-fetch.ts";
import { produce } from "../../../../../src/kafka/apis/produce.ts";
import { txnOffsetCommit } from "../../../../../src/kafka/apis/txn-offset-commit.ts";
import { writeTxnMarkers } from "../../../../../src/kafka/apis/write-txn-markers.ts";
import type { ResponseOf } from "../../../../../src/kafka/fields.ts";
import { batchOf } from "../batches.ts";
import { type Seen, type Step, step } from "../script.ts";
import { topicSteps } from "./topics.ts";
import { roundsOf, versionAt, versionsOf } from "./versions.ts";

const topics = [{ name: "exact", partitions: [0] }];

interface Producer {
  readonly transactionalId: string;
  readonly producerId: number;
  readonly producerEpoch: number;
}

function adding(version: number, producer: Producer, of: readonly { name: string; partitions: number[] }[] = topics) {
  const { transactionalId, producerId, producerEpoch } = producer;
  if (version >= 4) return { transactions: [{ ...producer, verifyOnly: false, topics: of }] };
  return {
    v3AndBelowTransactionalId: transactionalId,
    v3AndBelowProducerId: producerId,
    v3AndBelowProducerEpoch: producerEpoch,
    v3AndBelowTopics: of,
  };
}

function committing(producer: Producer, groupId: string) {
  const partitions = [0, 7].map((partitionIndex) => ({ partitionIndex, committedOffset: 11, committedMetadata: "tx" }));
  return { ...producer, groupId, topics: [{ name: "exact", partitions }] };
}

function producing(seen: Seen, version: number, producer: Producer, sequence: number, index = 0) {
  const { transactionalId, producerId, producerEpoch: epoch } = producer;
  const records = batchOf([`of ${transactionalId}`], { producerId, epoch, sequence, transactional: true });
  const named = version >= 13 ? { topicId: seen.topicId("exact") } : { name: "exact" };
  return {
    transactionalId,
    acks: -1,
    timeoutMs: 10_000,
    topicData: [{ ...named, partitionData: [{ index, records }] }],
  };
}

function producerOf(seen: Seen, transactionalId: string, begun: string): Producer {
  return {
    ...{ transactionalId, producerId: seen.number(begun, "producerId") },
    producerEpoch: seen.number(begun, "producerEpoch"),
  };
}

function beginning(name: string, transactionalId: string, version = 4, transactionTimeoutMs = 60_000): Step {
  return step(name, initProducerId, version, { transactionalId, transactionTimeoutMs });
}

/** Waits until nothing is open: markers are written after the answer to the commit. */
function settled(name: string): Step {
  const open = (response: ResponseOf<typeof describeProducers>) =>
    response.topics[0]?.partitions.flatMap(({ activeProducers }) =>
      activeProducers.filter(({ currentTxnStartOffset }) => currentTxnStartOffset >= 0),
    );
  return step(
    name,
    describeProducers,
    0,
    { topics: [{ name: "exact", partitionIndexes: [0, 1] }] },
    { until: (response) => open(response)?.length === 0 },
  );
}

const apisOfRounds = [initProducerId, addPartitionsToTxn, addOffsetsToTxn, txnOffsetCommit, endTxn];

/** The older protocol: partitions and groups are added first; every second transaction is aborted. */
function round(number: number): Step[] {
  const transactionalId = `tx-${number}`;
  const named = (name: string) => `${transactionalId}: ${name}`;
  const begun = named("begins");
  const producer = (seen: Seen) => producerOf(seen, transactionalId, begun);
  const add = versionAt(addPartitionsToTxn, number);
  const end = Math.min(versionAt(endTxn, number), 4);
  const groupId = `exact-${number}`;
  return [
    beginning(begun, transactionalId, versionAt(initProducerId, number)),
    ...[3, 10, 11].map((v) =>
      step(
        named(`produces before it has added, v${v}`),
        produce,
        v,
        (seen) => producing(seen, v, producer(seen), 0),
        // NOT_LEADER_OR_FOLLOWER until the leader knows the coordinator.
        { until: ({ responses }) => responses[0]?.partitionResponses[0]?.errorCode !== 6 },
      ),
    ),
    ...[0, 3, 4].map((v) =>
      step(named(`commits offsets before it has added them, v${v}`), txnOffsetCommit, v, (seen) =>
        committing(producer(seen), groupId),
      ),
    ),
    step(named("adds a partition"), addPartitionsToTxn, add, (seen) => adding(add, producer(seen))),
    step(named("adds one that is not there"), addPartitionsToTxn, add, (seen) =>
      adding(add, producer(seen), [
        { name: "exact", partitions: [0, 50] },
        { name: "unknown", partitions: [0] },
      ]),
    ),
    step(named("adds with another epoch"), addPartitionsToTxn, add, (seen) =>
      adding(add, { ...producer(seen), producerEpoch: producer(seen).producerEpoch + 3 }),
    ),
    step(named("adds with another producer"), addPartitionsToTxn, add, (seen) =>
      adding(add, { ...producer(seen), producerId: 999_999 }),
    ),
    step(named("produces"), produce, 11, (seen) => producing(seen, 11, producer(seen), 0)),
    step(named("adds offsets"), addOffsetsToTxn, versionAt(addOffsetsToTxn, number), (seen) => ({
      ...producer(seen),
      groupId,
    })),
    step(named("commits offsets"), txnOffsetCommit, Math.min(versionAt(txnOffsetCommit, number), 4), (seen) =>
      committing(producer(seen), groupId),
    ),
    step(named("commits offsets as no member"), txnOffsetCommit, 4, (seen) => ({
      ...committing(producer(seen), groupId),
      ...{ memberId: "stranger", generationId: 4 },
    })),
    step(
      named("commits offsets with another epoch"),
      txnOffsetCommit,
      Math.min(versionAt(txnOffsetCommit, number), 4),
      (seen) => committing({ ...producer(seen), producerEpoch: producer(seen).producerEpoch + 3 }, groupId),
    ),
    step(named("offsets are not stable"), offsetFetch, 7, {
      ...{ groupId, topics: [{ name: "exact", partitionIndexes: [0] }], requireStable: true },
    }),
    step(named("offsets are not there"), offsetFetch, 7, {
      ...{ groupId, topics: [{ name: "exact", partitionIndexes: [0] }], requireStable: false },
    }),
    step(named("ends with another epoch"), endTxn, end, (seen) => ({
      ...producer(seen),
      producerEpoch: producer(seen).producerEpoch + 3,
      committed: true,
    })),
    step(named("ends with another producer"), endTxn, end, (seen) => ({
      ...{ ...producer(seen), producerId: 999_999, committed: true },
    })),
    step(named("ends"), endTxn, end, (seen) => ({ ...producer(seen), committed: number % 2 === 0 })),
    settled(named("has ended")),
    step(named("ends again"), endTxn, end, (seen) => ({ ...producer(seen), committed: number % 2 === 0 })),
    step(named("ends otherwise"), endTxn, end, (seen) => ({ ...producer(seen), committed: number % 2 === 1 })),
    step(
      named("offsets are stable"),
      offsetFetch,
      7,
      { groupId, topics: [{ name: "exact", partitionIndexes: [0] }], requireStable: true },
      { until: ({ topics: [topic] }) => topic?.partitions[0]?.errorCode !== 88 },
    ),
  ];
}

const second = (seen: Seen) => producerOf(seen, "second", "the second protocol begins");
const third = (seen: Seen) => producerOf(seen, "second", "the second protocol ends");

/** transaction.version 2: the epoch grows with every transaction. */
const newer: readonly Step[] = [
  beginning("the second protocol begins", "second", 5),
  step("it ends before anything", endTxn, 5, (seen) => ({ ...second(seen), committed: true })),
  step("it aborts before anything", endTxn, 5, (seen) => ({ ...second(seen), committed: false })),
  beginning("the second protocol begins again", "second", 5),
];

const again = (seen: Seen) => producerOf(seen, "second", "the second protocol begins again");
const newerOn: readonly Step[] = [
  step("it produces at once", produce, 12, (seen) => producing(seen, 12, again(seen), 0)),
  step("it produces by id", produce, 13, (seen) => producing(seen, 13, again(seen), 0, 1)),
  step("it leaves one out", produce, 12, (seen) => producing(seen, 12, again(seen), 5)),
  step("it commits offsets at once", txnOffsetCommit, 5, (seen) => committing(again(seen), "exact-second")),
  step("it is described", describeTransactions, 0, { transactionalIds: ["second", "no-such-id", ""] }),
  ...versionsOf(listTransactions).map((v) =>
    step(`it is listed, v${v}`, listTransactions, v, {
      ...{ stateFilters: ["Ongoing", "Asleep"], producerIdFilters: [], transactionalIdPattern: "se.*" },
    }),
  ),
  step("a pattern that is none", listTransactions, 2, {
    ...{ stateFilters: [], producerIdFilters: [], transactionalIdPattern: "(" },
  }),
  step("those of a producer that is not there", listTransactions, 2, {
    stateFilters: [],
    producerIdFilters: [424_242],
  }),
  step("the second protocol ends", endTxn, 5, (seen) => ({ ...again(seen), committed: true })),
  settled("the second protocol has ended"),
  step("it ends once more", endTxn, 5, (seen) => ({ ...again(seen), committed: true })),
  step("it produces with its old epoch", produce, 12, (seen) => producing(seen, 12, again(seen), 1)),
  step("it produces with its new epoch", produce, 12, (seen) => producing(seen, 12, third(seen), 0)),
  step("it aborts", endTxn, 5, (seen) => ({ ...third(seen), committed: false })),
  settled("it has aborted"),
];

const refusals: readonly Step[] = [
  beginning("a transactional id of nothing", "", 4),
  beginning("a transaction without time", "timeless", 4, 0),
  beginning("a transaction below zero", "timeless", 4, -1),
  beginning("a transaction for ever", "timeless", 4, 2_000_000_000),
  step("an epoch without a producer", initProducerId, 4, {
    ...{ transactionalId: "odd", transactionTimeoutMs: 60_000, producerId: -1, producerEpoch: 3 },
  }),
  step("a producer that is another's", initProducerId, 4, {
    ...{ transactionalId: "tx-0", transactionTimeoutMs: 60_000, producerId: 999_999, producerEpoch: 0 },
  }),
  step("an id that nobody has begun with adds", addPartitionsToTxn, 3, {
    ...adding(3, { transactionalId: "no-such-id", producerId: 1, producerEpoch: 0 }),
  }),
  step("an id that nobody has begun with adds offsets", addOffsetsToTxn, 4, {
    ...{ transactionalId: "no-such-id", producerId: 1, producerEpoch: 0, groupId: "g" },
  }),
  step("an id that nobody has begun with ends", endTxn, 5, {
    ...{ transactionalId: "no-such-id", producerId: 1, producerEpoch: 0, committed: true },
  }),
  step("an id that nobody has begun with commits offsets", txnOffsetCommit, 5, {
    ...committing({ transactionalId: "no-such-id", producerId: 1, producerEpoch: 0 }, "exact-0"),
  }),
  step("offsets of a transaction from no member", txnOffsetCommit, 4, (seen) => ({
    ...committing(producerOf(seen, "tx-4", "tx-4: begins"), "exact-4"),
    ...{ memberId: "stranger", generationId: 4 },
  })),
  step("a transactional batch without its id", produce, 11, (seen) => ({
    ...producing(seen, 11, producerOf(seen, "tx-0", "tx-0: begins"), 1),
    transactionalId: null,
  })),
  beginning("tx-0 begins anew", "tx-0", 4),
  step("the former one is fenced: it adds", addPartitionsToTxn, 3, (seen) =>
    adding(3, producerOf(seen, "tx-0", "tx-0: begins")),
  ),
  step("the former one is fenced: it ends", endTxn, 3, (seen) => ({
    ...{ ...producerOf(seen, "tx-0", "tx-0: begins"), committed: true },
  })),
  step("the former one is fenced: it begins", initProducerId, 4, (seen) => ({
    ...{ ...producerOf(seen, "tx-0", "tx-0: begins"), transactionTimeoutMs: 60_000 },
  })),
  ...versionsOf(writeTxnMarkers).map((v) =>
    step(`WriteTxnMarkers v${v}`, writeTxnMarkers, v, {
      markers: [
        {
          ...{ producerId: 77_000 + v, producerEpoch: 0, transactionResult: true, coordinatorEpoch: 0 },
          ...(v >= 2 && { transactionVersion: 1 }),
          topics: [
            { name: "exact", partitionIndexes: [1, 60] },
            { name: "unknown", partitionIndexes: [0] },
          ],
        },
      ],
    }),
  ),
];

const reading: readonly Step[] = [0, 1].map((isolationLevel) =>
  step(`what is read at level ${isolationLevel}`, fetch, 12, {
    ...{ maxWaitMs: 0, minBytes: 0, isolationLevel },
    topics: [
      {
        topic: "exact",
        partitions: [0, 1].map((partition) => ({ partition, fetchOffset: 0, partitionMaxBytes: 1_000_000 })),
      },
    ],
    forgottenTopicsData: [],
  }),
);

export const transactionScenario: readonly Step[] = [
  // Markers have the time of day, and the batches one that is long gone: a segment for each, were it not for this.
  ...topicSteps("exact", 2, { "segment.ms": "9000000000000" }),
  ...roundsOf(apisOfRounds).flatMap(round),
  ...newer,
  ...newerOn,
  ...refusals,
  ...reading,
];
