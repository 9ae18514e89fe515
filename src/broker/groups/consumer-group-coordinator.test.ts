import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../../base/errors.ts";
import { nextTurn } from "../../base/turn.ts";
import { groupsTopic, partitionOfGroup } from "../../log/groups/groups-log.ts";
import { joinHeartbeat, quietHeartbeat } from "./consumer-group.fixture.ts";
import { ConsumerGroup } from "./consumer-group.ts";
import { CoordinatorFixture } from "./consumer-group-coordinator.fixture.ts";
import { kindOfStored } from "./group-directory.ts";

function patternOf(memberId: string, subscribedTopicRegex: string) {
  return joinHeartbeat(memberId, null, { subscribedTopicRegex });
}

test("an answer is given when what it shows is durable", async () => {
  const fixture = await CoordinatorFixture.open({ a: 2 });
  let release = () => {};
  fixture.beforeWrite = () => new Promise((resolve) => (release = resolve));
  let isAnswered = false;
  const joined = fixture.send("g", joinHeartbeat("m1", ["a"])).then((answer) => {
    isAnswered = true;
    return answer;
  });
  for (let i = 0; i < 20; i++) await nextTurn();
  assert.equal(isAnswered, false);
  const { highWatermark } = fixture.engine.offsets(groupsTopic, partitionOfGroup("g"));
  release();
  assert.equal(fixture.shown(await joined), "a/0 a/1");
  assert.ok(fixture.engine.offsets(groupsTopic, partitionOfGroup("g")).highWatermark > highWatermark);
});

test("heartbeats that change nothing write nothing, and those that come together are one write", async () => {
  const fixture = await CoordinatorFixture.open({ a: 8 });
  await fixture.send("g", joinHeartbeat("m0", ["a"]));
  assert.equal(fixture.writes, 1);
  for (let i = 0; i < 5; i++) await fixture.send("g", quietHeartbeat("m0", 2));
  assert.equal(fixture.writes, 1);
  await Promise.all([1, 2, 3, 4, 5, 6].map((i) => fixture.send("g", joinHeartbeat(`m${i}`, ["a"]))));
  assert.ok(fixture.writes <= 3, `${fixture.writes} writes`);
});

test("what could not be written is answered as an error, and written with the next heartbeat", async () => {
  const fixture = await CoordinatorFixture.open({ a: 1 });
  fixture.beforeWrite = async () => {
    throw new MillraceError("DISK_LOW", "the disk is full");
  };
  assert.equal(await fixture.refused("g", joinHeartbeat("m1", ["a"])), "COORDINATOR_NOT_AVAILABLE");
  fixture.beforeWrite = async () => {};
  const joined = await fixture.send("g", joinHeartbeat("m1", ["a"]));
  assert.deepEqual([joined.memberEpoch, fixture.shown(joined)], [2, "a/0"]);
  await fixture.restart();
  await fixture.send("g", quietHeartbeat("m1", 2));
});

test("after a restart members go on in their epochs, without a write", async () => {
  const fixture = await CoordinatorFixture.open({ a: 4 });
  await fixture.send("g", joinHeartbeat("m1", ["a"]));
  await fixture.send("g", joinHeartbeat("m2", ["a"]));
  assert.equal(fixture.shown(await fixture.send("g", quietHeartbeat("m1", 2))), "a/0 a/1");
  await fixture.send("g", quietHeartbeat("m2", 3));
  await fixture.restart();
  fixture.writes = 0;
  assert.deepEqual(fixture.directory.list(), [
    { groupId: "g", protocolType: "consumer", state: "Reconciling", type: "consumer" },
  ]);
  assert.equal((await fixture.send("g", quietHeartbeat("m1", 2))).memberEpoch, 2);
  assert.equal((await fixture.send("g", quietHeartbeat("m2", 3))).memberEpoch, 3);
  assert.equal(fixture.writes, 0);
  // Sessions begin anew.
  await fixture.advance(44_000);
  await fixture.send("g", quietHeartbeat("m1", 2));
  await fixture.advance(2_000);
  assert.equal(await fixture.refused("g", quietHeartbeat("m2", 3)), "UNKNOWN_MEMBER_ID");
});

test("a group without members is nobody's, and goes on in a later epoch when somebody joins", async () => {
  const fixture = await CoordinatorFixture.open({ a: 1 });
  await fixture.send("g", joinHeartbeat("m1", ["a"]));
  assert.equal(fixture.directory.kindOf("g"), "consumer");
  await fixture.send("g", quietHeartbeat("m1", -1));
  assert.equal(fixture.directory.kindOf("g"), undefined);
  const stored = await fixture.engine.groups.offsets.group("g");
  assert.deepEqual([stored?.metadata?.memberCount, kindOfStored(stored?.metadata ?? null)], [0, "consumer"]);
  const described = await fixture.coordinator.describe("g");
  assert.ok(described instanceof ConsumerGroup);
  assert.deepEqual([described.state, described.epoch], ["Empty", 3]);
  assert.equal((await fixture.send("g", joinHeartbeat("m2", ["a"]))).memberEpoch, 4);
});

test("a member of a group that is gone from memory is told to join again, and one of no group that there is none", async () => {
  const fixture = await CoordinatorFixture.open({ a: 1 });
  await fixture.send("g", joinHeartbeat("m1", ["a"]));
  await fixture.advance(46_000);
  assert.equal(fixture.directory.kindOf("g"), undefined);
  assert.equal(await fixture.refused("g", quietHeartbeat("m1", 2)), "UNKNOWN_MEMBER_ID");
  assert.equal(await fixture.refused("g", quietHeartbeat("m1", -1)), "UNKNOWN_MEMBER_ID");
  assert.equal(await fixture.refused("other", quietHeartbeat("m1", 2)), "GROUP_ID_NOT_FOUND");
  assert.equal(await fixture.refused("other", quietHeartbeat("m1", -1)), "GROUP_ID_NOT_FOUND");
  assert.equal(await fixture.coordinator.describe("other"), "unknown");
  assert.equal(await fixture.refused("x".repeat(300), joinHeartbeat("m1", ["a"])), "INVALID_GROUP_ID");
});

test("a group that another kind has is none of these", async () => {
  const fixture = await CoordinatorFixture.open({ a: 1 });
  assert.ok(fixture.directory.claim("g", "classic"));
  assert.equal(await fixture.refused("g", joinHeartbeat("m1", ["a"])), "GROUP_ID_NOT_FOUND");
  assert.equal(await fixture.coordinator.describe("g"), "other");
  fixture.directory.release("g", "classic");
  await fixture.send("g", joinHeartbeat("m1", ["a"]));
  assert.equal(fixture.directory.claim("g", "classic"), false);
});

test("a group of which somebody joined in vain is released", async () => {
  const fixture = await CoordinatorFixture.open({ a: 1 });
  assert.equal(await fixture.refused("g", patternOf("m1", "(")), "INVALID_REGULAR_EXPRESSION");
  assert.equal(fixture.directory.kindOf("g"), undefined);
  assert.equal(fixture.writes, 0);
});

test("the coordinator names members of version 0", async () => {
  const fixture = await CoordinatorFixture.open({ a: 2 });
  const one = await fixture.send("g", joinHeartbeat("", ["a"]), 0);
  const two = await fixture.send("g", joinHeartbeat("", ["a"]), 0);
  assert.ok(one.memberId.length > 0 && one.memberId !== two.memberId);
  await fixture.send("g", quietHeartbeat(one.memberId, 2), 0);
});

test("a pattern finds topics that exist and that the member may see, and later ones too", async () => {
  const fixture = await CoordinatorFixture.open({ "orders-a": 1, "orders-b": 1, "orders-secret": 1, other: 1 });
  fixture.maySee = (topic) => !topic.includes("secret");
  const joined = await fixture.send("g", patternOf("m1", "orders-.*"));
  assert.deepEqual([joined.memberEpoch, fixture.shown(joined)], [2, "orders-a/0 orders-b/0"]);
  await fixture.createTopic("orders-c", 1);
  await fixture.advance(5_000);
  assert.equal(fixture.shown(await fixture.send("g", quietHeartbeat("m1", 2))), null);
  await fixture.advance(5_001);
  const later = await fixture.send("g", quietHeartbeat("m1", 2));
  assert.deepEqual([later.memberEpoch, fixture.shown(later)], [3, "orders-a/0 orders-b/0 orders-c/0"]);
});

test("a pattern never finds what Millrace keeps for itself", async () => {
  const fixture = await CoordinatorFixture.open({ a: 1 });
  assert.equal(fixture.shown(await fixture.send("g", patternOf("m1", ".*"))), "a/0");
});

test("after a restart what a pattern stands for is known, and members go on", async () => {
  const fixture = await CoordinatorFixture.open({ a1: 1, a2: 1 });
  await fixture.send("g", patternOf("m1", "a."));
  await fixture.restart();
  fixture.writes = 0;
  assert.equal((await fixture.send("g", quietHeartbeat("m1", 2))).memberEpoch, 2);
  assert.equal(fixture.writes, 0);
});

test("members of groups that cannot be read join anew, in a later epoch", async () => {
  const fixture = await CoordinatorFixture.open({ a: 1 });
  await fixture.send("g", joinHeartbeat("m1", ["a"]));
  const stored = await fixture.engine.groups.offsets.group("g");
  const metadata = stored?.metadata ?? assert.fail();
  const detail = (metadata.detail as Buffer).subarray(0, 20);
  await fixture.engine.groups.offsets.putMetadata("g", { ...metadata, detail });
  await fixture.restart();
  await fixture.advance(1);
  assert.equal((await fixture.engine.groups.offsets.group("g"))?.metadata?.memberCount, 0);
  assert.equal(await fixture.refused("g", quietHeartbeat("m1", 2)), "UNKNOWN_MEMBER_ID");
  assert.equal((await fixture.send("g", joinHeartbeat("m1", ["a"]))).memberEpoch, 3);
});

test("there are as many members in all groups as there may be, and no more", async () => {
  const fixture = await CoordinatorFixture.open({ a: 1 }, { allMembersMax: 2 });
  await fixture.send("g", joinHeartbeat("m1", ["a"]));
  await fixture.send("h", joinHeartbeat("m1", ["a"]));
  assert.equal(await fixture.refused("i", joinHeartbeat("m1", ["a"])), "GROUP_MAX_SIZE_REACHED");
  await fixture.send("h", quietHeartbeat("m1", -1));
  await fixture.send("i", joinHeartbeat("m1", ["a"]));
});

test("members are told to ask again while the coordinator closes, and stay members", async () => {
  const fixture = await CoordinatorFixture.open({ a: 1 });
  await fixture.send("g", joinHeartbeat("m1", ["a"]));
  await fixture.coordinator.close();
  assert.equal(await fixture.refused("g", quietHeartbeat("m1", 2)), "COORDINATOR_NOT_AVAILABLE");
  assert.equal(await fixture.refused("h", joinHeartbeat("m1", ["a"])), "COORDINATOR_NOT_AVAILABLE");
  await fixture.restart();
  await fixture.send("g", quietHeartbeat("m1", 2));
});

test("the directory knows of each group what its members may do and want", async () => {
  const fixture = await CoordinatorFixture.open({ a: 1 });
  await fixture.send("g", joinHeartbeat("m1", ["a"]));
  const hooks = fixture.directory.hooksOf("g") ?? assert.fail();
  const claim = { memberId: "m1", instanceId: null, generationOrEpoch: 2, apiVersion: 9, isTransactional: false };
  assert.equal(hooks.commitCheck("g", claim), "NONE");
  assert.equal(hooks.commitCheck("g", { ...claim, generationOrEpoch: 3 }), "STALE_MEMBER_EPOCH");
  assert.equal(hooks.fetchCheck("g", "m1", 2), "NONE");
  assert.equal(hooks.fetchCheck("g", "m1", 1), "STALE_MEMBER_EPOCH");
  assert.equal(hooks.deleteCheck("g"), "NONE");
  assert.equal(hooks.isEmpty("g"), false);
  assert.deepEqual([...(hooks.subscribed("g") ?? [])], ["a"]);
  await hooks.kept("g");
  for (const check of [hooks.commitCheck("h", claim), hooks.fetchCheck("h", "m1", 2)]) {
    assert.equal(check, "GROUP_ID_NOT_FOUND");
  }
});
