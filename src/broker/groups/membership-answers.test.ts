import assert from "node:assert/strict";
import { test } from "node:test";
import { findCoordinator } from "../../kafka/apis/find-coordinator.ts";
import { heartbeat } from "../../kafka/apis/heartbeat.ts";
import { joinGroup } from "../../kafka/apis/join-group.ts";
import { leaveGroup } from "../../kafka/apis/leave-group.ts";
import { offsetCommit } from "../../kafka/apis/offset-commit.ts";
import { syncGroup } from "../../kafka/apis/sync-group.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { GroupBench } from "./group-answers.fixture.ts";

const groupId = "g";

async function heartbeatOf(bench: GroupBench, memberId: string, generationId: number, groupInstanceId?: string) {
  const request = { groupId, memberId, generationId, ...(groupInstanceId !== undefined && { groupInstanceId }) };
  return (await bench.ask(heartbeat, 4, request)).errorCode;
}

test("three clients that join at once become one stable group", async () => {
  const bench = await GroupBench.open();
  const { generationId, ids } = await bench.stable(groupId, [{}, {}, {}]);
  assert.equal(new Set(ids).size, 3);
  for (const id of ids) assert.equal(await heartbeatOf(bench, id, generationId), 0);
  assert.match(ids[0] as string, /^client-[0-9a-f-]{36}$/);
});

test("in every version that there is a client joins, syncs, lives and leaves", async () => {
  const bench = await GroupBench.open();
  for (let version = 0; version <= 9; version++) {
    const id = `v${version}`;
    const [joined] = await bench.joined(id, [{}], version);
    assert.equal(joined?.errorCode, 0);
    const { memberId, generationId } = joined;
    const assignments = [{ memberId, assignment: Buffer.from("a") }];
    const sync = { groupId: id, generationId, memberId, protocolType: "consumer", protocolName: "range", assignments };
    const synced = await bench.ask(syncGroup, Math.min(version, 5), sync);
    assert.deepEqual([synced.errorCode, synced.assignment.toString()], [0, "a"]);
    const beat = { groupId: id, memberId, generationId };
    assert.equal((await bench.ask(heartbeat, Math.min(version, 4), beat)).errorCode, 0);
    const leave = { groupId: id, memberId, members: [{ memberId, groupInstanceId: null }] };
    const left = await bench.ask(leaveGroup, Math.min(version, 5), leave);
    assert.deepEqual([left.errorCode, left.members.map(({ errorCode }) => errorCode)], [0, version < 3 ? [] : [0]]);
  }
});

test("after a restart members go on in the same generation, also when the power was cut", async () => {
  const bench = await GroupBench.open();
  const { generationId, ids } = await bench.stable(groupId, [{}, {}]);
  for (const restart of [() => bench.restart(), () => bench.cutPower()]) {
    await restart();
    for (const id of ids) assert.equal(await heartbeatOf(bench, id, generationId), 0);
    const sync = { groupId, generationId, memberId: ids[1] as string, assignments: [] };
    assert.equal((await bench.ask(syncGroup, 3, sync)).assignment.toString(), ids[1]);
  }
});

test("sessions begin anew with a restart, and end", async () => {
  const bench = await GroupBench.open();
  const { generationId, ids } = await bench.stable(groupId, [{}, {}]);
  await bench.advance(9_000);
  await bench.restart();
  await bench.advance(9_000);
  assert.equal(await heartbeatOf(bench, ids[0] as string, generationId), 0);
  await bench.advance(1_000);
  assert.equal(await heartbeatOf(bench, ids[0] as string, generationId), kafkaErrors.REBALANCE_IN_PROGRESS);
  assert.equal(await heartbeatOf(bench, ids[1] as string, generationId), kafkaErrors.UNKNOWN_MEMBER_ID);
});

test("a static member has its partitions after a restart of its own and of the broker, and its double is fenced", async () => {
  const bench = await GroupBench.open();
  const { generationId, ids } = await bench.stable(groupId, [{ groupInstanceId: "i1" }, { groupInstanceId: "i2" }]);
  await bench.restart();
  const back = await bench.join(groupId, { groupInstanceId: "i2" });
  assert.deepEqual([back.errorCode, back.generationId], [0, generationId]);
  const { memberId } = back;
  assert.match(memberId, /^i2-/);
  for (const restart of [false, true]) {
    if (restart) await bench.restart();
    const sync = { groupId, generationId, memberId, groupInstanceId: "i2", assignments: [] };
    assert.equal((await bench.ask(syncGroup, 3, sync)).assignment.toString(), ids[1]);
    assert.equal(await heartbeatOf(bench, ids[1] as string, generationId, "i2"), kafkaErrors.FENCED_INSTANCE_ID);
    assert.equal(await heartbeatOf(bench, memberId, generationId, "i2"), 0);
    assert.equal(await heartbeatOf(bench, ids[0] as string, generationId, "i1"), 0);
  }
});

test("a group whose members have left goes on with the next generation, also after a restart", async () => {
  const bench = await GroupBench.open();
  const { ids } = await bench.stable(groupId);
  const leave = { groupId, memberId: ids[0] as string, members: [] };
  assert.equal((await bench.ask(leaveGroup, 1, leave)).errorCode, 0);
  assert.equal(bench.directory.kindOf(groupId), undefined);
  await bench.restart();
  const { generationId } = await bench.stable(groupId);
  assert.equal(generationId, 3);
});

test("a group that cannot be read is begun anew by its members", async () => {
  const bench = await GroupBench.open();
  await bench.engine.groups.offsets.putMetadata(groupId, {
    protocolType: "consumer",
    generation: 5,
    memberCount: 2,
    emptySinceMs: null,
    detail: Buffer.from([1, 1, 0xff]),
  });
  await bench.restart();
  await bench.advance(0);
  assert.equal(await heartbeatOf(bench, "m", 5), kafkaErrors.UNKNOWN_MEMBER_ID);
  assert.equal((await bench.engine.groups.offsets.group(groupId))?.metadata?.memberCount, 0);
  assert.equal((await bench.stable(groupId)).generationId, 6);
});

test("what may not be asked is refused by name", async () => {
  const bench = await GroupBench.open();
  const { generationId } = await bench.stable(groupId);
  const refused = async (member: object, id = groupId) => (await bench.join(id, member)).errorCode;
  assert.equal(await refused({ sessionTimeoutMs: 5_999 }), kafkaErrors.INVALID_SESSION_TIMEOUT);
  assert.equal(await refused({ sessionTimeoutMs: 1_800_001 }), kafkaErrors.INVALID_SESSION_TIMEOUT);
  assert.equal(await refused({ protocolType: "connect" }), kafkaErrors.INCONSISTENT_GROUP_PROTOCOL);
  assert.equal(await refused({ protocols: [] }, "new"), kafkaErrors.INCONSISTENT_GROUP_PROTOCOL);
  assert.equal(await refused({ protocolType: "millrace" }, "new"), kafkaErrors.INCONSISTENT_GROUP_PROTOCOL);
  assert.equal(await refused({ memberId: "nobody" }, "new"), kafkaErrors.UNKNOWN_MEMBER_ID);
  assert.equal(bench.directory.kindOf("new"), undefined);
  for (const id of ["", "x".repeat(256)]) {
    assert.equal(await refused({}, id), kafkaErrors.INVALID_GROUP_ID);
    const request = { groupId: id, generationId, memberId: "m", assignments: [] };
    assert.equal((await bench.ask(syncGroup, 3, request)).errorCode, kafkaErrors.INVALID_GROUP_ID);
    assert.equal((await bench.ask(heartbeat, 3, request)).errorCode, kafkaErrors.INVALID_GROUP_ID);
    assert.equal((await bench.ask(leaveGroup, 1, { ...request, members: [] })).errorCode, kafkaErrors.INVALID_GROUP_ID);
  }
  const sync = { groupId, generationId, memberId: "m", assignments: [] };
  assert.equal((await bench.ask(syncGroup, 5, sync)).errorCode, kafkaErrors.INCONSISTENT_GROUP_PROTOCOL);
  const unknown = await bench.ask(leaveGroup, 4, {
    groupId: "nowhere",
    memberId: "",
    members: [{ memberId: "m", groupInstanceId: null }],
  });
  assert.equal(unknown.members[0]?.errorCode, kafkaErrors.UNKNOWN_MEMBER_ID);
});

test("who may not read the group is told so by every request", async () => {
  const bench = await GroupBench.open();
  bench.forbidden.add("read group g").add("describe group g").add("describe transactional-id t");
  const request = { groupId, generationId: 1, memberId: "m", assignments: [], members: [] };
  const code = kafkaErrors.GROUP_AUTHORIZATION_FAILED;
  assert.equal((await bench.join(groupId)).errorCode, code);
  assert.equal((await bench.ask(syncGroup, 3, request)).errorCode, code);
  assert.equal((await bench.ask(heartbeat, 3, request)).errorCode, code);
  assert.equal((await bench.ask(leaveGroup, 3, request)).errorCode, code);
  const found = await bench.ask(findCoordinator, 4, { key: "", keyType: 0, coordinatorKeys: ["g", "h"] });
  assert.deepEqual(
    found.coordinators.map(({ key, errorCode, nodeId, host, port }) => [key, errorCode, nodeId, host, port]),
    [
      ["g", code, -1, "", -1],
      ["h", 0, 1, "broker", 9092],
    ],
  );
  const old = await bench.ask(findCoordinator, 2, { key: "t", keyType: 1, coordinatorKeys: [] });
  assert.deepEqual([old.errorCode, old.nodeId], [kafkaErrors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, -1]);
  const other = await bench.ask(findCoordinator, 2, { key: "t", keyType: 2, coordinatorKeys: [] });
  assert.equal(other.errorCode, kafkaErrors.INVALID_REQUEST);
});

test("a group that has members in this process is not for clients, and theirs is not for the process", async () => {
  const bench = await GroupBench.open();
  const member = await bench.engine.groups.joinGroup({ group: groupId, topics: ["orders"] });
  assert.equal((await bench.join(groupId)).errorCode, kafkaErrors.INCONSISTENT_GROUP_PROTOCOL);
  const topics = [{ name: "orders", partitions: [{ partitionIndex: 0, committedOffset: 1, committedMetadata: null }] }];
  const committed = await bench.ask(offsetCommit, 8, { groupId, memberId: "", topics: topics.map(withId) });
  assert.equal(committed.topics[0]?.partitions[0]?.errorCode, kafkaErrors.UNKNOWN_MEMBER_ID);
  await member.leave();
  await bench.advance(0);
  await bench.stable(groupId);
  await assert.rejects(bench.engine.groups.joinGroup({ group: groupId, topics: ["orders"] }), /has members/);
});

function withId<T>(topic: T): T & { readonly topicId: string } {
  return { ...topic, topicId: "00000000-0000-0000-0000-000000000000" };
}

test("who waits when the broker stops is told to look for the coordinator again", async () => {
  const bench = await GroupBench.open();
  const waiting = bench.ask(joinGroup, 3, {
    groupId,
    sessionTimeoutMs: 10_000,
    memberId: "",
    protocolType: "consumer",
    protocols: [{ name: "range", metadata: Buffer.alloc(0) }],
  });
  await bench.advance(0);
  await bench.coordinator.close();
  assert.equal((await waiting).errorCode, kafkaErrors.COORDINATOR_NOT_AVAILABLE);
  assert.equal(await heartbeatOf(bench, "m", 1), kafkaErrors.COORDINATOR_NOT_AVAILABLE);
});
