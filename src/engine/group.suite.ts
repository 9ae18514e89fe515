/**
 * What every variant of the consumer groups must do. A variant's test calls `groupSuite` with a way to open it; time is
 * moved by the fixture, `reopen` closes everything and opens the same log again.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ErrorCode } from "../base/error-codes.ts";
import { MillraceError } from "../base/errors.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import type { Engine } from "./engine.ts";
import type { GroupMember, Groups, JoinOptions, TopicPartition } from "./groups.ts";
import { decodeCommitted } from "./records.ts";

export interface GroupFixture {
  readonly engine: Engine;
  readonly groups: Groups;
  /** How long offsets are kept, in days. */
  readonly retentionDays: number;
  /** Moves time on, and lets happen what is due. */
  advance(byMs: number): Promise<void>;
  /** Time jumps, and what has expired is removed; undefined where time is not the fixture's. */
  readonly expireAfterDays?: (days: number) => Promise<void>;
  /** Where rebalances take time of their own: until these have what is theirs. */
  readonly untilSettled?: (members: readonly GroupMember[]) => Promise<void>;
  /** The fixture with everything opened again. */
  reopen(): Promise<GroupFixture>;
  /** Closes what is open, and removes everything. */
  dispose(): Promise<void>;
}

const sessionTimeoutMs = 10_000;
const rebalanceTimeoutMs = 20_000;

function withCode(code: ErrorCode) {
  return (error: unknown) => MillraceError.is(error, code) || assert.fail(`expected ${code}, not ${error}`);
}

function names(places: readonly TopicPartition[]): string[] {
  return places.map(({ topic, partition }) => `${topic}/${partition}`).sort();
}

const everything = ["orders/0", "orders/1", "orders/2", "orders/3"];

/** Takes what a member is told, and lets go at once of what it must, until all have what is theirs. */
async function settle(fixture: GroupFixture, ...members: GroupMember[]): Promise<void> {
  const stop = new AbortController();
  const loops = members.map(async (member) => {
    for (;;) (await member.next(stop.signal)).acknowledge();
  });
  if (fixture.untilSettled) await fixture.untilSettled(members);
  else for (let i = 0; i < 20; i++) await fixture.advance(1);
  stop.abort();
  await Promise.allSettled(loops);
}

/** `timeIsReal` says why offsets cannot be seen to expire, where they cannot. Answers how many tests do not skip. */
export function groupSuite(name: string, open: () => Promise<GroupFixture>, timeIsReal?: string): number {
  let count = 0;
  const groupTest = (title: string, body: (fixture: GroupFixture) => Promise<void>, skip: string | false = false) => {
    if (skip === false) count++;
    test(title, { skip }, async () => {
      const fixture = await open();
      await fixture.engine.createTopic("orders", { partitions: 4 });
      try {
        await body(fixture);
      } finally {
        await fixture.dispose();
      }
    });
  };

  const join = ({ groups }: GroupFixture, more: Partial<JoinOptions> = {}) =>
    groups.joinGroup({ group: "g", topics: ["orders"], sessionTimeoutMs, rebalanceTimeoutMs, ...more });

  /** Time passes in steps in which these members send heartbeats. */
  const pass = async (fixture: GroupFixture, byMs: number, ...members: GroupMember[]) => {
    for (let passedMs = 0; passedMs < byMs; passedMs += 2_500) {
      for (const member of members) await member.heartbeat();
      await fixture.advance(2_500);
    }
  };

  describe(`consumer groups: ${name}`, () => {
    groupTest("the only member of a group has all partitions", async (fixture) => {
      const member = await join(fixture);
      assert.deepEqual(names(member.assignment), everything);
      assert.ok(member.generation > 0);
      assert.ok(member.memberId.length > 0);
    });

    groupTest("a member that joins gets its share when the others have let it go, and not before", async (fixture) => {
      const first = await join(fixture);
      const second = await join(fixture);
      assert.deepEqual(second.assignment, []);
      const rebalance = await first.next();
      assert.equal(rebalance.revoked.length, 2);
      assert.equal(rebalance.assignment.length, 2);
      assert.equal(rebalance.generation, second.generation);
      await fixture.advance(1);
      assert.deepEqual(second.assignment, []);
      const granted = second.next();
      rebalance.acknowledge();
      assert.deepEqual(names((await granted).granted), names(rebalance.revoked));
      assert.deepEqual(names([...first.assignment, ...second.assignment]), everything);
    });

    groupTest("what a member lets go of can be committed until then, and not after", async (fixture) => {
      const first = await join(fixture);
      await join(fixture);
      const rebalance = await first.next();
      const [place] = rebalance.revoked as [TopicPartition];
      await first.commit([{ ...place, offset: 7 }]);
      rebalance.acknowledge();
      await assert.rejects(first.commit([{ ...place, offset: 8 }]), withCode("GROUP_PARTITION_NOT_ASSIGNED"));
      const [fetched] = await fixture.groups.fetchOffsets("g", [place]);
      assert.equal(fetched?.committed?.offset, 7);
    });

    groupTest("few partitions move when a member comes or goes", async (fixture) => {
      await fixture.engine.createTopic("wide", { partitions: 12 });
      const members: GroupMember[] = [];
      const owners = () => new Map(members.flatMap((member) => names(member.assignment).map((at) => [at, member])));
      for (let i = 0; i < 4; i++) {
        const before = owners();
        members.push(await join(fixture, { topics: ["wide"] }));
        await settle(fixture, ...members);
        const moved = [...owners()].filter(([at, member]) => before.has(at) && before.get(at) !== member);
        assert.ok(moved.length <= Math.ceil(12 / members.length), `${moved.length} moved`);
      }
      assert.deepEqual(
        members.map(({ assignment }) => assignment.length),
        [3, 3, 3, 3],
      );
      const before = owners();
      const leaver = members.shift() as GroupMember;
      await leaver.leave();
      await settle(fixture, ...members);
      for (const [at, member] of owners()) if (before.get(at) !== leaver) assert.equal(member, before.get(at));
      assert.equal(owners().size, 12);
    });

    groupTest("the generation grows with each rebalance, for all members", async (fixture) => {
      const first = await join(fixture);
      const { generation } = first;
      const second = await join(fixture);
      await settle(fixture, first, second);
      assert.ok(first.generation > generation);
      assert.equal(first.generation, second.generation);
    });

    groupTest("a commit under an old generation is refused, also when the partition was kept", async (fixture) => {
      const first = await join(fixture);
      const { generation } = first;
      await first.commit([{ topic: "orders", partition: 0, offset: 1 }], { generation });
      const second = await join(fixture);
      await settle(fixture, first, second);
      const [kept] = first.assignment as [TopicPartition];
      await assert.rejects(first.commit([{ ...kept, offset: 2 }], { generation }), withCode("GROUP_GENERATION_OLD"));
      await first.commit([{ ...kept, offset: 3 }], { generation: first.generation });
      const [fetched] = await first.committed([kept]);
      assert.equal(fetched?.committed?.offset, 3);
    });

    groupTest("a commit of a partition that is another member's is refused", async (fixture) => {
      const first = await join(fixture);
      const second = await join(fixture);
      await settle(fixture, first, second);
      const [other] = second.assignment as [TopicPartition];
      await assert.rejects(first.commit([{ ...other, offset: 2 }]), withCode("GROUP_PARTITION_NOT_ASSIGNED"));
    });

    groupTest("a member without a heartbeat is removed, told so, and followed by the others", async (fixture) => {
      const silent = await join(fixture);
      const other = await join(fixture);
      await settle(fixture, silent, other);
      const waiting = silent.next();
      const refused = assert.rejects(waiting, withCode("GROUP_MEMBER_UNKNOWN"));
      await pass(fixture, sessionTimeoutMs + 2_500, other);
      await refused;
      assert.ok(silent.signal.aborted);
      await assert.rejects(silent.heartbeat(), withCode("GROUP_MEMBER_UNKNOWN"));
      const place = { topic: "orders", partition: 0 };
      await assert.rejects(silent.commit([{ ...place, offset: 1 }]), withCode("GROUP_MEMBER_UNKNOWN"));
      await settle(fixture, other);
      assert.deepEqual(names(other.assignment), everything);
    });

    groupTest("a member that does not let go in time is removed, and what it had is given on", async (fixture) => {
      const stubborn = await join(fixture);
      const other = await join(fixture);
      await stubborn.next();
      await pass(fixture, rebalanceTimeoutMs - 2_500, stubborn, other);
      assert.deepEqual(other.assignment, []);
      await pass(fixture, 2_500, other);
      assert.ok(stubborn.signal.aborted);
      await settle(fixture, other);
      assert.deepEqual(names(other.assignment), everything);
    });

    groupTest("a member that leaves is none any more", async (fixture) => {
      const member = await join(fixture);
      await member.leave();
      await member.leave();
      assert.ok(member.signal.aborted);
      await assert.rejects(member.next(), withCode("GROUP_MEMBER_UNKNOWN"));
      await assert.rejects(member.heartbeat(), withCode("GROUP_MEMBER_UNKNOWN"));
      const stop = new AbortController();
      const other = await join(fixture, { signal: stop.signal });
      assert.deepEqual(names(other.assignment), everything);
      stop.abort();
      await fixture.advance(1);
      assert.ok(other.signal.aborted);
      await assert.rejects(join(fixture, { signal: stop.signal }));
    });

    groupTest(
      "a static member that joins again has the same partitions, and fences the one before",
      async (fixture) => {
        const first = await join(fixture, { instanceId: "one" });
        const second = await join(fixture, { instanceId: "two" });
        await settle(fixture, first, second);
        const { generation } = second;
        const again = await join(fixture, { instanceId: "one" });
        assert.notEqual(again.memberId, first.memberId);
        assert.deepEqual(names(again.assignment), names(first.assignment));
        await assert.rejects(first.heartbeat(), withCode("GROUP_MEMBER_FENCED"));
        await assert.rejects(first.next(), withCode("GROUP_MEMBER_FENCED"));
        const place = first.assignment[0] as TopicPartition;
        await assert.rejects(first.commit([{ ...place, offset: 1 }]), withCode("GROUP_MEMBER_FENCED"));
        await again.commit([{ ...place, offset: 1 }]);
        await settle(fixture, second);
        assert.equal(second.generation, generation);
      },
    );

    groupTest("a static member that left comes back to its partitions within its session", async (fixture) => {
      const first = await join(fixture, { instanceId: "one" });
      const second = await join(fixture, { instanceId: "two" });
      await settle(fixture, first, second);
      const before = names(first.assignment);
      await first.leave();
      await pass(fixture, sessionTimeoutMs / 2, second);
      const again = await join(fixture, { instanceId: "one" });
      assert.deepEqual(names(again.assignment), before);
      await again.leave();
      await pass(fixture, sessionTimeoutMs + 2_500, second);
      await settle(fixture, second);
      assert.deepEqual(names(second.assignment), everything);
    });

    groupTest("members see each other, with what each says of itself", async (fixture) => {
      const first = await join(fixture, { metadata: "http://127.0.0.1:1" });
      const second = await join(fixture, { metadata: Buffer.from([0, 255]), instanceId: "two" });
      await settle(fixture, first, second);
      const seen = first.members.map(({ memberId, instanceId, metadata, topics, assignment }) => {
        return [memberId, instanceId, Buffer.from(metadata).toString("latin1"), topics, names(assignment)];
      });
      assert.deepEqual(seen, [
        [first.memberId, null, "http://127.0.0.1:1", ["orders"], names(first.assignment)],
        [second.memberId, "two", "\0\u00ff", ["orders"], names(second.assignment)],
      ]);
    });

    groupTest("a topic that is made or deleted rebalances those who subscribe to it", async (fixture) => {
      const member = await join(fixture, { topics: ["orders", "later"] });
      assert.deepEqual(names(member.assignment), everything);
      await fixture.engine.createTopic("later", { partitions: 2 });
      await pass(fixture, 2_500, member);
      assert.deepEqual(names((await member.next()).granted), ["later/0", "later/1"]);
      await fixture.engine.deleteTopic("later");
      await pass(fixture, 2_500, member);
      const rebalance = await member.next();
      assert.deepEqual(names(rebalance.revoked), ["later/0", "later/1"]);
      rebalance.acknowledge();
      assert.deepEqual(names(member.assignment), everything);
    });

    groupTest("range and roundrobin share by their own rules, and a group has one rule", async (fixture) => {
      const first = await join(fixture, { assignor: "range", memberId: "a" });
      const second = await join(fixture, { assignor: "range", memberId: "b" });
      await settle(fixture, first, second);
      assert.deepEqual(names(first.assignment), ["orders/0", "orders/1"]);
      await assert.rejects(join(fixture, { assignor: "sticky" }), withCode("GROUP_ASSIGNOR_MISMATCH"));
      const dealt = [];
      for (const memberId of ["a", "b"]) {
        dealt.push(await join(fixture, { group: "h", assignor: "roundrobin", memberId }));
      }
      await settle(fixture, ...dealt);
      assert.deepEqual(names(dealt[0]?.assignment ?? []), ["orders/0", "orders/2"]);
    });

    groupTest("what cannot be is refused by name", async (fixture) => {
      const refused = (more: object, code: ErrorCode) =>
        assert.rejects(join(fixture, more as Partial<JoinOptions>), withCode(code), JSON.stringify(more));
      for (const group of ["", "x".repeat(256), "\ud800", null]) await refused({ group }, "GROUP_NAME_INVALID");
      for (const topics of [[], "orders", [7], null]) await refused({ topics }, "GROUP_REQUEST_INVALID");
      await refused({ topics: ["a/b"] }, "TOPIC_NAME_INVALID");
      for (const id of ["", "x".repeat(256), "\udfff", 7]) {
        await refused({ memberId: id }, "GROUP_REQUEST_INVALID");
        await refused({ instanceId: id }, "GROUP_REQUEST_INVALID");
      }
      for (const metadata of ["x".repeat(4097), Buffer.alloc(4097), 7, "\ud800"]) {
        await refused({ metadata }, "GROUP_REQUEST_INVALID");
      }
      for (const timeout of [0, 999, 1.5, Number.NaN, 2 ** 40, "5000"]) {
        await refused({ sessionTimeoutMs: timeout }, "GROUP_REQUEST_INVALID");
        await refused({ rebalanceTimeoutMs: timeout }, "GROUP_REQUEST_INVALID");
      }
      await refused({ assignor: "fair" }, "GROUP_REQUEST_INVALID");
      const member = await join(fixture, { memberId: "a" });
      await refused({ memberId: "a" }, "GROUP_MEMBER_EXISTS");
      const waiting = member.next(AbortSignal.abort("over"));
      await assert.rejects(waiting, /over/);
      const first = assert.rejects(member.next(), withCode("GROUP_MEMBER_UNKNOWN"));
      await assert.rejects(member.next(), withCode("GROUP_REQUEST_INVALID"));
      await member.leave();
      await first;
      assert.deepEqual(
        (await fixture.groups.listGroups()).map(({ group }) => group),
        ["g"],
      );
    });

    groupTest("committed offsets come back with all that was said, also after a restart", async (fixture) => {
      const member = await join(fixture);
      const metadata = "größer".padEnd(4000, "…").slice(0, 1300);
      await member.commit([
        { topic: "orders", partition: 0, offset: 12, leaderEpoch: 3, metadata },
        { topic: "orders", partition: 3, offset: 0 },
      ]);
      const seen = async ({ groups }: GroupFixture) =>
        (await groups.fetchOffsets("g")).map(({ topic, partition, committed, isUnstable }) => {
          const { committedMs, ...rest } = committed ?? { committedMs: 0 };
          return { at: `${topic}/${partition}`, ...rest, isUnstable };
        });
      const expected = [
        { at: "orders/0", offset: 12, leaderEpoch: 3, metadata, isUnstable: false },
        { at: "orders/3", offset: 0, leaderEpoch: -1, metadata: "", isUnstable: false },
      ];
      assert.deepEqual(await seen(fixture), expected);
      const again = await fixture.reopen();
      assert.deepEqual(await seen(again), expected);
      const after = await join(again);
      assert.deepEqual(names(after.assignment), everything);
      assert.ok(after.generation > member.generation);
      const [first] = await after.committed([{ topic: "orders", partition: 0 }]);
      assert.equal(first?.committed?.offset, 12);
    });

    groupTest("a commit is there whole or not at all", async (fixture) => {
      const member = await join(fixture);
      const good = { topic: "orders", partition: 0, offset: 5 };
      const bad = { topic: "orders", partition: 1, offset: -1 };
      await assert.rejects(member.commit([good, bad]), withCode("GROUP_REQUEST_INVALID"));
      const long = { ...good, partition: 1, metadata: "x".repeat(4097) };
      await assert.rejects(member.commit([good, long]), withCode("GROUP_METADATA_TOO_LARGE"));
      assert.deepEqual(await fixture.groups.fetchOffsets("g"), []);
    });

    groupTest("offsets in a transaction count exactly when it is committed, with its records", async (fixture) => {
      const { engine } = fixture;
      await engine.createTopic("out");
      const member = await join(fixture);
      const producer = await engine.initProducer("copy");
      const place = { topic: "orders", partition: 0 };
      const copy = async (offset: number) => {
        const transaction = producer.begin();
        const batch = encodeBatch([{ key: null, value: Buffer.from(`${offset}`) }], 0);
        await transaction.append({ topic: "out", partition: 0, batch });
        await member.commitIn(transaction, [{ ...place, offset }]);
        return transaction;
      };
      const state = async () => {
        const request = { topic: "out", partition: 0, offset: 0, isolation: "read_committed", bytesMax: 1e6 } as const;
        const outputs = decodeCommitted(await engine.read(request), 0).map(({ value }) => Number(value));
        const [fetched] = await member.committed([place]);
        return [outputs, fetched?.committed?.offset, fetched?.isUnstable];
      };
      const first = await copy(1);
      assert.deepEqual(await state(), [[], undefined, true]);
      await first.commit();
      assert.deepEqual(await state(), [[1], 1, false]);
      const second = await copy(2);
      const [unstable] = await member.committed([place], { requireStable: false });
      assert.deepEqual([unstable?.committed?.offset, unstable?.isUnstable], [1, true]);
      await second.abort();
      assert.deepEqual(await state(), [[1], 1, false]);
      const transaction = producer.begin();
      const generation = member.generation - 1;
      const old = member.commitIn(transaction, [{ ...place, offset: 9 }], { generation });
      await assert.rejects(old, withCode("GROUP_GENERATION_OLD"));
      await transaction.commit();
      assert.deepEqual(await state(), [[1], 1, false]);
    });

    groupTest("offsets in a transaction that nobody decided are gone after a restart", async (fixture) => {
      const member = await join(fixture);
      const transaction = (await fixture.engine.initProducer("copy")).begin();
      await member.commitIn(transaction, [{ topic: "orders", partition: 0, offset: 9 }]);
      const again = await fixture.reopen();
      assert.deepEqual(await again.groups.fetchOffsets("g", undefined, { requireStable: true }), []);
    });

    groupTest("who chooses its partitions itself commits without a member, while there is none", async (fixture) => {
      const { groups } = fixture;
      const offsets = [{ topic: "orders", partition: 0, offset: 4 }];
      await groups.commitOffsets("g", offsets);
      assert.equal((await groups.fetchOffsets("g"))[0]?.committed?.offset, 4);
      const member = await join(fixture);
      await assert.rejects(groups.commitOffsets("g", offsets), withCode("GROUP_NOT_EMPTY"));
      await member.leave();
      const transaction = (await fixture.engine.initProducer("reset")).begin();
      await groups.commitOffsetsIn(transaction, "g", [{ topic: "orders", partition: 0, offset: 0 }]);
      await transaction.commit();
      assert.equal((await groups.fetchOffsets("g"))[0]?.committed?.offset, 0);
    });

    groupTest("groups are listed with their state, and described with their members", async (fixture) => {
      const { groups } = fixture;
      await groups.commitOffsets("simple", [{ topic: "orders", partition: 0, offset: 4 }]);
      const first = await join(fixture);
      const second = await join(fixture);
      const listed = async () => (await groups.listGroups()).map((one) => [one.group, one.state, one.memberCount]);
      assert.deepEqual(await listed(), [
        ["g", "rebalancing", 2],
        ["simple", "empty", 0],
      ]);
      (await first.next()).acknowledge();
      if (fixture.untilSettled) await settle(fixture, first, second);
      const described = await groups.describeGroup("g");
      assert.deepEqual([described.state, described.assignor, described.members.length], ["stable", "sticky", 2]);
      await assert.rejects(groups.describeGroup("none"), withCode("GROUP_UNKNOWN"));
    });

    groupTest("a group without members can be deleted, and its offsets one by one", async (fixture) => {
      const { groups } = fixture;
      const member = await join(fixture);
      await member.commit([0, 1].map((partition) => ({ topic: "orders", partition, offset: 1 })));
      const place = { topic: "orders", partition: 0 };
      await assert.rejects(groups.deleteGroup("g"), withCode("GROUP_NOT_EMPTY"));
      await assert.rejects(groups.deleteOffsets("g", [place]), withCode("GROUP_NOT_EMPTY"));
      await member.leave();
      await groups.deleteOffsets("g", [place]);
      assert.deepEqual(names(await groups.fetchOffsets("g")), ["orders/1"]);
      await groups.deleteGroup("g");
      assert.deepEqual(await groups.fetchOffsets("g"), []);
      await assert.rejects(groups.deleteGroup("g"), withCode("GROUP_UNKNOWN"));
      assert.deepEqual(await (await fixture.reopen()).groups.listGroups(), []);
    });

    groupTest("offsets of a deleted topic are not those of one of its name that is made later", async (fixture) => {
      const { engine, groups } = fixture;
      await groups.commitOffsets("g", [{ topic: "orders", partition: 0, offset: 9 }]);
      await engine.deleteTopic("orders");
      await engine.createTopic("orders", { partitions: 4 });
      const [fetched] = await groups.fetchOffsets("g", [{ topic: "orders", partition: 0 }]);
      assert.equal(fetched?.committed, null);
    });

    groupTest(
      "offsets are kept while there are members, and expire some time after",
      async (fixture) => {
        const { groups, retentionDays, expireAfterDays } = fixture;
        assert.ok(expireAfterDays);
        const member = await join(fixture, { sessionTimeoutMs: 30 * 60_000 });
        await member.commit([{ topic: "orders", partition: 0, offset: 1 }]);
        await expireAfterDays(retentionDays + 1);
        assert.equal((await groups.fetchOffsets("g")).length, 1);
        await member.leave();
        await expireAfterDays(retentionDays - 1);
        assert.equal((await groups.fetchOffsets("g")).length, 1);
        await expireAfterDays(2);
        assert.deepEqual(await groups.fetchOffsets("g"), []);
        assert.deepEqual(await groups.listGroups(), []);
      },
      timeIsReal,
    );

    groupTest("many members share what there is, each partition once", async (fixture) => {
      await fixture.engine.createTopic("wide", { partitions: 64 });
      const members = await Promise.all(Array.from({ length: 40 }, () => join(fixture, { topics: ["wide"] })));
      await settle(fixture, ...members);
      const all = members.flatMap(({ assignment }) => names(assignment));
      assert.equal(all.length, 64);
      assert.equal(new Set(all).size, 64);
      for (const { assignment } of members) assert.ok(assignment.length === 1 || assignment.length === 2);
    });
  });
  return count;
}
