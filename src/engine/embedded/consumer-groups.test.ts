import assert from "node:assert/strict";
import { test } from "node:test";
import { type Diagnostics, silentDiagnostics } from "../../base/diagnostics.ts";
import type { ErrorCode } from "../../base/error-codes.ts";
import { MillraceError } from "../../base/errors.ts";
import { seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { nextTurn } from "../../base/turn.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import type { GroupsLog } from "../../log/groups/groups-log.ts";
import type { TopicInfo } from "../engine.ts";
import { type GroupFixture, groupSuite } from "../group.suite.ts";
import { ConsumerGroups } from "./consumer-groups.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "./embedded-engine.ts";

const dayMs = 24 * 3_600_000;
/** Small files, so that a start costs little. */
const limits = { journalFileBytes: 64 * 1024, diskReserveBytes: 0 };

class Fixture implements GroupFixture {
  readonly disk: SimulatedDisk;
  readonly clock: VirtualClock;
  readonly engine: EmbeddedEngine;
  readonly groups: ConsumerGroups;
  readonly retentionDays = 7;
  #next: Fixture | undefined;

  private constructor(disk: SimulatedDisk, clock: VirtualClock, engine: EmbeddedEngine, diagnostics: Diagnostics) {
    this.disk = disk;
    this.clock = clock;
    this.engine = engine;
    this.groups = new ConsumerGroups({ engine, clock, random: seededRandom(5), diagnostics });
  }

  static async open(
    disk = new SimulatedDisk(seededRandom(1)),
    clock = new VirtualClock(),
    diagnostics = silentDiagnostics,
  ): Promise<Fixture> {
    const random = seededRandom(2);
    const engine = await openEmbeddedEngine({ disk, directory: "/data/log", clock, random, diagnostics, limits });
    return new Fixture(disk, clock, engine, diagnostics);
  }

  async advance(byMs: number): Promise<void> {
    await this.clock.advance(byMs);
    // The log's own turns.
    for (let i = 0; i < 5; i++) await nextTurn();
  }

  readonly expireAfterDays = async (days: number): Promise<void> => {
    await this.advance(0);
    this.clock.jump(days * dayMs);
    await this.groups.expire();
  };

  async reopen(): Promise<Fixture> {
    await this.groups.close();
    await this.engine.close();
    this.#next = await Fixture.open(this.disk, this.clock);
    return this.#next;
  }

  /** The process dies without a word. */
  async kill(): Promise<Fixture> {
    this.#next = await Fixture.open(this.disk.afterKill(), this.clock);
    return this.#next;
  }

  async dispose(): Promise<void> {
    if (this.#next) return await this.#next.dispose();
    await this.groups.close();
    await this.engine.close();
  }
}

groupSuite("embedded", () => Fixture.open());

function withCode(code: ErrorCode) {
  return (error: unknown) => MillraceError.is(error, code) || assert.fail(`expected ${code}, not ${error}`);
}

const place = { topic: "orders", partition: 0 };
const join = (groups: ConsumerGroups, more: object = {}) =>
  groups.joinGroup({ group: "g", topics: ["orders"], sessionTimeoutMs: 10_000, ...more });

function seenThrough(engine: EmbeddedEngine, other: Partial<GroupsLog>): GroupsLog {
  return {
    topic: engine.topic.bind(engine),
    createTopic: engine.createTopic.bind(engine),
    offsets: engine.offsets.bind(engine),
    append: engine.append.bind(engine),
    read: engine.read.bind(engine),
    ...other,
  };
}

async function opened(): Promise<Fixture> {
  const fixture = await Fixture.open();
  await fixture.engine.createTopic("orders", { partitions: 2 });
  return fixture;
}

test("members of a process that died are none, its group goes on with a later generation, and its offsets expire", async () => {
  const before = await opened();
  const member = await join(before.groups);
  await member.commit([{ ...place, offset: 3 }]);
  await before.advance(1);
  const fixture = await before.kill();
  assert.deepEqual(
    (await fixture.groups.listGroups()).map(({ state, memberCount }) => [state, memberCount]),
    [["empty", 0]],
  );
  await fixture.expireAfterDays(6);
  assert.equal((await fixture.groups.fetchOffsets("g")).length, 1);
  const again = await join(fixture.groups);
  assert.equal(again.assignment.length, 2);
  assert.ok(again.generation > member.generation);
  await again.leave();
  await fixture.expireAfterDays(7);
  assert.deepEqual(await fixture.groups.listGroups(), []);
  await fixture.dispose();
});

test("a group whose members died with their process can be deleted", async () => {
  const before = await opened();
  await (await join(before.groups)).commit([{ ...place, offset: 3 }]);
  await before.advance(1);
  const fixture = await before.kill();
  await fixture.groups.deleteGroup("g");
  assert.deepEqual(await fixture.groups.listGroups(), []);
  await fixture.dispose();
});

test("a group that clients of another protocol lead is theirs", async () => {
  const fixture = await opened();
  const { groups } = fixture;
  const metadata = { protocolType: "consumer", generation: 4, emptySinceMs: null, detail: null };
  await groups.offsets.putMetadata("g", { ...metadata, memberCount: 2 });
  await assert.rejects(join(groups), withCode("GROUP_NOT_EMPTY"));
  await assert.rejects(groups.commitOffsets("g", [{ ...place, offset: 1 }]), withCode("GROUP_NOT_EMPTY"));
  await assert.rejects(groups.deleteGroup("g"), withCode("GROUP_NOT_EMPTY"));
  await assert.rejects(groups.deleteOffsets("g", [place]), withCode("GROUP_NOT_EMPTY"));
  const [listed] = await groups.listGroups();
  assert.deepEqual(listed, { group: "g", state: "stable", protocolType: "consumer", generation: 4, memberCount: 2 });
  await groups.offsets.putMetadata("g", { ...metadata, memberCount: 0, emptySinceMs: 0 });
  assert.equal((await join(groups)).generation, 5);
  await fixture.dispose();
});

test("a topic that has changed is noticed at once by who says so, and with the next heartbeat otherwise", async () => {
  const fixture = await opened();
  const { engine, groups } = fixture;
  const member = await join(groups, { topics: ["orders", "later"] });
  await engine.createTopic("later");
  groups.topicsChanged();
  assert.equal((await member.next()).granted.length, 1);
  await member.commit([{ topic: "later", partition: 0, offset: 1 }]);
  await engine.deleteTopic("later");
  await groups.topicDeleted("later");
  (await member.next()).acknowledge();
  assert.deepEqual(await groups.fetchOffsets("g"), []);
  await engine.createTopic("later");
  const waiting = member.next();
  await member.heartbeat();
  assert.equal((await waiting).granted.length, 1);
  await fixture.dispose();
});

test("expired offsets are removed every ten minutes, and when the log refuses it is tried again", async () => {
  const fixture = await opened();
  const { engine, clock } = fixture;
  await fixture.groups.close();
  // The engine's own would find them, too.
  await (engine.groups as ConsumerGroups).close();
  const warnings: string[] = [];
  const diagnostics = { ...silentDiagnostics, warn: (message: string) => void warnings.push(message) };
  let isRefusing = false;
  const groups = new ConsumerGroups({
    engine: seenThrough(engine, {
      append(request) {
        if (isRefusing) throw new MillraceError("DISK_LOW", "there is no space");
        return engine.append(request);
      },
    }),
    clock,
    random: seededRandom(1),
    diagnostics,
  });
  await groups.commitOffsets("g", [{ ...place, offset: 1 }]);
  clock.jump(8 * dayMs);
  isRefusing = true;
  await fixture.advance(10 * 60_000);
  assert.equal(warnings.length, 1);
  assert.equal((await groups.fetchOffsets("g")).length, 1);
  isRefusing = false;
  await fixture.advance(10 * 60_000);
  assert.deepEqual(await groups.fetchOffsets("g"), []);
  await groups.close();
  await fixture.dispose();
});

test("a process that stood still longer than a session cannot commit for its member", async () => {
  const fixture = await opened();
  const member = await join(fixture.groups);
  // Timers are late: only the clock has moved.
  const monotonicMs = fixture.clock.monotonicMs.bind(fixture.clock);
  fixture.clock.monotonicMs = () => monotonicMs() + 10_000;
  await assert.rejects(member.commit([{ ...place, offset: 1 }]), withCode("GROUP_MEMBER_UNKNOWN"));
  assert.deepEqual(await fixture.groups.fetchOffsets("g"), []);
  await fixture.dispose();
});

test("a jump of the wall clock ends no session", async () => {
  const fixture = await opened();
  const member = await join(fixture.groups);
  fixture.clock.jump(8 * dayMs);
  await member.heartbeat();
  fixture.clock.jump(-16 * dayMs);
  await fixture.advance(9_999);
  await member.heartbeat();
  await fixture.dispose();
});

test("closed groups refuse, their members are told, and it is known that nobody is left", async () => {
  const fixture = await opened();
  const member = await join(fixture.groups);
  const waiting = assert.rejects(member.next(), withCode("LOG_CLOSED"));
  await fixture.groups.close();
  await waiting;
  await assert.rejects(member.heartbeat(), withCode("LOG_CLOSED"));
  await assert.rejects(join(fixture.groups), withCode("LOG_CLOSED"));
  await assert.rejects(fixture.groups.commitOffsets("g", []), withCode("LOG_CLOSED"));
  const stored = await new ConsumerGroups({
    engine: fixture.engine,
    clock: fixture.clock,
    random: seededRandom(1),
    diagnostics: silentDiagnostics,
  }).offsets.group("g");
  assert.deepEqual([stored?.metadata?.memberCount, stored?.metadata?.emptySinceMs], [0, fixture.clock.now()]);
  await fixture.engine.close();
});

test("a member may leave from within the signal that ends another", async () => {
  const fixture = await opened();
  const first = await join(fixture.groups);
  const second = await join(fixture.groups, { sessionTimeoutMs: 60_000 });
  first.signal.addEventListener("abort", () => void second.leave());
  await fixture.advance(10_000);
  assert.ok(second.signal.aborted);
  const [listed] = await fixture.groups.listGroups();
  assert.equal(listed?.memberCount, 0);
  await fixture.dispose();
});

test("a join that is refused leaves nothing behind", async () => {
  const fixture = await opened();
  const { engine, clock } = fixture;
  const orders = engine.topic("orders") as TopicInfo;
  const huge = { ...orders, settings: { ...orders.settings, partitions: 10_000 } };
  const topics = Array.from({ length: 11 }, (_, i) => `huge-${i}`);
  const groups = new ConsumerGroups({
    engine: seenThrough(engine, { topic: (name) => (name.startsWith("huge-") ? huge : engine.topic(name)) }),
    clock,
    random: seededRandom(1),
    diagnostics: silentDiagnostics,
  });
  await assert.rejects(join(groups, { topics }), withCode("GROUP_FULL"));
  assert.deepEqual(await groups.listGroups(), []);
  await groups.close();
  await fixture.dispose();
});
