import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { type Random, seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { Engine, Transaction, TransactionalProducer } from "../engine/engine.ts";
import { decodeCommitted, nextOffsetOf } from "../engine/records.ts";
import { encodeBatch } from "../records/batch-builder.ts";

/** `MILLRACE_MODEL_RUNS` runs more; each has its own seed, printed when it fails. */
const runs = Number(process.env.MILLRACE_MODEL_RUNS ?? 8);
const firstSeed = Number(process.env.MILLRACE_TEST_SEED ?? Date.now() % 1_000_000);
const partitions = 3;

interface ModelRecord {
  readonly value: string;
  readonly timestamp: number;
  /** Undefined for a plain append. */
  readonly transaction: { state: "open" | "committed" | "aborted" } | undefined;
}

/** Records and markers of one partition by offset; a marker is null. */
type ModelPartition = (ModelRecord | null)[];

class ModelRun {
  readonly #random: Random;
  readonly #disk: SimulatedDisk;
  readonly #clock = new VirtualClock();
  readonly #model: ModelPartition[] = Array.from({ length: partitions }, () => []);
  #engine: Engine | undefined;
  #producers: TransactionalProducer[] = [];
  #open: { transaction: Transaction; state: { state: "open" | "committed" | "aborted" }; touched: Set<number> }[] = [];
  #count = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.#disk = new SimulatedDisk(this.#random);
  }

  async run(steps: number): Promise<void> {
    await this.#start();
    await this.#alive.createTopic("t", { partitions, segmentBytesMax: 3000 });
    for (let i = 0; i < steps; i++) {
      const kind = this.#random.below(20);
      if (kind === 0) await this.#restart();
      else if (kind < 8) await this.#append();
      else if (kind < 11) await this.#begin();
      else if (kind < 14) await this.#end();
      else if (kind < 16) await this.#findTime();
      else await this.#read();
    }
    await this.#restart();
    for (let partition = 0; partition < partitions; partition++) await this.#readFrom(partition, 0, 1_000_000, true);
    await this.#alive.close();
  }

  get #alive(): Engine {
    return this.#engine as Engine;
  }

  async #start(): Promise<void> {
    this.#engine = await openEmbeddedEngine({
      disk: this.#disk,
      directory: "/log",
      clock: this.#clock,
      random: this.#random,
      diagnostics: silentDiagnostics,
      limits: {
        tailCacheBytes: 1000 * this.#random.below(4),
        checkpointBytes: 5000,
        openFilesMax: 4,
        diskReserveBytes: 0,
      },
    });
    this.#producers = [];
    for (const id of ["one", "two", "three"]) this.#producers.push(await this.#alive.initProducer(id));
    this.#open = [];
  }

  async #restart(): Promise<void> {
    await this.#alive.close();
    // The next start aborts what is open, and writes markers in the order in which the transactions were first seen.
    for (const { state, touched } of this.#open) {
      state.state = "aborted";
      for (const partition of touched) (this.#model[partition] as ModelPartition).push(null);
    }
    await this.#start();
  }

  #batch(transaction: ModelRecord["transaction"]) {
    const records: ModelRecord[] = Array.from({ length: 1 + this.#random.below(4) }, () => ({
      value: `${this.#count++}`.padEnd(this.#random.below(600), "."),
      timestamp: 1000 + this.#random.below(1000),
      transaction,
    }));
    const batch = encodeBatch(
      records.map(({ value, timestamp }) => ({ key: null, value: Buffer.from(value), timestamp })),
      0,
    );
    return { records, request: { topic: "t", partition: this.#random.below(partitions), batch } };
  }

  async #append(): Promise<void> {
    const { records, request } = this.#batch(undefined);
    const model = this.#model[request.partition] as ModelPartition;
    const { baseOffset } = await this.#alive.append(request);
    assert.equal(baseOffset, model.length);
    model.push(...records);
  }

  async #begin(): Promise<void> {
    let at = this.#random.below(this.#open.length + 1);
    if (at === this.#open.length) {
      const producer = this.#producers.pop();
      if (!producer) return;
      this.#open.push({ transaction: producer.begin(), state: { state: "open" }, touched: new Set() });
      at = this.#open.length - 1;
    }
    const open = this.#open[at];
    if (!open) return;
    const { records, request } = this.#batch(open.state);
    const model = this.#model[request.partition] as ModelPartition;
    const { baseOffset } = await open.transaction.append(request);
    assert.equal(baseOffset, model.length);
    model.push(...records);
    open.touched.add(request.partition);
  }

  async #end(): Promise<void> {
    const [open] = this.#open.splice(this.#random.below(this.#open.length + 1), 1);
    if (!open) return;
    if (this.#random.below(3) === 0) {
      open.state.state = "aborted";
      await open.transaction.abort();
    } else {
      open.state.state = "committed";
      await open.transaction.commit();
    }
    for (const partition of open.touched) (this.#model[partition] as ModelPartition).push(null);
  }

  async #findTime(): Promise<void> {
    const partition = this.#random.below(partitions);
    const model = this.#model[partition] as ModelPartition;
    const timestamp = 1000 + this.#random.below(1000);
    const { highWatermark } = this.#alive.offsets("t", partition);
    const found = await this.#alive.offsetForTime("t", partition, timestamp);
    const place = model.findIndex(
      (record, offset) => offset < highWatermark && record !== null && record.timestamp >= timestamp,
    );
    // Markers carry the wall clock, which is later than any record's time here.
    const marker = model.findIndex((record, offset) => offset < highWatermark && record === null);
    const first = Math.min(...[place, marker].filter((offset) => offset >= 0), highWatermark);
    assert.equal(found, first);
  }

  async #read(): Promise<void> {
    const partition = this.#random.below(partitions);
    const { lastStable } = this.#alive.offsets("t", partition);
    await this.#readFrom(
      partition,
      this.#random.below(lastStable + 1),
      1 + this.#random.below(3000),
      this.#random.below(2) === 0,
    );
  }

  async #readFrom(partition: number, from: number, bytesMax: number, toEnd: boolean): Promise<void> {
    const model = this.#model[partition] as ModelPartition;
    const firstOpen = model.findIndex((record) => record?.transaction?.state === "open");
    const { lastStable, highWatermark } = this.#alive.offsets("t", partition);
    assert.equal(lastStable, firstOpen < 0 ? highWatermark : Math.min(firstOpen, highWatermark));
    let offset = from;
    do {
      const result = await this.#alive.read({ topic: "t", partition, offset, isolation: "read_committed", bytesMax });
      const next = nextOffsetOf(result, offset);
      assert.ok(next > offset || offset === lastStable, `nothing at ${offset} below ${lastStable}`);
      const expected = model.slice(offset, next).flatMap((record, i) => {
        const isSeen =
          record !== null && (record.transaction === undefined || record.transaction.state === "committed");
        return isSeen ? [`${offset + i} ${record.value}`] : [];
      });
      const found = decodeCommitted(result, offset).map((record) => `${record.offset} ${record.value}`);
      assert.deepEqual(found, expected);
      offset = next;
    } while (toEnd && offset < lastStable);
  }
}

test("the log does what a list in memory does, over appends, transactions, reads and restarts", async () => {
  for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
    try {
      await new ModelRun(seed).run(150);
    } catch (error) {
      throw new Error(`MILLRACE_TEST_SEED=${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
});
