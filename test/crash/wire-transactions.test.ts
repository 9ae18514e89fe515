/**
 * Clients behind a protocol whose broker loses its power after every disk operation of a short history: each goes on where it was
 * not answered, with the same request, until it is through. What is readable then is what it committed, each record once.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../src/base/random.ts";
import { SimulatedDisk } from "../../src/base/simulated-disk.ts";
import { nextTurn } from "../../src/base/turn.ts";
import type { Engine, ProducerIdentity, TransactionVersion } from "../../src/engine/engine.ts";
import { encodeBatch } from "../../src/records/batch-builder.ts";
import { stampTransaction } from "../../src/records/batch-header.ts";
import { openOn, readEverything } from "./history.ts";

const partitions = 2;
const transactions = [
  ["commit", "a", "b", "c"],
  ["abort", "d", "e"],
  ["commit", "f"],
  ["commit", "g", "h".padEnd(900, ".")],
] as const;

/** One request at a time; `next` counts those that were answered. */
class Client {
  readonly #id: string;
  readonly #version: TransactionVersion;
  readonly #requests: ((engine: Engine) => Promise<void>)[] = [];
  #producer: ProducerIdentity = { producerId: -1, epoch: -1 };
  #sequences: number[] = [];
  #next = 0;

  constructor(id: string, version: TransactionVersion) {
    this.#id = id;
    this.#version = version;
    this.#requests.push(async (engine) => {
      this.#producer = await engine.transactions.init(id, null);
      this.#sequences = Array(partitions).fill(0);
    });
    for (const [outcome, ...values] of transactions) {
      if (version === 1) this.#requests.push((engine) => this.#add(engine));
      for (const [i, value] of values.entries()) {
        this.#requests.push((engine) => this.#send(engine, value, i % partitions));
      }
      this.#requests.push((engine) => this.#end(engine, outcome));
    }
  }

  get isThrough(): boolean {
    return this.#next === this.#requests.length;
  }

  /** Until it is through, or the disk has failed. */
  async run(engine: Engine): Promise<void> {
    while (!this.isThrough) {
      await this.#requests[this.#next]?.(engine);
      this.#next++;
    }
  }

  expected(partition: number): string[] {
    return transactions.flatMap(([outcome, ...values]) => {
      if (outcome === "abort") return [];
      return values.filter((_, i) => i % partitions === partition).map((value) => `${this.#id} ${value}`);
    });
  }

  async #add(engine: Engine): Promise<void> {
    const places = Array.from({ length: partitions }, (_, partition) => ({ topic: "t", partition }));
    await engine.transactions.addPartitions(this.#id, this.#producer, places);
  }

  async #send(engine: Engine, value: string, partition: number): Promise<void> {
    const batch = encodeBatch([{ key: null, value: Buffer.from(`${this.#id} ${value}`) }], 0);
    const sequence = this.#sequences[partition] ?? 0;
    stampTransaction(batch, this.#producer.producerId, this.#producer.epoch, sequence);
    await engine.append({ topic: "t", partition, batch, transactionVersion: this.#version });
    this.#sequences[partition] = sequence + 1;
  }

  async #end(engine: Engine, outcome: "commit" | "abort"): Promise<void> {
    const transactionVersion = this.#version;
    const next = await engine.transactions.end(this.#id, this.#producer, outcome, { transactionVersion });
    if (next.epoch !== this.#producer.epoch) this.#sequences = Array(partitions).fill(0);
    this.#producer = next;
  }
}

async function runBoth(engine: Engine, clients: readonly Client[]): Promise<void> {
  const outcomes = await Promise.allSettled(clients.map((client) => client.run(engine)));
  for (const outcome of outcomes) {
    if (outcome.status === "fulfilled") continue;
    const { code } = outcome.reason as { code?: string };
    if (code !== "EIO" && code !== "PARTITION_FAILED" && code !== "LOG_CLOSED") throw outcome.reason;
  }
}

/** Answers how many disk operations it took. */
async function cutOnce(operations: number): Promise<number> {
  const random = seededRandom(operations + 1);
  const first = new SimulatedDisk(random);
  const before = await openOn(first);
  await before.createTopic("t", { partitions, segmentBytesMax: 1200 });
  const clients = [new Client("older", 1), new Client("newer", 2)];
  const from = first.operations;
  first.cutAfter(from + operations);
  await runBoth(before, clients);
  const took = first.operations - from;
  let disk = random.below(4) === 0 ? first.afterKill() : first.survivor();
  if (random.below(2) === 0) {
    disk.cutAfter(random.below(30));
    await openOn(disk).catch(() => undefined);
    disk = disk.survivor();
  }
  const engine = await openOn(disk);
  await runBoth(engine, clients);
  assert.ok(clients.every(({ isThrough }) => isThrough));
  const seen = await readEverything(engine);
  for (let partition = 0; partition < partitions; partition++) {
    const { lastStable, highWatermark } = await engine.offsets("t", partition);
    assert.equal(lastStable, highWatermark);
    const values = [...(seen.get(`t/${partition}`)?.values() ?? [])];
    for (const client of clients) {
      const expected = client.expected(partition);
      const own = values.filter((value) => value.startsWith(expected[0]?.slice(0, 6) ?? ""));
      assert.deepEqual(own, expected);
    }
    assert.equal(values.length, clients.flatMap((client) => client.expected(partition)).length);
  }
  await engine.close();
  await nextTurn();
  return took;
}

test("clients go on over a power cut at any disk operation, and what they commit is there once and whole", async () => {
  const operations = await cutOnce(Number.POSITIVE_INFINITY);
  assert.ok(operations > 20);
  for (let n = 0; n <= operations; n++) {
    try {
      await cutOnce(n);
    } catch (error) {
      throw new Error(`power cut after operation ${n}: ${(error as Error).message}`, { cause: error });
    }
  }
});
