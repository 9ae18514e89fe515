import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { attributeMask } from "../records/batch-header.ts";
import type { ProducerBatch, ProducerDecision, TransactionVersion } from "./producer.ts";
import { batch, marker, maxSequence, sequences } from "./producer-batch.fixture.ts";
import { decodeProducerSnapshot, encodeProducerSnapshot } from "./producer-snapshot.ts";
import { ProducerTable } from "./producer-table.ts";

/** `MILLRACE_MODEL_RUNS` runs more. */
const runs = 40 * Number(process.env.MILLRACE_MODEL_RUNS ?? 8);
const seed = Number(process.env.MILLRACE_TEST_SEED ?? Date.now() % 1_000_000);
console.log(`producer table model: seed ${seed}`);

/** All that ever happened to one producer, looked through anew for every question. */
interface Event {
  readonly kind: "batch" | "marker";
  readonly batch: ProducerBatch;
  readonly atMs: number;
}

class Model {
  readonly events = new Map<number, Event[]>();
  readonly seen = new Map<number, number>();
  readonly #countMax: number;
  #order = 0;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  add(kind: Event["kind"], added: ProducerBatch, atMs: number): void {
    const { producerId } = added;
    while (!this.events.has(producerId) && this.events.size >= this.#countMax) {
      const idle = [...this.events.keys()].filter((id) => !this.open(id));
      const [least] = idle.sort((a, b) => (this.seen.get(a) ?? 0) - (this.seen.get(b) ?? 0));
      if (least === undefined) break;
      this.events.delete(least);
    }
    this.events.set(producerId, [...(this.events.get(producerId) ?? []), { kind, batch: added, atMs }]);
    this.seen.set(producerId, this.#order++);
  }

  epoch(id: number): number {
    return Math.max(-1, ...(this.events.get(id) ?? []).map((event) => event.batch.producerEpoch));
  }

  /** Batches of the epoch known now. */
  batches(id: number): ProducerBatch[] {
    const epoch = this.epoch(id);
    const all = (this.events.get(id) ?? []).filter((event) => event.kind === "batch");
    return all.map((event) => event.batch).filter((each) => each.producerEpoch === epoch && each.baseSequence >= 0);
  }

  open(id: number, before = Number.POSITIVE_INFINITY): Event | undefined {
    const all = (this.events.get(id) ?? []).slice(0, before);
    const from = all.findLastIndex((event) => event.kind === "marker") + 1;
    return all.slice(from).find((event) => (event.batch.attributes & attributeMask.transactional) !== 0);
  }

  endedEpoch(id: number): number {
    const all = this.events.get(id) ?? [];
    const ended = all.flatMap((event, i) => (event.kind === "marker" ? (this.open(id, i) ?? []) : []));
    return ended.at(-1)?.batch.producerEpoch ?? -1;
  }

  decide(asked: ProducerBatch, nextOffset: number, version: TransactionVersion, isNumbered: boolean): string {
    const { producerId: id, producerEpoch, baseSequence } = asked;
    const transactional = (asked.attributes & attributeMask.transactional) !== 0;
    const last = (each: ProducerBatch) => (each.baseSequence + each.lastOffset - each.baseOffset) % sequences;
    if (!this.events.has(id)) {
      const free = nextOffset > 0 && !(transactional && version === 2);
      if (isNumbered && baseSequence !== 0 && !free) return "out-of-order 0";
      return [...this.events.keys()].filter((each) => this.open(each)).length >= this.#countMax ? "full" : "append";
    }
    const epoch = this.epoch(id);
    const batches = this.batches(id);
    if (producerEpoch < epoch) return `fenced ${epoch}`;
    const same = batches.slice(-5).filter((each) => each.baseSequence === baseSequence && last(each) === last(asked));
    const duplicate = isNumbered && producerEpoch === epoch ? same.at(-1) : undefined;
    if (duplicate) return `duplicate ${duplicate.baseOffset} ${duplicate.lastOffset}`;
    if (version === 2 && transactional && producerEpoch <= this.endedEpoch(id)) return `fenced ${epoch}`;
    const previous = producerEpoch === epoch ? batches.at(-1) : undefined;
    const expected = previous ? (last(previous) + 1) % sequences : 0;
    const isForgotten = !previous && producerEpoch === epoch && !(version === 2 && transactional);
    if (isNumbered && baseSequence !== expected && !isForgotten) return `out-of-order ${expected}`;
    const open = this.open(id);
    if (!open || (transactional && producerEpoch === open.batch.producerEpoch)) return "append";
    return `invalid-transaction-state ${open.batch.baseOffset}`;
  }

  expire(nowMs: number, olderThanMs: number): void {
    for (const [id, all] of this.events) {
      if (!this.open(id) && nowMs - (all.at(-1) as Event).atMs >= olderThanMs) this.events.delete(id);
    }
  }
}

function printed(decision: ProducerDecision): string {
  const { outcome, ...rest } = decision;
  const { timestamp: _, ...shown } = rest as Record<string, number>;
  return [outcome, ...Object.values(shown)].join(" ");
}

const place = { topicId: "0b8e6a38-7a52-4c4e-9b0e-3d0f5a1c2b4d", partition: 3 };

const operation = fc.record({
  kind: fc.constantFrom("batch", "batch", "batch", "batch", "repeat", "commit", "abort", "expire", "restart"),
  producerId: fc.constantFrom(0, 0, 0, 0, 1, 2, 3),
  /** Relative to the epoch that is known. */
  epochStep: fc.constantFrom(...Array(16).fill(0), 1, 1, -1, 2),
  /** Relative to the sequence that is expected. */
  sequenceStep: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 1, -1, 3),
  startsLate: fc.boolean(),
  count: fc.integer({ min: 1, max: 4 }),
  /** Which of the last batches is sent again. */
  back: fc.integer({ min: 1, max: 7 }),
  transactional: fc.boolean(),
  /** A coordinator's batches are not, and transactional. */
  isNumbered: fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
  version: fc.constantFrom<TransactionVersion>(1, 2),
  /** Takes in what was not decided to be appended, as reading back would. */
  forced: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  afterMs: fc.nat(100),
});

test("the table does what looking through all batches ever seen does", () => {
  const outcomes = new Set<string>();
  fc.assert(
    fc.property(
      fc.array(operation, { maxLength: 80, size: "max" }),
      fc.constantFrom(2, 3, 100),
      (operations, countMax) => {
        let table = new ProducerTable(countMax);
        const model = new Model(countMax);
        let nextOffset = 0;
        let nowMs = 0;
        for (const { kind, producerId, count, version, isNumbered, forced, afterMs, ...steps } of operations) {
          const transactional = steps.transactional || !isNumbered;
          nowMs += afterMs;
          const epoch = model.epoch(producerId);
          const producerEpoch = Math.max(0, Math.max(0, epoch) + steps.epochStep);
          const previous = producerEpoch === epoch ? model.batches(producerId) : [];
          const last = previous.at(-1);
          const start = steps.startsLate && !model.events.has(producerId) ? maxSequence - 2 : 0;
          const expected = last ? last.baseSequence + last.lastOffset - last.baseOffset + 1 : start;
          const baseSequence = (expected + steps.sequenceStep + sequences) % sequences;
          const repeated = kind === "repeat" ? previous[Math.max(0, previous.length - steps.back)] : undefined;
          const common = { producerId, producerEpoch, baseOffset: nextOffset, maxTimestamp: nowMs };
          if (kind === "batch" || kind === "repeat") {
            const added = batch({
              ...common,
              transactional,
              baseSequence: isNumbered ? (repeated?.baseSequence ?? baseSequence) : -1,
              count: repeated ? repeated.lastOffset - repeated.baseOffset + 1 : count,
            });
            const decision = table.decide(added, nextOffset, version, isNumbered);
            assert.equal(printed(decision), model.decide(added, nextOffset, version, isNumbered));
            outcomes.add(decision.outcome);
            if (decision.outcome !== "append" && !forced) continue;
            table.apply(added, nowMs);
            model.add("batch", added, nowMs);
            nextOffset += added.lastOffset - added.baseOffset + 1;
          } else if (kind === "commit" || kind === "abort") {
            const open = model.open(producerId);
            const range = table.marker(kind, marker(common), nowMs);
            const firstOffset = open?.batch.baseOffset;
            const isAborted = open !== undefined && kind === "abort";
            const expectedRange = isAborted ? { producerId, firstOffset, lastOffset: nextOffset } : undefined;
            assert.deepEqual(range, expectedRange);
            model.add("marker", marker(common), nowMs);
            nextOffset++;
          } else if (kind === "expire") {
            table.expire(nowMs, 300);
            model.expire(nowMs, 300);
          } else {
            const bytes = encodeProducerSnapshot(place, { offset: nextOffset, table });
            const again = decodeProducerSnapshot(bytes, place, "x", countMax);
            assert.equal(again?.offset, nextOffset);
            assert.deepEqual([...again.table.states()], [...table.states()]);
            table = again.table;
          }
          compare(table, model, nextOffset);
        }
      },
    ),
    { seed, numRuns: runs },
  );
  assert.deepEqual([...outcomes].sort(), [
    "append",
    "duplicate",
    "fenced",
    "full",
    "invalid-transaction-state",
    "out-of-order",
  ]);
});

function compare(table: ProducerTable, model: Model, nextOffset: number): void {
  const ids = [...model.events.keys()].sort();
  assert.deepEqual(
    table
      .describe()
      .map(({ producerId }) => producerId)
      .sort(),
    ids,
  );
  const open = ids.flatMap((producerId) => {
    const event = model.open(producerId);
    if (!event) return [];
    const { producerEpoch: epoch, baseOffset: firstOffset } = event.batch;
    return [{ producerId, epoch, firstOffset, startedMs: event.atMs }];
  });
  open.sort((a, b) => a.firstOffset - b.firstOffset);
  assert.deepEqual(table.openTransactions(), open);
  assert.equal(table.firstOpenOffset(), open[0]?.firstOffset ?? Number.POSITIVE_INFINITY);
  for (const { producerId, epoch, lastSequence, currentTransactionStartOffset } of table.describe()) {
    const last = model.batches(producerId).at(-1);
    const lastEvent = model.events.get(producerId)?.at(-1);
    assert.equal(epoch, model.epoch(producerId));
    const expected = last ? (last.baseSequence + last.lastOffset - last.baseOffset) % sequences : -1;
    assert.equal(lastSequence, expected);
    assert.equal(currentTransactionStartOffset, model.open(producerId)?.batch.baseOffset ?? -1);
    const needed = last?.lastOffset ?? lastEvent?.batch.lastOffset;
    for (let offset = Math.max(0, nextOffset - 8); offset < nextOffset; offset++) {
      assert.equal(table.isLastBatch(producerId, offset), offset === needed);
    }
  }
}
