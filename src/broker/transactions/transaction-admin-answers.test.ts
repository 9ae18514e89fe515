import assert from "node:assert/strict";
import { test } from "node:test";
import { describeProducers } from "../../kafka/apis/describe-producers.ts";
import { describeTransactions } from "../../kafka/apis/describe-transactions.ts";
import { listTransactions } from "../../kafka/apis/list-transactions.ts";
import { writeTxnMarkers } from "../../kafka/apis/write-txn-markers.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { allBut, TransactionAsker } from "./transaction-answers.fixture.ts";

const everything = { stateFilters: [], producerIdFilters: [] };

/** One of each state that stays. */
async function some(asker: TransactionAsker) {
  const { transactions } = asker.engine;
  await transactions.init("empty", 60_000);
  const open = await transactions.init("open", 60_000);
  await asker.send(open, 0, 1);
  await asker.send(open, 0, 2);
  for (const outcome of ["commit", "abort"] as const) {
    await transactions.end(outcome, await transactions.init(outcome, 60_000), "abort");
    const producer = await transactions.init(outcome, 60_000);
    await asker.send(producer, 0);
    await transactions.end(outcome, producer, outcome);
  }
  return open;
}

test("transactions are listed by state, producer, age and name", async () => {
  const asker = await TransactionAsker.open();
  const open = await some(asker);
  await asker.clock.advance(5000);
  const list = async (more: object = {}, version = 2) => {
    const answer = await asker.ask(listTransactions, version, { ...everything, ...more });
    assert.equal(answer.errorCode, 0);
    return Object.fromEntries(answer.transactionStates.map((one) => [one.transactionalId, one.transactionState]));
  };
  const all = { empty: "Empty", open: "Ongoing", commit: "CompleteCommit", abort: "CompleteAbort" };
  for (const version of [0, 1, 2]) assert.deepEqual(await list({}, version), all);
  assert.deepEqual(await list({ stateFilters: ["Ongoing", "Empty"] }), { empty: "Empty", open: "Ongoing" });
  assert.deepEqual(await list({ producerIdFilters: [open.producerId] }), { open: "Ongoing" });
  assert.deepEqual(await list({ durationFilter: 4999, stateFilters: ["Ongoing"] }), { open: "Ongoing" });
  assert.deepEqual(await list({ durationFilter: 5000, stateFilters: ["Ongoing"] }), {});
  assert.deepEqual(await list({ transactionalIdPattern: "(com|a).*" }), {
    commit: "CompleteCommit",
    abort: "CompleteAbort",
  });
  const unknown = await asker.ask(listTransactions, 2, { ...everything, stateFilters: ["Lost", "Dead"] });
  assert.deepEqual([unknown.unknownStateFilters, unknown.transactionStates], [["Lost"], []]);
  const invalid = await asker.ask(listTransactions, 2, { ...everything, transactionalIdPattern: "(" });
  assert.equal(invalid.errorCode, kafkaErrors.INVALID_REGULAR_EXPRESSION);
  asker.allows = allBut("describe transactional-id open");
  const { open: _, ...others } = all;
  assert.deepEqual(await list(), others);
});

test("a transaction is described with the partitions that one may know of", async () => {
  const asker = await TransactionAsker.open();
  const startedMs = asker.clock.now();
  const open = await some(asker);
  const transactionalIds = ["open", "empty", "nobody", ""];
  const describe = () => asker.ask(describeTransactions, 0, { transactionalIds });
  const [one, empty, nobody, nameless] = (await describe()).transactionStates;
  assert.deepEqual(one, {
    errorCode: 0,
    transactionalId: "open",
    transactionState: "Ongoing",
    transactionTimeoutMs: 60_000,
    transactionStartTimeMs: startedMs,
    producerId: open.producerId,
    producerEpoch: open.epoch,
    topics: [{ topic: "t", partitions: [1, 2] }],
  });
  assert.deepEqual([empty?.transactionState, empty?.transactionStartTimeMs, empty?.topics], ["Empty", -1, []]);
  assert.equal(nobody?.errorCode, kafkaErrors.TRANSACTIONAL_ID_NOT_FOUND);
  assert.equal(nameless?.errorCode, kafkaErrors.INVALID_REQUEST);
  asker.allows = allBut("describe topic t", "describe transactional-id empty");
  const [without, refused] = (await describe()).transactionStates;
  assert.deepEqual([without?.errorCode, without?.topics], [0, []]);
  assert.equal(refused?.errorCode, kafkaErrors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
});

test("partitions tell of their producers", async () => {
  const asker = await TransactionAsker.open();
  const open = await some(asker);
  const describe = async () => {
    const topics = ["t", "unknown", "wrong name"].map((name) => ({ name, partitionIndexes: [1, 7] }));
    const answer = await asker.ask(describeProducers, 0, { topics });
    return answer.topics.map(({ partitions }) => partitions);
  };
  const [found, unknown, wrong] = await describe();
  assert.deepEqual(found?.[0]?.activeProducers, [
    {
      producerId: open.producerId,
      producerEpoch: open.epoch,
      lastSequence: 0,
      lastTimestamp: found?.[0]?.activeProducers[0]?.lastTimestamp,
      coordinatorEpoch: -1,
      currentTxnStartOffset: 0,
    },
  ]);
  const codes = [found, unknown, wrong].map((partitions) => partitions?.map(({ errorCode }) => errorCode));
  assert.deepEqual(codes, [
    [0, kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION],
    [kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION, kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION],
    [kafkaErrors.INVALID_TOPIC_EXCEPTION, kafkaErrors.INVALID_TOPIC_EXCEPTION],
  ]);
  asker.allows = allBut("read topic t");
  assert.equal((await describe())[0]?.[0]?.errorCode, kafkaErrors.TOPIC_AUTHORIZATION_FAILED);
});

for (const version of [1, 2]) {
  test(`a marker by hand aborts the whole transaction, and commits none (WriteTxnMarkers ${version})`, async () => {
    const asker = await TransactionAsker.open();
    const open = await some(asker);
    const write = async (transactionResult: boolean, more: object = {}) => {
      const topics = [{ name: "t", partitionIndexes: [1, 7] }];
      const { producerId, epoch: producerEpoch } = open;
      const marker = { producerId, producerEpoch, transactionResult, topics, coordinatorEpoch: 0, ...more };
      const { markers } = await asker.ask(writeTxnMarkers, version, { markers: [marker] });
      return markers.map((one) => one.topics.map(({ partitions }) => partitions.map(({ errorCode }) => errorCode)));
    };
    const unknown = kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION;
    asker.allows = allBut("alter cluster kafka-cluster", "cluster-action cluster kafka-cluster");
    const refused = kafkaErrors.CLUSTER_AUTHORIZATION_FAILED;
    assert.deepEqual(await write(false), [[[refused, refused]]]);
    asker.allows = allBut("alter cluster kafka-cluster");
    assert.deepEqual(await write(true), [[[kafkaErrors.INVALID_TXN_STATE, unknown]]]);
    assert.equal((await asker.engine.transactions.describe("open"))?.state, "ongoing");
    assert.deepEqual(await write(false), [[[0, unknown]]]);
    for (const partition of [1, 2]) {
      const { lastStable, highWatermark } = await asker.engine.offsets("t", partition);
      assert.equal(lastStable, highWatermark);
    }
    assert.deepEqual(await write(true), [[[0, unknown]]], "there is nothing left to end");
    assert.deepEqual(await write(false, { producerId: 999_999 }), [[[0, unknown]]]);
  });
}
