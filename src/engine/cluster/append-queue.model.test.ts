/**
 * The queue against a partition that follows Kafka's rules for producers, over a network that loses requests and answers:
 * whatever happens, what was acknowledged is there once, in the order of the calls, and what was refused is not there.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../../base/errors.ts";
import { type Random, seededRandom } from "../../base/random.ts";
import { kafkaErrors } from "../../kafka/kafka-errors.ts";
import { encodeBatch } from "../../records/batch-builder.ts";
import { readBatchHeader } from "../../records/batch-header.ts";
import { type AppendAnswer, AppendQueue } from "./append-queue.ts";
import { KafkaError } from "./kafka-error.ts";

/** `MILLRACE_MODEL_RUNS` runs more. */
const runs = 40 * Number(process.env.MILLRACE_MODEL_RUNS ?? 8);
const seed = Number(process.env.MILLRACE_TEST_SEED ?? Date.now() % 1_000_000);
console.log(`append queue model: seed ${seed}`);

/** Of one producer at a time, as `ProducerAppendInfo` has it; it remembers five batches. */
class ModelPartition {
  readonly batches: number[] = [];
  #producerId = -1;
  #epoch = -1;
  #next = 0;
  #last: { sequence: number; count: number; offset: number }[] = [];
  #endOffset = 0;

  append(batch: Buffer, value: number): AppendAnswer {
    const { producerId, producerEpoch, baseSequence, recordCount } = readBatchHeader(batch);
    const isNew = producerId !== this.#producerId || producerEpoch > this.#epoch;
    if (!isNew && producerEpoch < this.#epoch) return refusal("INVALID_PRODUCER_EPOCH");
    if (!isNew) {
      const known = this.#last.find(({ sequence, count }) => sequence === baseSequence && count === recordCount);
      if (known) return placed(known.offset);
    }
    // Of a producer that it does not know it takes any sequence.
    const isUnknown = producerId !== this.#producerId;
    if (!isUnknown && baseSequence !== (isNew ? 0 : this.#next)) return refusal("OUT_OF_ORDER_SEQUENCE_NUMBER");
    if (isNew) this.#last = [];
    this.#producerId = producerId;
    this.#epoch = producerEpoch;
    this.#next = baseSequence + recordCount;
    const offset = this.#endOffset;
    this.#endOffset += recordCount;
    this.#last = [...this.#last, { sequence: baseSequence, count: recordCount, offset }].slice(-5);
    this.batches.push(value);
    return placed(offset);
  }
}

function placed(baseOffset: number): AppendAnswer {
  return { kind: "placed", placed: { baseOffset, appendTimeMs: -1 } };
}

function refusal(name: keyof typeof kafkaErrors): AppendAnswer {
  return { kind: "refused", error: new KafkaError(kafkaErrors[name], "appending") };
}

interface OnItsWay {
  readonly taken: object;
  readonly value: number;
  /** Known when the partition has seen it. */
  answer?: AppendAnswer;
}

type Outcome = { readonly kind: "placed" } | { readonly kind: "refused"; readonly mayBeThere: boolean };

class World {
  readonly partition = new ModelPartition();
  readonly queue = new AppendQueue({ topic: "t", topicId: "id", partition: 0 }, "own", null);
  readonly outcomes = new Map<number, Outcome>();
  readonly #random: Random;
  readonly #values = new Map<Buffer, number>();
  #onItsWay: OnItsWay[] = [];
  #given = 0;
  #producers = 0;
  #nowMs = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  add(): void {
    const value = this.#given++;
    const records = Array.from({ length: 1 + this.#random.below(3) }, () => ({ key: null, value: Buffer.from("v") }));
    const batch = encodeBatch(records, 0);
    this.#values.set(batch, value);
    this.queue.add({
      batch,
      endMs: this.#nowMs + 20,
      resolve: () => this.outcomes.set(value, { kind: "placed" }),
      reject: (error) => {
        this.outcomes.set(value, { kind: "refused", mayBeThere: isUnsure(error) });
      },
    });
  }

  /** As many as the queue gives. */
  send(): void {
    if (this.queue.wantsProducer) this.queue.identify({ producerId: ++this.#producers, epoch: 0 });
    for (let taken = this.queue.take(1); taken; taken = this.queue.take(1)) {
      this.#onItsWay.push({ taken, value: this.#values.get(this.queue.bytesOf(taken)) as number });
    }
  }

  /** The partition sees the next one. */
  arrive(): void {
    const next = this.#onItsWay.find(({ answer }) => answer === undefined);
    if (!next) return;
    const batch = this.queue.bytesOf(next.taken);
    const luck = this.#random.next();
    if (luck < 0.1) next.answer = refusal("NOT_LEADER_OR_FOLLOWER");
    else if (luck < 0.15) next.answer = refusal("INVALID_RECORD");
    else if (luck < 0.2) {
      const answer = this.partition.append(batch, next.value);
      next.answer = answer.kind === "placed" ? refusal("NOT_ENOUGH_REPLICAS_AFTER_APPEND") : answer;
    } else if (luck < 0.22) {
      const answer = this.partition.append(batch, next.value);
      next.answer = answer.kind === "placed" ? refusal("UNKNOWN_SERVER_ERROR") : answer;
    } else next.answer = this.partition.append(batch, next.value);
  }

  answer(): void {
    const first = this.#onItsWay[0];
    if (first?.answer === undefined) return;
    this.#onItsWay.shift();
    this.queue.settle(first.taken, first.answer);
  }

  /** The connection breaks; some of what is on its way arrives all the same. */
  lose(): void {
    const lost = this.#onItsWay;
    const arriving = this.#random.below(lost.length + 1);
    for (const one of lost.slice(0, arriving)) {
      if (one.answer === undefined) this.partition.append(this.queue.bytesOf(one.taken), one.value);
    }
    this.#onItsWay = [];
    for (const { taken } of lost) this.queue.settle(taken, { kind: "lost", error: new Error("lost") });
  }

  wait(): void {
    this.#nowMs += 5;
    this.queue.expire(this.#nowMs);
  }

  finish(): void {
    for (let turns = 0; !this.queue.isIdle && turns < 10_000; turns++) {
      this.send();
      this.arrive();
      this.answer();
    }
    assert.ok(this.queue.isIdle, "it does not come to an end");
  }
}

function isUnsure(error: unknown): boolean {
  return MillraceError.is(error) && error.details.mayBeThere === true;
}

function check({ partition, outcomes }: World): void {
  const { batches } = partition;
  assert.equal(new Set(batches).size, batches.length, `doubled: ${batches}`);
  const there = new Set(batches);
  for (const [value, outcome] of outcomes) {
    if (outcome.kind === "placed") assert.ok(there.has(value), `${value} was acknowledged and is not there`);
    else if (!outcome.mayBeThere) assert.ok(!there.has(value), `${value} was refused for good and is there`);
  }
  const acknowledged = batches.filter((value) => outcomes.get(value)?.kind === "placed");
  assert.deepEqual(
    acknowledged,
    acknowledged.toSorted((a, b) => a - b),
  );
}

test("whatever is lost on the way, what is acknowledged is there once and in order", () => {
  const act = fc.constantFrom("add", "send", "arrive", "arrive", "answer", "answer", "lose", "wait");
  fc.assert(
    fc.property(fc.array(act, { maxLength: 200, size: "max" }), fc.nat(), (acts, luck) => {
      const world = new World(seededRandom(luck));
      for (const one of acts) world[one as "add"]();
      world.finish();
      check(world);
    }),
    { numRuns: runs, seed },
  );
});

test("the model notices a batch that is there twice, one that is lost, and a wrong order", () => {
  const world = () => {
    const made = new World(seededRandom(7));
    for (let i = 0; i < 3; i++) made.outcomes.set(i, { kind: "placed" });
    made.partition.batches.push(0, 1, 2);
    return made;
  };
  check(world());
  const doubled = world();
  doubled.partition.batches.push(1);
  assert.throws(() => check(doubled), /doubled/);
  const lost = world();
  lost.partition.batches.pop();
  assert.throws(() => check(lost), /is not there/);
  const turned = world();
  turned.partition.batches.reverse();
  assert.throws(() => check(turned));
});
