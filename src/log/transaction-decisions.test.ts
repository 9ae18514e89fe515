import assert from "node:assert/strict";
import { test } from "node:test";
import type { TransactionVersion } from "./producer.ts";
import { type Doing, decideEnd, decideInit, decideJoin, type Known, type Refusal } from "./transaction-decisions.ts";
import type { Decision, ProducerIdentity, WireState } from "./transaction-records.ts";

const producer = { producerId: 7, epoch: 4 };
const before = { producerId: 7, epoch: 3 };
const none: Doing = { kind: "none" };

function known(wire: WireState | undefined, doing: Doing = none, identity: ProducerIdentity = producer): Known {
  return { state: { transactionalId: "unit", ...identity, ...(wire && { wire }) }, doing };
}

function ended(outcome: Decision, transactionVersion: TransactionVersion, previous?: ProducerIdentity): WireState {
  return { ended: { outcome, transactionVersion }, ...(previous && { previous }) };
}

type Told = "end" | "end-empty" | "same" | Refusal;

function toldBy(decision: { readonly kind: string; readonly why?: string }): string {
  return decision.why ?? decision.kind;
}

/** As Kafka's endTransaction and endTransactionWithTV1 answer: who asks, in what state, and what for commit and for abort. */
const ends: readonly [string, TransactionVersion, Known, ProducerIdentity, commit: Told, abort: Told][] = [
  ["nobody", 1, { state: undefined, doing: none }, producer, "unknown", "unknown"],
  ["nobody", 2, { state: undefined, doing: none }, producer, "unknown", "unknown"],
  ["in this process", 1, known(undefined, { kind: "open" }), producer, "unknown", "unknown"],
  ["another producer id", 1, known({}), { producerId: 8, epoch: 4 }, "unknown", "unknown"],
  ["another producer id", 2, known({}), { producerId: 8, epoch: 4 }, "unknown", "unknown"],
  ["empty", 1, known({}), producer, "invalid", "invalid"],
  ["empty", 2, known({}), producer, "invalid", "end-empty"],
  ["empty, earlier epoch", 1, known({}), before, "fenced", "fenced"],
  ["empty, earlier epoch", 2, known({ previous: before }), before, "fenced", "fenced"],
  ["empty, later epoch", 2, known({}), { producerId: 7, epoch: 5 }, "fenced", "fenced"],
  ["open", 1, known({}, { kind: "open" }), producer, "end", "end"],
  ["open", 2, known({}, { kind: "open" }), producer, "end", "end"],
  ["open, earlier epoch", 1, known({}, { kind: "open" }), before, "fenced", "fenced"],
  ["open, repeated late", 2, known(ended("commit", 2, before), { kind: "open" }), before, "fenced", "fenced"],
  ["committing", 1, known({}, { kind: "ending", outcome: "commit" }), producer, "concurrent", "invalid"],
  ["committing", 2, known({}, { kind: "ending", outcome: "commit" }), producer, "concurrent", "invalid"],
  ["aborting", 2, known({}, { kind: "ending", outcome: "abort" }), producer, "invalid", "concurrent"],
  ["fencing", 2, known({}, { kind: "fencing" }), producer, "fenced", "fenced"],
  ["committed", 1, known(ended("commit", 1)), producer, "same", "invalid"],
  ["aborted", 1, known(ended("abort", 1)), producer, "invalid", "same"],
  ["committed", 2, known(ended("commit", 2, before)), before, "same", "invalid"],
  ["aborted", 2, known(ended("abort", 2, before)), before, "invalid", "same"],
  ["committed, next epoch", 2, known(ended("commit", 2, before)), producer, "invalid", "end-empty"],
  ["timed out", 1, known(ended("abort", 2)), before, "fenced", "fenced"],
  ["timed out", 2, known(ended("abort", 2)), before, "fenced", "fenced"],
  [
    "committed with the last epoch",
    2,
    known(ended("commit", 2, { producerId: 6, epoch: 32_766 })),
    { producerId: 6, epoch: 32_766 },
    "same",
    "invalid",
  ],
];

for (const [what, version, state, asking, commit, abort] of ends) {
  test(`the end of a client of version ${version}: ${what}`, () => {
    assert.equal(toldBy(decideEnd(state, asking, "commit", version)), commit);
    assert.equal(toldBy(decideEnd(state, asking, "abort", version)), abort);
  });
}

test("an id is taken by whoever says nothing, or names its newest producer", () => {
  const next = { kind: "next", previous: undefined };
  assert.deepEqual(decideInit({ state: undefined, doing: none }, undefined), { kind: "new", previous: undefined });
  assert.deepEqual(decideInit({ state: undefined, doing: none }, before), { kind: "new", previous: undefined });
  for (const doing of [none, { kind: "open" }] as const) {
    assert.deepEqual(decideInit(known({}, doing), undefined), next);
    assert.deepEqual(decideInit(known({}, doing), producer), { kind: "next", previous: producer });
    for (const wrong of [before, { producerId: 7, epoch: 5 }, { producerId: 8, epoch: 4 }]) {
      assert.equal(toldBy(decideInit(known({}, doing), wrong)), "fenced");
    }
  }
  assert.equal(decideInit(known({ previous: before }), before).kind, "same");
  assert.equal(toldBy(decideInit(known({ previous: before }, { kind: "open" }), before)), "fenced");
});

test("a client's last epoch is 32,766, and one in this process has 32,767", () => {
  const last = { producerId: 7, epoch: 32_766 };
  assert.deepEqual(decideInit(known({}, none, last), undefined), { kind: "new", previous: undefined });
  assert.deepEqual(decideInit(known({}, none, last), last), { kind: "new", previous: last });
  assert.equal(decideInit(known(undefined, none, last), undefined).kind, "next");
  assert.equal(decideInit(known(undefined, none, { producerId: 7, epoch: 32_767 }), undefined).kind, "new");
});

test("who may write to a transaction is its id's newest producer, while none is being ended", () => {
  assert.equal(decideJoin(known({}), producer).kind, "join");
  assert.equal(decideJoin(known({}, { kind: "open" }), producer).kind, "join");
  assert.equal(toldBy(decideJoin(known({}, { kind: "ending", outcome: "commit" }), producer)), "concurrent");
  assert.equal(toldBy(decideJoin(known({}, { kind: "fencing" }), producer)), "fenced");
  assert.equal(toldBy(decideJoin(known({}), before)), "fenced");
  assert.equal(toldBy(decideJoin(known({}), { producerId: 8, epoch: 4 })), "unknown");
  assert.equal(toldBy(decideJoin(known(undefined), producer)), "unknown");
  assert.equal(toldBy(decideJoin({ state: undefined, doing: none }, producer)), "unknown");
});
