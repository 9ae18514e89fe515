import assert from "node:assert/strict";
import { test } from "node:test";
import { GroupFixture, joinHeartbeat, owned, quietHeartbeat, shown } from "./consumer-group.fixture.ts";
import type { CommitClaim } from "./group-directory.ts";

test("the first member of a group gets everything at once, in epoch 2", () => {
  const fixture = new GroupFixture({ a: 3 });
  assert.equal(fixture.group.state, "Empty");
  const { memberId, memberEpoch, assignment } = fixture.join("m1", ["a"]);
  assert.deepEqual([memberId, memberEpoch, shown(assignment)], ["m1", 2, "a/0 a/1 a/2"]);
  assert.equal(fixture.group.state, "Stable");
});

test("a heartbeat that changes nothing is answered without an assignment and leaves the group as it is", () => {
  const fixture = new GroupFixture({ a: 3 });
  fixture.join("m1", ["a"]);
  const { revision } = fixture.group;
  assert.equal(fixture.beat("m1", 2), "2");
  assert.equal(fixture.beat("m1", 2, "a/0 a/1 a/2"), "2");
  assert.equal(fixture.group.revision, revision);
});

test("a full heartbeat is answered with the whole assignment", () => {
  const fixture = new GroupFixture({ a: 2 });
  fixture.join("m1", ["a"]);
  const more = { rebalanceTimeoutMs: 60_000, subscribedTopicNames: ["a"] };
  assert.equal(fixture.beat("m1", 2, "a/0 a/1", more), "2 a/0 a/1");
});

test("a partition is handed over only when its last owner has let go of it", () => {
  const fixture = new GroupFixture({ a: 4 });
  fixture.join("m1", ["a"]);
  const joined = fixture.join("m2", ["a"]);
  // Nothing is free yet.
  assert.deepEqual([joined.memberEpoch, shown(joined.assignment)], [3, ""]);
  assert.equal(fixture.group.state, "Reconciling");
  // The owner stays in its epoch and is told what it may keep.
  assert.equal(fixture.beat("m1", 2), "2 a/0 a/1");
  assert.equal(fixture.beat("m2", 3, ""), "3");
  // Without saying what it owns, or while it owns some of it, nothing moves.
  assert.equal(fixture.beat("m1", 2), "2");
  assert.equal(fixture.beat("m1", 2, "a/0 a/1 a/2"), "2");
  assert.equal(fixture.beat("m2", 3, ""), "3");
  assert.equal(fixture.beat("m1", 2, "a/0 a/1"), "3");
  assert.equal(fixture.beat("m2", 3, ""), "3 a/2 a/3");
  assert.equal(fixture.group.state, "Stable");
});

test("what a member has let go of it gets back at once, when the target has changed meanwhile", () => {
  const fixture = new GroupFixture({ a: 2 });
  fixture.join("m1", ["a"]);
  fixture.join("m2", ["a"]);
  assert.equal(fixture.beat("m1", 2), "2 a/0");
  fixture.beat("m2", -1);
  assert.equal(fixture.beat("m1", 2, "a/0"), "4 a/0 a/1");
});

test("when a member leaves, its partitions are the others' with their next heartbeats", () => {
  const fixture = new GroupFixture({ a: 2 });
  fixture.join("m1", ["a"]);
  fixture.join("m2", ["a"]);
  fixture.beat("m1", 2);
  fixture.beat("m1", 2, "a/0");
  fixture.beat("m2", 3, "");
  assert.equal(fixture.beat("m1", -1), "-1");
  assert.equal(fixture.group.state, "Assigning");
  assert.equal(fixture.beat("m2", 3, "a/1"), "4 a/0 a/1");
});

test("a group whose last member has left is empty, and goes on in a later epoch", () => {
  const fixture = new GroupFixture({ a: 1 });
  fixture.join("m1", ["a"]);
  fixture.beat("m1", -1);
  assert.equal(fixture.group.state, "Empty");
  assert.equal(fixture.group.epoch, 3);
  assert.equal(fixture.join("m2", ["a"]).memberEpoch, 4);
});

test("a member that sends no heartbeat for the session timeout is removed", () => {
  const fixture = new GroupFixture({ a: 2 });
  fixture.join("m1", ["a"]);
  fixture.nowMs += 30_000;
  fixture.join("m2", ["a"]);
  assert.equal(fixture.group.nextDeadlineMs, 46_000);
  fixture.nowMs = 45_999;
  assert.deepEqual(fixture.group.expire(fixture.nowMs), []);
  fixture.nowMs = 46_000;
  assert.deepEqual(fixture.group.expire(fixture.nowMs), [{ memberId: "m1", reason: "expired" }]);
  assert.equal(fixture.beat("m2", 3, ""), "4 a/0 a/1");
  assert.equal(fixture.refused(quietHeartbeat("m1", 2)), "UNKNOWN_MEMBER_ID");
});

test("a member that does not let go of partitions within its rebalance timeout is removed, though it sends heartbeats", () => {
  const fixture = new GroupFixture({ a: 2 });
  fixture.join("m1", ["a"], { rebalanceTimeoutMs: 10_000 });
  fixture.join("m2", ["a"]);
  fixture.beat("m1", 2);
  for (let i = 0; i < 9; i++) {
    fixture.nowMs += 1_000;
    fixture.beat("m1", 2, "a/0 a/1");
    assert.deepEqual(fixture.group.expire(fixture.nowMs), []);
  }
  fixture.nowMs += 1_000;
  assert.deepEqual(fixture.group.expire(fixture.nowMs), [{ memberId: "m1", reason: "slow" }]);
});

test("a member in an epoch that the group does not know of is fenced", () => {
  const fixture = new GroupFixture({ a: 2 });
  fixture.join("m1", ["a"]);
  assert.equal(fixture.refused(quietHeartbeat("m1", 3)), "FENCED_MEMBER_EPOCH");
  assert.equal(fixture.refused(quietHeartbeat("m1", 1)), "FENCED_MEMBER_EPOCH");
});

test("a member whose answer was lost is told again, when it owns nothing else", () => {
  const fixture = new GroupFixture({ a: 2, b: 2 });
  fixture.join("m1", ["a"]);
  // The answer with epoch 3 and partitions of b is lost.
  const news = { subscribedTopicNames: ["a", "b"], rebalanceTimeoutMs: 60_000 };
  assert.equal(fixture.beat("m1", 2, "a/0 a/1", news), "3 a/0 a/1 b/0 b/1");
  assert.equal(fixture.refused({ ...quietHeartbeat("m1", 2), topicPartitions: null }), "FENCED_MEMBER_EPOCH");
  const more = { ...quietHeartbeat("m1", 2), topicPartitions: owned("a/0 a/7") };
  assert.equal(fixture.refused(more), "FENCED_MEMBER_EPOCH");
  assert.equal(fixture.beat("m1", 2, "a/0 a/1", news), "3 a/0 a/1 b/0 b/1");
});

test("a member that joins again under its id goes on with what it had", () => {
  const fixture = new GroupFixture({ a: 2 });
  fixture.join("m1", ["a"]);
  const { memberEpoch, assignment } = fixture.join("m1", ["a"]);
  assert.deepEqual([memberEpoch, shown(assignment)], [2, "a/0 a/1"]);
  assert.equal(fixture.group.members.size, 1);
});

test("who never joined is unknown", () => {
  const fixture = new GroupFixture({ a: 2 });
  fixture.join("m1", ["a"]);
  for (const epoch of [1, 2, -1]) assert.equal(fixture.refused(quietHeartbeat("m2", epoch)), "UNKNOWN_MEMBER_ID");
  const away = { ...quietHeartbeat("m2", -2), instanceId: "i" };
  assert.equal(fixture.refused(away), "UNKNOWN_MEMBER_ID");
});

test("a static member that left to come back keeps its partitions, and gets them under another member id", () => {
  const fixture = new GroupFixture({ a: 4 });
  const instanceId = "i1";
  fixture.join("m1", ["a"], { instanceId });
  fixture.join("m2", ["a"]);
  fixture.beat("m1", 2);
  fixture.beat("m1", 2, "a/0 a/1");
  fixture.beat("m2", 3, "");
  assert.equal(fixture.beat("m1", -2, undefined, { instanceId }), "-2");
  assert.equal(fixture.beat("m2", 3, "a/2 a/3"), "3");
  const back = fixture.join("m3", ["a"], { instanceId });
  assert.deepEqual([back.memberEpoch, shown(back.assignment)], [3, "a/0 a/1"]);
  assert.deepEqual([...fixture.group.members.keys()].sort(), ["m2", "m3"]);
  assert.equal(fixture.refused({ ...quietHeartbeat("m1", 3), instanceId }), "FENCED_INSTANCE_ID");
  assert.equal(fixture.refused(quietHeartbeat("m1", 3)), "UNKNOWN_MEMBER_ID");
});

test("a static member that comes back has the subscription that it joins with, and no other", () => {
  const fixture = new GroupFixture({ a: 1, b: 1 });
  const pattern = joinHeartbeat("m1", null, { subscribedTopicRegex: "[ab]", instanceId: "i1" });
  assert.equal(shown(fixture.send(pattern, new Map([["[ab]", ["a", "b"]]])).assignment), "a/0 b/0");
  fixture.beat("m1", -2, undefined, { instanceId: "i1" });
  assert.equal(shown(fixture.join("m2", ["a"], { instanceId: "i1" }).assignment), "a/0");
  assert.deepEqual([...fixture.group.subscribed()], ["a"]);
});

test("an instance id is free only when its member has left", () => {
  const fixture = new GroupFixture({ a: 2 });
  fixture.join("m1", ["a"], { instanceId: "i1" });
  const other = joinHeartbeat("m2", ["a"], { instanceId: "i1" });
  assert.equal(fixture.refused(other), "UNRELEASED_INSTANCE_ID");
  fixture.beat("m1", -2, undefined, { instanceId: "i1" });
  fixture.join("m3", ["a"]);
  // It would be two members under one id.
  assert.equal(fixture.refused({ ...other, memberId: "m3" }), "UNRELEASED_INSTANCE_ID");
  fixture.send(other);
  fixture.beat("m2", -1, undefined, { instanceId: "i1" });
  fixture.join("m4", ["a"], { instanceId: "i1" });
});

test("a static member that does not come back within the session timeout is removed", () => {
  const fixture = new GroupFixture({ a: 2 });
  fixture.join("m1", ["a"], { instanceId: "i1" });
  fixture.beat("m1", -2, undefined, { instanceId: "i1" });
  assert.deepEqual(fixture.group.expire(46_000), [{ memberId: "m1", reason: "expired" }]);
  assert.equal(fixture.join("m2", ["a"], { instanceId: "i1" }).memberEpoch, 4);
});

test("a group has as many members as it may, and no more", () => {
  const fixture = new GroupFixture({ a: 2 }, { membersMax: 2 });
  fixture.join("m1", ["a"]);
  fixture.join("m2", ["a"]);
  assert.equal(fixture.refused(joinHeartbeat("m3", ["a"])), "GROUP_MAX_SIZE_REACHED");
  fixture.join("m1", ["a"]);
});

test("members that say more of themselves than can be kept are refused", () => {
  const fixture = new GroupFixture({ a: 2 }, { memberBytesMax: 10_000 });
  fixture.join("m1", ["a"]);
  const names = Array.from({ length: 100 }, (_, i) => `${i}`.padStart(200, "x"));
  assert.equal(fixture.refused(joinHeartbeat("m2", names)), "GROUP_MAX_SIZE_REACHED");
  fixture.join("m2", names.slice(0, 10));
});

test("a topic that is made, grows or is deleted gives the group another epoch with the next heartbeat", () => {
  const fixture = new GroupFixture({ a: 1 });
  assert.equal(shown(fixture.join("m1", ["a", "b"]).assignment), "a/0");
  fixture.setTopic("b", 1);
  assert.equal(fixture.beat("m1", 2), "3 a/0 b/0");
  fixture.setTopic("b", 2);
  assert.equal(fixture.beat("m1", 3), "4 a/0 b/0 b/1");
  fixture.setTopic("c", 1);
  assert.equal(fixture.beat("m1", 4), "4");
  fixture.setTopic("b", 0);
  assert.equal(fixture.beat("m1", 4), "4 a/0");
  assert.equal(fixture.beat("m1", 4, "a/0"), "5");
});

test("a target is computed at most once in an interval; who comes meanwhile waits without partitions", () => {
  const fixture = new GroupFixture({ a: 2 }, { assignmentIntervalMs: 1_000 });
  fixture.join("m1", ["a"]);
  fixture.nowMs += 999;
  const joined = fixture.join("m2", ["a"]);
  assert.deepEqual([joined.memberEpoch, shown(joined.assignment)], [2, ""]);
  assert.equal(fixture.group.state, "Assigning");
  assert.equal(fixture.beat("m1", 2), "2");
  fixture.nowMs += 1;
  assert.equal(fixture.beat("m1", 2), "2 a/0");
  assert.equal(fixture.group.targetEpoch, 3);
});

test("what a member no longer subscribes to it gives up before there is a new target", () => {
  const fixture = new GroupFixture({ a: 1, b: 1 }, { assignmentIntervalMs: 1_000 });
  fixture.join("m1", ["a", "b"]);
  assert.equal(fixture.beat("m1", 2, "a/0 b/0", { subscribedTopicNames: ["a"] }), "2 a/0");
  assert.equal(fixture.group.members.get("m1")?.state, "unrevoked");
  fixture.nowMs += 1_000;
  assert.equal(fixture.beat("m1", 2, "a/0"), "3");
});

test("most members decide which assignor is used", () => {
  const fixture = new GroupFixture({ a: 2 });
  fixture.join("m1", ["a"]);
  assert.equal(fixture.group.assignor, "uniform");
  fixture.join("m2", ["a"], { serverAssignor: "range" });
  assert.equal(fixture.group.assignor, "range");
  fixture.beat("m1", 2, undefined, { serverAssignor: "uniform" });
  fixture.join("m3", ["a"], { serverAssignor: "uniform" });
  assert.equal(fixture.group.assignor, "uniform");
});

test("a pattern stands for the topics that it was resolved to", () => {
  const fixture = new GroupFixture({ a: 1, b: 1 });
  const { topics } = fixture.group;
  const heartbeat = joinHeartbeat("m1", null, { subscribedTopicRegex: "a|b" });
  assert.deepEqual(topics.patternsDue("a|b", fixture.nowMs), ["a|b"]);
  assert.equal(shown(fixture.send(heartbeat, new Map([["a|b", ["a"]]])).assignment), "a/0");
  assert.deepEqual([...fixture.group.subscribed()], ["a"]);
  // Another topic is noticed ten seconds after the last look, as Kafka has it.
  fixture.setTopic("b", 1);
  assert.deepEqual(topics.patternsDue(null, fixture.nowMs + 10_000), []);
  fixture.nowMs += 10_001;
  assert.deepEqual(topics.patternsDue(null, fixture.nowMs), ["a|b"]);
  const answer = fixture.send(quietHeartbeat("m1", 2), new Map([["a|b", ["a", "b"]]]));
  assert.deepEqual([answer.memberEpoch, shown(answer.assignment)], [3, "a/0 b/0"]);
  assert.deepEqual(topics.patternsDue(null, fixture.nowMs + 600_000), []);
  assert.deepEqual(topics.patternsDue(null, fixture.nowMs + 600_001), ["a|b"]);
  // Nobody wants it any more.
  fixture.beat("m1", 3, "a/0 b/0", { subscribedTopicNames: ["a"], subscribedTopicRegex: "" });
  assert.equal(topics.kept.patterns.size, 0);
});

test("members may subscribe by names and by a pattern at once", () => {
  const fixture = new GroupFixture({ a: 1, b: 1 });
  const heartbeat = joinHeartbeat("m1", ["a"], { subscribedTopicRegex: "b" });
  assert.equal(shown(fixture.send(heartbeat, new Map([["b", ["b"]]])).assignment), "a/0 b/0");
});

test("after a restart members go on in their epochs, and their sessions begin anew", () => {
  const fixture = new GroupFixture({ a: 4 });
  fixture.join("m1", ["a"], { instanceId: "i1" });
  fixture.join("m2", ["a"]);
  fixture.beat("m1", 2);
  fixture.nowMs += 40_000;
  fixture.restart();
  const { revision } = fixture.group;
  assert.equal(fixture.group.nextDeadlineMs, fixture.nowMs + 45_000);
  assert.equal(fixture.beat("m1", 2, "a/0 a/1 a/2"), "2");
  assert.equal(fixture.group.revision, revision);
  assert.equal(fixture.beat("m1", 2, "a/0 a/1", { instanceId: "i1" }), "3");
  assert.equal(fixture.beat("m2", 3, ""), "3 a/2 a/3");
  assert.equal(fixture.group.epoch, 3);
});

test("after a restart a topic that has grown meanwhile is noticed", () => {
  const fixture = new GroupFixture({ a: 1 });
  fixture.join("m1", ["a"]);
  fixture.topics.set("a", { topicId: "id-a", partitions: 2 });
  fixture.restart();
  assert.equal(fixture.beat("m1", 2), "3 a/0 a/1");
});

const claimOf = (memberId: string, generationOrEpoch: number, more: Partial<CommitClaim> = {}): CommitClaim => {
  return { memberId, instanceId: null, generationOrEpoch, apiVersion: 9, isTransactional: false, ...more };
};

test("offsets are committed by members in their epoch, and by nobody in particular when nobody is there", () => {
  const { group, ...fixture } = Object.assign(new GroupFixture({ a: 2 }), {});
  assert.equal(group.commitCheck(claimOf("", -1)), "NONE");
  const { memberEpoch } = group.heartbeat(joinHeartbeat("m1", ["a"]), fixture.nowMs) as { memberEpoch: number };
  assert.equal(memberEpoch, 2);
  assert.equal(group.commitCheck(claimOf("m1", 2)), "NONE");
  assert.equal(group.commitCheck(claimOf("m1", 3)), "STALE_MEMBER_EPOCH");
  assert.equal(group.commitCheck(claimOf("m1", 1)), "STALE_MEMBER_EPOCH");
  assert.equal(group.commitCheck(claimOf("", -1)), "UNKNOWN_MEMBER_ID");
  assert.equal(group.commitCheck(claimOf("m2", 2)), "UNKNOWN_MEMBER_ID");
  assert.equal(group.commitCheck(claimOf("m1", 2, { apiVersion: 8 })), "UNSUPPORTED_VERSION");
  assert.equal(group.commitCheck(claimOf("m1", 2, { apiVersion: 3, isTransactional: true })), "NONE");
  assert.equal(group.commitCheck(claimOf("", -1, { isTransactional: true })), "NONE");
});

test("an older epoch commits for partitions that the member has had since then", () => {
  const fixture = new GroupFixture({ a: 2, b: 1 });
  fixture.join("m1", ["a"]);
  assert.equal(fixture.beat("m1", 2, "a/0 a/1", { subscribedTopicNames: ["a", "b"] }), "3 a/0 a/1 b/0");
  const { group } = fixture;
  assert.equal(group.commitCheck(claimOf("m1", 2)), "STALE_MEMBER_EPOCH");
  assert.equal(group.commitCheck(claimOf("m1", 2), { topicId: "id-a", partition: 1 }), "NONE");
  assert.equal(group.commitCheck(claimOf("m1", 1), { topicId: "id-a", partition: 1 }), "STALE_MEMBER_EPOCH");
  assert.equal(group.commitCheck(claimOf("m1", 2), { topicId: "id-b", partition: 0 }), "STALE_MEMBER_EPOCH");
  assert.equal(group.commitCheck(claimOf("m1", 2), { topicId: "id-a", partition: 5 }), "STALE_MEMBER_EPOCH");
});

test("offsets are fetched by members in their epoch, and by who does not say who it is", () => {
  const fixture = new GroupFixture({ a: 2 });
  fixture.join("m1", ["a"]);
  assert.equal(fixture.group.fetchCheck(null, -1), "NONE");
  assert.equal(fixture.group.fetchCheck("m1", 2), "NONE");
  assert.equal(fixture.group.fetchCheck("m1", 1), "STALE_MEMBER_EPOCH");
  assert.equal(fixture.group.fetchCheck("m2", 2), "UNKNOWN_MEMBER_ID");
});
