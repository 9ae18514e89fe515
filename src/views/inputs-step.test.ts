import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frontier, TransactionEvent } from "../schema/transaction-events.ts";
import { type InputEvent, planStep } from "./inputs-step.ts";
import { parseEvent } from "./inputs-tail.ts";

const end = (lsn: string, frontier: Frontier): TransactionEvent => {
  return { status: "END", id: lsn, ts_ms: 0, event_count: 1, data_collections: [], frontier, lsn };
};
const queue = (...events: readonly TransactionEvent[]): InputEvent[] =>
  events.map((event, i) => ({ event, next: i + 1 }));
const from = (positions: Frontier) => (topic: string) => positions[topic];

test("a step takes whole transactions until the next one would bring it over its bound", () => {
  const events = queue(end("0/1", { a: 4 }), end("0/2", { a: 6, b: 3 }), end("0/3", { a: 12 }));
  assert.deepEqual(planStep(events, from({ a: 0, b: 0 }), 10), {
    kind: "rows",
    events: 2,
    next: 2,
    frontier: { a: 6, b: 3 },
    lsn: "0/2",
    progress: null,
    offsets: 9,
    changedMs: 0,
    alone: false,
  });
});

test("a transaction with rows of a topic that changes alone is a step of its own", () => {
  const events = queue(end("0/1", { a: 1 }), end("0/2", { a: 2, b: 1 }), end("0/3", { a: 3 }), end("0/4", { b: 2 }));
  const steps: [number, boolean][] = [];
  const at = { a: 0, b: 0 };
  for (let queued = events; queued.length > 0; ) {
    const step = planStep(queued, from(at), 100, new Set(["b"]));
    assert.equal(step.kind, "rows");
    if (step.kind !== "rows") break;
    steps.push([step.events, step.alone]);
    Object.assign(at, step.frontier);
    queued = queued.slice(step.events);
  }
  assert.deepEqual(steps, [
    [1, false],
    [1, true],
    [1, false],
    [1, true],
  ]);
});

test("a transaction larger than the bound is a step of its own", () => {
  const events = queue(end("0/1", { a: 1000 }), end("0/2", { a: 1001 }));
  const step = planStep(events, from({ a: 0 }), 10);
  assert.equal(step.kind === "rows" && step.events, 1);
  assert.equal(step.kind === "rows" && step.offsets, 1000);
});

test("topics that nobody reads move the positions and count for nothing", () => {
  const events = queue(end("0/1", { a: 1, big: 100_000 }), end("0/2", { a: 2, big: 200_000 }));
  const step = planStep(events, from({ a: 0 }), 10);
  assert.deepEqual(step.kind === "rows" && [step.events, step.offsets, step.frontier], [2, 2, { a: 2, big: 200_000 }]);
});

test("a snapshot's begin and end and a new shape are steps of their own", () => {
  const begin: TransactionEvent = { status: "SNAPSHOT_BEGIN", id: "s", ts_ms: 0, tables: [], frontier: {} };
  assert.equal(planStep(queue(begin, end("0/1", {})), from({}), 10).kind, "life");
  const step = planStep(queue(end("0/1", {}), begin), from({}), 10);
  assert.equal(step.kind === "rows" && step.events, 1);
  assert.deepEqual(planStep([], from({}), 10), { kind: "none" });
});

test("a gap moves the source's position too, also where it goes back, and is no rows", () => {
  const gap: TransactionEvent = { status: "GAP", id: "g", ts_ms: 0, code: "C", reason: "r", from: "0/9", lsn: "0/5" };
  assert.deepEqual(parseEvent(Buffer.from(JSON.stringify(gap))), gap);
  const step = planStep(queue(end("0/9", { a: 1 }), gap), from({ a: 0 }), 10);
  assert.deepEqual(step.kind === "rows" && [step.events, step.lsn, step.offsets], [2, "0/5", 1]);
});

test("a heartbeat moves the source's position", () => {
  const step = planStep(queue({ status: "HEARTBEAT", id: "h", ts_ms: 0, lsn: "0/9" }), from({}), 10);
  assert.equal(step.kind === "rows" && step.lsn, "0/9");
});

test("what is no transaction event is told apart from one", () => {
  for (const text of [
    "",
    "nope",
    "[]",
    "null",
    '{"status":"WHAT"}',
    '{"status":"END"}',
    '{"status":"END","frontier":{"a":-1}}',
  ]) {
    assert.equal(parseEvent(Buffer.from(text)), null, text);
  }
  assert.equal(parseEvent(Buffer.from('{"status":"END","frontier":{"a":3}}'))?.status, "END");
});
