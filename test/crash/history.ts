/**
 * A short generated history of an engine, run until the power goes, and a model that says what the next start may
 * find. What was acknowledged must be there, whole and in its place; a transaction is there whole or not at all;
 * nothing else is.
 */
import assert from "node:assert/strict";
import { silentDiagnostics } from "../../src/base/diagnostics.ts";
import type { Disk } from "../../src/base/disk.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { VirtualClock } from "../../src/base/virtual-clock.ts";
import { openEmbeddedEngine } from "../../src/engine/embedded/embedded-engine.ts";
import type { Engine, TransactionalProducer } from "../../src/engine/engine.ts";
import { decodeCommitted, nextOffsetOf } from "../../src/engine/records.ts";
import { encodeBatch } from "../../src/records/batch-builder.ts";

export interface Written {
  readonly topic: string;
  readonly partition: number;
  readonly values: readonly string[];
  /** Unknown while the append has not answered. */
  offset?: number;
}

type Fate = "acknowledged" | "unknown" | "never";

/** What stands or falls together: one batch, or a transaction's. */
export interface Act {
  fate: Fate;
  readonly batches: Written[];
}

export interface History {
  /** Topics whose creation was acknowledged, and whether they are being deleted. */
  readonly topics: Map<string, "there" | "doomed" | "deleted">;
  readonly acts: Act[];
}

/** Everything small, so that few operations reach every mechanism. */
const limits = {
  tailCacheBytes: 2000,
  openFilesMax: 3,
  checkpointBytes: 3000,
  diskReserveBytes: 0,
  directBytesMin: 700,
  flushBytes: 900,
  unflushedBytesMax: 1500,
  journalFileBytes: 512 * 9,
  journalFilesMax: 3,
};

/** Every start draws other ids. */
let starts = 0;

export function openOn(disk: Disk): Promise<Engine> {
  const clock = new VirtualClock();
  return openEmbeddedEngine({
    disk,
    directory: "/data/log",
    clock,
    random: seededRandom(++starts),
    diagnostics: silentDiagnostics,
    limits,
  });
}

/** Runs generated steps; returns when they are done or the disk has failed. */
export async function runHistory(disk: Disk, seed: number, steps: number, history: History): Promise<void> {
  const random = seededRandom(seed);
  const runner = new Runner(history, random);
  try {
    await runner.open(disk);
    for (let i = 0; i < steps; i++) await runner.step();
    await runner.close();
  } catch (error) {
    // Only a disk that failed ends a history early; anything else is a bug.
    if (!isOfDisk(error)) throw error;
  }
}

function isOfDisk(error: unknown): boolean {
  const { code } = error as { code?: string };
  return code === "EIO" || code === "PARTITION_FAILED" || code === "LOG_CLOSED";
}

class Runner {
  readonly #history: History;
  readonly #random: Random;
  readonly #producers: TransactionalProducer[] = [];
  #engine: Engine | undefined;
  #names = 0;

  constructor(history: History, random: Random) {
    this.#history = history;
    this.#random = random;
  }

  async open(disk: Disk): Promise<void> {
    const engine = await openOn(disk);
    this.#engine = engine;
    await this.#createTopic();
    await this.#createTopic();
    for (const id of ["one", "two"]) this.#producers.push(await engine.initProducer(id));
  }

  async close(): Promise<void> {
    await this.#deleteTopic();
    await this.#append();
    await this.#engine?.close();
  }

  async step(): Promise<void> {
    const kind = this.#random.below(12);
    if (kind === 0) await this.#createTopic();
    else if (kind === 1) await this.#takeOver();
    else if (kind < 6) await this.#appendSeveral();
    else if (kind < 8) await Promise.all([this.#transaction(0), this.#transaction(1), this.#append()]);
    else await this.#transaction(this.#random.below(2));
  }

  async #createTopic(): Promise<void> {
    const name = `topic-${this.#history.topics.size}`;
    await this.#alive.createTopic(name, { partitions: 2, segmentBytesMax: 1200 });
    this.#history.topics.set(name, "there");
  }

  async #deleteTopic(): Promise<void> {
    const name = this.#someTopic();
    this.#history.topics.set(name, "doomed");
    await this.#alive.deleteTopic(name);
    this.#history.topics.set(name, "deleted");
  }

  #topics(): string[] {
    return [...this.#history.topics].flatMap(([name, state]) => (state === "there" ? [name] : []));
  }

  #someTopic(): string {
    const topics = this.#topics();
    return topics[this.#random.below(topics.length)] as string;
  }

  async #takeOver(): Promise<void> {
    const place = this.#random.below(2);
    const old = this.#producers[place] as TransactionalProducer;
    const act: Act = { fate: "never", batches: [] };
    this.#history.acts.push(act);
    const transaction = old.begin();
    const batch = this.#newBatch(act);
    await transaction.append(batch.request);
    this.#producers[place] = await this.#alive.initProducer(old.transactionalId);
  }

  async #appendSeveral(): Promise<void> {
    await Promise.all(Array.from({ length: 1 + this.#random.below(4) }, () => this.#append()));
  }

  async #append(): Promise<void> {
    const act: Act = { fate: "unknown", batches: [] };
    this.#history.acts.push(act);
    const { written, request } = this.#newBatch(act);
    written.offset = (await this.#alive.append(request)).baseOffset;
    act.fate = "acknowledged";
  }

  async #transaction(place: number): Promise<void> {
    const transaction = (this.#producers[place] as TransactionalProducer).begin();
    const aborts = this.#random.below(4) === 0;
    const act: Act = { fate: "never", batches: [] };
    this.#history.acts.push(act);
    for (let i = 0; i < 1 + this.#random.below(4); i++) {
      const { written, request } = this.#newBatch(act);
      written.offset = (await transaction.append(request)).baseOffset;
    }
    if (aborts) return transaction.abort();
    act.fate = "unknown";
    await transaction.commit();
    act.fate = "acknowledged";
  }

  #newBatch(act: Act) {
    const topic = this.#someTopic();
    const partition = this.#random.below(2);
    const values = Array.from({ length: 1 + this.#random.below(3) }, () =>
      `${this.#names++}`.padEnd(5 + this.#random.below(400), "."),
    );
    const written: Written = { topic, partition, values };
    act.batches.push(written);
    const batch = encodeBatch(
      values.map((value) => ({ key: null, value: Buffer.from(value) })),
      0,
    );
    return { written, request: { topic, partition, batch } };
  }

  get #alive(): Engine {
    return this.#engine as Engine;
  }
}

/** By `<topic>/<partition>`: the values that a read_committed reader sees, by offset. */
export type Seen = ReadonlyMap<string, ReadonlyMap<number, string>>;

export async function readEverything(engine: Engine): Promise<Seen> {
  const seen = new Map<string, Map<number, string>>();
  for (const { name, settings } of engine.topics()) {
    if (name.startsWith("_millrace.")) continue;
    for (let partition = 0; partition < settings.partitions; partition++) {
      const values = new Map<number, string>();
      const { lastStable } = await engine.offsets(name, partition);
      for (let offset = 0; offset < lastStable; ) {
        const result = await engine.read({
          topic: name,
          partition,
          offset,
          isolation: "read_committed",
          bytesMax: 500,
        });
        assert.ok(
          result.batches.length > 0,
          `nothing to read at ${offset} of ${name}/${partition} below ${lastStable}`,
        );
        for (const record of decodeCommitted(result, offset)) values.set(record.offset, String(record.value));
        offset = nextOffsetOf(result, offset);
      }
      seen.set(`${name}/${partition}`, values);
    }
  }
  return seen;
}

/** The model: what may and must be seen after this history. */
export function assertPossible(history: History, engine: Engine, seen: Seen): void {
  for (const [topic, state] of history.topics) {
    if (state === "there") assert.ok(engine.topic(topic), `topic ${topic} was acknowledged and is gone`);
    if (state === "deleted") assert.ok(!engine.topic(topic), `topic ${topic} was deleted and is there`);
  }
  const unexplained = new Set<string>();
  for (const values of seen.values()) {
    for (const value of values.values()) {
      assert.ok(!unexplained.has(value), `${value} is there twice`);
      unexplained.add(value);
    }
  }
  for (const act of history.acts) {
    const kept = act.batches.filter(({ topic }) => engine.topic(topic));
    const found = kept.map((batch) => isThere(batch, seen));
    const all = found.every(Boolean);
    assert.ok(all || !found.some(Boolean), `half of a transaction is there: ${JSON.stringify(act)}`);
    if (act.fate === "acknowledged") assert.ok(all, `acknowledged and gone: ${JSON.stringify(act)}`);
    if (act.fate === "never" && kept.length > 0) assert.ok(!all, `never committed and there: ${JSON.stringify(act)}`);
    if (all) for (const { values } of act.batches) for (const value of values) unexplained.delete(value);
  }
  assert.deepEqual([...unexplained], [], "values that nobody wrote, or parts of batches");
}

/** Whole, in order, and where the append said. */
function isThere({ topic, partition, values, offset }: Written, seen: Seen): boolean {
  const found = seen.get(`${topic}/${partition}`);
  if (!found) return false;
  const start = offset ?? [...found].find(([, value]) => value === values[0])?.[0];
  return start !== undefined && values.every((value, i) => found.get(start + i) === value);
}
