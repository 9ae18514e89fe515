import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeAssignment, decodeSubscription, encodeAssignment, encodeSubscription } from "./group-messages.ts";
import { type JoinedMember, planAssignments } from "./group-plan.ts";

const counts = new Map([["t", 4]]);

function member(
  coordinatorId: string,
  more: { kept?: string[]; releasing?: string[]; instanceId?: string } = {},
): JoinedMember {
  const { kept = [], releasing = [], instanceId = null } = more;
  const subscription = {
    memberId: coordinatorId,
    joinedMs: 0,
    topics: ["t"],
    metadata: Buffer.alloc(0),
    kept,
    releasing,
  };
  return { coordinatorId, instanceId, subscription };
}

const plan = (...members: JoinedMember[]) => planAssignments("sticky", 3, members, counts);
const all = ["t/0", "t/1", "t/2", "t/3"];

test("the only member has everything", () => {
  assert.deepEqual(plan(member("a")).get("a"), { generation: 3, places: all, awaited: [], revoked: [] });
});

test("who comes awaits what others have, and they are told to let go of it", () => {
  const planned = plan(member("a", { kept: all }), member("b"));
  const a = planned.get("a");
  const b = planned.get("b");
  assert.equal(a?.places.length, 2);
  assert.deepEqual(b?.places, []);
  assert.deepEqual(b?.awaited.toSorted(), a?.revoked.toSorted());
  assert.deepEqual([...(a?.places ?? []), ...(b?.awaited ?? [])].sort(), all);
});

test("what a member has not let go of is nobody else's, however often the group is rebalanced", () => {
  const kept = ["t/0", "t/1"];
  const releasing = ["t/2", "t/3"];
  const planned = plan(member("a", { kept, releasing }), member("b"));
  assert.deepEqual(planned.get("a")?.places, kept);
  assert.deepEqual(planned.get("a")?.revoked, releasing);
  assert.deepEqual([planned.get("b")?.places, planned.get("b")?.awaited], [[], releasing]);
  const free = plan(member("a", { kept }), member("b"));
  assert.deepEqual([free.get("b")?.places, free.get("b")?.awaited], [releasing, []]);
});

test("of two who say that they have the same, one lets go", () => {
  const planned = plan(member("a", { kept: ["t/0", "t/1"] }), member("b", { kept: ["t/0", "t/2"] }));
  const places = [...planned.values()].flatMap((one) => one.places);
  assert.equal(new Set(places).size, places.length);
  assert.deepEqual(planned.get("b")?.revoked, ["t/0"]);
});

test("no partition is two members', whatever they say that they have", () => {
  for (let state = 0; state < 4 ** 4; state++) {
    const having = all.map((_, i) => Math.floor(state / 4 ** i) % 4);
    const of = (who: number, how: "kept" | "releasing") =>
      all.filter((_, i) => having[i] === who + (how === "releasing" ? 2 : 0));
    const members = ["a", "b"].map((id, who) => member(id, { kept: of(who, "kept"), releasing: of(who, "releasing") }));
    const planned = plan(...members);
    const holds = (id: string) => {
      const { kept, releasing } = (members.find(({ coordinatorId }) => coordinatorId === id) as JoinedMember)
        .subscription;
      return new Set([...kept, ...releasing]);
    };
    for (const [id, other] of [
      ["a", "b"],
      ["b", "a"],
    ] as const) {
      for (const place of planned.get(id)?.places ?? [])
        assert.ok(!holds(other).has(place), `${state}: ${place} is ${other}'s`);
    }
    const given = [...planned.values()].flatMap(({ places, awaited }) => [...places, ...awaited]);
    assert.deepEqual(given.sort(), all);
  }
});

test("messages come back as they were, and others are read as those of who says nothing", () => {
  const said = {
    memberId: "m",
    joinedMs: 5,
    topics: ["t", "__proto__"],
    metadata: Buffer.from([0, 255]),
    kept: ["t/0", "a/b/1"],
    releasing: ["__proto__/3"],
  };
  assert.deepEqual(decodeSubscription(encodeSubscription(said)), said);
  const assigned = { generation: 4, places: ["t/1"], awaited: ["t/2"], revoked: [] };
  assert.deepEqual(decodeAssignment(encodeAssignment(assigned)), assigned);
  for (const text of [
    "",
    "{",
    "[]",
    "null",
    "7",
    '{"topics":[1],"kept":{"t":["x",-1,1.5]},"metadata":7,"joinedMs":"x"}',
  ]) {
    const bytes = Buffer.from(text);
    const nothing = { memberId: "", joinedMs: 0, topics: [], metadata: Buffer.alloc(0), kept: [], releasing: [] };
    assert.deepEqual(decodeSubscription(bytes), nothing, text);
    assert.deepEqual(decodeAssignment(bytes), { generation: 0, places: [], awaited: [], revoked: [] }, text);
  }
});
