import assert from "node:assert/strict";
import { test } from "node:test";
import { addPartitionsToTxn } from "../../kafka/apis/add-partitions-to-txn.ts";
import { endTxn } from "../../kafka/apis/end-txn.ts";
import { initProducerId } from "../../kafka/apis/init-producer-id.ts";
import { type KafkaErrorName, kafkaErrors } from "../../kafka/kafka-errors.ts";
import { allBut, TransactionAsker } from "./transaction-answers.fixture.ts";

interface Producer {
  readonly producerId: number;
  readonly epoch: number;
}

async function init(asker: TransactionAsker, version = 5, more: object = {}): Promise<Producer & { error: string }> {
  const request = { transactionalId: "unit", transactionTimeoutMs: 60_000, ...more };
  const { producerId, producerEpoch, errorCode } = await asker.ask(initProducerId, version, request);
  return { producerId, epoch: producerEpoch, error: nameOf(errorCode) };
}

async function add(asker: TransactionAsker, producer: Producer, partitions: readonly number[], version = 3) {
  const { resultsByTopicV3AndBelow } = await asker.ask(addPartitionsToTxn, version, {
    transactions: [],
    v3AndBelowTransactionalId: "unit",
    v3AndBelowProducerId: producer.producerId,
    v3AndBelowProducerEpoch: producer.epoch,
    v3AndBelowTopics: [{ name: "t", partitions }],
  });
  return resultsByTopicV3AndBelow.flatMap(({ resultsByPartition }) => {
    return resultsByPartition.map(({ partitionIndex, partitionErrorCode }) => {
      return `${partitionIndex} ${nameOf(partitionErrorCode)}`;
    });
  });
}

async function end(asker: TransactionAsker, producer: Producer, committed = true, version = 5) {
  const { producerId, epoch: producerEpoch } = producer;
  const answer = await asker.ask(endTxn, version, { transactionalId: "unit", producerId, producerEpoch, committed });
  return { producerId: answer.producerId, epoch: answer.producerEpoch, error: nameOf(answer.errorCode) };
}

function nameOf(code: number): KafkaErrorName {
  const found = Object.entries(kafkaErrors).find(([, number]) => number === code);
  assert.ok(found);
  return found[0] as KafkaErrorName;
}

for (const version of [0, 1, 2, 3, 4, 5]) {
  test(`a producer without an id is given a new one, whatever it says it has (InitProducerId ${version})`, async () => {
    const asker = await TransactionAsker.open();
    const first = await init(asker, version, { transactionalId: null, transactionTimeoutMs: 0 });
    const said = version < 3 ? {} : { producerId: first.producerId, producerEpoch: 3 };
    const second = await init(asker, version, { transactionalId: null, transactionTimeoutMs: 0, ...said });
    assert.deepEqual([first.error, first.epoch, second.error, second.epoch], ["NONE", 0, "NONE", 0]);
    assert.notEqual(first.producerId, second.producerId);
  });

  test(`a transactional id's producer gets the next epoch each time (InitProducerId ${version})`, async () => {
    const asker = await TransactionAsker.open();
    const first = await init(asker, version);
    const second = await init(asker, version);
    assert.deepEqual(second, { ...first, epoch: first.epoch + 1 });
  });
}

test("InitProducerId refuses what Kafka refuses", async () => {
  const asker = await TransactionAsker.open();
  const wrong: [object, KafkaErrorName][] = [
    [{ transactionalId: "" }, "INVALID_REQUEST"],
    [{ transactionTimeoutMs: 900_001 }, "INVALID_TRANSACTION_TIMEOUT"],
    [{ transactionTimeoutMs: 0 }, "INVALID_TRANSACTION_TIMEOUT"],
    [{ transactionTimeoutMs: -1 }, "INVALID_TRANSACTION_TIMEOUT"],
    [{ producerId: 5 }, "INVALID_REQUEST"],
    [{ producerEpoch: 5 }, "INVALID_REQUEST"],
  ];
  for (const [more, error] of wrong) {
    assert.deepEqual(await init(asker, 5, more), { producerId: -1, epoch: -1, error });
  }
  assert.equal((await init(asker, 5, { transactionTimeoutMs: 900_000 })).error, "NONE");
});

test("an epoch that has ended is told by the name that the client's version knows", async () => {
  const asker = await TransactionAsker.open();
  const old = await init(asker);
  const current = await init(asker);
  const has = { producerId: old.producerId, producerEpoch: old.epoch };
  assert.equal((await init(asker, 3, has)).error, "INVALID_PRODUCER_EPOCH");
  for (const version of [4, 5]) assert.equal((await init(asker, version, has)).error, "PRODUCER_FENCED");
  for (const version of [0, 1]) assert.deepEqual(await add(asker, old, [0], version), ["0 INVALID_PRODUCER_EPOCH"]);
  for (const version of [2, 3]) assert.deepEqual(await add(asker, old, [0], version), ["0 PRODUCER_FENCED"]);
  for (const version of [0, 1]) assert.equal((await end(asker, old, true, version)).error, "INVALID_PRODUCER_EPOCH");
  for (const version of [2, 3, 4, 5]) assert.equal((await end(asker, old, true, version)).error, "PRODUCER_FENCED");
  const other = { ...current, producerId: 999 };
  assert.deepEqual(await add(asker, other, [0]), ["0 INVALID_PRODUCER_ID_MAPPING"]);
  assert.equal((await end(asker, other)).error, "INVALID_PRODUCER_ID_MAPPING");
});

for (const version of [0, 1, 2, 3, 4]) {
  test(`an older client ends its transactions under one epoch, and may ask again (EndTxn ${version})`, async () => {
    const asker = await TransactionAsker.open();
    const producer = await init(asker);
    const addVersion = Math.min(version, 3);
    assert.equal((await end(asker, producer, true, version)).error, "INVALID_TXN_STATE");
    assert.deepEqual(await add(asker, producer, [0, 1], addVersion), ["0 NONE", "1 NONE"]);
    await asker.send(producer, 0, 0, 1);
    for (let times = 0; times < 2; times++) assert.equal((await end(asker, producer, true, version)).error, "NONE");
    assert.equal((await end(asker, producer, false, version)).error, "INVALID_TXN_STATE");
    assert.deepEqual(await add(asker, producer, [0], addVersion), ["0 NONE"]);
    assert.equal((await end(asker, producer, false, version)).error, "NONE");
    assert.equal((await end(asker, producer, true, version)).error, "INVALID_TXN_STATE");
  });
}

test("a newer client is told its next epoch, and the same one when it asks again", async () => {
  const asker = await TransactionAsker.open();
  const first = await init(asker);
  await asker.send(first, 0);
  const second = await end(asker, first);
  assert.deepEqual(second, { ...first, epoch: first.epoch + 1 });
  assert.deepEqual(await end(asker, first), second);
  assert.deepEqual(await end(asker, first, false), { producerId: -1, epoch: -1, error: "INVALID_TXN_STATE" });
});

test("partitions are added all or none", async () => {
  const asker = await TransactionAsker.open();
  const producer = await init(asker);
  const expected = ["0 OPERATION_NOT_ATTEMPTED", "7 UNKNOWN_TOPIC_OR_PARTITION", "-1 UNKNOWN_TOPIC_OR_PARTITION"];
  assert.deepEqual(await add(asker, producer, [0, 7, -1]), expected);
  await asker.engine.createTopic("own", {}, { readOnly: true });
  const { resultsByTopicV3AndBelow } = await asker.ask(addPartitionsToTxn, 3, {
    transactions: [],
    v3AndBelowTransactionalId: "unit",
    v3AndBelowProducerId: producer.producerId,
    v3AndBelowProducerEpoch: producer.epoch,
    v3AndBelowTopics: ["own", "unknown", "t"].map((name) => ({ name, partitions: [0] })),
  });
  const codes = resultsByTopicV3AndBelow.map(({ resultsByPartition: [one] }) => nameOf(one?.partitionErrorCode ?? 0));
  assert.deepEqual(codes, ["TOPIC_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PARTITION", "OPERATION_NOT_ATTEMPTED"]);
  assert.equal((await asker.engine.transactions.describe("unit"))?.state, "empty");
});

test("who may not write is refused, and nothing is done", async () => {
  const asker = await TransactionAsker.open();
  const producer = await init(asker);
  const own = { transactionalId: "_millrace/view" };
  assert.equal((await init(asker, 5, own)).error, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED");
  asker.allows = allBut("write transactional-id unit");
  assert.equal((await init(asker)).error, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED");
  assert.deepEqual(await add(asker, producer, [0]), ["0 TRANSACTIONAL_ID_AUTHORIZATION_FAILED"]);
  assert.equal((await end(asker, producer)).error, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED");
  asker.allows = allBut("write topic t");
  assert.deepEqual(await add(asker, producer, [0]), ["0 TOPIC_AUTHORIZATION_FAILED"]);
  asker.allows = allBut("idempotent-write cluster kafka-cluster");
  assert.equal((await init(asker, 5, { transactionalId: null })).error, "NONE", "it may write to a topic");
  asker.allows = allBut("idempotent-write cluster kafka-cluster", "write topic t");
  assert.equal((await init(asker, 5, { transactionalId: null })).error, "CLUSTER_AUTHORIZATION_FAILED");
});

for (const version of [4, 5]) {
  test(`brokers add and verify partitions of many transactions (AddPartitionsToTxn ${version})`, async () => {
    const asker = await TransactionAsker.open();
    const producer = await init(asker);
    const wanted = (verifyOnly: boolean, more: object = {}) => ({
      transactionalId: "unit",
      producerId: producer.producerId,
      producerEpoch: producer.epoch,
      verifyOnly,
      topics: [{ name: "t", partitions: [0, 1] }],
      ...more,
    });
    const ask = async (...transactions: ReturnType<typeof wanted>[]) => {
      const answer = await asker.ask(addPartitionsToTxn, version, {
        transactions,
        v3AndBelowTransactionalId: "",
        v3AndBelowProducerId: 0,
        v3AndBelowProducerEpoch: 0,
        v3AndBelowTopics: [],
      });
      const codes = answer.resultsByTransaction.flatMap(({ topicResults }) =>
        topicResults.flatMap(({ resultsByPartition }) =>
          resultsByPartition.map(({ partitionErrorCode }) => nameOf(partitionErrorCode)),
        ),
      );
      return [nameOf(answer.errorCode), ...codes];
    };
    await add(asker, producer, [0]);
    const other = { transactionalId: "nobody" };
    assert.deepEqual(await ask(wanted(true), wanted(true, other)), [
      "NONE",
      "NONE",
      "TRANSACTION_ABORTABLE",
      "INVALID_PRODUCER_ID_MAPPING",
      "INVALID_PRODUCER_ID_MAPPING",
    ]);
    assert.deepEqual(await ask(wanted(false)), ["NONE", "NONE", "NONE"]);
    assert.deepEqual(await ask(wanted(true, { producerEpoch: 9 })), ["NONE", "PRODUCER_FENCED", "PRODUCER_FENCED"]);
    asker.allows = allBut("cluster-action cluster kafka-cluster");
    assert.deepEqual(await ask(wanted(false)), ["CLUSTER_AUTHORIZATION_FAILED"]);
  });
}
