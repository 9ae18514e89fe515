import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../base/random.ts";
import { type Assignment, assignPartitions, type Subscriber } from "./group-assignors.ts";

const nobody = () => undefined;

function subscriber(memberId: string, ...topics: string[]): Subscriber {
  return { memberId, rank: memberId, topics };
}

function counts(byTopic: Readonly<Record<string, number>>): ReadonlyMap<string, number> {
  return new Map(Object.entries(byTopic));
}

function plain(assignment: Assignment): Record<string, readonly string[]> {
  return Object.fromEntries(assignment);
}

function holderIn(assignment: Assignment): (place: string) => string | undefined {
  const holders = new Map(
    [...assignment].flatMap(([member, places]) => places.map((place) => [place, member] as const)),
  );
  return (place) => holders.get(place);
}

function moves(before: Assignment, after: Assignment): number {
  const held = holderIn(before);
  const left = (member: string | undefined) => member === undefined || !after.has(member);
  return [...after].flatMap(([member, places]) =>
    places.filter((place) => held(place) !== member && !left(held(place))),
  ).length;
}

test("range gives neighbouring partitions, those of one number to one member", () => {
  const assignment = assignPartitions(
    "range",
    [subscriber("b", "t", "u"), subscriber("a", "t", "u")],
    counts({ t: 3, u: 3 }),
    nobody,
  );
  assert.deepEqual(plain(assignment), { a: ["t/0", "t/1", "u/0", "u/1"], b: ["t/2", "u/2"] });
});

test("roundrobin deals all partitions out in turn, past who does not subscribe", () => {
  const two = [subscriber("a", "t", "u"), subscriber("b", "t", "u")];
  assert.deepEqual(plain(assignPartitions("roundrobin", two, counts({ t: 3, u: 3 }), nobody)), {
    a: ["t/0", "t/2", "u/1"],
    b: ["t/1", "u/0", "u/2"],
  });
  const some = [subscriber("a", "t"), subscriber("b", "t", "u")];
  assert.deepEqual(plain(assignPartitions("roundrobin", some, counts({ t: 1, u: 2 }), nobody)), {
    a: ["t/0"],
    b: ["u/0", "u/1"],
  });
});

test("sticky: who joins gets its share, and no more than that is moved", () => {
  let members = [subscriber("a", "t"), subscriber("b", "t"), subscriber("c", "t")];
  const before = assignPartitions("sticky", members, counts({ t: 12 }), nobody);
  members = [...members, subscriber("d", "t")];
  const after = assignPartitions("sticky", members, counts({ t: 12 }), holderIn(before));
  assert.equal(after.get("d")?.length, 3);
  assert.equal(moves(before, after), 3);
});

test("sticky: what a member leaves behind goes to those with least, and nothing else is moved", () => {
  const members = ["a", "b", "c", "d"].map((name) => subscriber(name, "t"));
  const before = assignPartitions("sticky", members, counts({ t: 10 }), nobody);
  const after = assignPartitions("sticky", members.slice(1), counts({ t: 10 }), holderIn(before));
  assert.equal(moves(before, after), 0);
  assert.deepEqual([...after.values()].map(({ length }) => length).sort(), [3, 3, 4]);
});

test("sticky: new partitions move none of the old ones", () => {
  const members = ["a", "b", "c"].map((name) => subscriber(name, "t"));
  const before = assignPartitions("sticky", members, counts({ t: 3 }), nobody);
  const after = assignPartitions("sticky", members, counts({ t: 7 }), holderIn(before));
  assert.equal(moves(before, after), 0);
  assert.deepEqual([...after.values()].map(({ length }) => length).sort(), [2, 2, 3]);
});

test("sticky: a member with more to choose from leaves to others what only they can take", () => {
  const members = [subscriber("a", "t", "u"), subscriber("b", "u")];
  assert.deepEqual(plain(assignPartitions("sticky", members, counts({ t: 2, u: 2 }), nobody)), {
    a: ["t/0", "t/1"],
    b: ["u/0", "u/1"],
  });
});

test("topics that do not exist, or that nobody reads, give nobody anything", () => {
  for (const assignor of ["sticky", "range", "roundrobin"] as const) {
    assert.deepEqual(plain(assignPartitions(assignor, [subscriber("a", "none")], counts({ t: 4 }), nobody)), { a: [] });
    assert.deepEqual(plain(assignPartitions(assignor, [], counts({ t: 4 }), nobody)), {});
  }
});

test("a topic that is named twice is read once", () => {
  for (const assignor of ["sticky", "range", "roundrobin"] as const) {
    const assignment = assignPartitions(assignor, [subscriber("a", "t", "t")], counts({ t: 2 }), nobody);
    assert.deepEqual(plain(assignment), { a: ["t/0", "t/1"] });
  }
});

test("everything is assigned once, to somebody who reads it, evenly and with few moves, whoever comes and goes", () => {
  const random = seededRandom(11);
  for (let run = 0; run < 150; run++) {
    const topics = Array.from({ length: 1 + random.below(4) }, (_, i) => `t${i}`);
    const sizes = new Map(topics.map((topic) => [topic, random.below(12)]));
    const isUniform = random.below(2) === 0;
    let named = 0;
    const make = () => subscriber(`m${named++}`, ...topics.filter(() => isUniform || random.below(2) === 0));
    let members = Array.from({ length: 1 + random.below(8) }, make);
    let last: Assignment = new Map();
    for (let step = 0; step < 8; step++) {
      const joins = random.below(2) === 0;
      if (joins) members = [...members, make()];
      else if (members.length > 1) members = members.toSpliced(random.below(members.length), 1);
      const shuffled = [...members].sort(() => random.next() - 0.5);
      for (const assignor of ["range", "roundrobin", "sticky"] as const) {
        const assignment = assignPartitions(assignor, members, sizes, holderIn(last));
        assert.deepEqual(assignPartitions(assignor, shuffled, sizes, holderIn(last)), assignment);
        assertWhole(assignment, members, sizes);
        if (assignor !== "sticky") continue;
        const loads = [...assignment.values()].map(({ length }) => length);
        const total = loads.reduce((sum, load) => sum + load, 0);
        if (isUniform && total > 0) {
          assert.ok(Math.max(...loads) - Math.min(...loads) <= 1, `${loads}`);
          const moved = step === 0 ? 0 : moves(last, assignment);
          assert.ok(moved <= (joins ? Math.ceil(total / members.length) : 0), `${moved} moves`);
        }
        last = assignment;
      }
    }
  }
});

function assertWhole(assignment: Assignment, members: readonly Subscriber[], sizes: ReadonlyMap<string, number>): void {
  const given = [...assignment.values()].flat();
  assert.equal(new Set(given).size, given.length);
  const wanted = [...sizes].flatMap(([topic, count]) =>
    members.some(({ topics }) => topics.includes(topic))
      ? Array.from({ length: count }, (_, i) => `${topic}/${i}`)
      : [],
  );
  assert.deepEqual([...given].sort(), wanted.sort());
  for (const { memberId, topics } of members) {
    for (const place of assignment.get(memberId) ?? []) assert.ok(topics.includes(place.slice(0, place.indexOf("/"))));
  }
}
