/**
 * Random joins, leavings, missed heartbeats, slow and quick users, growth and deletion of topics, on real members with a
 * clock that is moved by hand. At every moment no partition is in two users' hands; when everything has settled each is
 * in exactly one's, and few have moved.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../../base/diagnostics.ts";
import { type Random, seededRandom } from "../../base/random.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { MemberHandle, type MemberHost } from "../group-member.ts";
import type { Assignor, Rebalance } from "../groups.ts";
import { LiveGroup } from "./live-group.ts";

/** `MILLRACE_TEST_RUNS` runs more histories. */
const runs = 20 * Number(process.env.MILLRACE_TEST_RUNS ?? 1);
const steps = 60;

/** A user of a member: what it works on, and what it is still letting go of. */
class User {
  readonly handle: MemberHandle;
  readonly holding = new Set<string>();
  readonly stopping: { readonly rebalance: Rebalance; readonly places: readonly string[] }[] = [];
  isSilent = false;

  constructor(handle: MemberHandle) {
    this.handle = handle;
    this.add(handle.assignment.map(name));
  }

  get isMember(): boolean {
    return !this.handle.signal.aborted;
  }

  take(): void {
    const rebalance = this.handle.take();
    assert.deepEqual([...rebalance.assignment.map(name)].sort(), [...this.handle.assignment.map(name)].sort());
    const places = rebalance.revoked.map(name);
    for (const place of places) assert.ok(this.holding.has(place), `${place} was revoked and not held`);
    if (places.length > 0) this.stopping.push({ rebalance, places });
    this.add(rebalance.granted.map(name));
  }

  /** The oldest thing that it was to let go of is let go of. */
  stop(): void {
    const next = this.stopping.shift();
    if (!next) return;
    const kept = new Set(this.handle.assignment.map(name));
    for (const place of next.places) if (!kept.has(place)) this.holding.delete(place);
    next.rebalance.acknowledge();
  }

  add(places: readonly string[]): void {
    for (const place of places) this.holding.add(place);
  }
}

function name({ topic, partition }: { readonly topic: string; readonly partition: number }): string {
  return `${topic}/${partition}`;
}

class Model {
  readonly random: Random;
  readonly clock = new VirtualClock();
  readonly counts = new Map([
    ["t", 6],
    ["u", 3],
  ]);
  readonly group: LiveGroup;
  readonly assignor: Assignor;
  users: User[] = [];
  #names = 0;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.assignor = (["sticky", "range", "roundrobin"] as const)[this.random.below(3)] as Assignor;
    this.group = new LiveGroup(
      {
        group: "g",
        clock: this.clock,
        diagnostics: silentDiagnostics,
        partitionsOf: (topic) => this.counts.get(topic) ?? 0,
        keep: async () => {},
        ended: () => {},
      },
      0,
    );
  }

  async step(): Promise<void> {
    const { random } = this;
    const user = this.users[random.below(this.users.length)];
    switch (random.below(12)) {
      case 0:
      case 1:
        this.join();
        break;
      case 2:
        if (user?.isMember) await user.handle.leave({ forGood: random.below(2) === 0 });
        break;
      case 3:
        if (user) user.isSilent = true;
        break;
      case 4:
        this.changeTopics();
        break;
      case 5:
      case 6:
        await this.pass(random.below(4_000));
        break;
      default:
        if (user?.isMember && random.below(2) === 0) user.take();
        else user?.stop();
    }
    this.assertDisjoint();
  }

  join(): void {
    if (this.users.length >= 8) return;
    const isStatic = this.random.below(3) === 0;
    const memberId = `m${this.#names++}`;
    const instanceId = isStatic ? `i${this.random.below(3)}` : null;
    const handle = new MemberHandle(this.#host(), "g", memberId, instanceId);
    const topics = this.random.below(3) === 0 ? ["t", "u"] : ["t"];
    const timeouts = { sessionTimeoutMs: 5_000, rebalanceTimeoutMs: 8_000 };
    this.group.join({ memberId, instanceId, metadata: Buffer.alloc(0), topics, ...timeouts }, this.assignor, handle);
    this.users.push(new User(handle));
  }

  changeTopics(): void {
    const topic = this.random.below(2) === 0 ? "t" : "u";
    const count = this.counts.get(topic) ?? 0;
    // A topic that is gone comes again with other partitions, and otherwise they only grow.
    if (this.random.below(4) === 0) this.counts.delete(topic);
    else this.counts.set(topic, Math.min(12, count + 1 + this.random.below(3)));
    this.group.refreshTopics();
  }

  async pass(byMs: number): Promise<void> {
    for (let passedMs = 0; passedMs <= byMs; passedMs += 1_000) {
      for (const user of this.users) if (user.isMember && !user.isSilent) await user.handle.heartbeat();
      await this.clock.advance(1_000);
      this.assertDisjoint();
    }
    this.users = this.users.filter(({ isMember }) => isMember);
  }

  /** A user that is no member any more is to stop by itself, and does: what it holds does not count. */
  assertDisjoint(): void {
    const held = this.users.filter(({ isMember }) => isMember).flatMap(({ holding }) => [...holding]);
    assert.equal(new Set(held).size, held.length, "two users hold one partition");
  }

  async settle(): Promise<void> {
    for (let round = 0; round < 20; round++) {
      for (const user of this.users) if (user.isMember) user.take();
      for (const user of this.users) while (user.stopping.length > 0) user.stop();
      await this.pass(0);
    }
    // Those who are silent, or away, are gone by now.
    assert.ok(this.group.isSettled);
    const members = this.users.filter(({ isMember }) => isMember);
    assert.equal(this.group.state.members.size, members.length);
    const subscribed = new Set([...this.group.state.members.values()].flatMap(({ topics }) => topics));
    const wanted = [...this.counts].flatMap(([topic, count]) =>
      subscribed.has(topic) ? Array.from({ length: count }, (_, partition) => `${topic}/${partition}`) : [],
    );
    assert.deepEqual(members.flatMap(({ holding }) => [...holding]).sort(), wanted.sort());
    for (const { handle } of members) assert.equal(handle.generation, this.group.state.generation);
  }

  #host(): MemberHost {
    const { group } = this;
    return {
      checkTime: () => group.checkTime(),
      heartbeat: (memberId) => group.dispatch({ kind: "heartbeat", memberId }),
      acknowledge: (memberId, generation) => group.dispatch({ kind: "acknowledge", memberId, generation }),
      leave: (memberId, forGood) => group.dispatch({ kind: "leave", memberId, forGood }),
      members: () => group.members(),
      commit: async () => {},
      commitIn: async () => {},
      fetch: async () => [],
    };
  }
}

test("no partition is in two hands at once, and each is in one when everything has settled", async () => {
  const firstSeed = Number(process.env.MILLRACE_TEST_SEED ?? 1);
  for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
    try {
      const model = new Model(seed);
      for (let i = 0; i < steps; i++) {
        await model.step();
        if (i % 20 === 19) await model.settle();
      }
    } catch (cause) {
      throw new Error(`seed ${seed}`, { cause });
    }
  }
});

test("when one more joins a settled group, no more than its share is moved; when one leaves, only what it had", async () => {
  const model = new Model(3);
  Object.assign(model, { assignor: "sticky" });
  model.counts.set("t", 24).delete("u");
  const seen = () => new Map(model.users.flatMap((user) => [...user.holding].map((place) => [place, user] as const)));
  for (let i = 0; i < 7; i++) {
    const before = seen();
    model.join();
    await model.settle();
    const moved = [...seen()].filter(([place, user]) => before.has(place) && before.get(place) !== user);
    assert.ok(moved.length <= Math.ceil(24 / model.users.length), `${moved.length} moved`);
  }
  while (model.users.length > 1) {
    const before = seen();
    const leaver = model.users[model.random.below(model.users.length)] as User;
    await leaver.handle.leave({ forGood: true });
    await model.settle();
    const moved = [...seen()].filter(([place, user]) => before.get(place) !== user);
    assert.ok(
      moved.every(([place]) => before.get(place) === leaver),
      "what others had has moved",
    );
  }
});
