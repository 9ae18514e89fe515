import assert from "node:assert/strict";
import { test } from "node:test";
import { type Random, seededRandom } from "../../base/random.ts";
import {
  type AssignedMember,
  assignConsumers,
  type ConsumerAssignment,
  type ConsumerAssignor,
} from "./consumer-assignors.ts";
import type { Places } from "./consumer-partitions.ts";

/** `MILLRACE_TEST_RUNS` runs more cases. */
const runs = 100 * Number(process.env.MILLRACE_TEST_RUNS ?? 1);

type Counts = ReadonlyMap<string, number>;

function memberOf(memberId: string, topicIds: readonly string[], rank = memberId): AssignedMember {
  return { memberId, rank, topicIds };
}

function assign(
  assignor: ConsumerAssignor,
  members: readonly AssignedMember[],
  counts: Counts,
  before: ConsumerAssignment = new Map(),
): ConsumerAssignment {
  return assignConsumers(assignor, members, counts, (memberId) => before.get(memberId));
}

function namesIn(places: Places | undefined): string[] {
  return [...(places ?? [])].flatMap(([topicId, all]) => all.map((partition) => `${topicId}/${partition}`));
}

function holders(assignment: ConsumerAssignment): Map<string, string> {
  const all = new Map<string, string>();
  for (const [memberId, places] of assignment) {
    for (const place of namesIn(places)) {
      assert.ok(!all.has(place), `${place} is two members'`);
      all.set(place, memberId);
    }
  }
  return all;
}

function loadsOf(assignment: ConsumerAssignment): number[] {
  return [...assignment.values()].map((places) => namesIn(places).length);
}

/** Away from members that are still there. */
function moved(before: ConsumerAssignment, after: ConsumerAssignment): number {
  const held = holders(before);
  return [...holders(after)].filter(([place, member]) => {
    const last = held.get(place);
    return last !== undefined && after.has(last) && last !== member;
  }).length;
}

/** Everything that is subscribed to is a subscriber's, and nothing else is anybody's. */
function assertWhole(assignment: ConsumerAssignment, members: readonly AssignedMember[], counts: Counts): void {
  const wanted = new Set(members.flatMap(({ topicIds }) => topicIds));
  const places = [...wanted].flatMap((topicId) =>
    Array.from({ length: counts.get(topicId) ?? 0 }, (_, partition) => `${topicId}/${partition}`),
  );
  assert.deepEqual([...holders(assignment).keys()].sort(), places.sort());
  for (const { memberId, topicIds } of members) {
    for (const topicId of assignment.get(memberId)?.keys() ?? []) assert.ok(topicIds.includes(topicId));
  }
}

function drawCounts(random: Random): Map<string, number> {
  return new Map(Array.from({ length: 1 + random.below(5) }, (_, i) => [`t${i}`, random.below(9)] as const));
}

function shuffled<T>(random: Random, list: readonly T[]): T[] {
  return list
    .map((value) => [random.next(), value] as const)
    .sort((a, b) => a[0] - b[0])
    .map(([, value]) => value);
}

function forSeeds(check: (random: Random) => void): void {
  for (let seed = 1; seed <= runs; seed++) {
    try {
      check(seededRandom(seed));
    } catch (cause) {
      throw new Error(`seed ${seed}`, { cause });
    }
  }
}

test("uniform: members of the same topics have loads that differ by one at most, and no more moves than must", () => {
  forSeeds((random) => {
    let counts: Counts = drawCounts(random);
    let members: AssignedMember[] = [];
    let before: ConsumerAssignment = new Map();
    for (let i = 0; i < 6; i++) {
      if (random.below(3) === 0) counts = new Map([...counts].map(([id, count]) => [id, count + random.below(3)]));
      const topicIds = [...counts.keys()];
      const isLeaving = members.length > 1 && random.below(2) === 0;
      if (isLeaving) members.splice(random.below(members.length), 1);
      else members.push(memberOf(`m${random.below(1_000_000)}`, topicIds));
      members = shuffled(random, members).map(({ memberId }) => memberOf(memberId, topicIds));
      const after = assign("uniform", members, counts, before);
      assertWhole(after, members, counts);
      const loads = loadsOf(after);
      assert.ok(Math.max(...loads) - Math.min(...loads) <= 1, `loads ${loads}`);
      // Whoever had more than it may keep gives that up, and nobody else gives up anything.
      const total = loads.reduce((sum, load) => sum + load, 0);
      const share = Math.floor(total / members.length);
      let larger = total % members.length;
      let mustMove = 0;
      const held = members.map(({ memberId }) => namesIn(before.get(memberId)).length);
      for (const count of held.sort((a, b) => b - a)) {
        const keeps = count > share && larger-- > 0 ? share + 1 : share;
        mustMove += Math.max(0, count - keeps);
      }
      assert.equal(moved(before, after), mustMove);
      assert.equal(moved(after, assign("uniform", members, counts, after)), 0);
      before = after;
    }
  });
});

test("uniform: with different topics no partition could go to a subscriber who has at least two less", () => {
  forSeeds((random) => {
    const counts = drawCounts(random);
    let before: ConsumerAssignment = new Map();
    for (let i = 0; i < 4; i++) {
      const members = Array.from({ length: 1 + random.below(6) }, (_, place) =>
        memberOf(
          `m${place}`,
          [...counts.keys()].filter(() => random.below(2) === 0),
        ),
      );
      const after = assign("uniform", shuffled(random, members), counts, before);
      assertWhole(after, members, counts);
      const loads = new Map([...after].map(([memberId, places]) => [memberId, namesIn(places).length]));
      for (const [place, holder] of holders(after)) {
        const topicId = place.slice(0, place.indexOf("/"));
        for (const { memberId, topicIds } of members) {
          if (!topicIds.includes(topicId)) continue;
          assert.ok((loads.get(holder) as number) - (loads.get(memberId) as number) < 2, `${place} of ${holder}`);
        }
      }
      assert.deepEqual(assign("uniform", members, counts, after), after);
      before = after;
    }
  });
});

test("range: members get neighbours of each topic, and the same ones of topics that have as many partitions", () => {
  const counts = new Map([
    ["a", 5],
    ["b", 5],
    ["c", 1],
  ]);
  const members = [memberOf("m2", ["a", "b"]), memberOf("m1", ["a", "b", "c"])];
  const assignment = assign("range", members, counts);
  assert.deepEqual(namesIn(assignment.get("m1")), ["a/0", "a/1", "a/2", "b/0", "b/1", "b/2", "c/0"]);
  assert.deepEqual(namesIn(assignment.get("m2")), ["a/3", "a/4", "b/3", "b/4"]);
  forSeeds((random) => {
    const some = drawCounts(random);
    const all = Array.from({ length: 1 + random.below(5) }, (_, i) =>
      memberOf(
        `m${i}`,
        [...some.keys()].filter(() => random.below(3) > 0),
      ),
    );
    assertWhole(assign("range", all, some), all, some);
  });
});

test("a static member that comes back under another member id is in the same place of the order", () => {
  const counts = new Map([["a", 3]]);
  const others = [memberOf("x", ["a"], "i1"), memberOf("y", ["a"], "i3")];
  const first = assign("range", [...others, memberOf("zzz", ["a"], "i2")], counts);
  const second = assign("range", [...others, memberOf("aaa", ["a"], "i2")], counts);
  assert.deepEqual(first.get("zzz"), second.get("aaa"));
});

test("the order in which members are given does not matter", () => {
  forSeeds((random) => {
    const counts = drawCounts(random);
    const members = Array.from({ length: 5 }, (_, i) => memberOf(`m${i}`, [...counts.keys()].slice(random.below(2))));
    for (const assignor of ["uniform", "range"] as const) {
      assert.deepEqual(
        new Map([...assign(assignor, shuffled(random, members), counts)].sort()),
        new Map([...assign(assignor, members, counts)].sort()),
      );
    }
  });
});
