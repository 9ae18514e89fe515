/**
 * Brokers of a cluster are killed and stopped in turn while the engine writes and reads. What it acknowledged is there once
 * and in order, whole transactions or nothing of them; what it refused for good is not there; its readers have missed nothing.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../src/base/clock.ts";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import { MillraceError } from "../../src/base/errors.ts";
import { systemRandom } from "../../src/base/random.ts";
import { parseBrokerAddresses } from "../../src/engine/cluster/broker-address.ts";
import { openClusterEngine } from "../../src/engine/cluster/cluster-engine.ts";
import { batchOf, request, valuesOf } from "../../src/engine/engine.fixture.ts";
import type { Engine, TransactionalProducer } from "../../src/engine/engine.ts";
import { decodeCommitted, nextOffsetOf } from "../../src/engine/records.ts";
import { type Kafka, kafkaMissing, startKafka } from "../support/kafka.ts";

const isSoak = process.env.MILLRACE_SOAK === "1";
const rounds = isSoak ? 60 : 2;
const downMs = 3_000;
const upMs = 2_000;
const partitions = [0, 1, 2];
const writersPerPartition = 2;

class History {
  readonly #engine: Engine;
  readonly acknowledged = partitions.map(() => new Set<string>());
  readonly unsure = new Set<string>();
  readonly committed = new Set<string>();
  readonly undecided = new Set<string>();
  readonly seen = partitions.map((): string[] => []);
  readonly #stop = new AbortController();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  start(): Promise<unknown> {
    const writers = partitions.flatMap((partition) =>
      Array.from({ length: writersPerPartition }, (_, i) => this.#write(partition, `${partition}.${i}`)),
    );
    const units = ["one", "two"].map((unit) => this.#transact(unit));
    return Promise.all([...writers, ...units, ...partitions.map((partition) => this.#follow(partition))]);
  }

  stop(): void {
    this.#stop.abort();
  }

  get #isStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  async #write(partition: number, writer: string): Promise<void> {
    for (let i = 0; !this.#isStopped; i++) {
      const value = `${writer}-${i}`;
      try {
        await this.#engine.append({ topic: "plain", partition, batch: batchOf(value) });
        this.acknowledged[partition]?.add(value);
      } catch (error) {
        assert.ok(MillraceError.is(error, "CLUSTER_UNREACHABLE"), String(error));
        if (error.details.mayBeThere === true) this.unsure.add(value);
      }
    }
  }

  async #transact(unit: string): Promise<void> {
    let producer: TransactionalProducer | undefined;
    for (let i = 0; !this.#isStopped; i++) {
      const value = `${unit}-${i}`;
      let isEnding = false;
      try {
        producer ??= await this.#engine.initProducer(unit);
        const transaction = producer.begin();
        await Promise.all(
          partitions.map((partition) => transaction.append({ topic: "whole", partition, batch: batchOf(value) })),
        );
        isEnding = true;
        await transaction.commit();
        this.committed.add(value);
      } catch (error) {
        assert.ok(MillraceError.is(error), String(error));
        if (isEnding) this.undecided.add(value);
        producer = undefined;
      }
    }
  }

  async #follow(partition: number): Promise<void> {
    for (let offset = 0; !this.#isStopped; ) {
      const result = await this.#engine.read({ ...request("whole", { partition, offset }), waitMs: 500 });
      for (const { value } of decodeCommitted(result, offset)) this.seen[partition]?.push(String(value));
      offset = nextOffsetOf(result, offset);
    }
  }

  async check(): Promise<void> {
    for (const partition of partitions) {
      const values = await valuesOf(this.#engine, "plain", { partition });
      const there = new Set(values);
      assert.equal(there.size, values.length, "something is there twice");
      for (const value of this.acknowledged[partition] ?? []) assert.ok(there.has(value), `${value} is lost`);
      for (const value of values) {
        assert.ok(this.acknowledged[partition]?.has(value) || this.unsure.has(value), `${value} was refused`);
      }
      for (let i = 0; i < writersPerPartition; i++) assertInOrder(values, `${partition}.${i}-`);
      const whole = await valuesOf(this.#engine, "whole", { partition });
      assert.equal(new Set(whole).size, whole.length, "a transaction is there twice");
      for (const value of this.committed) assert.ok(whole.includes(value), `transaction ${value} is not whole`);
      for (const value of whole) {
        assert.ok(this.committed.has(value) || this.undecided.has(value), `transaction ${value} was not committed`);
      }
      assert.deepEqual(this.seen[partition], whole.slice(0, this.seen[partition]?.length));
    }
    const [first, ...others] = await Promise.all(
      partitions.map(async (partition) => (await valuesOf(this.#engine, "whole", { partition })).sort()),
    );
    for (const other of others) assert.deepEqual(other, first);
  }
}

function assertInOrder(values: readonly string[], prefix: string): void {
  const numbers = values.filter((value) => value.startsWith(prefix)).map((value) => Number(value.slice(prefix.length)));
  assert.deepEqual(
    numbers,
    numbers.toSorted((a, b) => a - b),
  );
}

/** One after the other, by turns without a word and in order. */
async function nemesis({ nodes }: Kafka): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const node = nodes[round % nodes.length] ?? nodes[0];
    await (round % 2 === 0 ? node.kill() : node.stop());
    await systemClock.sleep(downMs);
    await node.start();
    await systemClock.sleep(upMs);
  }
}

test("nothing is lost, doubled or torn while brokers are killed and stopped", {
  skip: kafkaMissing() ?? false,
}, async () => {
  await using kafka = await startKafka({ nodes: 3, heapMegabytes: 400 });
  const engine = await openClusterEngine({
    brokers: parseBrokerAddresses(kafka.bootstrap, "brokers"),
    clock: systemClock,
    random: systemRandom,
    diagnostics: silentDiagnostics,
  });
  for (const topic of ["plain", "whole"]) await engine.createTopic(topic, { partitions: partitions.length });
  const history = new History(engine);
  const work = history.start();
  await nemesis(kafka);
  history.stop();
  await work;
  await history.check();
  assert.ok(history.committed.size > 0 && history.acknowledged.every(({ size }) => size > 0));
  await engine.close();
});
