import assert from "node:assert/strict";
import { test } from "node:test";
import { addOffsetsToTxn } from "../../kafka/apis/add-offsets-to-txn.ts";
import { deleteGroups } from "../../kafka/apis/delete-groups.ts";
import { offsetCommit } from "../../kafka/apis/offset-commit.ts";
import { offsetDelete } from "../../kafka/apis/offset-delete.ts";
import { offsetFetch } from "../../kafka/apis/offset-fetch.ts";
import { txnOffsetCommit } from "../../kafka/apis/txn-offset-commit.ts";
import type { RequestInput } from "../../kafka/fields.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { GroupBench } from "./group-answers.fixture.ts";

const groupId = "g";
const zeroUuid = "00000000-0000-0000-0000-000000000000";

interface Commit {
  readonly groupId?: string;
  readonly memberId?: string;
  readonly generation?: number;
  readonly topic?: string;
  readonly topicId?: string;
  readonly partition?: number;
  readonly offset?: number;
  readonly metadata?: string | null;
  readonly version?: number;
}

/** The error code of one partition's commit. */
async function commit(bench: GroupBench, more: Commit = {}): Promise<number | undefined> {
  const { topic = "orders", topicId = zeroUuid, partition = 0, offset = 5, metadata = null, version = 8 } = more;
  const committed = { partitionIndex: partition, committedOffset: offset, committedMetadata: metadata };
  const answer = await bench.ask(offsetCommit, version, {
    groupId: more.groupId ?? groupId,
    memberId: more.memberId ?? "",
    generationIdOrMemberEpoch: more.generation ?? -1,
    topics: [{ name: topic, topicId, partitions: [committed] }],
  });
  return answer.topics[0]?.partitions[0]?.errorCode;
}

interface Fetch {
  readonly groupId?: string;
  readonly requireStable?: boolean;
  /** Null for all that there are. */
  readonly topics?:
    | readonly { readonly name?: string; readonly topicId?: string; readonly partitions: number[] }[]
    | null;
  readonly version?: number;
}

/** `topic/partition offset metadata`, or the error's code. */
async function fetch(bench: GroupBench, more: Fetch = {}): Promise<string[] | number> {
  const { version = 8, requireStable = false } = more;
  const id = more.groupId ?? groupId;
  const topics = more.topics === undefined ? [{ name: "orders", partitions: [0] }] : more.topics;
  const wanted = topics?.map(({ name = "", topicId = zeroUuid, partitions }) => {
    return { name, topicId, partitionIndexes: partitions };
  });
  const request: RequestInput<typeof offsetFetch> =
    version >= 8
      ? { topics: [], groups: [{ groupId: id, topics: wanted }], requireStable }
      : { groupId: id, topics: wanted, groups: [], requireStable };
  const answer = await bench.ask(offsetFetch, version, request);
  const group = version >= 8 ? answer.groups[0] : answer;
  assert.ok(group);
  if (group.errorCode !== 0) return group.errorCode;
  return group.topics.flatMap((topic) =>
    topic.partitions.map(({ partitionIndex, committedOffset, metadata, errorCode }) => {
      const name = "topicId" in topic && version >= 10 ? topic.topicId : topic.name;
      const place = `${name}/${partitionIndex}`;
      return errorCode === 0 ? `${place} ${committedOffset} ${metadata}`.trimEnd() : `${place} error ${errorCode}`;
    }),
  );
}

test("who has no group commits and fetches with it, in every version", async () => {
  const bench = await GroupBench.open();
  const topicId = bench.engine.topic("orders")?.id as string;
  for (let version = 2; version <= 10; version++) {
    assert.equal(await commit(bench, { topicId, offset: 10 + version, metadata: "m", version }), 0);
    const named = version >= 10 ? topicId : "orders";
    assert.deepEqual(await fetch(bench, { version, topics: [{ name: "orders", topicId, partitions: [0, 2] }] }), [
      `${named}/0 ${10 + version} m`,
      `${named}/2 -1`,
    ]);
    if (version < 10) continue;
    assert.deepEqual(await fetch(bench, { version, topics: null }), [`${topicId}/0 20 m`]);
  }
  assert.deepEqual(await fetch(bench, { version: 1 }), ["orders/0 20 m"]);
  assert.deepEqual(await fetch(bench, { version: 5, topics: null }), ["orders/0 20 m"]);
  await bench.restart();
  assert.deepEqual(await fetch(bench), ["orders/0 20 m"]);
});

test("members commit under their generation, and nobody else does", async () => {
  const bench = await GroupBench.open();
  const { generationId: generation, ids } = await bench.stable(groupId);
  const memberId = ids[0] as string;
  assert.equal(await commit(bench, { memberId, generation }), 0);
  assert.equal(await commit(bench, { memberId, generation: generation + 1 }), kafkaErrors.ILLEGAL_GENERATION);
  assert.equal(await commit(bench, { memberId: "x", generation }), kafkaErrors.UNKNOWN_MEMBER_ID);
  assert.equal(await commit(bench), kafkaErrors.UNKNOWN_MEMBER_ID);
  await bench.restart();
  assert.equal(await commit(bench, { memberId, generation, offset: 6 }), 0);
  assert.deepEqual(await fetch(bench), ["orders/0 6"]);
});

test("a generation of a group that is not there is answered as the version has it", async () => {
  const bench = await GroupBench.open();
  assert.equal(await commit(bench, { memberId: "m", generation: 1 }), kafkaErrors.ILLEGAL_GENERATION);
  assert.equal(await commit(bench, { memberId: "m", generation: 1, version: 9 }), kafkaErrors.GROUP_ID_NOT_FOUND);
  await commit(bench);
  assert.equal(await commit(bench, { memberId: "m", generation: 1, version: 9 }), kafkaErrors.UNKNOWN_MEMBER_ID);
});

test("each partition that cannot be committed has its own error, and the others are committed", async () => {
  const bench = await GroupBench.open();
  bench.forbidden.add("read topic secret");
  await bench.engine.createTopic("secret");
  const partition = (partitionIndex: number, metadata: string | null = null, committedOffset = 7) => {
    return { partitionIndex, committedOffset, committedMetadata: metadata };
  };
  const answer = await bench.ask(offsetCommit, 8, {
    groupId,
    memberId: "",
    topics: [
      {
        name: "orders",
        topicId: zeroUuid,
        partitions: [partition(0), partition(3), partition(1, "x".repeat(4097)), partition(2, "x".repeat(4096))],
      },
      { name: "nowhere", topicId: zeroUuid, partitions: [partition(0)] },
      { name: "secret", topicId: zeroUuid, partitions: [partition(0)] },
      { name: "orders", topicId: zeroUuid, partitions: [partition(-1), partition(1, null, -1)] },
    ],
  });
  const { UNKNOWN_TOPIC_OR_PARTITION, OFFSET_METADATA_TOO_LARGE, TOPIC_AUTHORIZATION_FAILED, INVALID_REQUEST } =
    kafkaErrors;
  assert.deepEqual(
    answer.topics.map(({ partitions }) => partitions.map(({ errorCode }) => errorCode)),
    [
      [0, UNKNOWN_TOPIC_OR_PARTITION, OFFSET_METADATA_TOO_LARGE, 0],
      [UNKNOWN_TOPIC_OR_PARTITION],
      [TOPIC_AUTHORIZATION_FAILED],
      [UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST],
    ],
  );
  const topicId = "11111111-2222-3333-4444-555555555555";
  assert.equal(await commit(bench, { topicId, version: 10 }), kafkaErrors.UNKNOWN_TOPIC_ID);
  assert.deepEqual(await fetch(bench, { topics: [{ name: "orders", partitions: [0] }] }), ["orders/0 7"]);
});

test("offsets of several groups are fetched at once, each with its own error", async () => {
  const bench = await GroupBench.open();
  await commit(bench);
  bench.forbidden.add("describe group h");
  const topics = [{ name: "orders", topicId: zeroUuid, partitionIndexes: [0] }];
  const groups = ["g", "h", "k"].map((id) => ({ groupId: id, topics }));
  const answer = await bench.ask(offsetFetch, 9, { topics: [], groups });
  assert.deepEqual(
    answer.groups.map((one) => [one.groupId, one.errorCode, one.topics[0]?.partitions[0]?.committedOffset]),
    [
      ["g", 0, 5],
      ["h", kafkaErrors.GROUP_AUTHORIZATION_FAILED, undefined],
      ["k", 0, -1],
    ],
  );
  assert.equal(await fetch(bench, { groupId: "h", version: 2 }), kafkaErrors.GROUP_AUTHORIZATION_FAILED);
  const first = await fetch(bench, { groupId: "h", version: 1 });
  assert.deepEqual(first, [`orders/0 error ${kafkaErrors.GROUP_AUTHORIZATION_FAILED}`]);
});

test("topics that a client may not describe are hidden, and unknown ids are said", async () => {
  const bench = await GroupBench.open();
  await commit(bench);
  const topicId = "11111111-2222-3333-4444-555555555555";
  assert.deepEqual(await fetch(bench, { version: 10, topics: [{ topicId, partitions: [0] }] }), [
    `${topicId}/0 error ${kafkaErrors.UNKNOWN_TOPIC_ID}`,
  ]);
  assert.deepEqual(await fetch(bench, { topics: [{ name: "nowhere", partitions: [0, -1] }] }), [
    "nowhere/0 -1",
    "nowhere/-1 -1",
  ]);
  bench.forbidden.add("describe topic orders");
  assert.deepEqual(await fetch(bench), [`orders/0 error ${kafkaErrors.TOPIC_AUTHORIZATION_FAILED}`]);
  assert.deepEqual(await fetch(bench, { topics: null }), []);
});

interface InTransaction extends Commit {
  readonly transactionalId?: string;
  readonly producerId: number;
  readonly epoch: number;
}

async function commitIn(bench: GroupBench, more: InTransaction): Promise<number | undefined> {
  const { transactionalId = "t", producerId, epoch, partition = 0, offset = 9, version = 5 } = more;
  const answer = await bench.ask(txnOffsetCommit, version, {
    transactionalId,
    groupId: more.groupId ?? groupId,
    producerId,
    producerEpoch: epoch,
    memberId: more.memberId ?? "",
    generationId: more.generation ?? -1,
    topics: [
      {
        name: more.topic ?? "orders",
        partitions: [{ partitionIndex: partition, committedOffset: offset, committedMetadata: "t" }],
      },
    ],
  });
  return answer.topics[0]?.partitions[0]?.errorCode;
}

test("offsets of a transaction can be fetched when it is committed, and are unstable before", async () => {
  const bench = await GroupBench.open();
  await commit(bench, { offset: 1 });
  const { transactions } = bench.engine;
  for (const [outcome, version] of [
    ["commit", 5],
    ["abort", 5],
    ["commit", 3],
  ] as const) {
    const before = await fetch(bench);
    const producer = await transactions.init("t", 60_000, {});
    if (version < 5) {
      assert.equal(await commitIn(bench, { ...producer, version }), kafkaErrors.INVALID_TXN_STATE);
      assert.equal(await commitIn(bench, { ...producer, version: 4 }), kafkaErrors.TRANSACTION_ABORTABLE);
      const added = await bench.ask(addOffsetsToTxn, 3, {
        transactionalId: "t",
        producerId: producer.producerId,
        producerEpoch: producer.epoch,
        groupId,
      });
      assert.equal(added.errorCode, 0);
    }
    const offset = version * 10 + producer.epoch;
    assert.equal(await commitIn(bench, { ...producer, offset: offset - 1, version }), 0);
    assert.equal(await commitIn(bench, { ...producer, offset, version }), 0);
    assert.equal(await commitIn(bench, { ...producer, offset, partition: 1, version }), 0);
    assert.deepEqual(await fetch(bench), before);
    const unstable = `orders/0 error ${kafkaErrors.UNSTABLE_OFFSET_COMMIT}`;
    assert.deepEqual(await fetch(bench, { requireStable: true }), [unstable]);
    assert.equal(((await fetch(bench, { requireStable: true, topics: null })) as string[])[0], unstable);
    await transactions.end("t", producer, outcome, { transactionVersion: version < 5 ? 1 : 2 });
    const expected = outcome === "commit" ? [`orders/0 ${offset} t`] : before;
    assert.deepEqual(await fetch(bench, { requireStable: true }), expected);
  }
});

test("in a transaction generation, producer and rights are checked", async () => {
  const bench = await GroupBench.open();
  const { generationId: generation, ids } = await bench.stable(groupId);
  const memberId = ids[0] as string;
  const producer = await bench.engine.transactions.init("t", 60_000, {});
  assert.equal(await commitIn(bench, { ...producer, memberId, generation }), 0);
  assert.equal(await commitIn(bench, { ...producer, memberId, generation: 9 }), kafkaErrors.ILLEGAL_GENERATION);
  assert.equal(await commitIn(bench, { ...producer, memberId: "x", generation }), kafkaErrors.UNKNOWN_MEMBER_ID);
  assert.equal(
    await commitIn(bench, { ...producer, groupId: "new", memberId: "x", generation: 1 }),
    kafkaErrors.ILLEGAL_GENERATION,
  );
  assert.equal(await commitIn(bench, { ...producer, topic: "nowhere" }), kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION);
  const stranger = { ...producer, producerId: producer.producerId + 1000, memberId, generation };
  assert.equal(await commitIn(bench, stranger), kafkaErrors.INVALID_PRODUCER_ID_MAPPING);
  assert.equal(
    await commitIn(bench, { ...producer, transactionalId: "u", memberId, generation }),
    kafkaErrors.INVALID_PRODUCER_ID_MAPPING,
  );
  await bench.engine.transactions.init("t", 60_000, {});
  assert.equal(await commitIn(bench, { ...producer, memberId, generation }), kafkaErrors.INVALID_PRODUCER_EPOCH);
  const added = (version: number) =>
    bench.ask(addOffsetsToTxn, version, { transactionalId: "t", ...producer, producerEpoch: producer.epoch, groupId });
  assert.equal((await added(1)).errorCode, kafkaErrors.INVALID_PRODUCER_EPOCH);
  assert.equal((await added(2)).errorCode, kafkaErrors.PRODUCER_FENCED);
  bench.forbidden.add("read group g");
  assert.equal(await commitIn(bench, producer), kafkaErrors.GROUP_AUTHORIZATION_FAILED);
  assert.equal((await added(2)).errorCode, kafkaErrors.GROUP_AUTHORIZATION_FAILED);
  bench.forbidden.add("write transactional-id t");
  assert.equal(await commitIn(bench, producer), kafkaErrors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
  assert.equal((await added(2)).errorCode, kafkaErrors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
});

async function deleteOffset(bench: GroupBench, topic = "orders", partitionIndex = 0, id = groupId) {
  const topics = [{ name: topic, partitions: [{ partitionIndex }] }];
  const answer = await bench.ask(offsetDelete, 0, { groupId: id, topics });
  return answer.errorCode === 0 ? answer.topics[0]?.partitions[0]?.errorCode : `all ${answer.errorCode}`;
}

test("offsets of topics that nobody in the group subscribes to are deleted", async () => {
  const bench = await GroupBench.open();
  await bench.engine.createTopic("other");
  for (const topic of ["orders", "other"]) assert.equal(await commit(bench, { topic }), 0);
  const { ids } = await bench.stable(groupId);
  assert.equal(await deleteOffset(bench), kafkaErrors.GROUP_SUBSCRIBED_TO_TOPIC);
  assert.equal(await deleteOffset(bench, "other"), 0);
  assert.equal(await deleteOffset(bench, "nowhere"), kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION);
  assert.equal(await deleteOffset(bench, "orders", 3), kafkaErrors.UNKNOWN_TOPIC_OR_PARTITION);
  assert.deepEqual(await fetch(bench, { topics: null }), ["orders/0 5"]);
  await bench.coordinator.leave(groupId, [{ memberId: ids[0] as string, instanceId: null }]);
  assert.equal(await deleteOffset(bench), 0);
  assert.equal(await deleteOffset(bench, "orders", 0, "unknown"), `all ${kafkaErrors.GROUP_ID_NOT_FOUND}`);
  await bench.stable("workers", [{ protocolType: "connect" }]);
  assert.equal(await deleteOffset(bench, "orders", 0, "workers"), `all ${kafkaErrors.NON_EMPTY_GROUP}`);
  bench.forbidden.add("delete group g");
  assert.equal(await deleteOffset(bench), `all ${kafkaErrors.GROUP_AUTHORIZATION_FAILED}`);
});

test("groups without members are deleted, with their offsets", async () => {
  const bench = await GroupBench.open();
  const { ids } = await bench.stable(groupId);
  await commit(bench, { groupId: "simple" });
  bench.forbidden.add("delete group mine");
  const asked = { groupsNames: [groupId, "simple", "unknown", "mine", "simple", ""] };
  const remove = async () =>
    Object.fromEntries((await bench.ask(deleteGroups, 2, asked)).results.map((one) => [one.groupId, one.errorCode]));
  const { NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND, GROUP_AUTHORIZATION_FAILED } = kafkaErrors;
  const others = { unknown: GROUP_ID_NOT_FOUND, mine: GROUP_AUTHORIZATION_FAILED, "": GROUP_ID_NOT_FOUND };
  assert.deepEqual(await remove(), { [groupId]: NON_EMPTY_GROUP, simple: 0, ...others });
  assert.deepEqual(await fetch(bench, { groupId: "simple" }), ["orders/0 -1"]);
  await bench.coordinator.leave(groupId, [{ memberId: ids[0] as string, instanceId: null }]);
  assert.deepEqual(await remove(), { [groupId]: 0, simple: GROUP_ID_NOT_FOUND, ...others });
  await bench.restart();
  assert.equal((await bench.stable(groupId)).generationId, 1);
});
