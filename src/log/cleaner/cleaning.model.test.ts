import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { type Random, seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { batchField, isControl, isTransactional, readBatchHeader } from "../../records/batch-header.ts";
import { codec } from "../../records/compression.ts";
import type { AbortedRange } from "../producer-table.ts";
import type { Cleaning } from "./clean-segments.ts";
import {
  abortedOf,
  batchesOn,
  batchOf,
  clean,
  committedIn,
  markerOf,
  type Put,
  pick,
  shown,
  writeSegment,
} from "./cleaner.fixture.ts";
import { planCleaning } from "./cleaning-plan.ts";
import { OffsetMap } from "./offset-map.ts";

/** `MILLRACE_MODEL_RUNS` runs more; each has its own seed, printed when it fails. */
const runs = Number(process.env.MILLRACE_MODEL_RUNS ?? 12);
const firstSeed = Number(process.env.MILLRACE_TEST_SEED ?? Date.now() % 1_000_000);
const tombstoneRetentionMs = 5000;

interface ModelRecord extends Put {
  readonly offset: number;
  isThere: boolean;
}

interface ModelBatch {
  readonly bytes: Buffer;
  readonly records: ModelRecord[];
  readonly transaction: { state: "open" | "committed" | "aborted" } | undefined;
  horizonMs: number | undefined;
}

/** A history of one partition, and what a naive reading of the rules leaves of it after each cleaning. */
class History {
  readonly random: Random;
  readonly disk: SimulatedDisk;
  readonly batches: ModelBatch[] = [];
  nowMs = 1_000_000;
  nextOffset = 0;
  cleanedTo = 0;
  #active: Buffer[] = [];
  #activeBase = 0;
  #sealed: { baseOffset: number; maxTimestamp: number }[] = [];
  #count = 0;
  readonly #open = new Map<
    number,
    { firstOffset: number; transaction: { state: "open" | "committed" | "aborted" }; epoch: number }
  >();
  readonly #epochs = new Map<number, number>();
  readonly #sequences = new Map<number, number>();
  /** By producer, of its last batch of records. */
  readonly lastBatches = new Map<number, number>();

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.disk = new SimulatedDisk(this.random);
  }

  async append(steps: number): Promise<void> {
    for (let i = 0; i < steps; i++) {
      this.nowMs += this.random.below(100);
      const kind = this.random.below(12);
      if (kind === 0) await this.#roll();
      else if (kind < 3) this.#endTransaction();
      else this.#batch();
    }
  }

  get lastStable(): number {
    return Math.min(this.nextOffset, ...[...this.#open.values()].map(({ firstOffset }) => firstOffset));
  }

  /** The last segment is active, and is not on the disk. */
  plan(settings = { dirtyRatioMin: 0, compactionLagMinMs: 0, compactionLagMaxMs: null }) {
    const segments = [...this.#sealed, { baseOffset: this.#activeBase, maxTimestamp: -1 }].map((segment) => ({
      ...segment,
      sizeBytes: 1000,
      firstTimestamp: -1,
    }));
    const { cleanedTo, lastStable, nowMs } = this;
    return planCleaning({ segments, cleanedTo, lastStable, settings, nowMs });
  }

  isLastBatch = (producerId: number, lastOffset: number): boolean =>
    producerId % 2 === 0 && this.lastBatches.get(producerId) === lastOffset;

  /** What the rules say, without looking at files. */
  applyCleaning(cleanedTo: number): void {
    const latest = new Map<string, number>();
    for (const { records, transaction } of this.batches) {
      if (transaction?.state === "aborted") continue;
      for (const { key, offset } of records) if (key !== null && offset < cleanedTo) latest.set(key, offset);
    }
    for (const batch of this.batches) {
      const horizonPassed = batch.horizonMs !== undefined && this.nowMs >= batch.horizonMs;
      if ((batch.records[0]?.offset ?? cleanedTo) >= cleanedTo) continue;
      for (const record of batch.records) {
        if (batch.transaction?.state === "aborted") record.isThere = false;
        if (record.offset >= cleanedTo) continue;
        if (record.key === null || latest.get(record.key) !== record.offset) record.isThere = false;
        if (record.value === null && horizonPassed) record.isThere = false;
      }
      const keepsTombstone = batch.records.some(({ isThere, value }) => isThere && value === null);
      if (keepsTombstone) batch.horizonMs ??= this.nowMs + tombstoneRetentionMs;
    }
  }

  /** Of what has been written to segments. */
  expected(end: number): string[] {
    const found: string[] = [];
    for (const { records, transaction } of this.batches) {
      if (transaction?.state === "aborted") continue;
      for (const { offset, key, value, isThere } of records)
        if (isThere && offset < end) found.push(`${offset} ${key}=${value}`);
    }
    return found;
  }

  get writtenEnd(): number {
    return this.#activeBase;
  }

  /** Up to here everything is decided by what is in the segments. */
  get writtenStable(): number {
    const open = new Map<number, number>();
    for (const { bytes } of this.batches) {
      const { attributes, producerId, baseOffset } = readBatchHeader(bytes);
      if (baseOffset >= this.writtenEnd) break;
      if (!isTransactional(attributes)) continue;
      if (isControl(attributes)) open.delete(producerId);
      else if (!open.has(producerId)) open.set(producerId, baseOffset);
    }
    return Math.min(this.writtenEnd, ...open.values());
  }

  /** Also of those whose marker is in the active segment. */
  abortedIn = (from: number, end: number): AbortedRange[] =>
    abortedOf(this.batches.map(({ bytes }) => bytes)).filter(
      ({ firstOffset, lastOffset }) => lastOffset >= from && firstOffset < end,
    );

  /** Cleans what is due, and answers up to where. */
  async clean(disk: SimulatedDisk, options: Partial<Cleaning> = {}): Promise<number> {
    const { firstDirtyOffset, cleanableEnd } = this.plan();
    const { cleanedTo } = await clean(disk, {
      end: cleanableEnd,
      firstDirtyOffset,
      lastStable: this.lastStable,
      nowMs: this.nowMs,
      settings: { segmentBytesMax: 3000, tombstoneRetentionMs },
      chunkBytes: 512,
      random: this.random,
      isLastBatch: this.isLastBatch,
      abortedIn: this.abortedIn,
      ...options,
    });
    return cleanedTo;
  }

  #batch(): void {
    const { random } = this;
    const producerId = random.below(6);
    const isPlain = random.below(3) === 0;
    const open = isPlain ? undefined : this.#open.get(producerId);
    const begins = !isPlain && !open && random.below(2) === 0;
    const epoch = (this.#epochs.get(producerId) ?? 0) + (begins ? 1 : 0);
    const transaction = begins ? { state: "open" as const } : open?.transaction;
    if (begins && transaction) this.#open.set(producerId, { firstOffset: this.nextOffset, transaction, epoch });
    if (begins) this.#sequences.set(producerId, 0);
    this.#epochs.set(producerId, epoch);
    const records = Array.from(
      { length: 1 + random.below(5) },
      (_, i): ModelRecord => ({
        key: random.below(40) === 0 ? null : `key ${random.below(random.below(2) === 0 ? 4 : 60)}`,
        value: random.below(4) === 0 ? null : `${this.#count++}`.padEnd(random.below(60), "."),
        timestamp: this.nowMs - random.below(1000),
        offset: this.nextOffset + i,
        isThere: true,
      }),
    );
    const sequence = this.#sequences.get(producerId) ?? 0;
    const codecNumber = random.below(3) === 0 ? pick(random, Object.values(codec)) : codec.none;
    const options = { producerId, epoch, sequence, transactional: transaction !== undefined, codec: codecNumber };
    const bytes = batchOf(this.nextOffset, records, isPlain ? { codec: codecNumber } : options);
    if (!isPlain) {
      this.#sequences.set(producerId, sequence + records.length);
      this.lastBatches.set(producerId, this.nextOffset + records.length - 1);
    }
    this.#add({ bytes, records, transaction, horizonMs: undefined }, records.length);
  }

  #endTransaction(): void {
    const ended = [...this.#open.entries()][this.random.below(this.#open.size + 1)];
    if (!ended) return;
    const [producerId, { transaction, epoch }] = ended;
    transaction.state = this.random.below(2) === 0 ? "committed" : "aborted";
    this.#open.delete(producerId);
    const kind = transaction.state === "committed" ? "commit" : "abort";
    const bytes = markerOf(this.nextOffset, kind, producerId, epoch, this.nowMs);
    this.#add({ bytes, records: [], transaction, horizonMs: undefined }, 1);
  }

  #add(batch: ModelBatch, offsets: number): void {
    this.batches.push(batch);
    this.#active.push(batch.bytes);
    this.nextOffset += offsets;
  }

  async #roll(): Promise<void> {
    if (this.#active.length === 0) return;
    await writeSegment(this.disk, this.#activeBase, this.#active);
    const maxTimestamp = Math.max(...this.#active.map((bytes) => readBatchHeader(bytes).maxTimestamp));
    this.#sealed.push({ baseOffset: this.#activeBase, maxTimestamp });
    this.#active = [];
    this.#activeBase = this.nextOffset;
  }
}

/** Cleans a history several times, and compares what is on the disk with the model after each. */
async function runModel(seed: number, cleanings: number): Promise<void> {
  const history = new History(seed);
  const { random, disk } = history;
  for (let i = 0; i < cleanings; i++) {
    await history.append(20 + random.below(80));
    history.nowMs += random.below(2 * tombstoneRetentionMs);
    const { firstDirtyOffset, cleanableEnd } = history.plan({
      dirtyRatioMin: 0,
      compactionLagMinMs: random.below(2) * 3000,
      compactionLagMaxMs: null,
    });
    assert.ok(cleanableEnd <= history.lastStable);
    if (cleanableEnd === 0) continue;
    const before = await batchesOn(disk, history.writtenEnd);
    const places = pick(random, [16, 40, 10_000]);
    const cleanedTo = await history.clean(disk, {
      cleanableEnd,
      settings: { segmentBytesMax: pick(random, [500, 3000, 100_000]), tombstoneRetentionMs },
      memoryBytesMax: 8 * 512 + places * 20,
    });
    assert.ok(cleanedTo > firstDirtyOffset || cleanedTo === cleanableEnd);
    history.applyCleaning(cleanedTo);
    history.cleanedTo = cleanedTo;
    const after = await batchesOn(disk, history.writtenEnd);
    const stable = history.writtenStable;
    const found = committedIn(after).filter(({ offset }) => offset < stable);
    assert.deepEqual(found.map(shown), history.expected(stable));
    checkBatches(history, before, after, cleanedTo, cleanableEnd);
  }
}

function checkBatches(
  history: History,
  before: Buffer[],
  after: Buffer[],
  cleanedTo: number,
  cleanableEnd: number,
): void {
  const behind = (batch: Buffer) => readBatchHeader(batch).baseOffset >= cleanedTo;
  assert.deepEqual(after.filter(behind), before.filter(behind), "what lies behind the cleaned part changed");
  const originals = new Map(history.batches.map(({ bytes }) => [readBatchHeader(bytes).baseOffset, bytes]));
  const open = new Set<number>();
  for (const batch of after) {
    const header = readBatchHeader(batch);
    const original = readBatchHeader(originals.get(header.baseOffset) as Buffer);
    const same = ["lastOffset", "producerId", "producerEpoch", "baseSequence", "leaderEpoch"] as const;
    for (const field of same) assert.equal(header[field], original[field], field);
    if (!isTransactional(header.attributes)) continue;
    if (isControl(header.attributes)) open.delete(header.producerId);
    else open.add(header.producerId);
  }
  const ended = history.batches.filter(({ bytes }) => readBatchHeader(bytes).baseOffset < history.writtenEnd);
  const reallyOpen = new Set<number>();
  for (const { bytes } of ended) {
    const { attributes, producerId } = readBatchHeader(bytes);
    if (!isTransactional(attributes)) continue;
    if (isControl(attributes)) reallyOpen.delete(producerId);
    else reallyOpen.add(producerId);
  }
  for (const producerId of open)
    assert.ok(reallyOpen.has(producerId), `the marker of producer ${producerId} went too early`);
  const offsets = new Set(after.map((batch) => readBatchHeader(batch).lastOffset));
  for (const [producerId, lastOffset] of history.lastBatches) {
    if (producerId % 2 === 0 && lastOffset < cleanableEnd)
      assert.ok(offsets.has(lastOffset), "a producer's last batch went");
  }
  for (const batch of after) assert.ok(batch.readInt32BE(batchField.recordCount) >= 0);
}

async function runAll(count: number): Promise<void> {
  for (let seed = firstSeed; seed < firstSeed + count; seed++) {
    try {
      await runModel(seed, 6);
    } catch (error) {
      throw new Error(`MILLRACE_TEST_SEED=${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
}

test("after every cleaning a reader finds what a naive reading of the rules leaves", async () => {
  await runAll(runs);
});

test("the model catches a cleaner that drops the newest value of a key", async () => {
  const get = OffsetMap.prototype.get;
  const broken = mock.method(OffsetMap.prototype, "get", function (this: OffsetMap, ...key: Parameters<typeof get>) {
    const offset = get.apply(this, key);
    return offset > 20 ? offset + 1 : offset;
  });
  try {
    await assert.rejects(runAll(3), /MILLRACE_TEST_SEED/);
  } finally {
    broken.mock.restore();
  }
});

test("cleaning again and again without anything new comes to an end", async () => {
  const history = new History(firstSeed);
  await history.append(200);
  const { disk } = history;
  for (let before = -1, i = 0; before !== disk.operations; i++) {
    assert.ok(i < 10, "each cleaning found something to do");
    before = disk.operations;
    history.cleanedTo = await history.clean(disk);
  }
});
