/**
 * Random commits, transactions, removals and restarts, on the real log and on a list in memory in which the last write of
 * a key that counts is the one that holds.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../../base/diagnostics.ts";
import { type Random, seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { type EmbeddedEngine, openEmbeddedEngine } from "../../engine/embedded/embedded-engine.ts";
import type { Transaction } from "../../engine/engine.ts";
import { OffsetStore } from "./offset-store.ts";

/** `MILLRACE_TEST_RUNS` runs more histories. */
const runs = 10 * Number(process.env.MILLRACE_TEST_RUNS ?? 1);
const steps = 40;
const groups = ["a", "b", "c"];
const partitions = 3;
/** Small files, so that a start costs little. */
const limits = { journalFileBytes: 64 * 1024, diskReserveBytes: 0 };

interface Write {
  readonly group: string;
  readonly partition: number;
  /** Null removes. */
  readonly offset: number | null;
  /** The transaction that it belongs to. */
  readonly transaction: Transaction | undefined;
}

class Model {
  readonly random: Random;
  readonly clock = new VirtualClock();
  readonly disk: SimulatedDisk;
  /** What was not aborted, in the order of the log. */
  writes: Write[] = [];
  readonly open: (Transaction | undefined)[] = [undefined, undefined];
  engine!: EmbeddedEngine;
  store!: OffsetStore;
  #offsets = 0;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.disk = new SimulatedDisk(seededRandom(seed));
  }

  async start(): Promise<void> {
    const { disk, clock } = this;
    const random = seededRandom(9);
    this.engine = await openEmbeddedEngine({
      disk,
      directory: "/log",
      clock,
      random,
      diagnostics: silentDiagnostics,
      limits,
    });
    this.store = new OffsetStore({ log: this.engine, clock, diagnostics: silentDiagnostics });
  }

  async step(): Promise<void> {
    const group = groups[this.random.below(groups.length)] as string;
    const place = this.random.below(2);
    const transaction = this.open[place];
    const kind = this.random.below(12);
    if (kind === 0) await this.restart();
    else if (kind === 1) await this.deleteGroup(group);
    else if (kind === 2) await this.deleteOffset(group);
    else if (kind < 6) await this.store.commit(group, this.some(group, undefined));
    else if (!transaction) this.open[place] = (await this.engine.initProducer(`${place}`)).begin();
    else if (kind < 10) await this.store.commitIn(transaction, group, this.some(group, transaction));
    else await this.end(place, transaction);
  }

  some(group: string, transaction: Transaction | undefined) {
    const first = this.random.below(partitions);
    const wanted = this.random.below(2) === 0 ? [first] : [first, (first + 1) % partitions];
    return wanted.map((partition) => {
      const offset = this.#offsets++;
      this.writes.push({ group, partition, offset, transaction });
      return { topic: "t", partition, offset };
    });
  }

  async end(place: number, transaction: Transaction): Promise<void> {
    this.open[place] = undefined;
    if (this.random.below(2) === 0) {
      await transaction.abort();
      this.writes = this.writes.filter((write) => write.transaction !== transaction);
    } else {
      await transaction.commit();
      this.writes = this.writes.map((write) =>
        write.transaction === transaction ? { ...write, transaction: undefined } : write,
      );
    }
  }

  async restart(): Promise<void> {
    await this.engine.close();
    this.writes = this.writes.filter(({ transaction }) => transaction === undefined);
    this.open.fill(undefined);
    await this.start();
  }

  async deleteGroup(group: string): Promise<void> {
    if (!(await this.store.group(group))) return;
    await this.store.deleteGroup(group);
    for (let partition = 0; partition < partitions; partition++) this.remove(group, partition);
  }

  async deleteOffset(group: string): Promise<void> {
    if (!(await this.store.group(group))) return;
    const partition = this.random.below(partitions);
    const [before] = await this.store.fetch(group, [{ topic: "t", partition }]);
    await this.store.deleteOffsets(group, [{ topic: "t", partition }]);
    if (before?.committed || before?.isUnstable) this.remove(group, partition);
  }

  remove(group: string, partition: number): void {
    this.writes.push({ group, partition, offset: null, transaction: undefined });
  }

  expected(group: string): string[] {
    const all: string[] = [];
    for (let partition = 0; partition < partitions; partition++) {
      const writes = this.writes.filter((write) => write.group === group && write.partition === partition);
      const last = writes.findLastIndex(({ transaction }) => transaction === undefined);
      const isUnstable = writes.slice(last + 1).length > 0;
      const offset = writes[last]?.offset ?? null;
      if (offset !== null || isUnstable) all.push(`${partition}: ${offset}${isUnstable ? " unstable" : ""}`);
    }
    return all;
  }

  async check(): Promise<void> {
    for (const group of groups) {
      const fetched = await this.store.fetch(group);
      const seen = fetched.map(({ partition, committed, isUnstable }) => {
        return `${partition}: ${committed?.offset ?? null}${isUnstable ? " unstable" : ""}`;
      });
      assert.deepEqual(seen.sort(), this.expected(group));
    }
  }
}

test("offsets are what the last write that counts says, whatever happens in between", async () => {
  const firstSeed = Number(process.env.MILLRACE_TEST_SEED ?? 1);
  for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
    try {
      const model = new Model(seed);
      await model.start();
      await model.engine.createTopic("t", { partitions });
      for (let i = 0; i < steps; i++) {
        await model.step();
        await model.check();
      }
      await model.restart();
      await model.check();
      await model.engine.close();
    } catch (cause) {
      throw new Error(`seed ${seed}`, { cause });
    }
  }
});
