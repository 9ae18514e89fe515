/** Adds partitions to a transaction. From version 4 on it is a batch of transactions, which brokers send each other; clients stay at 3. */
import { api, array, bool, int16, int32, int64, string, struct } from "../fields.ts";

const addPartitionsToTxnTopic = struct({
  name: string(),
  partitions: array(int32()),
});

const addPartitionsToTxnPartitionResult = struct({
  partitionIndex: int32(),
  partitionErrorCode: int16(),
});

const addPartitionsToTxnTopicResult = struct({
  name: string(),
  resultsByPartition: array(addPartitionsToTxnPartitionResult),
});

export const addPartitionsToTxn = api({
  key: 24,
  name: "AddPartitionsToTxn",
  versions: [0, 5],
  flexibleFrom: 3,
  request: struct({
    transactions: array(
      struct({
        transactionalId: string(),
        producerId: int64(),
        producerEpoch: int16(),
        verifyOnly: bool({ default: false }),
        topics: array(addPartitionsToTxnTopic),
      }),
      { from: 4 },
    ),
    v3AndBelowTransactionalId: string({ to: 3 }),
    v3AndBelowProducerId: int64({ to: 3 }),
    v3AndBelowProducerEpoch: int16({ to: 3 }),
    v3AndBelowTopics: array(addPartitionsToTxnTopic, { to: 3 }),
  }),
  response: struct({
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16({ from: 4 }),
    resultsByTransaction: array(
      struct({
        transactionalId: string(),
        topicResults: array(addPartitionsToTxnTopicResult),
      }),
      { from: 4 },
    ),
    resultsByTopicV3AndBelow: array(addPartitionsToTxnTopicResult, { to: 3 }),
  }),
});
