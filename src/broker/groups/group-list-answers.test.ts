import assert from "node:assert/strict";
import { test } from "node:test";
import { describeGroups } from "../../kafka/apis/describe-groups.ts";
import { listGroups } from "../../kafka/apis/list-groups.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { GroupBench, subscription } from "./group-answers.fixture.ts";

async function listed(bench: GroupBench, filters: { statesFilter?: string[]; typesFilter?: string[] } = {}) {
  const { statesFilter = [], typesFilter = [] } = filters;
  const { errorCode, groups } = await bench.ask(listGroups, 5, { statesFilter, typesFilter });
  assert.equal(errorCode, 0);
  return groups
    .map(({ groupId, protocolType, groupState, groupType }) => {
      return `${groupId} ${protocolType} ${groupState} ${groupType}`;
    })
    .sort();
}

async function described(bench: GroupBench, groupId: string, version = 6) {
  const answer = await bench.ask(describeGroups, version, { groups: [groupId], includeAuthorizedOperations: true });
  return answer.groups[0] ?? assert.fail("nothing was described");
}

/** A stable group, one that has left, one that only has offsets, one of members in this process. */
async function open(): Promise<GroupBench> {
  const bench = await GroupBench.open();
  const { ids } = await bench.stable("left", [{ protocolType: "connect" }]);
  await bench.coordinator.leave("left", [{ memberId: ids[0] as string, instanceId: null }]);
  const { groups } = bench.engine;
  await groups.commitOffsets("simple", [{ topic: "orders", partition: 0, offset: 1 }]);
  await groups.joinGroup({ group: "inside", topics: ["orders"], memberId: "worker", metadata: "here" });
  await bench.stable("stable");
  return bench;
}

test("groups of every kind are listed, by state and type where that is asked", async () => {
  const bench = await open();
  const left = "left connect Empty classic";
  const simple = "simple  Empty classic";
  const inside = "inside millrace Stable classic";
  const stable = "stable consumer Stable classic";
  assert.deepEqual(await listed(bench), [inside, left, simple, stable].sort());
  assert.deepEqual(await listed(bench, { statesFilter: ["EMPTY"] }), [left, simple]);
  assert.deepEqual(
    await listed(bench, { statesFilter: ["stable"], typesFilter: ["Classic"] }),
    [inside, stable].sort(),
  );
  assert.deepEqual(await listed(bench, { typesFilter: ["consumer"] }), []);
  assert.deepEqual(await listed(bench, { typesFilter: ["nothing"] }), []);
  bench.forbidden.add("describe cluster kafka-cluster").add("describe group stable");
  assert.deepEqual(await listed(bench), [inside, left, simple].sort());
});

test("after a restart the same groups are listed, the one of this process as empty", async () => {
  const bench = await open();
  await bench.restart();
  assert.ok((await listed(bench)).includes("inside millrace Empty classic"));
  assert.ok((await listed(bench)).includes("stable consumer Stable classic"));
});

test("a stable group is described with its members, their subscriptions and assignments", async () => {
  const bench = await open();
  const { groupState, protocolType, protocolData, members, authorizedOperations, errorCode } = await described(
    bench,
    "stable",
  );
  assert.deepEqual([errorCode, groupState, protocolType, protocolData], [0, "Stable", "consumer", "range"]);
  const [member] = members;
  assert.deepEqual([member?.clientId, member?.clientHost, members.length], ["client", "/127.0.0.1", 1]);
  assert.deepEqual(member?.memberMetadata, subscription("orders"));
  assert.equal(member?.memberAssignment.toString(), member?.memberId);
  assert.equal(authorizedOperations, (1 << 3) | (1 << 6) | (1 << 8) | (1 << 10) | (1 << 11));
});

test("while a group is rebalanced nothing of it is shown but its members", async () => {
  const bench = await GroupBench.open();
  const waiting = bench.join("g", {}, 3);
  await bench.advance(0);
  const { groupState, protocolData, members } = await described(bench, "g");
  assert.deepEqual([groupState, protocolData, members.length], ["PreparingRebalance", "", 1]);
  assert.equal(members[0]?.memberMetadata.length, 0);
  await bench.advance(6_000);
  await waiting;
});

test("a rebalanced group shows assignments until its members have joined again", async () => {
  const bench = await GroupBench.open();
  const { ids } = await bench.stable("g");
  const waiting = bench.join("g", {}, 3);
  await bench.advance(0);
  const { groupState, members } = await described(bench, "g");
  assert.equal(groupState, "PreparingRebalance");
  assert.deepEqual(
    members.map(({ memberAssignment }) => memberAssignment.toString()),
    [ids[0], ""],
  );
  await bench.advance(10_000);
  await waiting;
});

test("a group that has left and one that only has offsets are empty", async () => {
  const bench = await open();
  for (const [groupId, type] of [
    ["left", "connect"],
    ["simple", ""],
  ] as const) {
    const { groupState, protocolType, members, errorCode } = await described(bench, groupId);
    assert.deepEqual([errorCode, groupState, protocolType, members], [0, "Empty", type, []]);
  }
});

test("members in this process are shown with what they have", async () => {
  const bench = await open();
  const { groupState, protocolType, protocolData, members } = await described(bench, "inside");
  assert.deepEqual([groupState, protocolType, protocolData], ["Stable", "millrace", "sticky"]);
  assert.deepEqual([members[0]?.memberId, members[0]?.memberMetadata.toString()], ["worker", "here"]);
  const assignment = Buffer.from("00000000000100066f7264657273000000030000000000000001" + "00000002ffffffff", "hex");
  assert.deepEqual(members[0]?.memberAssignment, assignment);
});

test("a group that is not there is dead, from version 6 on an error", async () => {
  const bench = await GroupBench.open();
  for (const groupId of ["nowhere", ""]) {
    const before = await described(bench, groupId, 5);
    assert.deepEqual([before.errorCode, before.groupState], [0, "Dead"]);
    const now = await described(bench, groupId);
    assert.deepEqual(
      [now.errorCode, now.errorMessage, now.groupState],
      [kafkaErrors.GROUP_ID_NOT_FOUND, `Group ${groupId} not found.`, "Dead"],
    );
  }
  bench.forbidden.add("describe group g");
  assert.equal((await described(bench, "g")).errorCode, kafkaErrors.GROUP_AUTHORIZATION_FAILED);
});
