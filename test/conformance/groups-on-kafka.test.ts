/** Consumer groups on a real Kafka: the suite that the embedded ones pass. Time passes as it does. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { systemRandom } from "../../src/base/random.ts";
import { parseBrokerAddresses } from "../../src/engine/cluster/broker-address.ts";
import { openClusterEngine } from "../../src/engine/cluster/cluster-engine.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { type GroupFixture, groupSuite } from "../../src/engine/group.suite.ts";
import type { GroupMember, Groups } from "../../src/engine/groups.ts";
import { namespaced } from "../support/engine-namespace.ts";
import { type Kafka, kafkaMissing, startKafka } from "../support/kafka.ts";

const missing = kafkaMissing();
const heartbeatMs = 50;
const turnMs = 2 * heartbeatMs;
const settleMsMax = 60_000;
let kafka: Kafka;
let opened = 0;

class Fixture implements GroupFixture {
  readonly engine: Engine;
  readonly retentionDays = 7;
  readonly #prefix: string;
  #next: Fixture | undefined;

  private constructor(engine: Engine, prefix: string) {
    this.engine = engine;
    this.#prefix = prefix;
  }

  static async open(prefix = `groups-${++opened}.`): Promise<Fixture> {
    const options = {
      clock: systemClock,
      random: systemRandom,
      diagnostics: silentDiagnostics,
      groupHeartbeatMs: heartbeatMs,
    };
    const engine = await openClusterEngine({ ...options, brokers: parseBrokerAddresses(kafka.bootstrap, "kafka") });
    return new Fixture(namespaced(engine, prefix), prefix);
  }

  get groups(): Groups {
    return this.engine.groups;
  }

  /** And a little more: what is due then is noticed with the next heartbeat. */
  async advance(byMs: number): Promise<void> {
    await systemClock.sleep(byMs + turnMs);
  }

  /** Everybody has taken the last generation, in which nobody waits for anything, and so it stays for a few heartbeats. */
  readonly untilSettled = async (members: readonly GroupMember[]): Promise<void> => {
    const endMs = systemClock.monotonicMs() + settleMsMax;
    for (let quiet = 0; quiet < 5 && systemClock.monotonicMs() < endMs; ) {
      await systemClock.sleep(heartbeatMs);
      quiet = (await this.#isSettled(members)) ? quiet + 1 : 0;
    }
  };

  async reopen(): Promise<Fixture> {
    await this.engine.close();
    this.#next = await Fixture.open(this.#prefix);
    return this.#next;
  }

  async dispose(): Promise<void> {
    await (this.#next ? this.#next.dispose() : this.engine.close());
  }

  async #isSettled(members: readonly GroupMember[]): Promise<boolean> {
    for (const group of new Set(members.map((member) => member.group))) {
      const { state, generation } = await this.groups.describeGroup(group);
      const taken = members.filter((member) => member.group === group && !member.signal.aborted);
      if (state !== "stable" || taken.some((member) => member.generation !== generation)) return false;
    }
    return true;
  }
}

/** How many there were when this was written: none is to be lost by oversight. */
const testsMin = 25;

if (missing !== undefined) test("consumer groups on a Kafka cluster", { skip: missing });
else {
  before(async () => {
    kafka = await startKafka();
  });
  after(() => kafka[Symbol.asyncDispose]());

  const count = groupSuite("on a Kafka cluster", () => Fixture.open(), "a broker has a clock of its own");

  test("as many tests run on a cluster as did before", () => {
    assert.ok(count >= testsMin, `${count} tests, not ${testsMin}`);
  });
}
