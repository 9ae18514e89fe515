/**
 * Random histories of clients of KIP-848 that join, leave, vanish, are slow, lose answers and change what they want, of topics
 * that come, grow and go, and of a broker whose power is cut. At every moment no partition is in two members' hands; no epoch
 * that was told ever goes back; and when everything has settled each partition is in exactly one client's hands.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Random, seededRandom } from "../../base/random.ts";
import { nextTurn } from "../../base/turn.ts";
import { ConsumerGroup } from "./consumer-group.ts";
import { CoordinatorFixture } from "./consumer-group-coordinator.fixture.ts";
import type { ConsumerHeartbeat, HeartbeatAnswer, HeartbeatRefusal } from "./consumer-heartbeat.ts";
import { awayEpoch } from "./consumer-member.ts";

/** `MILLRACE_TEST_RUNS` runs more histories. */
const runs = 12 * Number(process.env.MILLRACE_TEST_RUNS ?? 1);
const steps = 100;
const group = "g";
const settings = { sessionTimeoutMs: 9_000, assignmentIntervalMs: 1_000, patternRefreshMs: 30_000 };

/** The canaries: deliberate faults that the model must see. */
interface ModelFaults {
  /** The log says that it has written, and has not. */
  readonly forgets?: boolean;
  /** A client says that it has let go, and has not. */
  readonly lies?: boolean;
}

/** As clients of Kafka behave. */
class Client {
  readonly instanceId: string | null;
  memberId: string;
  epoch = 0;
  /** Topic ids and partitions that it works on. */
  readonly holding = new Set<string>();
  /** What it is to have. */
  wanted: ReadonlySet<string> = new Set();
  topics: readonly string[] | null;
  pattern: string | null;
  isSilent = false;
  /** It says all of itself with the next heartbeat. */
  mustTellAll = true;
  #told = "";

  constructor(memberId: string, instanceId: string | null, topics: readonly string[] | null, pattern: string | null) {
    this.memberId = memberId;
    this.instanceId = instanceId;
    this.topics = topics;
    this.pattern = pattern;
  }

  get isLetting(): boolean {
    return [...this.holding].some((place) => !this.wanted.has(place));
  }

  heartbeat(random: Random, faults: ModelFaults): ConsumerHeartbeat {
    const owns = [...this.holding].filter((place) => !faults.lies || this.wanted.has(place));
    const isAll = this.mustTellAll || this.epoch === 0;
    const isNews = isAll || owns.sort().join() !== this.#told;
    this.#told = owns.join();
    const byTopic = new Map<string, number[]>();
    for (const place of owns) {
      const [topicId, partition] = place.split("/") as [string, string];
      byTopic.set(topicId, [...(byTopic.get(topicId) ?? []), Number(partition)]);
    }
    return {
      memberId: this.memberId,
      memberEpoch: this.epoch,
      instanceId: this.instanceId,
      rackId: null,
      rebalanceTimeoutMs: isAll ? 6_000 : -1,
      subscribedTopicNames: isAll ? this.topics : null,
      subscribedTopicRegex: isAll ? this.pattern : null,
      serverAssignor: isAll && random.below(3) === 0 ? "range" : null,
      topicPartitions: isNews ? [...byTopic].map(([topicId, partitions]) => ({ topicId, partitions })) : null,
      clientId: "c",
      clientHost: "/h",
    };
  }

  take(answer: HeartbeatAnswer | HeartbeatRefusal): void {
    if (answer.outcome === "refused") {
      this.mustTellAll = true;
      if (answer.error === "COORDINATOR_NOT_AVAILABLE") return;
      // It gives up everything and joins again.
      this.epoch = 0;
      this.holding.clear();
      this.wanted = new Set();
      return;
    }
    assert.ok(answer.memberEpoch >= this.epoch, `epoch ${answer.memberEpoch} after ${this.epoch}`);
    this.epoch = answer.memberEpoch;
    this.mustTellAll = false;
    if (!answer.assignment) return;
    const places = [...answer.assignment].flatMap(([topicId, all]) =>
      all.map((partition) => `${topicId}/${partition}`),
    );
    this.wanted = new Set(places);
    // What is new it may use at once; what is to be given up takes its time.
    for (const place of places) this.holding.add(place);
  }

  letGo(): void {
    for (const place of this.holding) if (!this.wanted.has(place)) this.holding.delete(place);
  }
}

class Model {
  readonly random: Random;
  readonly fixture: CoordinatorFixture;
  readonly faults: ModelFaults;
  clients: Client[] = [];
  /** The latest epoch that anybody was told. */
  #epoch = 0;
  #names = 0;

  private constructor(seed: number, fixture: CoordinatorFixture, faults: ModelFaults) {
    this.random = seededRandom(seed);
    this.fixture = fixture;
    this.faults = faults;
  }

  static async open(seed: number, faults: ModelFaults): Promise<Model> {
    const model = new Model(seed, await CoordinatorFixture.open({ a: 4, b: 3 }, settings), faults);
    model.#forget();
    return model;
  }

  async step(): Promise<void> {
    const { random } = this;
    const client = this.clients[random.below(this.clients.length)];
    switch (random.below(16)) {
      case 0:
      case 1:
        this.join();
        break;
      case 2:
        if (client) await this.leave(client);
        break;
      case 3:
        if (client) client.isSilent = random.below(2) === 0;
        break;
      case 4:
        await this.changeTopics();
        break;
      case 5:
        if (client) this.changeWish(client);
        break;
      case 6:
        await this.pass(random.below(4_000));
        break;
      case 7:
        if (random.below(2) === 0) await this.cutPower();
        break;
      case 8:
      case 9:
        client?.letGo();
        break;
      default:
        if (client && !client.isSilent) await this.beat(client, random.below(6) === 0);
    }
    this.assertDisjoint();
  }

  join(): void {
    if (this.clients.length >= 6) return;
    const instanceId = this.random.below(3) === 0 ? `i${this.random.below(2)}` : null;
    // Of one instance there is one client at a time.
    if (instanceId !== null && this.clients.some((other) => other.instanceId === instanceId)) return;
    const client = new Client(`m${this.#names++}`, instanceId, ["a"], null);
    this.changeWish(client);
    this.clients.push(client);
  }

  changeWish(client: Client): void {
    const wishes: [readonly string[] | null, string | null][] = [
      [["a"], ""],
      [["a", "b"], ""],
      [["b", "c"], ""],
      [[], "[ac]"],
      [["b"], "c.*"],
    ];
    const [topics, pattern] = wishes[this.random.below(wishes.length)] as [readonly string[], string];
    client.topics = topics;
    client.pattern = pattern;
    client.mustTellAll = true;
  }

  async beat(client: Client, isLost: boolean): Promise<void> {
    const heartbeat = client.heartbeat(this.random, this.faults);
    const { coordinator } = this.fixture;
    const answer = await coordinator.heartbeat(group, heartbeat, 1, () => true);
    if (isLost) {
      client.mustTellAll = true;
      return;
    }
    client.take(answer);
    if (answer.outcome === "answered") this.#epoch = Math.max(this.#epoch, answer.memberEpoch);
  }

  async leave(client: Client): Promise<void> {
    this.clients = this.clients.filter((other) => other !== client);
    const isAway = client.instanceId !== null && this.random.below(2) === 0;
    // Some just vanish.
    if (client.epoch === 0 || this.random.below(3) === 0) return;
    const heartbeat = { ...client.heartbeat(this.random, this.faults), memberEpoch: isAway ? awayEpoch : -1 };
    await this.fixture.coordinator.heartbeat(group, heartbeat, 1, () => true);
  }

  async changeTopics(): Promise<void> {
    const { engine, directory } = this.fixture;
    const name = ["a", "b", "c", "c1"][this.random.below(4)] as string;
    const known = engine.topic(name);
    if (!known) await engine.createTopic(name, { partitions: 1 + this.random.below(4) });
    else if (this.random.below(3) === 0) await engine.deleteTopic(name);
    else await engine.alterTopic(name, { partitions: Math.min(8, known.settings.partitions + 1) });
    directory.topicsChanged();
  }

  async pass(byMs: number): Promise<void> {
    for (let passedMs = 0; passedMs <= byMs; passedMs += 1_000) {
      for (const client of this.clients) if (!client.isSilent) await this.beat(client, false);
      await this.fixture.advance(1_000);
      this.assertDisjoint();
    }
  }

  /** Some heartbeats are on their way, as far as they come. */
  async cutPower(): Promise<void> {
    for (const client of this.clients) {
      if (this.random.below(2) === 0) continue;
      const heartbeat = client.heartbeat(this.random, this.faults);
      void this.fixture.coordinator.heartbeat(group, heartbeat, 1, () => true);
    }
    for (let turns = this.random.below(12); turns > 0; turns--) await nextTurn();
    await this.fixture.cutPower();
    this.#forget();
    for (const client of this.clients) client.mustTellAll = true;
    const described = await this.fixture.coordinator.describe(group);
    const epoch = described instanceof ConsumerGroup ? described.epoch : 0;
    assert.ok(epoch >= this.#epoch, `epoch ${epoch} after a restart, ${this.#epoch} was told`);
  }

  /** What a client works on that the group does not know any more it is to stop, and does: it does not count. */
  assertDisjoint(): void {
    const members = this.fixture.coordinator.live(group)?.members;
    const held = this.clients
      .filter(({ memberId, epoch }) => epoch > 0 && members?.has(memberId))
      .flatMap(({ holding }) => [...holding]);
    assert.equal(new Set(held).size, held.length, "two members hold one partition");
  }

  async settle(): Promise<void> {
    for (const client of this.clients) client.isSilent = false;
    // Long enough for sessions of those who vanished, and for patterns.
    for (let round = 0; round < 25; round++) {
      for (const client of this.clients) client.letGo();
      await this.pass(0);
    }
    const live = this.fixture.coordinator.live(group);
    assert.equal(live?.members.size ?? 0, this.clients.length);
    if (!live) return;
    assert.equal(live.state, "Stable");
    const { engine } = this.fixture;
    const wanted = [...live.subscribed()].flatMap((name) => {
      const topic = engine.topic(name);
      return Array.from({ length: topic?.settings.partitions ?? 0 }, (_, partition) => `${topic?.id}/${partition}`);
    });
    assert.deepEqual(this.clients.flatMap(({ holding }) => [...holding]).sort(), wanted.sort());
    for (const { epoch } of this.clients) assert.equal(epoch, live.epoch);
  }

  /** The canary's log. */
  #forget(): void {
    if (!this.faults.forgets) return;
    const { offsets } = this.fixture.engine.groups;
    const put = offsets.putMetadata.bind(offsets);
    offsets.putMetadata = async (name, metadata) => {
      if (this.random.below(2) === 0) await put(name, metadata);
    };
  }
}

async function run(seed: number, faults: ModelFaults = {}): Promise<void> {
  const model = await Model.open(seed, faults);
  try {
    for (let i = 0; i < steps; i++) {
      await model.step();
      if (i % 50 === 49) await model.settle();
    }
  } catch (cause) {
    throw new Error(`seed ${seed}`, { cause });
  }
}

test("no partition is in two members' hands, no epoch goes back, and each partition is in one's in the end", async () => {
  const firstSeed = Number(process.env.MILLRACE_TEST_SEED ?? 1);
  for (let seed = firstSeed; seed < firstSeed + runs; seed++) await run(seed);
});

for (const [name, faults] of [
  ["a log that says that it has written what it has not", { forgets: true }],
  ["a client that says that it has let go of what it has not", { lies: true }],
] as const) {
  test(`canary: ${name} is noticed`, async () => {
    const seeds = Array.from({ length: 10 }, (_, seed) => seed + 1);
    for (const seed of seeds) {
      try {
        await run(seed, faults);
      } catch {
        return;
      }
    }
    assert.fail("nothing was noticed");
  });
}
