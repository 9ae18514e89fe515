/**
 * Random histories of clients that join, leave, vanish, come back and lose connections, of a broker that is killed, and
 * of a log that is slow or refuses. Of what clients are told: a generation has one protocol and one assignment, also
 * across a restart; whoever lost its instance id is never taken for a member. In the group nobody waits without a cause,
 * and when the histories end everybody who lives is in one stable generation.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../../base/diagnostics.ts";
import { MillraceError } from "../../base/errors.ts";
import { type Random, seededRandom } from "../../base/random.ts";
import { nextTurn } from "../../base/turn.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import type { GroupMetadata } from "../../log/groups/group-records.ts";
import type { OffsetStore } from "../../log/groups/offset-store.ts";
import type { ClassicErrorName, JoinAnswer, SyncAnswer } from "./classic-state.ts";
import { GroupCoordinator } from "./group-coordinator.ts";
import { GroupDirectory } from "./group-directory.ts";

/** `MILLRACE_TEST_RUNS` runs more histories. */
const runs = 40 * Number(process.env.MILLRACE_TEST_RUNS ?? 1);
const steps = 120;
const group = "g";

interface ModelFaults {
  /** The canary: what is said to be kept is lost when the broker is killed. */
  readonly forgets: boolean;
}

/** What the log of groups is to the coordinator, with all of it in a variable. */
class Store {
  durable: GroupMetadata | undefined;
  refuses = false;
  readonly #waiting: { readonly metadata: GroupMetadata; readonly resolve: () => void }[] = [];
  readonly #faults: ModelFaults;
  #lives = 0;

  constructor(faults: ModelFaults) {
    this.#faults = faults;
  }

  /** Of one life of the broker: what an earlier one still says does not reach the log. */
  open(): OffsetStore {
    const life = ++this.#lives;
    const stored = () => this.durable && { group, metadata: this.durable, offsetCount: 0 };
    return {
      open: async () => {},
      group: async () => stored(),
      groups: async () => [stored()].filter((one) => one !== undefined),
      putMetadata: (_: string, metadata: GroupMetadata) =>
        life === this.#lives ? this.#put(metadata) : new Promise(() => {}),
    } as unknown as OffsetStore;
  }

  /** The broker is killed: some of what was on its way is in the log, as far as it goes. */
  kill(random: Random): void {
    this.settle(random.below(this.#waiting.length + 1));
    this.#waiting.length = 0;
  }

  settle(count = this.#waiting.length): void {
    for (const { metadata, resolve } of this.#waiting.splice(0, count)) {
      if (!this.#faults.forgets) this.durable = metadata;
      resolve();
    }
  }

  #put(metadata: GroupMetadata): Promise<void> {
    if (this.refuses) return Promise.reject(new MillraceError("DISK_LOW", "there is no space"));
    return new Promise((resolve) => this.#waiting.push({ metadata, resolve }));
  }
}

type Stage = "out" | "joining" | "joined" | "syncing" | "in";

/** As Kafka's clients do. */
class Client {
  readonly #model: Model;
  readonly instanceId: string | null;
  readonly protocols: readonly string[];
  memberId = "";
  generation = -1;
  stage: Stage = "out";
  token = "";
  isAlive = true;
  /** Answers to a connection that is gone are nobody's. */
  #connection = 0;
  #leads: readonly string[] | null = null;

  constructor(model: Model, instanceId: string | null, protocols: readonly string[]) {
    this.#model = model;
    this.instanceId = instanceId;
    this.protocols = protocols;
  }

  act(): void {
    if (!this.isAlive) return;
    if (this.stage === "out") this.#join();
    else if (this.stage === "joined") this.#sync();
    else if (this.stage === "in") this.#heartbeat();
  }

  /** It does not know what it was answered, and asks again. */
  loseConnection(): void {
    this.#connection++;
    if (this.stage === "joining" || this.stage === "syncing") this.stage = "out";
  }

  reset(): void {
    this.memberId = "";
    this.stage = "out";
  }

  #join(): void {
    this.stage = "joining";
    this.#model.ask(
      this.#model.coordinator.join(group, "c", {
        memberId: this.memberId,
        instanceId: this.instanceId,
        clientId: "c",
        clientHost: "/h",
        sessionTimeoutMs: 10_000,
        rebalanceTimeoutMs: 20_000,
        protocolType: "consumer",
        protocols: this.protocols.map((name) => ({ name, metadata: Buffer.from(name) })),
        knowsIdRequired: this.#model.random.below(3) > 0,
        knowsSkipAssignment: true,
      }),
      this.#onConnection((answer) => this.#joined(answer)),
    );
  }

  #joined(answer: JoinAnswer): void {
    if (answer.error !== "NONE") {
      if (answer.error === "MEMBER_ID_REQUIRED") this.memberId = answer.memberId;
      this.#failed(answer.error);
      return;
    }
    this.memberId = answer.memberId;
    this.generation = answer.generation;
    this.stage = "joined";
    this.#leads =
      answer.leaderId === answer.memberId && !answer.skipAssignment
        ? answer.members.map(({ memberId }) => memberId)
        : null;
    assert.ok(this.protocols.includes(answer.protocol ?? ""), "a member's protocol is one that it offers");
    this.#model.sawProtocol(answer.generation, answer.protocol ?? "");
  }

  #sync(): void {
    this.stage = "syncing";
    const { memberId, instanceId, generation } = this;
    const token = `${generation}/${this.#model.random.below(1_000_000)}`;
    const assignments = (this.#leads ?? []).map((id) => ({ memberId: id, assignment: Buffer.from(`${token}/${id}`) }));
    const sync = { memberId, instanceId, generation, protocolType: null, protocol: null, assignments };
    this.#model.ask(
      this.#model.coordinator.sync(group, sync),
      this.#onConnection((answer) => this.#synced(answer)),
    );
  }

  #synced({ error, assignment }: SyncAnswer): void {
    if (error !== "NONE") {
      this.#failed(error);
      return;
    }
    const [generation, number, memberId] = assignment.toString().split("/");
    // A static member that came back has what was assigned to its old id.
    if (this.instanceId === null) assert.equal(memberId, this.memberId, "a member gets its own assignment");
    assert.equal(generation, String(this.generation), "an assignment is of the generation that it was asked for");
    this.#model.sawAssignment(this.generation, number ?? "");
    this.token = number ?? "";
    this.stage = "in";
  }

  #heartbeat(): void {
    const { memberId, instanceId, generation } = this;
    const asked = this.#model.coordinator.heartbeat(group, { memberId, instanceId }, generation);
    // It is decided by now, though the answer comes later.
    const holder = instanceId === null ? undefined : this.#model.holderOf(instanceId);
    this.#model.ask(
      asked,
      this.#onConnection((error) => {
        if (error !== "NONE") this.#failed(error);
        else if (instanceId !== null) assert.equal(memberId, holder, `${instanceId} is one member's`);
      }),
    );
  }

  #failed(error: ClassicErrorName): void {
    if (error === "FENCED_INSTANCE_ID") this.isAlive = false;
    if (error === "UNKNOWN_MEMBER_ID") this.memberId = "";
    this.stage = "out";
  }

  #onConnection<T>(then: (answer: T) => void): (answer: T) => void {
    const connection = this.#connection;
    return (answer) => {
      if (connection === this.#connection && this.isAlive) then(answer);
    };
  }
}

class Model {
  readonly random: Random;
  readonly clock = new VirtualClock();
  readonly store: Store;
  coordinator!: GroupCoordinator;
  clients: Client[] = [];
  #failure: unknown;
  #starts = 0;
  /** Answers to requests of a broker that was killed are nobody's. */
  #answersFrom = 0;
  readonly #protocols = new Map<string, string>();
  readonly #assignments = new Map<number, string>();

  constructor(seed: number, faults: ModelFaults) {
    this.random = seededRandom(seed);
    this.store = new Store(faults);
  }

  async start(): Promise<void> {
    const { clock, random, store } = this;
    this.#answersFrom = ++this.#starts;
    store.kill(random);
    const offsets = store.open();
    const directory = new GroupDirectory({ hasMembers: () => false });
    this.coordinator = new GroupCoordinator({
      offsets,
      directory,
      clock,
      random,
      diagnostics: silentDiagnostics,
      settings: { initialRebalanceDelayMs: 500, newMemberJoinTimeoutMs: 60_000 },
    });
    await directory.load(offsets);
    for (const client of this.clients) client.loseConnection();
  }

  ask<T>(asked: Promise<T>, then: (answer: T) => void): void {
    const start = this.#starts;
    asked
      .then((answer) => {
        if (start === this.#answersFrom) then(answer);
      })
      .catch((error) => {
        this.#failure ??= error;
      });
  }

  sawProtocol(generation: number, protocol: string): void {
    const key = `${this.#starts}/${generation}`;
    assert.equal(this.#protocols.get(key) ?? protocol, protocol, `generation ${generation} has one protocol`);
    this.#protocols.set(key, protocol);
  }

  sawAssignment(generation: number, number: string): void {
    assert.equal(this.#assignments.get(generation) ?? number, number, `generation ${generation} has one assignment`);
    this.#assignments.set(generation, number);
  }

  holderOf(instanceId: string): string | undefined {
    const members = [...(this.coordinator.describe(group)?.members.values() ?? [])];
    return members.find((member) => member.instanceId === instanceId)?.memberId;
  }

  async step(): Promise<void> {
    const { clients, random, store } = this;
    const client = clients[random.below(Math.max(1, clients.length))];
    switch (random.below(14)) {
      case 0:
      case 1:
        this.#comes();
        break;
      case 2:
        if (client) await this.#leaves(client);
        break;
      case 3:
        if (client && random.below(2) === 0) client.isAlive = false;
        break;
      case 4:
        client?.loseConnection();
        break;
      case 5:
        if (random.below(3) === 0) await this.start();
        break;
      case 6:
        store.refuses = random.below(4) === 0;
        break;
      case 7:
      case 8:
        store.settle();
        break;
      case 9:
        await this.clock.advance(random.below(6_000));
        break;
      default:
        for (const one of clients) one.act();
    }
    await this.#check();
  }

  async settle(): Promise<void> {
    this.store.refuses = false;
    for (let i = 0; i < 120; i++) {
      for (const client of this.clients) client.act();
      await nextTurn();
      this.store.settle();
      await this.clock.advance(1_000);
      await this.#check();
    }
    const living = this.clients.filter(({ isAlive }) => isAlive);
    const state = this.coordinator.describe(group);
    assert.equal(state?.members.size ?? 0, living.length, "whoever lives is a member, and nobody else");
    if (living.length > 0) assert.equal(state?.phase, "Stable");
    for (const { stage, generation, memberId, token } of living) {
      assert.deepEqual([stage, generation, state?.members.has(memberId)], ["in", state?.generation, true]);
      assert.equal(token, this.#assignments.get(generation));
    }
  }

  #comes(): void {
    const { random, clients } = this;
    const alive = clients.filter(({ isAlive }) => isAlive);
    if (alive.length >= 6) return;
    const instanceId = random.below(3) === 0 ? `i${random.below(2)}` : null;
    const protocols = [["range"], ["range", "sticky"], ["sticky", "range"]][random.below(3)] as string[];
    // The one before it is gone, though the group need not know, or will be told.
    this.clients = alive.filter(
      (one) => one.instanceId === null || one.instanceId !== instanceId || random.below(2) > 0,
    );
    this.clients.push(new Client(this, instanceId, protocols));
  }

  async #leaves(client: Client): Promise<void> {
    const { memberId, instanceId } = client;
    client.isAlive = false;
    this.ask(this.coordinator.leave(group, [{ memberId, instanceId }]), () => {});
  }

  async #check(): Promise<void> {
    await nextTurn();
    if (this.#failure) throw this.#failure;
    const state = this.coordinator.describe(group);
    if (!state) return;
    const returning = new Set([...state.replacing.values()].map(({ memberId }) => memberId));
    for (const { memberId, joining, syncing, sessionEndMs } of state.members.values()) {
      const waits = joining !== null || syncing !== null;
      if (state.phase === "Stable") assert.ok(!waits || returning.has(memberId), "in a stable group nobody waits");
      if (sessionEndMs === null) assert.ok(waits, "only who waits has no session");
    }
    if (state.leaderId !== null) assert.ok(state.members.has(state.leaderId), "the leader is a member");
  }
}

async function history(seed: number, faults: ModelFaults = { forgets: false }): Promise<void> {
  const model = new Model(seed, faults);
  await model.start();
  for (let i = 0; i < steps; i++) await model.step();
  await model.settle();
}

test("whatever clients and broker go through, a generation has one assignment and everybody ends in one", async () => {
  for (let seed = 1; seed <= runs; seed++) {
    await history(seed).catch((cause) => {
      throw new Error(`seed ${seed}`, { cause });
    });
  }
});

test("a log that forgets what it said is kept is caught", async () => {
  let caught = 0;
  for (let seed = 1; seed <= 40 && caught === 0; seed++) {
    await history(seed, { forgets: true }).catch((error) => {
      assert.match(String(error), /has one (assignment|protocol)/);
      caught++;
    });
  }
  assert.equal(caught, 1);
});
