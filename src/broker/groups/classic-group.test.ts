import assert from "node:assert/strict";
import { test } from "node:test";
import { GroupScene, rebalanceMs, sessionMs } from "./classic-group.fixture.ts";
import { commitError, emptyClassicGroup, loadedClassicGroup, subscribedTopics } from "./classic-state.ts";
import { selectProtocol } from "./protocol-choice.ts";

const delayMs = 3_000;

test("the first members of a group wait for each other, and get one generation with one leader", () => {
  const scene = new GroupScene();
  const [a, b, c] = [scene.join(), scene.join(), scene.join()];
  assert.equal(scene.group.phase, "PreparingRebalance");
  assert.equal(scene.joined.size, 0);
  scene.advance(delayMs);
  scene.advance(delayMs);
  const answers = [a, b, c].map((request) => scene.joinAnswer(request));
  assert.deepEqual(
    answers.map(({ error, generation, leaderId, protocol, protocolType }) => [
      error,
      generation,
      leaderId,
      protocol,
      protocolType,
    ]),
    Array(3).fill(["NONE", 1, "m1", "range", "consumer"]),
  );
  assert.deepEqual(
    answers[0]?.members.map(({ memberId }) => memberId),
    ["m1", "m2", "m3"],
  );
  assert.deepEqual([answers[1]?.members, answers[2]?.members], [[], []]);
  assert.equal(scene.group.phase, "CompletingRebalance");
});

test("the first rebalance is put off while members come, up to the rebalance timeout", () => {
  const scene = new GroupScene();
  const first = scene.join({ rebalanceTimeoutMs: 8_000 });
  for (const _ of [1, 2, 3]) {
    scene.advance(2_500);
    scene.join({ rebalanceTimeoutMs: 8_000 });
  }
  assert.ok(!scene.joined.has(first));
  scene.advance(1_500);
  assert.equal(scene.joinAnswer(first).members.length, 4);
});

test("alone, a first member is answered after the delay", () => {
  const scene = new GroupScene();
  const only = scene.join();
  scene.advance(delayMs - 1);
  assert.ok(!scene.joined.has(only));
  scene.advance(1);
  assert.equal(scene.joinAnswer(only).generation, 1);
});

test("a dynamic member is first given an id where its version knows that, and joins with it", () => {
  const scene = new GroupScene();
  const told = scene.joinNow({ knowsIdRequired: true });
  assert.deepEqual([told.error, told.memberId], ["MEMBER_ID_REQUIRED", "m1"]);
  assert.equal(scene.group.phase, "Empty");
  const request = scene.join({ memberId: "m1", knowsIdRequired: true });
  scene.advance(delayMs);
  assert.equal(scene.joinAnswer(request).memberId, "m1");
  assert.equal(scene.group.pending.size, 0);
});

test("an id that was given to a dynamic member is no static member's", () => {
  const scene = new GroupScene();
  scene.joinNow({ knowsIdRequired: true });
  assert.equal(scene.joinNow({ memberId: "m1", instanceId: "i" }).error, "UNKNOWN_SERVER_ERROR");
});

test("an id that nobody came back with is forgotten after the session timeout", () => {
  const scene = new GroupScene();
  scene.joinNow({ knowsIdRequired: true });
  scene.advance(sessionMs);
  assert.equal(scene.group.pending.size, 0);
  assert.equal(scene.joinNow({ memberId: "m1" }).error, "UNKNOWN_MEMBER_ID");
});

test("a rebalance waits for who was given an id, and goes on when its time is over", () => {
  const scene = GroupScene.stable(1);
  scene.joinNow({ knowsIdRequired: true });
  const leader = scene.join({ memberId: "m1" });
  assert.ok(!scene.joined.has(leader));
  scene.advance(sessionMs);
  assert.equal(scene.joinAnswer(leader).generation, 2);
});

test("the protocol is one that all offer, by vote of their preferences", () => {
  const scene = new GroupScene();
  const requests = [
    scene.join({ protocols: ["only-a", "sticky", "range"] }),
    scene.join({ protocols: ["range", "sticky"] }),
    scene.join({ protocols: ["range", "sticky"] }),
  ];
  scene.advance(delayMs);
  scene.advance(delayMs);
  assert.equal(scene.joinAnswer(requests[0] as number).protocol, "range");
  const offers = (...names: string[]) => ({ protocols: names.map((name) => ({ name, metadata: Buffer.alloc(0) })) });
  assert.equal(selectProtocol([offers("b", "a"), offers("a", "b")]), "b");
  assert.equal(selectProtocol([offers("a"), offers("b")]), null);
});

test("who offers no protocol that all have, or is of another type, is refused", () => {
  const scene = GroupScene.stable(2);
  for (const more of [{ protocols: ["other"] }, { protocolType: "connect" }, { protocols: [] }]) {
    assert.equal(scene.joinNow(more).error, "INCONSISTENT_GROUP_PROTOCOL");
  }
  assert.equal(scene.group.phase, "Stable");
  assert.equal(new GroupScene().joinNow({ protocols: [] }).error, "INCONSISTENT_GROUP_PROTOCOL");
  assert.equal(new GroupScene().joinNow({ protocolType: "" }).error, "INCONSISTENT_GROUP_PROTOCOL");
});

test("the leader's assignment is kept before anybody is answered with it", () => {
  const scene = new GroupScene();
  scene.keepsAtOnce = false;
  scene.join();
  scene.join();
  scene.advance(delayMs);
  scene.advance(delayMs);
  const follower = scene.sync("m2");
  const leader = scene.sync("m1", { m1: "one", m2: "two", stranger: "three" });
  assert.equal(scene.synced.size, 0);
  assert.deepEqual(
    scene.kept[0]?.kept.members.map(({ memberId, assignment }) => [memberId, assignment.toString()]),
    [
      ["m1", "one"],
      ["m2", "two"],
    ],
  );
  scene.keep();
  assert.deepEqual([scene.assigned(leader), scene.assigned(follower)], ["one", "two"]);
  assert.equal(scene.group.phase, "Stable");
});

test("who asks late for its assignment gets it, and who was left out gets an empty one", () => {
  const scene = new GroupScene();
  scene.join();
  scene.join();
  scene.advance(delayMs);
  scene.advance(delayMs);
  scene.sync("m1", { m1: "one" });
  assert.equal(scene.assigned(scene.sync("m2")), "");
  assert.equal(scene.assigned(scene.sync("m1")), "one");
});

test("an assignment that cannot be kept is nobody's: all are told, and join again", () => {
  const scene = new GroupScene();
  scene.keepsAtOnce = false;
  scene.join();
  scene.join();
  scene.advance(delayMs);
  scene.advance(delayMs);
  const requests = [scene.sync("m2"), scene.sync("m1", { m1: "one" })];
  scene.keep("COORDINATOR_NOT_AVAILABLE");
  assert.deepEqual(
    requests.map((request) => scene.assigned(request)),
    Array(2).fill("COORDINATOR_NOT_AVAILABLE"),
  );
  assert.equal(scene.group.phase, "PreparingRebalance");
});

test("an assignment that was overtaken by another rebalance counts for nothing", () => {
  const scene = new GroupScene();
  scene.keepsAtOnce = false;
  scene.join();
  scene.advance(delayMs);
  const overtaken = scene.sync("m1", { m1: "one" });
  scene.join();
  assert.equal(scene.assigned(overtaken), "REBALANCE_IN_PROGRESS");
  scene.keep();
  assert.equal(scene.group.phase, "PreparingRebalance");
  assert.equal(scene.group.members.get("m1")?.assignment.length, 0);
});

test("syncs of strangers, of old generations and under another protocol are refused by name", () => {
  const scene = GroupScene.stable(1);
  assert.equal(scene.assigned(scene.sync("nobody")), "UNKNOWN_MEMBER_ID");
  assert.equal(scene.assigned(scene.sync("m1", {}, { generation: 0 })), "ILLEGAL_GENERATION");
  assert.equal(scene.assigned(scene.sync("m1", {}, { protocol: "other" })), "INCONSISTENT_GROUP_PROTOCOL");
  assert.equal(scene.assigned(scene.sync("m1", {}, { protocolType: "connect" })), "INCONSISTENT_GROUP_PROTOCOL");
  assert.equal(scene.assigned(scene.sync("m1", {}, { instanceId: "i" })), "UNKNOWN_MEMBER_ID");
  assert.equal(scene.assigned(scene.sync("m1", {}, { protocol: "range", protocolType: "consumer" })), "a-m1");
});

test("heartbeats say that a rebalance is being prepared, and are refused of others than members", () => {
  const scene = GroupScene.stable(2);
  assert.equal(scene.heartbeat("m2"), "NONE");
  assert.equal(scene.heartbeat("m2", { generation: 0 }), "ILLEGAL_GENERATION");
  assert.equal(scene.heartbeat("nobody"), "UNKNOWN_MEMBER_ID");
  scene.join();
  assert.equal(scene.heartbeat("m2"), "REBALANCE_IN_PROGRESS");
  assert.equal(scene.assigned(scene.sync("m2")), "REBALANCE_IN_PROGRESS");
});

test("a member without a heartbeat in its session timeout is removed, and the others join again", () => {
  const scene = GroupScene.stable(2);
  scene.advance(sessionMs / 2);
  assert.equal(scene.heartbeat("m1"), "NONE");
  scene.advance(sessionMs / 2);
  assert.deepEqual(scene.removed, ["m2 expired"]);
  assert.equal(scene.heartbeat("m1"), "REBALANCE_IN_PROGRESS");
  assert.equal(scene.joinNow({ memberId: "m1" }).generation, 2);
  assert.equal(scene.heartbeat("m2"), "UNKNOWN_MEMBER_ID");
});

test("a commit is a sign of life, but not while assignments are awaited", () => {
  const scene = GroupScene.stable(1);
  scene.advance(sessionMs / 2);
  scene.dispatch({ kind: "committed", memberId: "m1" });
  scene.advance(sessionMs / 2);
  assert.equal(scene.group.members.size, 1);
  scene.joinNow({ memberId: "m1" });
  scene.advance(sessionMs / 2);
  scene.dispatch({ kind: "committed", memberId: "m1" });
  scene.advance(sessionMs / 2);
  assert.equal(scene.group.members.size, 0);
});

test("a member that waits for the others does not lose its session meanwhile", () => {
  const scene = GroupScene.stable(2);
  const waiting = scene.join({ memberId: "m1" });
  for (let passedMs = 0; passedMs < rebalanceMs - 2_000; passedMs += 2_000) {
    scene.advance(2_000);
    assert.equal(scene.heartbeat("m2"), "REBALANCE_IN_PROGRESS");
  }
  assert.deepEqual(scene.removed, []);
  const other = scene.join({ memberId: "m2" });
  assert.deepEqual([scene.joinAnswer(waiting).error, scene.joinAnswer(other).error], ["NONE", "NONE"]);
  scene.advance(sessionMs);
  assert.equal(scene.group.members.size, 0, "from the answer on it has a session again");
});

test("a new member that is never answered is removed after five minutes", () => {
  const scene = GroupScene.stable(1, { rebalanceTimeoutMs: 20 * 60_000 });
  const late = scene.join();
  for (let i = 0; i < 60; i++) {
    scene.advance(5_000);
    scene.heartbeat("m1");
  }
  assert.equal(scene.joinAnswer(late).error, "UNKNOWN_MEMBER_ID");
});

test("who has not joined again within the rebalance timeout is removed, and another leads", () => {
  const scene = GroupScene.stable(2);
  const other = scene.join({ memberId: "m2", protocols: ["range:changed"] });
  for (let passedMs = 0; passedMs < rebalanceMs; passedMs += 5_000) {
    scene.heartbeat("m1");
    scene.advance(5_000);
  }
  assert.deepEqual(scene.removed, ["m1 late"]);
  const { leaderId, members, generation } = scene.joinAnswer(other);
  assert.deepEqual([leaderId, members.length, generation], ["m2", 1, 2]);
});

test("who does not ask for its assignment within the rebalance timeout is removed", () => {
  const scene = new GroupScene();
  scene.join();
  scene.join();
  scene.advance(delayMs);
  scene.advance(delayMs);
  scene.sync("m1", { m1: "one" });
  assert.equal(scene.group.phase, "Stable");
  for (let passedMs = 0; passedMs < rebalanceMs; passedMs += 5_000) {
    scene.heartbeat("m1");
    scene.heartbeat("m2");
    scene.advance(5_000);
  }
  assert.deepEqual(scene.removed, ["m2 unsynced"]);
  assert.equal(scene.group.phase, "PreparingRebalance");
});

test("a leader that joins again has all assigned anew; a follower that says the same is answered at once", () => {
  const scene = GroupScene.stable(2);
  const follower = scene.joinNow({ memberId: "m2" });
  assert.deepEqual([follower.error, follower.generation, follower.leaderId, follower.members], ["NONE", 1, "m1", []]);
  assert.equal(scene.group.phase, "Stable");
  scene.join({ memberId: "m1" });
  assert.equal(scene.group.phase, "PreparingRebalance");
});

test("a follower with a new subscription starts a rebalance", () => {
  const scene = GroupScene.stable(2);
  scene.join({ memberId: "m2", protocols: ["range:more"] });
  assert.equal(scene.group.phase, "PreparingRebalance");
});

test("who has missed the answer to its join gets it again, the leader with all members", () => {
  const scene = new GroupScene();
  scene.join();
  scene.join();
  scene.advance(delayMs);
  scene.advance(delayMs);
  assert.equal(scene.joinNow({ memberId: "m1" }).members.length, 2);
  assert.equal(scene.joinNow({ memberId: "m2" }).members.length, 0);
  assert.equal(scene.group.generation, 1);
  const changed = scene.join({ memberId: "m2", protocols: ["range:more"] });
  assert.ok(!scene.joined.has(changed));
  assert.equal(scene.group.phase, "PreparingRebalance");
});

test("a join that is asked again answers the one before it", () => {
  const scene = GroupScene.stable(2);
  const first = scene.join({ memberId: "m1" });
  const second = scene.join({ memberId: "m1" });
  assert.equal(scene.joinAnswer(first).error, "REBALANCE_IN_PROGRESS");
  scene.join({ memberId: "m2" });
  assert.equal(scene.joinAnswer(second).error, "NONE");
});

test("members leave one by one or many at a time, and each has its own error", () => {
  const scene = GroupScene.stable(3);
  assert.deepEqual(scene.leave("m2", "nobody", ""), ["NONE", "UNKNOWN_MEMBER_ID", "UNKNOWN_MEMBER_ID"]);
  assert.equal(scene.heartbeat("m1"), "REBALANCE_IN_PROGRESS");
  assert.deepEqual(scene.leave("m1", "m3"), ["NONE", "NONE"]);
  assert.deepEqual([scene.group.phase, scene.group.generation], ["Empty", 2]);
});

test("when the last member has left, that is kept, and the next one begins the next generation", () => {
  const scene = GroupScene.stable(1);
  scene.keepsAtOnce = false;
  scene.leave("m1");
  assert.deepEqual(scene.kept[0]?.kept.members, []);
  scene.keep();
  const next = scene.join({ protocolType: "connect", protocols: ["p"] });
  scene.advance(delayMs);
  assert.deepEqual([scene.joinAnswer(next).generation, scene.joinAnswer(next).protocolType], [3, "connect"]);
});

test("a member that leaves while it waits is told so on both ways", () => {
  const scene = GroupScene.stable(2);
  const waiting = scene.join({ memberId: "m2", protocols: ["range:new"] });
  scene.leave("m2");
  assert.equal(scene.joinAnswer(waiting).error, "UNKNOWN_MEMBER_ID");
});

test("a pending member leaves, and the others need not wait for it", () => {
  const scene = GroupScene.stable(1);
  const { memberId } = scene.joinNow({ knowsIdRequired: true });
  const leader = scene.join({ memberId: "m1" });
  assert.deepEqual(scene.leave(memberId), ["NONE"]);
  assert.equal(scene.joinAnswer(leader).generation, 2);
});

test("a static member that comes back keeps its assignment, and nobody joins again", () => {
  const scene = GroupScene.stable(1);
  scene.join({ instanceId: "i" });
  scene.join({ memberId: "m1" });
  scene.sync("m1", { m1: "one", m2: "two" });
  scene.sync("m2");
  const back = scene.joinNow({ instanceId: "i" });
  assert.deepEqual([back.error, back.memberId, back.generation, back.leaderId], ["NONE", "m4", 2, "m1"]);
  assert.equal(scene.group.phase, "Stable");
  assert.equal(scene.heartbeat("m1"), "NONE");
  assert.equal(scene.assigned(scene.sync(back.memberId, {}, { instanceId: "i" })), "two");
});

test("whoever had the instance id before is fenced, wherever it speaks", () => {
  const scene = GroupScene.stable(1, { instanceId: "i" });
  const { memberId } = scene.joinNow({ instanceId: "i" });
  assert.equal(scene.heartbeat("m1", { instanceId: "i" }), "FENCED_INSTANCE_ID");
  assert.equal(scene.assigned(scene.sync("m1", {}, { instanceId: "i" })), "FENCED_INSTANCE_ID");
  assert.equal(scene.joinNow({ memberId: "m1", instanceId: "i" }).error, "FENCED_INSTANCE_ID");
  assert.deepEqual(scene.leave({ memberId: "m1", instanceId: "i" }), ["FENCED_INSTANCE_ID"]);
  const claim = { memberId: "m1", instanceId: "i", generation: 1, isTransactional: false };
  assert.equal(commitError(scene.group, claim), "FENCED_INSTANCE_ID");
  assert.equal(commitError(scene.group, { ...claim, memberId }), "NONE");
  assert.equal(scene.heartbeat("m1"), "UNKNOWN_MEMBER_ID");
  assert.equal(scene.heartbeat(memberId, { instanceId: "i" }), "NONE");
});

test("a waiting join of the fenced one is answered, and the rebalance goes on with its successor", () => {
  const scene = GroupScene.stable(2, {});
  scene.join({ instanceId: "i" });
  const waiting = scene.join({ instanceId: "i" });
  assert.equal([...scene.joined.values()].at(-1)?.error, "FENCED_INSTANCE_ID");
  scene.join({ memberId: "m1" });
  scene.join({ memberId: "m2" });
  assert.equal(scene.joinAnswer(waiting).error, "NONE");
  assert.equal(scene.group.members.size, 3);
});

test("a static leader that comes back is told to leave assignments as they are, where its version knows that", () => {
  const scene = GroupScene.stable(1, { instanceId: "i" });
  const now = scene.joinNow({ instanceId: "i", knowsSkipAssignment: true });
  assert.deepEqual([now.leaderId, now.skipAssignment, now.members.length], [now.memberId, true, 1]);
  const old = scene.joinNow({ instanceId: "i" });
  assert.deepEqual([old.leaderId, old.skipAssignment, old.members.length], [now.memberId, false, 0]);
  assert.notEqual(old.memberId, old.leaderId);
});

test("a static member whose protocols change the choice starts a rebalance", () => {
  const scene = new GroupScene();
  const protocols = ["range", "sticky"];
  scene.join({ instanceId: "i", protocols });
  scene.advance(delayMs);
  scene.sync("m1", { m1: "one" });
  const back = scene.join({ instanceId: "i", protocols: ["sticky", "range"] });
  assert.deepEqual([scene.joinAnswer(back).generation, scene.joinAnswer(back).protocol], [2, "sticky"]);
});

test("a static member that comes back while assignments are awaited starts a rebalance", () => {
  const scene = GroupScene.stable(1);
  scene.join({ instanceId: "i" });
  scene.join({ memberId: "m1" });
  const leader = scene.sync("m2");
  scene.join({ instanceId: "i" });
  assert.equal(scene.group.phase, "PreparingRebalance");
  assert.equal(scene.assigned(leader), "FENCED_INSTANCE_ID");
});

test("a static member's new id that cannot be kept is taken back", () => {
  const scene = GroupScene.stable(1, { instanceId: "i" });
  scene.keepsAtOnce = false;
  const back = scene.join({ instanceId: "i", protocols: ["range:other"] });
  scene.keep("COORDINATOR_NOT_AVAILABLE");
  assert.equal(scene.joinAnswer(back).error, "COORDINATOR_NOT_AVAILABLE");
  assert.equal(scene.heartbeat("m1", { instanceId: "i" }), "NONE");
  assert.equal(scene.group.members.get("m1")?.protocols[0]?.metadata.toString(), "range");
  assert.equal(scene.group.leaderId, "m1");
});

test("static members that do not join again stay until their sessions end", () => {
  const scene = GroupScene.stable(1);
  scene.join({ instanceId: "i", sessionTimeoutMs: 120_000 });
  scene.join({ memberId: "m1" });
  scene.sync("m2");
  scene.sync("m1", { m1: "one", m2: "two" });
  const again = scene.join({ memberId: "m1", rebalanceTimeoutMs: rebalanceMs });
  scene.advance(rebalanceMs);
  assert.equal(scene.joinAnswer(again).members.length, 2);
  scene.sync("m1", { m1: "one", m2: "two" });
  for (let passedMs = 0; passedMs < 120_000 && scene.removed.length === 0; passedMs += 5_000) {
    scene.heartbeat("m1");
    scene.advance(5_000);
  }
  assert.deepEqual(scene.removed, ["m2 unsynced"]);
});

test("an operator removes a static member by its instance id", () => {
  const scene = GroupScene.stable(1, { instanceId: "i" });
  assert.deepEqual(scene.leave({ memberId: "", instanceId: "other" }), ["UNKNOWN_MEMBER_ID"]);
  assert.deepEqual(scene.leave({ memberId: "", instanceId: "i" }), ["NONE"]);
  assert.equal(scene.group.phase, "Empty");
});

test("a full group takes nobody more, but everybody that it has", () => {
  const scene = GroupScene.stable(2, {}, { membersMax: 2 });
  assert.equal(scene.joinNow().error, "GROUP_MAX_SIZE_REACHED");
  assert.equal(scene.joinNow({ memberId: "m2" }).error, "NONE");
  scene.join({ memberId: "m2", protocols: ["range:new"] });
  const last = scene.join({ memberId: "m1" });
  assert.equal(scene.joinAnswer(last).error, "NONE");
});

test("the ids that are given out are bounded, too", () => {
  const scene = new GroupScene({ membersMax: 2 });
  const told = [1, 2, 3].map(() => scene.joinNow({ knowsIdRequired: true }).error);
  assert.deepEqual(told, ["MEMBER_ID_REQUIRED", "MEMBER_ID_REQUIRED", "GROUP_MAX_SIZE_REACHED"]);
});

test("offsets are committed by members in their generation, and by anybody for an empty group", () => {
  const none = { memberId: "", instanceId: null, generation: -1, isTransactional: false };
  assert.equal(commitError(emptyClassicGroup(3), none), "NONE");
  assert.equal(commitError(emptyClassicGroup(3), { ...none, memberId: "m", generation: 3 }), "UNKNOWN_MEMBER_ID");
  const { group } = GroupScene.stable(1);
  assert.equal(commitError(group, none), "UNKNOWN_MEMBER_ID");
  assert.equal(commitError(group, { ...none, isTransactional: true }), "NONE");
  assert.equal(commitError(group, { ...none, memberId: "m1", generation: 1 }), "NONE");
  assert.equal(commitError(group, { ...none, memberId: "m1", generation: 0 }), "ILLEGAL_GENERATION");
  assert.equal(commitError(group, { ...none, memberId: "x", generation: 1 }), "UNKNOWN_MEMBER_ID");
  const completing = GroupScene.stable(1);
  completing.join({ memberId: "m1" });
  const claim = { ...none, memberId: "m1", generation: 2 };
  assert.equal(commitError(completing.group, claim), "REBALANCE_IN_PROGRESS");
  assert.equal(commitError(completing.group, { ...claim, isTransactional: true }), "NONE");
});

test("a group that was read back is stable, and its sessions begin anew", () => {
  const scene = GroupScene.stable(2);
  scene.keepsAtOnce = false;
  const { generation, protocol, leaderId, members } = scene.group;
  const kept = { generation, protocolType: "consumer", protocol, leaderId, members: [...members.values()] };
  scene.group = loadedClassicGroup(kept, scene.nowMs + 60_000);
  scene.nowMs += 60_000 + sessionMs - 1;
  assert.equal(scene.heartbeat("m1"), "NONE");
  scene.advance(1);
  assert.deepEqual(scene.removed, ["m2 expired"]);
});

test("subscriptions of consumers are looked into, and nobody else's", () => {
  const subscription = Buffer.from([0, 1, 0, 0, 0, 2, 0, 1, 97, 0, 2, 98, 99, 0, 0, 0, 0]);
  const topicsOf = (metadata: Buffer, protocolType = "consumer") => {
    const scene = GroupScene.stable(1, { protocolType });
    const member = scene.group.members.get("m1");
    assert.ok(member);
    const members = new Map([["m1", { ...member, protocols: [{ name: "range", metadata }] }]]);
    const topics = subscribedTopics({ ...scene.group, members });
    return topics && [...topics];
  };
  assert.deepEqual(topicsOf(subscription), ["a", "bc"]);
  assert.equal(topicsOf(subscription, "connect"), undefined);
  for (let length = 0; length < 13; length++) assert.equal(topicsOf(subscription.subarray(0, length)), undefined);
  assert.equal(topicsOf(Buffer.from([0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 1, 97])), undefined);
  assert.equal(topicsOf(Buffer.from([0, 1, 0, 0, 0, 1, 0xff, 0xff, 97])), undefined);
});

test("a rebalance timeout of nothing does not make the group spin", () => {
  const scene = GroupScene.stable(1, { instanceId: "i" });
  scene.join();
  scene.join({ memberId: "m1", instanceId: "i", rebalanceTimeoutMs: 0 });
  scene.sync("m1", { m1: "one" });
  scene.leave("m2");
  scene.advance(100);
  assert.equal(scene.group.phase, "PreparingRebalance");
  scene.advance(sessionMs);
  assert.equal(scene.group.phase, "Empty");
});
