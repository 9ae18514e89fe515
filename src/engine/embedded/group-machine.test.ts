import assert from "node:assert/strict";
import { test } from "node:test";
import type { Assignor } from "../groups.ts";
import {
  decide,
  emptyGroup,
  type GroupDecision,
  type GroupEffect,
  type GroupEvent,
  type GroupState,
  groupPartitionsMax,
  isSettled,
  type JoiningMember,
  type MemberState,
  membersMax,
  nextDeadlineMs,
} from "./group-machine.ts";

const sessionTimeoutMs = 10_000;
const rebalanceTimeoutMs = 30_000;

/** A group whose topic `t` has four partitions, and what was told so far. */
class Group {
  state: GroupState = emptyGroup();
  nowMs = 0;
  counts = new Map([
    ["t", 4],
    ["u", 2],
  ]);

  send(event: GroupEvent): readonly GroupEffect[] {
    const before = this.state;
    const frozen = JSON.stringify([...before.members]);
    const decision: GroupDecision = decide(before, event, this.nowMs);
    assert.equal(JSON.stringify([...before.members]), frozen, "the state before was changed");
    this.state = decision.state;
    assertSound(this.state);
    return decision.effects;
  }

  join(memberId: string, more: Partial<JoiningMember> & { readonly assignor?: Assignor } = {}): readonly GroupEffect[] {
    const { assignor = "sticky", ...rest } = more;
    const member = {
      memberId,
      instanceId: null,
      metadata: Buffer.alloc(0),
      topics: ["t"],
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      ...rest,
    };
    return this.send({ kind: "join", member, assignor, counts: this.counts });
  }

  acknowledge(memberId: string): readonly GroupEffect[] {
    return this.send({ kind: "acknowledge", memberId, generation: this.state.generation });
  }

  leave(memberId: string, forGood = false): readonly GroupEffect[] {
    return this.send({ kind: "leave", memberId, forGood });
  }

  owned(memberId: string): number {
    return this.state.members.get(memberId)?.owned.length ?? -1;
  }

  told(memberId: string): readonly string[] {
    return this.state.members.get(memberId)?.told ?? [];
  }
}

function assertSound(state: GroupState): void {
  const owned = [...state.members.values()].flatMap((member) => member.owned);
  assert.equal(new Set(owned).size, owned.length, "two members own one partition");
  for (const member of state.members.values()) {
    for (const place of member.told ?? []) {
      assert.ok(member.owned.includes(place) && member.target.includes(place), `${place} was told and is not owned`);
    }
  }
}

function assigned(effects: readonly GroupEffect[]): Record<string, number> {
  return Object.fromEntries(
    effects.flatMap((effect) => (effect.kind === "assigned" ? [[effect.memberId, effect.assignment.length]] : [])),
  );
}

function kinds(effects: readonly GroupEffect[]): string[] {
  return effects.map((effect) =>
    effect.kind === "removed"
      ? `${effect.memberId} ${effect.reason}`
      : effect.kind === "refused"
        ? `${effect.memberId} ${effect.code}`
        : `${effect.memberId} assigned`,
  );
}

function withTwo(): Group {
  const group = new Group();
  group.join("a");
  group.join("b");
  group.acknowledge("a");
  return group;
}

test("the first member gets everything", () => {
  const group = new Group();
  assert.deepEqual(assigned(group.join("a")), { a: 4 });
  assert.equal(group.state.generation, 1);
  assert.ok(isSettled(group.state));
});

test("a partition is given to its new member only when the old one has let it go", () => {
  const group = new Group();
  group.join("a");
  assert.deepEqual(assigned(group.join("b")), { a: 2, b: 0 });
  assert.deepEqual([group.owned("a"), group.owned("b")], [4, 0]);
  assert.equal(isSettled(group.state), false);
  assert.deepEqual(assigned(group.acknowledge("a")), { b: 2 });
  assert.deepEqual([group.owned("a"), group.owned("b")], [2, 2]);
  assert.ok(isSettled(group.state));
  assert.equal(group.state.generation, 2);
});

test("an answer to an earlier generation lets go of nothing", () => {
  const group = new Group();
  group.join("a");
  group.join("b");
  const { generation } = group.state;
  group.join("c");
  assert.deepEqual(group.send({ kind: "acknowledge", memberId: "a", generation }), []);
  assert.equal(group.owned("a"), 4);
  assert.deepEqual(assigned(group.acknowledge("a")), { b: 2, c: 1 });
});

test("an answer that nobody waits for changes nothing", () => {
  const group = withTwo();
  const before = group.state;
  assert.deepEqual(group.acknowledge("a"), []);
  assert.deepEqual(group.state.members, before.members);
});

test("what was to move and has not yet stays where it is when nobody wants it any more", () => {
  const group = new Group();
  group.join("a");
  group.join("b");
  const effects = group.leave("b");
  assert.deepEqual(kinds(effects), ["b left", "a assigned"]);
  assert.deepEqual(assigned(effects), { a: 4 });
  assert.ok(isSettled(group.state));
});

test("a member that leaves is followed at once", () => {
  const group = withTwo();
  const effects = group.leave("a");
  assert.deepEqual(kinds(effects), ["a left", "b assigned"]);
  assert.equal(group.owned("b"), 4);
  assert.equal(group.state.generation, 3);
});

test("a member without a heartbeat is removed when its session ends, not before", () => {
  const group = withTwo();
  group.nowMs = sessionTimeoutMs - 1;
  group.send({ kind: "heartbeat", memberId: "b" });
  assert.equal(nextDeadlineMs(group.state), sessionTimeoutMs);
  group.nowMs = sessionTimeoutMs;
  const effects = group.send({ kind: "tick" });
  assert.deepEqual(kinds(effects), ["a expired", "b assigned"]);
  assert.equal(group.owned("b"), 4);
  assert.equal(nextDeadlineMs(group.state), 2 * sessionTimeoutMs - 1);
});

test("a heartbeat that comes too late finds its member gone, though nobody had looked", () => {
  const group = withTwo();
  group.nowMs = sessionTimeoutMs;
  assert.deepEqual(kinds(group.send({ kind: "heartbeat", memberId: "a" })), [
    "a expired",
    "b expired",
    "a GROUP_MEMBER_UNKNOWN",
  ]);
  assert.equal(group.state.members.size, 0);
});

test("several whose sessions end together are one rebalance", () => {
  const group = withTwo();
  group.join("c");
  group.acknowledge("a");
  group.acknowledge("b");
  const { generation } = group.state;
  group.nowMs = sessionTimeoutMs - 1;
  group.send({ kind: "heartbeat", memberId: "c" });
  group.nowMs = sessionTimeoutMs;
  assert.deepEqual(kinds(group.send({ kind: "tick" })), ["a expired", "b expired", "c assigned"]);
  assert.equal(group.state.generation, generation + 1);
  assert.equal(group.owned("c"), 4);
});

test("a member that does not let go in time is removed, though it sends heartbeats", () => {
  const group = new Group();
  group.join("a");
  group.join("b");
  for (let nowMs = 5_000; nowMs < rebalanceTimeoutMs; nowMs += 5_000) {
    group.nowMs = nowMs;
    for (const memberId of ["a", "b"]) assert.deepEqual(group.send({ kind: "heartbeat", memberId }), []);
  }
  group.nowMs = rebalanceTimeoutMs;
  assert.deepEqual(kinds(group.send({ kind: "tick" })), ["a slow", "b assigned"]);
  assert.equal(group.owned("b"), 4);
});

test("the time to let go is counted from when it began, not from each rebalance since", () => {
  const group = new Group();
  group.join("a");
  group.join("b", { sessionTimeoutMs: 100_000 });
  group.nowMs = 9_000;
  group.send({ kind: "heartbeat", memberId: "a" });
  group.join("c");
  assert.equal(group.state.members.get("a")?.revokeEndMs, rebalanceTimeoutMs);
  group.acknowledge("a");
  assert.equal(group.state.members.get("a")?.revokeEndMs, null);
});

test("a static member that joins again has the same partitions, and nobody else is disturbed", () => {
  const group = new Group();
  group.join("a1", { instanceId: "a" });
  group.join("b1", { instanceId: "b" });
  group.acknowledge("a1");
  const before = group.told("a1");
  const { generation } = group.state;
  const effects = group.join("a2", { instanceId: "a" });
  assert.deepEqual(kinds(effects), ["a1 replaced", "a2 assigned"]);
  assert.deepEqual([...group.told("a2")].sort(), [...before].sort());
  assert.equal(group.state.generation, generation);
  assert.deepEqual(kinds(group.send({ kind: "heartbeat", memberId: "a1" })), ["a1 GROUP_MEMBER_UNKNOWN"]);
});

test("a static member that left is awaited until its session ends", () => {
  const group = new Group();
  group.join("a1", { instanceId: "a" });
  group.join("b1", { instanceId: "b" });
  group.acknowledge("a1");
  const { generation } = group.state;
  assert.deepEqual(kinds(group.leave("a1")), ["a1 left"]);
  assert.equal(group.owned("b1"), 2);
  assert.ok(isSettled(group.state));
  group.nowMs = 1;
  assert.deepEqual(kinds(group.join("a1", { instanceId: "a" })), ["a1 assigned"]);
  assert.equal(group.owned("a1"), 2);
  assert.equal(group.state.generation, generation);
  group.leave("a1");
  group.nowMs = sessionTimeoutMs - 1;
  group.send({ kind: "heartbeat", memberId: "b1" });
  group.nowMs = sessionTimeoutMs + 1;
  assert.deepEqual(kinds(group.send({ kind: "tick" })), ["b1 assigned"]);
  assert.equal(group.owned("b1"), 4);
});

test("what a static member that is away has to give up is free at once", () => {
  const group = new Group();
  group.join("a1", { instanceId: "a" });
  group.leave("a1");
  assert.deepEqual(assigned(group.join("b")), { b: 2 });
  assert.ok(isSettled(group.state));
  group.join("a2", { instanceId: "a" });
  assert.equal(group.owned("a2"), 2);
  assert.deepEqual(assigned(group.join("c")), { a2: 1, b: 2, c: 0 });
  assert.deepEqual(kinds(group.leave("a2")), ["a2 left", "c assigned"]);
  assert.equal(group.owned("c"), 1);
});

test("a static member that leaves for good is gone at once", () => {
  const group = new Group();
  group.join("a1", { instanceId: "a" });
  group.join("b");
  group.acknowledge("a1");
  assert.deepEqual(kinds(group.leave("a1", true)), ["a1 left", "b assigned"]);
});

test("a static member that comes back with other topics is a rebalance", () => {
  const group = new Group();
  group.join("a1", { instanceId: "a" });
  const { generation } = group.state;
  group.join("a2", { instanceId: "a", topics: ["t", "u"] });
  assert.equal(group.state.generation, generation + 1);
  assert.equal(group.owned("a2"), 6);
});

test("ranges stay with their instances when static members come back under other ids", () => {
  const group = new Group();
  group.join("zz", { instanceId: "1", assignor: "range" });
  group.join("yy", { instanceId: "2", assignor: "range" });
  group.acknowledge("zz");
  const before = group.told("zz");
  group.join("aa", { instanceId: "2", assignor: "range" });
  group.join("xx", { instanceId: "1", assignor: "range" });
  assert.deepEqual(group.told("xx"), before);
});

test("a topic that grows, comes or goes is a rebalance for those who subscribe to it", () => {
  const group = withTwo();
  const { generation } = group.state;
  assert.deepEqual(group.send({ kind: "topics", counts: new Map([["t", 4]]) }), []);
  assert.deepEqual(
    group.send({
      kind: "topics",
      counts: new Map([
        ["t", 4],
        ["other", 9],
      ]),
    }),
    [],
  );
  assert.deepEqual(assigned(group.send({ kind: "topics", counts: new Map([["t", 6]]) })), { a: 3, b: 3 });
  assert.equal(group.state.generation, generation + 1);
  assert.deepEqual(assigned(group.send({ kind: "topics", counts: new Map() })), { a: 0, b: 0 });
  assert.equal(group.owned("a"), 3);
  group.acknowledge("a");
  assert.equal(group.owned("a"), 0);
  assert.deepEqual(assigned(group.send({ kind: "topics", counts: new Map([["t", 2]]) })), { a: 1, b: 1 });
});

test("a deleted partition that comes again is not given to another while its member holds it", () => {
  const group = new Group();
  group.join("a");
  group.send({ kind: "topics", counts: new Map() });
  group.join("b");
  group.send({ kind: "topics", counts: new Map([["t", 4]]) });
  assert.equal(group.owned("a"), 4);
  group.acknowledge("a");
  assert.deepEqual([group.owned("a"), group.owned("b")], [2, 2]);
});

test("a topic that nobody subscribes to any more is forgotten", () => {
  const group = new Group();
  group.join("a");
  group.join("b", { topics: ["u"] });
  assert.deepEqual([...group.state.counts.keys()].sort(), ["t", "u"]);
  group.leave("b");
  assert.deepEqual([...group.state.counts.keys()], ["t"]);
  assert.equal(group.state.assignor, "sticky");
  group.leave("a");
  assert.deepEqual([group.state.assignor, group.state.counts.size, group.state.generation], [null, 0, 4]);
});

test("who asks for another rule than the group's is refused, and disturbs nobody", () => {
  const group = withTwo();
  const before = group.state;
  assert.deepEqual(kinds(group.join("c", { assignor: "range" })), ["c GROUP_ASSIGNOR_MISMATCH"]);
  assert.deepEqual(group.state, before);
  const alone = new Group();
  alone.join("a1", { instanceId: "a" });
  assert.deepEqual(kinds(alone.join("a2", { instanceId: "a", assignor: "range" })), ["a1 replaced", "a2 assigned"]);
  assert.equal(alone.state.assignor, "range");
});

test("an id that is taken is refused, also for another instance", () => {
  const group = withTwo();
  assert.deepEqual(kinds(group.join("a")), ["a GROUP_MEMBER_EXISTS"]);
  assert.deepEqual(kinds(group.join("a", { instanceId: "x" })), ["a GROUP_MEMBER_EXISTS"]);
  group.join("s", { instanceId: "s" });
  assert.deepEqual(kinds(group.join("s", { instanceId: "s" })), ["s GROUP_MEMBER_EXISTS"]);
});

test("a group is full at its bounds of members and partitions", () => {
  const group = new Group();
  group.join("m0", { topics: ["none"] });
  const [first] = group.state.members.values();
  const members = Array.from({ length: membersMax }, (_, i) => ({ ...(first as MemberState), memberId: `m${i}` }));
  group.state = { ...group.state, members: new Map(members.map((member) => [member.memberId, member])) };
  assert.deepEqual(kinds(group.join("more")), ["more GROUP_FULL"]);
  const wide = new Group();
  wide.counts = new Map([["t", groupPartitionsMax + 1]]);
  assert.deepEqual(kinds(wide.join("a")), ["a GROUP_FULL"]);
  assert.equal(wide.state.members.size, 0);
});

test("what a member that is none says is refused and changes nothing", () => {
  const group = withTwo();
  const before = group.state;
  for (const effects of [group.send({ kind: "heartbeat", memberId: "x" }), group.acknowledge("x"), group.leave("x")]) {
    assert.deepEqual(kinds(effects), ["x GROUP_MEMBER_UNKNOWN"]);
  }
  assert.deepEqual(group.state, before);
});

test("a group without members waits for nothing", () => {
  assert.equal(nextDeadlineMs(emptyGroup()), undefined);
  assert.deepEqual(decide(emptyGroup(7), { kind: "tick" }, 1e9).effects, []);
  assert.equal(decide(emptyGroup(7), { kind: "tick" }, 1e9).state.generation, 7);
});
